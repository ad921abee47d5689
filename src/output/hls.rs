//! A film as HLS (RFC 8216) in a folder: `film.m3u8` and its segments. The pipeline's element writes them; nothing is removed.

use super::sink::{EncodedFilm, Sink, Target};
use crate::error::{Error, Result, write_failed};
use std::path::{Path, PathBuf};

/// The element of the pipeline that writes segments and playlist.
const ELEMENT: &str = "hls";
const PLAYLIST: &str = "film.m3u8";
const SEGMENTS: &str = "film.%05d.ts";

/// A folder with a playlist and its segments.
#[derive(Debug)]
pub struct HlsFolder {
    folder: PathBuf,
}

impl HlsFolder {
    /// Creates the folder if there is none.
    ///
    /// # Errors
    /// The user's: the folder cannot be created.
    pub fn create(folder: &Path) -> Result<HlsFolder> {
        std::fs::create_dir_all(folder).map_err(|e| write_failed(folder, e))?;
        Ok(HlsFolder { folder: folder.to_owned() })
    }
}

impl Sink for HlsFolder {
    fn targets(&self) -> Result<Vec<Target>> {
        let target = |property, name: &str| -> Result<Target> {
            let path = self.folder.join(name);
            let value = path.to_str().ok_or_else(|| Error::user("--live-hls must be plain text"))?.to_owned();
            Ok(Target { element: ELEMENT, property, value })
        };
        Ok(vec![target("location", SEGMENTS)?, target("playlist-location", PLAYLIST)?])
    }

    fn complete(self: Box<Self>, _film: &EncodedFilm) -> Result<PathBuf> {
        Ok(self.folder.join(PLAYLIST))
    }
}
