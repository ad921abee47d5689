//! When a socket that is read on a tick is read next, and when it is better read with every datagram. Pure: told the time.
//!
//! A browser sends no more than four packets for each acknowledgement (dcSCTP's burst limit), so a file comes as fast as we
//! acknowledge: on a tick of 2 ms that is 2 MB/s.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The tick while handshakes, ICE checks or data channels are on the wire.
const FAST_TICK: Duration = Duration::from_millis(2);
/// How long after such a packet the tick stays fast.
const FAST_FOR: Duration = Duration::from_millis(300);
/// The tick of a socket that has received nothing for [`QUIET_AFTER`] (the address that ICE did not choose).
const QUIET_TICK: Duration = Duration::from_millis(50);
const QUIET_AFTER: Duration = Duration::from_secs(5);
/// A batch of this many datagrams means that the peer is in a hurry: look again at once.
const BUSY_BATCH: usize = 32;
/// The same where a tick reads all that is there: as much as a large key frame is no hurry.
const BUSY_ROUND: usize = 128;

/// The first byte of a DTLS record with data in it (RFC 9147): an SCTP packet.
const DTLS_DATA: u8 = 23;
/// So many of them in so long are a file.
const BULK_PACKETS: u32 = 20;
const BULK_WITHIN: Duration = Duration::from_millis(50);

/// The cadence of one socket.
#[derive(Debug)]
pub(crate) struct Cadence {
    tick: Duration,
    batch: usize,
    last_any: Instant,
    last_urgent: Instant,
    /// SCTP packets in this [`BULK_WITHIN`], and since when.
    bulk: u32,
    bulk_since: Instant,
    is_bulk: bool,
    /// A batch of this many datagrams is a hurry.
    busy_at: usize,
}

impl Cadence {
    /// A socket that is read once in `tick`.
    pub fn new(tick: Duration, now: Instant) -> Cadence {
        let (batch, bulk, is_bulk, busy_at) = (0, 0, false, BUSY_BATCH);
        Cadence { tick, batch, last_any: now, last_urgent: now, bulk, bulk_since: now, is_bulk, busy_at }
    }
    /// The same, of a socket that is read to its end at once, whatever waits there.
    pub fn patient(tick: Duration, now: Instant) -> Cadence {
        Cadence { busy_at: BUSY_ROUND, ..Cadence::new(tick, now) }
    }

    /// A datagram was read that is not urgent.
    pub fn received_calmly(&mut self, now: Instant) {
        self.batch += 1;
        self.last_any = self.last_any.max(now);
    }
    /// A datagram that begins with this byte was read.
    pub fn received(&mut self, first_byte: u8, now: Instant) {
        self.batch += 1;
        self.last_any = self.last_any.max(now);
        // RFC 7983: 128..=191 is RTP and RTCP; everything else (STUN, DTLS, data channels) is urgent.
        if !(128..=191).contains(&first_byte) {
            self.last_urgent = self.last_urgent.max(now);
        }
        self.bulk += u32::from(first_byte == DTLS_DATA);
        if now.saturating_duration_since(self.bulk_since) >= BULK_WITHIN {
            self.is_bulk = std::mem::replace(&mut self.bulk, 0) >= BULK_PACKETS;
            self.bulk_since = now;
        }
    }
    /// Whether a file comes: it is better read with every datagram.
    pub fn is_bulk(&self) -> bool {
        self.is_bulk
    }
    /// When it is read next, on the grid that all sockets share; it was read to its end at `now`.
    pub fn next(&mut self, now: Instant) -> Instant {
        static EPOCH: OnceLock<Instant> = OnceLock::new();
        let epoch = *EPOCH.get_or_init(|| now);
        let busy = std::mem::take(&mut self.batch) >= self.busy_at;
        let tick = if busy {
            Duration::from_millis(1)
        } else if now.saturating_duration_since(self.last_urgent) < FAST_FOR {
            FAST_TICK.min(self.tick)
        } else if now.saturating_duration_since(self.last_any) > QUIET_AFTER {
            QUIET_TICK.max(self.tick)
        } else {
            self.tick
        };
        let tick = tick.as_nanos().max(1);
        let elapsed = now.saturating_duration_since(epoch).as_nanos();
        let next = (elapsed / tick + 1) * tick;
        epoch + Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX))
    }
}
