//! Where media came from, and so where feedback goes. Told the time.

use crate::rtc::transport::outlet::Outlet;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Where feedback goes: to where media came from.
#[derive(Debug, Clone)]
pub(super) struct Path {
    outlet: Weak<Outlet>,
    to: SocketAddr,
    /// Through a TURN server's channel.
    channel: Option<u16>,
    /// When an authentic packet came that way.
    pub heard: Instant,
}

impl Path {
    pub fn new(outlet: &Arc<Outlet>, to: SocketAddr, channel: Option<u16>, heard: Instant) -> Path {
        Path { outlet: Arc::downgrade(outlet), to, channel, heard }
    }

    /// Whether it is this one.
    pub fn is(&self, to: SocketAddr, channel: Option<u16>, outlet: &Arc<Outlet>) -> bool {
        self.to == to && self.channel == channel && std::ptr::eq(self.outlet.as_ptr(), Arc::as_ptr(outlet))
    }

    /// Whether its socket is still there.
    pub fn is_open(&self) -> bool {
        self.outlet.strong_count() > 0
    }

    /// What cannot be sent is lost, as on any network; feedback is repeated anyway.
    pub fn send(&self, packets: &[Vec<u8>]) {
        let Some(outlet) = self.outlet.upgrade() else { return };
        for packet in packets {
            let sent = match self.channel {
                None => outlet.send(packet, self.to),
                Some(channel) => {
                    let mut message = channel.to_be_bytes().to_vec();
                    message.extend_from_slice(&(packet.len() as u16).to_be_bytes());
                    message.extend_from_slice(packet);
                    outlet.send(&message, self.to)
                }
            };
            if let Err(e) = sent {
                tracing::debug!("sending feedback: {e}");
            }
        }
    }
}
