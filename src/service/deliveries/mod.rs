//! Sends webhooks: takes from the outbox what is due, and notes what came of it. At least once: what was sent and not noted, because the
//! service was killed, is sent again.
//!
//! The order of a recording's events is kept for each endpoint, because at most one delivery of both is pending; recordings go side by side.

mod address;
mod retry;
mod sender;
mod signature;

pub use address::check_url;
pub use signature::new_secret;

use crate::error::Result;
use crate::service::database::deliveries::{self, Attempt, Due};
use crate::service::database::{Database, DatabaseError, webhooks};
use crate::service::model::EventType;
use jiff::{SignedDuration, Timestamp};
use sender::{Answer, Message, Sender};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};

/// Requests at a time: in all, and to one endpoint.
const MOST: usize = 64;
const MOST_PER_TARGET: usize = 8;
/// How long changes of the database are gathered.
const GATHER: Duration = Duration::from_millis(20);
/// Without changes the outbox is looked into this often: clocks can be set.
const LOOK: Duration = Duration::from_secs(10);
/// The pause after the database failed.
const RETRY: Duration = Duration::from_secs(2);
/// How often old deliveries are removed.
const CLEAN: Duration = Duration::from_secs(3600);
/// How long requests may take to end when the service ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// How deliveries are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub allow_private: bool,
    /// Days for which what was delivered stays.
    pub delivered_days: u32,
    /// Days for which what was given up stays.
    pub dead_days: u32,
}

/// Makes all deliveries.
pub struct Courier {
    database: Database,
    sender: Sender,
    settings: Settings,
    leaving: watch::Receiver<bool>,
    tasks: JoinSet<()>,
    /// The deliveries that are being sent, with their targets.
    sending: HashMap<task::Id, (i64, String)>,
}

impl Courier {
    /// One that has sent nothing yet.
    ///
    /// # Errors
    /// The machine's: TLS cannot be used.
    pub fn new(database: Database, settings: Settings, leaving: watch::Receiver<bool>) -> Result<Courier> {
        let sender = Sender::new(settings.allow_private)?;
        Ok(Courier { database, sender, settings, leaving, tasks: JoinSet::new(), sending: HashMap::new() })
    }

    /// Runs until the service leaves.
    pub async fn run(mut self) {
        let mut changes = self.database.changes();
        let mut leaving = self.leaving.clone();
        let mut clean_at = Instant::now();
        while !*leaving.borrow_and_update() {
            changes.borrow_and_update();
            let wait = match self.look().await {
                Ok(wait) => wait,
                Err(e) => {
                    tracing::error!("webhooks cannot be looked up: {e}");
                    RETRY
                }
            };
            if Instant::now() >= clean_at {
                clean_at = Instant::now() + self.clean().await;
            }
            tokio::select! {
                _ = leaving.changed() => {}
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.ended(ended),
                _ = timeout(wait, changes.changed()) => sleep(GATHER).await,
            }
        }
        // What is not noted is sent again by the next service.
        let _ = timeout(DRAIN_TIMEOUT, async { while self.tasks.join_next().await.is_some() {} }).await;
    }

    /// A task has ended, perhaps by a panic.
    fn ended(&mut self, ended: std::result::Result<(task::Id, ()), JoinError>) {
        let task = match &ended {
            Ok((task, ())) => *task,
            Err(e) => e.id(),
        };
        self.sending.remove(&task);
        if let Err(e) = ended {
            tracing::error!("a delivery failed and is sent again: {e}");
        }
    }

    /// Starts what is due; returns how long there is nothing to do.
    async fn look(&mut self) -> std::result::Result<Duration, DatabaseError> {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.ended(ended);
        }
        let now = Timestamp::now();
        if self.sending.len() < MOST {
            let most = u32::try_from(MOST + self.sending.len()).unwrap_or(u32::MAX);
            let per_target = MOST_PER_TARGET as u32;
            let due = self.database.read(move |connection| deliveries::due(connection, now, per_target, most)).await?;
            for delivery in due {
                let to_same = self.sending.values().filter(|(_, target)| *target == delivery.target).count();
                let is_full = self.sending.len() >= MOST || to_same >= MOST_PER_TARGET;
                let is_sent = self.sending.values().any(|(position, _)| *position == delivery.position);
                if !is_full && !is_sent {
                    self.start(delivery);
                }
            }
        }
        let next = self.database.read(move |connection| deliveries::next_due(connection, now)).await?;
        let wait = next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or_default());
        Ok(wait.map_or(LOOK, |wait| wait.min(LOOK)))
    }

    fn start(&mut self, delivery: Due) {
        let owner = (delivery.position, delivery.target.clone());
        let (database, sender) = (self.database.clone(), self.sender.clone());
        let task = self.tasks.spawn(async move {
            if let Err(e) = deliver(&database, &sender, delivery).await {
                tracing::error!("a delivery cannot be noted and is sent again: {e}");
                sleep(RETRY).await;
            }
        });
        self.sending.insert(task.id(), owner);
    }

    /// Removes what is old; returns when to do it again.
    async fn clean(&self) -> Duration {
        let now = Timestamp::now();
        let days = |days: u32| SignedDuration::from_hours(24 * i64::from(days));
        let before = |age: u32| now.saturating_sub(days(age)).unwrap_or(Timestamp::MIN);
        let (delivered, dead) = (before(self.settings.delivered_days), before(self.settings.dead_days));
        match self.database.write(move |connection| deliveries::clean(connection, delivered, dead)).await {
            Ok(0) => CLEAN,
            // There may be more.
            Ok(_) => RETRY,
            Err(e) => {
                tracing::error!("old deliveries cannot be removed: {e}");
                CLEAN
            }
        }
    }
}

/// Makes an attempt and notes it.
async fn deliver(database: &Database, sender: &Sender, due: Due) -> std::result::Result<(), DatabaseError> {
    let secrets = match due.secrets {
        Some(secrets) => secrets,
        None => {
            let project = due.project.clone();
            database.write(move |connection| webhooks::project_secrets(connection, &project, new_secret())).await?
        }
    };
    let at = Timestamp::now();
    let message = Message { url: &due.url, id: due.event.as_str(), body: due.body, secrets: &secrets };
    let Answer { status, problem, retry_after, gone } = sender.send(message, at).await;
    let now = Timestamp::now();
    let next = match &problem {
        // A ping tells how the endpoint is now.
        Some(_) if !gone && due.kind != EventType::Ping => {
            let first = due.first.unwrap_or(at);
            retry::next_attempt(due.attempts + 1, first, now, rand::random(), retry_after)
        }
        _ => None,
    };
    let event = &due.event;
    match (&problem, next) {
        (None, _) => tracing::debug!(%event, target = due.target, "delivered"),
        (Some(problem), Some(next)) => tracing::info!(%event, target = due.target, %next, "not delivered: {problem}"),
        (Some(problem), None) => tracing::warn!(%event, target = due.target, "given up: {problem}"),
    }
    let attempt = Attempt { at, status, problem, next };
    let (position, webhook) = (due.position, due.webhook);
    database
        .write(move |connection| {
            deliveries::note(connection, position, &attempt, now)?;
            let why = "it answered 410 Gone";
            match webhook {
                Some(webhook) if gone => webhooks::disable(connection, &webhook, why, now),
                None if gone => deliveries::give_up_like(connection, position, why, now),
                _ => Ok(()),
            }
        })
        .await
}
