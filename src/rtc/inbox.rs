//! Where a connection's packets wait for whoever takes them: filled from inside the driver, emptied in batches.

use crate::room::media::{Codec, MediaKind, RtpPacket};
use crate::rtc::media::packet_counts::DropReason;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Packets of a stream that ended here, or before.
    Dropped {
        /// The stream's; 0 for all those together that are beyond the number that is told apart.
        ssrc: u32,
        /// Why they ended.
        reason: DropReason,
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
    /// The count of it, if it is a packet or a count.
    fn dropped(self, reason: DropReason) -> Option<Inbound> {
        match self {
            Inbound::Rtp(packet) => {
                let (ssrc, at) = (packet.ssrc, packet.arrival);
                let bytes = packet.payload.len() as u64;
                Some(Inbound::Dropped { ssrc, reason, packets: 1, bytes, first: at, last: at })
            }
            Inbound::Dropped { .. } => Some(self),
            Inbound::SenderReport { .. } | Inbound::Goodbye { .. } => None,
        }
    }
    fn size(&self) -> usize {
        match self {
            Inbound::Rtp(packet) => packet.payload.len() + 64,
            Inbound::SenderReport { .. } | Inbound::Goodbye { .. } | Inbound::Dropped { .. } => 64,
        }
    }
}

/// A queue of inbound packets. Capacity [`Inbox::MAX_BYTES`] (at 2.5 Mbit/s about a minute) or as it was made; policy DropNewest, counted.
#[derive(Debug)]
pub struct Inbox {
    /// Bytes that may wait.
    capacity: usize,
    queue: Mutex<Queue>,
    arrived: Notify,
    /// A packet of media has come.
    heard: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    items: Vec<Inbound>,
    bytes: usize,
    /// Packets that found no room since the queue was emptied.
    overflow: u64,
    /// What was dropped since then, by SSRC and reason.
    dropped: HashMap<(u32, DropReason), Inbound>,
    /// Streams that are somebody else's to take: of a connection that carries the media of many. None: nobody's any more.
    others: HashMap<u32, Option<Arc<Inbox>>>,
    /// Who else gets everything that is put here.
    copy: Option<Arc<Inbox>>,
}

impl Queue {
    /// Counts packets that end here.
    fn count(&mut self, counted: Inbound) {
        let Inbound::Dropped { ssrc, reason, packets, bytes, first, last } = counted else { return };
        let known = self.dropped.contains_key(&(ssrc, reason)) || self.dropped.len() < MAX_DROPPED_STREAMS;
        let ssrc = if known { ssrc } else { 0 };
        let fresh = || Inbound::Dropped { ssrc, reason, packets: 0, bytes: 0, first, last };
        if let Inbound::Dropped { packets: all, bytes: size, first: begin, last: end, .. } =
            self.dropped.entry((ssrc, reason)).or_insert_with(fresh)
        {
            *all += packets;
            *size += bytes;
            (*begin, *end) = (first.min(*begin), last.max(*end));
        }
    }

    /// Why a stream's packets that nobody takes are dropped.
    fn why_nobody(&self, ssrc: u32) -> DropReason {
        if self.others.contains_key(&ssrc) { DropReason::AfterEnd } else { DropReason::Unowned }
    }

    /// Drops what has waited since before `begin` for somebody to be handed to.
    fn drop_old(&mut self, begin: Option<Instant>) {
        let is_old = |item: &mut Inbound| begin.is_none_or(|begin| item.arrival() <= begin);
        let old: Vec<Inbound> = self.items.extract_if(.., is_old).collect();
        for item in old {
            self.bytes = self.bytes.saturating_sub(item.size());
            let reason = self.why_nobody(item.ssrc());
            item.dropped(reason).into_iter().for_each(|counted| self.count(counted));
        }
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox::with_capacity(Inbox::MAX_BYTES)
    }
}

impl Inbox {
    /// Bytes that may wait; more are dropped and counted.
    pub const MAX_BYTES: usize = 16 << 20;

    /// An empty one, in which so many bytes may wait.
    pub fn with_capacity(bytes: usize) -> Inbox {
        Inbox { capacity: bytes, queue: Mutex::default(), arrived: Notify::new(), heard: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, item: Inbound) {
        let size = item.size();
        if matches!(item, Inbound::Rtp(_)) {
            self.heard.store(true, Ordering::Relaxed);
        }
        let (first, copy) = {
            let mut queue = self.lock();
            if let Some(other) = queue.others.get(&item.ssrc()).cloned().flatten() {
                drop(queue);
                return other.put(item);
            }
            if let Inbound::Dropped { .. } = item {
                return queue.count(item);
            }
            if queue.bytes + size > self.capacity {
                queue.overflow += u64::from(matches!(item, Inbound::Rtp(_)));
                item.dropped(DropReason::InboxFull).into_iter().for_each(|counted| queue.count(counted));
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

    /// A packet of a stream came and ends here: it carries nothing.
    pub(super) fn count(&self, ssrc: u32, reason: DropReason, bytes: usize, at: Instant) {
        self.put(Inbound::Dropped { ssrc, reason, packets: 1, bytes: bytes as u64, first: at, last: at });
    }

    /// Whether a packet of media has ever come.
    pub fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Moves everything that waits into `into` (which must be empty; its allocation goes the other way, so that none is made
    /// per batch) and returns how many packets found no room since the last call; the batch ends with an [`Inbound::Dropped`] for each
    /// stream and reason of dropped ones.
    pub fn drain(&self, into: &mut Vec<Inbound>) -> u64 {
        let mut queue = self.lock();
        std::mem::swap(&mut queue.items, into);
        queue.bytes = 0;
        into.extend(queue.dropped.drain().map(|(_, dropped)| dropped));
        std::mem::take(&mut queue.overflow)
    }

    /// From now on a stream's packets go to another inbox; what came of it in the last seconds goes first. Without one they wait here,
    /// to be handed on.
    pub fn hand_on(&self, ssrc: u32, to: Option<Arc<Inbox>>) {
        let mut queue = self.lock();
        queue.drop_old(Instant::now().checked_sub(EARLY_FOR));
        if let Some(to) = &to {
            // Under the lock, so that nothing overtakes it; the other's lock is never held around this one.
            let counted = queue.dropped.extract_if(|(of, _), _| *of == ssrc).map(|(_, counted)| counted);
            counted.collect::<Vec<_>>().into_iter().for_each(|counted| to.put(counted));
            let theirs: Vec<Inbound> = queue.items.extract_if(.., |item| item.ssrc() == ssrc).collect();
            queue.bytes = queue.items.iter().map(Inbound::size).sum();
            theirs.into_iter().for_each(|item| to.put(item));
        }
        if to.is_some() || queue.others.contains_key(&ssrc) {
            queue.others.insert(ssrc, to);
        }
        if queue.others.len() > MAX_DROPPED_STREAMS {
            queue.others.retain(|_, to| to.is_some());
        }
    }

    /// Nobody empties that inbox any more: what comes of its streams waits here.
    pub fn take_back(&self, from: &Arc<Inbox>) {
        let mut queue = self.lock();
        let theirs = |to: &&mut Option<Arc<Inbox>>| to.as_ref().is_some_and(|to| Arc::ptr_eq(to, from));
        queue.others.values_mut().filter(theirs).for_each(|to| *to = None);
    }

    /// Gives the counts of what was dropped here since the last call: what waited for too long (at the end: at all) to be handed on is
    /// nobody's.
    pub fn unowned(&self, is_end: bool) -> Vec<Inbound> {
        let mut queue = self.lock();
        queue.drop_old(if is_end { None } else { Instant::now().checked_sub(EARLY_FOR) });
        queue.overflow = 0;
        queue.dropped.drain().map(|(_, dropped)| dropped).collect()
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
mod tests;
