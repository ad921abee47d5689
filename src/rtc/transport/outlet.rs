//! The sending side of a UDP socket, for whoever sends past the driver. It waits for nothing: what the kernel does not take is dropped, as a
//! router would.

use crate::rtc::transport::batch::{Batch, BatchSocket, BatchWriter, Written};
use crate::rtc::transport::impair::Impairment;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Instant;

/// A socket that is sent from.
#[derive(Debug)]
pub(crate) struct Outlet {
    socket: UdpSocket,
    impairment: Option<Impairment>,
    writer: BatchWriter,
}

impl Outlet {
    /// Sends from this socket, which must not block. A cut of the impairment holds both ways.
    pub fn new(socket: UdpSocket, impairment: Option<Impairment>) -> Outlet {
        Outlet { socket, impairment, writer: BatchWriter::default() }
    }

    /// The socket.
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }
    /// Whether nothing gets through at present.
    pub fn is_cut(&self) -> bool {
        self.impairment.as_ref().is_some_and(|impairment| impairment.is_cut(Instant::now()))
    }

    /// Sends a datagram now or never.
    ///
    /// # Errors
    /// The kernel's; a full buffer is none.
    pub fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        if self.is_cut() {
            return Ok(datagram.len());
        }
        match self.socket.send_to(datagram, to) {
            // 2 MB of unsent datagrams: the network is slower than we are.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(datagram.len()),
            other => other,
        }
    }
}

impl BatchSocket for Outlet {
    fn send_batch(&self, batch: &Batch, to: SocketAddr) -> Written {
        if self.is_cut() {
            return Written { sent: batch.len(), ..Written::default() };
        }
        self.writer.send(self.socket.as_fd(), batch, to)
    }
}
