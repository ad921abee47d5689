//! Which payload type means what. In a bundle of sections a number has one meaning (RFC 9143 7.1.3), and who names it first is kept to.
//! Pure.

use crate::room::media::{Codec, MediaKind};
use crate::room::sdp::PayloadFormat;
use std::ops::RangeInclusive;

/// Dynamic payload types, those that everybody takes first (RFC 3551 3, RFC 5761 4).
const DYNAMIC: [RangeInclusive<u8>; 2] = [96..=127, 35..=63];

/// What a payload type means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A codec of ours, and what of its parameters makes it another format.
    Codec(Codec, String),
    /// Retransmissions of this payload type.
    Repair(u8),
    /// Something that we do not know.
    Other(String),
}

/// What a format of a section of this kind means.
pub(super) fn meaning(kind: MediaKind, format: &PayloadFormat) -> Meaning {
    if let Some(repaired) = format.repairs() {
        return Meaning::Repair(repaired);
    }
    match format.codec(kind) {
        Some(codec) => Meaning::Codec(codec, profile(codec, format)),
        None => Meaning::Other(format!("{} {}", format.encoding.to_lowercase(), format.parameters)),
    }
}

fn profile(codec: Codec, format: &PayloadFormat) -> String {
    let value = |name: &str, default: &str| format.parameter(name).unwrap_or(default).to_lowercase();
    match codec {
        // RFC 6184 8.1: the level is no part of it; without a profile it is Baseline.
        Codec::H264 => {
            let profile: String = value("profile-level-id", "420010").chars().take(4).collect();
            format!("{profile}/{}", value("packetization-mode", "0"))
        }
        Codec::Vp9 => value("profile-id", "0"),
        Codec::Av1 => value("profile", "0"),
        Codec::Vp8 | Codec::Opus => String::new(),
    }
}

/// The payload types of a connection.
#[derive(Debug, Default)]
pub(super) struct PayloadTypes {
    known: Vec<(u8, Meaning)>,
}

impl PayloadTypes {
    /// The other side names these: its numbers are kept to.
    pub fn learn(&mut self, kind: MediaKind, formats: &[PayloadFormat]) {
        for format in formats {
            let (number, meaning) = (format.payload_type, meaning(kind, format));
            if !self.known.contains(&(number, meaning.clone())) {
                self.known.retain(|(known, _)| *known != number);
                self.known.push((number, meaning));
            }
        }
    }

    /// The number of a format, from now on: the one that it has, or `default`, or else one that means nothing yet.
    pub fn number(&mut self, meaning: &Meaning, default: u8, reserved: &[u8]) -> u8 {
        if let Some((number, _)) = self.known.iter().find(|(_, known)| known == meaning) {
            return *number;
        }
        let free = |number: &u8| !self.known.iter().any(|(known, _)| known == number);
        let others = DYNAMIC.into_iter().flatten().filter(|number| free(number));
        let unreserved = others.clone().find(|number| !reserved.contains(number));
        let number = Some(default).filter(free).or(unreserved).or_else(|| others.clone().next()).unwrap_or(default);
        self.known.push((number, meaning.clone()));
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(payload_type: u8, encoding: &str, parameters: &str) -> PayloadFormat {
        PayloadFormat { payload_type, encoding: encoding.into(), parameters: parameters.into(), feedback: Vec::new() }
    }

    #[test]
    fn one_number_has_one_meaning() {
        let mut types = PayloadTypes::default();
        let (vp8, opus) = (format(97, "VP8/90000", ""), format(96, "opus/48000/2", ""));
        types.learn(MediaKind::Audio, std::slice::from_ref(&opus));
        types.learn(MediaKind::Video, std::slice::from_ref(&vp8));
        assert_eq!(types.number(&meaning(MediaKind::Video, &vp8), 96, &[]), 97, "theirs is kept");
        let repair = types.number(&Meaning::Repair(97), 97, &[98]);
        assert_eq!(repair, 99, "neither VP8's nor Opus's nor one that we use otherwise");
        assert_eq!(types.number(&Meaning::Repair(97), 97, &[98]), repair, "from now on");
        types.learn(MediaKind::Video, &[format(99, "H264/90000", "packetization-mode=1;profile-level-id=42e01f")]);
        assert_ne!(types.number(&Meaning::Repair(97), 97, &[98]), 99, "they say otherwise");
    }

    #[test]
    fn formats_are_the_same_whatever_does_not_make_them_another() {
        let of = |parameters: &str| meaning(MediaKind::Video, &format(102, "h264/90000", parameters));
        let one = of("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f");
        assert_eq!(one, of("profile-level-id=42E034; packetization-mode=1"));
        assert_ne!(one, of("profile-level-id=42e01f"));
        assert_eq!(meaning(MediaKind::Video, &format(97, "rtx/90000", "apt=96")), Meaning::Repair(96));
        assert!(matches!(meaning(MediaKind::Audio, &format(8, "PCMA/8000", "")), Meaning::Other(_)));
    }

    #[test]
    fn numbers_that_run_out_are_no_reason_to_fail() {
        let mut types = PayloadTypes::default();
        let many: Vec<PayloadFormat> = (0..128).map(|n| format(n, "x/1", "")).collect();
        types.learn(MediaKind::Video, &many);
        assert_eq!(types.number(&Meaning::Repair(1), 97, &[]), 97);
    }
}
