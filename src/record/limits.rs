//! When a recording ends by itself: by time, by its size, or by who is there and whether they speak. It looks at the status only.

use crate::record::status::Status;
use crate::room::end::EndReason;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// When a recording ends by itself. Times count from the start of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// After this long. It can be changed later: [`crate::record::Controls::set_duration`].
    pub duration: Option<Duration>,
    /// When media and shared files have so many bytes together; those of a recording that is continued count too.
    pub bytes: Option<u64>,
    /// When nobody but recorders has been in the room for this long, after somebody was.
    pub until_empty: Option<Duration>,
    /// When nobody has come within this long.
    pub until_nobody: Option<Duration>,
    /// When nobody has spoken for this long, while somebody was there.
    pub until_silent: Option<Duration>,
    /// When only bots have been there for this long.
    pub until_only_bots: Option<Duration>,
}

impl Limits {
    /// Waits until one is reached; says which. `longest` is the length that is in force, in place of that of the limits.
    pub(super) async fn reached(
        self,
        started: Instant,
        longest: watch::Receiver<Option<Duration>>,
        status: watch::Receiver<Status>,
    ) -> EndReason {
        tokio::select! {
            () = time_up(started, longest) => EndReason::TimeUp,
            () = grown(self.bytes, status.clone()) => EndReason::TooLarge,
            () = left(self.until_empty, status.clone()) => EndReason::RoomEmpty,
            () = not_come(self.until_nobody, started, status.clone()) => EndReason::NobodyCame,
            () = lasts(self.until_silent, status.clone(), |status| status.quiet_ms) => EndReason::Silence,
            () = lasts(self.until_only_bots, status, |status| status.only_bots_ms) => EndReason::OnlyBots,
        }
    }
}

async fn time_up(started: Instant, mut longest: watch::Receiver<Option<Duration>>) {
    loop {
        let end = longest.borrow_and_update().map(|length| started + length);
        let clock = async {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = clock => return,
            changed = longest.changed() => if changed.is_err() {
                // Nobody can change it any more.
                return match end {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                };
            },
        }
    }
}

async fn grown(most: Option<u64>, mut status: watch::Receiver<Status>) {
    let Some(most) = most else { return std::future::pending().await };
    let has_grown = |status: &Status| status.bytes.saturating_add(status.file_bytes) >= most;
    if status.wait_for(has_grown).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn left(patience: Option<Duration>, mut status: watch::Receiver<Status>) {
    let Some(patience) = patience else { return std::future::pending().await };
    loop {
        if status.wait_for(|s| !s.empty).await.is_err() || status.wait_for(|s| s.empty).await.is_err() {
            return std::future::pending().await;
        }
        if tokio::time::timeout(patience, status.wait_for(|s| !s.empty)).await.is_err() {
            return;
        }
    }
}

async fn not_come(patience: Option<Duration>, started: Instant, mut status: watch::Receiver<Status>) {
    let Some(patience) = patience else { return std::future::pending().await };
    let come = status.wait_for(|status| !status.empty);
    if tokio::time::timeout_at(started + patience, come).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// Waits until a state has lasted so long.
async fn lasts(patience: Option<Duration>, mut status: watch::Receiver<Status>, ms: impl Fn(&Status) -> u64) {
    let Some(patience) = patience else { return std::future::pending().await };
    let is_long = |status: &Status| u128::from(ms(status)) >= patience.as_millis() && ms(status) > 0;
    if status.wait_for(is_long).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
