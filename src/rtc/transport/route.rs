//! Where a connection's media goes, learned from what its driver sends: it encrypts nothing before ICE has chosen a pair, and sends its own
//! DTLS and RTCP over the pair that is in force. A pure reading of datagrams, but for the socket that is remembered.

use crate::rtc::transport::batch::{Batch, BatchSocket, Written};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What a datagram is by its first byte (RFC 7983).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// DTLS, RTP or RTCP: it goes over the pair that is in force.
    Chosen,
    /// To a TURN server, for this channel.
    Channel(u16),
    /// ICE checks, requests to servers.
    Other,
}

fn kind(datagram: &[u8]) -> Kind {
    match datagram {
        [20..=63 | 128..=191, ..] => Kind::Chosen,
        // RFC 8656 12.4.
        [high @ 64..=79, low, _, _, 20..=63 | 128..=191, ..] => Kind::Channel(u16::from_be_bytes([*high, *low])),
        _ => Kind::Other,
    }
}

/// The content of a datagram that goes over the pair in force, without the header of a TURN channel.
pub(crate) fn content(datagram: &[u8]) -> Option<&[u8]> {
    match kind(datagram) {
        Kind::Chosen => Some(datagram),
        Kind::Channel(_) => datagram.get(4..),
        Kind::Other => None,
    }
}

/// Where media goes.
struct Target {
    /// It is the driver's: with an ICE restart it may go.
    socket: Weak<dyn BatchSocket>,
    to: SocketAddr,
    channel: Option<u16>,
}

/// The path that a connection's media takes.
#[derive(Default)]
pub(crate) struct Route(Mutex<Option<Target>>);

impl Route {
    /// The driver sends this datagram.
    pub fn observe(&self, socket: &Arc<impl BatchSocket + 'static>, datagram: &[u8], to: SocketAddr) {
        let channel = match kind(datagram) {
            Kind::Chosen => None,
            Kind::Channel(channel) => Some(channel),
            Kind::Other => return,
        };
        let mut target = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &Target| {
            let is_same = std::ptr::addr_eq(known.socket.as_ptr(), Arc::as_ptr(socket));
            known.to == to && known.channel == channel && is_same
        };
        if !target.as_ref().is_some_and(same) {
            let socket = Arc::downgrade(socket);
            *target = Some(Target { socket, to, channel });
        }
    }

    fn target(&self) -> Option<(Arc<dyn BatchSocket>, SocketAddr, Option<u16>)> {
        let target = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Target { socket, to, channel } = target.as_ref()?;
        Some((socket.upgrade()?, *to, *channel))
    }

    /// Sends what `fill` puts into the batch, over this path; none: there is no path, and nothing was put anywhere.
    pub fn send(&self, batch: &mut Batch, fill: impl FnOnce(&mut Batch)) -> Option<Written> {
        let (socket, to, channel) = self.target()?;
        batch.reset(channel);
        fill(batch);
        Some(socket.send_batch(batch, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers where it was sent to.
    #[derive(Default)]
    struct Socket(Mutex<Vec<(SocketAddr, usize)>>);

    impl BatchSocket for Socket {
        fn send_batch(&self, batch: &Batch, to: SocketAddr) -> Written {
            self.0.lock().unwrap().push((to, batch.len()));
            Written { calls: 1, sent: batch.len(), dropped: 0 }
        }
    }

    fn sent(route: &Route) -> Option<usize> {
        let fill = |batch: &mut Batch| {
            batch.begin().extend([1; 5]);
            batch.end();
        };
        route.send(&mut Batch::default(), fill).map(|written| written.sent)
    }

    #[test]
    fn media_goes_where_the_driver_last_sent_what_is_sealed() {
        let (route, [one, other]) = (Route::default(), [(); 2].map(|()| Arc::new(Socket::default())));
        let [here, there]: [SocketAddr; 2] = ["127.0.0.1:1", "127.0.0.1:2"].map(|at| at.parse().unwrap());
        route.observe(&one, &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42], here);
        assert_eq!(sent(&route), None, "a check of a pair says nothing of which is chosen");
        route.observe(&one, &[22, 254, 253], here);
        assert_eq!(sent(&route), Some(1));
        route.observe(&other, &[0x80, 201, 0, 1], there);
        assert_eq!(sent(&route), Some(1));
        assert_eq!((&*one.0.lock().unwrap(), &*other.0.lock().unwrap()), (&vec![(here, 1)], &vec![(there, 1)]));
        drop(other);
        assert_eq!(sent(&route), None, "the socket went with an ICE restart");
    }

    #[test]
    fn a_channel_of_a_relay_is_looked_into() {
        assert_eq!(kind(&[0x40, 1, 0, 4, 0x80, 201, 0, 1]), Kind::Channel(0x4001));
        assert_eq!(content(&[0x40, 1, 0, 4, 0x80, 201, 0, 1]), Some(&[0x80, 201, 0, 1][..]));
        assert_eq!(kind(&[0x40, 1, 0, 4, 0, 1, 0, 0]), Kind::Other, "a check that is relayed");
        assert_eq!((kind(&[0x40, 1, 0]), kind(&[])), (Kind::Other, Kind::Other));
    }
}
