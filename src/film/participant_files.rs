//! A file for each participant, with sound and picture in sync: their tracks without re-encoding, interleaved by their clocks. It decodes
//! nothing and holds one frame of each track in memory.

use super::scene_plan::ScenePlan;
use super::snapshot;
use crate::container::matroska::{Block, InterleavedWriter, TrackFormat, TrackReader};
use crate::container::mp4::{self, Mp4Writer, SampleEntry};
use crate::error::{Error, Result, write_failed};
use crate::output::PartFile;
use crate::recording::folder::Subfolder;
use crate::recording::manifest::{ParticipantEntry, TrackEntry};
use crate::recording::placement::Placement;
use crate::room::media::{Codec, MediaKind, Source};
use serde::Serialize;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most streams of a file: only a participant who changed codec settings that often needs more.
const MAX_STREAMS: usize = 100;
/// The folder of the files, in the recording.
const FOLDER: &str = "participants";

/// A participant's file.
#[derive(Debug, Clone, Serialize)]
pub struct ParticipantFile {
    /// The display name.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// Where the file begins, in session milliseconds.
    pub start_ms: u64,
    /// Its length.
    pub duration_ms: u64,
    /// Frames of all tracks.
    pub frames: u64,
    /// The size of the file.
    pub bytes: u64,
}

/// The files of all participants.
#[derive(Debug, Clone, Serialize)]
pub struct ParticipantFiles {
    /// One file for each participant with tracks.
    pub participants: Vec<ParticipantFile>,
    /// Tracks that could not be used, or only in part.
    pub warnings: Vec<String>,
}

/// Writes a file for every participant with tracks, except those called `without`: MP4 where it supports all their codecs, else WebM, or
/// Matroska where H.264 is among them.
/// Calls `progress` with the number of participants that are done and of all; its error ends the export, finished files stay.
///
/// # Errors
/// The user's: no recording or an empty one. The machine's: the disk. A track that cannot be used is a warning.
pub fn export_participants(
    recording: &Path,
    without: &[String],
    mut progress: impl FnMut(usize, usize) -> Result<()>,
) -> Result<ParticipantFiles> {
    let snapshot = snapshot::read(recording)?;
    let without = snapshot::keys(&snapshot.manifest, without)?;
    let plan = ScenePlan::new(snapshot.manifest, &snapshot.events, without);
    let folder = recording.join(FOLDER);
    match std::fs::create_dir(&folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(write_failed(&folder, e)),
        _ => {}
    }
    let mut files = ParticipantFiles { participants: Vec::new(), warnings: Vec::new() };
    let all: Vec<&ParticipantEntry> = plan.people().map(|(_, participant)| participant).collect();
    for (number, participant) in all.iter().enumerate() {
        let tracks = plan.manifest.tracks.iter().filter(|t| t.participant == participant.key);
        let inputs = open_inputs(&recording.join(Subfolder::Tracks.name()), tracks, &mut files.warnings);
        if !inputs.is_empty() {
            files.participants.push(interleave(participant, inputs, &folder, &mut files.warnings)?);
        }
        progress(number + 1, all.len())?;
    }
    Ok(files)
}

/// A track file that is read.
struct Input {
    reader: TrackReader<File>,
    placement: Placement,
    source: Source,
    name: String,
    /// When the track ends, in session nanoseconds, if its last picture is to be held until then.
    held_ns: Option<i64>,
    /// The next block, and its session time in nanoseconds.
    next: Option<(i64, Block)>,
    /// The number of its stream in the output.
    stream: usize,
}

impl Input {
    /// Reads the next block's position.
    fn advance(&mut self) -> Result<()> {
        let block = self.reader.next_block()?;
        self.next = block.map(|block| (self.placement.session_ns(Duration::from_millis(block.ms)), block));
        Ok(())
    }
}

fn open_inputs<'a>(
    folder: &Path,
    tracks: impl Iterator<Item = &'a TrackEntry>,
    warnings: &mut Vec<String>,
) -> Vec<Input> {
    let mut inputs = Vec::new();
    for track in tracks {
        let open = || -> Result<Input> {
            let reader = TrackReader::open(&folder.join(&track.file))?;
            let placement = Placement::of(track);
            let (source, name) = (track.source, track.file.clone());
            // The last frame of a picture is not its end: a screen that does not change sends nothing.
            let muted = track.mutes.last().filter(|mute| mute.until(u64::MAX) >= track.until_ms());
            let held = i64::try_from(muted.map_or(track.until_ms(), |mute| mute.start_ms)).unwrap_or(i64::MAX);
            let held = held.saturating_mul(1_000_000);
            let held_ns = (track.kind == MediaKind::Video).then_some(held);
            let mut input = Input { reader, placement, source, name, held_ns, next: None, stream: 0 };
            input.advance()?;
            Ok(input)
        };
        match open() {
            Ok(input) if input.next.is_some() => inputs.push(input),
            Ok(_) => warnings.push(format!("{}: has no frames", track.file)),
            Err(error) => warnings.push(error.to_string()),
        }
    }
    inputs
}

fn rounded_ms(at: Duration) -> u64 {
    u64::try_from((at + Duration::from_micros(500)).as_millis()).unwrap_or(u64::MAX)
}

/// The format of each stream, and the number of its stream in each input: files of one source that need the same decoder share a stream.
fn assign_streams(inputs: &mut [Input], warnings: &mut Vec<String>) -> Vec<TrackFormat> {
    let mut streams: Vec<(Source, TrackFormat)> = Vec::new();
    for input in inputs {
        let format: &TrackFormat = input.reader.format();
        let fits = |(source, other): &(Source, TrackFormat)| {
            *source == input.source && other.codec == format.codec && other.config == format.config
        };
        input.stream = match streams.iter().position(fits) {
            // A decoder takes packets of one and of two channels.
            Some(number) => {
                let channels = &mut streams[number].1.channels;
                *channels = format.channels.max(*channels);
                number
            }
            None if streams.len() >= MAX_STREAMS => {
                input.next = None;
                warnings.push(format!("{}: left out, there are too many kinds of streams", input.name));
                continue;
            }
            None => {
                let format = TrackFormat { name: input.source.word().into(), ..format.clone() };
                streams.push((input.source, format));
                streams.len() - 1
            }
        };
    }
    streams.into_iter().map(|(_, format)| format).collect()
}

/// A participant's file that is written.
enum Writer {
    /// Media first; the index is moved to its front at the end.
    Mp4(Mp4Writer),
    Matroska(InterleavedWriter),
}

impl Writer {
    fn push(&mut self, stream: usize, at: Duration, key: bool, data: &[u8]) -> io::Result<()> {
        match self {
            Writer::Mp4(writer) => writer.push(stream, at, key, data),
            Writer::Matroska(writer) => writer.push(stream, rounded_ms(at), key, data),
        }
    }

    /// The latest frame of the stream lasts until `until`.
    fn hold(&mut self, stream: usize, until: Duration) {
        match self {
            Writer::Mp4(writer) => writer.hold(stream, until),
            Writer::Matroska(writer) => writer.hold(rounded_ms(until)),
        }
    }
}

/// The MP4 sample entries of all streams; `None` where MP4 does not support one of them.
fn sample_entries(formats: &[TrackFormat], inputs: &mut [Input]) -> Option<Vec<SampleEntry>> {
    let entry = |(number, format): (usize, &TrackFormat)| {
        let input = inputs.iter_mut().find(|input| input.stream == number && input.next.is_some())?;
        let (_, block) = input.next.as_ref()?;
        mp4::sample_entry(format, &input.reader.read(block).ok()?)
    };
    formats.iter().enumerate().map(entry).collect()
}

fn interleave(
    participant: &ParticipantEntry,
    mut inputs: Vec<Input>,
    folder: &Path,
    warnings: &mut Vec<String>,
) -> Result<ParticipantFile> {
    let formats = assign_streams(&mut inputs, warnings);
    let entries = sample_entries(&formats, &mut inputs);
    let is_webm = formats.iter().all(|format| format.codec != Codec::H264);
    let extension = match &entries {
        Some(_) => "mp4",
        None if is_webm => "webm",
        None => "mkv",
    };
    let output = PartFile::create(&folder.join(format!("{}.{extension}", participant.key)))?;
    let path = if entries.is_some() { output.scratch() } else { output.part().to_owned() };
    let failed = |error: io::Error| write_failed(&path, error);
    let file = File::options().write(true).create(true).truncate(true).open(&path).map_err(failed)?;
    let mut writer = match entries {
        Some(entries) => Writer::Mp4(Mp4Writer::new(file, formats.into_iter().zip(entries)).map_err(failed)?),
        None => Writer::Matroska(InterleavedWriter::new(file, &participant.name, formats).map_err(failed)?),
    };
    let start = inputs.iter().filter_map(|input| input.next.as_ref().map(|(at, _)| *at)).min().unwrap_or(0);
    let mut frames = 0;
    // Always the input whose next block is due first.
    while let Some(input) =
        inputs.iter_mut().filter(|i| i.next.is_some()).min_by_key(|i| i.next.as_ref().map(|(at, _)| *at))
    {
        let Some((at, block)) = input.next.take() else { break };
        let read = input.reader.read(&block).and_then(|data| input.advance().map(|()| data));
        let data = match read {
            Ok(data) => data,
            Err(error) => {
                warnings.push(format!("{}: {error}", input.name));
                continue;
            }
        };
        let at = Duration::from_nanos(u64::try_from(at - start).unwrap_or(0));
        writer.push(input.stream, at, block.key, &data).map_err(failed)?;
        frames += 1;
    }
    for (stream, until) in inputs.iter().filter_map(|input| Some((input.stream, input.held_ns?))) {
        writer.hold(stream, Duration::from_nanos(u64::try_from(until - start).unwrap_or(0)));
    }
    let duration = match writer {
        Writer::Mp4(writer) => {
            let duration = writer.finish().map_err(failed)?;
            mp4::move_index_to_front(&path, output.part(), &[])?;
            duration
        }
        Writer::Matroska(writer) => Duration::from_millis(writer.finish().map_err(failed)?),
    };
    let file = output.publish()?;
    let bytes = std::fs::metadata(&file).map_err(|e| Error::machine("the new file was removed").because(e))?.len();
    let start_ms = u64::try_from(start / 1_000_000).unwrap_or(0);
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Ok(ParticipantFile { name: participant.name.clone(), file, start_ms, duration_ms, frames, bytes })
}
