//! The last picture of a recording that goes on: the newest key frame of a track as a file of one frame, which a browser decodes. Decodes
//! nothing itself.

use crate::container::matroska::{Block, TrackFormat, TrackReader, TrackWriter};
use crate::error::{Error, Result};
use crate::recording::folder::Subfolder;
use crate::recording::manifest::TrackEntry;
use crate::recording::placement::Placement;
use crate::recording::report::Report;
use crate::recording::timeline::{Entry, Event};
use crate::room::media::{MediaKind, Source};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Track files that are followed; what was not asked for longest goes first.
const MOST_FOLLOWED: usize = 256;

/// A picture of a participant or of a shared screen.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Whose it is: a participant's display name.
    pub participant: String,
    pub source: Source,
    /// When it was captured.
    pub at: Timestamp,
    /// Another picture has another one.
    pub tag: String,
    /// `video/webm`, or `video/x-matroska`.
    pub content_type: &'static str,
    /// A file of one frame.
    pub body: Bytes,
}

/// Finds last pictures. Its clones share what they have read: of a file that grows only what is new is read again.
#[derive(Clone, Default)]
pub struct Pictures {
    followed: Arc<Mutex<VecDeque<(PathBuf, Followed)>>>,
}

/// How far a track file was read.
struct Followed {
    reader: TrackReader<File>,
    key_frame: Option<Block>,
}

impl Pictures {
    /// The last picture: of a shared screen, else of who spoke last, else of anybody. Waits for the disk. `None`: there is none yet, or
    /// the recording has ended.
    pub fn last(&self, recording: &Path) -> Option<Picture> {
        let (Report { manifest, .. }, events) = Report::load_quickly(recording).ok()?;
        let speaker = events.iter().rev().find_map(|entry| match entry {
            Entry { event: Event::Speaker { participant: Some(key) }, .. } => Some(key.as_str()),
            _ => None,
        });
        let is_live = |track: &&TrackEntry| !track.finished && track.kind == MediaKind::Video;
        let mut tracks: Vec<&TrackEntry> = manifest.tracks.iter().filter(is_live).collect();
        tracks.sort_by_key(|track| {
            let rank = match track.source {
                Source::Screen => 0,
                _ if Some(track.participant.as_str()) == speaker => 1,
                _ => 2,
            };
            (rank, std::cmp::Reverse(track.start_ms))
        });
        tracks.into_iter().find_map(|track| {
            let path = recording.join(Subfolder::Tracks.name()).join(&track.file);
            let (ms, content_type, body) = self.picture(&path)?;
            let name = manifest.participants.iter().find(|person| person.key == track.participant);
            let after = Placement::of(track).session_ns(Duration::from_millis(ms));
            Some(Picture {
                participant: name.map_or_else(|| track.participant.clone(), |person| person.name.clone()),
                source: track.source,
                at: manifest.started.checked_add(SignedDuration::from_nanos(after)).ok()?,
                tag: format!("{}-{ms}", track.file),
                content_type,
                body,
            })
        })
    }

    /// The newest key frame of a file: its time in it, and a file of it alone.
    fn picture(&self, path: &Path) -> Option<(u64, &'static str, Bytes)> {
        let known = self.followed.lock().ok().and_then(|mut followed| {
            let at = followed.iter().position(|(known, _)| known == path)?;
            followed.remove(at)
        });
        let mut followed = match known {
            Some((_, followed)) => followed,
            None => Followed { reader: TrackReader::open(path).ok()?, key_frame: None },
        };
        let picture = followed.newest().inspect_err(|e| tracing::debug!("{}: no picture: {e}", path.display())).ok()?;
        if let Ok(mut all) = self.followed.lock() {
            all.truncate(MOST_FOLLOWED - 1);
            all.push_front((path.to_owned(), followed));
        }
        picture
    }
}

impl Followed {
    fn newest(&mut self) -> Result<Option<(u64, &'static str, Bytes)>> {
        self.reader.refresh()?;
        while let Some(block) = self.reader.next_block()? {
            if block.key {
                self.key_frame = Some(block);
            }
        }
        let Some(block) = self.key_frame else { return Ok(None) };
        let format = self.reader.format().clone();
        let is_webm = TrackFormat::extension(format.codec) == "webm";
        let frame = self.reader.read(&block)?;
        let content_type = if is_webm { "video/webm" } else { "video/x-matroska" };
        Ok(Some((block.ms, content_type, alone(format, &frame)?)))
    }
}

/// A file with this frame alone.
fn alone(format: TrackFormat, frame: &[u8]) -> Result<Bytes> {
    let failed = |e: std::io::Error| Error::machine("cannot make a temporary file").because(e);
    let mut file = tempfile::tempfile().map_err(failed)?;
    let mut writer = TrackWriter::new(file.try_clone().map_err(failed)?, format)?;
    writer.push(0, true, std::iter::once(frame))?;
    writer.finish()?;
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(failed)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::media::Codec;

    fn format() -> TrackFormat {
        TrackFormat { codec: Codec::Vp8, config: None, size: Some((64, 48)), channels: 0, name: "a".into() }
    }

    #[test]
    fn the_newest_key_frame_of_a_growing_file_is_given_out_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alice.camera.1.webm");
        let mut writer = TrackWriter::new(File::create_new(&path).unwrap(), format()).unwrap();
        let mut push = |ms, key, data: &'static [u8]| {
            writer.push(ms, key, std::iter::once(data)).unwrap();
            writer.flush().unwrap();
        };
        let pictures = Pictures::default();
        assert!(pictures.picture(&path).is_none());
        push(0, true, b"first");
        push(40, false, b"second");
        assert_eq!(pictures.picture(&path).unwrap().0, 0);
        push(80, true, b"third");
        push(120, false, b"fourth");
        let (ms, content_type, body) = pictures.picture(&path).unwrap();
        assert_eq!((ms, content_type), (80, "video/webm"));
        let frames: Vec<_> =
            TrackReader::new(std::io::Cursor::new(body)).unwrap().frames().map(Result::unwrap).collect();
        assert_eq!((frames.len(), &frames[0].data[..]), (1, &b"third"[..]));
    }
}
