//! One stream (SSRC) of a connection: its packets in sequence, its frames, its clock, and when it needs a key frame.

use super::account::PacketAccount;
use super::config::SubscriberConfig;
use super::info::StreamInfo;
use super::layers::{Layers, MAX_LAYERS, OwnLayer};
use super::transform::{FrameTransform, Transforming};
use crate::room::clock::{Mapping, SenderClock, TrackClock};
use crate::room::media::{Codec, MediaKind};
use crate::rtc::feedback::KeyFrameNeed;
use crate::rtc::media::depacketize::{FrameAssembler, ReceiveStats, Received};
use crate::rtc::media::packet_counts::PacketCounts;
use std::time::{Duration, Instant};

/// A stream that its sender has said goodbye of ends if nothing comes for this long.
const GOODBYE_WAIT: Duration = Duration::from_millis(500);
/// Packets that come within this time after a goodbye were under way.
const LATE_PACKETS: Duration = Duration::from_millis(200);

/// A stream goes on in another codec.
pub(super) struct CodecChange {
    pub codec: Codec,
    /// The layer whose packets said so.
    pub layer: usize,
    /// What came of the layer since.
    pub rest: Vec<Received>,
    pub at: Instant,
}

/// A stream that is received, and what its consumer keeps for it.
pub struct Stream<S> {
    /// What is known of it.
    pub info: StreamInfo,
    /// The consumer's.
    pub state: S,
    /// When its sender is asked for a key frame. Assembly says when one is needed; the consumer may, too.
    pub key_frames: KeyFrameNeed,
    pub(super) zero: Instant,
    pub(super) assembler: FrameAssembler,
    pub(super) clock: TrackClock,
    pub(super) mapping: Option<Mapping>,
    pub(super) newest_rtp: Option<i64>,
    pub(super) transform: Option<Transforming>,
    pub(super) scratch: Vec<Received>,
    /// Size of the picture of the last key frame that told it, in pixels.
    pub(super) pixels: u64,
    /// Where the picture comes in several layers.
    pub(super) layers: Option<Layers>,
    /// When the sender said that nothing more comes.
    pub(super) goodbye: Option<Instant>,

    /// What was counted before the stream began: of the same SSRC in another codec.
    pub(super) base: ReceiveStats,
    /// Of a stream that has ended since its SSRC goes on in another codec.
    pub(super) ended_stats: Option<ReceiveStats>,
    /// The codec has changed; nothing is given out before the stream was divided.
    pub(super) change: Option<CodecChange>,
    /// What arrived, and what was dropped before assembly.
    pub(super) account: PacketAccount,
    /// Packets whose frames were dropped after assembly.
    pub(super) dropped_frames: PacketCounts,
}

impl<S> Stream<S> {
    pub(super) fn new(info: StreamInfo, config: &SubscriberConfig, state: S, now: Instant) -> Stream<S> {
        let codec = info.track.codec;
        let mut key_frames = KeyFrameNeed::new(config.key_frames);
        if config.key_frame_at_begin && codec.kind() == MediaKind::Video {
            key_frames.need(now);
        }
        Stream {
            assembler: FrameAssembler::new(codec, config.assembler()),
            account: PacketAccount::new(info.track.ssrc, Some(codec)),
            dropped_frames: PacketCounts::default(),
            clock: TrackClock::new(codec.clock_rate()),
            info,
            state,
            key_frames,
            zero: config.zero,
            mapping: None,
            newest_rtp: None,
            transform: None,
            scratch: Vec::new(),
            pixels: 0,
            layers: None,
            goodbye: None,

            base: ReceiveStats::default(),
            ended_stats: None,
            change: None,
        }
    }

    /// The stream's SSRC.
    pub fn ssrc(&self) -> u32 {
        self.info.track.ssrc
    }

    /// The SSRC of the packets that become frames now: that of the layer that is taken, where the picture comes in several.
    pub fn current_ssrc(&self) -> u32 {
        self.layers.as_ref().and_then(Layers::current_ssrc).unwrap_or(self.ssrc())
    }

    /// The picture comes in one more layer, in this codec until its packets say otherwise. False if there are too many.
    pub(super) fn add_layer(&mut self, (ssrc, codec): (u32, Codec), config: &SubscriberConfig, now: Instant) -> bool {
        let own = self.ssrc();
        let Stream { layers, clock, newest_rtp, pixels, assembler, .. } = self;
        let layers = layers.get_or_insert_with(|| {
            let (newest_rtp, pixels, stats) = (*newest_rtp, *pixels, assembler.stats());
            Layers::new(OwnLayer { ssrc: own, clock, newest_rtp, pixels, stats }, codec.clock_rate(), now)
        });
        let fits = layers.len() < MAX_LAYERS;
        if fits {
            layers.add(ssrc, codec, config.assembler());
        }
        fits
    }

    /// Sound or picture.
    pub fn kind(&self) -> MediaKind {
        self.info.track.kind()
    }

    /// Counts since the stream began.
    pub fn stats(&self) -> ReceiveStats {
        self.ended_stats.unwrap_or_else(|| self.cumulated_stats().since(&self.base))
    }

    /// Counts since the stream's SSRC began.
    pub(super) fn cumulated_stats(&self) -> ReceiveStats {
        let own = self.assembler.stats();
        self.layers.as_ref().map_or(own, |layers| layers.stats(own))
    }

    /// The same stream with what another consumer keeps for it.
    pub(super) fn with_state<T>(self, state: T) -> Stream<T> {
        Stream {
            state,
            info: self.info,
            key_frames: self.key_frames,
            zero: self.zero,
            assembler: self.assembler,
            clock: self.clock,
            mapping: self.mapping,
            newest_rtp: self.newest_rtp,
            transform: self.transform,
            scratch: self.scratch,
            pixels: self.pixels,
            layers: self.layers,
            base: self.base,
            ended_stats: self.ended_stats,
            change: self.change,
            goodbye: self.goodbye,
            account: self.account,
            dropped_frames: self.dropped_frames,
        }
    }

    /// What came of the stream, and what became of it.
    pub fn account(&self) -> PacketAccount {
        let mut account = self.account.clone();
        account.counts.add(&self.stats().counts);
        for (reason, packets) in self.dropped_frames.reasons() {
            account.counts.take_back(reason, packets);
        }
        account
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

    /// Every frame passes this transform from now on. What is in them is looked at only behind it.
    pub fn set_transform(&mut self, transform: Box<dyn FrameTransform>) {
        self.assembler.set_opaque();
        self.transform = Some(Transforming::new(transform, self.info.track.codec));
    }

    /// Whether frames pass a transform.
    pub fn is_transformed(&self) -> bool {
        self.transform.is_some()
    }

    /// Since when the stream is at its end by the word of its sender, if nothing has come since. Packets may be late, or repeated; some
    /// senders go on after all, as browsers do that change the codec.
    pub(super) fn left_since(&mut self, now: Instant) -> Option<Instant> {
        let at = self.goodbye?;
        if self.account.last.is_some_and(|last| last > at + LATE_PACKETS) {
            self.goodbye = None;
        }
        self.goodbye.filter(|at| now.saturating_duration_since(*at) >= GOODBYE_WAIT)
    }

    /// The SSRCs whose sender is to be asked for a key frame now; they count as asked.
    pub(super) fn key_frames_due(&mut self, now: Instant) -> Vec<u32> {
        let mut due = self.layers.as_mut().map(|layers| layers.key_frames_due(now)).unwrap_or_default();
        if self.key_frames.request_due(now) {
            due.push(self.current_ssrc());
        }
        due
    }

    pub(super) fn set_hold(&mut self, hold: Duration) {
        self.assembler.set_hold(hold);
        let layers = self.layers.iter_mut().flat_map(Layers::assemblers_mut);
        layers.for_each(|assembler| assembler.set_hold(hold));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let layers = self.layers.iter().flat_map(Layers::assemblers).filter_map(FrameAssembler::deadline);
        self.assembler.deadline().into_iter().chain(layers).min()
    }
}
