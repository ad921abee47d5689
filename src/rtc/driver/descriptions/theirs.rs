//! A description of the other side: what of it we accept, and how the library reads it.

use crate::room::media::{Direction, MediaKind};
use crate::room::sdp::{HeaderExtension, Sdp, Section, SetupRole};
use crate::rtc::driver::descriptions::extensions;
use crate::rtc::driver::descriptions::formats::{for_library, taken};
use crate::rtc::header_extensions::ExtensionIds;
use crate::rtc::payload_types::PayloadTypes;
use rtc::sdp::extmap::SDES_MID_URI;
use std::collections::HashMap;

/// What is listed beside codecs (RFC 4733, RFC 3389, RFC 4588, RFC 2198, RFC 5109, RFC 8627).
const AIDS: [&str; 7] = ["telephone-event", "CN", "rtx", "red", "ulpfec", "flexfec", "flexfec-03"];
/// Codecs of a section that are named to people, and characters of such a name.
const MAX_NAMED: usize = 8;
const NAME_CHARS: usize = 32;

/// Their description.
pub(super) struct Theirs {
    sdp: Sdp,
    pub sections: Vec<TheirSection>,
    /// It puts its sections into one transport (RFC 9143).
    pub bundles: bool,
    /// Those of the sections that we accept.
    pub candidates: Vec<String>,
    /// The section whose transport carries all of them, where sections have credentials of their own.
    tagged: Option<usize>,
    /// What the numbers of header extensions mean in it.
    pub extensions: Vec<(u8, String)>,
    /// They read header extensions of both forms in one stream (`a=extmap-allow-mixed`, RFC 8285 6).
    pub mixes_extensions: bool,
}

/// One of its sections.
pub(super) struct TheirSection {
    /// As they wrote it, with a name and a direction in any case.
    pub section: Section,
    /// They gave the name.
    pub named: bool,
    /// It can be used: not refused by them, in the one transport that there is, and of a kind that we know.
    pub accepted: bool,
    /// A track of ours may be sent in it, or might, should we offer it.
    pub has_room: bool,
    /// Those of its header extensions that we take.
    pub extensions: Vec<HeaderExtension>,
    /// They use it, but it is in another transport.
    elsewhere: bool,
}

impl TheirSection {
    pub fn mid(&self) -> &str {
        self.section.mid().unwrap_or_default()
    }
}

/// Whether a section is one of ours to answer at all.
fn is_known(section: &Section) -> bool {
    section.kind().is_some() || section.is_data_channels()
}

impl Theirs {
    /// Reads it. `offer` is ours that it answers, if it does; `before` was in force until now.
    pub fn read(sdp: &Sdp, offer: Option<&Sdp>, before: Option<&Theirs>) -> Result<Theirs, String> {
        let session_direction = sdp.direction().unwrap_or_default();
        let session_extensions = sdp.session_extensions();
        let mut sections: Vec<TheirSection> = Vec::new();
        for (index, section) in sdp.sections.iter().enumerate() {
            let named = section.mid().is_some_and(|mid| !mid.is_empty());
            let mut section = section.clone();
            if !named {
                let ours = offer.and_then(|offer| offer.sections.get(index)?.mid()).map(str::to_owned);
                section.set("mid", &ours.unwrap_or_else(|| format!("section{index}")));
            }
            if section.direction().is_none() && section.kind().is_some() {
                section.set_direction(session_direction);
            }
            if !session_extensions.is_empty() && section.kind().is_some() {
                section.set_extensions(&[section.extensions(), session_extensions.clone()].concat());
            }
            if section.msid().is_none()
                && let Some(msid) = section.source_msid().map(str::to_owned)
            {
                section.set("msid", &msid);
            }
            // A track keeps its id for as long as its section lives, whether or not a later description repeats it (RFC 8829 5.10).
            if section.msid().is_none()
                && let Some(known) = before.and_then(|before| before.section(section.mid()?))
                && let Some((stream, track)) = known.section.msid()
            {
                section.set("msid", &format!("{stream} {}", track.unwrap_or_else(|| known.mid())));
            }
            if sections.iter().any(|known| known.section.mid() == section.mid()) {
                return Err(format!("two sections are called {:?}", section.mid().unwrap_or_default()));
            }
            sections.push(TheirSection {
                section,
                named,
                accepted: false,
                has_room: false,
                extensions: Vec::new(),
                elsewhere: false,
            });
        }
        let bundles = sdp.bundles();
        let usable = |section: &Section| is_known(section) && !(section.is_rejected());
        let transport = sections.iter().find(|known| usable(&known.section)).map(|first| first.mid().to_owned());
        for known in &mut sections {
            // Some who answer leave out the group that they follow.
            let together = offer.is_some() && bundles.is_empty()
                || transport.as_deref() == known.section.mid()
                || bundles.iter().any(|group| {
                    let has = |mid: Option<&str>| group.iter().any(|name| Some(name.as_str()) == mid);
                    has(transport.as_deref()) && has(known.section.mid())
                });
            known.accepted = usable(&known.section) && together;
            let direction = known.section.direction().unwrap_or_default();
            let offered = offer.and_then(|offer| offer.sections.iter().find(|our| our.mid() == known.section.mid()));
            let not_asked = offered.is_some_and(|our| !our.direction().unwrap_or_default().sends());
            known.has_room = known.accepted && (direction.receives() || not_asked);
            known.elsewhere = usable(&known.section) && !together;
        }
        let mut extensions = Vec::new();
        for known in sections.iter_mut().filter(|known| known.accepted) {
            let Some(kind) = known.section.kind() else { continue };
            known.extensions = extensions::taken(kind, &known.section.extensions(), &mut extensions);
            // Without names of theirs packets cannot have any.
            if !known.named && offer.is_none() {
                known.extensions.retain(|extension| extension.uri != SDES_MID_URI);
            }
        }
        let has = |name: &str| {
            let sections = sections.iter().filter(|known| known.accepted);
            let session = sdp.session_attributes().any(|(known, _)| known == name);
            session || sections.into_iter().any(|known| known.section.has(name))
        };
        if transport.is_none() {
            return Err("there is nothing in it that could be used".to_owned());
        }
        // The library finds this out when it has already taken the description, and is of no use afterwards.
        if let Some(missing) = ["ice-ufrag", "ice-pwd", "fingerprint"].into_iter().find(|name| !has(name)) {
            return Err(format!("it has no {missing}"));
        }
        // Sections may have a transport each until they are bundled; then it is that of the one that the group names first (RFC 9143 7.2).
        let names = bundles.iter().find(|group| group.iter().any(|name| Some(name) == transport.as_ref()));
        let tagged = names.into_iter().flatten().find(|name| {
            sections
                .iter()
                .any(|known| known.accepted && known.mid() == name.as_str() && known.section.has("ice-ufrag"))
        });
        let tagged = tagged.and_then(|name| sections.iter().position(|known| known.mid() == name));
        let ice = |known: &TheirSection| known.section.value("ice-ufrag").map(str::to_owned);
        let transport_ice = tagged.map(|tagged| ice(&sections[tagged]));
        let accepted = sections.iter().filter(|known| known.accepted);
        let same = accepted
            .filter(|known| transport_ice.is_none() || ice(known).is_none() || transport_ice == Some(ice(known)));
        let candidates = same.flat_map(|known| known.section.candidates().map(str::to_owned).collect::<Vec<_>>());
        let session = sdp.session_attributes().filter(|(name, _)| *name == "candidate").filter_map(|(_, value)| value);
        let candidates =
            candidates.chain(session.map(str::to_owned)).map(|value| format!("candidate:{value}")).collect();
        let mixes_extensions = has("extmap-allow-mixed");
        let bundles = !bundles.is_empty();
        Ok(Theirs { sdp: sdp.clone(), bundles, sections, candidates, tagged, extensions, mixes_extensions })
    }

    fn section(&self, mid: &str) -> Option<&TheirSection> {
        self.sections.iter().find(|known| known.mid() == mid)
    }

    /// What cannot be accepted of it.
    pub fn warnings(&self) -> Vec<String> {
        let elsewhere = self.sections.iter().filter(|known| known.elsewhere);
        let warning = |known: &TheirSection| {
            format!("they offer {} over a transport of its own (no BUNDLE), which is not received", media(known))
        };
        elsewhere.map(warning).collect()
    }

    /// What they send in formats none of which we take.
    pub fn unsupported(&self) -> Vec<String> {
        let sends = |known: &TheirSection| known.section.direction().unwrap_or_default().sends();
        let foreign = |(index, known): (usize, &TheirSection)| {
            (known.accepted && sends(known) && known.section.kind().is_some() && !self.has_format(index))
                .then(|| format!("they send {} in {}, which is not received", media(known), encodings(&known.section)))
        };
        self.sections.iter().enumerate().filter_map(foreign).collect()
    }

    /// It with the name of each section.
    pub fn named(&self) -> Sdp {
        let mut sdp = self.sdp.clone();
        sdp.sections = self.sections.iter().map(|known| known.section.clone()).collect();
        for (section, known) in sdp.sections.iter_mut().zip(&self.sections) {
            if !known.accepted {
                section.refuse();
            }
        }
        sdp
    }

    /// It as the library reads it.
    pub fn for_library(
        &self,
        our_role: SetupRole,
        (payload_types, extensions): (&PayloadTypes, &mut ExtensionIds),
        stand_ins: &mut HashMap<String, u32>,
    ) -> String {
        let mut sdp = self.sdp.clone();
        sdp.retain_attributes(|name| !matches!(name, "candidate" | "end-of-candidates" | "setup" | "extmap"));
        let accepted = self.sections.iter().filter(|known| known.accepted);
        sdp.set_bundle(&accepted.map(TheirSection::mid).collect::<Vec<_>>());
        // It looks for the first one only, and knows one hash function.
        let fingerprint = self.fingerprint();
        if let Some(fingerprint) = &fingerprint {
            sdp.retain_attributes(|name| name != "fingerprint");
            sdp.set_session_attribute("fingerprint", fingerprint);
        }
        // It wants the same credentials in all.
        if let Some(tagged) = self.tagged {
            let section = &self.sections[tagged].section;
            for name in ["ice-ufrag", "ice-pwd"] {
                if let Some(value) = section.value(name) {
                    sdp.set_session_attribute(name, value);
                }
            }
        }
        for (section, known) in sdp.sections.iter_mut().zip(&self.sections) {
            let mut read = known.section.clone();
            read.retain_attributes(|name, _| match name {
                "candidate" | "end-of-candidates" => false,
                "ice-ufrag" | "ice-pwd" => self.tagged.is_none(),
                "fingerprint" => fingerprint.is_none(),
                _ => true,
            });
            read.set("setup", our_role.opposite().unwrap_or(SetupRole::ActPass).value());
            if !known.accepted {
                read.retain_attributes(|name, _| matches!(name, "mid" | "setup"));
            }
            if let Some(kind) = known.section.kind() {
                let direction = known.section.direction().unwrap_or_default();
                // It stops an inactive section for good, and they may send there again.
                read.set_direction(match direction {
                    _ if !known.accepted => Direction::Inactive,
                    Direction::Inactive => Direction::RecvOnly,
                    direction => direction,
                });
                read.set_payload_formats(&for_library(kind, &known.section.payload_formats(), payload_types));
                read.set_extensions(&extensions::for_library(&known.extensions, extensions));
                if known.accepted && direction.sends() {
                    name_streams(&mut read, known.mid(), stand_ins);
                }
            }
            *section = read;
        }
        sdp.to_string()
    }

    /// The fingerprint that counts: with SHA-256, of the transport that we use.
    fn fingerprint(&self) -> Option<String> {
        let tagged = self.tagged.and_then(|tagged| self.sections.get(tagged));
        let accepted = tagged.into_iter().chain(self.sections.iter().filter(|known| known.accepted));
        let of_sections = accepted.flat_map(|known| {
            known.section.attributes().filter(|(name, _)| *name == "fingerprint").filter_map(|(_, value)| value)
        });
        let of_session = self.sdp.session_attributes().filter(|(name, _)| *name == "fingerprint");
        let mut all = of_sections.chain(of_session.filter_map(|(_, value)| value));
        all.find_map(|value| {
            let (hash, value) = value.trim().split_once(' ')?;
            hash.eq_ignore_ascii_case("sha-256").then(|| format!("sha-256 {}", value.trim()))
        })
    }

    /// Whether it leaves us anything to receive or send in a section.
    pub fn has_format(&self, index: usize) -> bool {
        self.sections.get(index).is_some_and(|known| match known.section.kind() {
            Some(kind) => !taken(kind, &known.section.payload_formats()).is_empty(),
            None => true,
        })
    }
}

/// What a section carries, for people.
fn media(known: &TheirSection) -> &'static str {
    match known.section.kind() {
        Some(MediaKind::Audio) => "sound",
        Some(MediaKind::Video) => "a picture",
        None => "data channels",
    }
}

/// The codecs of a section, for people. Some have numbers of their own and need not be named (RFC 3551 6).
fn encodings(section: &Section) -> String {
    let name = |format: &str| match (section.encoding_name(format), format) {
        (Some(name), _) => name.chars().filter(|c| !c.is_control()).take(NAME_CHARS).collect(),
        (None, "0") => "PCMU".to_owned(),
        (None, "8") => "PCMA".to_owned(),
        (None, "9") => "G722".to_owned(),
        (None, number) => format!("payload type {number}"),
    };
    let is_codec = |name: &String| !AIDS.iter().any(|aid| aid.eq_ignore_ascii_case(name));
    let mut names: Vec<String> = section.formats().map(name).filter(is_codec).take(MAX_NAMED).collect();
    names.dedup();
    if names.is_empty() { "no codec".to_owned() } else { names.join(", ") }
}

/// Names the streams of a section so that the library makes a receiver: it wants two ids and a source.
fn name_streams(section: &mut Section, mid: &str, stand_ins: &mut HashMap<String, u32>) {
    let (stream, track) = section.msid().map_or(("-", None), |(stream, track)| (stream, track));
    let stream = if stream.is_empty() { "-" } else { stream };
    let msid = format!("{stream} {}", track.unwrap_or(mid));
    section.set("msid", &msid);
    let has_layers = section.has("simulcast") || section.attributes().any(|(name, _)| name == "rid");
    if section.ssrcs().is_empty() && !has_layers {
        let ssrc = *stand_ins.entry(mid.to_owned()).or_insert_with(|| rand::random_range(1..u32::MAX));
        section.push("ssrc", Some(&format!("{ssrc} cname:-")));
    }
}
