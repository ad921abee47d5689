//! One incoming stream (SSRC) and what goes back for it: packets to frames, frames through a pipeline, and out again. It blocks
//! nobody: pipelines are built and taken down on threads for that.

use crate::bot::actor::Shared;
use crate::bot::delays::Delays;
use crate::bot::quality::{Pictures, Quality};
use crate::bot::status::TrackStatus;
use crate::error::Result;
use crate::media::{Filter, PushResult, TrackFilter, TrackFilterConfig, VideoScale};
use crate::room::clock::{Mapping, SenderClock, SessionTime, TrackClock, unwrap_rtp};
use crate::room::media::{Codec, Frame, MediaKind, RtpPacket, Source};
use crate::room::participant::TrackLabel;
use crate::rtc::media::depacketize::{AssemblerConfig, FrameAssembler, Received};
use crate::rtc::{OutboundTrack, RemoteTrack};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a key frame that is needed is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// A pipeline that failed is built anew after this long.
const BUILD_AGAIN: Duration = Duration::from_secs(1);
/// Bits a second of sound that goes back, where there is room and where there is little.
const SOUND: (u64, u64) = (48_000, 20_000);
/// The frame rate that is taken for granted until it is known.
const USUAL_FPS: f64 = 30.0;

/// A stream that is given back.
pub(crate) struct Stream {
    pub remote: RemoteTrack,
    pub source: Source,
    /// Published; what it is called.
    pub out: OutboundTrack,
    assembler: FrameAssembler,
    clock: TrackClock,
    newest_rtp: Option<i64>,
    /// What is added to RTP times so that they go on where a sender began anew; none until its first frame says.
    offset: Option<i64>,
    shared: Arc<Mutex<Sent>>,
    live: Option<TrackFilter>,
    /// Whether it is to be given back at present.
    wanted: bool,
    failed: Option<Instant>,
    needs_key: bool,
    asked: Option<Instant>,
    quality: Quality,
    shape: VideoScale,
    bitrate: u64,
    /// Frames given out by the assembler since the last look, and the rate that they come at.
    came: u32,
    fps: f64,
    looked: Option<(Instant, u64)>,
    returned_fps: u32,
    /// Counts of pipelines that are gone.
    before: (u64, u64, u64),
    scratch: Vec<Received>,
}

/// What is known of frames as they leave; shared with the pipeline's thread.
#[derive(Default)]
struct Sent {
    delays: Delays,
    key_frames: u64,
    /// RTP time (as it came) to session time.
    mapping: Option<Mapping>,
    newest: Option<(i64, Instant)>,
}

/// What a look at a stream came to.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// The sender must be asked for a key frame.
    pub key_frame: bool,
    /// Something for the people who run the bot.
    pub warning: Option<String>,
}

impl Stream {
    /// A stream that goes back as `label` says, in `codec`.
    pub fn new(remote: RemoteTrack, source: Source, label: TrackLabel, codec: Codec) -> Stream {
        Stream {
            assembler: FrameAssembler::new(remote.codec, patience(None)),
            clock: TrackClock::new(remote.codec.clock_rate()),
            out: OutboundTrack::new(label, codec).shown_at_once(),
            remote,
            source,
            newest_rtp: None,
            offset: Some(0),
            shared: Arc::default(),
            live: None,
            wanted: false,
            failed: None,
            needs_key: false,
            asked: None,
            quality: Quality::default(),
            shape: VideoScale::WHOLE,
            bitrate: 0,
            came: 0,
            fps: USUAL_FPS,
            looked: None,
            returned_fps: 0,
            before: (0, 0, 0),
            scratch: Vec::new(),
        }
    }

    fn kind(&self) -> MediaKind {
        self.remote.kind()
    }

    /// Whether it is to be given back from now on.
    pub fn want(&mut self, wanted: bool) {
        self.wanted = wanted;
        if !wanted {
            self.stop();
        }
    }

    /// Whether pictures of it are being sent.
    pub fn shows(&self) -> bool {
        self.live.is_some() && self.kind() == MediaKind::Video
    }

    /// Builds the pipeline if it is wanted and there is none.
    pub async fn begin(&mut self, desk: &Arc<Shared>, filter: &Filter) -> Result<()> {
        let resting = self.failed.is_some_and(|at| at.elapsed() < BUILD_AGAIN);
        let Some(offset) = self.offset.filter(|_| self.wanted && self.live.is_none() && !resting) else {
            return Ok(());
        };
        let bitrate = if self.bitrate > 0 {
            self.bitrate
        } else {
            SOUND.0.max(300_000 * u64::from(self.kind() == MediaKind::Video))
        };
        let config =
            TrackFilterConfig { from: self.remote.codec, to: self.out.codec(), filter: filter.clone(), bitrate };
        let (desk, shared, out) = (desk.clone(), self.shared.clone(), self.out.clone());
        let build = move || {
            let start = desk.start;
            TrackFilter::start(&desk.library, &config, move |frame| give_back(frame, start, offset, &shared, &out))
        };
        self.failed = Some(Instant::now());
        let live = tokio::task::spawn_blocking(build).await;
        self.live = Some(live.map_err(|e| crate::error::Error::us("a live track was not built").because(e))??);
        self.failed = None;
        self.quality = Quality::default();
        self.shape = VideoScale::WHOLE;
        self.needs_key = self.kind() == MediaKind::Video;
        Ok(())
    }

    /// Another filter; a stream without a pipeline gets it when it begins.
    pub fn set_filter(&mut self, filter: &Filter) -> Result<()> {
        self.live.as_mut().map_or(Ok(()), |live| live.set_filter(filter))
    }

    pub fn packet(&mut self, packet: RtpPacket, desk: &Shared) {
        let mut out = std::mem::take(&mut self.scratch);
        self.assembler.push(packet, &mut out);
        self.take(&mut out, desk);
        self.scratch = out;
    }

    /// Gives up holes that are too old.
    pub fn tick(&mut self, now: Instant, desk: &Shared) {
        let mut out = std::mem::take(&mut self.scratch);
        self.assembler.tick(now, &mut out);
        self.take(&mut out, desk);
        self.scratch = out;
    }

    /// When `tick` has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.assembler.deadline()
    }

    /// A sender report for this stream.
    pub fn report(&mut self, sender: &mut SenderClock, ntp: u64, rtp: u32, at: SessionTime) {
        if let Some(newest) = self.newest_rtp {
            self.clock.on_sender_report(sender, unwrap_rtp(newest, rtp), ntp, at);
        }
        self.lock().mapping = self.clock.mapping(sender);
    }

    fn take(&mut self, received: &mut Vec<Received>, desk: &Shared) {
        for item in received.drain(..) {
            match item {
                Received::Frame(frame) => self.frame(frame, desk),
                Received::NeedKeyFrame => self.needs_key = true,
                Received::Gap { .. } => {}
                Received::Discontinuity => self.begins_anew(),
            }
        }
    }

    fn frame(&mut self, frame: Frame, desk: &Shared) {
        self.clock.on_arrival(frame.rtp_time, SessionTime::since(desk.start, frame.arrival));
        self.newest_rtp = Some(frame.rtp_time);
        self.came += 1;
        if self.offset.is_none() {
            let (last, at) = self.lock().newest.unwrap_or((frame.rtp_time, frame.arrival));
            let passed = frame.arrival.saturating_duration_since(at).as_secs_f64();
            let ticks = (passed * f64::from(self.remote.codec.clock_rate())) as i64;
            self.offset = Some((last + ticks + 1).saturating_sub(frame.rtp_time));
        }
        let Some(live) = &mut self.live else { return };
        match live.push(&frame) {
            PushResult::Accepted => self.needs_key &= !frame.key,
            PushResult::NeedKeyFrame | PushResult::TooLarge => self.needs_key = true,
        }
    }

    /// The sender's time begins anew; ours goes on. The next frame says by how much they differ.
    fn begins_anew(&mut self) {
        self.stop();
        self.offset = None;
        self.clock = TrackClock::new(self.remote.codec.clock_rate());
        self.lock().mapping = None;
    }

    /// Asks the encoder for a key frame.
    pub fn ask_key_frame(&self) {
        if let Some(live) = &self.live {
            live.ask_key_frame();
        }
    }

    /// What time brings, some ten times a second: failures, key frames, bitrate. `budget` is in bits a second, for pictures.
    pub fn look(&mut self, now: Instant, budget: u64, round_trip: Option<Duration>) -> Needs {
        let mut needs = Needs::default();
        if let Some(Err(e)) = self.live.as_ref().map(TrackFilter::poll) {
            needs.warning = Some(e.to_string());
            self.failed = Some(now);
            self.stop();
        }
        self.assembler.set_hold(patience(round_trip).hold);
        if self.needs_key && self.wanted && self.asked.is_none_or(|at| now.saturating_duration_since(at) >= ASK_AGAIN) {
            self.asked = Some(now);
            needs.key_frame = true;
        }
        self.measure(now);
        self.adapt(now, budget);
        needs
    }

    /// Rates of the last second.
    fn measure(&mut self, now: Instant) {
        let returned = self.counts().1;
        let (since, before) = *self.looked.get_or_insert((now, returned));
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        if seconds >= 1.0 {
            let fps = f64::from(self.came) / seconds;
            // A camera that pauses is not a slow one.
            if fps >= 1.0 {
                self.fps = fps;
            }
            self.returned_fps = (returned.saturating_sub(before) as f64 / seconds).round() as u32;
            self.came = 0;
            self.looked = Some((now, returned));
        }
    }

    fn adapt(&mut self, now: Instant, budget: u64) {
        let Some(live) = &self.live else { return };
        let bitrate = match (self.kind(), live.size()) {
            (MediaKind::Audio, _) if budget < 150_000 => SOUND.1,
            (MediaKind::Audio, _) => SOUND.0,
            (MediaKind::Video, Some(size)) => {
                let pictures = Pictures { source: self.source, codec: self.out.codec(), size, fps: self.fps };
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
        if let Some(live) = self.live.take() {
            let counts = live.counts();
            let (came, returned, skipped) = self.before;
            self.before =
                (came + counts.came, returned + counts.returned, skipped + counts.came.saturating_sub(counts.returned));
            drop(tokio::task::spawn_blocking(move || drop(live)));
        }
    }

    /// Frames that came, that went back and that were left out, of all its pipelines.
    fn counts(&self) -> (u64, u64, u64) {
        let counts = self.live.as_ref().map(TrackFilter::counts).unwrap_or_default();
        let (came, returned, skipped) = self.before;
        (came + counts.came, returned + counts.returned, skipped + counts.came.saturating_sub(counts.returned))
    }

    /// How it stands.
    pub fn status(&self, name: &str) -> TrackStatus {
        let (frames_in, frames_out, frames_skipped) = self.counts();
        let counts = self.live.as_ref().map(TrackFilter::counts).unwrap_or_default();
        let size = self.live.as_ref().and_then(TrackFilter::size).map(|size| self.shape.of(size));
        let sent = self.lock();
        TrackStatus {
            name: name.to_owned(),
            source: self.source,
            codec: self.remote.codec,
            back: self.out.codec(),
            idle: frames_out == 0 || !self.wanted,
            size,
            bitrate: self.bitrate,
            frames_in,
            frames_out,
            frames_skipped,
            fps: self.returned_fps,
            key_frames: sent.key_frames,
            delay_p50_ms: sent.delays.quantile(0.5),
            delay_p95_ms: sent.delays.quantile(0.95),
            decode_ms: counts.decode_ms,
            filter_ms: counts.filter_ms,
            encode_ms: counts.encode_ms,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sent> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop();
    }
}

/// On the pipeline's thread: sends a frame, and says when it was taken.
fn give_back(mut frame: Frame, start: Instant, offset: i64, shared: &Mutex<Sent>, out: &OutboundTrack) {
    let now = Instant::now();
    let taken = {
        let sent = &mut *shared.lock().unwrap_or_else(PoisonError::into_inner);
        sent.delays.add(now.saturating_duration_since(frame.arrival));
        sent.key_frames += u64::from(frame.key && out.codec().kind() == MediaKind::Video);
        let at = sent.mapping.as_ref().map(|mapping| mapping.to_session(frame.rtp_time));
        frame.rtp_time = frame.rtp_time.saturating_add(offset);
        sent.newest = Some((frame.rtp_time, now));
        at.and_then(|at| start.checked_add(Duration::from_nanos(u64::try_from(at.0).ok()?)))
    };
    out.send_taken(&frame, taken.unwrap_or(frame.arrival));
}

/// How long a hole waits for its repair: a round trip and some, but never as long as a recorder does.
fn patience(round_trip: Option<Duration>) -> AssemblerConfig {
    let hold = round_trip.map_or(Duration::from_millis(60), |rtt| rtt + Duration::from_millis(20));
    AssemblerConfig {
        hold: hold.clamp(Duration::from_millis(30), Duration::from_millis(100)),
        ..AssemblerConfig::default()
    }
}
