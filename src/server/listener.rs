//! The listening socket of the server. Reads no request.

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpListener, TcpStream};

/// The address at which the client reached us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalAddress(pub Option<IpAddr>);

impl Connected<IncomingStream<'_, NoDelayListener>> for LocalAddress {
    fn connect_info(stream: IncomingStream<'_, NoDelayListener>) -> Self {
        LocalAddress(stream.io().local_addr().ok().map(|address| address.ip().to_canonical()))
    }
}

/// A listener whose sockets have TCP_NODELAY.
pub(crate) struct NoDelayListener(pub TcpListener);

impl Listener for NoDelayListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (socket, address) = Listener::accept(&mut self.0).await;
        // Signalling is many small messages; a failure only costs some milliseconds.
        let _ = socket.set_nodelay(true);
        (socket, address)
    }
    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
