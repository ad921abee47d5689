//! What is sent of a recording while it grows: packs of pieces of its files, numbered in the order of their making. Pure.
//!
//! A pack is one object: a line of JSON and the bytes of its pieces, one after the other. Tracks, timeline and shared files only grow, so a
//! piece is what was appended; a file that was replaced begins again as another version. So a pack is a request, however many tracks
//! there are, and what is lost with a machine is what came since the last pack.

use super::digest::hex;
use super::files::LocalFile;
use crate::recording::folder::{MANIFEST, TIMELINE};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// The folder of packs in a recording's place.
pub(super) const FOLDER: &str = "live";
/// The version of the format.
const FORMAT: u32 = 1;
/// The longest first line of a pack.
const LONGEST_LINE: usize = 4 << 20;
/// Pieces of a pack.
const MOST_PIECES: usize = 10_000;

/// The first line of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pack {
    format: u32,
    /// Who made it. Another one knows nothing of what was sent before, and begins with all files anew.
    pub writer: String,
    /// With this pack everything was sent that was there.
    pub caught_up: bool,
    /// Of all bytes that follow, in hex.
    sha256: String,
    pub pieces: Vec<Piece>,
}

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    /// The file's path in the recording.
    pub path: String,
    /// The number of the pack with which this version of the file began.
    pub version: u64,
    pub offset: u64,
    pub bytes: u64,
    /// How long the file was then.
    pub of: u64,
}

impl Pack {
    /// The pack as an object.
    pub(super) fn encode(
        writer: &str,
        caught_up: bool,
        pieces: Vec<Piece>,
        data: &[Bytes],
    ) -> serde_json::Result<Bytes> {
        let mut hash = Sha256::new();
        data.iter().for_each(|data| hash.update(data));
        let sha256 = hex(&hash.finalize());
        let pack = Pack { format: FORMAT, writer: writer.to_owned(), caught_up, sha256, pieces };
        let mut whole = serde_json::to_vec(&pack)?;
        whole.push(b'\n');
        whole.reserve_exact(data.iter().map(Bytes::len).sum());
        data.iter().for_each(|data| whole.extend_from_slice(data));
        Ok(whole.into())
    }

    /// The pack and the bytes of its pieces. None: it is none, is damaged, or of a newer version.
    pub(super) fn decode(object: &Bytes) -> Option<(Pack, Bytes)> {
        let end = object.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n')?;
        let pack: Pack = serde_json::from_slice(&object[..end]).ok()?;
        let data = object.slice(end + 1..);
        let length = pack.pieces.iter().try_fold(0u64, |sum, piece| sum.checked_add(piece.bytes))?;
        let is_whole = pack.format == FORMAT
            && pack.pieces.len() <= MOST_PIECES
            && length == data.len() as u64
            && hex(&Sha256::digest(&data)) == pack.sha256
            && pack.pieces.iter().all(|piece| is_plain(&piece.path) && piece.offset.checked_add(piece.bytes).is_some());
        is_whole.then_some((pack, data))
    }
}

/// Whether a path names a file below the folder in which it is made, and no hidden one.
pub(super) fn is_plain(path: &str) -> bool {
    let parts = || Path::new(path).components();
    let plain =
        |part: Component<'_>| matches!(part, Component::Normal(name) if !name.as_encoded_bytes().starts_with(b"."));
    !path.is_empty() && !path.contains('\0') && parts().all(plain) && parts().count() == path.split('/').count()
}

/// The key of a pack within a recording's place.
pub(super) fn key(number: u64) -> String {
    format!("{FOLDER}/{number:010}")
}

/// The number of the pack at this path in a recording's place.
pub(super) fn number(path: &str) -> Option<u64> {
    path.strip_prefix(FOLDER)?.strip_prefix('/')?.parse().ok()
}

/// How far the packs of a recording are. When this is forgotten all is sent anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub writer: String,
    /// The number of the next pack.
    pub next: u64,
    files: BTreeMap<String, Version>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    version: u64,
    inode: u64,
    sent: u64,
    modified_ns: i64,
}

/// What the next pack has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub pieces: Vec<(Piece, LocalFile)>,
    /// Nothing is left for another pack.
    pub caught_up: bool,
}

impl Progress {
    /// Of a writer that has sent nothing yet.
    pub(super) fn new(writer: String, next: u64) -> Progress {
        Progress { writer, next, files: BTreeMap::new() }
    }

    /// What of these files is to be sent next, about `limit` bytes: what a film is made of, the tracks before what people shared.
    pub(super) fn plan(&self, files: &[LocalFile], limit: u64) -> Plan {
        let mut wanted: Vec<_> = files.iter().filter_map(|file| Some((rank(&file.path)?, file))).collect();
        wanted.sort_by_key(|(rank, _)| *rank);
        let mut plan = Plan { pieces: Vec::new(), caught_up: true };
        let mut left = limit;
        for (_, file) in wanted {
            let known = self.files.get(&file.path);
            let same = known.filter(|known| known.inode == file.inode && known.sent <= file.bytes);
            // The manifest is replaced as a whole; what it was in the place of may have its inode again.
            let is_kept = |known: &&Version| known.modified_ns == file.modified_ns && known.sent == file.bytes;
            let same = same.filter(|known| file.path != MANIFEST || is_kept(known));
            let (version, offset) = same.map_or((self.next, 0), |known| (known.version, known.sent));
            let waiting = file.bytes - offset;
            if waiting == 0 && known.is_some() {
                continue;
            }
            // One that is replaced meanwhile could never be sent in two pieces.
            let bytes = if file.path == MANIFEST { waiting } else { waiting.min(left) };
            plan.caught_up &= bytes == waiting;
            if plan.pieces.len() >= MOST_PIECES || bytes == 0 && waiting > 0 {
                plan.caught_up = false;
                continue;
            }
            left = left.saturating_sub(bytes);
            let piece = Piece { path: file.path.clone(), version, offset, bytes, of: file.bytes };
            plan.pieces.push((piece, file.clone()));
        }
        plan
    }

    /// Notes that a pack with these pieces is in the store.
    pub(super) fn sent(&mut self, pieces: &[(Piece, LocalFile)]) {
        for (piece, file) in pieces {
            let version = Version {
                version: piece.version,
                inode: file.inode,
                sent: piece.offset + piece.bytes,
                modified_ns: file.modified_ns,
            };
            self.files.insert(piece.path.clone(), version);
        }
        self.next += 1;
    }
}

/// The place of a file in the order of sending. None: it is not sent before the end.
fn rank(path: &str) -> Option<u8> {
    match path {
        MANIFEST => Some(0),
        TIMELINE => Some(1),
        path if path.starts_with("tracks/") => Some(2),
        path if path.starts_with("files/") => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, bytes: u64, inode: u64) -> LocalFile {
        LocalFile { path: path.into(), bytes, modified_ns: bytes as i64, inode }
    }

    fn pieces(plan: &Plan) -> Vec<(&str, u64, u64, u64)> {
        plan.pieces.iter().map(|(piece, _)| (piece.path.as_str(), piece.version, piece.offset, piece.bytes)).collect()
    }

    #[test]
    fn what_was_appended_is_sent_and_what_was_replaced_begins_again() {
        let mut progress = Progress::new("w".into(), 1);
        let track = "tracks/a.webm";
        let plan = progress.plan(&[file("film.mp4", 9, 1), file(track, 100, 2), file(MANIFEST, 10, 3)], 60);
        assert_eq!(pieces(&plan), [(MANIFEST, 1, 0, 10), (track, 1, 0, 50)]);
        assert!(!plan.caught_up);
        progress.sent(&plan.pieces);
        let plan = progress.plan(&[file(track, 120, 2), file(MANIFEST, 10, 3)], 1000);
        assert_eq!((pieces(&plan), plan.caught_up), (vec![(track, 1, 50, 70)], true));
        progress.sent(&plan.pieces);
        assert_eq!(progress.plan(&[file(track, 120, 2), file(MANIFEST, 10, 3)], 1000).pieces, []);
        // Finished by a recovery, cut off, and a manifest that is written over.
        let replaced = progress.plan(&[file(track, 130, 7), file(MANIFEST, 11, 3)], 1000);
        assert_eq!(pieces(&replaced), [(MANIFEST, 3, 0, 11), (track, 3, 0, 130)]);
        assert_eq!(pieces(&progress.plan(&[file(track, 90, 2)], 1000)), [(track, 3, 0, 90)]);
    }

    #[test]
    fn an_empty_file_is_sent_once() {
        let mut progress = Progress::new("w".into(), 1);
        let plan = progress.plan(&[file(TIMELINE, 0, 1)], 10);
        assert_eq!((pieces(&plan), plan.caught_up), (vec![(TIMELINE, 1, 0, 0)], true));
        progress.sent(&plan.pieces);
        assert!(progress.plan(&[file(TIMELINE, 0, 1)], 10).pieces.is_empty());
    }

    #[test]
    fn a_pack_comes_back_as_it_was_and_a_damaged_one_is_none() {
        let piece = |path: &str, bytes| Piece { path: path.into(), version: 1, offset: 0, bytes, of: bytes };
        let data = [Bytes::from_static(b"abc\n"), Bytes::from_static(b"d")];
        let all = vec![piece("tracks/\u{fc}.webm", 4), piece(TIMELINE, 1)];
        let object = Pack::encode("w", true, all.clone(), &data).unwrap();
        let (pack, bytes) = Pack::decode(&object).unwrap();
        assert_eq!((pack.pieces, pack.caught_up, &bytes[..]), (all, true, &b"abc\nd"[..]));
        let mut damaged = object.to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(Pack::decode(&damaged.into()), None);
        assert_eq!(Pack::decode(&object.slice(..object.len() - 1)), None);
        assert_eq!(Pack::decode(&Bytes::from_static(b"\n")), None);
        for path in
            ["../x", "/etc/passwd", "tracks/../../x", "tracks//x", ".hidden", "tracks/.x", "", "a\0b", "./a", "a/"]
        {
            let object = Pack::encode("w", true, vec![piece(path, 1)], &data[1..]).unwrap();
            assert_eq!(Pack::decode(&object), None, "{path:?}");
        }
    }

    #[test]
    fn packs_are_in_order_of_their_names() {
        assert_eq!((key(12).as_str(), number(&key(12))), ("live/0000000012", Some(12)));
        assert_eq!((number("live/"), number("tracks/1"), number("lives/1")), (None, None, None));
    }
}
