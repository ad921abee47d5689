//! The streams that a connection sends, and what they share.

use crate::room::media::RtpPacket;
use crate::rtc::egress::datagrams::Datagrams;
use crate::rtc::egress::format::SendFormat;
use crate::rtc::egress::numbers::Numbers;
use crate::rtc::egress::stream::OutboundStream;
pub(crate) use crate::rtc::egress::stream::Report;
use crate::rtc::srtp::seal::SealingKeys;
use std::sync::Arc;
use std::time::Instant;

/// The streams that a connection sends.
pub(crate) struct Egress {
    keys: SealingKeys,
    streams: Vec<OutboundStream>,
    numbers: Numbers,
}

impl Egress {
    /// Seals with these keys.
    pub fn new(keys: SealingKeys) -> Egress {
        Egress { keys, streams: Vec::new(), numbers: Numbers::default() }
    }

    /// How the packets of a stream look from now on: its SSRC, that of its retransmissions, and its clock. Its numbers go on if it is known.
    /// False: somebody else seals in its name.
    pub fn set_stream(&mut self, ssrc: u32, repair: Option<u32>, clock_rate: u32, format: SendFormat) -> bool {
        if let Some(stream) = self.stream(ssrc) {
            stream.format = format;
            return true;
        }
        let Some(sealer) = self.keys.rtp(ssrc) else { return false };
        let repairs = repair.and_then(|repair| self.keys.rtp(repair));
        self.streams.push(OutboundStream::new(sealer, repairs, clock_rate, format));
        true
    }

    /// The track of a stream has ended: the stream is reported on no longer, and nothing of it is sent again. A track that takes its place goes
    /// on behind its numbers, whatever its own are.
    pub fn end(&mut self, ssrc: u32) {
        if let Some(stream) = self.stream(ssrc) {
            stream.end();
        }
    }

    /// Writes the packets of a frame of a track (a number that is greater for those that begin later). Returns how many could not be: one
    /// with their number, or a later one, was sent before, or another track has taken the place of theirs.
    pub fn write(
        &mut self,
        ssrc: u32,
        track: u64,
        packets: &Arc<Vec<RtpPacket>>,
        now: Instant,
        out: &mut impl Datagrams,
    ) -> usize {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc() == ssrc) else { return packets.len() };
        stream.write(track, packets, now, &mut self.numbers, out)
    }

    /// Writes what a receiver asks for again (RFC 4585 6.2.1, RFC 4588), as far as it is still known and may go now.
    pub fn repeat(
        &mut self,
        ssrc: u32,
        sequences: impl IntoIterator<Item = u16>,
        now: Instant,
        out: &mut impl Datagrams,
    ) {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc() == ssrc) else { return };
        for sequence in sequences {
            stream.repeat(sequence, now, &mut self.numbers, out);
        }
    }

    /// What is to be said of the streams that send.
    pub fn reports(&self, now: Instant) -> Vec<Report> {
        self.streams.iter().filter_map(|stream| stream.report(now)).collect()
    }

    /// The packets that left under transport-wide numbers, which feedback refers to.
    pub fn numbers(&mut self) -> &mut Numbers {
        &mut self.numbers
    }

    fn stream(&mut self, ssrc: u32) -> Option<&mut OutboundStream> {
        self.streams.iter_mut().find(|stream| stream.ssrc() == ssrc)
    }
}
