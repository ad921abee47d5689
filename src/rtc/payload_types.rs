//! What the payload types of a connection mean, in descriptions and in packets. In a bundle of sections a number has one meaning
//! (RFC 9143 7.1.3), and who names it first is kept to. Descriptions fill it, the interceptors look up packets. It knows nothing of single
//! sections. Pure.

use crate::room::media::{Codec, MediaFormat, MediaKind, PacketFormat};
use crate::room::sdp::{PayloadFormat, Section};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parameter sets of a description that are kept for a payload type.
const MAX_SETS: usize = 16;

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

/// The payload types of a connection. What was negotiated once stays: packets of before a negotiation may still be under way.
#[derive(Debug, Default)]
pub(super) struct PayloadTypes(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// What numbers mean in descriptions.
    meanings: Vec<(u8, Meaning)>,
    /// What packets that come with them are.
    formats: HashMap<u8, PacketFormat>,
    /// Payload type of retransmissions -> that of what they repeat.
    repeated: HashMap<u8, u8>,
    parameter_sets: HashMap<u8, Vec<Bytes>>,
}

impl PayloadTypes {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A section of a description of theirs that is taken: their numbers are kept to, and so are the parameter sets of what they send.
    pub fn learn(&self, kind: MediaKind, formats: &[PayloadFormat]) {
        let mut table = self.lock();
        for format in formats {
            table.learn(format.payload_type, meaning(kind, format));
            if let Some(sets) = format.parameter("sprop-parameter-sets") {
                let sets = sets.split(',').take(MAX_SETS).filter_map(|set| BASE64_STANDARD.decode(set).ok());
                table.set_parameter_sets(format.payload_type, sets.map(Bytes::from).collect());
            }
        }
    }

    /// A description of ours that is sent: what we receive.
    pub fn describe_local(&self, sections: &[Section]) {
        let mut table = self.lock();
        sections.iter().for_each(|section| table.add(section));
    }

    /// The library bound a stream to a payload type.
    pub fn bound(&self, payload_type: u8, mime: &str) {
        if let Some(codec) = Codec::from_mime(mime) {
            self.lock().formats.entry(payload_type).or_insert_with(|| codec.into());
        }
    }

    /// What packets with a payload type are.
    pub fn format(&self, payload_type: u8) -> PacketFormat {
        self.lock().formats.get(&payload_type).cloned().unwrap_or_default()
    }

    /// The payload type of what retransmissions of this payload type repeat (`apt`).
    pub fn repeated(&self, payload_type: u8) -> Option<u8> {
        self.lock().repeated.get(&payload_type).copied()
    }

    /// The number of a format, from now on: the one that it has, or `default`, or else one that means nothing yet.
    pub fn number(&self, meaning: &Meaning, default: u8, reserved: &[u8]) -> u8 {
        let mut table = self.lock();
        let known = &mut table.meanings;
        if let Some((number, _)) = known.iter().find(|(_, known)| known == meaning) {
            return *number;
        }
        let free = |number: &u8| !known.iter().any(|(known, _)| known == number);
        let others = DYNAMIC.into_iter().flatten().filter(|number| free(number));
        let unreserved = others.clone().find(|number| !reserved.contains(number));
        let number = Some(default).filter(free).or(unreserved).or_else(|| others.clone().next()).unwrap_or(default);
        known.push((number, meaning.clone()));
        number
    }
}

impl Table {
    fn learn(&mut self, number: u8, meaning: Meaning) {
        if !self.meanings.contains(&(number, meaning.clone())) {
            self.meanings.retain(|(known, _)| *known != number);
            self.meanings.push((number, meaning));
        }
    }

    fn add(&mut self, section: &Section) {
        let Some(kind) = section.kind() else { return };
        for format in section.payload_formats() {
            let payload_type = format.payload_type;
            if format.name().eq_ignore_ascii_case("rtx") {
                self.formats.insert(payload_type, PacketFormat::Retransmission);
            } else if let Some(codec) = format.codec(kind) {
                let parameter_sets = self.parameter_sets.get(&payload_type).cloned().unwrap_or_default();
                let format = MediaFormat { codec, parameter_sets };
                // The same one stays: a stream takes another for a change.
                if !matches!(self.formats.get(&payload_type), Some(PacketFormat::Media(known)) if **known == format) {
                    self.formats.insert(payload_type, PacketFormat::Media(Arc::new(format)));
                }
            }
            if let Some(repeated) = format.repairs() {
                self.repeated.insert(payload_type, repeated);
            }
        }
    }

    fn set_parameter_sets(&mut self, payload_type: u8, sets: Vec<Bytes>) {
        if let Some(PacketFormat::Media(format)) = self.formats.get_mut(&payload_type)
            && format.parameter_sets != sets
        {
            *format = Arc::new(MediaFormat { codec: format.codec, parameter_sets: sets.clone() });
        }
        self.parameter_sets.insert(payload_type, sets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::sdp::Sdp;

    fn format(payload_type: u8, encoding: &str, parameters: &str) -> PayloadFormat {
        PayloadFormat { payload_type, encoding: encoding.into(), parameters: parameters.into(), feedback: Vec::new() }
    }

    #[test]
    fn one_number_has_one_meaning() {
        let types = PayloadTypes::default();
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
        let types = PayloadTypes::default();
        let many: Vec<PayloadFormat> = (0..128).map(|n| format(n, "x/1", "")).collect();
        types.learn(MediaKind::Video, &many);
        assert_eq!(types.number(&Meaning::Repair(1), 97, &[]), 97);
    }

    const OURS: &str = "v=0\r\nm=video 9 X 100 97 35\r\na=rtpmap:100 H264/90000\r\na=rtpmap:97 vp8/90000\r\n\
        a=rtpmap:35 rtx/90000\r\na=fmtp:35 apt=97\r\nm=audio 9 X 96\r\na=rtpmap:96 opus/48000/2\r\n";
    const THEIRS: &str = "v=0\r\nm=video 9 X 100\r\na=rtpmap:100 H264/90000\r\n\
        a=fmtp:100 packetization-mode=1; sprop-parameter-sets=Z0LAH4yNQCgC3QDwiEU4,aM48gA==\r\n";

    fn codec(types: &PayloadTypes, payload_type: u8) -> Option<(Codec, usize)> {
        match types.format(payload_type) {
            PacketFormat::Media(format) => Some((format.codec, format.parameter_sets.len())),
            _ => None,
        }
    }

    #[test]
    fn payload_types_stand_for_what_our_description_says() {
        let types = PayloadTypes::default();
        types.describe_local(&Sdp::sections_of(OURS));
        let codecs = [100, 97, 96].map(|payload_type| codec(&types, payload_type).map(|(codec, _)| codec));
        assert_eq!(codecs, [Some(Codec::H264), Some(Codec::Vp8), Some(Codec::Opus)]);
        assert!(matches!(types.format(35), PacketFormat::Retransmission));
        assert!(matches!(types.format(120), PacketFormat::Unknown));
        assert_eq!((types.repeated(35), types.repeated(97)), (Some(97), None));
        types.bound(120, "video/AV1");
        types.bound(97, "video/AV1");
        assert_eq!((codec(&types, 120), codec(&types, 97)), (Some((Codec::Av1, 0)), Some((Codec::Vp8, 0))));
    }

    fn learn(types: &PayloadTypes) {
        for section in Sdp::sections_of(THEIRS) {
            types.learn(MediaKind::Video, &section.payload_formats());
        }
    }

    #[test]
    fn parameter_sets_are_found_whoever_describes_first() {
        for ours_first in [true, false] {
            let types = PayloadTypes::default();
            if ours_first {
                types.describe_local(&Sdp::sections_of(OURS));
                learn(&types);
            } else {
                learn(&types);
                types.describe_local(&Sdp::sections_of(OURS));
            }
            assert_eq!(codec(&types, 100), Some((Codec::H264, 2)));
        }
    }
}
