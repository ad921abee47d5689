//! What is judged: a media file, or the tracks of a recording by the clock of its manifest. It reads evidence and says who is who in it;
//! it judges nothing.

use super::evidence::{Evidence, Trace};
use super::file::{Fact, fact};
use super::joining;
use super::measure::frames;
use super::quality::{self, Quality};
use super::stamp::number_of;
use super::watch::Delays;
use crate::error::Result;
use crate::media::Library;
use crate::recording::folder::{MANIFEST, Subfolder, TIMELINE};
use crate::recording::manifest::{Manifest, TrackEntry};
use crate::recording::placement::Placement;
use crate::room::media::{MediaKind, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is added to a participant's number for the screen that they share.
pub const SCREEN: u8 = 100;
/// Marks that it takes to believe that somebody is there who is never seen.
const HEARD: usize = 2;

/// Whose stamp has which number, beyond the convention that the first letter says it.
pub type Names = BTreeMap<String, u8>;

/// Somebody, or somebody's screen, in a target.
#[derive(Debug, Clone)]
pub struct Subject {
    /// `alice`, `bob.screen`.
    pub who: String,
    pub number: u8,
    /// When they came, seconds on the time line.
    pub start: f64,
    pub trace: Trace,
    /// Pictures and marks of others in their tracks; none where it is not known whose tracks are whose.
    pub wrong: Option<u64>,
    /// How long the steps of joining took, as figures.
    pub joining: Vec<(&'static str, f64)>,
    pub kinds: BTreeSet<MediaKind>,
}

/// A target that was read.
#[derive(Debug, Clone)]
pub struct Target {
    pub path: PathBuf,
    pub subjects: Vec<Subject>,
    pub pictures: u64,
    pub blank: u64,
    pub unread: u64,
    /// Seconds.
    pub length: f64,
    pub kinds: BTreeSet<MediaKind>,
    /// The files in it with pictures, and where each lies on the time line.
    pub films: Vec<(PathBuf, Option<Placement>)>,
    /// All its media files.
    pub files: Vec<Fact>,
    pub damage: Vec<String>,
    pub trouble: Vec<String>,
    /// What cannot be said of it, and why.
    pub notes: Vec<String>,
}

/// The number of a name, or of a name's screen.
pub fn number(names: &Names, who: &str) -> u8 {
    let (name, add) = who.strip_suffix(".screen").map_or((who, 0), |name| (name, SCREEN));
    if let Some(number) = names.get(who) {
        return *number;
    }
    let own = names.get(name).copied().or_else(|| name.parse().ok()).unwrap_or_else(|| number_of(name));
    own.wrapping_add(add)
}

/// Reads a media file, or a recording's folder.
///
/// # Errors
/// The user's: neither is there. What cannot be read of it is damage or trouble.
pub fn read(library: &Library, path: &Path, names: &Names) -> Result<Target> {
    if path.is_dir() || path.ends_with(MANIFEST) {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        return recording(library, folder, names);
    }
    let mut evidence = Evidence::default();
    evidence.read(library, path, |at| at.as_secs_f64())?;
    let mut target = Target::new(path, &evidence);
    target.files.extend(fact(path, target.length));
    for (number, trace) in evidence.traces {
        let known = names.iter().find(|(_, n)| **n == number).map(|(name, _)| name.clone());
        let who = known.unwrap_or_else(|| number.to_string());
        // A screen says nothing in a film with sound.
        let is_screen = who.ends_with(".screen");
        let kinds = evidence.kinds.iter().copied().filter(|kind| !is_screen || *kind == MediaKind::Video).collect();
        if !trace.sights.is_empty() || trace.marks.len() >= HEARD {
            target.subjects.push(Subject { who, number, start: 0.0, trace, wrong: None, joining: vec![], kinds });
        }
    }
    Ok(target)
}

fn recording(library: &Library, folder: &Path, names: &Names) -> Result<Target> {
    let manifest = Manifest::load(folder)?;
    let mut target = Target::new(folder, &Evidence::default());
    let mut stages = joining::stages(&folder.join(TIMELINE));
    for person in &manifest.participants {
        let start = person.present.first().map_or(0.0, |span| span.start_ms as f64 / 1000.0);
        for screen in [false, true] {
            let is_screen =
                |track: &&TrackEntry| matches!(track.source, Source::Screen | Source::ScreenAudio) == screen;
            let tracks = manifest.tracks.iter().filter(|track| track.participant == person.key).filter(is_screen);
            let who = if screen { format!("{}.screen", person.key) } else { person.key.clone() };
            let number = number(names, &who);
            let joining = if screen { vec![] } else { stages.remove(&person.key).unwrap_or_default() };
            let (trace, kinds) = (Trace::default(), BTreeSet::new());
            let mut subject = Subject { who, number, start, trace, wrong: Some(0), joining, kinds };
            for track in tracks {
                subject.start = if screen { track.start_ms as f64 / 1000.0 } else { subject.start };
                let evidence = track_evidence(library, folder, track, &mut target)?;
                subject.kinds.insert(track.kind);
                subject.take(evidence);
            }
            if !subject.kinds.is_empty() {
                subject.trace.sort();
                target.subjects.push(subject);
            }
        }
    }
    Ok(target)
}

fn track_evidence(library: &Library, folder: &Path, track: &TrackEntry, target: &mut Target) -> Result<Evidence> {
    let path = folder.join(Subfolder::Tracks.name()).join(&track.file);
    let placement = Placement::of(track);
    let mut evidence = Evidence::default();
    if path.is_file() {
        evidence.read(library, &path, |at| placement.session_ns(at) as f64 / 1e9)?;
    } else {
        evidence.damage.push(format!("{} is in the manifest but not there", track.file));
    }
    let seconds = track.end_ms.saturating_sub(track.start_ms) as f64 / 1000.0;
    target.files.extend(fact(&path, seconds));
    target.pictures += evidence.pictures;
    target.blank += evidence.blank;
    target.unread += evidence.unread;
    target.length = target.length.max(evidence.length);
    target.kinds.insert(track.kind);
    if track.kind == MediaKind::Video && path.is_file() {
        target.films.push((path, Some(placement)));
    }
    target.damage.append(&mut evidence.damage);
    target.trouble.append(&mut evidence.trouble);
    Ok(evidence)
}

impl Target {
    fn new(path: &Path, evidence: &Evidence) -> Target {
        let Evidence { pictures, blank, unread, length, kinds, damage, trouble, .. } = evidence.clone();
        let films = kinds.contains(&MediaKind::Video).then(|| (path.to_owned(), None)).into_iter().collect();
        let (subjects, files) = (Vec::new(), Vec::new());
        Target {
            path: path.to_owned(),
            subjects,
            pictures,
            blank,
            unread,
            length,
            kinds,
            films,
            files,
            damage,
            trouble,
            notes: Vec::new(),
        }
    }

    /// Adds how long pictures took that somebody watched, by participants' numbers.
    pub fn take_delays(&mut self, mut delays: BTreeMap<u8, Delays>) {
        for subject in &mut self.subjects {
            match delays.remove(&subject.number) {
                Some(Delays::Known(basis, known)) => {
                    (subject.trace.delays, subject.trace.delays_by) = (known, Some(basis));
                }
                Some(Delays::Unknown(why)) => self.notes.push(format!("no end-to-end delay of {}: {why}", subject.who)),
                None => {}
            }
        }
    }

    /// Compares the pictures in it with their sources, which were of this size.
    ///
    /// # Errors
    /// The user's: a size that cannot be, a file that went away.
    pub fn quality(&self, library: &Library, size: (u32, u32)) -> Result<BTreeMap<u8, Quality>> {
        let source = |subject: &Subject| {
            let found = frames(&subject.trace.sights, &subject.trace.blanks)?;
            let rate = subject.trace.sights.first()?.rate;
            Some((subject.number, quality::Source { size, zero: found.zero, rate }))
        };
        let sources = self.subjects.iter().filter_map(source).collect();
        let mut all: BTreeMap<u8, Quality> = BTreeMap::new();
        for (path, placement) in &self.films {
            let place = |at: Duration| match placement {
                Some(placement) => placement.session_ns(at) as f64 / 1e9,
                None => at.as_secs_f64(),
            };
            for (number, found) in quality::compare(library, path, place, &sources)? {
                all.entry(number).or_default().add(found);
            }
        }
        Ok(all)
    }

    /// A figure of the whole; none where there is no evidence for it.
    pub fn figure(&self, name: &str) -> Option<f64> {
        let part = |some: u64, all: u64| (all > 0).then(|| some as f64 * 100.0 / all as f64);
        let read: usize = self.subjects.iter().map(|s| s.trace.sights.len()).sum();
        match name {
            "participants" => Some(self.subjects.iter().filter(|s| !s.trace.is_empty()).count() as f64),
            "pictures" => Some(self.pictures as f64),
            "blank_percent" => part(self.blank, self.pictures),
            "unread_percent" => part(self.unread, self.unread + read as u64),
            "length_ms" => Some(self.length * 1000.0),
            "spread_ms" => {
                let zeros = self
                    .subjects
                    .iter()
                    .filter_map(|s| super::measure::Measures::of(&s.trace, 0.0).figures.get("zero_ms").copied());
                let zeros: Vec<f64> = zeros.collect();
                let (low, high) = (zeros.iter().copied().reduce(f64::min)?, zeros.iter().copied().reduce(f64::max)?);
                (zeros.len() > 1).then_some(high - low)
            }
            _ => None,
        }
    }
}

impl Subject {
    /// Adds a track's evidence. Whoever is most to be seen or heard in it is what the track shows; all that is not of its owner is
    /// wrong. So a swapped track is wrong, and still measured for what it is.
    fn take(&mut self, evidence: Evidence) {
        let total = |trace: &Trace| (trace.sights.len() + trace.marks.len()) as u64;
        let all: u64 = evidence.traces.values().map(total).sum();
        let own = evidence.traces.get(&self.number).map_or(0, total);
        self.wrong = self.wrong.map(|wrong| wrong + all - own);
        if let Some(shown) = evidence.traces.into_values().max_by_key(total) {
            self.trace.sights.extend(shown.sights);
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
    fn numbers_come_from_the_list_the_name_or_the_letter() {
        let names = Names::from([("alice".to_owned(), 9), ("carol.screen".to_owned(), 77)]);
        let known = ["alice", "alice.screen", "bob", "bob.screen", "17", "carol.screen"].map(|who| number(&names, who));
        assert_eq!(known, [9, 109, 2, 102, 17, 77]);
    }
}
