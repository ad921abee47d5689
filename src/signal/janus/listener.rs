//! The handle that takes what others send: one connection, whose sections are filled as people come and go. Pure: it says what to ask for,
//! and is told the time.

use super::sections::Sections;
use super::wire;
use crate::room::media::MediaKind;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How long an answer of the server's, or of our own connection's, is waited for before all begins anew.
const PATIENCE: Duration = Duration::from_secs(15);

/// Whose stream stands in a section.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    /// The section's name, which is what the stream is called on our connection.
    pub mid: String,
    pub kind: MediaKind,
    /// Who sends it, and what it is called there.
    pub feed: String,
    pub feed_mid: String,
}

/// A stream that is to be taken: whose, and which of theirs; all, where that is not known.
pub(super) type Wanted = (String, Value, Option<String>);

/// What is to be asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    Attach,
    /// To be said on this handle.
    Message(u64, Value),
}

#[derive(Default)]
pub(super) struct Listener {
    pub handle: Option<u64>,
    joined: bool,
    /// Since when something is under way: one thing at a time.
    busy: Option<Instant>,
    /// What was asked for last.
    asked: Vec<(String, Option<String>)>,
    /// What the server did not give us, until its sender changes something.
    refused: HashSet<(String, Option<String>)>,
    pub placed: Vec<Placed>,
    sections: Sections,
}

impl Listener {
    /// What is to be done next, so that everything wanted is taken. `substream`: which picture of several.
    pub fn steer(&mut self, wanted: &[Wanted], join: &Value, substream: u64, now: Instant) -> Option<Request> {
        if self.busy.is_some() {
            return None;
        }
        let there = |feed: &str, mid: &Option<String>| {
            self.placed.iter().any(|p| p.feed == feed && mid.as_ref().is_none_or(|mid| *mid == p.feed_mid))
                || self.refused.contains(&(feed.to_owned(), mid.clone()))
        };
        let missing: Vec<&Wanted> = wanted.iter().filter(|(feed, _, mid)| !there(feed, mid)).collect();
        if missing.is_empty() {
            return None;
        }
        self.busy = Some(now);
        let Some(handle) = self.handle else { return Some(Request::Attach) };
        self.asked = missing.iter().map(|(feed, _, mid)| (feed.clone(), mid.clone())).collect();
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
            // Who leaves is noticed anyway, and their section is taken by the next: no offer is needed for it.
            body["autoupdate"] = false.into();
            body["streams"] = streams.into();
            body
        };
        Some(Request::Message(handle, body))
    }

    /// The handle is there.
    pub fn attached(&mut self, handle: u64) {
        *self = Listener { handle: Some(handle), refused: std::mem::take(&mut self.refused), ..Listener::default() };
    }

    /// Asks for an offer with new network paths.
    pub fn restart(&mut self, now: Instant) -> Option<Request> {
        let handle = self.handle.filter(|_| self.joined && self.busy.is_none())?;
        self.busy = Some(now);
        Some(Request::Message(handle, json!({"request": "configure", "restart": true})))
    }

    /// The server says something on the handle; `answers`: to a request of ours. An offer is given back as our side is to see it.
    pub fn heard(&mut self, data: &Value, offer: Option<&str>, answers: bool, now: Instant) -> Option<String> {
        if matches!(data["videoroom"].as_str(), Some("attached" | "updated")) {
            self.joined = true;
            if let Some(streams) = data["streams"].as_array() {
                self.placed = streams.iter().filter_map(placed).collect();
            }
            for (feed, mid) in std::mem::take(&mut self.asked) {
                let given = |p: &Placed| p.feed == feed && mid.as_ref().is_none_or(|mid| *mid == p.feed_mid);
                if !self.placed.iter().any(given) {
                    self.refused.insert((feed, mid));
                }
            }
        }
        if offer.is_some() {
            self.busy = Some(now);
        } else if answers && data["videoroom"] != "updating" {
            // To our answer, or to a change that needs no negotiation. News of layers comes at any time and settles nothing.
            self.busy = None;
        }
        offer.map(|offer| self.sections.shown(offer))
    }

    /// The server did not do what it was asked for.
    pub fn complained(&mut self) {
        self.busy = None;
        self.refused.extend(std::mem::take(&mut self.asked));
    }

    /// Our answer to its offer, as it is to be said.
    pub fn answer(&self, sdp: &str) -> Option<(u64, String)> {
        self.handle.map(|handle| (handle, self.sections.answered(sdp)))
    }

    /// Somebody's streams changed: what was refused may be given now.
    pub fn changed(&mut self, feed: &str) {
        self.refused.retain(|(of, _)| of != feed);
    }

    /// Somebody sends nothing any more.
    pub fn gone(&mut self, feed: &str) {
        self.changed(feed);
        self.placed.retain(|placed| placed.feed != feed);
    }

    /// The connection, or what we had on the server, is lost; true where there was something.
    pub fn lost(&mut self) -> bool {
        let was = self.handle.is_some();
        *self = Listener::default();
        was
    }

    /// Something was under way, and its answer may have been lost.
    pub fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    pub fn is_late(&self, now: Instant) -> bool {
        self.busy.is_some_and(|since| now.duration_since(since) > PATIENCE)
    }
}

/// A section's entry, if somebody stands there.
fn placed(stream: &Value) -> Option<Placed> {
    if stream["active"] == false {
        return None;
    }
    let kind = match stream["type"].as_str() {
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ => return None,
    };
    let (mid, feed_mid) = (wire::id_of(&stream["mid"])?, wire::id_of(&stream["feed_mid"])?);
    Some(Placed { mid, kind, feed: wire::id_of(&stream["feed_id"])?, feed_mid })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(feed: u64, mid: &str) -> Wanted {
        (feed.to_string(), feed.into(), Some(mid.to_owned()))
    }

    #[test]
    fn one_thing_at_a_time_until_all_are_heard() {
        let (mut listener, now, join) = (Listener::default(), Instant::now(), json!({"request": "join"}));
        let mut wanted = vec![want(7, "0"), want(7, "1")];
        assert_eq!(listener.steer(&[], &join, 2, now), None);
        assert_eq!(listener.steer(&wanted, &join, 2, now), Some(Request::Attach));
        assert_eq!(listener.steer(&wanted, &join, 2, now), None, "it is under way");
        listener.attached(9);
        let Some(Request::Message(9, body)) = listener.steer(&wanted, &join, 2, now) else { panic!("no join") };
        assert_eq!((&body["request"], body["streams"].as_array().map(Vec::len)), (&json!("join"), Some(2)));

        // Another comes before the first is settled.
        wanted.push(want(8, "0"));
        let stream = |mid: &str, feed: u64, feed_mid: &str, kind: &str| json!({"mid": mid, "feed_id": feed, "feed_mid": feed_mid, "type": kind, "active": true});
        let attached =
            json!({"videoroom": "attached", "streams": [stream("0", 7, "0", "audio"), stream("1", 7, "1", "video")]});
        assert!(listener.heard(&attached, Some("v=0\r\n"), true, now).is_some());
        assert_eq!(listener.steer(&wanted, &join, 2, now), None, "the offer is not answered");
        assert!(listener.answer("v=0\r\n").is_some());
        listener.heard(&json!({"videoroom": "event", "mid": "1", "substream": 2}), None, false, now);
        assert_eq!(listener.steer(&wanted, &join, 2, now), None, "nor is our answer");
        listener.heard(&json!({"videoroom": "event", "started": "ok"}), None, true, now);
        let Some(Request::Message(9, body)) = listener.steer(&wanted, &join, 2, now) else { panic!("no update") };
        assert_eq!((&body["request"], &body["subscribe"][0]["feed"]), (&json!("update"), &json!(8)));

        // It is not given; nobody asks again until something changes.
        let updated = json!({"videoroom": "updated", "streams": attached["streams"]});
        assert_eq!(listener.heard(&updated, None, true, now), None);
        assert_eq!(listener.steer(&wanted, &join, 2, now), None);
        listener.changed("8");
        assert!(listener.steer(&wanted, &join, 2, now).is_some());
        assert!(!listener.is_late(now) && listener.is_late(now + 2 * PATIENCE));

        listener.gone("7");
        assert!(listener.placed.is_empty() && listener.lost() && !listener.lost());
    }
}
