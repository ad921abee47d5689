//! Offers and answers of an [`HttpSession`]: POST, PATCH and what their answers mean. Part of its `impl`.

use super::{Health, HttpSession, Outcome, RESTART_TIMEOUT, Resource};
use crate::room::description::Signal;
use crate::room::end::EndReason;
use crate::room::policy::{FirstOffer, NegotiationPolicy};
use crate::room::sdp::Sdp;
use crate::signal::signaller::SignalEvent;
use crate::signal::whip_whep::description::{screen_labels, with_rtcp_mux_only};
use crate::signal::whip_whep::fragment::Fragment;
use crate::signal::whip_whep::http::{HttpFailure, Reply, shown};
use reqwest::StatusCode;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The same where the answer named other ICE servers, which only the next connection can use.
const CONNECT_TIMEOUT_WITHOUT_SERVERS: Duration = Duration::from_secs(4);

impl HttpSession {
    /// Begins a session with our offer.
    pub(super) async fn begin(&mut self, offer: &str) -> Result<(), Outcome> {
        if Sdp::sections_of(offer).is_empty() {
            let detail = "there is nothing to send yet, and no track can be added later".to_owned();
            return Err(Outcome::Ended(EndReason::Refused { detail }));
        }
        let offer = with_rtcp_mux_only(offer);
        loop {
            let (http, at, offer) = (self.http.clone(), self.endpoint.url.clone(), offer.as_str());
            let failure = match self.wait_for(async move { http.begin(&at, offer).await }).await? {
                Ok(reply) => match (reply.status.as_u16(), reply.session()) {
                    (200..300, Some(at)) if !Sdp::sections_of(&reply.body).is_empty() => {
                        return self.begun(&reply, at).await;
                    }
                    (200..300, _) => HttpFailure::refused(format!(
                        "{} answers without a session and a description",
                        shown(&reply.url)
                    )),
                    // Only for a receiver: a sender decides itself what it sends.
                    (406, Some(at)) if !self.policy.video.sends() && reply.is_description() => {
                        return self.counter_offered(at, reply.body).await;
                    }
                    _ => reply.failure(self.http.has_token()),
                },
                Err(failure) => failure,
            };
            if !failure.retry {
                return Err(Outcome::Ended(EndReason::Refused { detail: failure.why }));
            }
            tracing::warn!("{}; trying again", failure.why);
            self.pause(failure).await?;
        }
    }

    async fn begun(&mut self, reply: &Reply, at: Url) -> Result<(), Outcome> {
        let answer = reply.body.clone();
        self.resource = Some(Resource { url: at, answer: Some(answer.clone()) });
        let (before, id) = (self.ice_servers.clone(), self.id());
        let _ = self.check_probe(reply);
        // The new ICE servers help the next connection, if this one cannot be made without them.
        let limit = if before == self.ice_servers { CONNECT_TIMEOUT } else { CONNECT_TIMEOUT_WITHOUT_SERVERS };
        self.health = Health::Connecting(Instant::now() + limit);
        let tracks = screen_labels(&answer);
        if !tracks.is_empty() {
            self.emit(SignalEvent::Tracks { id: id.clone(), tracks }).await?;
        }
        self.emit(SignalEvent::Signal { from: id, signal: Signal::description("answer", answer) }).await
    }

    /// They refused our offer and made one themselves: another connection answers it.
    async fn counter_offered(&mut self, at: Url, offer: String) -> Result<(), Outcome> {
        self.resource = Some(Resource { url: at, answer: None });
        self.health = Health::Connecting(Instant::now() + CONNECT_TIMEOUT);
        self.emit(SignalEvent::Left { id: self.id(), reason: "left".to_owned() }).await?;
        self.connection += 1;
        let policy = NegotiationPolicy { first_offer: FirstOffer::Them, ..self.policy.clone() };
        self.emit(SignalEvent::JoinedWith { who: self.other_side(), policy }).await?;
        self.emit(SignalEvent::Signal { from: self.id(), signal: Signal::description("offer", offer) }).await
    }

    /// Answers their offer.
    pub(super) async fn answer(&mut self, answer: &str) -> Result<(), Outcome> {
        let Some(at) = self.resource.as_ref().map(|resource| resource.url.clone()) else { return Ok(()) };
        let (http, answer) = (self.http.clone(), with_rtcp_mux_only(answer));
        match self.wait_for(async move { http.answer(&at, &answer).await }).await? {
            Ok(reply) if reply.status.is_success() => Ok(()),
            Ok(reply) => Err(Outcome::Lost(reply.failure(self.http.has_token()))),
            Err(failure) => Err(Outcome::Lost(failure)),
        }
    }

    /// Restarts ICE with the credentials and candidates of our new offer (RFC 9725, 4.3.3).
    pub(super) async fn restart(&mut self, offer: &str) -> Result<(), Outcome> {
        let Some(Resource { url: at, answer: Some(before) }) = &self.resource else { return Ok(()) };
        let (http, at, before) = (self.http.clone(), at.clone(), before.clone());
        self.health = Health::Restarting(Instant::now() + RESTART_TIMEOUT);
        let fragment = Fragment { ended: true, ..Fragment::parse(offer).unwrap_or_default() }.write(offer);
        let reply = match self.wait_for(async move { http.restart(&at, &fragment).await }).await? {
            Ok(reply) => reply,
            Err(failure) => return Err(Outcome::Lost(failure)),
        };
        let theirs = Fragment::parse(&reply.body).filter(|_| reply.status == StatusCode::OK);
        let Some(Fragment { credentials: Some(new), candidates, .. }) = theirs else {
            let unsupported = || HttpFailure {
                retry: true,
                ..HttpFailure::refused(format!("{} does not restart ICE", shown(&reply.url)))
            };
            return Err(Outcome::Lost(if reply.status.is_success() {
                unsupported()
            } else {
                reply.failure(self.http.has_token())
            }));
        };
        let lines: Vec<&str> = candidates.iter().map(|candidate| candidate.candidate.as_str()).collect();
        let answer = Sdp::edit(&before, |sdp| {
            sdp.restart_ice(&new);
            sdp.add_candidates(&lines);
        });
        if let Some(resource) = &mut self.resource {
            resource.answer = Some(answer.clone());
        }
        self.emit(SignalEvent::Signal { from: self.id(), signal: Signal::description("answer", answer) }).await
    }
}
