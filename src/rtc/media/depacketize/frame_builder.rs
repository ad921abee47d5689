//! Packets of one SSRC, in sequence, to frames: where they begin and end, what can be decoded, gaps. Knows of payload formats what they share.

use crate::room::media::{AudioLevel, Codec, Frame, MediaFormat, MediaKind, PacketFormat, RtpPacket};
use crate::rtc::media::depacketize::dependencies::{Decodability, DependencyTracker, FrameDependencies};
use crate::rtc::media::depacketize::formats::depayloader;
use crate::rtc::media::depacketize::payload::{Depayload, Head, Starts};
use crate::rtc::media::depacketize::pending_gap::PendingGap;
use crate::rtc::media::depacketize::received::{AssemblerConfig, ReceiveStats, Received};
use crate::rtc::media::depacketize::timestamps::{Timestamps, Unwrapped};
use crate::rtc::media::inspect::inspected::Inspected;
use crate::rtc::media::inspect::inspector::Inspector;
use crate::rtc::media::packet_counts::DropReason;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;

/// A frame of more parts than this is malformed: a guard against one built of empty ones.
const MAX_PARTS: usize = 16_384;
/// Builds frames of packets that come in sequence.
pub(crate) struct FrameBuilder {
    pub codec: Codec,
    /// What the newest packet's payload type stands for.
    format: Option<Arc<MediaFormat>>,
    depayloader: Box<dyn Depayload>,
    inspector: Inspector,
    video: bool,
    timestamps: Timestamps,
    max_bytes: usize,
    /// Timestamp and marker bit of the packet before, unless it is missing.
    previous: Option<(i64, bool)>,
    building: Option<Building>,
    parts: Vec<Bytes>,
    /// The rest of the frame of this time is thrown away for this reason; the frame is counted already.
    dropping: Option<(i64, DropReason)>,
    /// Since the sender began: a frame has come out; a packet has said that its frame ends.
    begun: bool,
    marks_ends: bool,
    tracker: DependencyTracker,
    asked: bool,
    gap: PendingGap,
    discontinuity: bool,
    pub stats: ReceiveStats,
}

/// The frame whose packets are coming in.
struct Building {
    time: i64,
    arrival: Instant,
    audio_level: Option<AudioLevel>,
    dependencies: FrameDependencies,
    bytes: usize,
    packets: u32,
}

impl FrameBuilder {
    pub fn new(codec: Codec, config: &AssemblerConfig) -> Self {
        Self {
            codec,
            format: None,
            depayloader: depayloader(codec),
            inspector: Inspector::new(codec),
            video: codec.kind() == MediaKind::Video,
            timestamps: Timestamps::new(codec.clock_rate()),
            max_bytes: config.max_bytes,
            previous: None,
            building: None,
            parts: Vec::new(),
            dropping: None,
            begun: false,
            marks_ends: false,
            tracker: DependencyTracker::new(),
            asked: false,
            gap: PendingGap::default(),
            discontinuity: false,
            stats: ReceiveStats::default(),
        }
    }

    /// From now on frames are not inspected, and given out whether or not they can be decoded.
    pub fn set_opaque(&mut self) {
        self.inspector = Inspector::Opaque { video: self.video };
    }

    /// Packets of the frame that is being built.
    #[cfg(test)]
    pub fn held(&self) -> u64 {
        self.building.as_ref().map_or(0, |building| building.packets.into())
    }

    /// So many packets will not come any more.
    pub fn on_lost(&mut self, count: u32, out: &mut Vec<Received>) {
        self.on_missing_packets(out);
        self.count_lost(count);
    }

    /// The next packet's number is somewhere else.
    pub fn on_sequence_jump(&mut self, ahead: Option<u32>, out: &mut Vec<Received>) {
        self.on_missing_packets(out);
        self.timestamps.on_sequence_jump(ahead);
    }

    /// No more packets come. A frame whose end was not seen is dropped; the last gap is told.
    pub fn finish(&mut self, out: &mut Vec<Received>) {
        self.give_up_building(out);
        self.gap.report(self.timestamps.newest(), out);
    }

    /// Packets are missing after the newest.
    fn on_missing_packets(&mut self, out: &mut Vec<Received>) {
        self.previous = None;
        self.give_up_building(out);
        self.tracker.on_loss();
    }

    /// The rest of the frame that is being built will not come.
    fn give_up_building(&mut self, out: &mut Vec<Received>) {
        if let Some(building) = self.building.take() {
            self.drop_building(&building, DropReason::Incomplete, out);
        }
    }

    fn count_lost(&mut self, count: u32) {
        self.stats.lost += u64::from(count);
        self.gap.lose(count);
    }

    /// The next packet in sequence.
    pub fn take(&mut self, packet: RtpPacket, out: &mut Vec<Received>) {
        if packet.payload.is_empty() {
            return self.stats.counts.drop(DropReason::Padding, 1);
        }
        let format = match &packet.format {
            PacketFormat::Media(format) if format.codec.kind() == self.codec.kind() => format.clone(),
            _ => return self.stats.counts.drop(DropReason::PayloadType, 1),
        };
        let time = self.unwrap(&packet, out);
        if self.building.as_ref().is_some_and(|building| building.time != time) {
            self.end_unmarked(&format, out);
        }
        if self.format.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &format)) {
            self.set_format(format, time, out);
        }
        let previous = self.previous.replace((time, packet.marker));
        let head = match self.depayloader.head(&packet.payload) {
            Ok(Some(head)) => head,
            Ok(None) => {
                self.stats.malformed += 1;
                return self.stats.counts.drop(DropReason::Malformed, 1);
            }
            Err(_) => {
                self.stats.counts.drop(DropReason::Malformed, 1);
                return self.malformed(time, DropReason::Malformed, out);
            }
        };
        if self.building.is_none() {
            let begins = match head.starts {
                Starts::Yes => true,
                Starts::No => false,
                Starts::AfterEnd => match previous {
                    Some((before, marker)) => marker || before != time,
                    None => self.begins_stream(&packet),
                },
            };
            if let Err(reason) = self.begin(begins, time, &head, &packet, out) {
                return self.stats.counts.drop(reason, 1);
            }
        }
        let Some(building) = &mut self.building else { return };
        building.arrival = building.arrival.min(packet.arrival);
        (building.packets, building.bytes) = (building.packets + 1, building.bytes + packet.payload.len());
        if building.bytes > self.max_bytes || self.parts.len() >= MAX_PARTS {
            return self.malformed(time, DropReason::TooLarge, out);
        }
        if self.depayloader.add(&head, &packet.payload, &mut self.parts).is_err() {
            return self.malformed(time, DropReason::Malformed, out);
        }
        if packet.marker || head.ends {
            self.marks_ends = true;
            self.complete(out);
        }
    }

    /// Whether a first packet may be the beginning of its frame although none before it shows that: nothing came before that it could refer to,
    /// and whether there are parameter sets for it is seen when it is whole.
    fn begins_stream(&self, packet: &RtpPacket) -> bool {
        !self.begun && self.stats.lost == 0 && self.depayloader.may_begin(&packet.payload)
    }

    /// No frame is being built; afterwards one is.
    ///
    /// # Errors
    /// The packet is of no use, for this reason.
    fn begin(
        &mut self,
        begins: bool,
        time: i64,
        head: &Head,
        packet: &RtpPacket,
        out: &mut Vec<Received>,
    ) -> Result<(), DropReason> {
        if let Some((dropped, reason)) = self.dropping
            && !begins
            && dropped == time
        {
            return Err(reason);
        }
        if self.is_gated() {
            let harmless = self.tracker.on_packet_after_loss(&head.dependencies);
            let decodability = if begins {
                self.tracker.decodability(&head.dependencies, head.key)
            } else {
                Decodability::LayerUndecodable
            };
            if harmless && begins {
                self.gap.was_harmless();
            }
            if matches!(decodability, Decodability::LayerUndecodable | Decodability::NeedsKeyFrame) {
                let reason = if begins || !self.begun { self.cannot_be_decoded() } else { DropReason::Incomplete };
                self.drop_frame(time, &head.dependencies, reason, out);
                if decodability == Decodability::NeedsKeyFrame {
                    self.ask(out);
                }
                return Err(reason);
            }
        } else if !begins {
            self.drop_frame(time, &head.dependencies, DropReason::Incomplete, out);
            return Err(DropReason::Incomplete);
        }
        self.dropping = None;
        self.building = Some(Building {
            time,
            arrival: packet.arrival,
            audio_level: packet.audio_level,
            dependencies: head.dependencies,
            bytes: 0,
            packets: 0,
        });
        Ok(())
    }

    /// Whether frames are held to what they depend on.
    fn is_gated(&self) -> bool {
        self.video && !matches!(self.inspector, Inspector::Opaque { .. })
    }

    /// Why a frame is dropped that would need others.
    fn cannot_be_decoded(&self) -> DropReason {
        if self.begun { DropReason::Undecodable } else { DropReason::NoKeyFrame }
    }

    /// No packet said that the frame ends that is being built. Of a sender that marks ends it was cut off where another codec follows, as Chromium
    /// does with what is in its pacer then.
    fn end_unmarked(&mut self, next: &MediaFormat, out: &mut Vec<Received>) {
        if !self.marks_ends || next.codec == self.codec {
            self.complete(out);
        } else if let Some(building) = self.building.take() {
            self.stats.counts.drop(DropReason::Unfinished, building.packets.into());
            self.parts.clear();
        }
    }

    /// The frame that is being built has all its packets.
    fn complete(&mut self, out: &mut Vec<Received>) {
        let Some(building) = self.building.take() else { return };
        let finished = self.depayloader.finish(&mut self.parts);
        let picture = match finished.and_then(|()| self.inspector.inspect(&self.parts)) {
            Ok(Some(picture)) => picture,
            Ok(None) => {
                self.stats.counts.drop(DropReason::NoPicture, building.packets.into());
                return self.parts.clear();
            }
            Err(_) => {
                self.stats.malformed += 1;
                return self.drop_building(&building, DropReason::Malformed, out);
            }
        };
        if self.is_gated() && !self.tracker.on_whole_frame(&building.dependencies, picture.key) {
            let reason = if picture.lacks_config { DropReason::NoParameterSets } else { self.cannot_be_decoded() };
            self.drop_building(&building, reason, out);
            return self.ask(out);
        }
        self.give_out(building, picture, out);
    }

    fn give_out(&mut self, building: Building, picture: Inspected, out: &mut Vec<Received>) {
        // Pictures may be sent before others that are shown earlier (B-frames): they keep their times. Sound is never reordered.
        let greatest = self.gap.last_out.map_or(building.time, |last| last.max(building.time));
        let rtp_time = if self.video { building.time } else { greatest };
        self.gap.report(Some(greatest), out);
        if std::mem::take(&mut self.discontinuity) {
            out.push(Received::Discontinuity);
        }
        self.stats.frames += 1;
        self.stats.counts.in_frames += u64::from(building.packets);
        if self.video && picture.key {
            self.stats.key_frames += 1;
            self.asked = false;
        }
        (self.begun, self.gap.last_out) = (true, Some(greatest));
        let parts = Vec::with_capacity(self.parts.len());
        out.push(Received::Frame(Frame {
            rtp_time,
            arrival: building.arrival,
            parts: std::mem::replace(&mut self.parts, parts),
            key: picture.key,
            size: picture.size,
            config: picture.config,
            audio_level: building.audio_level,
            packets: building.packets,
        }));
    }

    /// A packet or its frame is not what its codec says it should be.
    fn malformed(&mut self, time: i64, reason: DropReason, out: &mut Vec<Received>) {
        self.stats.malformed += 1;
        match self.building.take() {
            Some(building) => self.drop_building(&building, reason, out),
            None => self.drop_frame(time, &FrameDependencies::default(), reason, out),
        }
    }

    /// The frame that was being built is thrown away.
    fn drop_building(&mut self, building: &Building, reason: DropReason, out: &mut Vec<Received>) {
        self.stats.counts.drop(reason, building.packets.into());
        self.drop_frame(building.time, &building.dependencies, reason, out);
    }

    /// The frame of `time` is thrown away, whether or not it was being built; its packets are counted elsewhere.
    fn drop_frame(&mut self, time: i64, dependencies: &FrameDependencies, reason: DropReason, out: &mut Vec<Received>) {
        self.parts.clear();
        self.depayloader.reset();
        if self.dropping.is_none_or(|(dropped, _)| dropped != time) {
            self.dropping = Some((time, reason));
            self.stats.dropped_frames += 1;
            self.gap.drop_frame();
        }
        if self.is_gated() && self.tracker.on_dropped_frame(dependencies) {
            self.ask(out);
        }
    }

    fn ask(&mut self, out: &mut Vec<Received>) {
        if !std::mem::replace(&mut self.asked, true) {
            out.push(Received::NeedKeyFrame);
        }
    }

    /// The packet of this time has another payload type than those before, or it stands for something else now.
    fn set_format(&mut self, format: Arc<MediaFormat>, time: i64, out: &mut Vec<Received>) {
        if format.codec != self.codec {
            self.complete(out);
            self.gap.report(Some(time), out);
            if std::mem::take(&mut self.discontinuity) {
                out.push(Received::Discontinuity);
            }
            self.codec = format.codec;
            self.depayloader = depayloader(format.codec);
            if !matches!(self.inspector, Inspector::Opaque { .. }) {
                self.inspector = Inspector::new(format.codec);
            }
            self.forget();
            self.gap.last_out = None;
            out.push(Received::Codec(format.codec));
        }
        self.inspector.add_parameter_sets(&format.parameter_sets);
        self.format = Some(format);
    }

    /// What comes depends on nothing that came.
    fn forget(&mut self) {
        self.tracker = DependencyTracker::new();
        self.previous = None;
        self.dropping = None;
        self.asked = false;
        self.begun = false;
        self.marks_ends = false;
    }

    /// The packet's timestamp in 64 bits. Notices a sender that began anew.
    fn unwrap(&mut self, packet: &RtpPacket, out: &mut Vec<Received>) -> i64 {
        match self.timestamps.unwrap(packet) {
            Unwrapped::Continued { time, lost } => {
                self.count_lost(lost);
                time
            }
            Unwrapped::Restarted { time, last } => {
                self.restart(last, out);
                time
            }
        }
    }

    /// A new time begins, and with it a new file, which (video) needs a key frame of its own.
    fn restart(&mut self, last: i64, out: &mut Vec<Received>) {
        self.complete(out);
        self.gap.report(Some(last), out);
        self.forget();
        self.discontinuity |= self.gap.last_out.take().is_some();
    }
}
