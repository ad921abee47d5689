//! The content of stamps as bits: 64 bits in a frame and 32 bits in a mark, each with a CRC. Pure; it knows neither pixels nor samples.

/// Frame numbers wrap at this: almost five hours at 60 frames a second.
pub const FRAME_NUMBERS: u32 = 1 << 20;
/// Mark numbers (two a second) wrap at this: 34 minutes.
pub const MARK_NUMBERS: u32 = 1 << 12;
/// Frame rates that a stamp can encode.
pub const FRAME_RATES: [u32; 16] = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24, 25, 30, 50, 60];
/// Maximum number of corrected bits. The minimum distance of the code is 8, so no more can be corrected.
const MAX_CORRECTED: u32 = 3;
/// Number of least certain bits among which errors are searched.
const UNCERTAIN: usize = 8;

/// The stamp of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameStamp {
    /// Participant number.
    pub participant: u8,
    /// Frame rate of the source, one of [`FRAME_RATES`].
    pub rate: u32,
    /// Frame number, below [`FRAME_NUMBERS`].
    pub number: u32,
}

/// The stamp of half a second of audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MarkStamp {
    /// Participant number.
    pub participant: u8,
    /// Mark number, below [`MARK_NUMBERS`].
    pub number: u32,
}

impl FrameStamp {
    /// The bits in the frame, most significant first: participant (8), rate (4), number (20), CRC-32C of these (32).
    /// None if the rate cannot be encoded.
    pub fn word(self) -> Option<u64> {
        let rate = FRAME_RATES.iter().position(|rate| *rate == self.rate)? as u32;
        let payload = u32::from(self.participant) << 24 | rate << 20 | (self.number % FRAME_NUMBERS);
        Some(u64::from(payload) << 32 | u64::from(crc32c(payload)))
    }

    fn from_word(word: u64) -> FrameStamp {
        let payload = (word >> 32) as u32;
        let rate = FRAME_RATES.get((payload >> 20 & 0xf) as usize).copied().unwrap_or(1);
        FrameStamp { participant: (payload >> 24) as u8, rate, number: payload % FRAME_NUMBERS }
    }

    /// Decodes 64 soft bits (positive: 1, negative: 0, magnitude: certainty). Corrects up to three errors among the eight least certain
    /// bits. None if the CRC does not match.
    pub fn read(bits: &[f32; 64]) -> Option<FrameStamp> {
        let word = bits.iter().fold(0u64, |word, bit| word << 1 | u64::from(*bit > 0.0));
        let wrong = crc32c((word >> 32) as u32) ^ word as u32;
        if wrong == 0 {
            return Some(FrameStamp::from_word(word));
        }
        let mut order: [usize; 64] = std::array::from_fn(|i| i);
        order.sort_by(|a, b| bits[*a].abs().total_cmp(&bits[*b].abs()));
        let uncertain: [usize; UNCERTAIN] = std::array::from_fn(|i| order[i]);
        let mut best: Option<(f32, u64)> = None;
        for pattern in 1u32..1 << UNCERTAIN {
            if pattern.count_ones() > MAX_CORRECTED {
                continue;
            }
            let flipped = || uncertain.iter().enumerate().filter(|(i, _)| pattern >> i & 1 == 1).map(|(_, bit)| *bit);
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
    /// The bits in the mark as eight symbols of four bits, most significant first: participant (8), number (12), CRC-12 (12).
    pub fn symbols(self) -> [u8; 8] {
        let payload = u32::from(self.participant) << 12 | (self.number % MARK_NUMBERS);
        let word = payload << 12 | crc12(payload);
        std::array::from_fn(|i| (word >> (28 - 4 * i) & 0xf) as u8)
    }

    /// Decodes eight symbols. None if the CRC does not match.
    pub fn read(symbols: [u8; 8]) -> Option<MarkStamp> {
        let word = symbols.iter().fold(0u32, |word, symbol| word << 4 | u32::from(symbol & 0xf));
        let payload = word >> 12;
        (crc12(payload) == word & 0xfff)
            .then_some(MarkStamp { participant: (payload >> 12) as u8, number: payload % MARK_NUMBERS })
    }
}

/// CRC-32C (Castagnoli) of four bytes, most significant first.
fn crc32c(payload: u32) -> u32 {
    !linear(payload, u32::MAX)
}

/// The remainder without the final inversion; linear in `payload` and `start`.
const fn linear(payload: u32, start: u32) -> u32 {
    let mut crc = start ^ payload;
    let mut bit = 0;
    while bit < 32 {
        crc = if crc >> 31 == 1 { crc << 1 ^ 0x1EDC_6F41 } else { crc << 1 };
        bit += 1;
    }
    crc
}

/// The CRC error of each single wrong bit.
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

/// CRC-12 (0x80F) of 20 bits. It starts from ones, so zeros do not have a valid CRC.
fn crc12(payload: u32) -> u32 {
    let mut crc = 0xfff;
    for bit in (0..20).rev() {
        let top = crc >> 11 & 1;
        crc = crc << 1 & 0xfff;
        if top ^ (payload >> bit & 1) == 1 {
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
        (any::<u8>(), 0usize..16, 0..FRAME_NUMBERS).prop_map(|(participant, rate, number)| FrameStamp {
            participant,
            rate: FRAME_RATES[rate],
            number,
        })
    }

    proptest! {
        #[test]
        fn a_frame_stamp_round_trips(stamp in frame()) {
            prop_assert_eq!(FrameStamp::read(&soft(stamp.word().unwrap())), Some(stamp));
        }

        #[test]
        fn up_to_three_uncertain_bits_are_corrected(stamp in frame(), wrong in prop::collection::btree_set(0usize..64, 0..=3)) {
            let mut bits = soft(stamp.word().unwrap());
            wrong.iter().for_each(|bit| bits[*bit] *= -0.3);
            prop_assert_eq!(FrameStamp::read(&bits), Some(stamp));
        }

        #[test]
        fn certain_errors_are_detected(stamp in frame(), wrong in prop::collection::btree_set(0usize..64, 1..=4)) {
            let mut bits = soft(stamp.word().unwrap());
            // The uncertain bits are other ones: correction must not produce another valid word.
            wrong.iter().for_each(|bit| bits[*bit] *= -2.0);
            prop_assert_eq!(FrameStamp::read(&bits), None);
        }

        #[test]
        fn a_mark_round_trips_and_a_wrong_symbol_is_detected(participant: u8, number in 0..MARK_NUMBERS, at in 0usize..8, add in 1u8..16) {
            let mark = MarkStamp { participant, number };
            let mut symbols = mark.symbols();
            prop_assert_eq!(MarkStamp::read(symbols), Some(mark));
            symbols[at] ^= add;
            prop_assert_eq!(MarkStamp::read(symbols), None);
        }
    }

    #[test]
    fn the_check_codes_match_the_documentation() {
        // The examples in docs/stamp.md, computed by another program.
        let frame = FrameStamp { participant: 1, rate: 30, number: 123 };
        assert_eq!(frame.word(), Some(0x01d0_007b_4344_c8ed));
        let mark = MarkStamp { participant: 1, number: 123 };
        assert_eq!(mark.symbols(), [0, 1, 0, 7, 11, 1, 7, 1]);
        assert!((0..64).all(|bit| SYNDROMES[bit] != 0));
        assert_eq!(FrameStamp { participant: 1, rate: 7, number: 0 }.word(), None);
    }

    /// The minimum distance is 8, or three errors could not be corrected: checked for all differences of up to three payload bits,
    /// which have the lowest weights, and for many others.
    #[test]
    fn the_minimum_distance_is_8() {
        let weight = |payload: u32| payload.count_ones() + linear(payload, 0).count_ones();
        for a in 0..32u32 {
            for b in 0..32u32 {
                for c in 0..32u32 {
                    let payload = 1 << a | 1 << b | 1 << c;
                    assert!(weight(payload) >= 8, "{payload:08x}");
                }
            }
        }
        let least = (1..200_000u32).map(|n| weight(n.wrapping_mul(0x9E37_79B1))).min();
        assert!(least >= Some(8), "{least:?}");
    }
}
