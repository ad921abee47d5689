//! A description of the other side: what of it we accept, and how the library reads it.

use crate::room::media::{Direction, MediaKind};
use crate::room::sdp::{Sdp, Section, SetupRole};
use crate::rtc::driver::descriptions::formats::{for_library, taken};
use crate::rtc::payload_types::PayloadTypes;
use std::collections::HashMap;

/// Their description.
pub(super) struct Theirs {
    sdp: Sdp,
    pub sections: Vec<TheirSection>,
    /// It puts its sections into one transport (RFC 9143).
    pub bundles: bool,
    /// Those of the sections that we accept.
    pub candidates: Vec<String>,
}

/// One of its sections.
pub(super) struct TheirSection {
    /// As they wrote it, with a name and a direction in any case.
    pub section: Section,
    /// They gave the name.
    pub named: bool,
    /// It can be used: not refused by them, in the one transport that there is, and of a kind that we know.
    pub accepted: bool,
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
    /// Reads it. `offer` is ours that it answers, if it does.
    pub fn read(sdp: &Sdp, offer: Option<&Sdp>) -> Result<Theirs, String> {
        let session_direction = sdp.direction().unwrap_or_default();
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
            if section.msid().is_none()
                && let Some(msid) = section.source_msid().map(str::to_owned)
            {
                section.set("msid", &msid);
            }
            if sections.iter().any(|known| known.section.mid() == section.mid()) {
                return Err(format!("two sections are called {:?}", section.mid().unwrap_or_default()));
            }
            sections.push(TheirSection { section, named, accepted: false, elsewhere: false });
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
            known.elsewhere = usable(&known.section) && !together;
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
        let accepted = sections.iter().filter(|known| known.accepted);
        let candidates = accepted.flat_map(|known| known.section.candidates().map(str::to_owned).collect::<Vec<_>>());
        let session = sdp.session_attributes().filter(|(name, _)| *name == "candidate").filter_map(|(_, value)| value);
        let candidates =
            candidates.chain(session.map(str::to_owned)).map(|value| format!("candidate:{value}")).collect();
        Ok(Theirs { sdp: sdp.clone(), bundles: !bundles.is_empty(), sections, candidates })
    }

    /// What cannot be accepted of it.
    pub fn warnings(&self) -> Vec<String> {
        let elsewhere = self.sections.iter().filter(|known| known.elsewhere);
        let warning = |known: &TheirSection| {
            let what = match known.section.kind() {
                Some(MediaKind::Audio) => "sound",
                Some(MediaKind::Video) => "a picture",
                None => "data channels",
            };
            format!("they offer {what} over a transport of its own (no BUNDLE), which is not received")
        };
        elsewhere.map(warning).collect()
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
        payload_types: &mut PayloadTypes,
        stand_ins: &mut HashMap<String, u32>,
    ) -> String {
        let mut sdp = self.sdp.clone();
        sdp.retain_attributes(|name| !matches!(name, "candidate" | "end-of-candidates" | "setup"));
        let accepted = self.sections.iter().filter(|known| known.accepted);
        sdp.set_bundle(&accepted.map(TheirSection::mid).collect::<Vec<_>>());
        // It looks for the first one only, and knows one hash function.
        let fingerprint = self.fingerprint();
        if let Some(fingerprint) = &fingerprint {
            sdp.retain_attributes(|name| name != "fingerprint");
            sdp.set_session_attribute("fingerprint", fingerprint);
        }
        for (section, known) in sdp.sections.iter_mut().zip(&self.sections) {
            let mut read = known.section.clone();
            read.retain_attributes(|name, _| match name {
                "candidate" | "end-of-candidates" => false,
                "fingerprint" => fingerprint.is_none(),
                _ => true,
            });
            read.set("setup", our_role.opposite().unwrap_or(SetupRole::ActPass).value());
            if !known.accepted {
                read.retain_attributes(|name, _| matches!(name, "mid" | "setup"));
            }
            if let Some(kind) = known.section.kind() {
                let direction = known.section.direction().unwrap_or_default();
                read.set_direction(if known.accepted { direction } else { Direction::Inactive });
                read.set_payload_formats(&for_library(kind, &known.section.payload_formats(), payload_types));
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
        let of_sections = self.sections.iter().filter(|known| known.accepted).flat_map(|known| {
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
