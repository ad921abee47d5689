//! UDP sockets for media: big kernel buffers, kernel arrival times, and wake-ups in batches. They know no RTP and no ICE.
//!
//! A recorder does not care about ten milliseconds, but each wake-up of a connection's driver costs more than the packets it
//! brings (measured: `benches/capture.rs`). So with [`Wake::Batched`] a socket is not registered with the reactor at all: it is
//! read on a tick that all sockets of the process share, whatever has arrived is handed over at once, and one timer wakes
//! all of them ([`crate::rtc::transport::poller`]). Arrival times do not suffer from it: the kernel stamps every datagram
//! (SO_TIMESTAMPNS), and that time is what transport-wide feedback reports to the sender.

use crate::rtc::transport::impair::{DatagramAction, Impairer, Impairment};
use crate::rtc::transport::pacer::Pacer;
use crate::rtc::transport::poller::Poller;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

/// Receive and send buffer of each socket, in bytes. The default (212 KB) overflows when a key frame meets a busy core.
const KERNEL_BUFFER: usize = 2 << 20;
/// When a connection's driver is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// With every datagram: for a bot that answers in real time.
    OnArrival,
    /// At most once in this time: for a recorder.
    Batched(Duration),
}

impl Default for Wake {
    /// Batches of 10 ms.
    fn default() -> Self {
        Wake::Batched(Duration::from_millis(10))
    }
}

/// Asks for [`KERNEL_BUFFER`], past the system's limit where we may; says once when the kernel gives less.
fn enlarge_buffers(socket: &std::net::UdpSocket) {
    if setsockopt(socket, sockopt::RcvBufForce, &KERNEL_BUFFER).is_err() {
        let _ = setsockopt(socket, sockopt::RcvBuf, &KERNEL_BUFFER);
    }
    let _ = setsockopt(socket, sockopt::SndBuf, &KERNEL_BUFFER);
    let Ok(got) = nix::sys::socket::getsockopt(socket, sockopt::RcvBuf) else { return };
    RECEIVE_BUFFER.get_or_init(|| {
        if got < KERNEL_BUFFER {
            tracing::warn!(
                "UDP receive buffers are {} KiB instead of {} KiB: packets may be lost under load; raise net.core.rmem_max",
                got / 1024,
                KERNEL_BUFFER / 1024
            );
        }
        got
    });
}

/// What the kernel granted the first socket.
static RECEIVE_BUFFER: OnceLock<usize> = OnceLock::new();

/// Bytes that our sockets hold until we read them, as the kernel counts; nothing before there is a socket.
pub fn receive_buffer() -> Option<usize> {
    RECEIVE_BUFFER.get().copied()
}

enum Io {
    Reactor(tokio::net::UdpSocket),
    Polled(std::net::UdpSocket),
}

pub(crate) struct MediaSocket {
    io: Io,
    local: SocketAddr,
    pacer: Arc<Pacer>,
    /// Whether a bad network is emulated.
    impaired: bool,
    /// Short critical sections, never held across an await; contended by nobody (one driver polls the socket).
    state: Mutex<State>,
}

struct State {
    poller: Option<Poller>,
    control: Vec<u8>,
    impairer: Option<Impairer>,
    /// When the last datagram arrived.
    last: Option<Instant>,
    /// Datagrams that the impairment holds back, by the time at which they are due and the order in which they came.
    delayed: BTreeMap<(Instant, u64), (SocketAddr, Vec<u8>)>,
    /// How many were ever held back.
    count: u64,
    /// Wakes the driver for the first of them.
    alarm: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl State {
    fn is_cut(&self) -> bool {
        self.impairer.as_ref().is_some_and(|impairer| impairer.is_cut(Instant::now()))
    }
    fn hold_back(&mut self, due: Instant, from: SocketAddr, data: &[u8]) {
        self.count += 1;
        self.delayed.insert((due, self.count), (from, data.to_vec()));
    }
}

/// A datagram that was received.
#[derive(Clone, Copy)]
pub(crate) struct Datagram {
    /// Its length in the caller's buffer.
    pub len: usize,
    pub from: SocketAddr,
    /// When the kernel got it; never before the one that came before.
    pub arrival: Instant,
}

impl MediaSocket {
    /// Takes over a bound socket.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn new(
        socket: std::net::UdpSocket,
        wake: Wake,
        impairment: Option<&Impairment>,
        pacer: Arc<Pacer>,
    ) -> io::Result<MediaSocket> {
        socket.set_nonblocking(true)?;
        enlarge_buffers(&socket);
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let local = socket.local_addr()?;
        let (io, poller) = match wake {
            Wake::OnArrival => (Io::Reactor(tokio::net::UdpSocket::from_std(socket)?), None),
            Wake::Batched(tick) => (Io::Polled(socket), Some(Poller::new(tick))),
        };
        Ok(MediaSocket {
            io,
            local,
            impaired: impairment.is_some(),
            pacer,
            state: Mutex::new(State {
                poller,
                control: nix::cmsg_space!(nix::sys::time::TimeSpec),
                impairer: impairment.map(Impairer::new),
                last: None,
                delayed: BTreeMap::new(),
                count: 0,
                alarm: None,
            }),
        })
    }

    /// The address it is bound to.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Sends a datagram, as soon as the pacer lets it go.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        if self.impaired && self.state.lock().unwrap_or_else(PoisonError::into_inner).is_cut() {
            return Poll::Ready(Ok(datagram.len()));
        }
        ready!(self.pacer.poll(cx, datagram));
        match &self.io {
            Io::Reactor(socket) => socket.poll_send_to(cx, datagram, to),
            Io::Polled(socket) => match socket.send_to(datagram, to) {
                // 2 MB of unsent datagrams: the network is slower than we are. Drop, as any router on the way would;
                // waiting here would hold up the receiving side of the same driver.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Poll::Ready(Ok(datagram.len())),
                other => Poll::Ready(other),
            },
        }
    }

    /// Receives one datagram into `buf`.
    pub(crate) fn poll_receive(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<Datagram>> {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let datagram = if state.impairer.is_some() {
            ready!(self.poll_impaired(cx, buf, state))?
        } else {
            ready!(self.poll_kernel(cx, buf, state))?
        };
        // The kernel gives datagrams in their order. A thread that was interrupted between its two looks at a clock computes an age
        // that is too large; without this, media time would jump back by as much.
        let arrival = state.last.map_or(datagram.arrival, |last| last.max(datagram.arrival));
        state.last = Some(arrival);
        Poll::Ready(Ok(Datagram { arrival, ..datagram }))
    }

    /// One datagram from the kernel; `WouldBlock` when there is none.
    fn receive(&self, fd: i32, buf: &mut [u8], control: &mut [u8]) -> io::Result<Datagram> {
        let mut iov = [IoSliceMut::new(buf)];
        let message = recvmsg::<SockaddrStorage>(fd, &mut iov, Some(control), MsgFlags::MSG_DONTWAIT)?;
        let mut arrival = Instant::now();
        if let Ok(control) = message.cmsgs() {
            for item in control {
                if let ControlMessageOwned::ScmTimestampns(at) = item {
                    let at = SystemTime::UNIX_EPOCH + Duration::from(at);
                    // A step of the system clock must not move media: believe ages of up to a second only.
                    if let Ok(age) = SystemTime::now().duration_since(at)
                        && age < Duration::from_secs(1)
                    {
                        arrival -= age;
                    }
                }
            }
        }
        let from = message.address.as_ref().and_then(to_socket_addr);
        let Some(from) = from else { return Err(io::ErrorKind::Interrupted.into()) };
        if message.flags.contains(MsgFlags::MSG_TRUNC) {
            tracing::debug!(%from, "a datagram larger than the receive buffer is thrown away");
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = message.bytes;
        Ok(Datagram { len, from, arrival })
    }

    /// One datagram as soon as the reactor sees one.
    fn poll_reactor(
        &self,
        socket: &tokio::net::UdpSocket,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        control: &mut [u8],
    ) -> Poll<io::Result<Datagram>> {
        loop {
            ready!(socket.poll_recv_ready(cx))?;
            match socket.try_io(tokio::io::Interest::READABLE, || self.receive(socket.as_raw_fd(), buf, control)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
                other => return Poll::Ready(other),
            }
        }
    }

    fn poll_kernel(&self, cx: &mut Context<'_>, buf: &mut [u8], state: &mut State) -> Poll<io::Result<Datagram>> {
        let State { poller, control, .. } = state;
        match (&self.io, poller) {
            (Io::Reactor(socket), _) => self.poll_reactor(socket, cx, buf, control),
            (Io::Polled(socket), Some(poller)) => loop {
                let received = match poller.eager() {
                    Some(eager) => ready!(self.poll_reactor(eager, cx, buf, control)),
                    None => {
                        ready!(poller.poll_tick(cx));
                        self.receive(socket.as_raw_fd(), buf, control)
                    }
                };
                match received {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => poller.hold(Instant::now()),
                    Ok(datagram) => {
                        poller.received(socket, buf.first().copied().unwrap_or(0), datagram.arrival);
                        return Poll::Ready(Ok(datagram));
                    }
                    Err(e) => return Poll::Ready(Err(e)),
                }
            },
            (Io::Polled(_), None) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Like `poll_kernel`, with the emulated network in between.
    fn poll_impaired(&self, cx: &mut Context<'_>, buf: &mut [u8], state: &mut State) -> Poll<io::Result<Datagram>> {
        loop {
            let now = Instant::now();
            if let Some(first) = state.delayed.first_entry().filter(|first| first.key().0 <= now) {
                let ((due, _), (from, data)) = first.remove_entry();
                let len = data.len().min(buf.len());
                buf[..len].copy_from_slice(&data[..len]);
                return Poll::Ready(Ok(Datagram { len, from, arrival: due }));
            }
            let datagram = match self.poll_kernel(cx, buf, state) {
                Poll::Ready(datagram) => datagram?,
                Poll::Pending => {
                    let Some(((due, _), _)) = state.delayed.first_key_value() else { return Poll::Pending };
                    let due = tokio::time::Instant::from_std(*due);
                    let alarm = state.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
                    alarm.as_mut().reset(due);
                    ready!(alarm.as_mut().poll(cx));
                    continue;
                }
            };
            let Some(impairer) = &mut state.impairer else { return Poll::Ready(Ok(datagram)) };
            let Datagram { len, from, arrival } = datagram;
            match impairer.next(arrival, len) {
                DatagramAction::Deliver => return Poll::Ready(Ok(datagram)),
                DatagramAction::Drop => {}
                DatagramAction::Delay(by) => state.hold_back(arrival + by, from, &buf[..len]),
                DatagramAction::Duplicate(by) => {
                    state.hold_back(arrival + by, from, &buf[..len]);
                    state.hold_back(arrival + by, from, &buf[..len]);
                }
            }
        }
    }
}

fn to_socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into()))
}

impl std::fmt::Debug for MediaSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaSocket").field("local", &self.local).finish_non_exhaustive()
    }
}
