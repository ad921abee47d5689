//! How many texts a participant may say, and how long: a flood of them must not fill a recording. Counts only; never reads a text.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Messages that are taken in each [`WINDOW`], over all data channels of a connection: far more than people type.
const MOST: u32 = 100;
const WINDOW: Duration = Duration::from_secs(5);

/// The longest text, in bytes; longer ones are no chat.
pub const LONGEST_TEXT: usize = 64 << 10;

/// What is left of a connection's allowance of texts.
#[derive(Debug)]
pub struct TextAllowance(Mutex<Window>);

#[derive(Debug)]
struct Window {
    since: Instant,
    taken: u32,
}

/// Whether a text is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    Yes,
    /// No; the first that is refused in its window, so it is worth a word.
    FirstRefused,
    No,
}

impl Default for TextAllowance {
    fn default() -> Self {
        Self(Mutex::new(Window { since: Instant::now(), taken: 0 }))
    }
}

impl TextAllowance {
    /// One more text comes at `now`.
    pub fn take(&self, now: Instant) -> Allowed {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(window.since) >= WINDOW {
            *window = Window { since: now, taken: 0 };
        }
        window.taken = window.taken.saturating_add(1);
        match window.taken {
            0..=MOST => Allowed::Yes,
            n if n == MOST + 1 => Allowed::FirstRefused,
            _ => Allowed::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_the_next_window_is_free_again() {
        let allowance = TextAllowance::default();
        let start = Instant::now();
        let taken: Vec<Allowed> = (0..MOST + 3).map(|_| allowance.take(start)).collect();
        assert!(taken[..MOST as usize].iter().all(|allowed| *allowed == Allowed::Yes));
        assert_eq!(taken[MOST as usize..], [Allowed::FirstRefused, Allowed::No, Allowed::No]);
        assert_eq!(allowance.take(start + WINDOW), Allowed::Yes);
    }
}
