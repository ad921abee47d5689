//! A target of measurement: a media file, or a recording whose tracks are placed in session time by its manifest. It reads detections and assigns
//! them to participants; it judges nothing.

use super::detections::{Detections, Trace};
use super::file_info::{FileInfo, file_info};
use super::join_times;
use super::measure::{Measurements, measure_frames};
use super::quality::{self, Quality};
use super::stamp::source::number_of;
use super::stops;
use super::watch::Delays;
use crate::error::Result;
use crate::media::Library;
use crate::recording::account::CUT_SHORT;
use crate::recording::folder::{MANIFEST, Subfolder, TIMELINE};
use crate::recording::manifest::{Manifest, TrackEntry};
use crate::recording::placement::Placement;
use crate::recording::timeline::{Entry, TimelineReader};
use crate::room::media::{MediaKind, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Added to a participant's number for the stamps of the shared screen.
pub const SCREEN_OFFSET: u8 = 100;
/// Marks needed to count a participant without video; fewer may be misread.
const MIN_MARKS: usize = 2;

/// Stamp numbers of participants by name, if they differ from the convention (the position of the first letter).
pub type StampNumbers = BTreeMap<String, u8>;

/// A participant in a target, or a participant's screen.
#[derive(Debug, Clone)]
pub struct TargetParticipant {
    /// `alice`, `bob.screen`.
    pub who: String,
    /// Stamp number.
    pub number: u8,
    /// When they joined, seconds on the timeline.
    pub start: f64,
    /// What was detected of them.
    pub trace: Trace,
    /// Frames and marks of others in their tracks; none if tracks have no owner.
    pub wrong: Option<u64>,
    /// Durations of the steps of join_times, as figures.
    pub join_times: Vec<(&'static str, f64)>,
    /// Kinds of media they have.
    pub kinds: BTreeSet<MediaKind>,
}

/// A target and everything detected in it.
#[derive(Debug, Clone)]
pub struct Target {
    /// The file or folder.
    pub path: PathBuf,
    /// Its participants and their screens.
    pub participants: Vec<TargetParticipant>,
    /// All frames.
    pub pictures: u64,
    /// Frames without a stamp.
    pub blank: u64,
    /// Stamps that could not be read.
    pub unread: u64,
    /// Seconds.
    pub length: f64,
    /// Kinds of media in it.
    pub kinds: BTreeSet<MediaKind>,
    /// Its files with video, and their placement in session time; none: the file's own time.
    pub video_files: Vec<(PathBuf, Option<Placement>)>,
    /// All its media files.
    pub files: Vec<FileInfo>,
    /// Defects of the media.
    pub damage: Vec<String>,
    /// Failures of this machine.
    pub trouble: Vec<String>,
    /// What could not be measured, and why.
    pub notes: Vec<String>,
}

/// The stamp number of a participant (`alice`) or of a screen (`alice.screen`): from `names`, the number itself, or by convention.
pub fn number(names: &StampNumbers, who: &str) -> u8 {
    let (name, add) = who.strip_suffix(".screen").map_or((who, 0), |name| (name, SCREEN_OFFSET));
    if let Some(number) = names.get(who) {
        return *number;
    }
    let own = names.get(name).copied().or_else(|| name.parse().ok()).unwrap_or_else(|| number_of(name));
    own.wrapping_add(add)
}

/// Reads a media file, a recording folder or its manifest.
///
/// # Errors
/// The user's: there is no such file or folder. Other failures become damage or trouble of the target.
pub fn read(library: &Library, path: &Path, names: &StampNumbers) -> Result<Target> {
    if path.is_dir() || path.ends_with(MANIFEST) {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        return recording(library, folder, names);
    }
    let mut detections = Detections::default();
    detections.read(library, path, |at| at.as_secs_f64())?;
    let mut target = Target::new(path, &detections);
    target.files.extend(file_info(path, target.length));
    for (number, trace) in detections.traces {
        let known = names.iter().find(|(_, n)| **n == number).map(|(name, _)| name.clone());
        let who = known.unwrap_or_else(|| number.to_string());
        // Screens have no audio, even in a film with audio.
        let is_screen = who.ends_with(".screen");
        let kinds = detections.kinds.iter().copied().filter(|kind| !is_screen || *kind == MediaKind::Video).collect();
        if !trace.frames.is_empty() || trace.marks.len() >= MIN_MARKS {
            target.participants.push(TargetParticipant {
                who,
                number,
                start: 0.0,
                trace,
                wrong: None,
                join_times: vec![],
                kinds,
            });
        }
    }
    Ok(target)
}

fn recording(library: &Library, folder: &Path, names: &StampNumbers) -> Result<Target> {
    let manifest = Manifest::load(folder)?;
    let mut target = Target::new(folder, &Detections::default());
    let events: Vec<Entry> = TimelineReader::open(&folder.join(TIMELINE)).map(Iterator::collect).unwrap_or_default();
    target.damage.extend(stops::stops(&manifest, &events));
    // Where the recording itself was cut short nobody expects more.
    let losses = manifest.reasons.iter().filter(|loss| loss.cause != CUT_SHORT);
    target.damage.extend(losses.map(|loss| loss.text.clone()));
    let mut join_figures = join_times::join_figures(&folder.join(TIMELINE));
    for person in &manifest.participants {
        let start = person.present.first().map_or(0.0, |span| span.start_ms as f64 / 1000.0);
        for screen in [false, true] {
            let is_screen =
                |track: &&TrackEntry| matches!(track.source, Source::Screen | Source::ScreenAudio) == screen;
            let tracks = manifest.tracks.iter().filter(|track| track.participant == person.key).filter(is_screen);
            let who = if screen { format!("{}.screen", person.key) } else { person.key.clone() };
            let number = number(names, &who);
            let join_times = if screen { vec![] } else { join_figures.remove(&person.key).unwrap_or_default() };
            let (trace, kinds) = (Trace::default(), BTreeSet::new());
            let mut participant = TargetParticipant { who, number, start, trace, wrong: Some(0), join_times, kinds };
            for track in tracks {
                participant.start = if screen { track.start_ms as f64 / 1000.0 } else { participant.start };
                let detections = detect_in_track(library, folder, track, &mut target)?;
                participant.kinds.insert(track.kind);
                participant.add_track(detections);
            }
            if !participant.kinds.is_empty() {
                participant.trace.sort();
                target.participants.push(participant);
            }
        }
    }
    Ok(target)
}

fn detect_in_track(library: &Library, folder: &Path, track: &TrackEntry, target: &mut Target) -> Result<Detections> {
    let path = folder.join(Subfolder::Tracks.name()).join(&track.file);
    let placement = Placement::of(track);
    let mut detections = Detections::default();
    if path.is_file() {
        detections.read(library, &path, |at| placement.session_ns(at) as f64 / 1e9)?;
    } else {
        detections.damage.push(format!("{} is in the manifest but not there", track.file));
    }
    let seconds = track.end_ms.saturating_sub(track.start_ms) as f64 / 1000.0;
    target.files.extend(file_info(&path, seconds));
    target.pictures += detections.pictures;
    target.blank += detections.blank;
    target.unread += detections.unread;
    target.length = target.length.max(detections.length);
    target.kinds.insert(track.kind);
    if track.kind == MediaKind::Video && path.is_file() {
        target.video_files.push((path, Some(placement)));
    }
    target.damage.append(&mut detections.damage);
    target.trouble.append(&mut detections.trouble);
    Ok(detections)
}

impl Target {
    fn new(path: &Path, detections: &Detections) -> Target {
        let Detections { pictures, blank, unread, length, kinds, damage, trouble, .. } = detections.clone();
        let video_files = kinds.contains(&MediaKind::Video).then(|| (path.to_owned(), None)).into_iter().collect();
        let (participants, files) = (Vec::new(), Vec::new());
        Target {
            path: path.to_owned(),
            participants,
            pictures,
            blank,
            unread,
            length,
            kinds,
            video_files,
            files,
            damage,
            trouble,
            notes: Vec::new(),
        }
    }

    /// Adds end-to-end delays measured live, by participant number.
    pub fn add_delays(&mut self, mut delays: BTreeMap<u8, Delays>) {
        for participant in &mut self.participants {
            match delays.remove(&participant.number) {
                Some(Delays::Known(basis, known)) => {
                    (participant.trace.delays, participant.trace.delays_by) = (known, Some(basis));
                }
                Some(Delays::Unknown(why)) => {
                    self.notes.push(format!("no end-to-end delay of {}: {why}", participant.who))
                }
                None => {}
            }
        }
    }

    /// Compares the frames with their sources of this size; results by participant number.
    ///
    /// # Errors
    /// The user's: the size cannot be stamped, a file has gone.
    pub fn quality(&self, library: &Library, size: (u32, u32)) -> Result<BTreeMap<u8, Quality>> {
        let source = |participant: &TargetParticipant| {
            let found = measure_frames(&participant.trace.frames, &participant.trace.blanks)?;
            let rate = participant.trace.frames.first()?.rate;
            Some((participant.number, quality::ReferenceSource { size, zero: found.zero, rate }))
        };
        let sources = self.participants.iter().filter_map(source).collect();
        let mut all: BTreeMap<u8, Quality> = BTreeMap::new();
        for (path, placement) in &self.video_files {
            let session_time = |at: Duration| match placement {
                Some(placement) => placement.session_ns(at) as f64 / 1e9,
                None => at.as_secs_f64(),
            };
            for (number, found) in quality::compare(library, path, session_time, &sources)? {
                all.entry(number).or_default().add(found);
            }
        }
        Ok(all)
    }

    /// A figure of the whole target; none without detections for it.
    pub fn figure(&self, name: &str) -> Option<f64> {
        let percent = |some: u64, all: u64| (all > 0).then(|| some as f64 * 100.0 / all as f64);
        let read: usize = self.participants.iter().map(|s| s.trace.frames.len()).sum();
        match name {
            "participants" => Some(self.participants.iter().filter(|s| !s.trace.is_empty()).count() as f64),
            "pictures" => Some(self.pictures as f64),
            "blank_percent" => percent(self.blank, self.pictures),
            "unread_percent" => percent(self.unread, self.unread + read as u64),
            "length_ms" => Some(self.length * 1000.0),
            "spread_ms" => {
                let zeros = self
                    .participants
                    .iter()
                    .filter_map(|s| Measurements::of(&s.trace, 0.0).figures.get("zero_ms").copied());
                let zeros: Vec<f64> = zeros.collect();
                let (low, high) = (zeros.iter().copied().reduce(f64::min)?, zeros.iter().copied().reduce(f64::max)?);
                (zeros.len() > 1).then_some(high - low)
            }
            _ => None,
        }
    }
}

impl TargetParticipant {
    /// Adds a track. The participant with most detections in it is taken as its content, and everything that is not of its owner counts as
    /// wrong. So a swapped track is wrong, but its media is still measured.
    fn add_track(&mut self, detections: Detections) {
        let total = |trace: &Trace| (trace.frames.len() + trace.marks.len()) as u64;
        let all: u64 = detections.traces.values().map(total).sum();
        let own = detections.traces.get(&self.number).map_or(0, total);
        self.wrong = self.wrong.map(|wrong| wrong + all - own);
        if let Some(shown) = detections.traces.into_values().max_by_key(total) {
            self.trace.frames.extend(shown.frames);
            self.trace.marks.extend(shown.marks);
            self.trace.silences.extend(shown.silences);
            self.trace.blanks.extend(shown.blanks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_from_the_list_the_number_or_the_first_letter() {
        let names = StampNumbers::from([("alice".to_owned(), 9), ("carol.screen".to_owned(), 77)]);
        let known = ["alice", "alice.screen", "bob", "bob.screen", "17", "carol.screen"].map(|who| number(&names, who));
        assert_eq!(known, [9, 109, 2, 102, 17, 77]);
    }
}
