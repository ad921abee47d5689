//! A file for each participant, picture and sound in sync: their tracks as they were sent, put together by their clocks. It decodes
//! nothing and holds one frame of each track.

use super::output::Output;
use super::script::Script;
use super::source;
use crate::container::matroska::TrackFormat;
use crate::container::matroska_interleaved;
use crate::container::matroska_interleaved::Stream;
use crate::container::matroska_reader::{Block, TrackReader};
use crate::container::{mp4, mp4_tracks};
use crate::error::{Error, Result, write_failed};
use crate::recording::folder::Sub;
use crate::recording::manifest::{ParticipantEntry, TrackEntry};
use crate::recording::placement::Placement;
use crate::room::media::{Codec, Source};
use serde::Serialize;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most streams of a file; whoever needs more changed their codec's settings that often.
const MOST_STREAMS: usize = 100;
/// The folder of the files, in the recording.
const FOLDER: &str = "participants";

/// A participant's file.
#[derive(Debug, Clone, Serialize)]
pub struct Person {
    pub name: String,
    pub file: PathBuf,
    /// Where the file begins, in session milliseconds.
    pub start_ms: u64,
    pub duration_ms: u64,
    pub frames: u64,
    pub bytes: u64,
}

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct People {
    pub participants: Vec<Person>,
    /// Tracks that could not be used, or not in whole.
    pub warnings: Vec<String>,
}

/// Makes a file for every participant who sent something, except those called `without`: MP4 where all their codecs go into it, else WebM,
/// or Matroska where H.264 is among them.
/// Tells `progress` how many of all are made, which may end it: what is made stays.
///
/// # Errors
/// The user's: no recording or one that is empty. The machine's: the disk. A track that cannot be used is a warning.
pub fn each(
    recording: &Path,
    without: &[String],
    mut progress: impl FnMut(usize, usize) -> Result<()>,
) -> Result<People> {
    let source = source::read(recording)?;
    let without = source::keys(&source.manifest, without)?;
    let script = Script::new(source.manifest, &source.events, without);
    let folder = recording.join(FOLDER);
    match std::fs::create_dir(&folder) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(write_failed(&folder, e)),
        _ => {}
    }
    let mut people = People { participants: Vec::new(), warnings: Vec::new() };
    let all: Vec<&ParticipantEntry> = script.people().map(|(_, person)| person).collect();
    for (number, person) in all.iter().enumerate() {
        let own: Vec<&TrackEntry> = script.manifest.tracks.iter().filter(|t| t.participant == person.key).collect();
        let parts = open(&recording.join(Sub::Tracks.word()), &own, &mut people.warnings);
        if !parts.is_empty() {
            people.participants.push(join(person, parts, &folder, &mut people.warnings)?);
        }
        progress(number + 1, all.len())?;
    }
    Ok(people)
}

/// A track file on its way into a participant's.
struct Part {
    reader: TrackReader<File>,
    placement: Placement,
    source: Source,
    name: String,
    /// The block that is next, and its session time.
    next: Option<(i64, Block)>,
    /// Number of its stream.
    stream: usize,
}

impl Part {
    /// Goes on to the next block, and gives the one before.
    fn step(&mut self) -> Result<()> {
        let block = self.reader.next_block()?;
        self.next = block.map(|block| (self.placement.session_ns(Duration::from_millis(block.ms)), block));
        Ok(())
    }
}

fn open(tracks: &Path, own: &[&TrackEntry], warnings: &mut Vec<String>) -> Vec<Part> {
    let mut parts = Vec::new();
    for track in own {
        let open = || -> Result<Part> {
            let reader = TrackReader::open(&tracks.join(&track.file))?;
            let placement = Placement::of(track);
            let (source, name) = (track.source, track.file.clone());
            let mut part = Part { reader, placement, source, name, next: None, stream: 0 };
            part.step()?;
            Ok(part)
        };
        match open() {
            Ok(part) if part.next.is_some() => parts.push(part),
            Ok(_) => warnings.push(format!("{}: there is nothing in it", track.file)),
            Err(error) => warnings.push(error.to_string()),
        }
    }
    parts
}

/// Files of one source that need the same decoder are one stream.
fn streams(parts: &mut [Part], warnings: &mut Vec<String>) -> Vec<Stream> {
    let mut streams: Vec<Stream> = Vec::new();
    for part in parts {
        let format: &TrackFormat = part.reader.format();
        let fits = |stream: &Stream| {
            let one = &stream.format;
            stream.source == part.source
                && one.codec == format.codec
                && one.config == format.config
                && one.channels == format.channels
        };
        part.stream = match streams.iter().position(fits) {
            Some(number) => number,
            None if streams.len() >= MOST_STREAMS => {
                part.next = None;
                warnings.push(format!("{}: left out, there are too many kinds of streams", part.name));
                continue;
            }
            None => {
                let format = TrackFormat { name: part.source.word().into(), ..format.clone() };
                streams.push(Stream { source: part.source, format });
                streams.len() - 1
            }
        };
    }
    streams
}

/// A participant's file.
enum Joined {
    /// Media first; its index is put in front of it at the end.
    Mp4(mp4_tracks::Writer),
    Matroska(matroska_interleaved::Writer),
}

impl Joined {
    fn push(&mut self, stream: usize, at: Duration, key: bool, data: &[u8]) -> io::Result<()> {
        match self {
            Joined::Mp4(writer) => writer.push(stream, at, key, data),
            Joined::Matroska(writer) => {
                let ms = (at + Duration::from_micros(500)).as_millis();
                writer.push(stream, u64::try_from(ms).unwrap_or(u64::MAX), key, data)
            }
        }
    }
}

/// What MP4 says of the decoders of these streams; none where one of them does not go into it.
fn samples(streams: &[Stream], parts: &mut [Part]) -> Option<Vec<mp4_tracks::Sample>> {
    let sample = |(number, stream): (usize, &Stream)| {
        let part = parts.iter_mut().find(|part| part.stream == number && part.next.is_some())?;
        let (_, block) = part.next.as_ref()?;
        mp4_tracks::sample(&stream.format, &part.reader.read(block).ok()?)
    };
    streams.iter().enumerate().map(sample).collect()
}

fn join(person: &ParticipantEntry, mut parts: Vec<Part>, folder: &Path, warnings: &mut Vec<String>) -> Result<Person> {
    let streams = streams(&mut parts, warnings);
    let samples = samples(&streams, &mut parts);
    let is_webm = streams.iter().all(|stream| stream.format.codec != Codec::H264);
    let extension = match &samples {
        Some(_) => "mp4",
        None if is_webm => "webm",
        None => "mkv",
    };
    let output = Output::create(&folder.join(format!("{}.{extension}", person.key)))?;
    let path = if samples.is_some() { output.scratch() } else { output.part().to_owned() };
    let failed = |error: io::Error| write_failed(&path, error);
    let file = File::options().write(true).create(true).truncate(true).open(&path).map_err(failed)?;
    let mut joined = match samples {
        Some(samples) => Joined::Mp4(mp4_tracks::Writer::begin(file, &streams, samples).map_err(failed)?),
        None => Joined::Matroska(matroska_interleaved::Writer::begin(file, &person.name, &streams).map_err(failed)?),
    };
    let begin = parts.iter().filter_map(|part| part.next.as_ref().map(|(at, _)| *at)).min().unwrap_or(0);
    let mut frames = 0;
    // Whatever is due first, of all of them.
    while let Some(part) =
        parts.iter_mut().filter(|p| p.next.is_some()).min_by_key(|p| p.next.as_ref().map(|(at, _)| *at))
    {
        let Some((at, block)) = part.next.take() else { break };
        let read = part.reader.read(&block).and_then(|data| part.step().map(|()| data));
        let data = match read {
            Ok(data) => data,
            Err(error) => {
                warnings.push(format!("{}: {error}", part.name));
                continue;
            }
        };
        let at = Duration::from_nanos(u64::try_from(at - begin).unwrap_or(0));
        joined.push(part.stream, at, block.key, &data).map_err(failed)?;
        frames += 1;
    }
    let duration = match joined {
        Joined::Mp4(writer) => {
            let duration = writer.finish().map_err(failed)?;
            mp4::finish(&path, output.part(), &[])?;
            duration
        }
        Joined::Matroska(writer) => Duration::from_millis(writer.finish().map_err(failed)?),
    };
    let file = output.publish()?;
    let bytes = std::fs::metadata(&file).map_err(|e| Error::machine("the file is gone again").because(e))?.len();
    let start_ms = u64::try_from(begin / 1_000_000).unwrap_or(0);
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Ok(Person { name: person.name.clone(), file, start_ms, duration_ms, frames, bytes })
}
