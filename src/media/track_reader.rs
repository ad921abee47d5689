//! A media file decoded from its start to its end: for filters and examples that look at files. Films read recordings by themselves.

use super::{Decoded, Decoder, Library, MediaSource, Picture, TrackFormat};
use crate::error::{Error, Result};
use crate::room::media::{Codec, MediaKind};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a decoder is waited for until it is given another frame.
const WAIT: Duration = Duration::from_millis(20);
/// How long it may give nothing, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// The first track of a kind in a file, decoded.
pub struct TrackReader {
    source: MediaSource,
    decoder: Decoder,
    ended: bool,
}

impl TrackReader {
    /// Opens a file for its first track, which must be of `codec`.
    ///
    /// # Errors
    /// The user's: no such file or track, or a decoder's package is missing.
    pub fn open(library: &Library, path: &Path, codec: Codec) -> Result<TrackReader> {
        let wants: fn(MediaKind) -> bool = match codec.kind() {
            MediaKind::Video => |kind| kind == MediaKind::Video,
            MediaKind::Audio => |kind| kind == MediaKind::Audio,
        };
        let source = MediaSource::file(library, path, wants, false)?;
        if source.tracks().first().is_none_or(|track| track.codec != codec) {
            return Err(Error::user(format!("{} has no {}", path.display(), codec.name())));
        }
        let decoder = Decoder::new(library, &TrackFormat { codec, config: None, channels: 2 })?;
        Ok(TrackReader { source, decoder, ended: false })
    }

    /// The next picture, and when it is due; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read or decoded any further.
    pub fn picture(&mut self) -> Result<Option<(Duration, Picture)>> {
        self.next(Decoder::picture)
    }

    /// The next sound, and when it is due; `None` at the end. Left and right in turn, 48,000 of each a second, 1.0 is the loudest.
    ///
    /// # Errors
    /// As [`TrackReader::picture`].
    pub fn sound(&mut self) -> Result<Option<(Duration, Vec<f32>)>> {
        let sound = self.next(Decoder::sound)?;
        Ok(sound.map(|(at, sound)| (at, sound.into_iter().map(|s| f32::from(s) / 32768.0).collect())))
    }

    fn next<T>(
        &mut self,
        take: impl Fn(&mut Decoder, Duration) -> Result<Decoded<T>>,
    ) -> Result<Option<(Duration, T)>> {
        let started = Instant::now();
        loop {
            while !self.ended && self.decoder.wants_input() {
                match self.source.next_frame()? {
                    Some(next) => self.decoder.push(next.frame.parts.concat().into(), next.at, next.frame.key)?,
                    None => {
                        self.decoder.end();
                        self.ended = true;
                    }
                }
            }
            match take(&mut self.decoder, WAIT)? {
                Decoded::Next(at, taken) => return Ok(Some((at, taken))),
                Decoded::End => return Ok(None),
                Decoded::NotYet if started.elapsed() > PATIENCE => {
                    let waited = PATIENCE.as_secs();
                    return Err(Error::machine(format!("{}: nothing decoded within {waited} s", self.source.name())));
                }
                Decoded::NotYet => {}
            }
        }
    }
}
