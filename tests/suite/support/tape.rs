//! The recorder as its user has it, the program in a process of its own, and what it left behind: manifest, timeline, files.

use super::bot::Bot;
use super::moment;
use roombot::recording::manifest::{Manifest, TrackEntry};
use roombot::recording::timeline::{Entry, TimelineReader};
use roombot::room::media::Source;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The name under which it records.
pub const NAME: &str = "Recorder";

/// `roombot record`, running, with a folder of its own; killed when dropped.
pub struct Tape {
    bot: Bot,
    out: TempDir,
    /// When the process was started, in milliseconds on the wall clock.
    pub started: i64,
}

/// What it left behind.
pub struct Recorded {
    pub folder: PathBuf,
    pub manifest: Manifest,
    pub timeline: Vec<Entry>,
    _out: TempDir,
}

impl Tape {
    /// Begins to record a room.
    pub fn start(room: &str) -> Tape {
        let out = tempfile::tempdir().expect("a folder");
        let started = now();
        let bot = Bot::record(room, out.path(), &["--quiet", "--as", NAME]);
        Tape { bot, out, started }
    }

    /// What its timeline says by now.
    pub fn timeline(&self) -> Vec<Entry> {
        let folder = std::fs::read_dir(self.out.path()).expect("the folder").next();
        let Some(Ok(folder)) = folder else { return Vec::new() };
        TimelineReader::open(&folder.path().join("timeline.jsonl")).map(Iterator::collect).unwrap_or_default()
    }

    /// Waits until `pick` finds something in the timeline.
    pub async fn until<T>(&self, what: &str, mut pick: impl FnMut(&Entry) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            let timeline = self.timeline();
            if let Some(found) = timeline.iter().find_map(&mut pick) {
                return found;
            }
            assert!(Instant::now() < deadline, "{what}: not in the timeline\n{timeline:#?}");
            moment().await;
        }
    }

    /// Ends it as Ctrl-C does, and reads what it wrote.
    pub async fn finish(self) -> Recorded {
        self.bot.interrupt();
        let outcome = self.bot.ended(Duration::from_secs(20)).await;
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        let folder = PathBuf::from(outcome.stdout.lines().last().expect("the folder is its last line"));
        let manifest = Manifest::load(&folder).expect("a manifest");
        let mut reader = TimelineReader::open(&folder.join("timeline.jsonl")).expect("a timeline");
        let timeline = reader.by_ref().collect();
        assert_eq!(reader.skipped(), 0);
        Recorded { folder, manifest, timeline, _out: self.out }
    }
}

impl Recorded {
    /// The only track of a participant's source.
    pub fn track(&self, participant: &str, source: Source) -> &TrackEntry {
        let is = |t: &&TrackEntry| t.participant == participant && t.source == source;
        match self.manifest.tracks.iter().filter(is).collect::<Vec<_>>()[..] {
            [track] => track,
            ref tracks => panic!("{} tracks of {participant}: {tracks:#?}", tracks.len()),
        }
    }

    /// Where a track's file is.
    pub fn path(&self, track: &TrackEntry) -> PathBuf {
        self.folder.join("tracks").join(&track.file)
    }
}

/// The wall clock, in milliseconds.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
