//! All that the player's page shows of a recording, as one JSON document. It only reads.

use crate::error::Result;
use crate::recording::chapters;
use crate::recording::folder::{MANIFEST, Subfolder, TIMELINE};
use crate::recording::frozen::Outages;
use crate::recording::intervals::Activity;
use crate::recording::manifest::{Manifest, Span};
use crate::recording::placement::{Piece, Placement};
use crate::recording::report::{Report, State};
use crate::recording::subtitles::CHAT;
use crate::recording::timeline::{Entry, Event};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// The most events and messages that a page is given; a meeting of a day has fewer.
const MOST_EVENTS: usize = 10_000;
const MOST_MESSAGES: usize = 20_000;
/// The list of slides, and the largest that is read.
pub const SLIDES: &str = "stills/slides.json";
pub const LARGEST_INDEX: u64 = 4 << 20;
/// A picture of the meeting.
pub(super) const POSTER: &str = "stills/poster.jpg";
/// The most files of a folder that are listed.
const MOST_FILES: usize = 1000;
/// A shorter gap is in the numbers of its track, and no event of its own.
const SHORT_GAP_MS: u64 = 500;

/// A recording for its player. The manifest's fields are beside these.
#[derive(Debug, Serialize)]
pub struct Document {
    /// Whether it has ended, and how.
    pub state: State,
    #[serde(flatten)]
    pub manifest: Manifest,
    /// When each participant was present, spoke and sent something.
    pub activities: Vec<Activity>,
    /// Files that the manifest lists and that do not exist.
    pub missing: Vec<String>,
    pub chapters: Vec<Chapter>,
    pub chat: Vec<Message>,
    /// What happened, without what the other fields have.
    pub events: Vec<Entry>,
    /// Events and messages beyond the limits, which are not here.
    pub left_out: usize,
    /// By track file: where it lies in the session.
    pub placements: BTreeMap<String, Vec<Piece>>,
    /// By track file that is not finished: its bytes now, for `?play&length=`.
    pub growing: BTreeMap<String, u64>,
    /// By track file: when a camera's picture is old.
    pub frozen: BTreeMap<String, Vec<Span>>,
    /// Films, by name.
    pub films: Vec<Listed>,
    pub slides: Vec<Slide>,
    /// A picture of the meeting.
    pub poster: Option<String>,
    /// Further files of the recording: documents, subtitles, participants' files.
    pub documents: Vec<Listed>,
    /// The address of the list of recordings, relative to this document's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
}

/// Where a chapter begins.
#[derive(Debug, Serialize)]
pub struct Chapter {
    pub at_ms: u64,
    pub title: String,
}

/// A chat message.
#[derive(Debug, Serialize)]
pub struct Message {
    pub at_ms: u64,
    /// The participant's key.
    pub participant: String,
    pub text: String,
}

/// A file of the recording.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// The path in the recording.
    pub file: String,
    pub bytes: u64,
}

/// A shared screen after a change, as `stills/slides.json` has it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Slide {
    pub at_ms: u64,
    /// The participant's display name.
    pub of: String,
    /// The path in the recording.
    pub file: String,
}

impl Document {
    /// Reads a recording. Waits for the disk.
    ///
    /// # Errors
    /// The user's: the folder is no recording.
    pub fn load(recording: &Path) -> Result<Document> {
        let (Report { state, mut manifest, activities, missing, .. }, entries) = Report::load_quickly(recording)?;
        // How the room is reached is nobody's business who only watches.
        manifest.url.clear();
        let placed = |track| Placement::of(track).pieces();
        let placements = manifest.tracks.iter().map(|track| (track.file.clone(), placed(track))).collect();
        let tracks = recording.join(Subfolder::Tracks.name());
        let size = |file: &String| std::fs::symlink_metadata(tracks.join(file)).ok().map(|found| found.len());
        let unfinished = manifest.tracks.iter().filter(|track| !track.finished).map(|track| &track.file);
        let growing = unfinished.filter_map(|file| Some((file.clone(), size(file)?))).collect();
        let outages = Outages::of(&entries);
        let frozen = manifest.tracks.iter().map(|track| (track.file.clone(), outages.freezes(track)));
        let frozen = frozen.filter(|(_, spans)| !spans.is_empty()).collect();
        let chapters = chapters::starts(&manifest, &[], u64::MAX);
        let chapters = chapters.into_iter().map(|(at_ms, title)| Chapter { at_ms, title }).collect();
        let (mut chat, mut events, mut left_out) = (Vec::new(), Vec::new(), 0);
        for entry in entries {
            match entry {
                Entry { t_ms: at_ms, event: Event::Chat { participant, text }, .. } if chat.len() < MOST_MESSAGES => {
                    chat.push(Message { at_ms, participant, text });
                }
                Entry { event: Event::Chat { .. }, .. } => left_out += 1,
                entry if !is_shown(&entry.event) => {}
                entry if events.len() < MOST_EVENTS => events.push(entry),
                _ => left_out += 1,
            }
        }
        let stills = listed(recording, Some(Subfolder::Stills));
        let poster = stills.iter().find(|still| still.file == POSTER).map(|still| still.file.clone());
        let (films, mut documents): (Vec<_>, Vec<_>) =
            listed(recording, None).into_iter().partition(|listed| is_film(&listed.file));
        documents.retain(|listed| is_document(&listed.file));
        documents.extend(stills.into_iter().filter(|still| is_sheet(&still.file)));
        documents.extend(files_in(recording, "participants"));
        let slides = slides(recording);
        Ok(Document {
            state,
            manifest,
            activities,
            missing,
            chapters,
            chat,
            events,
            left_out,
            placements,
            growing,
            frozen,
            films,
            slides,
            poster,
            documents,
            list: None,
        })
    }
}

impl Document {
    /// Adds files that are in the recording and not in the folder that was loaded: in a store. `index`: its list of slides.
    pub fn add_files(&mut self, files: impl IntoIterator<Item = Listed>, index: Option<&[u8]>) {
        let known: HashSet<String> =
            self.films.iter().chain(&self.documents).map(|listed| listed.file.clone()).collect();
        for listed in files {
            self.missing.retain(|missing| *missing != listed.file);
            if known.contains(&listed.file) {
                continue;
            }
            if is_film(&listed.file) {
                self.films.push(listed);
            } else if listed.file == POSTER {
                self.poster = Some(listed.file);
            } else if is_document(&listed.file) || is_sheet(&listed.file) || listed.file.starts_with("participants/") {
                self.documents.push(listed);
            }
        }
        self.films.sort_by(|one, other| one.file.cmp(&other.file));
        self.documents.sort_by(|one, other| one.file.cmp(&other.file));
        if let Some(index) = index.filter(|_| self.slides.is_empty()) {
            self.slides = slides_of(index);
        }
    }
}

/// Events that are told to people; the others are in other fields, or too many.
fn is_shown(event: &Event) -> bool {
    match event {
        Event::Gap { start_ms, end_ms, .. } => end_ms.saturating_sub(*start_ms) >= SHORT_GAP_MS,
        Event::IceState { state, .. } => matches!(state.as_str(), "disconnected" | "failed"),
        Event::Speech { .. } | Event::Speaker { .. } | Event::Resolution { .. } | Event::KeyFrameWait { .. } => false,
        _ => true,
    }
}

pub(super) fn is_film(file: &str) -> bool {
    file.starts_with("film") && [".mp4", ".webm", ".mkv"].iter().any(|ending| file.ends_with(ending))
}

fn is_document(file: &str) -> bool {
    [MANIFEST, TIMELINE, CHAT].contains(&file) || file.starts_with("film.") && file.ends_with(".vtt")
}

fn is_sheet(file: &str) -> bool {
    file.starts_with("stills/") && file.contains("contact-sheet")
}

fn slides(recording: &Path) -> Vec<Slide> {
    let index = recording.join(SLIDES);
    let is_small = std::fs::symlink_metadata(&index).is_ok_and(|found| found.is_file() && found.len() <= LARGEST_INDEX);
    let text = if is_small { std::fs::read(&index).unwrap_or_default() } else { return Vec::new() };
    slides_of(&text)
}

fn slides_of(index: &[u8]) -> Vec<Slide> {
    let slides: Vec<Slide> = serde_json::from_slice(index).unwrap_or_default();
    let with_path = |slide: Slide| Slide { file: format!("{}/{}", Subfolder::Stills.name(), slide.file), ..slide };
    slides.into_iter().map(with_path).collect()
}

/// The regular files of a recording's folder or one of its sub-folders, sorted by name; those that can be given out.
pub(super) fn listed(recording: &Path, sub: Option<Subfolder>) -> Vec<Listed> {
    files_in(recording, sub.map_or("", Subfolder::name))
}

fn files_in(recording: &Path, sub: &str) -> Vec<Listed> {
    let Ok(entries) = std::fs::read_dir(recording.join(sub)) else { return Vec::new() };
    let mut files: Vec<Listed> = Vec::new();
    for entry in entries.flatten().take(MOST_FILES) {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Ok(found) = entry.metadata() else { continue };
        if found.is_file() && !name.starts_with('.') && !name.ends_with(".part") {
            let file = if sub.is_empty() { name } else { format!("{sub}/{name}") };
            files.push(Listed { file, bytes: found.len() });
        }
    }
    files.sort_by(|one, other| one.file.cmp(&other.file));
    files
}
