//! Ids: a prefix that says of what, and a ULID, so they sort by the time of their making.

use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// `rec_01JE…`: a prefix, an underscore and a ULID in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(example = "rec_01jdzq4h8v0t3k5m7n9p1r3s5t")]
pub struct Id(String);

impl Id {
    /// Of a recording.
    pub const RECORDING: &str = "rec";
    /// Of an event; also the `webhook-id` of its deliveries.
    pub const EVENT: &str = "evt";
    /// Of a film that is asked for after the recording.
    pub const FILM: &str = "film";
    /// Of an API key.
    pub const KEY: &str = "key";
    /// Of a webhook.
    pub const WEBHOOK: &str = "whk";
    /// Of a delivery.
    pub const DELIVERY: &str = "dlv";

    /// Of a bot.
    pub const BOT: &str = "bot";
    /// Of a check.
    pub const CHECK: &str = "chk";
    /// Of a schedule.
    pub const SCHEDULE: &str = "sch";

    /// A new one.
    pub fn new(prefix: &str) -> Id {
        Id(format!("{prefix}_{}", ulid::Ulid::generate().to_string().to_ascii_lowercase()))
    }

    /// Of whoever has a token: not unique, and safe as a part of a name.
    pub fn of_token(subject: &str) -> Id {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        let word: String = subject.chars().take(64).map(|c| if is_plain(c) { c } else { '-' }).collect();
        Id(format!("jwt_{word}"))
    }

    /// The id in `text`, if it is one with this prefix: safe as the name of a file and in an address.
    pub fn parse(prefix: &str, text: &str) -> Option<Id> {
        let rest = text.strip_prefix(prefix)?.strip_prefix('_')?;
        let is_ulid = rest.len() == 26 && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        is_ulid.then(|| Id(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_our_making_are_read() {
        let id = Id::new(Id::RECORDING);
        assert_eq!(Id::parse(Id::RECORDING, id.as_str()), Some(id.clone()));
        for wrong in ["", "rec_", "rec_../../etc/passwd", "evt_01jdzq4h8v0t3k5m7n9p1r3s5t", &id.as_str().to_uppercase()]
        {
            assert_eq!(Id::parse(Id::RECORDING, wrong), None, "{wrong}");
        }
    }
}
