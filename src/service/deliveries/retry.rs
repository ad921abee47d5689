//! When a delivery that failed is tried again. Pure.

use jiff::{SignedDuration, Timestamp};

/// Pauses after the first, second … attempt. Together they are about a day, as Standard Webhooks suggests.
const PAUSES_S: [i64; 7] = [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 6 * 3600];
/// How long a delivery is tried.
const WINDOW: SignedDuration = SignedDuration::from_hours(24);
/// A pause is this much longer or shorter, so that endpoints that return are not hit by everything at once.
const JITTER: f64 = 0.1;

/// When to try again; none: it is given up.
///
/// `attempts` were made since `first`. `dice`: 0 to 1, decides on the jitter. `retry_after`: what the endpoint asked for; respected within
/// the window.
pub(super) fn next_attempt(
    attempts: u32,
    first: Timestamp,
    now: Timestamp,
    dice: f64,
    retry_after: Option<SignedDuration>,
) -> Option<Timestamp> {
    let end = first.saturating_add(WINDOW).unwrap_or(Timestamp::MAX);
    let index = usize::try_from(attempts.checked_sub(1)?).ok()?;
    let pause = SignedDuration::from_secs(*PAUSES_S.get(index)?);
    if now >= end {
        return None;
    }
    let pause = pause.mul_f64(1.0 + JITTER * (2.0 * dice.clamp(0.0, 1.0) - 1.0));
    let pause = retry_after.map_or(pause, |asked| pause.max(asked));
    Some(now.saturating_add(pause).unwrap_or(end).min(end))
}

/// What a `Retry-After` header says (RFC 9110, 10.2.3): seconds, or a date.
pub(super) fn retry_after(header: &str, now: Timestamp) -> Option<SignedDuration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        return Some(SignedDuration::from_secs(header.parse().unwrap_or(i64::from(u32::MAX))));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(header).ok()?;
    Some(at.duration_since(now).max(SignedDuration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn attempts_are_spread_over_a_day_and_then_end() {
        for dice in [0.0, 0.5, 1.0] {
            let (mut now, mut pauses) = (at(0), Vec::new());
            for attempts in 1.. {
                let Some(next) = next_attempt(attempts, at(0), now, dice, None) else { break };
                pauses.push(next.duration_since(now).as_secs());
                now = next;
            }
            assert_eq!(pauses.len(), PAUSES_S.len(), "{pauses:?}");
            let hours = now.duration_since(at(0)).as_hours();
            assert!((21..=24).contains(&hours), "{hours} h: {pauses:?}");
            if dice == 0.5 {
                assert_eq!(pauses, PAUSES_S);
            }
        }
    }

    proptest! {
        /// Whatever endpoints ask for: a next attempt is in the future, never before it was asked for, never after the window.
        #[test]
        fn a_next_attempt_is_in_the_window(
            attempts in 0u32..20, elapsed in 0i64..200_000, dice in -1.0f64..2.0, asked in prop::option::of(0i64..1_000_000),
        ) {
            let (now, asked) = (at(elapsed), asked.map(SignedDuration::from_secs));
            match next_attempt(attempts, at(0), now, dice, asked) {
                Some(next) => {
                    prop_assert!(next > now && next <= at(24 * 3600));
                    if let Some(asked) = asked {
                        prop_assert!(next >= (now + asked).min(at(24 * 3600)));
                    }
                }
                None => prop_assert!(attempts == 0 || attempts > 7 || elapsed >= 24 * 3600),
            }
        }

        #[test]
        fn any_header_can_be_read(header in ".{0,60}") {
            if let Some(pause) = retry_after(&header, at(0)) {
                prop_assert!(pause >= SignedDuration::ZERO);
            }
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        assert_eq!(retry_after("120", now), Some(SignedDuration::from_secs(120)));
        assert_eq!(retry_after("Sun, 29 Nov 2026 12:01:00 GMT", now), Some(SignedDuration::from_secs(60)));
        assert_eq!(retry_after("Sun, 29 Nov 2026 11:00:00 GMT", now), Some(SignedDuration::ZERO));
        assert_eq!(retry_after("99999999999999999999999", now), Some(SignedDuration::from_secs(i64::from(u32::MAX))));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("", now), None);
    }
}
