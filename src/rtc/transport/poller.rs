//! When a polled socket is read again: on a tick that all sockets share, or, while a file is on its way, with every datagram. It
//! reads nothing itself.
//!
//! A browser sends no more than four packets for each acknowledgement (dcSCTP's burst limit), so a file comes as fast as we
//! acknowledge: on a tick of 2 ms that is 2 MB/s.

use std::future::Future;
use std::net::UdpSocket;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::time::Sleep;

/// The tick while handshakes, ICE checks or data channels are on the wire.
const FAST_TICK: Duration = Duration::from_millis(2);
/// How long after such a packet the tick stays fast.
const FAST_FOR: Duration = Duration::from_millis(300);
/// The tick of a socket that has received nothing for [`QUIET_AFTER`] (the address that ICE did not choose).
const QUIET_TICK: Duration = Duration::from_millis(50);
const QUIET_AFTER: Duration = Duration::from_secs(5);
/// A batch of this many datagrams means that the peer is in a hurry: look again at once.
const BUSY_BATCH: usize = 32;

/// The first byte of a DTLS record with data in it (RFC 9147): an SCTP packet.
const DTLS_DATA: u8 = 23;
/// So many of them in so long are a file.
const BULK_PACKETS: u32 = 20;
const BULK_WITHIN: Duration = Duration::from_millis(50);

/// Decides when a polled socket is read again.
pub(crate) struct Poller {
    tick: Duration,
    sleep: Pin<Box<Sleep>>,
    holding: bool,
    batch: usize,
    last_any: Instant,
    last_urgent: Instant,
    /// SCTP packets in this [`BULK_WITHIN`], and since when.
    bulk: u32,
    bulk_since: Instant,
    /// The socket's registration with the reactor, while files come.
    eager: Option<tokio::net::UdpSocket>,
}

impl Poller {
    pub fn new(tick: Duration) -> Self {
        let now = Instant::now();
        Self {
            tick,
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            holding: false,
            batch: 0,
            last_any: now,
            last_urgent: now,
            bulk: 0,
            bulk_since: now,
            eager: None,
        }
    }
    /// A datagram that begins with this byte was read from `socket`.
    pub fn received(&mut self, socket: &UdpSocket, first_byte: u8, now: Instant) {
        self.batch += 1;
        self.last_any = now;
        // RFC 7983: 128..=191 is RTP and RTCP; everything else (STUN, DTLS, data channels) is urgent.
        if !(128..=191).contains(&first_byte) {
            self.last_urgent = now;
        }
        self.bulk += u32::from(first_byte == DTLS_DATA);
        if now.saturating_duration_since(self.bulk_since) >= BULK_WITHIN {
            let bulk = std::mem::replace(&mut self.bulk, 0) >= BULK_PACKETS;
            self.bulk_since = now;
            match (bulk, &self.eager) {
                // Without a registration the tick has to do.
                (true, None) => self.eager = registered(socket).ok(),
                (false, Some(_)) => self.eager = None,
                _ => {}
            }
        }
    }
    /// The socket is empty: sleep until the next tick on the grid that all sockets share.
    pub fn hold(&mut self, now: Instant) {
        static EPOCH: OnceLock<Instant> = OnceLock::new();
        let epoch = *EPOCH.get_or_init(Instant::now);
        let busy = std::mem::take(&mut self.batch) >= BUSY_BATCH;
        let tick = if busy {
            Duration::from_millis(1)
        } else if now.duration_since(self.last_urgent) < FAST_FOR {
            FAST_TICK.min(self.tick)
        } else if now.duration_since(self.last_any) > QUIET_AFTER {
            QUIET_TICK.max(self.tick)
        } else {
            self.tick
        };
        let tick = tick.as_nanos().max(1);
        let elapsed = now.duration_since(epoch).as_nanos();
        let next = (elapsed / tick + 1) * tick;
        let next = epoch + Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX));
        self.sleep.as_mut().reset(next.into());
        self.holding = true;
    }
    /// The same socket, registered with the reactor, while it is not on the tick.
    pub fn eager(&self) -> Option<&tokio::net::UdpSocket> {
        self.eager.as_ref()
    }
    /// Ready when the tick has come.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.holding {
            ready!(self.sleep.as_mut().poll(cx));
            self.holding = false;
        }
        Poll::Ready(())
    }
}

/// A handle of the socket that the reactor watches; dropping it ends that.
fn registered(socket: &UdpSocket) -> std::io::Result<tokio::net::UdpSocket> {
    tokio::net::UdpSocket::from_std(socket.try_clone()?)
}
