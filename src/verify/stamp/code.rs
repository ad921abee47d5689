//! What a stamp says, as bits: the word in a picture (64 bits) and the word in a chirp (32 bits), each with its check code.
//! Pure arithmetic; it knows neither pixels nor samples.

/// Frame numbers wrap at this: nearly five hours at 60 pictures a second.
pub const FRAMES: u32 = 1 << 20;
/// Mark numbers (two a second) wrap at this: 34 minutes.
pub const MARKS: u32 = 1 << 12;
/// Pictures a second that a stamp can name.
pub const RATES: [u32; 16] = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24, 25, 30, 50, 60];
/// How many wrong bits of a picture's word are mended at most. The code's distance is 8: more would be guessing.
const MENDED: u32 = 3;
/// Among how many of the least certain bits the wrong ones are looked for.
const DOUBTED: usize = 8;

/// Which frame of whom a picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameStamp {
    pub participant: u8,
    /// Pictures a second of the source, one of [`RATES`].
    pub rate: u32,
    /// Below [`FRAMES`].
    pub number: u32,
}

/// Which half second of whose sound it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MarkStamp {
    pub participant: u8,
    /// Below [`MARKS`].
    pub number: u32,
}

impl FrameStamp {
    /// The word in the picture, most significant bit first: participant (8), rate (4), number (20), CRC-32C of these (32).
    /// None where the rate cannot be named.
    pub fn word(self) -> Option<u64> {
        let rate = RATES.iter().position(|rate| *rate == self.rate)? as u32;
        let says = u32::from(self.participant) << 24 | rate << 20 | (self.number % FRAMES);
        Some(u64::from(says) << 32 | u64::from(crc32c(says)))
    }

    fn from_word(word: u64) -> FrameStamp {
        let says = (word >> 32) as u32;
        let rate = RATES.get((says >> 20 & 0xf) as usize).copied().unwrap_or(1);
        FrameStamp { participant: (says >> 24) as u8, rate, number: says % FRAMES }
    }

    /// Reads a word from how certainly each of its bits is set (positive: 1; negative: 0; the size is the certainty). Up to
    /// three wrong bits are mended where they are among the eight least certain ones. None where the check code disagrees.
    pub fn read(bits: &[f32; 64]) -> Option<FrameStamp> {
        let word = bits.iter().fold(0u64, |word, bit| word << 1 | u64::from(*bit > 0.0));
        let wrong = crc32c((word >> 32) as u32) ^ word as u32;
        if wrong == 0 {
            return Some(FrameStamp::from_word(word));
        }
        let mut order: [usize; 64] = std::array::from_fn(|i| i);
        order.sort_by(|a, b| bits[*a].abs().total_cmp(&bits[*b].abs()));
        let doubted: [usize; DOUBTED] = std::array::from_fn(|i| order[i]);
        let mut best: Option<(f32, u64)> = None;
        for pattern in 1u32..1 << DOUBTED {
            if pattern.count_ones() > MENDED {
                continue;
            }
            let flipped = || doubted.iter().enumerate().filter(|(i, _)| pattern >> i & 1 == 1).map(|(_, bit)| *bit);
            if flipped().fold(wrong, |wrong, bit| wrong ^ SYNDROMES[bit]) == 0 {
                let cost: f32 = flipped().map(|bit| bits[bit].abs()).sum();
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, flipped().fold(word, |word, bit| word ^ 1 << (63 - bit))));
                }
            }
        }
        best.map(|(_, word)| FrameStamp::from_word(word))
    }
}

impl MarkStamp {
    /// The word in the chirp as eight symbols of four bits, most significant first: participant (8), number (12), CRC-12 (12).
    pub fn symbols(self) -> [u8; 8] {
        let says = u32::from(self.participant) << 12 | (self.number % MARKS);
        let word = says << 12 | crc12(says);
        std::array::from_fn(|i| (word >> (28 - 4 * i) & 0xf) as u8)
    }

    /// None where the check code disagrees.
    pub fn read(symbols: [u8; 8]) -> Option<MarkStamp> {
        let word = symbols.iter().fold(0u32, |word, symbol| word << 4 | u32::from(symbol & 0xf));
        let says = word >> 12;
        (crc12(says) == word & 0xfff).then_some(MarkStamp { participant: (says >> 12) as u8, number: says % MARKS })
    }
}

/// CRC-32C (Castagnoli) of four bytes, most significant first.
fn crc32c(says: u32) -> u32 {
    !linear(says, u32::MAX)
}

/// The remainder without the final inversion; linear in `says` and `start`.
const fn linear(says: u32, start: u32) -> u32 {
    let mut crc = start ^ says;
    let mut bit = 0;
    while bit < 32 {
        crc = if crc >> 31 == 1 { crc << 1 ^ 0x1EDC_6F41 } else { crc << 1 };
        bit += 1;
    }
    crc
}

/// What a single wrong bit of the word does to the check.
const SYNDROMES: [u32; 64] = {
    let mut syndromes = [0; 64];
    let mut bit = 0;
    while bit < 32 {
        syndromes[bit] = linear(1 << (31 - bit), 0);
        syndromes[bit + 32] = 1 << (31 - bit);
        bit += 1;
    }
    syndromes
};

/// CRC-12 (0x80F) of 20 bits. Never zero for silence: it starts from ones.
fn crc12(says: u32) -> u32 {
    let mut crc = 0xfff;
    for bit in (0..20).rev() {
        let top = crc >> 11 & 1;
        crc = crc << 1 & 0xfff;
        if top ^ (says >> bit & 1) == 1 {
            crc ^= 0x80f;
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn soft(word: u64) -> [f32; 64] {
        std::array::from_fn(|i| if word >> (63 - i) & 1 == 1 { 1.0 } else { -1.0 })
    }

    fn frame() -> impl Strategy<Value = FrameStamp> {
        (any::<u8>(), 0usize..16, 0..FRAMES).prop_map(|(participant, rate, number)| FrameStamp {
            participant,
            rate: RATES[rate],
            number,
        })
    }

    proptest! {
        #[test]
        fn a_word_comes_back(stamp in frame()) {
            prop_assert_eq!(FrameStamp::read(&soft(stamp.word().unwrap())), Some(stamp));
        }

        #[test]
        fn up_to_three_doubtful_bits_are_mended(stamp in frame(), wrong in prop::collection::btree_set(0usize..64, 0..=3)) {
            let mut bits = soft(stamp.word().unwrap());
            wrong.iter().for_each(|bit| bits[*bit] *= -0.3);
            prop_assert_eq!(FrameStamp::read(&bits), Some(stamp));
        }

        #[test]
        fn certain_errors_are_noticed(stamp in frame(), wrong in prop::collection::btree_set(0usize..64, 1..=4)) {
            let mut bits = soft(stamp.word().unwrap());
            // The doubtful ones are other bits: what is mended must not make another word of it.
            wrong.iter().for_each(|bit| bits[*bit] *= -2.0);
            prop_assert_eq!(FrameStamp::read(&bits), None);
        }

        #[test]
        fn a_mark_comes_back_and_a_wrong_symbol_is_noticed(participant: u8, number in 0..MARKS, at in 0usize..8, add in 1u8..16) {
            let mark = MarkStamp { participant, number };
            let mut symbols = mark.symbols();
            prop_assert_eq!(MarkStamp::read(symbols), Some(mark));
            symbols[at] ^= add;
            prop_assert_eq!(MarkStamp::read(symbols), None);
        }
    }

    #[test]
    fn the_check_codes_are_the_ones_that_are_documented() {
        // Computed by another program: the examples in docs/stamp.md.
        let frame = FrameStamp { participant: 1, rate: 30, number: 123 };
        assert_eq!(frame.word(), Some(0x01d0_007b_4344_c8ed));
        let mark = MarkStamp { participant: 1, number: 123 };
        assert_eq!(mark.symbols(), [0, 1, 0, 7, 11, 1, 7, 1]);
        assert!((0..64).all(|bit| SYNDROMES[bit] != 0));
        assert_eq!(FrameStamp { participant: 1, rate: 7, number: 0 }.word(), None);
    }

    /// Two words differ in at least eight places, or three errors could not be mended: checked for all differences of up to
    /// two bits of what is said, which are those with the fewest bits in all, and for many others.
    #[test]
    fn words_lie_far_apart() {
        let weight = |says: u32| says.count_ones() + linear(says, 0).count_ones();
        for a in 0..32u32 {
            for b in 0..32u32 {
                for c in 0..32u32 {
                    let says = 1 << a | 1 << b | 1 << c;
                    assert!(weight(says) >= 8, "{says:08x}");
                }
            }
        }
        let least = (1..200_000u32).map(|n| weight(n.wrapping_mul(0x9E37_79B1))).min();
        assert!(least >= Some(8), "{least:?}");
    }
}
