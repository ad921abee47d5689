//! Packets that have been handed over, and that the library has as well: they end where they come out of it. Pure: told the time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The library does not take longer, or never delivers it.
const LONGEST: Duration = Duration::from_secs(10);
const MAX_COPIES: usize = 4096;

/// By SSRC and sequence number, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Copies(VecDeque<(u32, u16, Instant)>);

impl Copies {
    /// The library gets a packet that was handed over.
    pub fn add(&mut self, ssrc: u32, sequence: u16, now: Instant) {
        while self.0.front().is_some_and(|(.., at)| now.saturating_duration_since(*at) > LONGEST) {
            self.0.pop_front();
        }
        if self.0.len() == MAX_COPIES {
            self.0.pop_front();
        }
        self.0.push_back((ssrc, sequence, now));
    }

    /// A packet comes out of the library: whether it is one of them. It is then no more.
    pub fn take(&mut self, ssrc: u32, sequence: u16) -> bool {
        let at = self.0.iter().position(|(of, number, _)| (*of, *number) == (ssrc, sequence));
        at.and_then(|at| self.0.remove(at)).is_some()
    }
}
