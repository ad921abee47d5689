//! Session descriptions (SDP, RFC 8866 and RFC 8829) as typed values: read, changed, written. It decides nothing about a connection.
//!
//! Parsing and writing are the crate `sdp-types`. What an endpoint sent is relayed as its text, byte for byte; a description is parsed only
//! where something of it has to be known or changed. Written again it has the same lines, in the order of RFC 8866, each ending in CRLF.

use crate::room::media::{Codec, Direction, MediaKind};
use sdp_types::{Attribute, Media, Session};
use std::fmt;

mod section;

/// Which side begins the DTLS handshake (`a=setup`, RFC 8842 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupRole {
    /// The DTLS client.
    Active,
    /// The DTLS server.
    Passive,
    /// The answerer chooses; in offers only.
    ActPass,
}

impl SetupRole {
    fn parse(value: &str) -> Option<SetupRole> {
        match value {
            "active" => Some(SetupRole::Active),
            "passive" => Some(SetupRole::Passive),
            "actpass" => Some(SetupRole::ActPass),
            _ => None,
        }
    }
    /// Its word in SDP.
    pub fn value(self) -> &'static str {
        match self {
            SetupRole::Active => "active",
            SetupRole::Passive => "passive",
            SetupRole::ActPass => "actpass",
        }
    }
    /// The role that is left for the other side.
    pub fn opposite(self) -> Option<SetupRole> {
        match self {
            SetupRole::Active => Some(SetupRole::Passive),
            SetupRole::Passive => Some(SetupRole::Active),
            SetupRole::ActPass => None,
        }
    }
}

/// ICE user fragment and password (RFC 8839 5.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// `a=ice-ufrag`.
    pub ufrag: String,
    /// `a=ice-pwd`.
    pub pwd: String,
}

/// A session description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sdp {
    /// Everything before the first section; its `medias` are empty, for they are `sections`.
    session: Session,
    /// The media sections, in their order.
    pub sections: Vec<Section>,
}

/// One media section (`m=` and what follows it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section(Media);

/// One payload type of a section, with its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadFormat {
    /// The RTP payload type.
    pub payload_type: u8,
    /// The encoding of `a=rtpmap` (RFC 8866 6.6), for example `VP8/90000` or `opus/48000/2`.
    pub encoding: String,
    /// Format parameters (`a=fmtp`); empty: none.
    pub parameters: String,
    /// Values of `a=rtcp-fb` (RFC 4585 4.2), for example `nack pli`.
    pub feedback: Vec<String>,
}

/// One header extension of a section (`a=extmap`, RFC 8285 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderExtension {
    /// Its number in packets (1 to 14, with two-byte headers up to 255), or one of 4096 to 4351 that only offers it.
    pub id: u16,
    /// What it is.
    pub uri: String,
    /// Who sends it; none: whoever sends in the section.
    pub direction: Option<Direction>,
}

impl PayloadFormat {
    /// The name of its encoding, for example `VP8`.
    pub fn name(&self) -> &str {
        self.encoding.split('/').next().unwrap_or_default()
    }
    /// The codec, if it is one of ours.
    pub fn codec(&self, kind: MediaKind) -> Option<Codec> {
        let kind = if kind == MediaKind::Audio { "audio" } else { "video" };
        Codec::from_mime(&format!("{kind}/{}", self.name()))
    }
    /// Channels of sound; 1 where they are not given.
    pub fn channels(&self) -> u16 {
        self.encoding.split('/').nth(2).and_then(|channels| channels.trim().parse().ok()).unwrap_or(1)
    }
    /// A format parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self.parameters.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
    /// The payload type that it repeats, if it is for retransmissions (RFC 4588 8.6).
    pub fn repairs(&self) -> Option<u8> {
        self.name().eq_ignore_ascii_case("rtx").then(|| self.parameter("apt")?.parse().ok()).flatten()
    }
}

impl Sdp {
    /// Reads a description.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn parse(text: &str) -> Result<Sdp, String> {
        let mut session = Session::parse(text.as_bytes()).map_err(|e| e.to_string())?;
        let sections = std::mem::take(&mut session.medias).into_iter().map(Section).collect();
        Ok(Sdp { session, sections })
    }

    /// Changes a description that is text. One that cannot be read stays as it is: whoever applies it refuses it and says why.
    pub fn edit(text: &str, change: impl FnOnce(&mut Sdp)) -> String {
        match Sdp::parse(text) {
            Ok(mut sdp) => {
                change(&mut sdp);
                sdp.to_string()
            }
            Err(_) => text.to_owned(),
        }
    }

    /// The sections of a description that is text; none where it cannot be read.
    pub fn sections_of(text: &str) -> Vec<Section> {
        Sdp::parse(text).map(|sdp| sdp.sections).unwrap_or_default()
    }

    /// The session's id (`o=`, RFC 8866 5.2): it stays as long as the same connection is negotiated.
    pub fn session_id(&self) -> &str {
        &self.session.origin.sess_id
    }

    /// The direction that holds for sections without one.
    pub fn direction(&self) -> Option<Direction> {
        direction(&self.session.attributes)
    }

    /// Attributes before the first section, as `name` and `value`.
    pub fn session_attributes(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.session.attributes.iter().map(pair)
    }

    /// Header extensions that hold for every section (RFC 8285 5).
    pub fn session_extensions(&self) -> Vec<HeaderExtension> {
        let values = self.session.attributes.iter().filter_map(|attribute| named(attribute, "extmap"));
        values.filter_map(section::extension).collect()
    }

    /// Gives the session an attribute with this value, the only one of its name.
    pub fn set_session_attribute(&mut self, name: &str, value: &str) {
        self.session.attributes.retain(|attribute| attribute.attribute != name);
        self.session.attributes.push(attribute(name, Some(value)));
    }

    /// The names of the sections that share one transport (`a=group:BUNDLE`, RFC 9143), group by group.
    pub fn bundles(&self) -> Vec<Vec<String>> {
        let groups = self.session.attributes.iter().filter_map(|attribute| named(attribute, "group"));
        let names = groups.filter_map(|value| value.trim().strip_prefix("BUNDLE"));
        names.map(|names| names.split_ascii_whitespace().map(str::to_owned).collect()).collect()
    }

    /// Makes these sections share one transport; without any there is no group.
    pub fn set_bundle(&mut self, mids: &[impl AsRef<str>]) {
        self.session.attributes.retain(|attribute| {
            !named(attribute, "group").is_some_and(|value| value.trim_start().starts_with("BUNDLE"))
        });
        if !mids.is_empty() {
            let value = mids.iter().fold("BUNDLE".to_owned(), |group, mid| format!("{group} {}", mid.as_ref()));
            self.session.attributes.push(attribute("group", Some(&value)));
        }
    }

    /// The value of an attribute of the session or of the first section that has it.
    pub fn first_value(&self, name: &str) -> Option<&str> {
        let sections = self.sections.iter().flat_map(|section| &section.0.attributes);
        self.session.attributes.iter().chain(sections).find_map(|attribute| named(attribute, name))
    }

    /// The name (`a=mid`) of the first section that has one.
    pub fn first_mid(&self) -> Option<&str> {
        self.sections.iter().find_map(|section| section.value("mid"))
    }

    /// The first DTLS role of the description.
    pub fn setup_role(&self) -> Option<SetupRole> {
        SetupRole::parse(self.first_value("setup")?.trim())
    }

    /// Sets the DTLS role everywhere that one is given.
    pub fn set_setup_role(&mut self, role: SetupRole) {
        self.replace("setup", role.value());
    }

    /// The first ICE credentials of the description; bundled sections have the same.
    pub fn ice_credentials(&self) -> Option<IceCredentials> {
        let value = |name| self.first_value(name).map(|value| value.trim_end().to_owned());
        Some(IceCredentials { ufrag: value("ice-ufrag")?, pwd: value("ice-pwd")? })
    }

    /// Gives other ICE credentials, and removes the candidates of the old ones (RFC 8839 4.4.1.1.1).
    pub fn restart_ice(&mut self, new: &IceCredentials) {
        self.replace("ice-ufrag", &new.ufrag);
        self.replace("ice-pwd", &new.pwd);
        self.retain_attributes(|name| !matches!(name, "candidate" | "end-of-candidates"));
    }

    /// The candidates in it, each with its `candidate:`.
    pub fn candidates(&self) -> impl Iterator<Item = String> + '_ {
        let values = self.all().filter_map(|attribute| named(attribute, "candidate"));
        values.map(|value| format!("candidate:{value}"))
    }

    /// Adds candidates (each with its `candidate:`) to the first section: everything is bundled into that one. Those that it has already
    /// are not repeated, and there are no more of them afterwards (`a=end-of-candidates`, RFC 8838 8.2).
    pub fn add_candidates(&mut self, candidates: &[impl AsRef<str>]) {
        let known: Vec<String> = self.candidates().collect();
        let ended = self.all().any(|attribute| attribute.attribute == "end-of-candidates");
        let Some(first) = self.sections.first_mut() else { return };
        for candidate in candidates.iter().map(AsRef::as_ref) {
            if !known.iter().any(|known| known.contains(candidate))
                && let Some((name, value)) = candidate.split_once(':')
            {
                first.push(name, Some(value));
            }
        }
        if !ended {
            first.push("end-of-candidates", None);
        }
    }

    /// Keeps only the attributes whose names satisfy `keep`, of the session and of every section.
    pub fn retain_attributes(&mut self, keep: impl Fn(&str) -> bool) {
        self.session.attributes.retain(|attribute| keep(&attribute.attribute));
        for section in &mut self.sections {
            section.0.attributes.retain(|attribute| keep(&attribute.attribute));
        }
    }

    /// Sets the direction, of the session and of each section, wherever it is `from`.
    pub fn replace_direction(&mut self, from: Direction, to: Direction) {
        replace_direction(&mut self.session.attributes, from, to);
        for section in &mut self.sections {
            section.replace_direction(from, to);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Attribute> {
        self.session.attributes.iter().chain(self.sections.iter().flat_map(|section| &section.0.attributes))
    }

    fn replace(&mut self, name: &str, value: &str) {
        let sections = self.sections.iter_mut().flat_map(|section| &mut section.0.attributes);
        for attribute in self.session.attributes.iter_mut().chain(sections) {
            if attribute.attribute == name {
                attribute.value = Some(value.to_owned());
            }
        }
    }
}

impl fmt::Display for Sdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut session = self.session.clone();
        session.medias = self.sections.iter().map(|section| section.0.clone()).collect();
        let mut bytes = Vec::new();
        session.write(&mut bytes).map_err(|_| fmt::Error)?;
        f.write_str(&String::from_utf8_lossy(&bytes))
    }
}

fn attribute(name: &str, value: Option<&str>) -> Attribute {
    Attribute { attribute: name.to_owned(), value: value.map(str::to_owned) }
}

fn pair(attribute: &Attribute) -> (&str, Option<&str>) {
    (&attribute.attribute, attribute.value.as_deref())
}

/// The attribute's value if it has this name.
fn named<'a>(attribute: &'a Attribute, name: &str) -> Option<&'a str> {
    attribute.value.as_deref().filter(|_| attribute.attribute == name)
}

fn direction(attributes: &[Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|attribute| Direction::from_word(attribute.attribute.trim_end()))
}

fn replace_direction(attributes: &mut [Attribute], from: Direction, to: Direction) {
    for attribute in attributes {
        if Direction::from_word(attribute.attribute.trim_end()) == Some(from) {
            attribute.attribute = to.word().to_owned();
        }
    }
}

#[cfg(test)]
mod tests;
