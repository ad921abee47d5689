//! The stores as they are configured. Values only.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// A store: `[store]` and `[backup_store]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// `s3://bucket/prefix`, `gs://…`, `az://…` or `file:///path`.
    pub url: String,
    /// What the store needs besides: `endpoint`, `region`, credentials. With `_file` at its end an option names a file with the value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "texts")]
    pub options: BTreeMap<String, String>,
    /// Sends those who ask for media to a signed address of the store, where the store can sign.
    #[serde(default)]
    pub redirect: bool,
}

impl StoreConfig {
    /// Without its credentials: options that say neither secret nor key nor token.
    pub fn without_secrets(&self) -> StoreConfig {
        let secret = |name: &str| {
            let file = name.ends_with("_file") || name.ends_with("_path");
            ["secret", "key", "token", "password", "sas"].iter().any(|word| name.contains(word)) && !file
        };
        let options = self.options.iter().filter(|(name, _)| !secret(&name.to_ascii_lowercase()));
        let url = public_address(&self.url);
        StoreConfig {
            url,
            options: options.map(|(name, value)| (name.clone(), value.clone())).collect(),
            ..self.clone()
        }
    }
}

/// An address without password and parameters.
pub(super) fn public_address(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return String::new() };
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// Texts; numbers and truth values as such.
fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Plain {
        Text(String),
        Flag(bool),
        Number(i64),
    }
    let options = BTreeMap::<String, Plain>::deserialize(from)?;
    let text = |value| match value {
        Plain::Text(text) => text,
        Plain::Flag(flag) => flag.to_string(),
        Plain::Number(number) => number.to_string(),
    };
    Ok(options.into_iter().map(|(name, value)| (name, text(value))).collect())
}

/// How long media stays on the service's own disk once it is in the store: `24h`, `0s`, `always`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepLocal(pub Option<Duration>);

impl Default for KeepLocal {
    fn default() -> Self {
        KeepLocal(Some(Duration::from_secs(24 * 3600)))
    }
}

impl Serialize for KeepLocal {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => to.serialize_str("always"),
            Some(time) => span::serialize(&time, to),
        }
    }
}

impl<'de> Deserialize<'de> for KeepLocal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == "always" {
            return Ok(KeepLocal(None));
        }
        span::parse(&text).map(|time| KeepLocal(Some(time))).map_err(D::Error::custom)
    }
}

/// How often what a recorder has written goes to the store: `10s`, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadEvery(pub Option<Duration>);

impl Default for UploadEvery {
    fn default() -> Self {
        UploadEvery(Some(Duration::from_secs(10)))
    }
}

impl Serialize for UploadEvery {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => to.serialize_str("never"),
            Some(time) => span::serialize(&time, to),
        }
    }
}

impl<'de> Deserialize<'de> for UploadEvery {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == "never" {
            return Ok(UploadEvery(None));
        }
        let time = span::parse(&text).map_err(D::Error::custom)?;
        match time {
            Duration::ZERO => Ok(UploadEvery(None)),
            time if time >= Duration::from_secs(1) => Ok(UploadEvery(Some(time))),
            _ => Err(D::Error::custom("must be 1s at least, or never")),
        }
    }
}

/// Durations as people write them: `30m`, `24h`.
pub mod span {
    use super::*;
    use jiff::SignedDuration;

    pub(super) fn parse(text: &str) -> Result<Duration, String> {
        let problem = || format!("{text:?} is no duration: write 30s, 15m, 24h");
        let time: SignedDuration = text.parse().map_err(|_| problem())?;
        Duration::try_from(time).map_err(|_| problem())
    }

    pub fn serialize<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        let time = SignedDuration::try_from(*time).map_err(serde::ser::Error::custom)?;
        to.collect_str(&format_args!("{time:#}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}
