//! Where a connection's packets wait for whoever takes them: filled from inside the driver, emptied in batches.

use crate::room::media::{Codec, MediaKind, RtpPacket};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long packets may wait for whom they are to be handed to.
const EARLY_FOR: Duration = Duration::from_secs(3);

/// Streams whose dropped packets are told apart.
const MAX_DROPPED_STREAMS: usize = 256;

/// What arrived for a receiver of media.
#[derive(Debug, Clone)]
pub enum Inbound {
    /// A packet of media.
    Rtp(RtpPacket),
    /// RTCP sender report (RFC 3550, 6.4.1): at `ntp` (seconds since 1900 in 32.32) the stream's clock showed `rtp`.
    SenderReport {
        /// The stream's.
        ssrc: u32,
        /// Of the sender's clock.
        ntp: u64,
        /// RTP timestamp.
        rtp: u32,
        /// When the kernel received it.
        arrival: Instant,
        /// The address that it came from: the sender's, or a server's in between.
        from: SocketAddr,
    },
    /// RTCP BYE (RFC 3550, 6.6): the sender says that nothing more comes of the stream.
    Goodbye {
        /// The stream's.
        ssrc: u32,
        /// When it arrived.
        arrival: Instant,
    },
    /// Packets of a stream that found the inbox full.
    Dropped {
        /// The stream's; 0 for all those together that are beyond the number that is told apart.
        ssrc: u32,
        /// How many.
        packets: u64,
        /// Bytes of their payloads.
        bytes: u64,
        /// When the first one arrived.
        first: Instant,
        /// When the last one arrived.
        last: Instant,
    },
}

impl Inbound {
    pub(crate) fn ssrc(&self) -> u32 {
        match self {
            Inbound::Rtp(packet) => packet.ssrc,
            Inbound::SenderReport { ssrc, .. } | Inbound::Goodbye { ssrc, .. } | Inbound::Dropped { ssrc, .. } => *ssrc,
        }
    }
    pub(crate) fn arrival(&self) -> Instant {
        match self {
            Inbound::Rtp(packet) => packet.arrival,
            Inbound::SenderReport { arrival, .. } | Inbound::Goodbye { arrival, .. } => *arrival,
            Inbound::Dropped { last, .. } => *last,
        }
    }
    /// The codec that a packet has, if it is of this kind.
    pub(crate) fn codec_of(&self, kind: MediaKind) -> Option<Codec> {
        match self {
            Inbound::Rtp(packet) => packet.codec().filter(|codec| codec.kind() == kind),
            _ => None,
        }
    }
    fn size(&self) -> usize {
        match self {
            Inbound::Rtp(packet) => packet.payload.len() + 64,
            Inbound::SenderReport { .. } | Inbound::Goodbye { .. } | Inbound::Dropped { .. } => 64,
        }
    }
}

/// A queue of inbound packets. Capacity [`Inbox::MAX_BYTES`] (at 2.5 Mbit/s about a minute); policy DropNewest, counted.
#[derive(Debug, Default)]
pub struct Inbox {
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    items: Vec<Inbound>,
    bytes: usize,
    dropped: u64,
    /// What was dropped since the queue was emptied, by SSRC.
    dropped_of: HashMap<u32, Inbound>,
    /// Streams that are somebody else's to take: of a connection that carries the media of many.
    others: HashMap<u32, Arc<Inbox>>,
    /// Who else gets everything that is put here.
    copy: Option<Arc<Inbox>>,
}

impl Queue {
    /// Counts what found no room.
    fn count_dropped(&mut self, item: &Inbound) {
        let Inbound::Rtp(packet) = item else { return };
        self.dropped += 1;
        let known = self.dropped_of.contains_key(&packet.ssrc) || self.dropped_of.len() < MAX_DROPPED_STREAMS;
        let ssrc = if known { packet.ssrc } else { 0 };
        let (size, arrival) = (packet.payload.len() as u64, packet.arrival);
        let fresh = || Inbound::Dropped { ssrc, packets: 0, bytes: 0, first: arrival, last: arrival };
        if let Inbound::Dropped { packets, bytes, last, .. } = self.dropped_of.entry(ssrc).or_insert_with(fresh) {
            *packets += 1;
            *bytes += size;
            *last = arrival;
        }
    }
}

impl Inbox {
    /// Bytes that may wait; more are dropped and counted.
    pub const MAX_BYTES: usize = 16 << 20;

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, item: Inbound) {
        let size = item.size();
        let (first, copy) = {
            let mut queue = self.lock();
            if let Some(other) = queue.others.get(&item.ssrc()).cloned() {
                drop(queue);
                return other.put(item);
            }
            if queue.bytes + size > Self::MAX_BYTES {
                queue.count_dropped(&item);
                return;
            }
            queue.bytes += size;
            let copy = queue.copy.clone().map(|copy| (copy, item.clone()));
            queue.items.push(item);
            (queue.items.len() == 1, copy)
        };
        if first {
            self.arrived.notify_one();
        }
        if let Some((copy, item)) = copy {
            copy.put(item);
        }
    }

    /// Moves everything that waits into `into` (which must be empty; its allocation goes the other way, so that none is made
    /// per batch) and returns how many packets were
    /// dropped since the last call; the batch ends with an [`Inbound::Dropped`] for each of their streams.
    pub fn drain(&self, into: &mut Vec<Inbound>) -> u64 {
        let mut queue = self.lock();
        std::mem::swap(&mut queue.items, into);
        queue.bytes = 0;
        into.extend(queue.dropped_of.drain().map(|(_, dropped)| dropped));
        std::mem::take(&mut queue.dropped)
    }

    /// From now on a stream's packets go to another inbox; what came of it in the last seconds goes first. Without one they wait here,
    /// to be handed on. What has waited for too long is nobody's, and goes.
    pub fn hand_on(&self, ssrc: u32, to: Option<Arc<Inbox>>) {
        let now = Instant::now();
        let mut queue = self.lock();
        let (theirs, mine) = std::mem::take(&mut queue.items)
            .into_iter()
            .filter(|item| now.saturating_duration_since(item.arrival()) < EARLY_FOR)
            .partition::<Vec<_>, _>(|item| to.is_some() && item.ssrc() == ssrc);
        queue.bytes = mine.iter().map(Inbound::size).sum();
        queue.items = mine;
        match to {
            // Under the lock, so that nothing overtakes it; the other's lock is never held around this one.
            Some(to) => {
                theirs.into_iter().for_each(|item| to.put(item));
                queue.others.insert(ssrc, to);
            }
            None => {
                queue.others.remove(&ssrc);
            }
        }
    }

    /// From now on another inbox gets all that is put here as well, and nobody waits for whoever empties it. The bytes are shared.
    pub fn copy_to(&self, other: Arc<Inbox>) {
        self.lock().copy = Some(other);
    }

    /// Waits until something has arrived since the inbox was last empty.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

/// Waits until the first of the streams' deadlines (beside [`Inbox::arrived`]); for ever where they have none.
pub async fn due(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(bytes: usize) -> Inbound {
        packet_of(1, bytes)
    }

    fn packet_of(ssrc: u32, bytes: usize) -> Inbound {
        Inbound::Rtp(RtpPacket {
            ssrc,
            payload_type: 96,
            format: Default::default(),
            sequence: 0,
            timestamp: 0,
            marker: false,
            audio_level: None,
            arrival: Instant::now(),
            payload: vec![0; bytes].into(),
        })
    }

    #[test]
    fn a_full_inbox_drops_the_newest_and_counts() {
        let inbox = Inbox::default();
        for _ in 0..20 {
            inbox.put(packet(1 << 20));
        }
        let mut got = Vec::new();
        let dropped = inbox.drain(&mut got);
        assert_eq!((got.len(), dropped), (16, 5));
        assert!(matches!(got[15], Inbound::Dropped { ssrc: 1, packets: 5, bytes, .. } if bytes == 5 << 20));
        got.clear();
        assert_eq!(inbox.drain(&mut got), 0);
        assert!(got.is_empty());
    }

    #[test]
    fn a_copy_gets_what_is_put_from_then_on_and_holds_up_nobody() {
        let (inbox, copy) = (Inbox::default(), Arc::new(Inbox::default()));
        inbox.put(packet(1));
        inbox.copy_to(copy.clone());
        let mut got = Vec::new();
        for _ in 0..20 {
            inbox.put(packet(1 << 20));
            inbox.drain(&mut got);
            got.clear();
        }
        assert_eq!(inbox.drain(&mut got), 0);
        // Nobody empties the copy: it is full, and only it has dropped anything.
        assert_eq!((copy.drain(&mut got), got.len()), (5, 16));
    }

    #[test]
    fn streams_are_handed_on_with_what_came_before() {
        let (sfu, alice, bob) = (Inbox::default(), Arc::new(Inbox::default()), Arc::new(Inbox::default()));
        let count = |inbox: &Inbox| {
            let mut got = Vec::new();
            inbox.drain(&mut got);
            got.len()
        };
        sfu.put(packet_of(7, 1));
        sfu.put(packet_of(8, 1));
        sfu.hand_on(7, Some(alice.clone()));
        sfu.put(packet_of(7, 1));
        assert_eq!((count(&alice), count(&bob)), (2, 0));
        sfu.hand_on(7, None);
        sfu.put(packet_of(7, 1));
        sfu.hand_on(7, Some(bob.clone()));
        assert_eq!((count(&alice), count(&bob), count(&sfu)), (0, 1, 1));
    }
}
