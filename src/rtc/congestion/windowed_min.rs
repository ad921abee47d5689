//! The least value of the last while, in constant memory. Pure: told the time.

use std::time::{Duration, Instant};

/// The minimum over the current span of time and the one before it: a value counts for one to two spans.
#[derive(Debug)]
pub(crate) struct WindowedMin<T> {
    span: Duration,
    /// Of the current span and of the one before.
    least: [Option<T>; 2],
    begun: Option<Instant>,
}

impl<T: Ord + Copy> WindowedMin<T> {
    pub fn new(span: Duration) -> Self {
        Self { span, least: [None; 2], begun: None }
    }

    /// Takes a value, if there is one, and returns the minimum.
    pub fn update(&mut self, now: Instant, value: Option<T>) -> Option<T> {
        if self.begun.is_none_or(|begun| now.saturating_duration_since(begun) > self.span) {
            self.begun = Some(now);
            self.least = [None, self.least[0]];
        }
        self.least[0] = self.least[0].into_iter().chain(value).min();
        self.least.into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_for_one_to_two_spans() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut least = WindowedMin::new(second * 10);
        assert_eq!(least.update(start, None), None);
        assert_eq!(least.update(start + second, Some(5)), Some(5));
        assert_eq!(least.update(start + second * 2, Some(7)), Some(5));
        assert_eq!(least.update(start + second * 11, Some(8)), Some(5), "the next span");
        assert_eq!(least.update(start + second * 20, None), Some(5));
        assert_eq!(least.update(start + second * 22, None), Some(8), "the span after that");
    }
}
