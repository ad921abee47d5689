//! Descriptions on their way between the other side and the library, which reads and writes only a part of what the RFCs allow. Theirs are
//! given to it as it reads them ([`theirs`]), and its own are sent as they must be ([`ours`]). No connection is touched here.

mod extensions;
mod formats;
mod ours;
mod stereo;
mod theirs;

use crate::room::media::MediaKind;
use crate::room::sdp::{Sdp, SetupRole};
use crate::rtc::header_extensions::ExtensionIds;
use crate::rtc::payload_types::PayloadTypes;
use std::collections::HashMap;
use std::sync::Arc;
use theirs::Theirs;

/// Formats that are told to be unsupported.
const MAX_TOLD: usize = 8;

/// The descriptions of a connection.
#[derive(Default)]
pub(crate) struct Descriptions {
    /// Our DTLS role: it stays while the association does (RFC 8842 5.5).
    role: Option<SetupRole>,
    payload_types: Arc<PayloadTypes>,
    /// Header extensions, as they number them, and as the library does.
    extensions: ExtensionIds,
    library_extensions: ExtensionIds,
    /// Sources that stand for those that a section of theirs does not name.
    stand_ins: HashMap<String, u32>,
    /// Theirs that is in force, or is being answered.
    theirs: Option<Theirs>,
    /// Who they are: it stays while the association does.
    identity: Option<Identity>,
    /// Formats that were told to be unsupported.
    told: Vec<String>,
    /// Our offer that is out, with the name of each section.
    offer: Option<Sdp>,
}

/// What room a section has for a track of ours.
pub(crate) struct Room {
    pub kind: MediaKind,
    /// It may be sent there, or might, should we offer it.
    pub free: bool,
    /// They send there and take nothing.
    pub only_theirs: bool,
}

/// A description of theirs for the library.
pub(crate) struct ForLibrary {
    pub sdp: String,
    /// Their candidates, each with its `candidate:`: the library refuses a description for one that it cannot read.
    pub candidates: Vec<String>,
    /// What of it cannot be accepted.
    pub warnings: Vec<String>,
    /// What of it is accepted by nobody here: formats that we do not know. Told once.
    pub unsupported: Vec<String>,
}

impl Descriptions {
    /// `payload_types`: what they mean is learned by it.
    pub(crate) fn new(payload_types: Arc<PayloadTypes>) -> Descriptions {
        Descriptions { payload_types, ..Descriptions::default() }
    }

    /// An offer of theirs.
    ///
    /// # Errors
    /// Why it cannot be answered.
    pub(crate) fn on_offer(&mut self, offer: &Sdp) -> Result<ForLibrary, String> {
        // Where they leave it to us they begin the handshake: then they also begin the SCTP association, which the library does only as the
        // DTLS client, and it does not bear both sides to begin (RFC 9260 5.2).
        let passive = match offer.setup_role() {
            Some(SetupRole::Passive) => SetupRole::Active,
            Some(SetupRole::Active) => SetupRole::Passive,
            _ if offer.sections.iter().any(|section| section.is_application()) => SetupRole::Passive,
            _ if offer.session_attributes().any(|(name, _)| name == "ice-lite") => SetupRole::Passive,
            _ => SetupRole::Active,
        };
        let role = *self.role.get_or_insert(passive);
        let theirs = Theirs::read(offer, None, self.theirs.as_ref())?;
        Ok(self.take(theirs, role))
    }

    /// Their answer to our offer.
    ///
    /// # Errors
    /// Why it cannot be accepted.
    pub(crate) fn on_answer(&mut self, answer: &Sdp) -> Result<ForLibrary, String> {
        let left = answer.setup_role().and_then(SetupRole::opposite).unwrap_or(SetupRole::Passive);
        let role = *self.role.get_or_insert(left);
        let theirs = Theirs::read(answer, self.offer.as_ref(), self.theirs.as_ref())?;
        Ok(self.take(theirs, role))
    }

    fn take(&mut self, theirs: Theirs, role: SetupRole) -> ForLibrary {
        for section in theirs.sections.iter().filter(|section| section.accepted) {
            if let Some(kind) = section.section.kind() {
                self.payload_types.learn(kind, &section.section.payload_formats());
            }
        }
        self.extensions.learn(&theirs.extensions);
        let numbers = (&*self.payload_types, &mut self.library_extensions);
        let sdp = theirs.for_library(role, numbers, &mut self.stand_ins);
        let (candidates, warnings) = (theirs.candidates.clone(), theirs.warnings());
        let mut unsupported = theirs.unsupported();
        unsupported.retain(|text| !self.told.contains(text));
        unsupported.truncate(MAX_TOLD.saturating_sub(self.told.len()));
        self.told.extend(unsupported.iter().cloned());
        self.identity.get_or_insert_with(|| Identity::of(&theirs.named()));
        self.theirs = Some(theirs);
        ForLibrary { sdp, candidates, warnings, unsupported }
    }

    /// An offer of the library's, as it is sent.
    pub(crate) fn offer(&mut self, library: &str) -> String {
        let Ok(mut sdp) = Sdp::parse(library) else { return library.to_owned() };
        ours::complete_offer(&mut sdp, self.theirs.as_ref(), &self.payload_types, &mut self.extensions);
        stereo::ask_for_stereo(&mut sdp);
        let text = sdp.to_string();
        self.payload_types.describe_local(&sdp.sections);
        self.offer = Some(sdp);
        text
    }

    /// The library's answer, as it is sent, and the same with the name of each section.
    pub(crate) fn answer(&mut self, library: &str) -> (String, Option<Sdp>) {
        let (Ok(sdp), Some(theirs)) = (Sdp::parse(library), &self.theirs) else { return (library.to_owned(), None) };
        let mut sdp = ours::answer(sdp, theirs, self.role.unwrap_or(SetupRole::Active));
        stereo::ask_for_stereo(&mut sdp);
        self.payload_types.describe_local(&sdp.sections);
        let named = sdp.clone();
        ours::hide_names(&mut sdp, theirs);
        (sdp.to_string(), Some(named))
    }

    /// Whether it belongs to another DTLS association than the one that is in force (RFC 8842 3.1): it has another certificate, or says so.
    pub(crate) fn is_of_another(&self, theirs: &Sdp) -> bool {
        self.identity.as_ref().is_some_and(|known| known.differs(&Identity::of(theirs)))
    }
    /// What room a section has for a track of ours; none: they have not described it.
    pub(crate) fn room(&self, mid: &str) -> Option<Room> {
        let section = self.theirs.as_ref()?.sections.iter().find(|known| known.mid() == mid)?;
        let kind = section.section.kind()?;
        let only_theirs = !section.has_room && section.section.direction().unwrap_or_default().sends();
        Some(Room { kind, free: section.has_room, only_theirs })
    }
    /// How the library numbers header extensions.
    pub(crate) fn library_extensions(&self) -> &ExtensionIds {
        &self.library_extensions
    }
    /// Our offer that was answered.
    pub(crate) fn answered_offer(&mut self) -> Option<Sdp> {
        self.offer.take()
    }
    /// Theirs that is in force, with the name of each section.
    pub(crate) fn theirs(&self) -> Option<Sdp> {
        self.theirs.as_ref().map(Theirs::named)
    }
}

/// What tells DTLS associations apart (RFC 8842 4, 5.1).
struct Identity {
    /// SHA-256 of certificates.
    fingerprints: Vec<String>,
    tls_id: Option<String>,
}

impl Identity {
    fn of(sdp: &Sdp) -> Identity {
        let used = sdp.sections.iter().filter(|section| !section.is_rejected());
        let values = |name: &'static str| {
            let of_sections = used.clone().flat_map(|section| section.attributes());
            let all = sdp.session_attributes().chain(of_sections).filter(move |(known, _)| *known == name);
            all.filter_map(|(_, value)| value)
        };
        let sha_256 = values("fingerprint").filter_map(|value| {
            let (hash, value) = value.trim().split_once(' ')?;
            hash.eq_ignore_ascii_case("sha-256").then(|| value.trim().to_ascii_uppercase())
        });
        Identity { fingerprints: sha_256.collect(), tls_id: values("tls-id").next().map(str::to_owned) }
    }

    /// Whether it is surely another.
    fn differs(&self, other: &Identity) -> bool {
        let unknown = self.fingerprints.is_empty() || other.fingerprints.is_empty();
        let common = self.fingerprints.iter().any(|one| other.fingerprints.contains(one));
        let renamed = self.tls_id.as_ref().zip(other.tls_id.as_ref()).is_some_and(|(one, other)| one != other);
        !unknown && !common || renamed
    }
}

#[cfg(test)]
mod tests;
