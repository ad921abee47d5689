//! A film as a file: written as `.part`, finished, verified by the number of its frames, and renamed without replacing any file.

use super::part_file::PartFile;
use super::sink::{EncodedFilm, Sink, Target};
use crate::container::mp4;
use crate::error::{Error, Result};
use crate::media::{Library, count_pictures};
use std::path::{Path, PathBuf};

/// The element of the pipeline that writes the file.
const ELEMENT: &str = "file";

/// A film's file that is being written.
#[derive(Debug)]
pub struct FilmFile {
    library: Library,
    file: PartFile,
    /// Where the pipeline writes MP4. It is rewritten into the `.part` file at the end.
    mp4: Option<PathBuf>,
    /// The MP4 file can be watched while it grows.
    is_live: bool,
}

impl FilmFile {
    /// A file of any container but MP4, or an MP4 file without video, which stays as its muxer writes it.
    pub fn new(library: &Library, file: PartFile) -> FilmFile {
        FilmFile { library: library.clone(), file, mp4: None, is_live: false }
    }

    /// An MP4 file, whose index is moved in front of its media at the end.
    pub fn mp4(library: &Library, file: PartFile) -> FilmFile {
        let mp4 = Some(file.scratch());
        FilmFile { library: library.clone(), file, mp4, is_live: false }
    }

    /// An MP4 file that can be played while it grows, under the name [`PartFile::live_name`] until it is complete.
    ///
    /// # Errors
    /// As [`PartFile::live_name`].
    pub fn live_mp4(library: &Library, file: PartFile) -> Result<FilmFile> {
        let mp4 = Some(file.live_name()?);
        Ok(FilmFile { library: library.clone(), file, mp4, is_live: true })
    }

    /// The file that the pipeline writes.
    fn path(&self) -> &Path {
        self.mp4.as_deref().unwrap_or(self.file.part())
    }

    /// The error where the file has another number of frames than were encoded.
    fn verify(&self, encoded: u64) -> Result<()> {
        let part = self.file.part();
        let found = match self.mp4 {
            Some(_) => mp4::count_video_samples(part)?,
            None => count_pictures(&self.library, part)?,
        };
        if found != encoded {
            return Err(Error::internal(format!("the film has {found} frames instead of {encoded} and was discarded")));
        }
        Ok(())
    }
}

impl Sink for FilmFile {
    fn targets(&self) -> Result<Vec<Target>> {
        let path = self.path();
        let text =
            path.to_str().ok_or_else(|| Error::user(format!("the path {} is not valid UTF-8", path.display())))?;
        Ok(vec![Target { element: ELEMENT, property: "location", value: text.to_owned() }])
    }

    fn complete(self: Box<Self>, film: &EncodedFilm) -> Result<PathBuf> {
        if let Some(mp4) = &self.mp4 {
            mp4::move_index_to_front(mp4, self.file.part(), film.chapters)?;
        }
        if let Some(encoded) = film.video_frames {
            self.verify(encoded)?;
        }
        let published = self.file.publish()?;
        if let Some(live) = self.mp4.filter(|_| self.is_live) {
            // The published file has all of it.
            let _ = std::fs::remove_file(live);
        }
        Ok(published)
    }
}
