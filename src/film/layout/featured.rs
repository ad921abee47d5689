//! Whose face is the most important one, from who speaks: with hysteresis, so that a film does not flicker. Pure; causal, so
//! that it says the same while a meeting runs and afterwards.

/// Somebody else must speak for so long, in milliseconds, before the place goes to them.
const TAKE_OVER_MS: u64 = 700;
/// Nobody loses the place sooner than this, in milliseconds.
const STAY_MS: u64 = 2500;

/// From `changes` of who speaks (session milliseconds, in order; `None`: nobody), who has the place from when. In pauses it
/// stays with who spoke last.
pub fn featured(changes: &[(u64, Option<usize>)]) -> Vec<(u64, usize)> {
    let mut places: Vec<(u64, usize)> = Vec::new();
    let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([u64::MAX]);
    for ((start, who), end) in changes.iter().zip(ends) {
        let Some(who) = who else { continue };
        let at = match places.last() {
            Some((_, last)) if last == who => continue,
            Some((since, _)) => (start + TAKE_OVER_MS).max(since + STAY_MS),
            // Nobody has to be waited for.
            None => *start,
        };
        if at < end {
            places.push((at, *who));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_place_goes_to_who_goes_on_speaking() {
        let (a, b) = (Some(1), Some(2));
        assert_eq!(featured(&[(500, a), (1500, None), (9000, b), (12_000, None)]), [(500, 1), (9700, 2)]);
        // A word in between changes nothing, and neither does a change right after another.
        assert_eq!(featured(&[(0, a), (5000, b), (5600, a)]), [(0, 1)]);
        assert_eq!(featured(&[(0, a), (100, b), (9000, None)]), [(0, 1), (2500, 2)]);
        assert_eq!(featured(&[(0, a), (100, b), (2400, a)]), [(0, 1)]);
        assert_eq!(featured(&[]), []);
    }

    proptest! {
        #[test]
        fn it_never_flickers(steps in prop::collection::vec((1u64..3000, prop::option::of(0usize..4)), 0..60)) {
            let mut at = 0;
            let changes: Vec<_> = steps.into_iter().map(|(step, who)| { at += step; (at, who) }).collect();
            let places = featured(&changes);
            for pair in places.windows(2) {
                prop_assert!(pair[1].0 >= pair[0].0 + STAY_MS && pair[1].1 != pair[0].1);
            }
        }
    }
}
