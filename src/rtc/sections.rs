//! What two descriptions have settled, section by section: which stream belongs to which, and which numbers mean what in either direction.
//! Pure.
//!
//! A description need not name the sources of a section (RFC 8829 5.2.1), and the ones that come need not be those that it names. So a stream
//! belongs to the section whose name its packets carry (MID, RFC 9143 15), or whose description names its source, or that has its payload
//! type (RFC 9143 9.2).

use crate::room::media::{Codec, MediaKind};
use crate::room::sdp::{HeaderExtension, PayloadFormat, Sdp, Section};
use std::collections::HashMap;

/// Streams that may come without having been named; later ones are not received.
const MAX_UNNAMED: usize = 64;

/// One section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agreed {
    pub mid: String,
    pub kind: MediaKind,
    /// They may send in it.
    pub receives: bool,
    /// They may if they come to have something.
    listens: bool,
    /// We may.
    pub sends: bool,
    /// Media stream id and track id (`a=msid`) of theirs.
    pub stream: String,
    pub track: String,
    /// What they may send: payload types as our description has them.
    pub receivable: Vec<PayloadFormat>,
    /// What we may send: payload types as theirs has them.
    pub sendable: Vec<PayloadFormat>,
    pub extensions: Vec<Extension>,
    /// Sources that they name, each with the one that repeats its packets.
    named: Vec<(u32, Option<u32>)>,
    /// Those of them that are layers of the same picture.
    layers: Vec<u32>,
    /// Sources of ours.
    own: Vec<u32>,
}

/// A header extension that both know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extension {
    /// Its number in packets, as they have it.
    pub id: u8,
    pub uri: String,
    /// We may send it, they may.
    pub sends: bool,
    pub receives: bool,
}

/// What is looked at of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub ssrc: u32,
    pub payload_type: u8,
    /// The name of its section, if it carries one.
    pub mid: Option<&'a str>,
}

/// Where a packet belongs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A stream of media in this section, in this format; and the source that repeats it, if one is known.
    Media { section: usize, format: PayloadFormat, codec: Codec, repair: Option<u32> },
    /// It repeats packets of this source.
    Repair { primary: u32 },
}

/// The sections of a connection.
#[derive(Debug, Default)]
pub(super) struct Sections {
    all: Vec<Agreed>,
    /// Streams that were placed, each with its section, its payload type and what repeats it.
    placed: HashMap<u32, Placed>,
    /// How often descriptions have come into force.
    generation: u64,
    /// They have stopped to send in a section as soon as we sent in it, too.
    one_way: bool,
}

#[derive(Debug)]
struct Placed {
    mid: String,
    payload_type: u8,
    repair: Option<u32>,
}

impl Sections {
    /// Both descriptions are in force; theirs names every section. Returns the streams, placed here, that no longer come.
    pub fn agree(&mut self, ours: &Sdp, theirs: &Sdp) -> Vec<u32> {
        self.generation += 1;
        let before = std::mem::take(&mut self.all);
        self.all = theirs.sections.iter().filter_map(|their| Agreed::of(ours, their)).collect();
        self.one_way |= self.all.iter().any(|now| {
            let sent = |was: &Agreed| was.mid == now.mid && was.receives && !was.sends;
            now.listens && now.sends && !now.receives && before.iter().any(sent)
        });
        let ended = |placed: &Placed| !self.all.iter().any(|section| section.mid == placed.mid && section.receives);
        let ended: Vec<u32> = self.placed.iter().filter(|(_, placed)| ended(placed)).map(|(ssrc, _)| *ssrc).collect();
        ended.iter().for_each(|ssrc| drop(self.placed.remove(ssrc)));
        ended
    }

    /// A number that changes whenever descriptions come into force; 0 before.
    pub fn generation(&self) -> u64 {
        self.generation
    }
    /// The section of this number, as [`Place`] has it.
    pub fn get(&self, index: usize) -> Option<&Agreed> {
        self.all.get(index)
    }
    /// Whether there is a section of this kind on which we receive.
    pub fn receives(&self, kind: MediaKind) -> bool {
        self.all.iter().any(|section| section.kind == kind && section.listens)
    }
    /// Whether a section of theirs carries nothing of theirs any more once we send in it: what we send needs sections of its own.
    pub fn is_one_way(&self) -> bool {
        self.one_way
    }
    /// The section in which we send this source.
    pub fn of_own(&self, ssrc: u32) -> Option<&Agreed> {
        self.all.iter().find(|section| section.own.contains(&ssrc))
    }
    /// Header extensions that may come, over all sections: in a bundle a number has one meaning.
    pub fn received_extensions(&self) -> impl Iterator<Item = &Extension> {
        self.all.iter().flat_map(|section| &section.extensions).filter(|extension| extension.receives)
    }
    /// What a source is called that is one of several layers, where they are named by their sources (otherwise their packets have the names).
    pub fn layer(&self, ssrc: u32) -> Option<String> {
        self.all.iter().any(|section| section.layers.contains(&ssrc)).then(|| ssrc.to_string())
    }
    /// The stream has found its place otherwise.
    pub fn forget(&mut self, ssrc: u32) {
        self.placed.remove(&ssrc);
    }

    /// Where a source that has no place yet belongs; none: nowhere.
    pub fn place(&mut self, packet: Facts) -> Option<Place> {
        let at = self.find(packet)?;
        let section = &self.all[at];
        let format = section.receivable.iter().find(|format| format.payload_type == packet.payload_type)?.clone();
        if let Some(payload_type) = format.repairs() {
            let of_section = |placed: &Placed| placed.mid == section.mid && placed.payload_type == payload_type;
            let named = section.named.iter().find(|(_, repair)| *repair == Some(packet.ssrc)).map(|(ssrc, _)| *ssrc);
            let mut placed = self.placed.iter_mut().filter(|(ssrc, placed)| {
                of_section(placed) && named.map_or(placed.repair.is_none(), |named| named == **ssrc)
            });
            let (&primary, stream) = placed.next()?;
            // With several it is not known which one is repeated.
            if placed.next().is_some() {
                return None;
            }
            stream.repair = Some(packet.ssrc);
            return Some(Place::Repair { primary });
        }
        let codec = format.codec(section.kind)?;
        if self.placed.len() >= MAX_UNNAMED && !self.placed.contains_key(&packet.ssrc) {
            return None;
        }
        let repair = section.named.iter().find(|(ssrc, _)| *ssrc == packet.ssrc).and_then(|(_, repair)| *repair);
        let placed = Placed { mid: section.mid.clone(), payload_type: packet.payload_type, repair };
        self.placed.insert(packet.ssrc, placed);
        Some(Place::Media { section: at, format, codec, repair })
    }

    fn find(&self, packet: Facts) -> Option<usize> {
        let receives = |section: &Agreed| section.receives;
        if let Some(mid) = packet.mid {
            return self.all.iter().position(|section| section.mid == mid && receives(section));
        }
        let names = |section: &Agreed| {
            section.named.iter().any(|(ssrc, repair)| *ssrc == packet.ssrc || *repair == Some(packet.ssrc))
        };
        let named = self.all.iter().position(|section| receives(section) && names(section));
        named.or_else(|| {
            let has = |section: &Agreed| section.receivable.iter().any(|f| f.payload_type == packet.payload_type);
            let fitting = || self.all.iter().enumerate().filter(|(_, section)| receives(section) && has(section));
            let repairs = fitting().next().is_some_and(|(_, section)| {
                let mut formats = section.receivable.iter();
                formats.any(|f| f.payload_type == packet.payload_type && f.repairs().is_some())
            });
            // Sections with the same payload types are told apart by nothing: they get their streams in their order. Retransmissions
            // belong to where there is something that they can repeat.
            let empty = |section: &Agreed| {
                section.named.is_empty() && !self.placed.values().any(|placed| placed.mid == section.mid)
            };
            let wanted = fitting().find(|(_, section)| empty(section) != repairs);
            wanted.or_else(|| fitting().next()).map(|(at, _)| at)
        })
    }
}

impl Agreed {
    /// A section of theirs with the one of ours that has its name; none where it is refused, or carries no media.
    fn of(ours: &Sdp, their: &Section) -> Option<Agreed> {
        let (kind, mid) = (their.kind()?, their.mid()?);
        let our = ours.sections.iter().find(|our| our.mid() == Some(mid))?;
        if our.is_rejected() || their.is_rejected() {
            return None;
        }
        let (stream, track) = their.msid().unwrap_or(("-", None));
        let sends = |section: &Section| section.direction().unwrap_or_default().sends();
        let receives = |section: &Section| section.direction().unwrap_or_default().receives();
        let repairs = their.repair_ssrcs();
        let is_repair = |ssrc: u32| repairs.iter().any(|(_, repair)| *repair == ssrc);
        let named = |ssrc| (ssrc, repairs.iter().find(|(primary, _)| *primary == ssrc).map(|(_, repair)| *repair));
        Some(Agreed {
            mid: mid.to_owned(),
            kind,
            receives: sends(their) && receives(our),
            listens: receives(our),
            sends: sends(our) && receives(their),
            stream: stream.to_owned(),
            track: track.unwrap_or(mid).to_owned(),
            receivable: our.payload_formats(),
            sendable: their.payload_formats(),
            extensions: Extension::of(our, their),
            named: their.ssrcs().into_iter().filter(|ssrc| !is_repair(*ssrc)).map(named).collect(),
            layers: their.layer_ssrcs(),
            own: our.ssrcs(),
        })
    }

    /// The number of a header extension that we send.
    pub fn sent_extension(&self, uri: &str) -> Option<u8> {
        self.extensions.iter().find(|extension| extension.sends && extension.uri == uri).map(|extension| extension.id)
    }
    /// The payload type in which we send a codec, and the one of its retransmissions.
    pub fn sends_as(&self, codec: Codec) -> Option<(u8, Option<u8>)> {
        let number = self.sendable.iter().find(|format| format.codec(self.kind) == Some(codec))?.payload_type;
        Some((number, repair_of(&self.sendable, number)))
    }
    /// The payload type of retransmissions of another one that they send.
    pub fn repair_type(&self, payload_type: u8) -> Option<u8> {
        repair_of(&self.receivable, payload_type)
    }
}

impl Extension {
    /// Those that both descriptions of a section have, under their numbers: they read by these, and send under them.
    fn of(our: &Section, their: &Section) -> Vec<Extension> {
        let theirs = their.extensions();
        let both = |our: &HeaderExtension| {
            let same = || theirs.iter().filter(|their| their.uri == our.uri);
            let their = same().find(|their| their.id == our.id).or_else(|| same().next())?;
            let (ours, theirs) = (our.direction.unwrap_or_default(), their.direction.unwrap_or_default());
            Some(Extension {
                id: u8::try_from(their.id).ok().filter(|id| *id > 0)?,
                uri: our.uri.clone(),
                sends: ours.sends() && theirs.receives(),
                receives: ours.receives() && theirs.sends(),
            })
        };
        our.extensions().iter().filter_map(both).collect()
    }
}

fn repair_of(formats: &[PayloadFormat], payload_type: u8) -> Option<u8> {
    formats.iter().find(|format| format.repairs() == Some(payload_type)).map(|format| format.payload_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pictures and a sound without sources; the second picture has a payload type of its own.
    fn two_pictures() -> Sections {
        let text = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:cam\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\na=msid:face c\r\n\
            a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96 98 97\r\na=mid:scr\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\n\
            a=rtpmap:98 VP9/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
            m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:mic\r\na=sendonly\r\na=rtpmap:111 opus/48000/2\r\na=ssrc:7 cname:x\r\n";
        let theirs = Sdp::parse(text).expect("a description");
        let ours = Sdp::parse(&text.replace("sendonly", "recvonly")).expect("a description");
        let mut sections = Sections::default();
        assert!(sections.agree(&ours, &theirs).is_empty());
        sections
    }

    /// The section in which a packet finds its place.
    fn place(sections: &mut Sections, ssrc: u32, payload_type: u8, mid: Option<&str>) -> Option<String> {
        let Place::Media { section, .. } = sections.place(Facts { ssrc, payload_type, mid })? else { return None };
        sections.get(section).map(|section| section.mid.clone())
    }

    #[test]
    fn a_stream_is_told_by_its_name_then_its_source_then_its_payload_type() {
        let mut sections = two_pictures();
        let extensions: Vec<u8> = sections.received_extensions().map(|extension| extension.id).collect();
        assert_eq!(extensions, [4]);
        assert_eq!(place(&mut sections, 1, 96, Some("scr")).as_deref(), Some("scr"));
        assert_eq!(place(&mut sections, 7, 111, None).as_deref(), Some("mic"));
        assert_eq!(place(&mut sections, 2, 98, None).as_deref(), Some("scr"), "no other has that payload type");
        assert_eq!(place(&mut sections, 3, 96, None).as_deref(), Some("cam"), "the other has its stream");
        assert_eq!(place(&mut sections, 4, 96, Some("nobody")), None);
        assert_eq!(place(&mut sections, 4, 33, None), None);
    }

    #[test]
    fn layers_that_are_named_by_their_sources_are_known() {
        let text = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:cam\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\na=msid:face c\r\n\
            a=ssrc-group:SIM 1 2 3\r\na=ssrc:1 cname:x\r\na=ssrc:2 cname:x\r\na=ssrc:3 cname:x\r\na=ssrc:4 cname:x\r\n";
        let theirs = Sdp::parse(text).expect("a description");
        let ours = Sdp::parse(&text.replace("sendonly", "recvonly")).expect("a description");
        let mut sections = Sections::default();
        sections.agree(&ours, &theirs);
        assert_eq!([1, 2, 3, 4].map(|ssrc| sections.layer(ssrc).is_some()), [true, true, true, false]);
        assert_eq!(place(&mut sections, 2, 96, None).as_deref(), Some("cam"));
    }

    #[test]
    fn retransmissions_belong_to_the_stream_of_their_section() {
        let mut sections = two_pictures();
        assert_eq!(place(&mut sections, 9, 97, Some("cam")), None, "there is nothing yet that they could repeat");
        place(&mut sections, 1, 96, Some("cam"));
        let of = sections.place(Facts { ssrc: 9, payload_type: 97, mid: Some("cam") });
        assert_eq!(of, Some(Place::Repair { primary: 1 }));
        place(&mut sections, 2, 96, Some("scr"));
        let of = sections.place(Facts { ssrc: 10, payload_type: 97, mid: Some("scr") });
        assert_eq!(of, Some(Place::Repair { primary: 2 }));
    }

    #[test]
    fn streams_end_with_their_section_and_have_a_limit() {
        let mut sections = two_pictures();
        place(&mut sections, 1, 96, Some("scr"));
        place(&mut sections, 2, 96, Some("cam"));
        let theirs = Sdp::parse(
            "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:cam\r\na=rtpmap:96 VP8/90000\r\n",
        )
        .expect("a description");
        assert_eq!(sections.agree(&theirs, &theirs), [1]);
        let found = (100..300).filter(|ssrc| place(&mut sections, *ssrc, 96, None).is_some()).count();
        assert_eq!(found, MAX_UNNAMED - 1);
    }
}
