//! One incoming stream (SSRC): its packets become frames, its frames go to a file, and a new file where one must begin.

use super::disk::Disk;
use super::log::Log;
use super::status::TrackStatus;
use crate::container::matroska::TrackFormat;
use crate::recording::folder::RecordingFolder;
use crate::recording::manifest::{Gap, Resolution, Span, TrackEntry};
use crate::recording::timeline::Event;
use crate::recording::track::TrackFile;
use crate::room::clock::{SenderClock, SessionTime, TrackClock, unwrap_rtp};
use crate::room::media::{Frame, MediaKind, RtpPacket, Source};
use crate::rtc::RemoteTrack;
use crate::rtc::media::depacketize::{AssemblerConfig, FrameAssembler, Received};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a key frame that is needed is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Without a key frame for this long one is asked for, so that a player can seek (and a cut costs little).
const ASK_EVERY: Duration = Duration::from_secs(4);
/// Gaps and sizes that the manifest lists of one track; the timeline has them all.
const MOST_NOTES: usize = 10_000;
/// A file that could not be created is tried again this much later.
const CREATE_AGAIN: Duration = Duration::from_secs(2);

/// What a stream needs from its recording.
pub(super) struct RecordingContext {
    pub folder: Arc<RecordingFolder>,
    pub log: Log,
    pub disk: Disk,
    /// The last thing the disk complained about.
    pub trouble: Option<String>,
}

/// A stream and the file that it goes to.
pub(super) struct Stream {
    pub remote: RemoteTrack,
    participant: String,
    pub source: Source,
    /// The participant said what the stream is, and will say when it is gone.
    pub labelled: bool,
    assembler: FrameAssembler,
    clock: TrackClock,
    newest_rtp: Option<i64>,
    open: Option<Open>,
    size: Option<(u32, u32)>,
    /// Since when frames are thrown away for want of a key frame.
    waiting: Option<Instant>,
    asked: Option<Instant>,
    last_key: Option<Instant>,
    frames_since_key: u64,
    create_failed: Option<Instant>,
    /// Bytes of frames so far, and at the last look of the live display.
    bytes: u64,
    bytes_shown: u64,
    scratch: Vec<Received>,
}

struct Open {
    file: TrackFile,
    /// Index into the manifest's tracks.
    index: usize,
    /// Counters of the assembler when the file began.
    base: crate::rtc::media::depacketize::ReceiveStats,
}

impl Stream {
    pub fn new(remote: RemoteTrack, participant: String, source: Source, labelled: bool) -> Stream {
        Stream {
            assembler: FrameAssembler::new(remote.codec, AssemblerConfig::default()),
            clock: TrackClock::new(remote.codec.clock_rate()),
            remote,
            participant,
            source,
            labelled,
            newest_rtp: None,
            open: None,
            size: None,
            waiting: None,
            asked: None,
            last_key: None,
            frames_since_key: 0,
            create_failed: None,
            bytes: 0,
            bytes_shown: 0,
            scratch: Vec::new(),
        }
    }

    pub fn packet(&mut self, packet: RtpPacket, sender: &SenderClock, desk: &mut RecordingContext) {
        let mut out = std::mem::take(&mut self.scratch);
        self.assembler.push(packet, &mut out);
        self.take(&mut out, sender, desk);
        self.scratch = out;
    }

    /// Gives up holes that are too old.
    pub fn tick(&mut self, now: Instant, sender: &SenderClock, desk: &mut RecordingContext) {
        let mut out = std::mem::take(&mut self.scratch);
        self.assembler.tick(now, &mut out);
        self.take(&mut out, sender, desk);
        self.scratch = out;
    }

    /// A sender report for this stream.
    pub fn report(&mut self, sender: &mut SenderClock, ntp: u64, rtp: u32, at: SessionTime) {
        if let Some(newest) = self.newest_rtp {
            self.clock.on_sender_report(sender, unwrap_rtp(newest, rtp), ntp, at);
        }
    }

    /// Where an RTP time of this stream lies in the session, as far as that is known now.
    fn session_ms(&self, rtp_time: i64, sender: &SenderClock) -> u64 {
        self.clock.mapping(sender).map_or(0, |mapping| mapping.to_session(rtp_time).as_ms())
    }

    /// Whether the sender should be asked for a key frame now.
    pub fn wants_key_frame(&mut self, now: Instant) -> bool {
        if self.remote.kind() == MediaKind::Audio {
            return false;
        }
        let since = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        let overdue = self.frames_since_key > 0 && since(self.last_key).is_some_and(|t| t > ASK_EVERY);
        let pause = if self.waiting.is_some() { ASK_AGAIN } else { ASK_EVERY };
        let wants = (self.waiting.is_some() || overdue) && since(self.asked).is_none_or(|t| t >= pause);
        if wants {
            self.asked = Some(now);
        }
        wants
    }

    fn take(&mut self, out: &mut Vec<Received>, sender: &SenderClock, desk: &mut RecordingContext) {
        for received in out.drain(..) {
            match received {
                Received::Frame(frame) => self.frame(frame, sender, desk),
                Received::Gap { from, to, lost_packets, dropped_frames } => {
                    tracing::debug!(ssrc = self.remote.ssrc, lost_packets, dropped_frames, "gap");
                    self.gap(from, to, sender, desk);
                }
                Received::NeedKeyFrame => {
                    self.waiting.get_or_insert_with(Instant::now);
                    self.asked = None;
                }
                Received::Discontinuity => {
                    self.close(SessionTime::default(), sender, desk);
                    self.clock = TrackClock::new(self.remote.codec.clock_rate());
                }
            }
        }
    }

    fn frame(&mut self, frame: Frame, sender: &SenderClock, desk: &mut RecordingContext) {
        self.newest_rtp = Some(frame.rtp_time);
        self.clock.on_arrival(frame.rtp_time, desk.log.session(frame.arrival));
        self.bytes += frame.len() as u64;
        self.frames_since_key += 1;
        if frame.key && self.remote.kind() == MediaKind::Video {
            self.key_frame(&frame, desk);
        }
        if self.open.is_none() {
            self.create(&frame, sender, desk);
        }
        if let Some(size) = frame.size
            && self.size.replace(size) != Some(size)
        {
            self.resized(size, frame.rtp_time, sender, desk);
        }
        if let Some(open) = &mut self.open {
            let pushed = open.file.push(&frame);
            // The first frame is written at once: players refuse a file that is a header only.
            let written = if open.file.frames() == 1 { pushed.and_then(|()| open.file.flush()) } else { pushed };
            if let Err(e) = written {
                trouble(desk, e.to_string());
            }
        }
    }

    fn resized(&self, (width, height): (u32, u32), rtp_time: i64, sender: &SenderClock, desk: &mut RecordingContext) {
        let Some(open) = &self.open else { return };
        let at_ms = self.session_ms(rtp_time, sender);
        let entry = &mut desk.log.manifest.tracks[open.index];
        if entry.resolutions.len() < MOST_NOTES {
            entry.resolutions.push(Resolution { at_ms, width, height });
        }
        let file = entry.file.clone();
        desk.log.event(SessionTime::from_ms(at_ms), Event::Resolution { file, width, height });
    }

    /// A picture to start from: ends a wait. One of another size stays in the file: its parameter sets are in-band, and players follow.
    fn key_frame(&mut self, frame: &Frame, desk: &mut RecordingContext) {
        self.last_key = Some(frame.arrival);
        self.frames_since_key = 0;
        if let Some(since) = self.waiting.take()
            && let Some(open) = &self.open
        {
            let waited_ms = since.elapsed().as_millis() as u64;
            let file = open.file.name().to_owned();
            let at = desk.log.session(frame.arrival);
            desk.log.event(at, Event::KeyFrameWait { file, waited_ms });
        }
    }

    fn gap(&mut self, from: i64, to: i64, sender: &SenderClock, desk: &mut RecordingContext) {
        let Some(open) = &self.open else { return };
        let (start_ms, end_ms) = (self.session_ms(from, sender), self.session_ms(to, sender));
        let cause = "loss".to_owned();
        let entry = &mut desk.log.manifest.tracks[open.index];
        if entry.gaps.len() < MOST_NOTES {
            entry.gaps.push(Gap { start_ms, end_ms, cause: cause.clone() });
        }
        let file = entry.file.clone();
        desk.log.event(SessionTime::from_ms(end_ms), Event::Gap { file, start_ms, end_ms, cause });
    }

    fn create(&mut self, first: &Frame, sender: &SenderClock, desk: &mut RecordingContext) {
        let now = Instant::now();
        if self.create_failed.is_some_and(|at| now.duration_since(at) < CREATE_AGAIN) {
            return;
        }
        let codec = self.remote.codec;
        let name = desk.log.names.track(&self.participant, self.source, TrackFormat::extension(codec));
        let format = TrackFormat {
            codec,
            config: first.config.clone(),
            size: first.size,
            channels: self.remote.channels.clamp(1, 2) as u8,
            name: format!("{} {}", self.participant, self.source.word()),
        };
        match TrackFile::create(&desk.folder, &name, format, first) {
            Ok(file) => {
                let start_ms = self.session_ms(first.rtp_time, sender);
                let muted = desk.log.muted(&self.participant, self.source);
                let mutes = if muted { vec![Span { start_ms, end_ms: None }] } else { Vec::new() };
                let entry = TrackEntry::new(file.name(), &self.participant, self.source, codec, start_ms);
                let index = desk.log.track(TrackEntry { first_rtp: Some(file.first_rtp()), mutes, ..entry });
                let (participant, source) = (self.participant.clone(), self.source);
                let at = SessionTime::from_ms(start_ms);
                desk.log.event(at, Event::TrackOn { participant, file: name, source, codec });
                self.open = Some(Open { file, index, base: self.assembler.stats() });
                self.size = None;
            }
            Err(e) => {
                self.create_failed = Some(now);
                trouble(desk, e.to_string());
            }
        }
    }

    /// Writes what waits in memory.
    pub fn flush(&mut self, desk: &mut RecordingContext) {
        if let Some(open) = &mut self.open
            && let Err(e) = open.file.flush()
        {
            trouble(desk, e.to_string());
        }
    }

    /// Brings the manifest's entry up to date.
    pub fn account(&mut self, sender: &SenderClock, desk: &mut RecordingContext) {
        let Some(open) = &self.open else { return };
        let stats = self.assembler.stats();
        let Some(mapping) = self.clock.mapping(sender) else { return };
        let entry = &mut desk.log.manifest.tracks[open.index];
        entry.bytes = open.file.payload_bytes();
        entry.frames = open.file.frames();
        entry.key_frames = open.file.key_frames();
        entry.last_rtp = Some(open.file.last_rtp());
        entry.start_ms = mapping.to_session(open.file.first_rtp()).as_ms();
        entry.end_ms = entry.start_ms + open.file.duration_ms();
        entry.packets = stats.packets - open.base.packets - (stats.duplicates - open.base.duplicates);
        entry.lost = stats.lost - open.base.lost;
        entry.repaired = stats.repaired - open.base.repaired;
        entry.duplicates = stats.duplicates - open.base.duplicates;
        let summary = mapping.summary();
        entry.sync_error_ms = Some(summary.error_ms);
        entry.clock = Some(summary);
    }

    /// Hands the file's data to the disk thread.
    pub fn sync(&self, disk: &Disk) {
        if let Some(open) = &self.open {
            disk.sync(open.file.sync_handle());
        }
    }

    /// Ends the file at `at`, or where its last frame ends if that is later; the disk thread finishes it.
    fn close(&mut self, at: SessionTime, sender: &SenderClock, desk: &mut RecordingContext) {
        self.account(sender, desk);
        let Some(open) = self.open.take() else { return };
        let at = at.max(SessionTime::from_ms(desk.log.manifest.tracks[open.index].end_ms));
        let (participant, file) = (self.participant.clone(), open.file.name().to_owned());
        let (source, codec) = (self.source, self.remote.codec);
        desk.log.event(at, Event::TrackOff { participant, file, source, codec });
        desk.disk.finish(open.index, open.file);
    }

    /// Gives out what is whole, and ends the file.
    pub fn end(mut self, sender: &SenderClock, at: Instant, desk: &mut RecordingContext) {
        let mut out = std::mem::take(&mut self.scratch);
        self.assembler.finish(&mut out);
        self.take(&mut out, sender, desk);
        let at = desk.log.session(at);
        self.close(at, sender, desk);
    }

    /// For the live display; called about once a second.
    pub fn status(&mut self, seconds: f64) -> TrackStatus {
        let bytes = self.bytes - std::mem::replace(&mut self.bytes_shown, self.bytes);
        let stats = self.assembler.stats();
        TrackStatus {
            source: self.source,
            codec: self.remote.codec,
            bitrate: (bytes as f64 * 8.0 / seconds.max(0.001)) as u64,
            loss: stats.lost as f64 / (stats.packets + stats.lost).max(1) as f64,
            size: self.size,
            waiting: self.waiting.is_some(),
        }
    }
}

fn trouble(desk: &mut RecordingContext, message: String) {
    if desk.trouble.as_ref() != Some(&message) {
        let at = desk.log.session(Instant::now());
        desk.log.warn(at, message.clone());
        desk.trouble = Some(message);
    }
}
