//! When a polled socket is read again: on a tick that all sockets share, or, while a file is on its way, with every datagram. It
//! reads nothing itself.

use crate::rtc::transport::cadence::Cadence;
use std::future::Future;
use std::net::UdpSocket;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::time::Sleep;

/// Decides when a polled socket is read again.
pub(crate) struct Poller {
    cadence: Cadence,
    sleep: Pin<Box<Sleep>>,
    holding: bool,
    /// The socket's registration with the reactor, while files come.
    eager: Option<tokio::net::UdpSocket>,
}

impl Poller {
    pub fn new(tick: Duration) -> Self {
        let sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { cadence: Cadence::new(tick, Instant::now()), sleep, holding: false, eager: None }
    }
    /// A datagram that begins with this byte was read from `socket`.
    pub fn received(&mut self, socket: &UdpSocket, first_byte: u8, now: Instant) {
        self.cadence.received(first_byte, now);
        match (self.cadence.is_bulk(), &self.eager) {
            // Without a registration the tick has to do.
            (true, None) => self.eager = registered(socket).ok(),
            (false, Some(_)) => self.eager = None,
            _ => {}
        }
    }
    /// The socket is empty: sleep until the next tick on the grid that all sockets share.
    pub fn hold(&mut self, now: Instant) {
        self.sleep.as_mut().reset(self.cadence.next(now).into());
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
