//! The layers of a picture that comes in several encodings at once (simulcast, RFC 8853): which one is given out, and where its times lie in
//! the stream's. Each layer has an SSRC, a sequence and an RTP clock of its own. It sends nothing.

use crate::room::clock::{Basis, SenderClock, SessionTime, TrackClock, unwrap_rtp};
use crate::room::media::{Codec, Frame};
use crate::rtc::media::depacketize::{AssemblerConfig, FrameAssembler, ReceiveStats};
use crate::rtc::media::packet_counts::{DropReason, PacketCounts};
use std::time::{Duration, Instant};

/// Layers of one stream.
pub(super) const MAX_LAYERS: usize = 8;
/// A layer without a frame for this long is given up for another one: its sender has stopped it, for want of bandwidth mostly.
const STALE: Duration = Duration::from_millis(700);
/// A layer of which nothing was heard for this long needs no key frame.
const SILENT: Duration = Duration::from_millis(500);
/// A layer begins with a key frame by itself, which takes a while to arrive.
const FIRST_KEY_FRAME: Duration = Duration::from_millis(500);
/// A key frame that has not arrived is requested again after this time.
const RETRY: Duration = Duration::from_secs(1);
/// Least time from a frame to the next, in parts of a second, where a layer begins earlier than the one before ended.
const LEAST_STEP: u32 = 1000;

/// The layers of a stream that has several.
pub(super) struct Layers {
    /// The stream's own first.
    all: Vec<Layer>,
    current: usize,
    clock_rate: u32,
    /// Packets of frames that were given out, and packets of given layers that were dropped.
    used: PacketCounts,
    /// What was lost of layers that were not given out.
    unused: ReceiveStats,
}

struct Layer {
    ssrc: u32,
    /// None: the stream's own.
    assembler: Option<FrameAssembler>,
    clock: TrackClock,
    newest_rtp: Option<i64>,
    /// Size of its picture, in pixels; 0 while it is not known.
    pixels: u64,
    /// When its first and its last packet arrived.
    heard: Option<(Instant, Instant)>,
    /// When its last frame arrived.
    framed: Option<Instant>,
    requested: Option<Instant>,
    /// What its RTP times differ by from the stream's.
    offset: i64,
    /// The offset stands on sender reports.
    exact: bool,
    /// What is in `used` or `unused` already.
    counted: ReceiveStats,
}

impl Layer {
    fn new(ssrc: u32, clock: TrackClock) -> Layer {
        Layer {
            ssrc,
            assembler: None,
            clock,
            newest_rtp: None,
            pixels: 0,
            heard: None,
            framed: None,
            requested: None,
            offset: 0,
            exact: false,
            counted: ReceiveStats::default(),
        }
    }

    fn is_stale(&self, now: Instant) -> bool {
        self.framed.is_none_or(|framed| now.saturating_duration_since(framed) > STALE)
    }

    /// Whether packets come, and a key frame should have come with them.
    fn is_sending(&self, now: Instant) -> bool {
        self.heard.is_some_and(|(first, last)| {
            now.saturating_duration_since(first) > FIRST_KEY_FRAME && now.saturating_duration_since(last) < SILENT
        })
    }
}

/// What is known of a stream that turns out to have layers.
pub(super) struct OwnLayer<'a> {
    pub ssrc: u32,
    pub clock: &'a TrackClock,
    pub newest_rtp: Option<i64>,
    pub pixels: u64,
    pub stats: ReceiveStats,
}

impl Layers {
    /// Layers of which there is only the stream's own.
    pub fn new(own: OwnLayer<'_>, clock_rate: u32, now: Instant) -> Layers {
        let framed = own.newest_rtp.map(|_| now);
        let first = Layer {
            newest_rtp: own.newest_rtp,
            pixels: own.pixels,
            heard: framed.map(|at| (at, at)),
            framed,
            exact: true,
            counted: own.stats,
            ..Layer::new(own.ssrc, own.clock.clone())
        };
        let (current, unused) = (0, ReceiveStats::default());
        Layers { all: vec![first], current, clock_rate, used: own.stats.counts, unused }
    }

    /// One more layer.
    pub fn add(&mut self, ssrc: u32, codec: Codec, config: AssemblerConfig) {
        let assembler = Some(FrameAssembler::new(codec, config));
        self.all.push(Layer { assembler, ..Layer::new(ssrc, TrackClock::new(self.clock_rate)) });
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The SSRC of the layer that is given out.
    pub fn current_ssrc(&self) -> Option<u32> {
        self.all.get(self.current).map(|layer| layer.ssrc)
    }

    /// Which layer has this SSRC; the stream's own if none has.
    pub fn index(&self, ssrc: u32) -> usize {
        self.all.iter().position(|layer| layer.ssrc == ssrc).unwrap_or_default()
    }

    /// What a layer's times differ by from the stream's; none for one that is not given out.
    pub fn offset(&self, index: usize) -> Option<i64> {
        self.all.get(index).filter(|_| self.current == index).map(|layer| layer.offset)
    }

    /// The layer's own assembler; none for the stream's own layer.
    pub fn assembler(&mut self, index: usize) -> Option<&mut FrameAssembler> {
        self.all.get_mut(index)?.assembler.as_mut()
    }

    pub fn assemblers(&self) -> impl Iterator<Item = &FrameAssembler> {
        self.all.iter().filter_map(|layer| layer.assembler.as_ref())
    }

    pub fn assemblers_mut(&mut self) -> impl Iterator<Item = &mut FrameAssembler> {
        self.all.iter_mut().filter_map(|layer| layer.assembler.as_mut())
    }

    /// The sender has stopped a layer. True if it has stopped all of them.
    pub fn goodbye(&mut self, ssrc: u32) -> bool {
        if let Some(layer) = self.all.iter_mut().find(|layer| layer.ssrc == ssrc) {
            layer.framed = None;
            layer.heard = None;
        }
        self.all.iter().all(|layer| layer.heard.is_none())
    }

    /// Whether a picture of this size is larger than those of the layer that is given out, or that layer has stopped.
    pub fn is_surpassed_by(&self, size: Option<(u32, u32)>, now: Instant) -> bool {
        let pixels = size.map_or(0, |(width, height)| u64::from(width) * u64::from(height));
        self.all.get(self.current).is_none_or(|current| pixels > current.pixels || current.is_stale(now))
    }

    /// A packet of a layer arrived.
    pub fn heard(&mut self, index: usize, at: Instant) {
        if let Some(layer) = self.all.get_mut(index) {
            let first = layer.heard.map_or(at, |(first, _)| first);
            layer.heard = Some((first, at));
        }
    }

    /// A frame of a layer. Returns it if it is to be given out, in the stream's time: `stream` is its clock, `given` its newest RTP time.
    pub fn choose(
        &mut self,
        index: usize,
        mut frame: Frame,
        at: SessionTime,
        (stream, given): (&TrackClock, Option<i64>),
        sender: &SenderClock,
    ) -> Option<Frame> {
        let current = self.all.get(self.current)?;
        let (shown, stale) = (current.pixels, current.is_stale(frame.arrival));
        let layer = self.all.get_mut(index)?;
        layer.clock.on_arrival(frame.rtp_time, at);
        layer.newest_rtp = Some(frame.rtp_time);
        layer.framed = Some(frame.arrival);
        if let Some((width, height)) = frame.size {
            layer.pixels = u64::from(width) * u64::from(height);
        }
        if index != self.current {
            if !frame.key || layer.pixels <= shown && !stale {
                return None;
            }
            self.current = index;
            if !layer.exact {
                layer.align(frame.rtp_time, (stream, given), sender, self.clock_rate);
            }
        }
        frame.rtp_time = frame.rtp_time.saturating_add(layer.offset);
        if let Some(given) = given {
            let step = i64::from(self.clock_rate / LEAST_STEP);
            frame.rtp_time = frame.rtp_time.max(given.saturating_add(if layer.offset == 0 { 0 } else { step }));
        }
        self.used.in_frames += u64::from(frame.packets);
        Some(frame)
    }

    /// A sender report of a layer. Returns its RTP time in the stream's time where the stream's clock may learn of it.
    pub fn report(
        &mut self,
        index: usize,
        (ntp, rtp): (u64, u32),
        (at, now): (SessionTime, Instant),
        (stream, given): (&TrackClock, Option<i64>),
        sender: &mut SenderClock,
    ) -> Option<i64> {
        let (current, clock_rate) = (self.current, self.clock_rate);
        let own_is_gone = self.all.first().is_none_or(|own| own.is_stale(now));
        let layer = self.all.get_mut(index)?;
        let rtp_time = unwrap_rtp(layer.newest_rtp?, rtp);
        layer.clock.on_sender_report(sender, rtp_time, ntp, at);
        if index == current && !layer.exact {
            layer.align(rtp_time, (stream, given), sender, clock_rate);
            // Nobody else will say how the stream's time stands to the sender's clock.
            let reported = stream.mapping(sender).is_some_and(|mapping| mapping.basis == Basis::SenderReports);
            layer.exact |= own_is_gone && !reported;
        }
        layer.exact.then(|| rtp_time.saturating_add(layer.offset))
    }

    /// The sender of a layer began anew. If it is the one that is given out, the stream's time is its time now.
    pub fn restart(&mut self, index: usize) {
        let is_current = self.current == index;
        for (at, layer) in self.all.iter_mut().enumerate() {
            if at == index {
                layer.clock = TrackClock::new(self.clock_rate);
                layer.newest_rtp = None;
                layer.offset = 0;
            }
            layer.exact = if is_current { at == index } else { layer.exact && at != index };
        }
    }

    /// A layer needs a key frame before more of it can be decoded.
    pub fn need_key_frame(&mut self, index: usize) {
        if let Some(layer) = self.all.get_mut(index) {
            layer.requested = None;
        }
    }

    /// The SSRCs of layers that would be given out if they had a key frame now, and were not asked for one just before. They count as asked.
    pub fn key_frames_due(&mut self, now: Instant) -> Vec<u32> {
        let Some(current) = self.all.get(self.current) else { return Vec::new() };
        let (shown, stale, current) = (current.pixels, current.is_stale(now), self.current);
        let due = |(index, layer): (usize, &mut Layer)| {
            let wanted = index != current && layer.is_sending(now);
            let better = layer.pixels == 0 || layer.pixels > shown || stale;
            let rested = layer.requested.is_none_or(|at| now.saturating_duration_since(at) >= RETRY);
            (wanted && better && rested).then(|| {
                layer.requested = Some(now);
                layer.ssrc
            })
        };
        self.all.iter_mut().enumerate().filter_map(due).collect()
    }

    /// Counts what became of packets of a layer, whose assembler counts so much.
    pub fn count(&mut self, index: usize, stats: ReceiveStats) {
        let is_current = self.current == index;
        let Some(layer) = self.all.get_mut(index) else { return };
        let before = std::mem::replace(&mut layer.counted, stats);
        if is_current {
            // Frames are counted as they are given out.
            let mut dropped = stats.counts.since(&before.counts);
            dropped.in_frames = 0;
            self.used.add(&dropped);
        } else {
            self.unused.lost += stats.lost.saturating_sub(before.lost);
            self.unused.dropped_frames += stats.dropped_frames.saturating_sub(before.dropped_frames);
        }
    }

    /// The counts of all layers together: what was lost of those that were not given out is no loss. `own` are those of the stream's own.
    pub fn stats(&self, own: ReceiveStats) -> ReceiveStats {
        let mut all = own;
        for stats in self.assemblers().map(FrameAssembler::stats) {
            all.add(&stats);
        }
        all.lost = all.lost.saturating_sub(self.unused.lost);
        all.dropped_frames = all.dropped_frames.saturating_sub(self.unused.dropped_frames);
        let mut counts = self.used;
        counts.drop(DropReason::OtherLayer, all.counts.total().saturating_sub(counts.total()));
        ReceiveStats { counts, ..all }
    }
}

impl Layer {
    /// Finds the offset of the layer's times at `rtp_time` from the stream's: both stand for the same moments of the session.
    fn align(&mut self, rtp_time: i64, stream: (&TrackClock, Option<i64>), sender: &SenderClock, clock_rate: u32) {
        let (clock, Some(given)) = stream else { return };
        let (Some(ours), Some(theirs)) = (clock.mapping(sender), self.clock.mapping(sender)) else { return };
        let apart = theirs.to_session(rtp_time).0.saturating_sub(ours.to_session(given).0);
        let ticks = i128::from(apart) * i128::from(clock_rate) / 1_000_000_000;
        let time = given.saturating_add(i64::try_from(ticks).unwrap_or_default());
        self.offset = time.saturating_sub(rtp_time);
        self.exact = ours.basis == Basis::SenderReports && theirs.basis == Basis::SenderReports;
    }
}
