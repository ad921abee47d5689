//! What recorders put on the disks of several workers, kept by hard links whatever becomes of it there, and when each recorder was in its
//! room. A thread of its own looks: what the test waits for delays no look.

use super::blocking_pause;
use jiff::Timestamp;
use roombot::container::matroska::TrackReader;
use roombot::recording::timeline::{Entry, Event, TimelineReader};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// A file of a track without a whole frame has at most this: its head.
const HEAD: u64 = 4096;

/// It looks until it is dropped.
pub struct Witness {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// Names and data folders.
    workers: Vec<(String, PathBuf)>,
    links: TempDir,
    linked: AtomicUsize,
    over: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// By inode: none is used again while its link is there.
    files: HashMap<u64, Kept>,
    /// By number and start.
    recorders: HashMap<(i32, u64), Recorder>,
    looks: u64,
}

/// A file that is or was on a worker's disk.
#[derive(Debug, Clone)]
struct Kept {
    worker: String,
    recording: String,
    /// In its recording.
    path: String,
    link: PathBuf,
}

/// A recorder's process.
#[derive(Debug, Clone)]
pub struct Recorder {
    pub pid: i32,
    start_ticks: u64,
    pub worker: String,
    pub recording: String,
    folder: PathBuf,
    /// Unix time in ms: when its part began, and when it was last seen to run.
    began: Option<i64>,
    alive: i64,
}

/// The time for which one recorder was in the room, in ms of Unix time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub worker: String,
    pub began: i64,
    /// As its timeline says; a killed one's says nothing.
    pub ended: Option<i64>,
    /// When something was last known of it.
    pub last: i64,
}

impl Part {
    fn end(&self) -> i64 {
        self.ended.unwrap_or(self.last)
    }
}

impl Witness {
    /// Looks at these workers: their names and data folders.
    pub fn start(workers: Vec<(String, PathBuf)>) -> Witness {
        let shared = Arc::new(Shared {
            workers,
            links: tempfile::tempdir().expect("a folder"),
            linked: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            seen: Mutex::default(),
        });
        let look = shared.clone();
        let thread = std::thread::spawn(move || {
            while !look.over.load(Ordering::SeqCst) {
                look.look();
                blocking_pause(LOOK, "between two looks");
            }
        });
        Witness { shared, thread: Some(thread) }
    }

    /// Recorders that run now.
    pub fn recorders(&self) -> Vec<Recorder> {
        processes(&self.shared.workers)
    }

    /// Workers whose recorder of this recording runs and has begun to record.
    pub fn in_the_room(&self, recording: &str) -> Vec<String> {
        let running: HashSet<_> = self.recorders().iter().map(|one| (one.pid, one.start_ticks)).collect();
        let seen = self.shared.seen.lock().expect("no panic");
        let begun = seen.recorders.iter().filter(|(id, one)| {
            one.recording == recording && one.began.is_some() && running.contains(*id) && one.is_open()
        });
        begun.map(|(_, one)| one.worker.clone()).collect()
    }

    /// What is known of a recording's recorders, for people.
    pub fn told(&self, recording: &str) -> String {
        let running: HashSet<_> = self.recorders().iter().map(|one| (one.pid, one.start_ticks)).collect();
        let seen = self.shared.seen.lock().expect("no panic");
        let of = seen.recorders.iter().filter(|(_, one)| one.recording == recording);
        let told = of.map(|(id, one)| {
            let parts = parts_of(&one.worker, &timeline(&one.folder.join("timeline.jsonl")));
            let (started, runs) = (start_of(one.start_ticks), running.contains(id));
            let (pid, worker, began) = (one.pid, &one.worker, one.began);
            format!("process {pid} of {worker}, started at {started}, runs: {runs}, began {began:?}, {parts:#?}")
        });
        told.collect::<Vec<_>>().join("\n")
    }

    /// The parts of a recording on all workers, in order.
    pub fn parts(&self, recording: &str) -> Vec<Part> {
        let seen = self.shared.seen.lock().expect("no panic");
        let mut parts: BTreeMap<i64, Part> = BTreeMap::new();
        for kept in seen.files.values().filter(|kept| kept.recording == recording && kept.path == "timeline.jsonl") {
            for part in parts_of(&kept.worker, &timeline(&kept.link)) {
                // Who goes on with a recording has what others had written of it, perhaps not all.
                let known = parts.entry(part.began).or_insert_with(|| part.clone());
                (known.ended, known.last) = (known.ended.or(part.ended), known.last.max(part.last));
            }
        }
        for recorder in seen.recorders.values().filter(|one| one.recording == recording) {
            if let Some(part) = recorder.began.and_then(|began| parts.get_mut(&began)) {
                part.last = part.last.max(recorder.alive);
                part.worker.clone_from(&recorder.worker);
            }
        }
        parts.into_values().collect()
    }

    /// Milliseconds between each part of a recording and the next, on the wall clock that all processes here share.
    ///
    /// # Panics
    /// Two of them were in the room at once.
    pub fn gaps(&self, what: &str, recording: &str) -> Vec<(i64, bool)> {
        let parts = self.parts(recording);
        let between = |pair: &[Part]| {
            let gap = pair[1].began - pair[0].end();
            assert!(gap >= 0, "{what}: {recording} had two recorders for {} ms: {parts:#?}", -gap);
            (gap, pair[0].worker != pair[1].worker)
        };
        parts.windows(2).map(between).collect()
    }

    /// What was on a worker's disk and is not among these objects of the recording's place in the store: `late/…/PATH` counts as `PATH`.
    pub fn missing(&self, recording: &str, stored: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
        let kept: Vec<Kept> = {
            let seen = self.shared.seen.lock().expect("no panic");
            seen.files.values().filter(|kept| kept.recording == recording).cloned().collect()
        };
        let is_missing = |kept: &Kept| {
            let copies = stored.iter().filter(|(path, _)| plain(path) == kept.path).map(|(_, bytes)| bytes);
            !kept.is_in(&copies.collect::<Vec<_>>())
        };
        let told = |kept: Kept| format!("{} of {} ({})", kept.path, kept.worker, kept.link.display());
        kept.into_iter().filter(is_missing).map(told).collect()
    }

    /// Whether something was recorded.
    pub fn has_tracks(&self, recording: &str) -> bool {
        let seen = self.shared.seen.lock().expect("no panic");
        seen.files.values().any(|kept| kept.recording == recording && kept.path.starts_with("tracks/"))
    }

    /// Files that were linked, and looks.
    pub fn figures(&self) -> (usize, u64) {
        (self.shared.linked.load(Ordering::SeqCst), self.shared.seen.lock().expect("no panic").looks)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// `late/WORKER-1/PATH` is `PATH`.
fn plain(path: &str) -> &str {
    path.strip_prefix("late/").and_then(|rest| rest.split_once('/')).map_or(path, |(_, path)| path)
}

impl Shared {
    fn look(&self) {
        let now = Timestamp::now().as_millisecond();
        let running = processes(&self.workers);
        let mut seen = self.seen.lock().expect("no panic");
        seen.looks += 1;
        let in_folder = |folder: &Path| running.iter().filter(|one| one.folder == folder).count();
        let alone: HashSet<PathBuf> =
            running.iter().map(|one| &one.folder).filter(|folder| in_folder(folder) == 1).cloned().collect();
        for mut recorder in running {
            recorder.alive = now;
            let known = seen.recorders.entry((recorder.pid, recorder.start_ticks)).or_insert(recorder);
            known.alive = now;
            // Before it writes, the newest part is that of the one before it, which may have begun less than 100 ms ago.
            if known.began.is_none() || alone.contains(&known.folder) {
                let started = start_of(known.start_ticks);
                let began = parts_of(&known.worker, &timeline(&known.folder.join("timeline.jsonl"))).pop();
                known.began = began.map(|part| part.began).filter(|began| *began >= started).or(known.began);
            }
        }
        for (worker, data) in &self.workers {
            for (recording, folder) in recordings(&data.join("recordings")) {
                for (path, inode) in files(&folder, "") {
                    if is_media(&path) && !seen.files.contains_key(&inode) {
                        self.link(
                            &mut seen,
                            &folder,
                            Kept { worker: worker.clone(), recording: recording.clone(), path, link: PathBuf::new() },
                        );
                    }
                }
            }
        }
    }

    fn link(&self, seen: &mut Seen, folder: &Path, mut kept: Kept) {
        kept.link = self.links.path().join(self.linked.fetch_add(1, Ordering::SeqCst).to_string());
        // It may have been replaced or removed since it was listed.
        if std::fs::hard_link(folder.join(&kept.path), &kept.link).is_ok() {
            let inode = kept.link.metadata().expect("our link").ino();
            seen.files.insert(inode, kept);
        }
    }
}

/// Recordings in a folder, those put aside too; not what is being fetched.
fn recordings(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let recording = name.split('.').next().filter(|name| name.starts_with("rec_"))?.to_owned();
        Some((recording, entry.path()))
    };
    entries.filter_map(named).collect()
}

/// Files below a folder in which others come and go: their paths and inodes.
fn files(folder: &Path, prefix: &str) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, metadata) = (format!("{prefix}{}", entry.file_name().to_string_lossy()), entry.metadata());
        match metadata {
            Ok(metadata) if metadata.is_dir() => found.extend(files(&entry.path(), &format!("{path}/"))),
            Ok(metadata) => found.push((path, metadata.ino())),
            Err(_) => {}
        }
    }
    found
}

fn timeline(file: &Path) -> Vec<Entry> {
    TimelineReader::open(file).map(Iterator::collect).unwrap_or_default()
}

/// What is recorded, and no file that is being written beside it.
fn is_media(path: &str) -> bool {
    let is_whole = !path.ends_with(".part") && !path.starts_with('.') && !path.contains("/.");
    is_whole
        && (path == "timeline.jsonl" || path == "chat.vtt" || path.starts_with("tracks/") || path.starts_with("files/"))
}

/// The parts that a timeline tells of.
fn parts_of(worker: &str, timeline: &[Entry]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for entry in timeline {
        let at = entry.at.as_millisecond();
        match (&entry.event, parts.last_mut()) {
            (Event::RecordingStarted { .. } | Event::RecorderBack { .. }, _) => {
                parts.push(Part { worker: worker.to_owned(), began: at, ended: None, last: at });
            }
            // Written by whoever finishes it.
            (Event::RecordingEnded { reason }, _) if reason.starts_with("cut short") => {}
            (Event::RecordingEnded { .. }, Some(part)) => part.ended = Some(at),
            // Written by the next one.
            (Event::RecorderAway { .. } | Event::Recovered { .. }, _) => {}
            (_, Some(part)) => part.last = part.last.max(at),
            _ => {}
        }
    }
    parts
}

impl Recorder {
    /// Whether its timeline does not say that it has left.
    fn is_open(&self) -> bool {
        let parts = parts_of(&self.worker, &timeline(&self.folder.join("timeline.jsonl")));
        parts.iter().any(|part| Some(part.began) == self.began && part.ended.is_none())
    }
}

impl Kept {
    /// Whether everything of it is in one of these.
    fn is_in(&self, copies: &[&Vec<u8>]) -> bool {
        let mine = std::fs::read(&self.link).expect("our link");
        if copies.contains(&&mine) {
            return true;
        }
        if self.path == "timeline.jsonl" {
            // A torn last line was never told.
            let lines = |bytes: &[u8]| {
                let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
                bytes[..whole].split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<HashSet<_>>()
            };
            let theirs: HashSet<Vec<u8>> = copies.iter().flat_map(|copy| lines(copy)).collect();
            return lines(&mine).is_subset(&theirs);
        }
        if !self.path.starts_with("tracks/") {
            return copies.iter().any(|copy| copy.starts_with(&mine));
        }
        // One that was cut short was finished in another file: frame by frame.
        let Some(frames) = frames(&mine) else { return mine.len() as u64 <= HEAD };
        frames.is_empty() || copies.iter().filter_map(|copy| self::frames(copy)).any(|copy| frames.is_subset(&copy))
    }
}

/// The frames of a track's file: their times and bytes. None: it has no head.
fn frames(file: &[u8]) -> Option<HashSet<(u64, Vec<u8>)>> {
    let reader = TrackReader::new(std::io::Cursor::new(file)).ok()?;
    Some(reader.frames().map_while(Result::ok).map(|frame| (frame.ms, frame.data.to_vec())).collect())
}

/// Recorders that run and are no zombies: by their command lines.
fn processes(workers: &[(String, PathBuf)]) -> Vec<Recorder> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let recorder = |pid: i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line);
        let words: Vec<&str> = line.split('\0').collect();
        let at = words.iter().position(|word| *word == "--folder")?;
        let folder = PathBuf::from(words.get(at + 1)?);
        let (worker, _) = workers.iter().find(|(_, data)| folder.starts_with(data))?;
        (words.get(1) == Some(&"record")).then_some(())?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        (!["Z", "X"].contains(fields.first()?)).then_some(())?;
        let recording = folder.file_name()?.to_str()?.to_owned();
        let start_ticks = fields.get(19)?.parse().ok()?;
        Some(Recorder { pid, start_ticks, worker: worker.clone(), recording, folder, began: None, alive: 0 })
    };
    pids.filter_map(recorder).collect()
}

/// When a process started that started at this tick, in ms of Unix time; at most 100 ms early.
fn start_of(ticks: u64) -> i64 {
    let up = std::fs::read_to_string("/proc/uptime").expect("/proc");
    let up: f64 = up.split(' ').next().and_then(|seconds| seconds.parse().ok()).expect("seconds");
    let ago = up * 1000.0 - ticks as f64 * 10.0;
    Timestamp::now().as_millisecond() - ago as i64 - 100
}
