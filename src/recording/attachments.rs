//! Received files in timeline and manifest: entries from transfer reports, from timeline events, and from the files on the disk.
//! Values only; it opens no file.

use crate::recording::folder::Subfolder;
use crate::recording::manifest::{FileEntry, FileState, Manifest};
use crate::recording::timeline::{Event, TransferState};
use crate::transfer::names::PART;
use crate::transfer::{FileReport, FileStatus};

/// The timeline event of a transfer report.
pub(crate) fn event_of(report: FileReport) -> Event {
    let FileReport { owner, name, size, mime, shared: _, status } = report;
    let path = |path: String| format!("{}/{path}", Subfolder::Files.name());
    let (status, file, bytes, sha256, reason) = match status {
        FileStatus::Started { path: at, offset } => (TransferState::Started, Some(path(at)), offset, None, None),
        FileStatus::Received { path: at, sha256, offered_on: _ } => {
            (TransferState::Received, Some(path(at)), size, Some(sha256.to_string()), None)
        }
        FileStatus::Refused { path: at, written, refusal } => {
            let reason = format!("{}: {}", refusal.reason.word(), refusal.text);
            (TransferState::Refused, at.map(path), written, None, Some(reason))
        }
        FileStatus::Incomplete { path: at, written, cause } => {
            (TransferState::Incomplete, Some(path(at)), written, None, Some(cause))
        }
    };
    Event::File { participant: owner, name, status, file, size, bytes, mime, sha256, reason }
}

/// Updates the manifest by a timeline event of a file. The same event again changes nothing.
pub(crate) fn apply(manifest: &mut Manifest, t_ms: u64, event: &Event) {
    let Event::File { participant, name, status, file: Some(file), size, bytes, mime, sha256, reason } = event else {
        return;
    };
    let whole = *status == TransferState::Received;
    let is_kept = |e: &FileEntry| e.state == FileState::Received && file.strip_suffix(PART) == Some(&e.file);
    if manifest.files.iter().any(is_kept) {
        // An old event of a file that is complete by now.
        return;
    }
    // The entry of the partly received file becomes that of the complete one.
    let is_part = |e: &FileEntry| {
        e.state == FileState::Incomplete && e.participant == *participant && e.name == *name && e.size == *size
    };
    let known = manifest.files.iter().position(|e| e.file == *file);
    let at = known.or_else(|| {
        let part = format!("{file}{PART}");
        let named = manifest.files.iter().position(|e| e.file == part);
        named.or_else(|| manifest.files.iter().rposition(is_part)).filter(|_| whole)
    });
    let at = at.unwrap_or_else(|| {
        manifest.files.push(FileEntry {
            file: file.clone(),
            participant: participant.clone(),
            name: name.clone(),
            mime: mime.clone(),
            size: *size,
            bytes: 0,
            sha256: None,
            state: FileState::Incomplete,
            reason: None,
            started_ms: t_ms,
            at_ms: t_ms,
        });
        manifest.files.len() - 1
    });
    let Some(entry) = manifest.files.get_mut(at) else { return };
    if entry.state == FileState::Received {
        return;
    }
    entry.file = file.clone();
    (entry.bytes, entry.sha256, entry.reason, entry.at_ms) = (*bytes, sha256.clone(), reason.clone(), t_ms);
    if whole {
        entry.state = FileState::Received;
    }
}

/// Corrects the manifest by the files on the disk (path in the recording, and length) after a crash.
pub(crate) fn apply_files(manifest: &mut Manifest, on_disk: &[(String, u64)]) {
    for (file, bytes) in on_disk {
        let whole = !file.ends_with(PART);
        let part = format!("{file}{PART}");
        let at = manifest.files.iter().position(|e| e.file == *file || (whole && e.file == part));
        match at.and_then(|at| manifest.files.get_mut(at)) {
            Some(entry) => {
                // Renamed, and killed before that was reported: only verified files are renamed.
                if whole && entry.state == FileState::Incomplete {
                    (entry.state, entry.reason) = (FileState::Received, None);
                }
                (entry.file, entry.bytes) = (file.clone(), *bytes);
            }
            None => manifest.warn(format!("{file}: is not in the timeline")),
        }
    }
    let is_there = |file: &str| on_disk.iter().any(|(path, _)| path == file);
    let missing: Vec<String> = manifest.files.iter().map(|e| e.file.clone()).filter(|f| !is_there(f)).collect();
    missing.into_iter().for_each(|file| manifest.warn(format!("{file}: is not there")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::Refusal;
    use crate::transfer::message::{Digest, Reason};
    use jiff::Timestamp;

    fn report(status: FileStatus) -> FileReport {
        FileReport { owner: "alice".into(), name: "A.pdf".into(), size: 10, mime: None, shared: None, status }
    }
    fn started(offset: u64) -> FileStatus {
        FileStatus::Started { path: "alice/A.pdf.part".into(), offset }
    }
    fn incomplete() -> FileStatus {
        FileStatus::Incomplete { path: "alice/A.pdf.part".into(), written: 4, cause: "the connection ended".into() }
    }
    fn received(path: &str) -> FileStatus {
        FileStatus::Received { path: path.into(), sha256: Digest([7; 32]), offered_on: false }
    }
    fn account(statuses: Vec<FileStatus>) -> Manifest {
        let mut manifest = Manifest::new("r", "u", Timestamp::UNIX_EPOCH);
        for (n, status) in statuses.into_iter().enumerate() {
            apply(&mut manifest, n as u64, &event_of(report(status)));
        }
        manifest
    }

    #[test]
    fn a_file_has_one_entry_through_all_its_breaks() {
        let manifest = account(vec![started(0), incomplete(), started(4), received("alice/A (2).pdf")]);
        let [entry] = &manifest.files[..] else { panic!("{:?}", manifest.files) };
        assert_eq!((entry.file.as_str(), entry.state), ("files/alice/A (2).pdf", FileState::Received));
        assert_eq!((entry.started_ms, entry.at_ms, entry.bytes, &entry.reason), (0, 3, 10, &None));
    }

    #[test]
    fn what_was_refused_before_it_began_is_no_entry() {
        let refusal = Refusal::new(Reason::TooLarge, "no");
        let refused = |path| FileStatus::Refused { path, written: 0, refusal: refusal.clone() };
        assert!(account(vec![refused(None)]).files.is_empty());
        let manifest = account(vec![started(0), refused(Some("alice/A.pdf.part".into()))]);
        assert_eq!(manifest.files[0].reason.as_deref(), Some("too-large: no"));
        assert_eq!(manifest.files[0].state, FileState::Incomplete);
    }

    #[test]
    fn the_same_timeline_twice_changes_nothing() {
        let events = || [started(0), incomplete(), started(4), received("alice/A.pdf")].map(|s| event_of(report(s)));
        let mut manifest = Manifest::new("r", "u", Timestamp::UNIX_EPOCH);
        events().iter().for_each(|event| apply(&mut manifest, 5, event));
        let once = manifest.clone();
        events().iter().for_each(|event| apply(&mut manifest, 5, event));
        assert_eq!(manifest, once);
    }

    #[test]
    fn the_disk_is_believed_after_a_crash() {
        let mut manifest = account(vec![started(0)]);
        apply_files(&mut manifest, &[("files/alice/A.pdf.part".into(), 6)]);
        assert_eq!((manifest.files[0].bytes, manifest.files[0].state), (6, FileState::Incomplete));
        apply_files(&mut manifest, &[("files/alice/A.pdf".into(), 10), ("files/bob/x".into(), 1)]);
        assert_eq!(
            (manifest.files[0].file.as_str(), manifest.files[0].state),
            ("files/alice/A.pdf", FileState::Received)
        );
        assert_eq!(manifest.warnings, ["files/bob/x: is not in the timeline"]);
        apply_files(&mut manifest, &[]);
        assert!(manifest.warnings.contains(&"files/alice/A.pdf: is not there".to_owned()));
    }
}
