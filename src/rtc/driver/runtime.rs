//! The library's runtime: tokio, with the sockets of `transport`. It reads no socket itself.

use crate::rtc::transport::impair::Impairment;
use crate::rtc::transport::pacer::Pacer;
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
}

impl Runtime for MediaRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }
    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(MediaSocket::new(socket, self.wake, self.impairment.as_ref(), self.pacer.clone())?))
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

impl AsyncUdpSocket for MediaSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(MediaSocket::local_addr(self))
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        MediaSocket::poll_send(self, cx, transmit.contents, transmit.destination)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buf), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else { return Poll::Ready(Ok(0)) };
        let datagram = ready!(self.poll_receive(cx, buf))?;
        meta.addr = datagram.from;
        meta.len = datagram.len;
        meta.stride = datagram.len.max(1);
        ARRIVAL.set(Some(datagram.arrival));
        Poll::Ready(Ok(1))
    }
}
