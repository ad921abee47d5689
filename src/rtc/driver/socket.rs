//! The UDP sockets under the driver: big kernel buffers, kernel arrival times, and wake-ups in batches.
//!
//! A recorder does not care about ten milliseconds, but each wake-up of a connection's driver costs more than the packets it
//! brings (measured: `benches/capture.rs`). So in [`Wake::Batched`] a socket is not registered with the reactor at all: it is
//! read on a tick that all sockets of the process share, whatever has arrived is handed over at once, and one timer wakes
//! everybody ([`crate::rtc::transport::wakeup`]). Arrival times do not suffer from it: the kernel stamps every datagram (SO_TIMESTAMPNS), and the stamp is what the driver is told as
//! "now", hence what transport-wide feedback reports to the sender.

use crate::rtc::congestion::pace::Pace;
use crate::rtc::transport::impair::{Fate, Impairment, Spoiler};
use crate::rtc::transport::wakeup::Poller;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, TokioRuntime,
    Transmit,
};

/// What each socket asks the kernel for, in bytes. The default (212 KB) overflows when a key frame meets a busy core.
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

thread_local! {
    /// The kernel's arrival time of the datagram that `poll_recv` has just handed to the driver on this thread. The driver
    /// asks its runtime for "now" next, and stamps the datagram with the answer.
    static ARRIVAL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// tokio, with this module's sockets.
#[derive(Debug)]
pub(crate) struct MediaRuntime {
    pub wake: Wake,
    pub impairment: Option<Impairment>,
    /// Of what goes out over data channels.
    pub pace: Arc<Pace>,
}

impl Runtime for MediaRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }
    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        socket.set_nonblocking(true)?;
        enlarge_buffers(&socket);
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        let local = socket.local_addr()?;
        let (io, poller) = match self.wake {
            Wake::OnArrival => (Io::Reactor(tokio::net::UdpSocket::from_std(socket)?), None),
            Wake::Batched(tick) => (Io::Polled(socket), Some(Poller::new(tick))),
        };
        Ok(Arc::new(MediaSocket {
            io,
            local,
            spoils: self.impairment.is_some(),
            pace: self.pace.clone(),
            state: Mutex::new(State {
                poller,
                control: nix::cmsg_space!(nix::sys::time::TimeSpec),
                spoiler: self.impairment.as_ref().map(Spoiler::new),
                last: None,
                delayed: BTreeMap::new(),
                count: 0,
                alarm: None,
            }),
        }))
    }
    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }
    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        TokioRuntime.connect_tcp(remote)
    }
    fn resolve_host<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        TokioRuntime.resolve_host(host)
    }
    fn now(&self) -> Instant {
        ARRIVAL.take().unwrap_or_else(Instant::now)
    }
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        TokioRuntime.sleep(duration)
    }
    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }
    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future)
    }
    fn yield_now(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        TokioRuntime.yield_now()
    }
    fn name(&self) -> &'static str {
        "media"
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

/// What the kernel gave the first socket.
static RECEIVE_BUFFER: OnceLock<usize> = OnceLock::new();

/// Bytes that our sockets hold until we read them, as the kernel counts; nothing before there is a socket.
pub fn receive_buffer() -> Option<usize> {
    RECEIVE_BUFFER.get().copied()
}

enum Io {
    Reactor(tokio::net::UdpSocket),
    Polled(std::net::UdpSocket),
}

struct MediaSocket {
    io: Io,
    local: SocketAddr,
    pace: Arc<Pace>,
    /// Whether a bad network was asked for.
    spoils: bool,
    /// Short critical sections, never held across an await; contended by nobody (one driver polls the socket).
    state: Mutex<State>,
}

struct State {
    poller: Option<Poller>,
    control: Vec<u8>,
    spoiler: Option<Spoiler>,
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
        self.spoiler.as_ref().is_some_and(|spoiler| spoiler.is_cut(Instant::now()))
    }
    fn hold_back(&mut self, due: Instant, from: SocketAddr, data: &[u8]) {
        self.count += 1;
        self.delayed.insert((due, self.count), (from, data.to_vec()));
    }
}

#[derive(Clone, Copy)]
struct Datagram {
    len: usize,
    from: SocketAddr,
    arrival: Instant,
}

impl MediaSocket {
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

    /// Like `poll_kernel`, with the bad network in between that a test asked for.
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
            let Some(spoiler) = &mut state.spoiler else { return Poll::Ready(Ok(datagram)) };
            let (Datagram { len, from, arrival }, fate) = (datagram, spoiler.fate(datagram.arrival, datagram.len));
            match fate {
                Fate::Deliver => return Poll::Ready(Ok(datagram)),
                Fate::Drop => {}
                Fate::Delay(by) => state.hold_back(arrival + by, from, &buf[..len]),
                Fate::Twice(by) => {
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

impl AsyncUdpSocket for MediaSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if self.spoils && self.state.lock().unwrap_or_else(PoisonError::into_inner).is_cut() {
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        ready!(self.pace.poll(cx, transmit.contents));
        match &self.io {
            Io::Reactor(socket) => socket.poll_send_to(cx, transmit.contents, transmit.destination),
            Io::Polled(socket) => match socket.send_to(transmit.contents, transmit.destination) {
                // 2 MB of unsent datagrams: the network is slower than we are. Drop, as any router on the way would;
                // waiting here would hold up the receiving side of the same driver.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Poll::Ready(Ok(transmit.contents.len())),
                other => Poll::Ready(other),
            },
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buf), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else { return Poll::Ready(Ok(0)) };
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let datagram = if state.spoiler.is_some() {
            ready!(self.poll_impaired(cx, buf, state))?
        } else {
            ready!(self.poll_kernel(cx, buf, state))?
        };
        meta.addr = datagram.from;
        meta.len = datagram.len;
        meta.stride = datagram.len.max(1);
        // The kernel gives datagrams in their order. A thread that was interrupted between its two looks at a clock computes an age
        // that is too large; without this, media time would jump back by as much.
        let arrival = state.last.map_or(datagram.arrival, |last| last.max(datagram.arrival));
        state.last = Some(arrival);
        ARRIVAL.set(Some(arrival));
        Poll::Ready(Ok(1))
    }
}

impl std::fmt::Debug for MediaSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaSocket").field("local", &self.local).finish_non_exhaustive()
    }
}
