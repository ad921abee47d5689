//! One stream of a participant and what is sent back for it: frames through a pipeline, and out again. It blocks nobody: pipelines are
//! built and taken down on threads for that.

use crate::bot::delays::Delays;
use crate::bot::quality::{Pictures, Quality};
use crate::bot::shared::Shared;
use crate::bot::status::TrackStatus;
use crate::client::KeyFrameForwarder;
use crate::error::{Error, Result};
use crate::media::{Filter, PushResult, TrackFilter, TrackFilterConfig, VideoScale};
use crate::room::clock::Mapping;
use crate::room::media::{Codec, Frame, MediaKind};
use crate::room::participant::TrackLabel;
use crate::rtc::OutboundTrack;
use crate::rtc::subscriber::{ContinuousTime, Stream, StreamInfo};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A pipeline that failed is built anew after this long.
const BUILD_AGAIN: Duration = Duration::from_secs(1);
/// Bits a second of returned sound, where there is room and where there is little.
const SOUND_BITRATES: (u64, u64) = (48_000, 20_000);
/// Pictures that may wait for a pipeline that is being built: what it takes at once.
const WAITING: usize = 8;
/// The frame rate that is assumed until it is known.
const USUAL_FPS: f64 = 30.0;

/// A stream that is sent back.
pub(crate) type ReturnedStream = Stream<Returned>;

/// What the bot keeps for a stream.
pub(crate) struct Returned {
    info: StreamInfo,
    /// Published; what it is called.
    pub out: OutboundTrack,
    /// Labelled as muted by us.
    pub muted: bool,
    /// Passes on key-frame requests of whoever watches.
    _key_frames: KeyFrameForwarder,
    sent: Arc<Mutex<Sent>>,
    /// A restart of the sender, whose first frame has not come: there is no pipeline until it says by how much times differ.
    restarted: bool,
    offset: i64,
    live: Option<TrackFilter>,
    /// Pictures from a key frame on, while there is no pipeline.
    waiting: Vec<Frame>,
    /// Whether it is to be sent back at present.
    wanted: bool,
    /// The pipeline has failed or is being built since then.
    failed: Option<Instant>,
    /// A new pipeline needs a key frame.
    needs_key: bool,
    quality: Quality,
    shape: VideoScale,
    bitrate: u64,
    /// Frames given out by assembly since the last measurement, and the rate that they come at.
    came: u32,
    fps: f64,
    measured: Option<(Instant, u64)>,
    returned_fps: u32,
    /// Counts of pipelines that are gone.
    before: Counts,
}

/// Frames that came, that went back and that were left out.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    came: u64,
    returned: u64,
    skipped: u64,
}

/// What is known of frames as they leave; shared with the pipeline's thread.
struct Sent {
    delays: Delays,
    key_frames: u64,
    /// RTP time (as it came) to session time.
    mapping: Option<Mapping>,
    time: ContinuousTime,
}

impl Returned {
    /// A stream that goes back as `label` says, in `codec`. `key_frames` ends with it.
    pub fn new(info: &StreamInfo, out: OutboundTrack, key_frames: KeyFrameForwarder) -> Returned {
        let sent = Sent {
            delays: Delays::default(),
            key_frames: 0,
            mapping: None,
            time: ContinuousTime::new(info.track.codec.clock_rate()),
        };
        Returned {
            info: info.clone(),
            out,
            muted: false,
            _key_frames: key_frames,
            sent: Arc::new(Mutex::new(sent)),
            restarted: false,
            offset: 0,
            live: None,
            waiting: Vec::new(),
            wanted: false,
            failed: None,
            needs_key: false,
            quality: Quality::default(),
            shape: VideoScale::FULL,
            bitrate: 0,
            came: 0,
            fps: USUAL_FPS,
            measured: None,
            returned_fps: 0,
            before: Counts::default(),
        }
    }

    fn kind(&self) -> MediaKind {
        self.info.track.kind()
    }

    fn codec(&self) -> Codec {
        self.info.track.codec
    }

    /// Whether it is to be sent back from now on.
    pub fn want(&mut self, wanted: bool) {
        self.wanted = wanted;
        if !wanted {
            self.stop();
        }
    }

    /// Whether key frames of its sender are of use.
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Whether pictures of it are being sent.
    pub fn shows(&self) -> bool {
        self.live.is_some() && self.kind() == MediaKind::Video
    }

    /// Whether it is wanted, and has no pipeline.
    pub fn lacks_pipeline(&self) -> bool {
        let resting = self.failed.is_some_and(|at| at.elapsed() < BUILD_AGAIN);
        self.wanted && self.live.is_none() && !self.restarted && !resting
    }

    /// Builds the pipeline if it is wanted and there is none.
    pub async fn build(&mut self, shared: &Arc<Shared>, filter: &Filter) -> Result<()> {
        if !self.lacks_pipeline() {
            return Ok(());
        }
        let bitrate = if self.bitrate > 0 {
            self.bitrate
        } else {
            SOUND_BITRATES.0.max(300_000 * u64::from(self.kind() == MediaKind::Video))
        };
        let config = TrackFilterConfig { from: self.codec(), to: self.out.codec(), filter: filter.clone(), bitrate };
        let (shared, sent, out, offset) = (shared.clone(), self.sent.clone(), self.out.clone(), self.offset);
        let build = move || {
            let start = shared.start;
            TrackFilter::start(&shared.library, &config, move |frame| send_back(frame, start, offset, &sent, &out))
        };
        self.failed = Some(Instant::now());
        let live = tokio::task::spawn_blocking(build).await;
        self.live = Some(live.map_err(|e| Error::internal("a live track was not built").because(e))??);
        self.failed = None;
        self.quality = Quality::default();
        self.shape = VideoScale::FULL;
        self.needs_key = self.kind() == MediaKind::Video && !self.push_waiting();
        Ok(())
    }

    /// True once after a pipeline was built that cannot begin without a key frame.
    pub fn take_key_frame_need(&mut self) -> bool {
        std::mem::take(&mut self.needs_key)
    }

    /// Another filter; a stream without a pipeline gets it when one is built.
    pub fn set_filter(&mut self, filter: &Filter) -> Result<()> {
        self.live.as_mut().map_or(Ok(()), |live| live.set_filter(filter))
    }

    /// Takes a frame of the sender. False where a key frame is needed before more is of use.
    pub fn frame(&mut self, frame: &Frame) -> bool {
        self.came += 1;
        if std::mem::take(&mut self.restarted) {
            let offset = self.lock().time.offset(frame.rtp_time, frame.arrival);
            self.offset = offset;
        }
        let Some(live) = &mut self.live else {
            self.keep(frame);
            return true;
        };
        live.push(frame) == PushResult::Accepted
    }

    /// Keeps a picture for the pipeline that is to come.
    fn keep(&mut self, frame: &Frame) {
        if frame.key || self.waiting.len() >= WAITING {
            self.waiting.clear();
        }
        if self.wanted && self.kind() == MediaKind::Video && (frame.key || !self.waiting.is_empty()) {
            self.waiting.push(frame.clone());
        }
    }

    /// Gives what waits to the new pipeline: true if it can go on from there.
    fn push_waiting(&mut self) -> bool {
        let waiting = std::mem::take(&mut self.waiting);
        let Some(live) = &mut self.live else { return false };
        !waiting.is_empty() && waiting.iter().all(|frame| live.push(frame) == PushResult::Accepted)
    }

    /// The sender's time begins anew; ours goes on. The next frame says by how much they differ.
    pub fn restart(&mut self) {
        self.stop();
        self.restarted = true;
        let mut sent = self.lock();
        sent.time.restart();
        sent.mapping = None;
    }

    /// The sender goes on in another codec; its time goes on, too.
    pub fn change_codec(&mut self, info: &StreamInfo) {
        self.stop();
        self.info = info.clone();
    }

    /// Where the sender's frames lie in the session, by its reports.
    pub fn set_mapping(&mut self, mapping: Option<Mapping>) {
        self.lock().mapping = mapping;
    }

    /// Asks the encoder for a key frame.
    pub fn request_key_frame(&self) {
        if let Some(live) = &self.live {
            live.ask_key_frame();
        }
    }

    /// What time brings, some ten times a second: failures, rates, bitrate. `budget` is in bits a second, for pictures.
    /// Returns what the people who run the bot should know.
    pub fn look(&mut self, now: Instant, budget: u64) -> Option<String> {
        let mut warning = None;
        if let Some(Err(e)) = self.live.as_ref().map(TrackFilter::poll) {
            warning = Some(e.to_string());
            self.failed = Some(now);
            self.stop();
        }
        self.measure(now);
        self.adapt(now, budget);
        warning
    }

    /// Rates of the last second.
    fn measure(&mut self, now: Instant) {
        let returned = self.counts().returned;
        let (since, before) = *self.measured.get_or_insert((now, returned));
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        if seconds >= 1.0 {
            let fps = f64::from(self.came) / seconds;
            // A camera that pauses is not a slow one.
            if fps >= 1.0 {
                self.fps = fps;
            }
            self.returned_fps = (returned.saturating_sub(before) as f64 / seconds).round() as u32;
            self.came = 0;
            self.measured = Some((now, returned));
        }
    }

    fn adapt(&mut self, now: Instant, budget: u64) {
        let Some(live) = &self.live else { return };
        let bitrate = match (self.kind(), live.size()) {
            (MediaKind::Audio, _) if budget < 150_000 => SOUND_BITRATES.1,
            (MediaKind::Audio, _) => SOUND_BITRATES.0,
            (MediaKind::Video, Some(size)) => {
                let pictures = Pictures { source: self.info.source, codec: self.out.codec(), size, fps: self.fps };
                let setting = self.quality.decide(now, budget, &pictures);
                if setting.shape != self.shape {
                    self.shape = setting.shape;
                    live.set_scale(setting.shape);
                }
                setting.bitrate
            }
            (MediaKind::Video, None) => return,
        };
        // An encoder plans anew with each change: not for a few bits.
        if bitrate.abs_diff(self.bitrate) * 20 > self.bitrate {
            self.bitrate = bitrate;
            live.set_bitrate(bitrate);
        }
    }

    /// Takes the pipeline down, somewhere else.
    fn stop(&mut self) {
        self.waiting.clear();
        if self.live.is_some() {
            self.before = self.counts();
        }
        if let Some(live) = self.live.take() {
            drop(tokio::task::spawn_blocking(move || drop(live)));
        }
    }

    /// Counts of all its pipelines.
    fn counts(&self) -> Counts {
        let now = self.live.as_ref().map(TrackFilter::counts).unwrap_or_default();
        Counts {
            came: self.before.came + now.came,
            returned: self.before.returned + now.returned,
            skipped: self.before.skipped + now.came.saturating_sub(now.returned),
        }
    }

    /// How it stands; `name` is the participant's.
    pub fn status(&self, name: &str) -> TrackStatus {
        let counts = self.counts();
        let now = self.live.as_ref().map(TrackFilter::counts).unwrap_or_default();
        let size = self.live.as_ref().and_then(TrackFilter::size).map(|size| self.shape.of(size));
        let sent = self.lock();
        TrackStatus {
            name: name.to_owned(),
            source: self.info.source,
            codec: self.codec(),
            back: self.out.codec(),
            idle: counts.returned == 0 || !self.wanted,
            size,
            bitrate: self.bitrate,
            frames_in: counts.came,
            frames_out: counts.returned,
            frames_skipped: counts.skipped,
            fps: self.returned_fps,
            key_frames: sent.key_frames,
            delay_p50_ms: sent.delays.quantile(0.5),
            delay_p95_ms: sent.delays.quantile(0.95),
            decode_ms: now.decode_ms,
            filter_ms: now.filter_ms,
            encode_ms: now.encode_ms,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Returned {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The label of what is sent back. Sound and picture of one source share a stream, and so one clock at whoever plays them.
pub(crate) fn label(participant: &str, info: &StreamInfo) -> TrackLabel {
    use crate::room::media::Source;
    let screen = matches!(info.source, Source::Screen | Source::ScreenAudio);
    let stream = format!("{participant}-{}", if screen { "screen" } else { "face" });
    TrackLabel { stream, kind: info.track.kind(), source: info.source, muted: false }
}

/// On the pipeline's thread: sends a frame, and says when it was taken.
fn send_back(mut frame: Frame, start: Instant, offset: i64, sent: &Mutex<Sent>, out: &OutboundTrack) {
    let now = Instant::now();
    let taken = {
        let sent = &mut *sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.delays.add(now.saturating_duration_since(frame.arrival));
        sent.key_frames += u64::from(frame.key && out.codec().kind() == MediaKind::Video);
        let at = sent.mapping.as_ref().map(|mapping| mapping.to_session(frame.rtp_time));
        frame.rtp_time = frame.rtp_time.saturating_add(offset);
        sent.time.sent(frame.rtp_time, now);
        at.and_then(|at| start.checked_add(Duration::from_nanos(u64::try_from(at.0).ok()?)))
    };
    out.send_captured(&frame, taken.unwrap_or(frame.arrival));
}

/// How long a hole waits for its repair: a round trip and some, but never as long as a recorder waits.
pub(crate) fn hold(round_trip: Option<Duration>) -> Duration {
    let hold = round_trip.map_or(Duration::from_millis(60), |rtt| rtt + Duration::from_millis(20));
    hold.clamp(Duration::from_millis(30), Duration::from_millis(100))
}
