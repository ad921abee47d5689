//! Where a connection's packets wait for whoever takes them: filled from inside the driver, emptied in batches.

use crate::room::media::RtpPacket;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// What arrived for a receiver of media.
#[derive(Debug, Clone)]
pub enum Inbound {
    Rtp(RtpPacket),
    /// RTCP sender report (RFC 3550, 6.4.1): at `ntp` (seconds since 1900 in 32.32) the stream's clock showed `rtp`.
    SenderReport {
        ssrc: u32,
        ntp: u64,
        rtp: u32,
        arrival: Instant,
    },
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
}

impl Inbox {
    /// Bytes that may wait; more are dropped and counted.
    pub const MAX_BYTES: usize = 16 << 20;

    pub(super) fn put(&self, item: Inbound) {
        let size = match &item {
            Inbound::Rtp(packet) => packet.payload.len() + 64,
            Inbound::SenderReport { .. } => 64,
        };
        let first = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.bytes + size > Self::MAX_BYTES {
                queue.dropped += 1;
                return;
            }
            queue.bytes += size;
            queue.items.push(item);
            queue.items.len() == 1
        };
        if first {
            self.arrived.notify_one();
        }
    }

    /// Moves everything that waits into `into` (which must be empty; its allocation goes the other way, so that none is made
    /// per batch) and returns how many packets were dropped since the last call.
    pub fn drain(&self, into: &mut Vec<Inbound>) -> u64 {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut queue.items, into);
        queue.bytes = 0;
        std::mem::take(&mut queue.dropped)
    }

    /// Waits until something has arrived since the inbox was last empty.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(bytes: usize) -> Inbound {
        Inbound::Rtp(RtpPacket {
            ssrc: 1,
            payload_type: 96,
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
        assert_eq!((got.len(), dropped), (15, 5));
        got.clear();
        assert_eq!(inbox.drain(&mut got), 0);
        assert!(got.is_empty());
    }
}
