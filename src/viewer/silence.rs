//! Sound tracks without gaps, for browsers. Chromium plays Opus packets one after the other, whatever their times are: after a pause of five
//! seconds in a file everything is five seconds early. Packets of silence in the gaps keep it in time. Nothing is decoded.

use crate::container::matroska::{TrackReader, TrackWriter, packet_quarter_ms};
use crate::error::{Error, Result};
use crate::room::media::Codec;
use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::NamedTempFile;
use tokio::sync::OnceCell;

/// Opus packets without sound (RFC 6716: CELT, full band, mono, one frame), with their duration in quarters of a millisecond.
const SILENCE: [(u64, [u8; 3]); 2] = [(80, [0xF8, 0xFF, 0xFE]), (40, [0xF0, 0xFF, 0xFE])];
/// The longest track that is filled, in milliseconds: a time in a damaged file must not fill the disk.
const LONGEST_MS: u64 = 48 * 3600 * 1000;
/// How many filled tracks are kept; the oldest goes first.
const KEPT: usize = 64;

/// A track file without gaps; none where the file has no gaps, or is no Opus track.
type Filled = Option<Arc<File>>;
/// A track file, and how much of it.
type Key = (PathBuf, u64);

/// Filled copies of tracks, in files without a name.
#[derive(Default)]
pub struct Filler {
    kept: Mutex<VecDeque<(Key, Arc<OnceCell<Filled>>)>>,
}

impl Filler {
    /// The first `length` bytes of a track without gaps; `None`: it has none, or it cannot be filled.
    pub async fn fill(&self, path: &Path, length: u64) -> Filled {
        let cell = self.cell((path.to_owned(), length))?;
        let path = path.to_owned();
        let make = async move {
            let made =
                tokio::task::spawn_blocking(move || filled(&path, length).map_err(|e| e.within(path.display()))).await;
            match made {
                Ok(Ok(file)) => file.map(Arc::new),
                Ok(Err(error)) => {
                    tracing::warn!("gaps stay in a track that is played: {error}");
                    None
                }
                Err(_) => None,
            }
        };
        cell.get_or_init(|| make).await.clone()
    }

    /// The same for a track that is elsewhere: `fetch` brings it here, where it was not filled before. `key` names it.
    pub async fn fill_fetched(&self, key: &Path, fetch: impl Future<Output = Option<NamedTempFile>>) -> Filled {
        let cell = self.cell((key.to_owned(), u64::MAX))?;
        let make = async {
            let fetched = fetch.await?;
            let made = tokio::task::spawn_blocking(move || filled(fetched.path(), u64::MAX)).await;
            made.ok()?.inspect_err(|e| tracing::warn!("gaps stay in a track that is played: {e}")).ok()?.map(Arc::new)
        };
        cell.get_or_init(|| make).await.clone()
    }

    fn cell(&self, key: Key) -> Option<Arc<OnceCell<Filled>>> {
        let mut kept = self.kept.lock().ok()?;
        if let Some((_, cell)) = kept.iter().find(|(known, _)| *known == key) {
            return Some(cell.clone());
        }
        // A growing file's earlier states are of no use any more.
        kept.retain(|((path, _), _)| *path != key.0);
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        let cell = Arc::new(OnceCell::new());
        kept.push_back((key, cell.clone()));
        Some(cell)
    }
}

/// A copy of the frames in the first `length` bytes of an Opus track, with silence in the gaps; `None` where there are none.
fn filled(path: &Path, length: u64) -> Result<Option<File>> {
    let mut reader = TrackReader::open(path)?;
    if reader.format().codec != Codec::Opus {
        return Ok(None);
    }
    let failed = |e: std::io::Error| Error::machine("cannot make a temporary file").because(e);
    let copy = tempfile::tempfile().map_err(failed)?;
    let mut writer = TrackWriter::new(copy.try_clone().map_err(failed)?, reader.format().clone())?;
    // How far the sound reaches, in quarters of a millisecond: what was played, not what the times say.
    let mut reached: Option<u64> = None;
    let mut is_filled = false;
    while let Some(block) = reader.next_block()?.filter(|block| block.offset + block.length as u64 <= length) {
        if block.ms > LONGEST_MS {
            return Ok(None);
        }
        let mut at = *reached.get_or_insert(block.ms * 4);
        for (lasts, packet) in SILENCE {
            while at + lasts <= block.ms * 4 {
                writer.push(at / 4, true, std::iter::once(&packet[..]))?;
                at += lasts;
                is_filled = true;
            }
        }
        let data = reader.read(&block)?;
        writer.push(block.ms, block.key, std::iter::once(&data[..]))?;
        reached = Some(at + packet_quarter_ms(&data).unwrap_or(80));
    }
    writer.finish()?;
    Ok(is_filled.then_some(copy))
}

#[cfg(test)]
#[path = "silence_tests.rs"]
mod tests;
