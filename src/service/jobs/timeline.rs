//! A recorder's timeline as events of the service: read from where it was read to before, so each line becomes an event once.

use crate::recording::timeline::{Entry, Event, TransferState};
use crate::service::model::{EventDraft, EventType};
use serde_json::json;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes that are read at a time.
const CHUNK: u64 = 1 << 20;

/// What a piece of a timeline says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tail {
    /// The position after the last whole line.
    pub offset: u64,
    pub entries: Vec<Entry>,
}

/// The whole lines behind `offset`, at most a megabyte of them. No file is an empty timeline.
pub(super) fn read_from(path: &Path, offset: u64) -> io::Result<Tail> {
    let mut file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Tail { offset, ..Tail::default() }),
        opened => opened?,
    };
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(CHUNK).read_to_end(&mut bytes)?;
    let whole = match bytes.iter().rposition(|b| *b == b'\n') {
        Some(last) => last + 1,
        // A line that is longer than a chunk is none of ours.
        None if bytes.len() as u64 == CHUNK => bytes.len(),
        None => 0,
    };
    let lines = bytes[..whole].split(|b| *b == b'\n');
    let entries = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    Ok(Tail { offset: offset + whole as u64, entries })
}

/// The event of the service that an entry is.
pub(super) fn as_event(entry: &Entry) -> Option<EventDraft> {
    let t_ms = entry.t_ms;
    Some(match &entry.event {
        Event::Joined { participant, id, name } => EventDraft::new(
            EventType::ParticipantJoined,
            json!({ "participant": participant, "id": id, "name": name, "t_ms": t_ms }),
        ),
        Event::Left { participant, reason } => EventDraft::new(
            EventType::ParticipantLeft,
            json!({ "participant": participant, "reason": reason, "t_ms": t_ms }),
        ),
        Event::Chat { participant, text } => {
            EventDraft::new(EventType::ChatMessage, json!({ "participant": participant, "text": text, "t_ms": t_ms }))
        }
        Event::File { participant, name, status: TransferState::Received, file, size, mime, sha256, .. } => {
            EventDraft::new(
                EventType::FileReceived,
                json!({
                    "participant": participant, "name": name, "path": file, "bytes": size, "mime": mime,
                    "sha256": sha256, "t_ms": t_ms,
                }),
            )
        }
        Event::Warning { message } => EventDraft::new(EventType::Warning, json!({ "message": message, "t_ms": t_ms })),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn each_line_is_read_once_and_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timeline.jsonl");
        assert_eq!(read_from(&path, 0).unwrap(), Tail::default());
        let line = |text: &str| {
            format!(
                "{{\"t_ms\":5,\"at\":\"2026-11-22T14:05:00.250Z\",\"event\":\"chat\",\"participant\":\"alice\",\"text\":\"{text}\"}}\n"
            )
        };
        let mut file = File::create(&path).unwrap();
        file.write_all((line("one") + "not JSON\n" + &line("two")[..30]).as_bytes()).unwrap();
        let first = read_from(&path, 0).unwrap();
        assert_eq!(first.entries.len(), 1);
        file.write_all(&line("two").as_bytes()[30..]).unwrap();
        let second = read_from(&path, first.offset).unwrap();
        let event = as_event(&second.entries[0]).unwrap();
        assert_eq!((event.kind, &event.data["text"]), (EventType::ChatMessage, &"two".into()));
        assert_eq!(read_from(&path, second.offset).unwrap().entries, []);
    }
}
