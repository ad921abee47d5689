//! How long frames stay with us: a histogram of milliseconds, so that a run of days costs no more than one of seconds. Pure.

use std::time::Duration;

/// Delays from here on are counted together.
const MOST_MS: usize = 2000;

/// Delays of one track.
#[derive(Debug, Clone)]
pub(crate) struct Delays {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Delays { counts: vec![0; MOST_MS + 1], total: 0 }
    }
}

impl Delays {
    pub fn add(&mut self, delay: Duration) {
        let ms = usize::try_from(delay.as_millis()).unwrap_or(MOST_MS).min(MOST_MS);
        if let Some(count) = self.counts.get_mut(ms) {
            *count += 1;
            self.total += 1;
        }
    }

    /// The delay that this share (0.0 to 1.0) of all frames did not exceed, in ms, rounded up; none before the first.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let rank = (self.total as f64 * share.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        let mut sum = 0;
        let ms = self.counts.iter().position(|count| {
            sum += count;
            sum >= rank
        })?;
        u64::try_from(ms + 1).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_known_delays() {
        let mut delays = Delays::default();
        assert_eq!(delays.quantile(0.5), None);
        for ms in 0..100 {
            delays.add(Duration::from_millis(ms));
        }
        delays.add(Duration::from_secs(60));
        assert_eq!(
            (delays.quantile(0.5), delays.quantile(0.95), delays.quantile(1.0)),
            (Some(51), Some(96), Some(2001))
        );
    }
}
