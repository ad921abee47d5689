//! What a consumer of received media implements, and what it is told.

use super::account::PacketAccount;
use super::info::{Gap, StreamInfo};
use super::stream::Stream;
use crate::room::clock::SenderClock;
use crate::room::media::{Frame, RtpPacket};
use std::time::{Duration, Instant};

/// What a consumer of media does with it. `State` is what it keeps for each stream.
pub trait MediaHandler {
    /// What the consumer keeps for each stream.
    type State;

    /// A stream begins; its packets follow. None: the consumer does not take it, and its packets are dropped.
    fn on_begin(&mut self, info: &StreamInfo, now: Instant) -> Option<Self::State>;

    /// A packet arrived, before it is put into sequence.
    fn on_packet(&mut self, _stream: &mut Stream<Self::State>, _packet: &RtpPacket) {}

    /// A whole frame that can be decoded after those before it.
    fn on_frame(&mut self, stream: &mut Stream<Self::State>, frame: Frame, sender: &SenderClock);

    /// The key frame arrived that the stream needed; its frame follows. `waited`: how long nothing could be decoded.
    fn on_key_frame_wait_over(&mut self, _stream: &mut Stream<Self::State>, _waited: Duration, _at: Instant) {}

    /// Something between two frames will not come any more.
    fn on_gap(&mut self, _stream: &mut Stream<Self::State>, _gap: Gap, _sender: &SenderClock) {}

    /// The sender began anew under the same SSRC: the next frame's time has nothing to do with those before. Told before the stream's clock
    /// is replaced.
    fn on_restart(&mut self, _stream: &mut Stream<Self::State>, _sender: &SenderClock) {}

    /// A sender report was taken into the stream's clock.
    fn on_report(&mut self, _stream: &mut Stream<Self::State>, _report: &Report, _sender: &SenderClock) {}

    /// The stream has ended at `at`; everything that came of it has been given out. [`Stream::account`] is final.
    fn on_end(&mut self, _stream: Stream<Self::State>, _at: Instant, _sender: &SenderClock) {}

    /// A stream goes on in another codec, from the next frame on: `ended` is what it was until now, with its final account. Returns what the
    /// consumer keeps for it from now on; none: it does not take it any more. Without a word of its own it ends, and another one begins.
    fn on_codec(
        &mut self,
        ended: Stream<Self::State>,
        info: &StreamInfo,
        at: Instant,
        sender: &SenderClock,
    ) -> Option<Self::State> {
        self.on_end(ended, at, sender);
        self.on_begin(info, at)
    }

    /// The sender of this stream must be asked for a key frame (PLI, RFC 4585 6.3.1) of the packets with this SSRC.
    fn request_key_frame(&mut self, _stream: &mut Stream<Self::State>, _ssrc: u32, _now: Instant) {}

    /// The connection has ended: the final account of packets of one SSRC that belonged to no stream. [`PacketAccount::why_nothing`] tells why.
    fn on_account(&mut self, _account: &PacketAccount) {}

    /// Packets of this connection are not received as they should be.
    fn on_problem(&mut self, problem: Problem) {
        tracing::debug!("{problem}");
    }
}

/// An RTCP sender report (RFC 3550, 6.4.1) of a stream.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// The sender's clock: seconds since 1900, 32.32 bits.
    pub ntp: u64,
    /// The stream's RTP time at that moment, unwrapped near its newest frame.
    pub rtp_time: i64,
    /// When it arrived.
    pub arrival: Instant,
    /// Where it came from: the sender, or a server that stands between.
    pub from: std::net::IpAddr,
}

/// Why packets did not become frames; each is counted where it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are named as in RFC 3550")]
#[non_exhaustive]
pub enum Problem {
    /// Packets of a stream that was never announced, or whose label never came, were dropped.
    Unannounced { ssrc: u32, packets: u64 },
    /// Packets of an announced stream that waits to begin went over the limit and were dropped.
    EarlyOverflow { ssrc: u32, packets: u64 },
    /// A stream was announced beyond the number that is taken.
    TooManyStreams { ssrc: u32 },
    /// A frame could not be transformed (decrypted) and was dropped.
    Transform { ssrc: u32, why: String },
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Problem::Unannounced { ssrc, packets } => {
                write!(f, "{packets} packets of an unknown stream (SSRC {ssrc}) were dropped")
            }
            Problem::EarlyOverflow { ssrc, packets } => {
                write!(f, "{packets} packets came before their stream (SSRC {ssrc}) could begin and were dropped")
            }
            Problem::TooManyStreams { ssrc } => write!(f, "too many streams: SSRC {ssrc} is not received"),
            Problem::Transform { ssrc, why } => write!(f, "a frame of SSRC {ssrc} could not be transformed: {why}"),
        }
    }
}
