//! Descriptions and candidates: what [`Negotiation`](crate::rtc::negotiation::Negotiation) decides is done here.

use crate::room::description::{Candidate, Description, Signal};
use crate::room::policy::OfferRequest;
use crate::room::sdp::Sdp;
use crate::rtc::candidates::{MAX_CANDIDATES, RemoteCandidate};
use crate::rtc::driver::descriptions::ForLibrary;
use crate::rtc::driver::peer::actor::Actor;
use crate::rtc::negotiation::{Kind, NextStep, Verdict};
use crate::rtc::peer::PeerEvent;
use rtc::shared::error::{Error, Result as LibraryResult};
use std::time::Instant;
use webrtc::peer_connection::{RTCIceCandidateInit, RTCPeerConnectionIceEvent, RTCSessionDescription};

/// Characters of the reason for which a description was refused.
const REASON_CHARS: usize = 200;
/// Refusals on a connection that are told.
const MAX_REFUSALS: u32 = 8;
/// An offer may be repeated so often before it is told: an answer may be lost with a socket.
const REPEATS: u32 = 2;

impl Actor {
    /// A candidate of ours was gathered. The library names no section; everything is bundled, so it is the first one.
    pub(crate) async fn on_local_candidate(&mut self, event: &RTCPeerConnectionIceEvent) {
        let Ok(init) = event.candidate.to_json() else { return };
        if init.candidate.is_empty() {
            return;
        }
        if !self.policy.trickle {
            return self.local_candidates.add(init.candidate);
        }
        let local = self.connection.local_description().await;
        let local = local.and_then(|description| Sdp::parse(&description.sdp).ok());
        let mid = local.as_ref().and_then(Sdp::first_mid);
        let candidate = Candidate {
            candidate: init.candidate,
            sdp_mid: Some(mid.unwrap_or("0").to_owned()),
            sdp_m_line_index: Some(0),
            username_fragment: None,
        };
        self.report(PeerEvent::Signal(Signal::Candidate(Some(candidate)))).await;
    }

    /// Settles what has changed on our side, in this room's way.
    pub(crate) async fn negotiate(&mut self) {
        let step = self.negotiation.next_step();
        self.take_step(step).await;
    }

    pub(crate) async fn take_step(&mut self, step: NextStep) {
        match step {
            NextStep::Wait => {}
            NextStep::Offer => self.make_offer().await,
            NextStep::RequestOffer => self.report(PeerEvent::OfferRequest(OfferRequest::Renegotiate)).await,
        }
    }

    async fn make_offer(&mut self) {
        self.fit_sections().await;
        let offered = async {
            let offer = self.connection.create_offer(None).await?;
            self.connection.set_local_description(offer.clone()).await?;
            LibraryResult::Ok(offer.sdp)
        };
        match offered.await {
            Ok(sdp) => {
                let sdp = self.descriptions.offer(&sdp);
                self.unanswered_offer = Some(sdp.clone());
                self.send_offer(sdp).await;
            }
            Err(e) => {
                self.negotiation.failed(Instant::now());
                self.warn(format!("no offer could be made: {e}")).await;
            }
        }
    }

    pub(crate) async fn send_offer(&mut self, sdp: String) {
        self.send_description(Description { kind: "offer".into(), sdp }).await;
    }

    /// Sends a description, with our candidates in it where they do not trickle: then it waits until they are known.
    async fn send_description(&mut self, description: Description) {
        let descriptions = match self.policy.trickle {
            true => vec![description],
            false => self.local_candidates.hold(description, Instant::now()),
        };
        self.send_descriptions(descriptions).await;
    }

    pub(crate) async fn send_descriptions(&mut self, descriptions: Vec<Description>) {
        for description in descriptions {
            self.report(PeerEvent::Signal(Signal::Description(description))).await;
        }
    }

    /// The other side requests something of us, who make the offers.
    pub(crate) async fn on_request(&mut self, request: OfferRequest) {
        match request {
            OfferRequest::Renegotiate => {}
            OfferRequest::AddMedia(kind) => self.add_receiver(kind).await,
            OfferRequest::IceRestart => return self.restart_ice().await,
        }
        self.negotiation.changed();
        // Whoever requests an offer answers it, whatever others in such a room would do.
        if self.negotiation.begin_offer() {
            self.make_offer().await;
        }
    }

    pub(crate) async fn on_description(&mut self, description: Description) -> LibraryResult<()> {
        let kind = match description.kind.as_str() {
            "offer" => Kind::Offer,
            "answer" => Kind::Answer,
            other => return Err(Error::Other(format!("unknown type {other:?}"))),
        };
        let sdp = Sdp::parse(&description.sdp);
        if sdp.as_ref().is_ok_and(|sdp| sdp.candidates().count() > MAX_CANDIDATES) {
            return Err(Error::Other("it has too many candidates".to_owned()));
        }
        session_description(&description)?;
        if kind == Kind::Offer {
            self.on_repeated_offer(&description.sdp).await;
        }
        let sdp = sdp.map_err(Error::Other)?;
        let awaited = kind == Kind::Offer || self.unanswered_offer.is_some();
        if awaited && self.descriptions.is_of_another(&sdp) {
            self.on_replaced(kind, description).await;
            return Ok(());
        }
        let verdict = self.negotiation.received(kind);
        tracing::debug!(peer = %self.peer, ?kind, ?verdict, "description");
        if matches!(verdict, Verdict::Conclude | Verdict::RollbackThenAnswer) {
            self.unanswered_offer = None;
        }
        match verdict {
            Verdict::Ignore | Verdict::Stale => Ok(()),
            Verdict::Conclude => {
                let applied = self.conclude(&sdp).await;
                self.conclude_with(applied, true).await
            }
            Verdict::RollbackThenAnswer => {
                self.roll_back(true).await;
                let answered = self.answer(&sdp).await;
                self.conclude_with(answered, false).await
            }
            Verdict::Answer => {
                let answered = self.answer(&sdp).await;
                self.conclude_with(answered, false).await
            }
        }
    }

    /// They have another certificate: nobody is left at the other end of this connection. Their offer is the first one of another connection;
    /// to their answer there is none, so both sides begin anew.
    async fn on_replaced(&mut self, kind: Kind, description: Description) {
        let why = "they go on with another certificate (DTLS fingerprint), so a new connection is made".to_owned();
        self.replaced = true;
        let offers = kind == Kind::Offer;
        if !offers {
            self.report(PeerEvent::Signal(Signal::Refused(why.clone()))).await;
        }
        self.report(PeerEvent::Replaced { why, offers }).await;
        if offers {
            self.report(PeerEvent::ForSuccessor(Signal::Description(description))).await;
        }
    }

    /// Their description cannot be applied; they are told.
    pub(crate) async fn refuse(&mut self, why: &Error) {
        self.report(PeerEvent::Signal(Signal::Refused(why.to_string()))).await;
        self.tell_refused(format!("their session description was refused: {why}")).await;
    }

    /// They could not apply our description.
    pub(crate) async fn on_refused(&mut self, why: &str) {
        let why = reason(why);
        tracing::debug!(peer = %self.peer, "refused: {why}");
        if self.unanswered_offer.take().is_some() {
            self.negotiation.failed(Instant::now());
            self.roll_back(true).await;
        }
        self.tell_refused(format!("they refused our session description: {why}")).await;
    }

    /// Nothing of ours reaches them over the connection, which they give up.
    pub(crate) async fn on_anew(&mut self, why: &str) {
        self.report(PeerEvent::Anew(format!("they begin anew: {}", reason(why)))).await;
    }

    /// Refusals are the participant's to make, so not all of them are told.
    async fn tell_refused(&mut self, text: String) {
        self.refusals += 1;
        if self.refusals <= MAX_REFUSALS {
            self.report(PeerEvent::Refused(text)).await;
        }
    }

    /// They make the same offer again and again: our answer does not reach them, or is refused by somebody who does not say so.
    async fn on_repeated_offer(&mut self, offer: &str) {
        let repeats = match &mut self.last_offer {
            Some((last, repeats)) if last == offer => {
                *repeats += 1;
                *repeats
            }
            last => {
                *last = Some((offer.to_owned(), 0));
                0
            }
        };
        if repeats == REPEATS {
            let why = "they make the same offer again and again; our answer may have been refused".to_owned();
            self.tell_refused(why).await;
        }
    }

    /// An exchange of descriptions is over. A failed one is taken back, and what it was for offered again later.
    async fn conclude_with(&mut self, result: LibraryResult<()>, ours: bool) -> LibraryResult<()> {
        match &result {
            Ok(()) => self.negotiation.succeeded(),
            Err(_) => {
                self.roll_back(ours).await;
                if ours || self.remote_candidates.described() {
                    self.negotiation.failed(Instant::now());
                }
            }
        }
        result
    }

    /// Takes back our offer, or theirs. There may be none: the library has often taken a description before it finds fault with it.
    async fn roll_back(&self, ours: bool) {
        let rollback = library_description("rollback", String::new());
        let result = match (rollback, ours) {
            (Ok(rollback), true) => self.connection.set_local_description(rollback).await,
            (Ok(rollback), false) => self.connection.set_remote_description(rollback).await,
            (Err(e), _) => Err(e),
        };
        if let Err(e) = result {
            tracing::debug!(peer = %self.peer, "nothing to take back: {e}");
        }
    }

    /// Their answer to our offer.
    async fn conclude(&mut self, answer: &Sdp) -> LibraryResult<()> {
        let ForLibrary { sdp, candidates, mut warnings, unsupported } =
            self.descriptions.on_answer(answer).map_err(Error::Other)?;
        warnings.extend(unsupported);
        if let (Some(ours), Some(theirs)) = (self.descriptions.answered_offer(), self.descriptions.theirs()) {
            self.agree(&ours, &theirs).await;
        }
        self.connection.set_remote_description(library_description("answer", sdp)?).await?;
        self.on_negotiated(candidates, warnings).await;
        self.find_room(false).await;
        Ok(())
    }

    async fn answer(&mut self, offer: &Sdp) -> LibraryResult<()> {
        let ForLibrary { sdp, candidates, warnings, unsupported } =
            self.descriptions.on_offer(offer).map_err(Error::Other)?;
        self.connection.set_remote_description(library_description("offer", sdp)?).await?;
        self.negotiation.offer_applied();
        let answer = self.connection.create_answer(None).await?;
        let (sdp, ours) = self.descriptions.answer(&answer.sdp);
        if let (Some(ours), Some(theirs)) = (ours, self.descriptions.theirs()) {
            self.agree(&ours, &theirs).await;
        }
        self.connection.set_local_description(answer).await?;
        self.on_negotiated(candidates, warnings).await;
        self.find_room(true).await;
        if self.published.senders.iter().all(|sender| self.received.shared().lock().is_sent(sender.ssrc)) {
            self.negotiation.settled();
        }
        self.send_description(Description { kind: "answer".into(), sdp }).await;
        for warning in unsupported {
            self.warn(warning).await;
        }
        Ok(())
    }

    /// Both descriptions are in force, or about to be: the library binds its streams then.
    async fn agree(&mut self, ours: &Sdp, theirs: &Sdp) {
        for (track, ssrcs) in self.received.agree(ours, theirs, self.descriptions.library_extensions()) {
            self.report(PeerEvent::TrackEnded { track, ssrcs }).await;
        }
    }

    /// A remote description is in force: candidates that came before it are applied, and payload types that it settled.
    async fn on_negotiated(&mut self, candidates: Vec<String>, warnings: Vec<String>) {
        let described = candidates.into_iter().map(|candidate| Candidate {
            candidate,
            sdp_mid: None,
            sdp_m_line_index: Some(0),
            username_fragment: None,
        });
        for candidate in described.chain(self.remote_candidates.on_description()) {
            self.add_candidate(candidate).await;
        }
        let unsupported = self.published.apply_negotiated(self.received.shared()).await;
        for warning in warnings.into_iter().chain(unsupported) {
            self.warn(warning).await;
        }
    }

    /// A candidate of theirs; none: there are no more.
    pub(crate) async fn on_candidate(&mut self, candidate: Option<Candidate>) {
        let Some(candidate) = candidate.filter(|candidate| !candidate.candidate.is_empty()) else { return };
        match self.remote_candidates.add(candidate) {
            RemoteCandidate::Apply(candidate) => self.add_candidate(candidate).await,
            RemoteCandidate::Kept | RemoteCandidate::Dropped { first: false } => {}
            RemoteCandidate::Dropped { first: true } => {
                self.warn(format!("they have more than {MAX_CANDIDATES} network addresses; the others are not tried"))
                    .await;
            }
        }
    }

    async fn add_candidate(&self, candidate: Candidate) {
        let init = RTCIceCandidateInit {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_m_line_index,
            username_fragment: candidate.username_fragment,
            ..Default::default()
        };
        if let Err(e) = self.connection.add_ice_candidate(init).await
            && !self.negotiation.ignoring()
        {
            tracing::debug!(peer = %self.peer, "a candidate was refused: {e}");
        }
    }

    pub(crate) async fn restart_ice(&mut self) {
        if !self.negotiation.may_restart_ice(Instant::now()) {
            return;
        }
        match self.connection.restart_ice().await {
            Ok(()) => {
                self.local_candidates.gather_again();
                let step = self.negotiation.ice_restarted();
                self.take_step(step).await;
            }
            Err(e) => self.warn(format!("ICE cannot be restarted: {e}")).await,
        }
    }
}

/// What they give as a reason, fit to be shown.
fn reason(why: &str) -> String {
    why.chars().filter(|c| !c.is_control()).take(REASON_CHARS).collect()
}

/// Whether a description of this kind (`offer` or `answer`) can be applied at all.
///
/// # Errors
/// What is wrong with it, as the library says it.
pub fn check_description(kind: &str, sdp: &str) -> Result<(), String> {
    if Sdp::sections_of(sdp).is_empty() {
        return Err("it describes no media".to_owned());
    }
    session_description(&Description { kind: kind.to_owned(), sdp: sdp.to_owned() })
        .map(drop)
        .map_err(|e| e.to_string())
}

fn library_description(kind: &str, sdp: String) -> rtc::shared::error::Result<RTCSessionDescription> {
    session_description(&Description { kind: kind.to_owned(), sdp })
}

/// The library parses SDP while deserialising, and has no other way in.
fn session_description(description: &Description) -> rtc::shared::error::Result<RTCSessionDescription> {
    serde_json::to_value(description)
        .and_then(serde_json::from_value)
        .map_err(|e| rtc::shared::error::Error::Other(e.to_string()))
}
