//! How much of a file may be in flight at once to a receiver that does not say it has room.
//!
//! What is on its way and not on a wire lies in the receiver's socket, which in a browser overflows soon (see [`crate::rtc::congestion::pacing`]). How
//! much the wire holds nobody tells; so it begins small, and a larger window stays only where it makes the file faster, as it does
//! on a long way and not on a short one. Pure: it is told the time.

use std::time::{Duration, Instant};

/// Where it begins, in bytes. A message may go beyond it.
const MIN_WINDOW: usize = 64 << 10;
/// What the library keeps for a channel.
pub(crate) const MAX_WINDOW: usize = 4 << 20;
/// How long a size is tried; several round trips of a long way.
const TRIAL: Duration = Duration::from_millis(500);
/// How many trials a size that did not help is not tried again.
const TRIAL_PAUSE: u32 = 6;
/// By what a size twice as large must be faster.
const MIN_GAIN: f64 = 1.25;

/// The window of one channel.
#[derive(Debug)]
pub(crate) struct SendWindow {
    size: usize,
    /// Bytes a second with half of this size, where this size is on trial.
    half: Option<f64>,
    /// Trials until the next size is tried.
    rest: u32,
    /// When this trial began, and how many bytes had arrived then.
    begun: Option<(Instant, u64)>,
}

impl Default for SendWindow {
    fn default() -> Self {
        Self { size: MIN_WINDOW, half: None, rest: 1, begun: None }
    }
}

impl SendWindow {
    /// How many bytes may be on their way, now that so many have arrived.
    pub fn size(&mut self, now: Instant, arrived: u64) -> usize {
        let (begun, before) = *self.begun.get_or_insert((now, arrived));
        let passed = now.saturating_duration_since(begun);
        if passed < TRIAL {
            return self.size;
        }
        self.begun = Some((now, arrived));
        let rate = arrived.saturating_sub(before) as f64 / passed.as_secs_f64();
        self.rest = self.rest.saturating_sub(1);
        match self.half.take() {
            Some(half) if rate < half * MIN_GAIN => {
                self.size /= 2;
                self.rest = TRIAL_PAUSE;
            }
            Some(_) => self.grow(rate),
            None if self.rest == 0 => self.grow(rate),
            None => {}
        }
        self.size
    }

    fn grow(&mut self, rate: f64) {
        if self.size < MAX_WINDOW {
            self.size *= 2;
            self.half = Some(rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes over time on a way that takes `trip` and carries `rate` bytes a second at most.
    fn sizes(trip: Duration, rate: f64, seconds: u64) -> Vec<usize> {
        let begun = Instant::now();
        let (mut window, mut arrived) = (SendWindow::default(), 0.0);
        let step = Duration::from_millis(10);
        let size = |n: u32| {
            let size = window.size(begun + step * n, arrived as u64);
            arrived += step.as_secs_f64() * rate.min(size as f64 / trip.as_secs_f64());
            size
        };
        (0..(seconds * 100) as u32).map(size).collect()
    }

    #[test]
    fn on_a_short_way_it_stays_small() {
        let sizes = sizes(Duration::from_millis(1), 25e6, 60);
        assert!(sizes.iter().all(|size| *size <= 2 * MIN_WINDOW), "a trial goes no further");
        let small = sizes.iter().filter(|size| **size == MIN_WINDOW).count();
        assert!(small * 10 > sizes.len() * 8, "{small} of {}", sizes.len());
    }

    #[test]
    fn on_a_long_way_it_grows_to_what_the_way_holds() {
        let sizes = sizes(Duration::from_millis(100), 10e6, 10);
        let wanted = 1_000_000;
        let end = *sizes.last().expect("some");
        assert!((wanted..=4 * wanted).contains(&end), "{end}");
        assert!(sizes.iter().take(300).any(|size| *size >= wanted), "within three seconds");
        let sizes = self::sizes(Duration::from_secs(1), 1e9, 30);
        assert_eq!(sizes.iter().max(), Some(&MAX_WINDOW), "and never beyond what is kept");
    }
}
