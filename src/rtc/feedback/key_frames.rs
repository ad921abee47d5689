//! When a receiver asks for a key frame, and how requests are kept apart (PLI and FIR, RFC 4585 6.3.1 and RFC 5104 3.5.1). Pure: told the
//! time; it sends nothing.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Intervals of a [`KeyFrameNeed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFrameTiming {
    /// A key frame that has not arrived is requested again after this time.
    pub retry: Duration,
    /// Longest time between two key frames, so that a player can seek; without one, key frames are requested only when needed.
    pub interval: Option<Duration>,
}

/// Whether the receiver of one video stream has to request a key frame now.
#[derive(Debug)]
pub struct KeyFrameNeed {
    timing: KeyFrameTiming,
    /// Since when nothing can be decoded without a key frame.
    needed: Option<Instant>,
    requested: Option<Instant>,
    last_key_frame: Option<Instant>,
    frames_since_key: u64,
}

impl KeyFrameNeed {
    /// A stream that needs no key frame yet.
    pub fn new(timing: KeyFrameTiming) -> Self {
        Self { timing, needed: None, requested: None, last_key_frame: None, frames_since_key: 0 }
    }

    /// A key frame is needed from `now` on (does nothing if one is needed already). Requests keep their distance from the last one.
    pub fn need(&mut self, now: Instant) {
        self.needed.get_or_insert(now);
    }

    /// Like [`KeyFrameNeed::need`], and the next request is due at once: the stream broke after the last request.
    pub fn need_at_once(&mut self, now: Instant) {
        self.need(now);
        self.requested = None;
    }

    /// Whether frames cannot be used until a key frame arrives.
    pub fn is_needed(&self) -> bool {
        self.needed.is_some()
    }

    /// A frame arrived. If it is the key frame that was needed, returns since when.
    pub fn on_frame(&mut self, key: bool, arrival: Instant) -> Option<Instant> {
        if !key {
            self.frames_since_key += 1;
            return None;
        }
        self.last_key_frame = Some(arrival);
        self.frames_since_key = 0;
        self.needed.take()
    }

    /// Whether a request has to be sent now; if so, counts it as sent.
    pub fn request_due(&mut self, now: Instant) -> bool {
        let since = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        let pause = match self.timing.interval {
            _ if self.needed.is_some() => self.timing.retry,
            // A stream that pauses has nothing to seek in.
            Some(interval)
                if self.frames_since_key > 0 && since(self.last_key_frame).is_some_and(|age| age > interval) =>
            {
                interval
            }
            _ => return false,
        };
        let due = since(self.requested).is_none_or(|age| age >= pause);
        if due {
            self.requested = Some(now);
        }
        due
    }
}

/// Keeps requests for key frames of several streams apart. `K` names a stream: its SSRC, or whatever the caller counts by.
///
/// A request within the pause after another is either dropped ([`KeyFrameRequests::request`]) or sent at the end of the pause
/// ([`KeyFrameRequests::request_or_defer`]).
#[derive(Debug)]
pub struct KeyFrameRequests<K = u32> {
    pause: Duration,
    sent: HashMap<K, Instant>,
    deferred: HashSet<K>,
}

impl<K: Eq + Hash + Clone> KeyFrameRequests<K> {
    /// At least `pause` between two requests for the same stream.
    pub fn new(pause: Duration) -> Self {
        Self { pause, sent: HashMap::new(), deferred: HashSet::new() }
    }

    /// Whether to send a request now; if so, counts it as sent. Otherwise the request is dropped: it is the same as the last one.
    pub fn request(&mut self, stream: &K, now: Instant) -> bool {
        let due = self.sent.get(stream).is_none_or(|sent| now.saturating_duration_since(*sent) >= self.pause);
        if due {
            self.deferred.remove(stream);
            self.sent.insert(stream.clone(), now);
        }
        due
    }

    /// Like [`KeyFrameRequests::request`], but a request that comes too early is due at the end of the pause; several are one.
    pub fn request_or_defer(&mut self, stream: &K, now: Instant) -> bool {
        let due = self.request(stream, now);
        if !due {
            self.deferred.insert(stream.clone());
        }
        due
    }

    /// When [`KeyFrameRequests::take_due`] has something next.
    pub fn deadline(&self) -> Option<Instant> {
        self.deferred.iter().filter_map(|stream| self.sent.get(stream)).min().map(|sent| *sent + self.pause)
    }

    /// Deferred requests whose pause is over, which are sent now.
    pub fn take_due(&mut self, now: Instant) -> Vec<K> {
        let deferred: Vec<K> = self.deferred.iter().cloned().collect();
        deferred.into_iter().filter(|stream| self.request(stream, now)).collect()
    }

    /// The stream has ended.
    pub fn forget(&mut self, stream: &K) {
        self.sent.remove(stream);
        self.deferred.remove(stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Duration = Duration::from_secs(1);
    const EVERY: Duration = Duration::from_secs(4);

    fn need(interval: Option<Duration>) -> (KeyFrameNeed, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (KeyFrameNeed::new(KeyFrameTiming { retry: RETRY, interval }), move |ms| start + Duration::from_millis(ms))
    }

    #[test]
    fn a_needed_key_frame_is_requested_until_it_arrives() {
        let (mut need, at) = need(None);
        assert!(!need.request_due(at(0)), "nothing is needed");
        need.need(at(100));
        need.need(at(200));
        let due: Vec<u64> = (0..30).map(|n| 100 * n).filter(|ms| *ms >= 100 && need.request_due(at(*ms))).collect();
        assert_eq!(due, [100, 1100, 2100]);
        assert_eq!(need.on_frame(false, at(2990)), None);
        assert!(need.is_needed());
        assert_eq!(need.on_frame(true, at(3000)), Some(at(100)), "since the first moment");
        assert!(!need.is_needed() && !need.request_due(at(60_000)));
    }

    #[test]
    fn a_new_need_keeps_its_distance_or_is_due_at_once() {
        let (mut need, at) = need(None);
        need.need(at(0));
        assert!(need.request_due(at(0)));
        need.on_frame(true, at(50));
        need.need(at(100));
        assert!(!need.request_due(at(999)));
        assert!(need.request_due(at(1000)));
        need.need_at_once(at(1010));
        assert!(need.request_due(at(1010)));
        assert_eq!(need.on_frame(true, at(1020)), Some(at(100)), "it was needed all the time");
    }

    #[test]
    fn a_long_interval_without_a_key_frame_requests_one() {
        let (mut need, at) = need(Some(EVERY));
        need.on_frame(true, at(0));
        assert!(!need.request_due(at(5000)), "no frame has followed");
        need.on_frame(false, at(5000));
        assert!(need.request_due(at(5001)));
        assert!(!need.request_due(at(8000)));
        assert!(need.request_due(at(9001)), "it did not come");
        need.on_frame(true, at(9100));
        need.on_frame(false, at(9133));
        assert!(!need.request_due(at(13_100)), "exactly the interval");
        assert!(need.request_due(at(13_101)));
    }

    #[test]
    fn nothing_is_overdue_before_the_first_key_frame_or_without_an_interval() {
        let (mut with, at) = need(Some(EVERY));
        with.on_frame(false, at(0));
        assert!(!with.request_due(at(60_000)));
        let (mut without, at) = need(None);
        without.on_frame(true, at(0));
        without.on_frame(false, at(10));
        assert!(!without.request_due(at(60_000)));
    }

    #[test]
    fn requests_within_the_pause_are_dropped_for_each_stream_alone() {
        let (start, pause) = (Instant::now(), Duration::from_millis(400));
        let mut requests = KeyFrameRequests::new(pause);
        assert!(requests.request(&7, start) && requests.request(&8, start));
        assert!(!requests.request(&7, start + pause - Duration::from_millis(1)));
        assert_eq!(requests.deadline(), None, "it is dropped");
        assert!(requests.request(&7, start + pause));
        requests.forget(&7);
        assert!(requests.request(&7, start + pause));
    }

    #[test]
    fn deferred_requests_are_one_at_the_end_of_the_pause() {
        let (start, pause) = (Instant::now(), Duration::from_millis(300));
        let at = |ms| start + Duration::from_millis(ms);
        let mut requests = KeyFrameRequests::new(pause);
        assert!(requests.request_or_defer(&"camera", at(0)));
        assert!(!requests.request_or_defer(&"camera", at(10)));
        assert!(!requests.request_or_defer(&"camera", at(200)));
        assert_eq!(requests.deadline(), Some(at(300)));
        assert!(requests.take_due(at(299)).is_empty());
        assert_eq!(requests.take_due(at(300)), ["camera"]);
        assert_eq!((requests.deadline(), requests.take_due(at(900)).len()), (None, 0));
        // One that is sent takes the place of the deferred one.
        assert!(requests.request_or_defer(&"camera", at(1000)));
        assert!(!requests.request_or_defer(&"camera", at(1100)));
        assert!(requests.request(&"camera", at(1300)));
        assert_eq!(requests.deadline(), None);
    }
}
