//! How many chat messages a participant may send, and how long: a flood must not fill a recording. Counts only; never reads a text.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Messages in each [`WINDOW`], over all data channels of a connection: far more than people type.
const MAX_TEXTS: u32 = 100;
const WINDOW: Duration = Duration::from_secs(5);

/// Bytes of a chat message; longer texts are not chat.
pub const MAX_TEXT: usize = 64 << 10;

/// The rate limit of one connection.
#[derive(Debug)]
pub struct TextRateLimit(Mutex<Window>);

#[derive(Debug)]
struct Window {
    since: Instant,
    count: u32,
}

/// Whether a text is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// It is within the limit.
    Yes,
    /// It is the first one above the limit in its window: worth a warning.
    FirstRefused,
    /// It is above the limit.
    No,
}

impl Default for TextRateLimit {
    fn default() -> Self {
        Self(Mutex::new(Window { since: Instant::now(), count: 0 }))
    }
}

impl TextRateLimit {
    /// Counts a text received at `now`.
    pub fn take(&self, now: Instant) -> Allowed {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(window.since) >= WINDOW {
            *window = Window { since: now, count: 0 };
        }
        window.count = window.count.saturating_add(1);
        match window.count {
            0..=MAX_TEXTS => Allowed::Yes,
            n if n == MAX_TEXTS + 1 => Allowed::FirstRefused,
            _ => Allowed::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_the_next_window_is_free_again() {
        let limit = TextRateLimit::default();
        let start = Instant::now();
        let taken: Vec<Allowed> = (0..MAX_TEXTS + 3).map(|_| limit.take(start)).collect();
        assert!(taken[..MAX_TEXTS as usize].iter().all(|allowed| *allowed == Allowed::Yes));
        assert_eq!(taken[MAX_TEXTS as usize..], [Allowed::FirstRefused, Allowed::No, Allowed::No]);
        assert_eq!(limit.take(start + WINDOW), Allowed::Yes);
    }
}
