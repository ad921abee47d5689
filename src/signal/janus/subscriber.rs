//! The handle that subscribes to what others send: one connection, whose sections are reused as participants join and leave. Pure: it says
//! what to request, and is told the time.

use super::subscriber_sdp::Sections;
use super::wire;
use crate::room::media::MediaKind;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How long to wait for an answer of the server, or of our own connection, before subscribing again from the start.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Which participant's stream a section carries.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SubscribedStream {
    /// The section's MID, which is also the stream id on our connection.
    pub mid: String,
    pub kind: MediaKind,
    /// Whose stream it is, and its MID there.
    pub feed: String,
    pub feed_mid: String,
}

/// A stream to subscribe to: the feed's id as text and as the server wants it, and the MID there; all streams, where that is unknown.
pub(super) type Wanted = (String, Value, Option<String>);

/// What to request from the server.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    Attach,
    /// A message on this handle.
    Message(u64, Value),
}

#[derive(Default)]
pub(super) struct Subscriber {
    pub handle: Option<u64>,
    joined: bool,
    /// Since when a request or negotiation is in progress: one at a time.
    busy_since: Option<Instant>,
    /// What the last request asked for.
    requested: Vec<(String, Option<String>)>,
    /// What the server did not grant, until its sender changes something.
    refused: HashSet<(String, Option<String>)>,
    pub subscribed: Vec<SubscribedStream>,
    sections: Sections,
}

impl Subscriber {
    /// The next request, so that everything wanted is subscribed to. `substream`: the simulcast layer.
    pub fn next_request(&mut self, wanted: &[Wanted], join: &Value, substream: u64, now: Instant) -> Option<Request> {
        if self.busy_since.is_some() {
            return None;
        }
        let is_done = |feed: &str, mid: &Option<String>| {
            self.subscribed.iter().any(|s| s.feed == feed && mid.as_ref().is_none_or(|mid| *mid == s.feed_mid))
                || self.refused.contains(&(feed.to_owned(), mid.clone()))
        };
        let missing: Vec<&Wanted> = wanted.iter().filter(|(feed, _, mid)| !is_done(feed, mid)).collect();
        if missing.is_empty() {
            return None;
        }
        self.busy_since = Some(now);
        let Some(handle) = self.handle else { return Some(Request::Attach) };
        self.requested = missing.iter().map(|(feed, _, mid)| (feed.clone(), mid.clone())).collect();
        let streams: Vec<Value> = missing
            .iter()
            .map(|(_, feed, mid)| {
                let mut stream = json!({"feed": feed, "substream": substream, "temporal": 2});
                if let Some(mid) = mid {
                    stream["mid"] = mid.as_str().into();
                }
                stream
            })
            .collect();
        let body = if self.joined {
            json!({"request": "update", "subscribe": streams})
        } else {
            let mut body = join.clone();
            // No new offer when somebody leaves: that is known anyway, and the section is reused by the next stream.
            body["autoupdate"] = false.into();
            body["streams"] = streams.into();
            body
        };
        Some(Request::Message(handle, body))
    }

    /// The server made the handle.
    pub fn attached(&mut self, handle: u64) {
        *self =
            Subscriber { handle: Some(handle), refused: std::mem::take(&mut self.refused), ..Subscriber::default() };
    }

    /// Requests an offer with an ICE restart.
    pub fn restart_ice(&mut self, now: Instant) -> Option<Request> {
        let handle = self.handle.filter(|_| self.joined && self.busy_since.is_none())?;
        self.busy_since = Some(now);
        Some(Request::Message(handle, json!({"request": "configure", "restart": true})))
    }

    /// A message of the server on the handle; `answers`: it answers a request of ours. Returns the offer as our side is to see it.
    pub fn on_message(&mut self, data: &Value, offer: Option<&str>, answers: bool, now: Instant) -> Option<String> {
        if matches!(data["videoroom"].as_str(), Some("attached" | "updated")) {
            self.joined = true;
            if let Some(streams) = data["streams"].as_array() {
                self.subscribed = streams.iter().filter_map(subscribed_stream).collect();
            }
            for (feed, mid) in std::mem::take(&mut self.requested) {
                let granted =
                    |s: &SubscribedStream| s.feed == feed && mid.as_ref().is_none_or(|mid| *mid == s.feed_mid);
                if !self.subscribed.iter().any(granted) {
                    self.refused.insert((feed, mid));
                }
            }
        }
        if offer.is_some() {
            self.busy_since = Some(now);
        } else if answers && data["videoroom"] != "updating" {
            // The reply to our SDP answer, or to a change without negotiation. Notices about simulcast layers come at any time.
            self.busy_since = None;
        }
        offer.map(|offer| self.sections.rewrite_offer(offer))
    }

    /// The server answered the last request with an error.
    pub fn request_failed(&mut self) {
        self.busy_since = None;
        self.refused.extend(std::mem::take(&mut self.requested));
    }

    /// Our answer to its offer, as the server is to see it.
    pub fn answer(&self, sdp: &str) -> Option<(u64, String)> {
        self.handle.map(|handle| (handle, self.sections.rewrite_answer(sdp)))
    }

    /// A participant's streams changed: what was refused may be granted now.
    pub fn streams_changed(&mut self, feed: &str) {
        self.refused.retain(|(of, _)| of != feed);
    }

    /// A participant has no streams any more.
    pub fn remove(&mut self, feed: &str) {
        self.streams_changed(feed);
        self.subscribed.retain(|stream| stream.feed != feed);
    }

    /// The connection or the handle is lost. Returns whether there was one.
    pub fn reset(&mut self) -> bool {
        let was = self.handle.is_some();
        *self = Subscriber::default();
        was
    }

    /// A request or negotiation is in progress.
    pub fn is_busy(&self) -> bool {
        self.busy_since.is_some()
    }

    pub fn is_late(&self, now: Instant) -> bool {
        self.busy_since.is_some_and(|since| now.duration_since(since) > ANSWER_TIMEOUT)
    }
}

/// A section's entry in the server's list, if it carries a stream.
fn subscribed_stream(stream: &Value) -> Option<SubscribedStream> {
    if stream["active"] == false {
        return None;
    }
    let kind = match stream["type"].as_str() {
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ => return None,
    };
    let (mid, feed_mid) = (wire::id_of(&stream["mid"])?, wire::id_of(&stream["feed_mid"])?);
    Some(SubscribedStream { mid, kind, feed: wire::id_of(&stream["feed_id"])?, feed_mid })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(feed: u64, mid: &str) -> Wanted {
        (feed.to_string(), feed.into(), Some(mid.to_owned()))
    }

    #[test]
    fn one_thing_at_a_time_until_all_are_heard() {
        let (mut subscriber, now, join) = (Subscriber::default(), Instant::now(), json!({"request": "join"}));
        let mut wanted = vec![want(7, "0"), want(7, "1")];
        assert_eq!(subscriber.next_request(&[], &join, 2, now), None);
        assert_eq!(subscriber.next_request(&wanted, &join, 2, now), Some(Request::Attach));
        assert_eq!(subscriber.next_request(&wanted, &join, 2, now), None, "a request is in progress");
        subscriber.attached(9);
        let Some(Request::Message(9, body)) = subscriber.next_request(&wanted, &join, 2, now) else {
            panic!("no join")
        };
        assert_eq!((&body["request"], body["streams"].as_array().map(Vec::len)), (&json!("join"), Some(2)));

        // Another participant joins before the first is subscribed.
        wanted.push(want(8, "0"));
        let stream = |mid: &str, feed: u64, feed_mid: &str, kind: &str| json!({"mid": mid, "feed_id": feed, "feed_mid": feed_mid, "type": kind, "active": true});
        let attached =
            json!({"videoroom": "attached", "streams": [stream("0", 7, "0", "audio"), stream("1", 7, "1", "video")]});
        assert!(subscriber.on_message(&attached, Some("v=0\r\n"), true, now).is_some());
        assert_eq!(subscriber.next_request(&wanted, &join, 2, now), None, "the offer is not answered");
        assert!(subscriber.answer("v=0\r\n").is_some());
        subscriber.on_message(&json!({"videoroom": "event", "mid": "1", "substream": 2}), None, false, now);
        assert_eq!(subscriber.next_request(&wanted, &join, 2, now), None, "nor is our answer");
        subscriber.on_message(&json!({"videoroom": "event", "started": "ok"}), None, true, now);
        let Some(Request::Message(9, body)) = subscriber.next_request(&wanted, &join, 2, now) else {
            panic!("no update")
        };
        assert_eq!((&body["request"], &body["subscribe"][0]["feed"]), (&json!("update"), &json!(8)));

        // It is not granted; it is not requested again until something changes.
        let updated = json!({"videoroom": "updated", "streams": attached["streams"]});
        assert_eq!(subscriber.on_message(&updated, None, true, now), None);
        assert_eq!(subscriber.next_request(&wanted, &join, 2, now), None);
        subscriber.streams_changed("8");
        assert!(subscriber.next_request(&wanted, &join, 2, now).is_some());
        assert!(!subscriber.is_late(now) && subscriber.is_late(now + 2 * ANSWER_TIMEOUT));

        subscriber.remove("7");
        assert!(subscriber.subscribed.is_empty() && subscriber.reset() && !subscriber.reset());
    }
}
