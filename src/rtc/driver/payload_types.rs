//! What the payload types of a connection stand for: what our descriptions say that we receive, and the parameter sets that the other
//! side's descriptions give for it. The driver reads descriptions, the interceptors look up packets.

use crate::room::media::{Codec, MediaFormat, PacketFormat};
use crate::room::sdp::{Sdp, Section};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parameter sets of a description that are kept for a payload type.
const MAX_SETS: usize = 16;

/// The payload types of a connection. What was negotiated once stays: packets of before a negotiation may still be under way.
#[derive(Debug, Default)]
pub(crate) struct PayloadTypes(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    formats: HashMap<u8, PacketFormat>,
    /// Payload type of retransmissions -> that of what they repeat.
    repeated: HashMap<u8, u8>,
    parameter_sets: HashMap<u8, Vec<Bytes>>,
}

impl PayloadTypes {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A description of ours: what we receive.
    pub fn describe_local(&self, sdp: &str) {
        let sections = Sdp::sections_of(sdp);
        let mut table = self.lock();
        sections.iter().for_each(|section| table.add(section));
    }

    /// A description of theirs, which comes before our answer or after our offer: what they say of what they send.
    pub fn describe_remote(&self, sections: &[Section]) {
        let mut table = self.lock();
        for format in sections.iter().flat_map(Section::payload_formats) {
            if let Some(sets) = format.parameter("sprop-parameter-sets") {
                let sets: Vec<Bytes> = sets
                    .split(',')
                    .take(MAX_SETS)
                    .filter_map(|set| BASE64_STANDARD.decode(set).ok())
                    .map(Bytes::from)
                    .collect();
                table.set_parameter_sets(format.payload_type, sets);
            }
        }
    }

    /// The library bound a stream to a payload type.
    pub fn bound(&self, payload_type: u8, mime: &str) {
        if let Some(codec) = Codec::from_mime(mime) {
            self.lock().formats.entry(payload_type).or_insert_with(|| codec.into());
        }
    }

    /// What a payload type stands for.
    pub fn format(&self, payload_type: u8) -> PacketFormat {
        self.lock().formats.get(&payload_type).cloned().unwrap_or_default()
    }

    /// The payload type of what retransmissions of this payload type repeat (`apt`).
    pub fn repeated(&self, payload_type: u8) -> Option<u8> {
        self.lock().repeated.get(&payload_type).copied()
    }
}

impl Table {
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
        types.describe_local(OURS);
        let codecs = [100, 97, 96].map(|payload_type| codec(&types, payload_type).map(|(codec, _)| codec));
        assert_eq!(codecs, [Some(Codec::H264), Some(Codec::Vp8), Some(Codec::Opus)]);
        assert!(matches!(types.format(35), PacketFormat::Retransmission));
        assert!(matches!(types.format(120), PacketFormat::Unknown));
        assert_eq!((types.repeated(35), types.repeated(97)), (Some(97), None));
        types.bound(120, "video/AV1");
        types.bound(97, "video/AV1");
        assert_eq!((codec(&types, 120), codec(&types, 97)), (Some((Codec::Av1, 0)), Some((Codec::Vp8, 0))));
    }

    #[test]
    fn parameter_sets_are_found_whoever_describes_first() {
        for ours_first in [true, false] {
            let types = PayloadTypes::default();
            if ours_first {
                types.describe_local(OURS);
                types.describe_remote(&Sdp::sections_of(THEIRS));
            } else {
                types.describe_remote(&Sdp::sections_of(THEIRS));
                types.describe_local(OURS);
            }
            assert_eq!(codec(&types, 100), Some((Codec::H264, 2)));
        }
    }
}
