//! One stream (SSRC) of a connection: its packets in sequence, its frames, its clock, and when it needs a key frame.

use super::{MediaHandler, Problem, Report, SubscriberConfig};
use crate::room::clock::{Mapping, SenderClock, SessionTime, TrackClock, unwrap_rtp};
use crate::room::media::{Frame, MediaKind, RemoteTrack, RtpPacket, Source};
use crate::rtc::feedback::KeyFrameNeed;
use crate::rtc::media::depacketize::{AssemblerConfig, FrameAssembler, ReceiveStats, Received};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// What a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// As the connection announced it.
    pub track: RemoteTrack,
    /// What it shows, by its label or, without one, by its kind.
    pub source: Source,
    /// The participant said what the stream is, and will say when it is gone.
    pub labelled: bool,
}

/// What will not come any more between two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// RTP time of the last frame before it.
    pub from: i64,
    /// RTP time of the frame after it.
    pub to: i64,
    /// Packets that were lost for good.
    pub lost_packets: u32,
    /// Frames of which something came and that were thrown away (frames lost without a trace are not counted).
    pub dropped_frames: u32,
}

/// Changes frames between assembly and their consumers: decryption (W3C WebRTC Encoded Transform, RFC 9605).
pub trait FrameTransform: Send {
    /// Changes the frame in place: bytes, and what is known of them (`key`, `size`, `config`).
    ///
    /// # Errors
    /// Why the frame is to be dropped, for people.
    fn transform(&mut self, info: &StreamInfo, frame: &mut Frame) -> Result<(), String>;
}

/// A stream that is received, and what its consumer keeps for it.
pub struct Stream<S> {
    /// What is known of it.
    pub info: StreamInfo,
    /// The consumer's.
    pub state: S,
    /// When its sender is asked for a key frame. Assembly says when one is needed; the consumer may, too.
    pub key_frames: KeyFrameNeed,
    zero: Instant,
    assembler: FrameAssembler,
    clock: TrackClock,
    mapping: Option<Mapping>,
    newest_rtp: Option<i64>,
    transform: Option<Box<dyn FrameTransform>>,
    scratch: Vec<Received>,
}

impl<S> Stream<S> {
    pub(super) fn new(info: StreamInfo, config: &SubscriberConfig, state: S, now: Instant) -> Stream<S> {
        let codec = info.track.codec;
        let mut key_frames = KeyFrameNeed::new(config.key_frames);
        if config.key_frame_at_begin && codec.kind() == MediaKind::Video {
            key_frames.need(now);
        }
        let assembler = AssemblerConfig { hold: config.hold, ..AssemblerConfig::default() };
        Stream {
            assembler: FrameAssembler::new(codec, assembler),
            clock: TrackClock::new(codec.clock_rate()),
            info,
            state,
            key_frames,
            zero: config.zero,
            mapping: None,
            newest_rtp: None,
            transform: None,
            scratch: Vec::new(),
        }
    }

    /// The stream's SSRC.
    pub fn ssrc(&self) -> u32 {
        self.info.track.ssrc
    }

    /// Sound or picture.
    pub fn kind(&self) -> MediaKind {
        self.info.track.kind()
    }

    /// Counts since the stream began.
    pub fn stats(&self) -> ReceiveStats {
        self.assembler.stats()
    }

    /// RTP time to session time, as far as it is known now; none before the first frame.
    pub fn mapping(&self, sender: &SenderClock) -> Option<Mapping> {
        self.clock.mapping(sender)
    }

    /// The mapping as the last sender report left it; none before the first.
    pub fn reported_mapping(&self) -> Option<&Mapping> {
        self.mapping.as_ref()
    }

    /// RTP time to the sender's clock.
    pub fn clock(&self) -> &TrackClock {
        &self.clock
    }

    /// Takes the clock out; a new one begins.
    pub fn take_clock(&mut self) -> TrackClock {
        std::mem::replace(&mut self.clock, TrackClock::new(self.info.track.codec.clock_rate()))
    }

    /// When the frame of this RTP time was taken, by the sender's reports; none before the first, or before the zero of session time.
    pub fn captured_at(&self, rtp_time: i64) -> Option<Instant> {
        let at = self.mapping.as_ref()?.to_session(rtp_time);
        self.zero.checked_add(Duration::from_nanos(u64::try_from(at.0).ok()?))
    }

    /// Every frame passes this transform from now on.
    pub fn set_transform(&mut self, transform: Box<dyn FrameTransform>) {
        self.transform = Some(transform);
    }

    pub(super) fn set_hold(&mut self, hold: Duration) {
        self.assembler.set_hold(hold);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.assembler.deadline()
    }

    pub(super) fn packet(
        &mut self,
        packet: RtpPacket,
        sender: &SenderClock,
        handler: &mut impl MediaHandler<State = S>,
    ) {
        let now = packet.arrival;
        let mut out = std::mem::take(&mut self.scratch);
        self.assembler.push(packet, &mut out);
        self.hand_over(&mut out, now, sender, handler);
        self.scratch = out;
    }

    /// Gives up holes that are too old.
    pub(super) fn tick(&mut self, now: Instant, sender: &SenderClock, handler: &mut impl MediaHandler<State = S>) {
        let mut out = std::mem::take(&mut self.scratch);
        self.assembler.tick(now, &mut out);
        self.hand_over(&mut out, now, sender, handler);
        self.scratch = out;
    }

    /// Gives out what is whole, and ends.
    pub(super) fn end(mut self, sender: &SenderClock, at: Instant, handler: &mut impl MediaHandler<State = S>) {
        let mut out = std::mem::take(&mut self.scratch);
        self.assembler.finish(&mut out);
        self.hand_over(&mut out, at, sender, handler);
        handler.on_end(self, at, sender);
    }

    /// A sender report: its NTP and RTP times, when it arrived in session time and by this machine's clock, and from where.
    pub(super) fn report(
        &mut self,
        sender: &mut SenderClock,
        (ntp, rtp): (u64, u32),
        at: SessionTime,
        (arrival, from): (Instant, IpAddr),
        handler: &mut impl MediaHandler<State = S>,
    ) {
        let Some(newest) = self.newest_rtp else { return };
        let rtp_time = unwrap_rtp(newest, rtp);
        self.clock.on_sender_report(sender, rtp_time, ntp, at);
        self.mapping = self.clock.mapping(sender);
        handler.on_report(self, &Report { ntp, rtp_time, arrival, from }, sender);
    }

    fn hand_over(
        &mut self,
        out: &mut Vec<Received>,
        now: Instant,
        sender: &SenderClock,
        handler: &mut impl MediaHandler<State = S>,
    ) {
        for received in out.drain(..) {
            match received {
                Received::Frame(frame) => self.frame(frame, sender, handler),
                Received::Gap { from, to, lost_packets, dropped_frames } => {
                    handler.on_gap(self, Gap { from, to, lost_packets, dropped_frames }, sender);
                }
                Received::NeedKeyFrame => self.key_frames.need_at_once(now),
                Received::Discontinuity => {
                    handler.on_restart(self, sender);
                    self.clock = TrackClock::new(self.info.track.codec.clock_rate());
                    self.mapping = None;
                }
            }
        }
    }

    fn frame(&mut self, mut frame: Frame, sender: &SenderClock, handler: &mut impl MediaHandler<State = S>) {
        if let Some(transform) = &mut self.transform
            && let Err(why) = transform.transform(&self.info, &mut frame)
        {
            return handler.on_problem(Problem::Transform { ssrc: self.ssrc(), why });
        }
        self.newest_rtp = Some(frame.rtp_time);
        self.clock.on_arrival(frame.rtp_time, SessionTime::since(self.zero, frame.arrival));
        if self.kind() == MediaKind::Video
            && let Some(since) = self.key_frames.on_frame(frame.key, frame.arrival)
        {
            let waited = frame.arrival.saturating_duration_since(since);
            handler.on_key_frame_wait_over(self, waited, frame.arrival);
        }
        handler.on_frame(self, frame, sender);
    }
}
