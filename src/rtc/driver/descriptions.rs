//! Descriptions on their way between the other side and the library, which reads and writes only a part of what the RFCs allow. Theirs are
//! given to it as it reads them ([`theirs`]), and its own are sent as they must be ([`ours`]). No connection is touched here.

mod formats;
mod ours;
mod stereo;
mod theirs;

use crate::room::sdp::{Sdp, SetupRole};
use crate::rtc::payload_types::PayloadTypes;
use std::collections::HashMap;
use theirs::Theirs;

/// The descriptions of a connection.
#[derive(Default)]
pub(crate) struct Descriptions {
    /// Our DTLS role: it stays while the association does (RFC 8842 5.5).
    role: Option<SetupRole>,
    payload_types: PayloadTypes,
    /// Sources that stand for those that a section of theirs does not name.
    stand_ins: HashMap<String, u32>,
    /// Theirs that is in force, or is being answered.
    theirs: Option<Theirs>,
    /// Our offer that is out, with the name of each section.
    offer: Option<Sdp>,
}

/// A description of theirs for the library.
pub(crate) struct ForLibrary {
    pub sdp: String,
    /// Their candidates, each with its `candidate:`: the library refuses a description for one that it cannot read.
    pub candidates: Vec<String>,
    /// What of it cannot be accepted.
    pub warnings: Vec<String>,
}

impl Descriptions {
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
        let theirs = Theirs::read(offer, None)?;
        Ok(self.take(theirs, role))
    }

    /// Their answer to our offer.
    ///
    /// # Errors
    /// Why it cannot be accepted.
    pub(crate) fn on_answer(&mut self, answer: &Sdp) -> Result<ForLibrary, String> {
        let left = answer.setup_role().and_then(SetupRole::opposite).unwrap_or(SetupRole::Passive);
        let role = *self.role.get_or_insert(left);
        let theirs = Theirs::read(answer, self.offer.as_ref())?;
        Ok(self.take(theirs, role))
    }

    fn take(&mut self, theirs: Theirs, role: SetupRole) -> ForLibrary {
        for section in theirs.sections.iter().filter(|section| section.accepted) {
            if let Some(kind) = section.section.kind() {
                self.payload_types.learn(kind, &section.section.payload_formats());
            }
        }
        let sdp = theirs.for_library(role, &mut self.payload_types, &mut self.stand_ins);
        let (candidates, warnings) = (theirs.candidates.clone(), theirs.warnings());
        self.theirs = Some(theirs);
        ForLibrary { sdp, candidates, warnings }
    }

    /// An offer of the library's, as it is sent.
    pub(crate) fn offer(&mut self, library: &str) -> String {
        let Ok(mut sdp) = Sdp::parse(library) else { return library.to_owned() };
        ours::complete_offer(&mut sdp, self.theirs.as_ref(), &mut self.payload_types);
        stereo::ask_for_stereo(&mut sdp);
        let text = sdp.to_string();
        self.offer = Some(sdp);
        text
    }

    /// The library's answer, as it is sent, and the same with the name of each section.
    pub(crate) fn answer(&mut self, library: &str) -> (String, Option<Sdp>) {
        let (Ok(sdp), Some(theirs)) = (Sdp::parse(library), &self.theirs) else { return (library.to_owned(), None) };
        let mut sdp = ours::answer(sdp, theirs, self.role.unwrap_or(SetupRole::Active));
        stereo::ask_for_stereo(&mut sdp);
        let named = sdp.clone();
        ours::hide_names(&mut sdp, theirs);
        (sdp.to_string(), Some(named))
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

#[cfg(test)]
mod tests;
