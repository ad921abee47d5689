//! The connection to somebody outside who came by HTTP: one description to and fro, whole, and what a PATCH brings later. Knows neither
//! rooms nor HTTP.

use super::offers::{one_way, whole};
use super::request::{PatchOutcome, Reply, RequestError};
use crate::error::Result;
use crate::room::description::{Candidate, IceServer, Signal};
use crate::room::media::Direction;
use crate::room::participant::ParticipantId;
use crate::room::policy::{DataChannels, MediaSections, NegotiationPolicy, Renegotiation};
use crate::rtc::{Inbox, OutboundTrack, Peer, PeerConfig, PeerEvent, Wake};
use crate::signal::whip_whep::fragment::{Fragment, credentials, with_credentials};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long our answer waits for our addresses, and for being made at all.
const GATHERING: Duration = Duration::from_secs(2);
/// The same after an ICE restart: media waits meanwhile.
const GATHERING_AGAIN: Duration = Duration::from_millis(500);
/// At least this long between two ICE restarts.
const RESTART_PAUSE: Duration = Duration::from_secs(2);
/// Events that wait (policy Block: the connection's actor waits).
const EVENTS: usize = 256;

/// What is needed to answer somebody.
pub(super) struct RemoteOffer {
    /// The client's session description.
    pub offer: String,
    /// Our address, as they reached us: the one that is most likely to work comes first in our answer.
    pub near: Option<IpAddr>,
    pub ice_servers: Vec<IceServer>,
}

/// A connection to somebody outside.
pub(super) struct HttpPeer {
    peer: Peer,
    events: mpsc::Receiver<(ParticipantId, PeerEvent)>,
    /// What came while we waited for something else.
    pending: VecDeque<PeerEvent>,
    /// Their description that is in force.
    offer: String,
    /// Names the ICE session that is in force (RFC 9725, 4.4).
    etag: String,
    near: Option<IpAddr>,
    restarted: Option<Instant>,
    /// An ICE restart that is under way: media goes on meanwhile.
    restart: Option<Restart>,
    /// An offer of ours waits for its answer.
    offered: bool,
    /// Our addresses, as they were gathered last.
    ours: Vec<Candidate>,
}

/// An ICE restart, while our answer to it is made and our addresses are gathered.
struct Restart {
    /// Their description, with their new credentials.
    offer: String,
    answer: Option<String>,
    candidates: Vec<Candidate>,
    until: Instant,
    reply: Reply,
}

impl HttpPeer {
    /// Answers an offer, with `publish` to be sent to them. The answer has all our addresses.
    pub async fn answer(caller: RemoteOffer, publish: Vec<OutboundTrack>) -> Result<(HttpPeer, String), RequestError> {
        let offer = one_way(&caller.offer, publish.is_empty());
        let mut peer = HttpPeer::open(caller, publish, false).await?;
        peer.offer = offer.clone();
        peer.peer.signal(Signal::description("offer", offer)).await;
        let (answer, candidates) = peer.gather("answer").await?;
        Ok((peer, whole(&answer, &candidates)))
    }

    /// Offers `publish` to somebody whose own offer does not take it.
    pub async fn offer(caller: RemoteOffer, publish: Vec<OutboundTrack>) -> Result<(HttpPeer, String), RequestError> {
        let mut peer = HttpPeer::open(caller, publish, true).await?;
        peer.offered = true;
        let (offer, candidates) = peer.gather("offer").await?;
        Ok((peer, whole(&offer, &candidates)))
    }

    async fn open(
        caller: RemoteOffer,
        publish: Vec<OutboundTrack>,
        first_offer: bool,
    ) -> Result<HttpPeer, RequestError> {
        let (sender, events) = mpsc::channel(EVENTS);
        // Who is made an offer sends nothing, whatever else the connection could carry.
        let sends = MediaSections::PerTrack(if first_offer { Direction::SendOnly } else { Direction::SendRecv });
        let config = PeerConfig {
            peer: ParticipantId("outside".into()),
            // They cannot be offered anything later, so theirs always stands.
            polite: true,
            first_offer,
            ice_servers: caller.ice_servers,
            relay_only: false,
            wake: Wake::OnArrival,
            inbox_bytes: None,
            measure: false,
            impairment: None,
            channels: None,
            // HTTP carries one exchange, and media is all that it is for.
            policy: NegotiationPolicy {
                renegotiation: Renegotiation::Never,
                channels: DataChannels::None,
                audio: sends,
                video: sends,
                ..NegotiationPolicy::default()
            },
        };
        let peer = Peer::connect(config, publish, sender).await.map_err(|e| RequestError::Busy(e.to_string()))?;
        Ok(HttpPeer {
            peer,
            events,
            pending: VecDeque::new(),
            offer: String::new(),
            etag: String::new(),
            near: caller.near,
            restarted: None,
            restart: None,
            offered: false,
            ours: Vec::new(),
        })
    }

    /// Their answer to our offer.
    pub async fn answered(&mut self, sdp: String) -> Result<(), RequestError> {
        if !std::mem::take(&mut self.offered) {
            return Err(RequestError::UnexpectedAnswer);
        }
        // What restarts are made of: theirs, whoever made the offer.
        self.offer = sdp.clone();
        self.peer.signal(Signal::description("answer", sdp)).await;
        let heard = async {
            while let Some((_, event)) = self.events.recv().await {
                match event {
                    PeerEvent::Warning(why) | PeerEvent::Refused(why) | PeerEvent::Anew(why) => {
                        return Err(RequestError::Offer(why));
                    }
                    PeerEvent::State(state) => {
                        self.pending.push_back(PeerEvent::State(state));
                        return Ok(());
                    }
                    event => self.pending.push_back(event),
                }
            }
            Err(RequestError::Gone)
        };
        timeout(GATHERING, heard).await.unwrap_or(Ok(()))
    }

    /// Whether an offer of ours waits for its answer.
    pub fn awaits_answer(&self) -> bool {
        self.offered
    }
    /// The entity tag of the ICE session, with its quotes.
    pub fn etag(&self) -> &str {
        &self.etag
    }
    pub fn inbox(&self) -> Arc<Inbox> {
        self.peer.inbox()
    }
    pub fn request_key_frame(&self, ssrc: u32) {
        self.peer.request_key_frame(ssrc);
    }
    pub async fn close(self) {
        self.peer.close().await;
    }

    /// What happens next; none once the connection is gone. Sees to an ICE restart meanwhile, if there is one.
    pub async fn next(&mut self) -> Option<PeerEvent> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            let late = self.restart.as_ref().map(|restart| restart.until);
            let late = async {
                match late {
                    Some(late) => tokio::time::sleep_until(late.into()).await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                event = self.events.recv() => event.map(|(_, event)| event),
                () = late => {
                    self.conclude_restart();
                    continue;
                }
            };
            match (event, &mut self.restart) {
                (Some(PeerEvent::Signal(Signal::Description(ours))), Some(restart)) if ours.kind == "answer" => {
                    restart.answer = Some(ours.sdp);
                }
                (Some(PeerEvent::Signal(Signal::Candidate(Some(candidate)))), Some(restart)) => {
                    restart.candidates.push(candidate);
                }
                (Some(PeerEvent::Signal(Signal::Candidate(None))), Some(Restart { answer: Some(_), .. })) => {
                    self.conclude_restart();
                }
                (
                    Some(PeerEvent::Warning(why) | PeerEvent::Refused(why) | PeerEvent::Anew(why)),
                    Some(Restart { answer: None, .. }),
                ) => {
                    if let Some(restart) = self.restart.take() {
                        let _ = restart.reply.send(Err(RequestError::Offer(why)));
                    }
                }
                (event, _) => return event,
            }
        }
    }

    /// More of their candidates, or an ICE restart. `wanted` are the entity tags that they believe in; `*` for a restart. A restart is
    /// answered later, by [`HttpPeer::next`].
    pub async fn patch(&mut self, wanted: &str, fragment: Fragment, reply: Reply, now: Instant) {
        let current = credentials(&self.offer);
        let restart = fragment.credentials.clone().filter(|new| Some(new) != current.as_ref());
        // A restart says that any session will do; what belongs to one session must name it, if only by its credentials.
        let any = restart.is_some() || fragment.credentials.is_some();
        let stale = !(any && is_any(wanted) || wanted.split(',').any(|tag| tag.trim() == self.etag));
        let too_fast = self.restarted.is_some_and(|last| now.saturating_duration_since(last) < RESTART_PAUSE);
        let taken = match restart {
            _ if stale => Err(RequestError::Stale),
            Some(_) if too_fast => Err(RequestError::TooManyRequests),
            Some(new) => {
                self.restarted = Some(now);
                let offer = with_credentials(&self.offer, &new);
                self.peer.signal(Signal::description("offer", offer.clone())).await;
                let (answer, candidates, until) = (None, Vec::new(), now + GATHERING_AGAIN);
                self.restart = Some(Restart { offer, answer, candidates, until, reply });
                return self.add_candidates(fragment.candidates).await;
            }
            None => {
                self.add_candidates(fragment.candidates).await;
                Ok(PatchOutcome::Accepted)
            }
        };
        let _ = reply.send(taken);
    }

    async fn add_candidates(&self, candidates: Vec<Candidate>) {
        for candidate in candidates {
            self.peer.signal(Signal::Candidate(Some(candidate))).await;
        }
    }

    /// Answers an ICE restart with what there is.
    fn conclude_restart(&mut self) {
        let Some(Restart { offer, answer, candidates, reply, .. }) = self.restart.take() else { return };
        let Some(answer) = answer else {
            let _ = reply.send(Err(RequestError::Busy(TOO_BUSY.to_owned())));
            return;
        };
        self.offer = offer;
        self.tag(&answer);
        // The sockets are the old ones, which the library does not tell again; those that are not told again would be forgotten.
        if !candidates.is_empty() {
            self.ours = self.nearest(candidates);
        }
        let ours = Fragment { credentials: credentials(&answer), candidates: self.ours.clone(), ended: true };
        let _ = reply.send(Ok(PatchOutcome::Restarted { fragment: ours.write(&answer), etag: self.etag.clone() }));
    }

    /// Waits for our description and our addresses.
    async fn gather(&mut self, kind: &str) -> Result<(String, Vec<Candidate>), RequestError> {
        let (mut ours, mut candidates) = (None, Vec::new());
        let gathering = async {
            loop {
                match self.events.recv().await {
                    Some((_, PeerEvent::Signal(Signal::Description(description)))) => {
                        if description.kind == kind {
                            ours = Some(description.sdp);
                        }
                    }
                    Some((_, PeerEvent::Signal(Signal::Candidate(Some(candidate))))) => candidates.push(candidate),
                    Some((_, PeerEvent::Signal(Signal::Candidate(None)))) if ours.is_some() => return Ok(()),
                    Some((_, PeerEvent::Warning(why) | PeerEvent::Refused(why) | PeerEvent::Anew(why)))
                        if ours.is_none() =>
                    {
                        return Err(RequestError::Offer(why));
                    }
                    Some((_, event)) => self.pending.push_back(event),
                    None => return Err(RequestError::Gone),
                }
            }
        };
        // Without an answer of a STUN server, what there is must do.
        timeout(GATHERING, gathering).await.unwrap_or(Ok(()))?;
        let ours = ours.ok_or_else(|| RequestError::Busy(TOO_BUSY.to_owned()))?;
        self.tag(&ours);
        self.ours = self.nearest(candidates);
        Ok((ours, self.ours.clone()))
    }

    /// Our addresses, those that they can reach best first: some (FFmpeg) try the first one only.
    fn nearest(&self, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
        let text = |ip: IpAddr| format!(" {ip} ");
        let is = |candidate: &Candidate, ip: IpAddr| candidate.candidate.contains(&text(ip));
        candidates.sort_by_key(|candidate| {
            let near = self.near.is_some_and(|near| is(candidate, near));
            (!near, is(candidate, Ipv4Addr::LOCALHOST.into()), candidate.candidate.contains(" tcp "))
        });
        candidates
    }

    /// Another ICE session is in force.
    fn tag(&mut self, ours: &str) {
        let ufrag = credentials(ours).map(|ours| ours.ufrag).unwrap_or_default();
        self.etag = format!("\"{}\"", ufrag.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
    }
}

/// Whether an `If-Match` says that any session will do (RFC 9110, 13.1.1); the examples of RFC 9725 have it in quotes.
fn is_any(wanted: &str) -> bool {
    matches!(wanted.trim(), "*" | "\"*\"")
}

/// What they are told whom we do not answer in time.
const TOO_BUSY: &str = "the machine is too busy to answer";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_session_is_said_in_two_ways() {
        assert!(is_any("*") && is_any(" \"*\" ") && !is_any("\"a\"") && !is_any(""));
    }
}
