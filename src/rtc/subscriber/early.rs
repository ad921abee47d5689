//! Packets that arrive before their stream can begin: bounded in streams, packets and time; what is dropped is counted and told.

use super::config::EarlyLimits;
use super::handler::Problem;
use crate::rtc::inbox::Inbound;
use std::collections::HashMap;
use std::time::Instant;

/// Early packets of all streams of a connection.
pub(super) struct EarlyPackets {
    limits: EarlyLimits,
    streams: HashMap<u32, Waiting>,
}

struct Waiting {
    since: Instant,
    items: Vec<Inbound>,
    packets: usize,
    overflow: u64,
}

impl EarlyPackets {
    pub fn new(limits: EarlyLimits) -> EarlyPackets {
        EarlyPackets { limits, streams: HashMap::new() }
    }

    /// Whether a packet of the stream waits.
    pub fn has(&self, ssrc: u32) -> bool {
        self.streams.get(&ssrc).is_some_and(|waiting| waiting.packets > 0)
    }

    /// Keeps an item. The first that does not fit is a problem; those after it are told with the stream's end.
    pub fn keep(&mut self, item: Inbound) -> Option<Problem> {
        let ssrc = item.ssrc();
        if self.streams.len() >= self.limits.streams && !self.streams.contains_key(&ssrc) {
            return Some(Problem::Unannounced { ssrc, packets: 1 });
        }
        let fresh = || Waiting { since: item.arrival(), items: Vec::new(), packets: 0, overflow: 0 };
        let waiting = self.streams.entry(ssrc).or_insert_with(fresh);
        if waiting.items.len() >= self.limits.packets {
            waiting.overflow += 1;
            return (waiting.overflow == 1).then_some(Problem::EarlyOverflow { ssrc, packets: 1 });
        }
        waiting.packets += usize::from(matches!(item, Inbound::Rtp(_)));
        waiting.items.push(item);
        None
    }

    /// What came of a stream, in its order.
    pub fn take(&mut self, ssrc: u32) -> Vec<Inbound> {
        self.streams.remove(&ssrc).map(|waiting| waiting.items).unwrap_or_default()
    }

    /// Drops what has waited for too long.
    pub fn expire(&mut self, now: Instant) -> Vec<Problem> {
        let age = self.limits.age;
        let old = |_: &u32, waiting: &mut Waiting| now.saturating_duration_since(waiting.since) >= age;
        self.streams.extract_if(old).map(dropped).collect()
    }

    /// Drops everything.
    pub fn clear(&mut self) -> Vec<Problem> {
        self.streams.drain().map(dropped).collect()
    }
}

fn dropped((ssrc, waiting): (u32, Waiting)) -> Problem {
    Problem::Unannounced { ssrc, packets: waiting.packets as u64 + waiting.overflow }
}
