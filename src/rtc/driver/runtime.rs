//! The library's runtime: tokio, with the sockets of `transport`. It reads no socket itself.

use crate::rtc::driver::outbound::Outbound;
use crate::rtc::lane::Lane;
use crate::rtc::transport::impair::Impairment;
use crate::rtc::transport::pacer::Pacer;
use crate::rtc::transport::port::Port;
use crate::rtc::transport::reader::Datagram;
use crate::rtc::transport::socket::{MediaSocket, Wake};
use std::cell::Cell;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, TokioRuntime,
    Transmit,
};

thread_local! {
    /// The kernel's arrival time of the datagram that `poll_recv` has just handed to the driver on this thread. The driver
    /// asks its runtime for "now" next, and stamps the datagram with the answer.
    static ARRIVAL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// tokio, with our own sockets.
#[derive(Debug)]
pub(crate) struct MediaRuntime {
    pub wake: Wake,
    pub impairment: Option<Impairment>,
    /// Of what goes out over data channels.
    pub pacer: Arc<Pacer>,
    /// The short way of received media. None: all of it takes the library's.
    pub lane: Option<Arc<Lane>>,
    /// Learns from what the driver sends.
    pub outbound: Arc<Outbound>,
}

/// A socket of ours, as the driver has it.
#[derive(Debug)]
struct DriverSocket {
    socket: Arc<MediaSocket>,
    outbound: Arc<Outbound>,
}

impl Runtime for MediaRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }
    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let outbound = self.outbound.clone();
        if let Some(lane) = &self.lane {
            let impairment = self.impairment.as_ref();
            let port = Port::open(socket, self.wake, impairment, self.pacer.clone(), lane.clone())?;
            return Ok(Arc::new(PortSocket { port, outbound }));
        }
        let socket = MediaSocket::new(socket, self.wake, self.impairment.as_ref(), self.pacer.clone())?;
        Ok(Arc::new(DriverSocket { socket: Arc::new(socket), outbound }))
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

impl AsyncUdpSocket for DriverSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.socket.local_addr())
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let sent = ready!(self.socket.poll_send(cx, transmit.contents, transmit.destination));
        self.outbound.observe(&self.socket, transmit.contents, transmit.destination);
        Poll::Ready(sent)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buf), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else { return Poll::Ready(Ok(0)) };
        Poll::Ready(Ok(hand_over(ready!(self.socket.poll_receive(cx, buf))?, meta)))
    }
}

/// Tells the library of a datagram, and of its arrival.
fn hand_over(datagram: Datagram, meta: &mut RecvMeta) -> usize {
    meta.addr = datagram.from;
    meta.len = datagram.len;
    meta.stride = datagram.len.max(1);
    ARRIVAL.set(Some(datagram.arrival));
    1
}

/// A socket whose media takes the short way.
#[derive(Debug)]
struct PortSocket {
    port: Arc<Port>,
    outbound: Arc<Outbound>,
}

impl AsyncUdpSocket for PortSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.port.local_addr())
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let sent = ready!(self.port.poll_send(cx, transmit.contents, transmit.destination));
        self.outbound.observe(self.port.outlet(), transmit.contents, transmit.destination);
        Poll::Ready(sent)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buf), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else { return Poll::Ready(Ok(0)) };
        Poll::Ready(Ok(hand_over(ready!(self.port.poll_receive(cx, buf))?, meta)))
    }
}
