//! The timeline: the events of a recording, one JSON object a line, appended as they happen. A written line never changes.

use crate::error::{Result, io_failed};
pub use crate::recording::event::{Entry, Event, PATH_FOUND, TransferState};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The longest line that is read back.
const LONGEST_LINE: u64 = 256 << 10;

/// Appends to a timeline, each event by one write call, without syncing: a kill loses nothing, a power failure the last seconds.
#[derive(Debug)]
pub struct TimelineWriter {
    file: File,
    /// The last line has no end: a write failed, or an earlier process was killed while writing.
    truncated: bool,
}

impl TimelineWriter {
    /// A writer on a file that is open for reading and appending.
    pub(crate) fn new(mut file: File) -> Result<Self> {
        let mut last = [b'\n'];
        let mut look = |file: &mut File| -> std::io::Result<()> {
            if file.seek(SeekFrom::End(0))? > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            Ok(())
        };
        look(&mut file).map_err(|e| io_failed("read the timeline", e))?;
        Ok(Self { file, truncated: last != [b'\n'] })
    }

    /// A second writer beside that of the recorder: both append each event by one write.
    ///
    /// # Errors
    /// There is no timeline, or it cannot be written to.
    pub fn beside(path: &Path) -> Result<Self> {
        let opened = File::options().read(true).append(true).open(path);
        Self::new(opened.map_err(|e| io_failed(&format!("open {}", path.display()), e))?)
    }

    /// Appends one event.
    ///
    /// # Errors
    /// The disk's.
    pub fn append(&mut self, entry: &Entry) -> Result<()> {
        let mut line = if self.truncated { vec![b'\n'] } else { Vec::new() };
        serde_json::to_writer(&mut line, entry).map_err(|e| io_failed("write the timeline", e.into()))?;
        line.push(b'\n');
        self.truncated = true;
        self.file.write_all(&line).map_err(|e| io_failed("write the timeline", e))?;
        self.truncated = false;
        Ok(())
    }

    /// Waits until everything appended is on the disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| io_failed("sync the timeline", e))
    }
}

/// Reads a timeline line by line. Lines that are truncated, too long, or of an event that this version does not know
/// are skipped and counted.
pub struct TimelineReader<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    skipped: u64,
}

impl TimelineReader<File> {
    /// Opens a timeline file.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        File::open(path).map(Self::new).map_err(|e| io_failed(&format!("open {}", path.display()), e))
    }
}

impl<R: Read> TimelineReader<R> {
    /// A reader of timeline text.
    pub fn new(input: R) -> Self {
        Self { input: BufReader::new(input), line: Vec::new(), skipped: 0 }
    }

    /// How many lines were skipped so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl<R: Read> Iterator for TimelineReader<R> {
    type Item = Entry;

    /// The next event. A read error ends the timeline.
    fn next(&mut self) -> Option<Entry> {
        loop {
            self.line.clear();
            let read = (&mut self.input).take(LONGEST_LINE).read_until(b'\n', &mut self.line).ok()?;
            if read == 0 {
                return None;
            }
            if self.line.ends_with(b"\n") {
                if let Ok(entry) = serde_json::from_slice(&self.line) {
                    return Some(entry);
                }
            } else if read as u64 == LONGEST_LINE {
                self.input.skip_until(b'\n').ok()?;
            }
            self.skipped += u64::from(self.line != b"\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::media::{Codec, Source};
    use jiff::Timestamp;
    use proptest::prelude::*;
    use std::fs::OpenOptions;

    fn entry(t_ms: u64, event: Event) -> Entry {
        Entry { t_ms, at: Timestamp::from_millisecond(1_795_000_000_000 + t_ms as i64).unwrap(), event }
    }

    fn joined(t_ms: u64) -> Entry {
        entry(t_ms, Event::Joined { participant: "alice".into(), id: "p1".into(), name: "Alice".into() })
    }

    fn writer(path: &Path) -> TimelineWriter {
        TimelineWriter::new(OpenOptions::new().create(true).read(true).append(true).open(path).unwrap()).unwrap()
    }

    #[test]
    fn a_line_reads_as_documented() {
        let event = Event::TrackOn {
            participant: "alice".into(),
            file: "alice.camera.1.webm".into(),
            source: Source::Camera,
            codec: Codec::Vp8,
        };
        let line = serde_json::to_string(&entry(1234, event)).unwrap();
        let documented = r#"{"t_ms":1234,"at":"2026-11-18T11:06:41.234Z","event":"track-on","participant":"alice","file":"alice.camera.1.webm","source":"camera","codec":"vp8"}"#;
        assert_eq!(line, documented);
        let nobody = serde_json::to_string(&entry(0, Event::Speaker { participant: None })).unwrap();
        assert!(nobody.ends_with(r#""event":"speaker","participant":null}"#), "{nobody}");
        assert!(serde_json::to_string(&entry(0, Event::Resumed {})).unwrap().ends_with(r#""event":"resumed"}"#));
    }

    #[test]
    fn every_event_of_the_documentation_is_read() {
        let page = include_str!("../../docs/recording.md");
        let lines = page.lines().filter(|line| line.starts_with(r#"{"t_ms""#));
        let text = lines.clone().map(|line| format!("{line}\n")).collect::<String>();
        let mut reader = TimelineReader::new(text.as_bytes());
        assert_eq!(reader.by_ref().count(), lines.count());
        assert_eq!(reader.skipped(), 0);
    }

    #[test]
    fn a_torn_last_line_is_skipped_and_later_events_are_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("timeline.jsonl");
        let mut first = writer(&path);
        first.append(&joined(1)).unwrap();
        first.append(&joined(2)).unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 7).unwrap();

        let mut reader = TimelineReader::open(&path).unwrap();
        assert_eq!(reader.by_ref().collect::<Vec<_>>(), [joined(1)]);
        assert_eq!(reader.skipped(), 1);

        writer(&path).append(&joined(3)).unwrap();
        let mut reader = TimelineReader::open(&path).unwrap();
        assert_eq!(reader.by_ref().collect::<Vec<_>>(), [joined(1), joined(3)]);
        assert_eq!(reader.skipped(), 1);
    }

    #[test]
    fn two_may_write_beside_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("timeline.jsonl");
        assert!(TimelineWriter::beside(&path).is_err(), "there is none yet");
        let mut owner = writer(&path);
        let mut other = TimelineWriter::beside(&path).unwrap();
        let short = entry(2, Event::FilmShort { start_ms: 1, end_ms: 2, pictures: 3 });
        owner.append(&joined(1)).unwrap();
        other.append(&short).unwrap();
        owner.append(&joined(3)).unwrap();
        let read: Vec<Entry> = TimelineReader::open(&path).unwrap().collect();
        assert_eq!(read, [joined(1), short, joined(3)]);
    }

    #[test]
    fn unknown_events_and_endless_lines_are_skipped() {
        let good = serde_json::to_string(&joined(5)).unwrap();
        let text = format!(
            "{{\"t_ms\":1,\"at\":\"2026-11-22T14:05:00Z\",\"event\":\"moon\"}}\n{}\n\n{good}\n",
            "x".repeat(600_000)
        );
        let mut reader = TimelineReader::new(text.as_bytes());
        assert_eq!(reader.by_ref().collect::<Vec<_>>(), [joined(5)]);
        assert_eq!(reader.skipped(), 2);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(TimelineReader::new(&bytes[..]).count(), 0);
        }
    }
}
