//! A UDP socket whose media takes the short way: whatever is read goes through the emulated network, if there is one, and then to the lane of
//! its connection; what the lane leaves waits here for the driver. Who reads is either the pump, on a tick, or the driver's own task, with
//! every datagram ([`Wake::OnArrival`], or while a file comes).

use crate::rtc::lane::Lane;
use crate::rtc::transport::cadence::Cadence;
use crate::rtc::transport::impair::{DatagramAction, Impairer, Impairment};
use crate::rtc::transport::outlet::Outlet;
use crate::rtc::transport::pacer::Pacer;
use crate::rtc::transport::pump::{self, Pumped};
use crate::rtc::transport::reader::{Datagram, MAX_DATAGRAM, Reader, control_space, receive, receive_buffer, set_up};
use crate::rtc::transport::socket::Wake;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

/// Datagrams that wait for the driver: of media, and of everything else, so that neither starves the other. Policy DropNewest, as the kernel's
/// buffer has it: half a second of media, and several of a file's.
const MAX_WAITING: usize = 2048;
/// A kernel buffer below this holds no key frame (the default is 212 KB): it is read more often then.
const SMALL_BUFFER: usize = 1 << 20;
const SMALL_BUFFER_TICK: Duration = Duration::from_millis(2);
/// Datagrams that the driver's own task reads before others have their turn.
const MAX_TURN: usize = 64;

/// The socket.
pub(crate) struct Port {
    outlet: Arc<Outlet>,
    local: SocketAddr,
    lane: Arc<Lane>,
    pacer: Arc<Pacer>,
    /// Short critical sections, never held across an await: the pump fills what the driver empties.
    state: Mutex<State>,
}

struct State {
    /// None: every datagram wakes the driver.
    cadence: Option<Cadence>,
    /// When the pump reads it next.
    due: Instant,
    /// The socket's registration with the reactor, while the driver's task reads it.
    eager: Option<Arc<tokio::net::UdpSocket>>,
    buffer: Vec<u8>,
    control: Vec<u8>,
    impairer: Option<Impairer>,
    /// Datagrams that the impairment holds back, by the time at which they are due and the order in which they came.
    delayed: BTreeMap<(Instant, u64), (SocketAddr, Vec<u8>)>,
    count: u64,
    /// When the last datagram arrived.
    last: Option<Instant>,
    waiting: VecDeque<(Vec<u8>, SocketAddr, Instant)>,
    waiting_media: usize,
    waker: Option<Waker>,
    /// Wakes the driver for what is due: feedback, and what was held back.
    alarm: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Port {
    /// Takes over a bound socket.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(
        socket: std::net::UdpSocket,
        wake: Wake,
        impairment: Option<&Impairment>,
        pacer: Arc<Pacer>,
        lane: Arc<Lane>,
    ) -> io::Result<Arc<Port>> {
        set_up(&socket)?;
        let (local, now) = (socket.local_addr()?, Instant::now());
        let (cadence, eager) = match wake {
            Wake::OnArrival => (None, Some(Arc::new(registered(&socket)?))),
            Wake::Batched(tick) => {
                let is_small = receive_buffer().is_some_and(|bytes| bytes < SMALL_BUFFER);
                let tick = if is_small { tick.min(SMALL_BUFFER_TICK) } else { tick };
                (Some(Cadence::patient(tick, now)), None)
            }
        };
        let is_pumped = cadence.is_some();
        let state = State {
            cadence,
            due: now,
            eager,
            buffer: Vec::new(),
            control: control_space(),
            impairer: impairment.map(Impairer::new),
            delayed: BTreeMap::new(),
            count: 0,
            last: None,
            waiting: VecDeque::new(),
            waiting_media: 0,
            waker: None,
            alarm: None,
        };
        let outlet = Arc::new(Outlet::new(socket, impairment.cloned()));
        let port = Arc::new(Port { outlet, local, lane, pacer, state: Mutex::new(state) });
        if is_pumped {
            let pumped: Arc<dyn Pumped> = port.clone();
            pump::register(&pumped);
        }
        Ok(port)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
    /// What it sends from.
    pub fn outlet(&self) -> &Arc<Outlet> {
        &self.outlet
    }
    /// Sends a datagram of the driver's, as soon as the pacer lets it go.
    pub fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        if !self.outlet.is_cut() {
            ready!(self.pacer.poll(cx, datagram));
        }
        Poll::Ready(self.outlet.send(datagram, to))
    }

    /// Reads a block of datagrams; returns how many.
    fn read(&self, state: &mut State, reader: &mut Reader) -> usize {
        reader.read(self.outlet.socket().as_raw_fd(), self.local.is_ipv6(), |datagram, from, arrival| {
            state.received(datagram, from, arrival, self);
        })
    }

    /// The next datagram for the driver.
    pub fn poll_receive(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<Datagram>> {
        let state = &mut *self.lock();
        state.watch_bulk(self);
        for _ in 0..MAX_TURN {
            if let Some(datagram) = state.next(buf) {
                return Poll::Ready(Ok(datagram));
            }
            let Some(socket) = state.eager.clone() else {
                state.waker = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let now = Instant::now();
            state.release(now, self);
            if !state.waiting.is_empty() {
                continue;
            }
            if socket.poll_recv_ready(cx)?.is_pending() {
                self.lane.flush(now);
                let delayed = state.delayed.first_key_value().map(|((due, _), _)| *due);
                let Some(due) = delayed.into_iter().chain(self.lane.deadline()).min() else { return Poll::Pending };
                let due = tokio::time::Instant::from_std(due.max(now + Duration::from_millis(1)));
                let alarm = state.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
                alarm.as_mut().reset(due);
                ready!(alarm.as_mut().poll(cx));
                continue;
            }
            let fd = socket.as_raw_fd();
            match socket.try_io(tokio::io::Interest::READABLE, || state.read_one(fd, self)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.lane.flush(now),
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Poll::Ready(Err(e)),
                _ => {}
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Pumped for Port {
    fn due(&self) -> Option<Instant> {
        let state = self.lock();
        state.eager.is_none().then_some(state.due)
    }

    fn round(&self, reader: &mut Reader, now: Instant) {
        let waker = {
            let state = &mut *self.lock();
            if state.eager.is_some() || state.due > now {
                return;
            }
            state.release(now, self);
            while self.read(state, reader) == Reader::SLOTS {}
            state.due = state.cadence.as_mut().map_or(now, |cadence| cadence.next(now));
            state.due = state.delayed.first_key_value().map_or(state.due, |((due, _), _)| state.due.min(*due));
            // A file is faster with every datagram; without a registration the tick has to do.
            let is_bulk = state.cadence.as_ref().is_some_and(Cadence::is_bulk);
            if !state.waiting.is_empty() || is_bulk { state.waker.take() } else { None }
        };
        self.lane.flush(now);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl State {
    /// A datagram was read.
    fn received(&mut self, datagram: &mut [u8], from: SocketAddr, arrival: Instant, port: &Port) {
        if let Some(cadence) = &mut self.cadence {
            match datagram.first().copied().unwrap_or(0) {
                // STUN (RFC 7983) of a connection that stands only asks whether we are still there.
                0..=3 if port.lane.is_open() => cadence.received_calmly(arrival),
                first => cadence.received(first, arrival),
            }
        }
        let Some(impairer) = &mut self.impairer else { return self.accept(datagram, from, arrival, port) };
        match impairer.next(arrival, datagram.len()) {
            DatagramAction::Deliver => self.accept(datagram, from, arrival, port),
            DatagramAction::Drop => {}
            DatagramAction::Delay(by) => self.hold_back(arrival + by, from, datagram),
            DatagramAction::Duplicate(by) => {
                self.hold_back(arrival + by, from, datagram);
                self.hold_back(arrival + by, from, datagram);
            }
        }
    }

    /// Reads one datagram; `WouldBlock` where there is none.
    fn read_one(&mut self, fd: i32, port: &Port) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(MAX_DATAGRAM, 0);
        let read = receive(fd, &mut buffer, &mut self.control);
        if let Ok(Datagram { len, from, arrival }) = read {
            self.received(&mut buffer[..len], from, arrival, port);
        }
        self.buffer = buffer;
        read.map(drop)
    }

    fn hold_back(&mut self, due: Instant, from: SocketAddr, data: &[u8]) {
        self.count += 1;
        self.delayed.insert((due, self.count), (from, data.to_vec()));
    }

    /// What was held back and is due.
    fn release(&mut self, now: Instant, port: &Port) {
        while let Some(first) = self.delayed.first_entry().filter(|first| first.key().0 <= now) {
            let ((due, _), (from, mut data)) = first.remove_entry();
            self.accept(&mut data, from, due, port);
        }
    }

    fn accept(&mut self, datagram: &mut [u8], from: SocketAddr, arrival: Instant, port: &Port) {
        // The kernel gives datagrams in their order. A thread that was interrupted between its two looks at a clock computes an age
        // that is too large; without this, media time would jump back by as much.
        let arrival = self.last.map_or(arrival, |last| last.max(arrival));
        self.last = Some(arrival);
        if port.lane.take(datagram, from, arrival, &port.outlet) {
            return;
        }
        let is_media = is_media(datagram);
        let waiting = if is_media { self.waiting_media } else { self.waiting.len() - self.waiting_media };
        if waiting < MAX_WAITING {
            self.waiting_media += usize::from(is_media);
            self.waiting.push_back((datagram.to_vec(), from, arrival));
        }
    }

    fn next(&mut self, buf: &mut [u8]) -> Option<Datagram> {
        let (data, from, arrival) = self.waiting.pop_front()?;
        self.waiting_media -= usize::from(is_media(&data));
        let len = data.len().min(buf.len());
        buf[..len].copy_from_slice(&data[..len]);
        Some(Datagram { len, from, arrival })
    }

    /// While a file comes, the driver's task reads.
    fn watch_bulk(&mut self, port: &Port) {
        let Some(cadence) = &self.cadence else { return };
        match (cadence.is_bulk(), &self.eager) {
            (true, None) => self.eager = registered(port.outlet.socket()).ok().map(Arc::new),
            (false, Some(_)) => {
                self.eager = None;
                self.due = Instant::now();
                pump::notify();
            }
            _ => {}
        }
    }
}

fn is_media(datagram: &[u8]) -> bool {
    crate::rtc::rtp_header::is_media(datagram)
}

/// A handle of the socket that the reactor watches; dropping it ends that.
fn registered(socket: &std::net::UdpSocket) -> io::Result<tokio::net::UdpSocket> {
    tokio::net::UdpSocket::from_std(socket.try_clone()?)
}
