//! One kind of a sender's media on its way through: packets to frames, frames to a published track, with the sender's time kept. The
//! track outlives the packets' stream: where a sender begins anew, its time goes on. Never transcodes; is told the time.

use crate::room::clock::{Mapping, SenderClock, SessionTime, TrackClock, unwrap_rtp};
use crate::room::media::{Codec, Frame, MediaKind, RtpPacket};
use crate::room::participant::TrackLabel;
use crate::rtc::media::depacketize::{AssemblerConfig, FrameAssembler, Received};
use crate::rtc::{Inbound, OutboundTrack, RemoteTrack};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How often a key frame that is needed is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Packets of streams that are not known yet.
const EARLY: usize = 1024;
/// How long a hole waits for its repair: what comes too late for a call is lost.
const HOLD: Duration = Duration::from_millis(100);

/// A stream that is passed on.
pub(super) struct Stream {
    codec: Codec,
    /// Where it comes from; none before its first packet.
    ssrc: Option<u32>,
    out: OutboundTrack,
    assembler: FrameAssembler,
    clock: TrackClock,
    mapping: Option<Mapping>,
    /// RTP time of the newest frame, as it came.
    newest_rtp: Option<i64>,
    /// The newest frame as it went out, and when.
    last: Option<(i64, Instant)>,
    /// What is added to RTP times; none until the first frame of a new beginning says.
    offset: Option<i64>,
    needs_key: bool,
    asked: Option<Instant>,
    start: Instant,
    heard: Instant,
    scratch: Vec<Received>,
}

impl Stream {
    /// A stream that goes out as `label` says, in the codec that it comes in.
    pub fn new(remote: &RemoteTrack, label: TrackLabel, now: Instant) -> Stream {
        Stream { ssrc: Some(remote.ssrc), ..Stream::expected(remote.codec, label, now) }
    }

    /// A stream of which nothing has come yet.
    pub fn expected(codec: Codec, label: TrackLabel, now: Instant) -> Stream {
        Stream {
            out: OutboundTrack::new(label, codec),
            assembler: FrameAssembler::new(codec, patience()),
            clock: TrackClock::new(codec.clock_rate()),
            mapping: None,
            newest_rtp: None,
            last: None,
            offset: Some(0),
            needs_key: codec.kind() == MediaKind::Video,
            asked: None,
            start: now,
            heard: now,
            scratch: Vec::new(),
            codec,
            ssrc: None,
        }
    }

    pub fn out(&self) -> &OutboundTrack {
        &self.out
    }
    pub fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }
    pub fn kind(&self) -> MediaKind {
        self.codec.kind()
    }
    /// When the newest packet came.
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// Goes on with another stream of the sender; false where its codec differs, which the track cannot carry.
    pub fn go_on(&mut self, remote: &RemoteTrack) -> bool {
        if remote.codec != self.codec {
            return false;
        }
        if self.ssrc.replace(remote.ssrc).is_some() {
            self.assembler = FrameAssembler::new(self.codec, patience());
            self.begin_anew();
        }
        true
    }

    /// What has come of it; `sender` is the clock that all streams of that sender share.
    pub fn take(&mut self, item: Inbound, sender: &mut SenderClock) {
        match item {
            Inbound::Rtp(packet) => self.packet(packet),
            Inbound::SenderReport { ntp, rtp, arrival, .. } => self.report(sender, ntp, rtp, arrival),
        }
    }

    fn packet(&mut self, packet: RtpPacket) {
        self.heard = packet.arrival;
        let mut out = std::mem::take(&mut self.scratch);
        self.assembler.push(packet, &mut out);
        self.pass_on(&mut out);
        self.scratch = out;
    }

    fn report(&mut self, sender: &mut SenderClock, ntp: u64, rtp: u32, arrival: Instant) {
        if let Some(newest) = self.newest_rtp {
            let at = SessionTime::since(self.start, arrival);
            self.clock.on_sender_report(sender, unwrap_rtp(newest, rtp), ntp, at);
            self.mapping = self.clock.mapping(sender);
        }
    }

    /// Gives up holes that are too old. Whether the sender is to be asked for a key frame.
    pub fn tick(&mut self, now: Instant) -> bool {
        let mut out = std::mem::take(&mut self.scratch);
        self.assembler.tick(now, &mut out);
        self.pass_on(&mut out);
        self.scratch = out;
        let due = self.needs_key
            && self.ssrc.is_some()
            && self.asked.is_none_or(|at| now.saturating_duration_since(at) >= ASK_AGAIN);
        if due {
            self.asked = Some(now);
        }
        due
    }

    /// Gives out what still waits for a repair: nothing more will come.
    pub fn finish(&mut self) {
        let mut out = std::mem::take(&mut self.scratch);
        self.assembler.finish(&mut out);
        self.pass_on(&mut out);
        self.scratch = out;
    }

    /// When `tick` has a hole to give up.
    pub fn deadline(&self) -> Option<Instant> {
        self.assembler.deadline()
    }

    fn pass_on(&mut self, received: &mut Vec<Received>) {
        for item in received.drain(..) {
            match item {
                Received::Frame(frame) => self.frame(frame),
                Received::NeedKeyFrame => self.needs_key = true,
                Received::Gap { .. } => {}
                Received::Discontinuity => self.begin_anew(),
            }
        }
    }

    fn begin_anew(&mut self) {
        self.clock = TrackClock::new(self.codec.clock_rate());
        (self.mapping, self.newest_rtp, self.offset) = (None, None, None);
        self.needs_key = self.codec.kind() == MediaKind::Video;
    }

    fn frame(&mut self, mut frame: Frame) {
        self.clock.on_arrival(frame.rtp_time, SessionTime::since(self.start, frame.arrival));
        self.newest_rtp = Some(frame.rtp_time);
        self.needs_key &= !frame.key;
        let offset = match self.offset {
            Some(offset) => offset,
            None => {
                let (last, at) = self.last.unwrap_or((frame.rtp_time, frame.arrival));
                let passed = frame.arrival.saturating_duration_since(at).as_secs_f64();
                let ticks = (passed * f64::from(self.codec.clock_rate())) as i64;
                *self.offset.insert(last.saturating_add(ticks + 1).saturating_sub(frame.rtp_time))
            }
        };
        let taken = self.mapping.as_ref().and_then(|mapping| {
            let at = mapping.to_session(frame.rtp_time);
            self.start.checked_add(Duration::from_nanos(u64::try_from(at.0).ok()?))
        });
        // Once reports say when it was taken, that is what ours say.
        let taken = taken.unwrap_or(frame.arrival);
        frame.rtp_time = frame.rtp_time.saturating_add(offset);
        self.last = Some((frame.rtp_time, frame.arrival));
        self.out.send_taken(&frame, taken);
    }
}

/// Packets that come before their stream is known: among them are those of its first key frame. The oldest are dropped where there are
/// too many.
#[derive(Default)]
pub(super) struct Early(VecDeque<Inbound>);

impl Early {
    pub fn keep(&mut self, item: Inbound) {
        if self.0.len() == EARLY {
            self.0.pop_front();
        }
        self.0.push_back(item);
    }

    /// What has come of a stream, in its order.
    pub fn take(&mut self, ssrc: u32) -> VecDeque<Inbound> {
        let (of_it, others) = std::mem::take(&mut self.0).into_iter().partition(|item| ssrc_of(item) == ssrc);
        self.0 = others;
        of_it
    }
}

pub(super) fn ssrc_of(item: &Inbound) -> u32 {
    match item {
        Inbound::Rtp(packet) => packet.ssrc,
        Inbound::SenderReport { ssrc, .. } => *ssrc,
    }
}

fn patience() -> AssemblerConfig {
    AssemblerConfig { hold: HOLD, ..AssemblerConfig::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::media::Source;

    fn remote(ssrc: u32, codec: Codec) -> RemoteTrack {
        RemoteTrack { ssrc, codec, stream: "s".into(), track: "t".into(), channels: 2 }
    }

    fn packet(sequence: u16, timestamp: u32, arrival: Instant) -> RtpPacket {
        RtpPacket {
            ssrc: 1,
            payload_type: 111,
            sequence,
            timestamp,
            marker: false,
            audio_level: None,
            arrival,
            payload: vec![0xf8, 0xff, 0xfe].into(),
        }
    }

    #[test]
    fn what_comes_before_its_stream_is_kept_for_it() {
        let (mut early, now) = (Early::default(), Instant::now());
        for n in 0..EARLY as u16 + 10 {
            early.keep(Inbound::Rtp(RtpPacket { ssrc: u32::from(n % 2), ..packet(n, 0, now) }));
        }
        let kept = early.take(1);
        assert_eq!(kept.len(), EARLY / 2);
        assert!(matches!(&kept[0], Inbound::Rtp(packet) if packet.sequence == 11));
        assert_eq!((early.take(1).len(), early.take(0).len()), (0, EARLY / 2));
    }

    #[test]
    fn times_are_the_senders_and_go_on_when_it_begins_anew() {
        let now = Instant::now();
        let label = TrackLabel { stream: "a".into(), kind: MediaKind::Audio, source: Source::Mic, muted: false };
        let mut stream = Stream::expected(Codec::Opus, label, now);
        assert!(stream.ssrc().is_none() && stream.go_on(&remote(1, Codec::Opus)), "what was expected came");
        stream.packet(packet(7, 960_000, now));
        assert_eq!(stream.last, Some((960_000, now)));
        assert!(!stream.go_on(&remote(2, Codec::Vp8)), "another codec");
        assert!(stream.go_on(&remote(2, Codec::Opus)));
        let later = now + Duration::from_secs(1);
        stream.packet(packet(900, 5, later));
        assert_eq!(stream.last, Some((960_000 + 48_001, later)));
        stream.packet(packet(901, 965, later));
        assert_eq!(stream.last, Some((960_000 + 48_961, later)));
        assert!(!stream.tick(later), "sound needs no key frame");
    }
}
