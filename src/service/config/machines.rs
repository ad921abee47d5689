//! What of the configuration is for many machines.

use super::ServiceConfig;
use crate::error::{Error, Result};
use crate::service::jobs::Part;
use crate::service::model::labels_fit;
use serde::{Deserialize, Serialize};

/// The longest name of a worker.
const LONGEST_NAME: usize = 64;

/// What a machine does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything; the only machine.
    #[default]
    All,
    /// Answers requests and gives recordings to workers.
    Api,
    /// Records.
    Worker,
}

impl ServiceConfig {
    /// Whether this machine records for others.
    pub fn is_worker(&self) -> bool {
        self.role == Role::Worker
    }

    /// What this machine does among others.
    pub(in crate::service) fn part(&self) -> Part {
        match (&self.queue, self.role) {
            (None, _) => Part::Alone,
            (Some(_), Role::Worker) => Part::Worker,
            (Some(_), _) => Part::ApiNode,
        }
    }

    /// The name under which the machine is known to others.
    pub fn worker_name(&self) -> String {
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = self.worker.clone().unwrap_or_else(host);
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
        let name: String = name.trim().chars().take(LONGEST_NAME).map(plain).collect();
        if name.is_empty() { "worker".to_owned() } else { name }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// The user's.
    pub(super) fn check_machines(&self) -> Result<()> {
        let wrong = |problem: &str| Err(Error::user(problem));
        let is_name = |name: &String| {
            (1..=LONGEST_NAME).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if self.worker.as_ref().is_some_and(|name| !is_name(name)) {
            return wrong("worker: must have 1 to 64 letters, digits, - and _");
        }
        if !labels_fit(&self.labels) {
            return wrong("labels: at most 16, names and values of 1 to 64 characters");
        }
        let Some(queue) = &self.queue else {
            return match self.role {
                Role::All => Ok(()),
                _ => wrong("role: api and worker need a queue, as in queue = \"nats://host:4222\""),
            };
        };
        if self.role == Role::All {
            return wrong(
                "role: with a queue it must be api or worker; on one machine start one of each, with two data folders",
            );
        }
        for one in queue.split(',') {
            if one.trim().parse::<async_nats::ServerAddr>().is_err() {
                return Err(Error::user(format!("queue: {one:?} is no address; write nats://host:4222")));
            }
        }
        if self.store.is_none() {
            return wrong(
                "store: with a queue all machines need the same [store]: recordings go there from the workers",
            );
        }
        Ok(())
    }
}
