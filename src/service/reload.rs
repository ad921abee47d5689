//! What a running service takes over from a changed configuration.

use super::api::{RateLimits, TokenKeys};
use super::config::ServiceConfig;
use super::database::{Database, uploads};
use super::jobs::{Capacity, Folders, Quota, Retention};
use crate::error::{Error, Result};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Keys that are taken over. `log` is so by whoever sets the log up.
const LIVE: [&str; 11] = [
    "capacity",
    "disk_high",
    "disk_low",
    "jwt",
    "keep_local",
    "log",
    "project_recordings",
    "project_retention_days",
    "recordings_per_project",
    "requests_per_minute",
    "retention_days",
];

/// Changes the settings of a service while it runs.
pub struct Reload {
    pub(super) running: ServiceConfig,
    pub(super) capacity: Arc<Mutex<Capacity>>,
    pub(super) retention: watch::Sender<Retention>,
    pub(super) quota: watch::Sender<Quota>,
    pub(super) rates: RateLimits,
    pub(super) tokens: watch::Sender<TokenKeys>,
    pub(super) folders: Arc<Folders>,
    pub(super) database: Database,
}

impl Reload {
    /// Takes over what can be; returns the keys whose change needs a restart. Work that runs already is not ended by a smaller capacity.
    ///
    /// # Errors
    /// The user's: a key that checks tokens and cannot be used; nothing is taken over then. The machine's: the database failed.
    pub async fn apply(&mut self, config: ServiceConfig) -> Result<Vec<String>> {
        let tokens = TokenKeys::new(config.jwt.as_ref())?;
        self.tokens.send_replace(tokens);
        self.quota.send_replace(config.quota());
        self.rates.set(config.requests_per_minute);
        self.folders.set_marks(config.disk_marks());
        if let Ok(mut capacity) = self.capacity.lock() {
            capacity.resize(config.cores());
        }
        let retention = config.retention();
        if *self.retention.borrow() != retention {
            self.retention.send_replace(retention);
            // Recordings have noted when something is due by what was said before.
            let now = Timestamp::now().as_millisecond();
            let look = self.database.write(move |connection| uploads::look_at_all(connection, now)).await;
            look.map_err(|e| Error::machine("the database failed").because(e))?;
        }
        Ok(changed(&self.running, &config))
    }
}

/// The keys that differ and are not taken over. A secret's key is among them, its value nowhere.
fn changed(running: &ServiceConfig, config: &ServiceConfig) -> Vec<String> {
    let keys = |config: &ServiceConfig| match serde_json::to_value(config) {
        Ok(Value::Object(keys)) => keys,
        _ => Map::new(),
    };
    let (before, after) = (keys(running), keys(config));
    let mut changed: Vec<String> = before.keys().chain(after.keys()).cloned().collect();
    changed.retain(|key| before.get(key) != after.get(key) && !LIVE.contains(&key.as_str()));
    changed.sort_unstable();
    changed.dedup();
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_restart_is_named_without_its_value() {
        let running = ServiceConfig::default();
        let mut config = ServiceConfig {
            capacity: Some(3.0),
            retention_days: Some(4),
            requests_per_minute: 9,
            recordings_per_project: Some(2),
            ..running.clone()
        };
        assert_eq!(changed(&running, &config), Vec::<String>::new());
        config.admin_key = Some("0123456789abcdef".into());
        config.listen.set_port(9009);
        assert_eq!(changed(&running, &config), ["admin_key", "listen"]);
        assert_eq!(changed(&config, &running), ["admin_key", "listen"]);
    }
}
