//! A file for each participant, picture and sound in sync: their tracks as they were sent, put together by their clocks. It decodes
//! nothing and holds one frame of each track.

use super::interleave::{Stream, Writer};
use super::output::{Output, fault};
use super::script::Script;
use super::source;
use crate::error::{Error, Result};
use crate::record::folder::Sub;
use crate::record::manifest::{ParticipantEntry, TrackEntry};
use crate::record::matroska::TrackFormat;
use crate::record::placement::Placement;
use crate::record::scan::{Block, TrackReader};
use crate::room::media::{Codec, Source};
use serde::Serialize;
use std::fs::File;
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

/// Makes a file for every participant who sent something, except those called `without`: WebM, or Matroska where somebody sent H.264.
/// Tells `progress` how many of all are made.
///
/// # Errors
/// The user's: no recording or one that is empty. The machine's: the disk. A track that cannot be used is a warning.
pub fn each(recording: &Path, without: &[String], mut progress: impl FnMut(usize, usize)) -> Result<People> {
    let source = source::read(recording)?;
    let without = source::keys(&source.manifest, without)?;
    let script = Script::new(source.manifest, &source.events, without);
    let folder = recording.join(FOLDER);
    match std::fs::create_dir(&folder) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(fault(&folder, e)),
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
        progress(number + 1, all.len());
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

fn join(person: &ParticipantEntry, mut parts: Vec<Part>, folder: &Path, warnings: &mut Vec<String>) -> Result<Person> {
    let streams = streams(&mut parts, warnings);
    let extension = if streams.iter().any(|s| s.format.codec == Codec::H264) { "mkv" } else { "webm" };
    let output = Output::create(&folder.join(format!("{}.{extension}", person.key)))?;
    let file = File::options().write(true).truncate(true).open(output.part()).map_err(|e| fault(output.part(), e))?;
    let mut writer = Writer::begin(file, &person.name, &streams).map_err(|e| fault(output.part(), e))?;
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
        let ms = u64::try_from((at - begin + 500_000) / 1_000_000).unwrap_or(0);
        writer.push(part.stream, ms, block.key, &data).map_err(|e| fault(output.part(), e))?;
        frames += 1;
    }
    let duration_ms = writer.finish().map_err(|e| fault(output.part(), e))?;
    let file = output.publish()?;
    let bytes = std::fs::metadata(&file).map_err(|e| Error::machine("the file is gone again").because(e))?.len();
    let start_ms = u64::try_from(begin / 1_000_000).unwrap_or(0);
    Ok(Person { name: person.name.clone(), file, start_ms, duration_ms, frames, bytes })
}
