//! Descriptions and candidates: what [`Negotiation`](crate::rtc::negotiation::Negotiation) decides is done here.

use crate::room::description::{Candidate, Description, Signal};
use crate::room::policy::{Ask, Changes};
use crate::room::sdp::Sdp;
use crate::rtc::driver::peer::PeerEvent;
use crate::rtc::driver::peer::actor::Actor;
use crate::rtc::driver::sdp;
use crate::rtc::negotiation::{Kind, Verdict};
use std::time::{Duration, Instant};
use webrtc::peer_connection::{RTCIceCandidateInit, RTCPeerConnectionIceEvent, RTCSessionDescription};

/// Candidates that are taken with and after each description; later ones are dropped. Each would be probed with packets.
const MAX_CANDIDATES: usize = 256;
/// At least this long between two ICE restarts.
const RESTART_PAUSE: Duration = Duration::from_secs(4);
/// How long a description waits for our candidates, where they must be in it: a STUN server that does not answer holds up nobody
/// for longer.
const GATHERING: Duration = Duration::from_secs(2);

impl Actor {
    /// The library leaves the section empty; everything is bundled, so it is the first one.
    pub(crate) async fn local_candidate(&self, event: &RTCPeerConnectionIceEvent) -> Option<Candidate> {
        let init = event.candidate.to_json().ok()?;
        if init.candidate.is_empty() {
            return None;
        }
        let local = self.connection.local_description().await;
        let local = local.and_then(|description| Sdp::parse(&description.sdp).ok());
        let mid = local.as_ref().and_then(Sdp::first_mid);
        Some(Candidate {
            candidate: init.candidate,
            sdp_mid: Some(mid.unwrap_or("0").to_owned()),
            sdp_m_line_index: Some(0),
            username_fragment: None,
        })
    }

    /// Offers what has changed, or whatever this room does instead.
    pub(crate) async fn negotiate(&mut self) {
        if self.begun && self.policy.changes != Changes::Offer {
            if self.negotiation.give_up_change() && self.policy.changes == Changes::Ask {
                self.tell(PeerEvent::Ask(Ask::Offer)).await;
            }
            return;
        }
        self.make_offer().await;
    }

    async fn make_offer(&mut self) {
        if !self.negotiation.begin_offer() {
            return;
        }
        self.begun = true;
        let offered = async {
            let offer = self.connection.create_offer(None).await?;
            self.connection.set_local_description(offer.clone()).await?;
            rtc::shared::error::Result::Ok(offer.sdp)
        };
        match offered.await {
            Ok(sdp) => {
                let sdp = sdp::with_every_codec(&sdp);
                self.unanswered = Some(sdp.clone());
                self.offer(sdp).await;
            }
            Err(e) => {
                self.negotiation.offer_failed();
                self.warn(format!("no offer could be made: {e}")).await;
            }
        }
    }

    pub(crate) async fn offer(&mut self, sdp: String) {
        self.send_description(Description { kind: "offer".into(), sdp }).await;
    }

    /// Sends a description, with our candidates in it where they do not trickle: then it waits until they are known.
    async fn send_description(&mut self, description: Description) {
        if self.policy.trickle {
            return self.tell(PeerEvent::Signal(Signal::Description(description))).await;
        }
        self.held.push_back(description);
        if self.gathered {
            return self.let_go().await;
        }
        self.held_until.get_or_insert_with(|| tokio::time::Instant::now() + GATHERING);
    }

    /// Sends what waited for candidates, with those that there are.
    pub(crate) async fn let_go(&mut self) {
        self.held_until = None;
        while let Some(Description { kind, sdp }) = self.held.pop_front() {
            let sdp = Sdp::edit(&sdp, |sdp| sdp.add_candidates(&self.own_candidates));
            self.tell(PeerEvent::Signal(Signal::Description(Description { kind, sdp }))).await;
        }
    }

    /// They ask us, who make the offers, for another one.
    pub(crate) async fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Offer => {}
            Ask::Section(kind) => self.take_one_more(kind).await,
            Ask::Paths => return self.restart_ice().await,
        }
        self.negotiation.changed();
        // Whoever asks takes the answer, whatever others in such a room would.
        self.make_offer().await;
    }

    pub(crate) async fn describe(&mut self, description: Description) -> rtc::shared::error::Result<()> {
        let kind = match description.kind.as_str() {
            "offer" => Kind::Offer,
            "answer" => Kind::Answer,
            other => return Err(rtc::shared::error::Error::Other(format!("unknown type {other:?}"))),
        };
        let sdp = Sdp::parse(&description.sdp);
        if sdp.as_ref().is_ok_and(|sdp| sdp.candidates().count() > MAX_CANDIDATES) {
            return Err(rtc::shared::error::Error::Other("it has too many candidates".to_owned()));
        }
        let session = session_description(&description)?;
        let sdp = sdp.map_err(rtc::shared::error::Error::Other)?;
        let verdict = self.negotiation.received(kind);
        tracing::debug!(peer = %self.peer, ?kind, ?verdict, "description");
        if matches!(verdict, Verdict::Conclude | Verdict::RollbackThenAnswer) {
            self.unanswered = None;
        }
        match verdict {
            Verdict::Ignore | Verdict::Stale => Ok(()),
            Verdict::Conclude => {
                self.role = self.role.or(sdp::role_left_by(&sdp));
                let applied = self.connection.set_remote_description(session).await;
                match applied {
                    Ok(()) => self.described().await,
                    Err(_) => self.rollback().await?,
                }
                applied
            }
            Verdict::RollbackThenAnswer => {
                self.rollback().await?;
                self.answer(session).await
            }
            Verdict::Answer => self.answer(session).await,
        }
    }

    async fn rollback(&self) -> rtc::shared::error::Result<()> {
        let rollback = Description { kind: "rollback".into(), sdp: String::new() };
        self.connection.set_local_description(session_description(&rollback)?).await
    }

    async fn answer(&mut self, offer: RTCSessionDescription) -> rtc::shared::error::Result<()> {
        self.connection.set_remote_description(offer).await?;
        self.begun = true;
        let answer = self.connection.create_answer(None).await?;
        self.connection.set_local_description(answer.clone()).await?;
        self.described().await;
        let sdp = match self.role {
            Some(role) => sdp::with_role(&answer.sdp, role),
            None => answer.sdp,
        };
        let description = Description { kind: "answer".into(), sdp };
        self.send_description(description).await;
        Ok(())
    }

    /// A remote description is in force: candidates that came before it, and payload types that it settled.
    async fn described(&mut self) {
        if std::mem::replace(&mut self.remote_described, true) {
            self.candidates = 0;
        }
        for candidate in std::mem::take(&mut self.pending_candidates) {
            self.add_candidate(candidate).await;
        }
        let mut refused = Vec::new();
        for sending in &mut self.sending {
            refused.extend(sending.settle().await);
        }
        for warning in refused {
            self.warn(warning).await;
        }
    }

    pub(crate) async fn candidate(&mut self, candidate: Option<Candidate>) {
        let Some(candidate) = candidate else { return };
        if candidate.candidate.is_empty() {
            return;
        }
        let init = RTCIceCandidateInit {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_m_line_index,
            username_fragment: candidate.username_fragment,
            ..Default::default()
        };
        self.candidates += 1;
        if self.candidates > MAX_CANDIDATES {
            if self.candidates == MAX_CANDIDATES + 1 {
                self.warn(format!("they have more than {MAX_CANDIDATES} network addresses; the others are not tried"))
                    .await;
            }
        } else if self.remote_described {
            self.add_candidate(init).await;
        } else {
            self.pending_candidates.push(init);
        }
    }

    async fn add_candidate(&self, candidate: RTCIceCandidateInit) {
        if let Err(e) = self.connection.add_ice_candidate(candidate).await
            && !self.negotiation.ignoring()
        {
            tracing::debug!(peer = %self.peer, "a candidate was refused: {e}");
        }
    }

    pub(crate) async fn restart_ice(&mut self) {
        let now = Instant::now();
        if self.restarted.is_some_and(|last| now.duration_since(last) < RESTART_PAUSE) {
            return;
        }
        self.restarted = Some(now);
        match self.connection.restart_ice().await {
            Ok(()) => {
                // Addresses are gathered anew; the sockets, and so what is known of them, stay.
                self.gathered = false;
                self.negotiation.changed();
                match self.policy.changes {
                    Changes::Paths => self.make_offer().await,
                    _ => self.negotiate().await,
                }
            }
            Err(e) => self.warn(format!("ICE cannot be restarted: {e}")).await,
        }
    }
}

/// Whether a description can be read at all: what is wrong with it, if anything.
///
/// # Errors
/// In the library's words.
pub fn readable(kind: &str, sdp: &str) -> Result<(), String> {
    if Sdp::sections_of(sdp).is_empty() {
        return Err("it describes no media".to_owned());
    }
    session_description(&Description { kind: kind.to_owned(), sdp: sdp.to_owned() })
        .map(drop)
        .map_err(|e| e.to_string())
}

/// The library parses SDP while deserialising, and has no other way in.
fn session_description(description: &Description) -> rtc::shared::error::Result<RTCSessionDescription> {
    serde_json::to_value(description)
        .and_then(serde_json::from_value)
        .map_err(|e| rtc::shared::error::Error::Other(e.to_string()))
}
