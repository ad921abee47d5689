//! The service's configuration: a TOML file, and over it the environment. Values only.

mod environment;
mod machines;

pub use machines::Role;

use crate::error::{Error, Result};
use crate::log::{self, LogFormat};
use crate::service::jobs::{Bytes, DiskMarks, Quota, Retention};
use crate::service::storage::{KeepLocal, StorageService, StoreConfig, UploadEvery, span};
use environment::Alone;
use figment::Figment;
use figment::error::Kind;
use figment::providers::{Format, Serialized, Toml};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The configuration. Each key is also a variable: `listen` is `ROOMBOT_LISTEN`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceConfig {
    /// Where the API and the dashboard listen.
    pub listen: SocketAddr,
    /// The folder of the database and of all recordings.
    pub data: PathBuf,
    /// Cores that recorders and films may use: a recorder takes 0.1, a film 1. All of the machine's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<f64>,
    /// How lines of the log look, this service's and its recorders'.
    pub log_format: LogFormat,
    /// Which lines are logged: a filter as `info,roombot::service=debug`. Warnings and errors if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The folder of what bots may send: the only files of this machine that a request can name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<PathBuf>,
    /// The first administrator's key. One is made and printed if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_key: Option<String>,
    /// Whether webhooks may be sent to addresses that are not public: loopback, private networks, link-local.
    pub allow_private_webhooks: bool,
    /// Days for which deliveries of webhooks are kept that arrived.
    pub webhook_delivered_days: u32,
    /// Days for which deliveries of webhooks are kept that were given up.
    pub webhook_dead_days: u32,
    /// Below this much free space for `data` no recording begins.
    pub disk_low: Bytes,
    /// Below this much free space what a store has is deleted here before `keep_local` is over, the oldest first.
    pub disk_high: Bytes,
    /// How long a store may fail without progress before the next is used, or the recording is `partial`.
    #[serde(with = "span")]
    pub upload_retry_for: Duration,
    /// How often what recorders write goes to the store: `10s`, or `never`.
    pub upload_every: UploadEvery,
    /// How long media stays in `data` once it is in a store.
    pub keep_local: KeepLocal,
    /// Days after which media is deleted, where the request says nothing. Never if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// Whose tokens (JWT) are taken in place of keys. None are if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtConfig>,
    /// Requests a minute that a key may make, where it says nothing; 0: any number.
    pub requests_per_minute: u32,
    /// Recordings of a project that may run at once; what is over waits. Any number if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recordings_per_project: Option<u32>,
    /// Where recordings go when they are finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreConfig>,
    /// Where they go when `store` does not take them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_store: Option<StoreConfig>,
    /// Recordings that may run at once, for single projects.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub project_recordings: BTreeMap<String, u32>,
    /// The same for single projects.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub project_retention_days: BTreeMap<String, u32>,
    /// NATS with JetStream, where several machines record: `nats://host:4222`, several separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// A file with the credentials for it, as `nsc` makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_credentials: Option<PathBuf>,
    /// What this machine does.
    pub role: Role,
    /// A worker's name; the machine's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// What recordings can ask a worker for: `{ region = "eu" }`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Variables that look like keys and are none: others' perhaps, as Kubernetes makes them of a service's name, or misspelt.
    #[serde(skip)]
    pub unknown_variables: Vec<String>,
}

/// Who may sign tokens. At least one of `secret` and `public_key`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JwtConfig {
    /// A shared secret of at least 32 characters: HS256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// A public key in PEM: RS256 or ES256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// What tokens must have as `iss`; anything if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What tokens must have as `aud`; anything if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        ServiceConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9000)),
            data: PathBuf::from("roombot-data"),
            capacity: None,
            log_format: LogFormat::default(),
            log: None,
            media: None,
            admin_key: None,
            allow_private_webhooks: false,
            webhook_delivered_days: 7,
            webhook_dead_days: 30,
            jwt: None,
            requests_per_minute: 6000,
            recordings_per_project: None,
            project_recordings: BTreeMap::new(),
            disk_low: Bytes(1 << 30),
            disk_high: Bytes(4 << 30),
            store: None,
            backup_store: None,
            upload_retry_for: Duration::from_secs(30 * 60),
            upload_every: UploadEvery::default(),
            keep_local: KeepLocal::default(),
            retention_days: None,
            project_retention_days: BTreeMap::new(),
            queue: None,
            queue_credentials: None,
            role: Role::All,
            worker: None,
            labels: BTreeMap::new(),
            unknown_variables: Vec::new(),
        }
    }
}

impl ServiceConfig {
    /// Reads the file, if one is named, and the environment.
    ///
    /// # Errors
    /// The user's: a key that is unknown, a value that cannot be used.
    pub fn load(file: Option<&Path>) -> Result<ServiceConfig> {
        Self::load_with(file, std::env::vars_os())
    }

    /// The same with these variables for the environment.
    fn load_with(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<ServiceConfig> {
        let mut figment = Figment::from(Serialized::defaults(ServiceConfig::default()));
        if let Some(file) = file {
            figment = figment.merge(Toml::file_exact(file));
        }
        let try_alone = |layer| {
            let alone = Figment::from(Serialized::defaults(ServiceConfig::default())).merge(layer);
            match alone.extract::<ServiceConfig>() {
                Err(e) if e.path.len() <= 1 && matches!(e.kind, Kind::UnknownField(..)) => Alone::NoKey,
                Err(e) if matches!(e.kind, Kind::InvalidType(..)) => Alone::NoText,
                _ => Alone::Taken,
            }
        };
        let (layers, unknown_variables) = environment::read(variables, try_alone)?;
        figment = layers.into_iter().fold(figment, |figment, layer| figment.merge(layer));
        let mut config: ServiceConfig = figment.extract().map_err(|e| {
            let place = file.map(|file| format!("{}: ", file.display())).unwrap_or_default();
            Error::user(format!("{place}{e}")).because(e)
        })?;
        config.check()?;
        config.unknown_variables = unknown_variables;
        Ok(config)
    }

    /// Checks the values.
    ///
    /// # Errors
    /// The user's.
    pub fn check(&self) -> Result<()> {
        if self.capacity.is_some_and(|cores| !(0.1..=100_000.0).contains(&cores)) {
            return Err(Error::user("capacity: must be 0.1 to 100000 cores"));
        }
        for (key, days) in
            [("webhook_delivered_days", self.webhook_delivered_days), ("webhook_dead_days", self.webhook_dead_days)]
        {
            if !(1..=3650).contains(&days) {
                return Err(Error::user(format!("{key}: must be 1 to 3650")));
            }
        }
        if self.admin_key.as_ref().is_some_and(|key| key.chars().count() < 16 || key.chars().any(char::is_whitespace)) {
            return Err(Error::user("admin_key: must have at least 16 characters, no spaces"));
        }
        if let Some(filter) = &self.log {
            log::parse(filter).map_err(|e| Error::user(format!("log: {e}")).because(e))?;
        }
        let days = self.retention_days.iter().chain(self.project_retention_days.values());
        if days.into_iter().any(|days| !(1..=36_500).contains(days)) {
            return Err(Error::user("retention_days and project_retention_days: must be 1 to 36500"));
        }
        self.check_machines()?;
        self.storage().map(drop)
    }

    /// The stores, opened. Asks nothing of the network.
    ///
    /// # Errors
    /// The user's: an address or an option that cannot be used.
    pub fn storage(&self) -> Result<Option<StorageService>> {
        match &self.store {
            Some(main) => {
                let opened = StorageService::open(main, self.backup_store.as_ref(), self.upload_retry_for)?;
                Ok(Some(opened.with_live(self.upload_every.0)))
            }
            None if self.backup_store.is_some() => Err(Error::user("backup_store: there is no [store] that it backs")),
            None => Ok(None),
        }
    }

    /// The cores that recorders and films may use.
    pub(super) fn cores(&self) -> f64 {
        self.capacity.unwrap_or_else(|| std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64))
    }

    /// How many recordings of a project may run at once.
    pub(super) fn quota(&self) -> Quota {
        Quota { usual: self.recordings_per_project, projects: self.project_recordings.clone() }
    }

    /// How much of the disk must be free.
    pub(super) fn disk_marks(&self) -> DiskMarks {
        DiskMarks { low: self.disk_low.0, high: self.disk_high.0 }
    }

    /// How long media is kept.
    pub(super) fn retention(&self) -> Retention {
        let (days, project_days) = (self.retention_days, self.project_retention_days.clone());
        let keep_local = self.keep_local;
        match self.is_worker() {
            // It deletes nothing but what is in the store: how long that is kept is the API node's matter.
            true => Retention { keep_local, ..Retention::default() },
            false => Retention { keep_local, days, project_days },
        }
    }

    /// The same, taking no notice of how much of the disk is free.
    pub fn without_disk_marks(self) -> ServiceConfig {
        ServiceConfig { disk_low: Bytes(0), disk_high: Bytes(0), ..self }
    }

    /// The configuration as a TOML file, without secrets.
    pub fn to_toml(&self) -> String {
        let shown = ServiceConfig {
            admin_key: None,
            jwt: self.jwt.clone().map(|jwt| JwtConfig { secret: None, ..jwt }),
            store: self.store.as_ref().map(StoreConfig::without_secrets),
            backup_store: self.backup_store.as_ref().map(StoreConfig::without_secrets),
            ..self.clone()
        };
        toml::to_string_pretty(&shown).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::environment::{OTHERS, PREFIX};
    use super::*;

    #[test]
    fn a_file_is_read_and_unknown_keys_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("roombot.toml");
        std::fs::write(&file, "listen = \"0.0.0.0:9001\"\ncapacity = 4\n").unwrap();
        let config = ServiceConfig::load_with(Some(&file), []).unwrap();
        assert_eq!((config.listen.port(), config.capacity), (9001, Some(4.0)));
        std::fs::write(&file, "lisen = \"0.0.0.0:9001\"\n").unwrap();
        let error = ServiceConfig::load_with(Some(&file), []).unwrap_err();
        assert!(matches!(error, Error::User(_)) && error.to_string().contains("lisen"), "{error}");
        std::fs::write(&file, "admin_key = \"short\"\n").unwrap();
        assert!(ServiceConfig::load_with(Some(&file), []).unwrap_err().to_string().contains("admin_key"));
    }

    #[test]
    fn variables_are_keys_or_name_files_and_those_of_other_parts_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "0123456789abcdef\n").unwrap();
        let load = |variables: &[(&str, &str)]| {
            ServiceConfig::load_with(None, variables.iter().map(|(name, value)| (name.into(), value.into())))
        };
        let others = OTHERS.map(|name| (format!("{PREFIX}{}", name.to_ascii_uppercase()), "x"));
        load(&others.each_ref().map(|(name, value)| (name.as_str(), *value))).unwrap();
        let secret = secret.to_str().unwrap();
        let config = load(&[
            ("ROOMBOT_LISTEN", "0.0.0.0:9001"),
            ("ROOMBOT_CAPACITY", "4.5"),
            ("ROOMBOT_ADMIN_KEY_FILE", secret),
            ("ROOMBOT_STORE__URL", "s3://meetings"),
            ("ROOMBOT_STORE__OPTIONS__ACCESS_KEY_ID", "a"),
            ("ROOMBOT_STORE__OPTIONS__SECRET_ACCESS_KEY", "0012"),
            ("ROOMBOT_ALLOW_PRIVATE_WEBHOOKS", "true"),
            ("ROOMBOT_LABELS", "{ region = \"eu\" }"),
            ("HOME", "/"),
        ])
        .unwrap();
        assert_eq!((config.listen.port(), config.capacity), (9001, Some(4.5)));
        assert_eq!(config.admin_key.as_deref(), Some("0123456789abcdef"));
        assert_eq!((config.allow_private_webhooks, config.labels["region"].as_str()), (true, "eu"));
        let store = config.store.unwrap();
        assert_eq!((store.url.as_str(), store.options["secret_access_key"].as_str()), ("s3://meetings", "0012"));
        // A key of digits is a text, whatever number it could be.
        for key in ["0123456789012345", "123456789012345678901234567890123456789012345", "1e15000000000000"] {
            assert_eq!(load(&[("ROOMBOT_ADMIN_KEY", key)]).unwrap().admin_key.as_deref(), Some(key));
        }
        let config = load(&[("ROOMBOT_LISEN", "0.0.0.0:9001"), ("ROOMBOT_PORT", "tcp://10.0.0.1:80")]).unwrap();
        assert_eq!(config.unknown_variables, ["ROOMBOT_LISEN", "ROOMBOT_PORT"]);
        let error = load(&[("ROOMBOT_STORE__URLL", "s3://meetings")]).unwrap_err().to_string();
        assert!(error.contains("urll"), "{error}");
        let error = load(&[("ROOMBOT_ADMIN_KEY_FILE", "/nowhere")]).unwrap_err().to_string();
        assert!(error.contains("ROOMBOT_ADMIN_KEY_FILE: /nowhere cannot be read"), "{error}");
    }

    #[test]
    fn what_is_printed_can_be_read_and_has_no_secrets() {
        let config = ServiceConfig { admin_key: Some("0123456789abcdef".into()), ..ServiceConfig::default() };
        let text = config.to_toml();
        assert!(!text.contains("0123456789"), "{text}");
        assert_eq!(toml::from_str::<ServiceConfig>(&text).unwrap(), ServiceConfig::default());
    }

    #[test]
    fn stores_are_checked_and_printed_without_their_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("roombot.toml");
        let text = "keep_local = \"12h\"\nretention_days = 30\nproject_retention_days = { blue = 7 }\n\
                    [store]\nurl = \"s3://meetings/2026\"\noptions = { region = \"r\", secret_access_key = \"s3cret\", access_key_id = \"a\" }\n\
                    [backup_store]\nurl = \"file:///srv/backup\"\n";
        std::fs::write(&file, text).unwrap();
        let config = ServiceConfig::load_with(Some(&file), []).unwrap();
        assert!(config.storage().unwrap().is_some());
        let shown = config.to_toml();
        assert!(shown.contains("s3://meetings/2026") && shown.contains("12h") && !shown.contains("s3cret"), "{shown}");
        assert_eq!(toml::from_str::<ServiceConfig>(&shown).unwrap().project_retention_days["blue"], 7);
        for (text, problem) in [
            ("[backup_store]\nurl = \"file:///srv/backup\"\n", "there is no [store]"),
            ("[store]\nurl = \"nowhere\"\n", "no address"),
            ("retention_days = 0\n", "must be 1 to 36500"),
            ("keep_local = \"soon\"\n", "no duration"),
            ("upload_every = \"200ms\"\n", "1s at least"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = ServiceConfig::load_with(Some(&file), []).unwrap_err();
            assert!(matches!(error, Error::User(_)) && error.to_string().contains(problem), "{text}: {error}");
        }
    }
}
