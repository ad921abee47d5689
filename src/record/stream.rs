//! What the recorder keeps for a stream: the file that its frames go to, and a new file where one must begin.

use super::context::{PauseState, RecordingContext};
use super::disk::Disk;
use super::ledger::Ledger;
use super::status::TrackStatus;
use crate::container::matroska::TrackFormat;
use crate::recording::account::{BEGIN_MS, DISK, TOO_MANY_FILES};
use crate::recording::manifest::{Gap as GapEntry, Resolution, Span, TrackEntry};
use crate::recording::timeline::Event;
use crate::recording::track::TrackFile;
use crate::room::clock::{SenderClock, SessionTime};
use crate::room::media::{Frame, MediaKind};
use crate::rtc::media::depacketize::ReceiveStats;
use crate::rtc::subscriber::{Gap, Stream};
use std::time::{Duration, Instant};

/// Gaps and sizes that the manifest lists of one track; the timeline has them all.
const MAX_ENTRIES: usize = 10_000;
/// A file that could not be created is tried again this much later.
const CREATE_AGAIN: Duration = Duration::from_secs(2);

/// A stream that is recorded.
pub(super) type TrackStream = Stream<TrackCapture>;

/// What the recorder keeps for a stream.
pub(super) struct TrackCapture {
    /// The participant's key in the manifest.
    participant: String,
    open: Option<OpenFile>,
    size: Option<(u32, u32)>,
    create_failed: Option<Instant>,
    /// Why there is no file.
    no_file: &'static str,
    /// Index of the file before this one into the manifest's tracks.
    before: Option<usize>,
    /// When the latest packet arrived.
    pub arrived: Option<Instant>,
    /// What became of the packets.
    pub ledger: Ledger,
    /// Frames were left out because the recorder was paused, and none was written since.
    pub withheld: bool,
    /// Bytes of frames so far, and at the last look of the live display.
    bytes: u64,
    bytes_shown: u64,
}

struct OpenFile {
    file: TrackFile,
    /// Index into the manifest's tracks.
    index: usize,
    /// Counters of the stream when the file began.
    base: ReceiveStats,
}

impl TrackCapture {
    /// A stream of the participant with this key, without a file.
    pub fn new(participant: String) -> TrackCapture {
        TrackCapture {
            participant,
            open: None,
            size: None,
            create_failed: None,
            no_file: DISK,
            before: None,
            arrived: None,
            ledger: Ledger::default(),
            withheld: false,
            bytes: 0,
            bytes_shown: 0,
        }
    }

    /// Writes what waits in memory.
    pub fn flush(&mut self, context: &mut RecordingContext) {
        if let Some(open) = &mut self.open
            && let Err(e) = open.file.flush()
        {
            context.on_disk_error(e.to_string());
        }
    }

    /// Hands the file's data to the disk thread.
    pub fn sync(&self, disk: &Disk) {
        if let Some(open) = &self.open {
            disk.sync(open.file.sync_handle());
        }
    }

    /// Index of the last file that has ended into the manifest's tracks.
    pub fn before(&self) -> Option<usize> {
        self.before
    }

    /// Whether a file was ever begun for the stream.
    pub fn has_file(&self) -> bool {
        self.open.is_some() || self.before.is_some()
    }

    /// Writes a frame. Returns the RTP times of the frames that were given up, if there are any.
    fn push(&mut self, frame: &Frame, context: &mut RecordingContext) -> Option<(i64, i64)> {
        self.ledger.frame(frame.packets, self.open.is_none().then_some(self.no_file));
        let open = self.open.as_mut()?;
        let pushed = open.file.push(frame);
        // The first frame is written at once: players refuse a file that is a header only.
        let written = if open.file.frames() == 1 { pushed.and_then(|()| open.file.flush()) } else { pushed };
        if let Err(e) = written {
            context.on_disk_error(e.to_string());
        }
        open.file.take_lost()
    }
}

/// Where an RTP time of the stream lies in the session, as far as that is known now.
fn session_ms(stream: &TrackStream, rtp_time: i64, sender: &SenderClock) -> u64 {
    stream.mapping(sender).map_or(0, |mapping| mapping.to_session(rtp_time).as_ms())
}

/// Writes a frame, to a new file where there is none.
pub(super) fn frame(stream: &mut TrackStream, frame: &Frame, sender: &SenderClock, context: &mut RecordingContext) {
    if is_withheld(stream, frame, sender, context) {
        return;
    }
    stream.state.bytes += frame.len() as u64;
    if stream.state.open.is_none() {
        create(stream, frame, sender, context);
    }
    if let Some(size) = frame.size
        && stream.state.size.replace(size) != Some(size)
    {
        resized(stream, size, frame.rtp_time, sender, context);
    }
    if let Some((from, to)) = stream.state.push(frame, context) {
        missing(stream, (from, to.max(frame.rtp_time)), "disk", sender, context);
        need_key_frame(stream);
    } else if stream.state.open.is_none() {
        need_key_frame(stream);
    }
}

/// Whether a frame is left out: the recorder is paused, or was and the frame depends on one that was left out.
fn is_withheld(stream: &mut TrackStream, frame: &Frame, sender: &SenderClock, context: &mut RecordingContext) -> bool {
    let is_late = match context.pause {
        PauseState::Recording(_) if !stream.state.withheld => return false,
        PauseState::Recording(since) if !frame.key => {
            need_key_frame(stream);
            frame.arrival.saturating_duration_since(since) > Duration::from_millis(BEGIN_MS)
        }
        PauseState::Recording(_) => {
            stream.state.withheld = false;
            let last = stream.state.open.as_ref().map(|open| open.file.last_rtp());
            if let Some(last) = last {
                missing(stream, (last, frame.rtp_time), "pause", sender, context);
            }
            return false;
        }
        PauseState::Paused => false,
    };
    stream.state.withheld = true;
    stream.state.ledger.withhold(frame.packets, is_late);
    true
}

/// The recorder goes on: what depends on frames that were left out needs a key frame.
pub(super) fn resume(stream: &mut TrackStream, now: Instant) {
    if stream.state.withheld && stream.kind() == MediaKind::Video {
        stream.key_frames.need_at_once(now);
    }
}

/// What was not written is missing for the decoder.
fn need_key_frame(stream: &mut TrackStream) {
    if stream.kind() == MediaKind::Video {
        stream.key_frames.need(Instant::now());
    }
}

/// A picture of another size stays in the file: its parameter sets are in-band, and players follow.
fn resized(
    stream: &TrackStream,
    (width, height): (u32, u32),
    rtp_time: i64,
    sender: &SenderClock,
    context: &mut RecordingContext,
) {
    let Some(open) = &stream.state.open else { return };
    let at_ms = session_ms(stream, rtp_time, sender);
    let entry = &mut context.log.manifest.tracks[open.index];
    if entry.resolutions.len() < MAX_ENTRIES {
        entry.resolutions.push(Resolution { at_ms, width, height });
    }
    let file = entry.file.clone();
    context.log.event(SessionTime::from_ms(at_ms), Event::Resolution { file, width, height });
}

/// The key frame arrived that nothing could be decoded without.
pub(super) fn key_frame_wait_over(stream: &TrackStream, waited: Duration, at: Instant, context: &mut RecordingContext) {
    if let Some(open) = &stream.state.open {
        let file = open.file.name().to_owned();
        let at = context.log.session(at);
        context.log.event(at, Event::KeyFrameWait { file, waited_ms: waited.as_millis() as u64 });
    }
}

/// Notes what is missing between two frames.
pub(super) fn gap(stream: &TrackStream, gap: Gap, sender: &SenderClock, context: &mut RecordingContext) {
    let Gap { from, to, lost_packets, dropped_frames } = gap;
    tracing::debug!(ssrc = stream.ssrc(), lost_packets, dropped_frames, "gap");
    missing(stream, (from, to), "loss", sender, context);
}

/// Notes what is missing in the file between two RTP times.
fn missing(
    stream: &TrackStream,
    (from, to): (i64, i64),
    cause: &str,
    sender: &SenderClock,
    context: &mut RecordingContext,
) {
    let Some(open) = &stream.state.open else { return };
    let (start_ms, end_ms) = (session_ms(stream, from, sender), session_ms(stream, to, sender));
    let cause = cause.to_owned();
    let entry = &mut context.log.manifest.tracks[open.index];
    if entry.gaps.len() < MAX_ENTRIES {
        entry.gaps.push(GapEntry { start_ms, end_ms, cause: cause.clone() });
    }
    let file = entry.file.clone();
    context.log.event(SessionTime::from_ms(end_ms), Event::Gap { file, start_ms, end_ms, cause });
}

fn create(stream: &mut TrackStream, first: &Frame, sender: &SenderClock, context: &mut RecordingContext) {
    let now = Instant::now();
    if let Some(at) = stream.state.create_failed {
        // What was not recorded meanwhile is missing for the decoder: the file begins with a key frame.
        if now.duration_since(at) < CREATE_AGAIN || !first.key {
            return;
        }
    }
    stream.state.no_file = DISK;
    let limit = context.reception.track_files;
    if context.log.manifest.tracks.len() >= limit {
        stream.state.no_file = TOO_MANY_FILES;
        let text =
            format!("the recording has {limit} track files, as many as it may have: further tracks are not recorded");
        return context.log.warn_once(context.log.session(now), text);
    }
    let (source, codec) = (stream.info.source, stream.info.track.codec);
    let participant = stream.state.participant.clone();
    let name = context.log.names.track(&participant, source, TrackFormat::extension(codec));
    let format = TrackFormat {
        codec,
        config: first.config.clone(),
        size: first.size,
        channels: stream.info.track.channels.clamp(1, 2) as u8,
        name: format!("{participant} {}", source.word()),
    };
    match TrackFile::create(&context.folder, &name, format, first) {
        Ok(file) => {
            let start_ms = session_ms(stream, first.rtp_time, sender);
            let muted = context.log.muted(&participant, source);
            let mutes = if muted { vec![Span { start_ms, end_ms: None }] } else { Vec::new() };
            let entry = TrackEntry::new(file.name(), &participant, source, codec, start_ms);
            let first_packet_ms = stream.state.ledger.first().map(|at| context.log.session(at).as_ms());
            let index = context.log.track(TrackEntry {
                first_rtp: Some(file.first_rtp()),
                first_packet_ms,
                ssrc: stream.ssrc(),
                mutes,
                ..entry
            });
            if let Some(before) = stream.state.before {
                // The last picture of that file is there until the first of this one.
                let before = &mut context.log.manifest.tracks[before];
                before.ended_ms = before.ended_ms.map(|ended| ended.min(start_ms).max(before.end_ms));
            }
            let at = SessionTime::from_ms(start_ms);
            context.log.event(at, Event::TrackOn { participant, file: name, source, codec });
            stream.state.open = Some(OpenFile { file, index, base: stream.stats() });
            stream.state.size = None;
            stream.state.create_failed = None;
        }
        Err(e) => {
            stream.state.create_failed = Some(now);
            context.on_disk_error(e.to_string());
        }
    }
}

/// Brings the manifest's entry up to date.
pub(super) fn account(stream: &TrackStream, sender: &SenderClock, context: &mut RecordingContext) {
    let Some(open) = &stream.state.open else { return };
    let stats = stream.stats();
    let Some(mapping) = stream.mapping(sender) else { return };
    let entry = &mut context.log.manifest.tracks[open.index];
    entry.bytes = open.file.payload_bytes();
    entry.frames = open.file.frames();
    entry.key_frames = open.file.key_frames();
    entry.last_rtp = Some(open.file.last_rtp());
    entry.start_ms = mapping.to_session(open.file.first_rtp()).as_ms();
    entry.end_ms = entry.start_ms + open.file.duration_ms();
    let unwritten = (open.file.lost_packets(), open.file.lost_frames());
    let sums = stream.state.ledger.sums(&stream.account().counts, unwritten);
    (entry.arrived, entry.in_frames, entry.dropped) = (sums.arrived, sums.in_frames, sums.dropped);
    entry.unwritten_frames = sums.unwritten_frames;
    entry.packets = stats.packets - open.base.packets - (stats.duplicates - open.base.duplicates);
    entry.lost = stats.lost - open.base.lost;
    entry.repaired = stats.repaired - open.base.repaired;
    entry.duplicates = stats.duplicates - open.base.duplicates;
    let summary = mapping.summary();
    entry.sync_error_ms = Some(summary.error_ms);
    entry.clock = Some(summary);
}

/// Ends the file at `at`, or where its last frame ends if that is later; the disk thread finishes it.
pub(super) fn close(stream: &mut TrackStream, at: SessionTime, sender: &SenderClock, context: &mut RecordingContext) {
    let counts = stream.account().counts;
    stream.state.ledger.end_stall(&counts);
    account(stream, sender, context);
    let Some(open) = stream.state.open.take() else { return };
    stream.state.ledger.close_file(&counts);
    stream.state.before = Some(open.index);
    let at = at.max(SessionTime::from_ms(context.log.manifest.tracks[open.index].end_ms));
    let (participant, file) = (stream.state.participant.clone(), open.file.name().to_owned());
    let (source, codec) = (stream.info.source, stream.info.track.codec);
    context.log.manifest.tracks[open.index].ended_ms = Some(at.as_ms());
    context.log.event(at, Event::TrackOff { participant, file, source, codec });
    context.disk.finish(open.index, open.file);
}

/// For the live display; called about once a second.
pub(super) fn status(stream: &mut TrackStream, seconds: f64) -> TrackStatus {
    let bytes = stream.state.bytes - std::mem::replace(&mut stream.state.bytes_shown, stream.state.bytes);
    let stats = stream.stats();
    TrackStatus {
        source: stream.info.source,
        codec: stream.info.track.codec,
        bitrate: (bytes as f64 * 8.0 / seconds.max(0.001)) as u64,
        loss: stats.lost as f64 / (stats.packets + stats.lost).max(1) as f64,
        size: stream.state.size,
        waiting: stream.kind() == MediaKind::Video && stream.key_frames.is_needed(),
    }
}
