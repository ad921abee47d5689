//! Reads datagrams with the times at which the kernel got them: one, or all that wait in one call. It knows no RTP and no ICE.

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, recvmsg, setsockopt, sockopt,
};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

/// Receive and send buffer of each socket, in bytes. The default (212 KB) overflows when a key frame meets a busy core.
const KERNEL_BUFFER: usize = 2 << 20;
/// Longer datagrams are thrown away: nobody sends them to us (an Ethernet frame has 1,500 bytes).
pub(crate) const MAX_DATAGRAM: usize = 2048;

/// A datagram that was received.
#[derive(Clone, Copy)]
pub(crate) struct Datagram {
    /// Its length in the caller's buffer.
    pub len: usize,
    pub from: SocketAddr,
    /// When the kernel got it; never before the one that came before.
    pub arrival: Instant,
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

/// Makes a socket ready to be read here.
///
/// # Errors
/// The kernel's.
pub(crate) fn set_up(socket: &UdpSocket) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    enlarge_buffers(socket);
    Ok(setsockopt(socket, sockopt::ReceiveTimestampns, &true)?)
}

/// Room for the kernel's time of a datagram.
pub(crate) fn control_space() -> Vec<u8> {
    nix::cmsg_space!(nix::sys::time::TimeSpec)
}

/// Two looks at the clocks of one moment.
#[derive(Clone, Copy)]
struct Moment {
    now: Instant,
    wall: SystemTime,
}

impl Moment {
    fn now() -> Moment {
        Moment { now: Instant::now(), wall: SystemTime::now() }
    }
    /// The instant of a time of the wall clock. A step of that clock must not move media: ages of up to a second are believed only.
    fn instant(self, at: nix::sys::time::TimeSpec) -> Instant {
        let age = self.wall.duration_since(SystemTime::UNIX_EPOCH + Duration::from(at)).unwrap_or_default();
        Some(age)
            .filter(|age| *age < Duration::from_secs(1))
            .and_then(|age| self.now.checked_sub(age))
            .unwrap_or(self.now)
    }
    fn arrival(self, mut control: impl Iterator<Item = ControlMessageOwned>) -> Instant {
        let at = control.find_map(|item| match item {
            ControlMessageOwned::ScmTimestampns(at) => Some(self.instant(at)),
            _ => None,
        });
        at.unwrap_or(self.now)
    }
}

/// One datagram; `WouldBlock` when there is none.
///
/// # Errors
/// The kernel's; `Interrupted` for one that cannot be used.
pub(crate) fn receive(fd: i32, buf: &mut [u8], control: &mut [u8]) -> io::Result<Datagram> {
    let mut iov = [IoSliceMut::new(buf)];
    let message = recvmsg::<SockaddrStorage>(fd, &mut iov, Some(control), MsgFlags::MSG_DONTWAIT)?;
    let arrival = message.cmsgs().map_or_else(|_| Instant::now(), |control| Moment::now().arrival(control));
    let from = message.address.as_ref().and_then(to_socket_addr);
    let Some(from) = from else { return Err(io::ErrorKind::Interrupted.into()) };
    if message.flags.contains(MsgFlags::MSG_TRUNC) {
        tracing::debug!(%from, "a datagram larger than the receive buffer is thrown away");
        return Err(io::ErrorKind::Interrupted.into());
    }
    Ok(Datagram { len: message.bytes, from, arrival })
}

/// Reads many datagrams at a time. Its buffer is used again and again, so it stays in the processor's cache.
pub(crate) struct Reader {
    buffer: Vec<u8>,
    /// By family of addresses: the kernel writes into these how long an address was.
    headers: [Option<MultiHeaders<SockaddrStorage>>; 2],
    found: Vec<Option<Datagram>>,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader { buffer: vec![0; Reader::SLOTS * MAX_DATAGRAM], headers: [None, None], found: Vec::new() }
    }
}

impl Reader {
    /// Datagrams that are read at a time.
    pub const SLOTS: usize = 64;

    /// Reads what waits on a socket and gives each datagram to `each`; returns how many there were. When they are [`Reader::SLOTS`], more may
    /// wait.
    pub fn read(&mut self, fd: i32, is_v6: bool, mut each: impl FnMut(&mut [u8], SocketAddr, Instant)) -> usize {
        let Reader { buffer, headers, found } = self;
        let slot = &mut headers[usize::from(is_v6)];
        let mut spoilt = false;
        {
            let headers = slot.get_or_insert_with(|| MultiHeaders::preallocate(Reader::SLOTS, Some(control_space())));
            let mut slices: Vec<[IoSliceMut; 1]> =
                buffer.chunks_mut(MAX_DATAGRAM).map(|chunk| [IoSliceMut::new(chunk)]).collect();
            let Ok(messages) = recvmmsg(fd, headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None) else { return 0 };
            let moment = Moment::now();
            found.clear();
            for message in messages {
                let arrival = match message.cmsgs() {
                    Ok(control) => moment.arrival(control),
                    Err(_) => {
                        spoilt = true;
                        moment.now
                    }
                };
                let from = message.address.as_ref().and_then(to_socket_addr);
                let whole = from.filter(|_| !message.flags.contains(MsgFlags::MSG_TRUNC));
                found.push(whole.map(|from| Datagram { len: message.bytes, from, arrival }));
            }
        }
        if spoilt {
            *slot = None;
        }
        for (chunk, datagram) in buffer.chunks_mut(MAX_DATAGRAM).zip(found.iter().copied()) {
            match datagram {
                Some(Datagram { len, from, arrival }) => each(&mut chunk[..len.min(MAX_DATAGRAM)], from, arrival),
                None => tracing::debug!("a datagram larger than the receive buffer is thrown away"),
            }
        }
        found.len()
    }
}

fn to_socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into()))
}
