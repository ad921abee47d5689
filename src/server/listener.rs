//! The listening socket of the server: how many sockets one address may hold, and how long one may be silent. Reads no request.

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;

/// How long a socket may send nothing: a request that does not come, or does not go on. Members are pinged more often, and answer.
const SILENCE: Duration = Duration::from_secs(20);

/// The address at which the client reached us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalAddress(pub Option<IpAddr>);

impl Connected<IncomingStream<'_, LimitedListener>> for LocalAddress {
    fn connect_info(stream: IncomingStream<'_, LimitedListener>) -> Self {
        LocalAddress(stream.io().local)
    }
}

/// A listener whose sockets have TCP_NODELAY and limits.
pub(crate) struct LimitedListener {
    listener: TcpListener,
    places: Places,
}

impl LimitedListener {
    /// One that gives each address so many sockets; 0: any number.
    pub(crate) fn new(listener: TcpListener, sockets_per_address: usize) -> LimitedListener {
        LimitedListener { listener, places: Places { most: sockets_per_address, taken: Arc::default() } }
    }
}

impl Listener for LimitedListener {
    type Io = LimitedSocket;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (LimitedSocket, SocketAddr) {
        loop {
            let (socket, address) = Listener::accept(&mut self.listener).await;
            // Refused without a word: an answer would cost more than the socket.
            let Some(place) = self.places.take(address.ip().to_canonical()) else { continue };
            // Signalling is many small messages; a failure only costs some milliseconds.
            let _ = socket.set_nodelay(true);
            let local = socket.local_addr().ok().map(|address| address.ip().to_canonical());
            let mut stream = TimeoutStream::new(socket);
            stream.set_read_timeout(Some(SILENCE));
            return (LimitedSocket { stream: Box::pin(stream), local, _place: place }, address);
        }
    }
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Sockets by address. Those of this machine are not counted: a proxy brings everybody's.
#[derive(Clone)]
struct Places {
    most: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One of them, given back when it is dropped.
struct Place {
    of: Option<(IpAddr, Places)>,
}

impl Places {
    fn take(&self, address: IpAddr) -> Option<Place> {
        if self.most == 0 || address.is_loopback() {
            return Some(Place { of: None });
        }
        let mut taken = self.lock();
        let count = taken.entry(address).or_default();
        if *count >= self.most {
            tracing::warn!(%address, "refused: it has {count} sockets (--sockets-per-address)");
            return None;
        }
        *count += 1;
        Some(Place { of: Some((address, self.clone())) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((address, places)) = self.of.take() else { return };
        let mut taken = places.lock();
        if let Some(count) = taken.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&address);
            }
        }
    }
}

/// A socket that has its place, and ends when it is silent for too long.
pub(crate) struct LimitedSocket {
    stream: Pin<Box<TimeoutStream<TcpStream>>>,
    local: Option<IpAddr>,
    _place: Place,
}

impl AsyncRead for LimitedSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for LimitedSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(cx, buf)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    fn places(most: usize) -> Places {
        Places { most, taken: Arc::default() }
    }

    #[test]
    fn an_address_has_so_many_places_and_takes_none_of_others() {
        let (places, [one, other]) = (places(2), ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap()));
        let held = [places.take(one), places.take(one)];
        assert!(held.iter().all(Option::is_some) && places.take(one).is_none());
        assert!(places.take(other).is_some(), "another is not concerned");
        drop(held);
        assert!(places.lock().is_empty(), "what is given back leaves nothing");
        assert!(places.take(one).is_some());
    }

    #[test]
    fn a_proxy_on_this_machine_is_not_counted_and_0_is_any_number() {
        let (loopback, other) = ("127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let limited = places(1);
        let held: Vec<_> = (0..9).map(|_| limited.take(loopback)).collect();
        assert!(held.iter().all(Option::is_some));
        let any = places(0);
        assert!((0..9).map(|_| any.take(other)).collect::<Vec<_>>().iter().all(Option::is_some));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_socket_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut listener = LimitedListener::new(listener, 1);
        let address = Listener::local_addr(&listener).unwrap();
        let (_client, (mut socket, _)) = tokio::join!(TcpStream::connect(address), Listener::accept(&mut listener));
        let error = socket.read_u8().await.expect_err("nothing was sent");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
