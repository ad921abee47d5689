//! A worker's session: taken, renewed twice a second, and begun anew where it was lost. What the worker may do follows from it.

use super::bus::{Bus, SwapError, read, swap};
use super::timing::{DEAD, HOLD, RENEW, RENEWAL_TIMEOUT};
use super::wire::WorkerRecord;
use crate::record::lease;
use crate::service::jobs::Lease;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use tokio::time::sleep;

/// Keeps the session.
pub struct SessionKeeper {
    pub name: String,
    pub lease: Arc<Lease>,
    /// Remembers the session's id: a worker that was killed and is back in time goes on with it.
    pub file: PathBuf,
    /// The session that is held or was held last; empty before the first.
    pub current: watch::Sender<String>,
}

/// What is there in place of what we expected.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Nothing.
    Nothing,
    /// Our session: an answer was lost.
    Ours(u64),
    /// Our session was taken away.
    Lost(u64),
    /// A session of somebody else with our name, or of one of ours whose id is not known any more.
    Other(u64),
}

fn judge(found: Option<(WorkerRecord, u64)>, session: &str) -> Found {
    match found {
        None => Found::Nothing,
        Some((record, revision)) if record.lost => Found::Lost(revision),
        Some((record, revision)) if record.session == session => Found::Ours(revision),
        Some((_, revision)) => Found::Other(revision),
    }
}

impl SessionKeeper {
    /// Keeps the session until it is dropped. `record` says how the worker is.
    pub async fn keep(self, bus: Bus, record: impl Fn() -> WorkerRecord + Send) {
        let mut session = std::fs::read_to_string(&self.file).unwrap_or_default();
        let mut expected = None;
        let mut other: Option<(u64, Instant)> = None;
        loop {
            let Some(revision) = expected else {
                expected = self.look(&bus, &mut session, &mut other).await;
                if expected.is_none() {
                    sleep(RENEW).await;
                }
                continue;
            };
            let (begun, sent) = (Instant::now(), lease::now());
            let mine = WorkerRecord { session: session.clone(), ..record() };
            match swap(&bus.workers, &self.name, &mine, revision, RENEWAL_TIMEOUT).await {
                Ok(revision) => {
                    expected = Some(revision);
                    self.lease.begin(&session);
                    if let Err(e) = self.lease.extend(sent + HOLD) {
                        tracing::error!("the lease cannot be written: {e}");
                    }
                    self.current.send_if_modified(|current| {
                        let is_new = *current != session;
                        current.clone_from(&session);
                        is_new
                    });
                }
                // Whoever changed it, or whether our answer was lost, is looked up.
                Err(SwapError::Other) => expected = None,
                Err(SwapError::Bus(e)) => {
                    expected = None;
                    tracing::warn!("the worker's session was not renewed: {e}");
                }
            }
            sleep(RENEW.saturating_sub(begun.elapsed())).await;
        }
    }

    /// The revision that the session is to be written over, which may be a new session.
    async fn look(&self, bus: &Bus, session: &mut String, other: &mut Option<(u64, Instant)>) -> Option<u64> {
        let found = match read::<WorkerRecord>(&bus.workers, &self.name).await {
            Ok(found) => judge(found, session),
            Err(e) => {
                tracing::warn!("the worker's session cannot be looked up: {e}");
                if let Err(e) = bus.mend().await {
                    tracing::warn!("{e}");
                }
                return None;
            }
        };
        let revision = match found {
            Found::Ours(revision) => return Some(revision),
            Found::Nothing => 0,
            Found::Lost(revision) => {
                tracing::warn!(worker = self.name, "the worker's session was lost; it begins anew");
                revision
            }
            Found::Other(revision) => {
                let since = match *other {
                    Some((seen, since)) if seen == revision => since,
                    _ => {
                        tracing::info!(worker = self.name, "another worker has this name, or had it until now");
                        *other = Some((revision, Instant::now()));
                        return None;
                    }
                };
                if since.elapsed() < DEAD {
                    return None;
                }
                revision
            }
        };
        // What the session before had is given up before another one is begun.
        let next = new_id();
        self.lease.begin(&next);
        match std::fs::write(&self.file, &next) {
            Ok(()) => *session = next,
            Err(e) => {
                tracing::error!("{}: {e}", self.file.display());
                return None;
            }
        }
        Some(revision)
    }
}

/// A new session's id.
fn new_id() -> String {
    ulid::Ulid::generate().to_string().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_goes_on_only_where_it_is_known_and_was_not_taken_away() {
        let record =
            |session: &str, lost| Some((WorkerRecord { session: session.into(), lost, ..Default::default() }, 9));
        assert_eq!(judge(None, "a"), Found::Nothing);
        assert_eq!(judge(record("a", false), "a"), Found::Ours(9));
        assert_eq!(judge(record("a", true), "a"), Found::Lost(9));
        assert_eq!(judge(record("b", false), "a"), Found::Other(9));
        assert_eq!(judge(record("", false), "a"), Found::Other(9));
    }
}
