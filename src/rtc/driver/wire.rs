//! The numbers of packets on the wire, which are those of the sections, and in the library, which keeps those that it was given first: the
//! other side may number its codecs and header extensions anew. It also gives packets of ours the name of their section.

use crate::room::media::Codec;
use crate::rtc::header_extensions::ExtensionIds;
use crate::rtc::sections::{Agreed, Sections};
use bytes::Bytes;
use rtc::rtp::header::{EXTENSION_PROFILE_ONE_BYTE, EXTENSION_PROFILE_TWO_BYTE, Extension, Header};
use rtc::sdp::extmap::SDES_MID_URI;
use std::collections::HashMap;

/// What one-byte headers can hold: the greatest number, and the most bytes (RFC 8285 4.2).
const ONE_BYTE: (u8, usize) = (14, 16);

/// How packets come in and go out.
#[derive(Default)]
pub(crate) struct Wire {
    /// Header extensions that come: number on the wire -> number in the library. None: nothing is settled yet.
    incoming: Option<HashMap<u8, u8>>,
    /// By source of ours.
    outgoing: HashMap<u32, Outgoing>,
}

/// How packets of a source of ours go out.
#[derive(Clone)]
struct Outgoing {
    payload_type: u8,
    /// Number in the library -> number on the wire.
    extensions: HashMap<u8, u8>,
    /// The name of the section. It is in every packet and not only in those before the first report (RFC 9143 15): whoever binds the
    /// stream later, after a negotiation or as another hop, finds it, and it costs three bytes.
    mid: Option<Extension>,
    /// A stream has headers of one form (RFC 8285 4.1.2).
    two_byte: bool,
}

impl Wire {
    /// `own`: sources of ours, with their codec and what repeats them.
    pub(crate) fn new(sections: &Sections, library: &ExtensionIds, own: &HashMap<u32, (Codec, Option<u32>)>) -> Wire {
        let mut wire = Wire::default();
        if sections.generation() > 0 {
            let incoming = |(id, uri): (u8, &str)| Some((id, library.get(uri)?));
            let received = sections.received_extensions().map(|extension| (extension.id, extension.uri.as_str()));
            // The first section that has a number says what it means.
            wire.incoming = Some(received.filter_map(incoming).fold(HashMap::new(), |mut all, (id, number)| {
                all.entry(id).or_insert(number);
                all
            }));
        }
        for (ssrc, (codec, repair)) in own {
            let Some(section) = sections.of_own(*ssrc) else { continue };
            let Some((payload_type, repair_type)) = section.sends_as(*codec) else { continue };
            let outgoing = Outgoing::new(section, library, payload_type);
            let repair = repair.zip(repair_type);
            wire.outgoing
                .extend(repair.map(|(ssrc, payload_type)| (ssrc, Outgoing { payload_type, ..outgoing.clone() })));
            wire.outgoing.insert(*ssrc, outgoing);
        }
        wire
    }

    /// A packet of theirs, as the library and its interceptors read it.
    pub(crate) fn read(&self, header: &mut Header) {
        let Some(incoming) = &self.incoming else { return };
        header.extensions.retain_mut(|extension| match incoming.get(&extension.id) {
            Some(id) => {
                extension.id = *id;
                true
            }
            None => false,
        });
    }

    /// A packet of ours, as it is sent.
    pub(crate) fn write(&self, header: &mut Header) {
        let Some(Outgoing { payload_type, extensions, mid, two_byte }) = self.outgoing.get(&header.ssrc) else {
            return;
        };
        header.payload_type = *payload_type;
        let sent = std::mem::take(&mut header.extensions);
        let sent = sent
            .into_iter()
            .filter_map(|Extension { id, payload }| Some(Extension { id: *extensions.get(&id)?, payload }));
        let fits = |extension: &Extension| *two_byte || (1..=ONE_BYTE.1).contains(&extension.payload.len());
        header.extensions = sent.chain(mid.clone()).filter(fits).collect();
        header.extension = !header.extensions.is_empty();
        header.extension_profile = if *two_byte { EXTENSION_PROFILE_TWO_BYTE } else { EXTENSION_PROFILE_ONE_BYTE };
        header.extensions_padding = 0;
    }
}

impl Outgoing {
    fn new(section: &Agreed, library: &ExtensionIds, payload_type: u8) -> Outgoing {
        let sent = || section.extensions.iter().filter(|extension| extension.sends);
        let extensions = sent().filter_map(|extension| Some((library.get(&extension.uri)?, extension.id))).collect();
        let mid = section.sent_extension(SDES_MID_URI).filter(|_| section.mid.len() <= usize::from(u8::MAX));
        let mid = mid.map(|id| Extension { id, payload: Bytes::copy_from_slice(section.mid.as_bytes()) });
        let two_byte = sent().any(|extension| extension.id > ONE_BYTE.0)
            || mid.as_ref().is_some_and(|mid| mid.payload.len() > ONE_BYTE.1);
        Outgoing { payload_type, extensions, mid, two_byte }
    }
}

#[cfg(test)]
mod tests;
