//! For how long nobody has spoken, and for how long only bots have been there.

use super::connection::Shared;
use std::time::Instant;

/// Since when it is quiet.
pub(super) struct Quiet {
    since: Instant,
    only_bots_since: Option<Instant>,
}

impl Quiet {
    /// From now on.
    pub fn new(now: Instant) -> Quiet {
        Quiet { since: now, only_bots_since: None }
    }

    /// For how long nobody has spoken, and for how long only bots have been there, in milliseconds. Quiet does not count while nobody is
    /// there or the recorder is paused, nor where it is not known: some senders do not tell their levels.
    pub fn look(&mut self, shared: &Shared, now: Instant) -> (u64, u64) {
        let log = &shared.context.log;
        if shared.speakers.is_speech() || shared.context.is_paused() || log.empty() {
            self.since = now;
        }
        self.since = shared.unlevelled.map_or(self.since, |at| at.max(self.since));
        let only_bots = log.only_bots();
        self.only_bots_since = self.only_bots_since.filter(|_| only_bots).or(only_bots.then_some(now));
        (ms(self.since, now), self.only_bots_since.map_or(0, |since| ms(since, now)))
    }
}

fn ms(since: Instant, now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
}
