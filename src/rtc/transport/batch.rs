//! Many datagrams to one address with few system calls: those of one length as one message that the kernel cuts (UDP_SEGMENT, "GSO"), or,
//! where it cannot, many messages in one call (`sendmmsg`). It knows no RTP.

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// The kernel cuts a message into at most so many datagrams (UDP_MAX_SEGMENTS of older kernels).
const SEGMENTS: usize = 64;
/// And a message has at most so many bytes, as a datagram of IPv4.
const MESSAGE: usize = 65_507;
/// Messages in one call.
const MESSAGES: usize = 64;

/// Datagrams, one after the other in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// The header of a TURN channel goes before each (RFC 8656 12.4).
    channel: Option<u16>,
}

impl Batch {
    /// Forgets the datagrams; those to come are for this TURN channel, if there is one.
    pub fn reset(&mut self, channel: Option<u16>) {
        self.bytes.clear();
        self.ends.clear();
        self.channel = channel;
    }
    /// The buffer; it ends where the next datagram's content begins.
    pub fn begin(&mut self) -> &mut Vec<u8> {
        if let Some(channel) = self.channel {
            self.bytes.extend_from_slice(&channel.to_be_bytes());
            self.bytes.extend_from_slice(&[0; 2]);
        }
        &mut self.bytes
    }
    /// What was appended since [`Batch::begin`] is a datagram.
    pub fn end(&mut self) {
        let start = self.start();
        if self.channel.is_some() {
            let length = (self.bytes.len().saturating_sub(start + 4) as u16).to_be_bytes();
            if let Some(place) = self.bytes.get_mut(start + 2..start + 4) {
                place.copy_from_slice(&length);
            }
        }
        self.ends.push(self.bytes.len());
    }
    /// What was appended since [`Batch::begin`] is none.
    pub fn cancel(&mut self) {
        let start = self.start();
        self.bytes.truncate(start);
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }
    fn start(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }
    fn range(&self, at: usize) -> Range<usize> {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[at]
    }

    /// The datagrams from `at` on that can be one message: of one length, but the last may be shorter.
    fn run(&self, at: usize) -> Range<usize> {
        let first = self.range(at).len();
        let mut bytes = first;
        let mut until = at + 1;
        while until < self.ends.len() && until - at < SEGMENTS {
            let length = self.range(until).len();
            if length > first || bytes + length > MESSAGE {
                break;
            }
            (until, bytes) = (until + 1, bytes + length);
            if length < first {
                break;
            }
        }
        at..until
    }
}

/// Sends batches over one socket.
#[derive(Debug, Default)]
pub(crate) struct BatchWriter {
    /// The kernel, or the network card, does not cut messages.
    plain: AtomicBool,
}

/// A socket that batches can be sent from.
pub(crate) trait BatchSocket: Send + Sync {
    /// Sends datagrams of media, which no pacer holds back; never waits. What the kernel has no room for is lost.
    fn send_batch(&self, batch: &Batch, to: SocketAddr) -> Written;
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// System calls.
    pub calls: usize,
    /// Datagrams that the kernel took.
    pub sent: usize,
    /// Datagrams that it did not: its buffer was full, or the network is not there. As on any router on the way, they are lost.
    pub dropped: usize,
}

impl BatchWriter {
    /// Sends the datagrams in their order; never waits.
    pub fn send(&self, fd: BorrowedFd, batch: &Batch, to: SocketAddr) -> Written {
        let mut written = Written::default();
        let mut at = 0;
        while at < batch.len() {
            let run = if self.plain.load(Ordering::Relaxed) { at..at + 1 } else { batch.run(at) };
            let result = match run.len() {
                1 => self.send_plain(fd, batch, at, to, &mut written),
                _ => self.send_run(fd, batch, run.clone(), to, &mut written),
            };
            match result {
                Ok(sent) => (at, written.sent) = (at + sent, written.sent + sent),
                Err(Errno::EINTR) => {}
                // What was refused is lost; so is all the rest if there is no room for it.
                Err(Errno::EAGAIN | Errno::ENOBUFS) => {
                    written.dropped += batch.len() - at;
                    break;
                }
                Err(e) => {
                    tracing::debug!("{} datagrams cannot be sent: {e}", run.len());
                    (at, written.dropped) = (run.end, written.dropped + run.len());
                }
            }
        }
        written
    }

    /// One message of several datagrams.
    fn send_run(
        &self,
        fd: BorrowedFd,
        batch: &Batch,
        run: Range<usize>,
        to: SocketAddr,
        written: &mut Written,
    ) -> nix::Result<usize> {
        written.calls += 1;
        let first = batch.range(run.start);
        let bytes = IoSlice::new(&batch.bytes[first.start..batch.ends[run.end - 1]]);
        // Below MESSAGE.
        let length = first.len() as u16;
        let cut = [ControlMessage::UdpGsoSegments(&length)];
        match sendmsg(fd.as_raw_fd(), &[bytes], &cut, MsgFlags::MSG_DONTWAIT, Some(&SockaddrStorage::from(to))) {
            Ok(_) => Ok(run.len()),
            // No such option, no checksums by the card, or datagrams that have to be fragmented: each by itself, from now on.
            Err(Errno::EIO | Errno::EINVAL | Errno::EMSGSIZE | Errno::ENOPROTOOPT | Errno::EOPNOTSUPP) => {
                self.plain.store(true, Ordering::Relaxed);
                self.send_plain(fd, batch, run.start, to, written)
            }
            Err(e) => Err(e),
        }
    }

    /// From `at` on, messages of one datagram each; how many went.
    fn send_plain(
        &self,
        fd: BorrowedFd,
        batch: &Batch,
        at: usize,
        to: SocketAddr,
        written: &mut Written,
    ) -> nix::Result<usize> {
        written.calls += 1;
        let to = &SocketAddrAny::from(to);
        let many = if self.plain.load(Ordering::Relaxed) { (batch.len() - at).min(MESSAGES) } else { 1 };
        let slices: Vec<[IoSlice; 1]> =
            (at..at + many).map(|one| [IoSlice::new(&batch.bytes[batch.range(one)])]).collect();
        let mut control: Vec<SendAncillaryBuffer> = slices.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let messages = slices.iter().zip(&mut control);
        let mut messages: Vec<MMsgHdr> =
            messages.map(|(slice, control)| MMsgHdr::new_with_addr(to, slice, control)).collect();
        // The first that is refused ends the call; why is told when it is the first of another.
        sendmmsg(fd, &mut messages, SendFlags::DONTWAIT).map_err(|e| Errno::from_raw(e.raw_os_error()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    fn batch(lengths: &[usize], channel: Option<u16>) -> Batch {
        let mut batch = Batch::default();
        batch.reset(channel);
        for (n, length) in lengths.iter().enumerate() {
            batch.begin().extend(vec![n as u8; *length]);
            batch.end();
        }
        batch
    }

    /// Sends a batch over loopback and returns what arrives.
    fn through(writer: &BatchWriter, batch: &Batch) -> (Written, Vec<Vec<u8>>) {
        let [from, to] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        to.set_nonblocking(true).unwrap();
        let written = writer.send(from.as_fd(), batch, to.local_addr().unwrap());
        let mut buffer = [0; 2000];
        // Over loopback, what is sent has arrived.
        let arrived = std::iter::from_fn(|| to.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()));
        (written, arrived.collect())
    }

    fn all(batch: &Batch) -> Vec<Vec<u8>> {
        (0..batch.len()).map(|at| batch.bytes[batch.range(at)].to_vec()).collect()
    }

    #[test]
    fn a_run_has_one_length_and_a_shorter_end() {
        let runs = |lengths: &[usize]| {
            let (batch, mut at, mut runs) = (batch(lengths, None), 0, Vec::new());
            while at < batch.len() {
                let run = batch.run(at);
                (at, _) = (run.end, runs.push(run.len()));
            }
            runs
        };
        assert_eq!(runs(&[1200, 1200, 300]), [3]);
        assert_eq!(runs(&[300, 1200, 1200, 300, 300]), [1, 3, 1]);
        assert_eq!(runs(&[1200; 130]), [54, 54, 22], "no more bytes than a datagram has");
        assert_eq!(runs(&[100; 70]), [64, 6]);
    }

    #[test]
    fn datagrams_arrive_as_they_are_in_few_calls() {
        let batch = batch(&[300, 1200, 1200, 1200, 300, 40], None);
        let cut = BatchWriter::default();
        let (written, arrived) = through(&cut, &batch);
        assert_eq!((written.sent, written.dropped, arrived), (6, 0, all(&batch)));
        if !cut.plain.load(Ordering::Relaxed) {
            assert_eq!(written.calls, 3);
        }
        let plain = BatchWriter { plain: AtomicBool::new(true) };
        let (written, arrived) = through(&plain, &batch);
        assert_eq!((written, arrived), (Written { calls: 1, sent: 6, dropped: 0 }, all(&batch)));
    }

    #[test]
    fn what_cannot_be_sent_at_all_is_counted() {
        let batch = batch(&[100, 100], None);
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        let written = BatchWriter::default().send(from.as_fd(), &batch, "[::1]:9".parse().unwrap());
        assert_eq!((written.sent, written.dropped), (0, 2));
    }

    #[test]
    fn datagrams_of_a_channel_say_so() {
        let mut batch = batch(&[5, 3], Some(0x4001));
        batch.begin().extend([1; 7]);
        batch.cancel();
        assert_eq!(all(&batch), [[0x40, 1, 0, 5, 0, 0, 0, 0, 0].to_vec(), [0x40, 1, 0, 3, 1, 1, 1].to_vec()]);
    }
}
