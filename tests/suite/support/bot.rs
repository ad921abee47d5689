//! The recorder as its user has it: the program, in a process of its own, writing to a folder of its own.

use super::within;
use roombot::record::manifest::{Manifest, TrackEntry};
use roombot::record::timeline::{Entry, TimelineReader};
use roombot::room::media::Source;
use rustix::process::{Pid, Signal, kill_process};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The name under which it records.
pub const NAME: &str = "Recorder";

/// `roombot record`, running; killed when dropped.
pub struct Bot {
    child: Child,
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

impl Bot {
    /// Begins to record a room.
    pub fn start(room: &str) -> Bot {
        let out = tempfile::tempdir().expect("a folder");
        let started = now();
        let child = Command::new(env!("CARGO_BIN_EXE_roombot"))
            .args(["record", room, "--quiet", "--as", NAME, "--out"])
            .arg(out.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("roombot starts");
        Bot { child, out, started }
    }

    /// What its timeline says by now.
    pub fn timeline(&self) -> Vec<Entry> {
        let folder = std::fs::read_dir(self.out.path()).expect("the folder").next();
        let Some(Ok(folder)) = folder else { return Vec::new() };
        TimelineReader::open(&folder.path().join("timeline.jsonl")).map(Iterator::collect).unwrap_or_default()
    }

    /// Waits until `pick` finds something in the timeline.
    pub async fn until<T>(&self, what: &str, mut pick: impl FnMut(&Entry) -> Option<T>) -> T {
        for _ in 0..1500 {
            if let Some(found) = self.timeline().iter().find_map(&mut pick) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{what}: not in the timeline\n{:#?}", self.timeline());
    }

    /// Ends it as Ctrl-C does, and reads what it wrote.
    pub async fn finish(self) -> Recorded {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id as i32)).expect("it runs");
        kill_process(pid, Signal::INT).expect("a signal is sent");
        let output = within(20, "the recorder ends", self.child.wait_with_output()).await.expect("its output");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", output.status);
        let stdout = String::from_utf8(output.stdout).expect("text");
        let folder = PathBuf::from(stdout.lines().last().expect("the folder is its last line"));
        let manifest = Manifest::load(&folder).expect("a manifest");
        let mut reader = TimelineReader::open(&folder.join("timeline.jsonl")).expect("a timeline");
        let timeline = reader.by_ref().collect();
        assert_eq!(reader.skipped(), 0);
        Recorded { folder, manifest, timeline, _out: self.out }
    }
}

impl Recorded {
    /// A participant's tracks of one source, in the order of their beginnings.
    pub fn tracks(&self, participant: &str, source: Source) -> Vec<&TrackEntry> {
        self.manifest.tracks.iter().filter(|t| t.participant == participant && t.source == source).collect()
    }

    /// The only track of a participant's source.
    pub fn track(&self, participant: &str, source: Source) -> &TrackEntry {
        match self.tracks(participant, source)[..] {
            [track] => track,
            ref tracks => panic!("{} tracks of {participant}: {tracks:#?}", tracks.len()),
        }
    }

    pub fn path(&self, track: &TrackEntry) -> PathBuf {
        self.folder.join("tracks").join(&track.file)
    }
}

/// The wall clock, in milliseconds.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
