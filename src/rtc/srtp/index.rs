//! The index of a packet of a stream (RFC 3711 3.3.1), and which ones were there already (3.3.2). Pure.

/// Packets before the newest that are told apart.
pub(crate) const WINDOW: u64 = 128;
/// Indexes have 48 bits.
const MOST: u64 = (1 << 48) - 1;

/// Which indexes were there: the newest, and the [`WINDOW`] before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ReplayWindow {
    newest: Option<u64>,
    /// Bit `n`: the one `n` before the newest.
    seen: u128,
}

impl ReplayWindow {
    /// The newest index.
    pub fn newest(&self) -> Option<u64> {
        self.newest
    }
    /// Whether it was there already, or is too old to tell.
    pub fn is_replayed(&self, index: u64) -> bool {
        match self.newest {
            Some(newest) if index <= newest => {
                let behind = newest - index;
                behind >= WINDOW || self.seen & (1 << behind) != 0
            }
            _ => false,
        }
    }
    /// An authentic packet of this index came.
    pub fn insert(&mut self, index: u64) {
        match self.newest {
            Some(newest) if index <= newest => {
                let behind = newest - index;
                if behind < WINDOW {
                    self.seen |= 1 << behind;
                }
            }
            newest => {
                let by = newest.map_or(WINDOW, |newest| index - newest);
                self.seen = if by < WINDOW { (self.seen << by) | 1 } else { 1 };
                self.newest = Some(index);
            }
        }
    }
}

/// The index that a sequence number stands for, next to the newest one that is known; of a stream's first packet it is the sequence number.
/// Nothing where it would be beyond what a key may seal.
pub(crate) fn nearest(newest: Option<u64>, sequence: u16) -> Option<u64> {
    let Some(newest) = newest else { return Some(sequence.into()) };
    let distance = i64::from(sequence.wrapping_sub(newest as u16) as i16);
    // Before the first rollover nothing can be older.
    let index = newest.checked_add_signed(distance).unwrap_or(newest + u64::from(sequence.wrapping_sub(newest as u16)));
    (index <= MOST).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn sequence_numbers_roll_over_both_ways() {
        assert_eq!(nearest(None, 65_500), Some(65_500));
        assert_eq!(nearest(Some(65_500), 65_535), Some(65_535));
        assert_eq!(nearest(Some(65_535), 0), Some(65_536));
        assert_eq!(nearest(Some(65_536), 65_535), Some(65_535), "one that was overtaken");
        assert_eq!(nearest(Some(3), 65_535), Some(65_535), "there is nothing before the first");
        assert_eq!(nearest(Some(MOST), 0), None, "the key is used up");
    }

    proptest! {
        #[test]
        fn what_came_is_known_and_nothing_else(indexes in prop::collection::vec(0u64..400, 1..200)) {
            let mut window = ReplayWindow::default();
            let mut seen = HashSet::new();
            for index in indexes {
                let newest = seen.iter().max().copied();
                let too_old = newest.is_some_and(|newest: u64| index + WINDOW <= newest);
                prop_assert_eq!(window.is_replayed(index), seen.contains(&index) || too_old);
                window.insert(index);
                if !too_old {
                    seen.insert(index);
                }
                prop_assert_eq!(window.newest(), seen.iter().max().copied());
            }
        }

        #[test]
        fn a_stream_is_followed_over_rollovers(start in any::<u16>(), steps in prop::collection::vec(1u64..30_000, 1..100)) {
            let mut newest = None;
            let mut index = u64::from(start);
            for step in steps {
                prop_assert_eq!(nearest(newest, index as u16), Some(index));
                newest = Some(index);
                index += step;
            }
        }
    }
}
