//! The packets of a stream that a receiver may ask for again. Bounded in packets, and in what is sent again.

use crate::room::media::RtpPacket;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Packets that are kept: 4 s of 2.5 Mbit/s. Their payloads are shared by all connections.
const KEPT: usize = 1024;
/// A packet is sent again after this long at the soonest: a request that crosses the answer to another is none.
const PAUSE: Duration = Duration::from_millis(10);
/// At most this many are sent again in [`SPAN`]; whoever loses more is better off with a key frame.
const MOST: u32 = 200;
const SPAN: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
struct Entry {
    sequence: u16,
    /// The packets of its frame, and which of them it is.
    frame: Arc<Vec<RtpPacket>>,
    at: usize,
    repeated: Option<Instant>,
}

/// What was sent.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// By sequence number modulo [`KEPT`].
    entries: Vec<Option<Entry>>,
    /// Since when packets that were sent again are counted, and how many.
    span: Option<(Instant, u32)>,
}

impl History {
    /// The packet at `at` of a frame was sent under this number.
    pub fn insert(&mut self, sequence: u16, frame: &Arc<Vec<RtpPacket>>, at: usize) {
        if self.entries.is_empty() {
            self.entries.resize(KEPT, None);
        }
        self.entries[usize::from(sequence) % KEPT] = Some(Entry { sequence, frame: frame.clone(), at, repeated: None });
    }

    /// The packet to be sent again; none if it is not known any more, or may not go now.
    pub fn repeat(&mut self, sequence: u16, now: Instant) -> Option<RtpPacket> {
        let entry = self.entries.get_mut(usize::from(sequence) % KEPT)?.as_mut()?;
        let recently = |at: Instant| now.saturating_duration_since(at) < PAUSE;
        if entry.sequence != sequence || entry.repeated.is_some_and(recently) {
            return None;
        }
        let fresh = self.span.is_none_or(|(since, _)| now.saturating_duration_since(since) >= SPAN);
        let (since, count) = self.span.filter(|_| !fresh).unwrap_or((now, 0));
        if count >= MOST {
            return None;
        }
        self.span = Some((since, count + 1));
        entry.repeated = Some(now);
        entry.frame.get(entry.at).cloned()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtc::egress::tests::packet;

    fn sent(history: &mut History, sequences: impl IntoIterator<Item = u16>) {
        for sequence in sequences {
            history.insert(sequence, &Arc::new(vec![packet(sequence, 100)]), 0);
        }
    }

    #[test]
    fn the_last_thousand_are_kept() {
        let (mut history, now) = (History::default(), Instant::now());
        assert!(history.repeat(5, now).is_none());
        sent(&mut history, 0..1030);
        assert!(history.repeat(5, now).is_none(), "it is 1,025 back");
        assert_eq!(history.repeat(6, now).map(|packet| packet.sequence), Some(6));
        assert!(history.repeat(1030, now).is_none());
        history.clear();
        assert!(history.repeat(7, now).is_none());
    }

    #[test]
    fn a_packet_is_not_sent_again_at_once_and_not_too_many_are() {
        let (mut history, start) = (History::default(), Instant::now());
        sent(&mut history, 0..600);
        let at = |ms| start + Duration::from_millis(ms);
        assert!(history.repeat(1, at(0)).is_some());
        assert!(history.repeat(1, at(9)).is_none());
        assert!(history.repeat(1, at(10)).is_some());
        let count = |history: &mut History, from: u16, ms| {
            (from..from + 300).filter(|sequence| history.repeat(*sequence, at(ms)).is_some()).count()
        };
        assert_eq!(count(&mut history, 2, 20), 198, "two went before");
        assert_eq!(count(&mut history, 300, 120), 200, "another span");
    }
}
