//! The featured participant, from changes of the active speaker: with hysteresis, so that a film does not flicker. Pure, and causal:
//! the result is the same while a meeting goes on and afterwards.

/// How long another participant has to speak before they are featured, in milliseconds.
const TAKE_OVER_MS: u64 = 700;
/// How long a participant stays featured at least, in milliseconds.
const STAY_MS: u64 = 2500;

/// From `changes` of the active speaker (session milliseconds, sorted; `None`: nobody) to changes of the featured participant. In
/// pauses that is the last speaker.
pub fn featured(changes: &[(u64, Option<usize>)]) -> Vec<(u64, usize)> {
    let mut changed_to: Vec<(u64, usize)> = Vec::new();
    let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([u64::MAX]);
    for ((start, who), end) in changes.iter().zip(ends) {
        let Some(who) = who else { continue };
        let at = match changed_to.last() {
            Some((_, last)) if last == who => continue,
            Some((since, _)) => (start + TAKE_OVER_MS).max(since + STAY_MS),
            // The first speaker is featured at once.
            None => *start,
        };
        if at < end {
            changed_to.push((at, *who));
        }
    }
    changed_to
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
            let changed_to = featured(&changes);
            for pair in changed_to.windows(2) {
                prop_assert!(pair[1].0 >= pair[0].0 + STAY_MS && pair[1].1 != pair[0].1);
            }
        }
    }
}
