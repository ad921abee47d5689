//! Packets that arrive before their stream can begin: bounded in streams, packets and time. What does not fit is given back.

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

/// Packets whose stream did not begin in time.
pub(super) struct WaitedInVain {
    pub ssrc: u32,
    pub items: Vec<Inbound>,
    /// Those that found no room included.
    pub packets: u64,
}

impl From<(u32, Waiting)> for WaitedInVain {
    fn from((ssrc, Waiting { items, packets, overflow, .. }): (u32, Waiting)) -> WaitedInVain {
        WaitedInVain { ssrc, items, packets: packets as u64 + overflow }
    }
}

impl EarlyPackets {
    pub fn new(limits: EarlyLimits) -> EarlyPackets {
        EarlyPackets { limits, streams: HashMap::new() }
    }

    /// Whether a packet of the stream waits.
    pub fn has(&self, ssrc: u32) -> bool {
        self.streams.get(&ssrc).is_some_and(|waiting| waiting.packets > 0)
    }

    /// Since when packets of the stream wait.
    pub fn since(&self, ssrc: u32) -> Option<Instant> {
        self.streams.get(&ssrc).filter(|waiting| waiting.packets > 0).map(|waiting| waiting.since)
    }

    /// Keeps an item.
    ///
    /// # Errors
    /// It does not fit; with the problem to tell of, if this is the first one.
    pub fn keep(&mut self, item: Inbound) -> Result<(), (Inbound, Option<Problem>)> {
        let ssrc = item.ssrc();
        if self.streams.len() >= self.limits.streams && !self.streams.contains_key(&ssrc) {
            return Err((item, Some(Problem::Unannounced { ssrc, packets: 1 })));
        }
        let fresh = || Waiting { since: item.arrival(), items: Vec::new(), packets: 0, overflow: 0 };
        let waiting = self.streams.entry(ssrc).or_insert_with(fresh);
        if waiting.items.len() >= self.limits.packets {
            waiting.overflow += 1;
            return Err((item, (waiting.overflow == 1).then_some(Problem::EarlyOverflow { ssrc, packets: 1 })));
        }
        waiting.packets += usize::from(matches!(item, Inbound::Rtp(_)));
        waiting.items.push(item);
        Ok(())
    }

    /// What came of a stream, in its order.
    pub fn take(&mut self, ssrc: u32) -> Vec<Inbound> {
        self.streams.remove(&ssrc).map(|waiting| waiting.items).unwrap_or_default()
    }

    /// Packets that wait, of all streams.
    pub fn held(&self) -> u64 {
        self.streams.values().map(|waiting| waiting.packets as u64).sum()
    }

    /// Gives back what has waited for too long, by stream.
    pub fn expire(&mut self, now: Instant) -> Vec<WaitedInVain> {
        let age = self.limits.age;
        let old = |_: &u32, waiting: &mut Waiting| now.saturating_duration_since(waiting.since) >= age;
        self.streams.extract_if(old).map(WaitedInVain::from).collect()
    }

    /// Gives back everything.
    pub fn clear(&mut self) -> Vec<WaitedInVain> {
        self.streams.drain().map(WaitedInVain::from).collect()
    }
}
