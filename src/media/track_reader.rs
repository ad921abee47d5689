//! Decodes the first track of a kind in a media file, from its start to its end: for filters and examples. Films read recordings
//! themselves.

use super::{Decoded, Decoder, Library, MediaSource, Picture, TrackFormat};
use crate::error::{Error, Result};
use crate::room::media::{Codec, MediaKind};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long to wait for the decoder before it is given another frame.
const WAIT: Duration = Duration::from_millis(20);
/// How long it may output nothing, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

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
            return Err(Error::user(format!("{} has no {} track", path.display(), codec.name())));
        }
        let decoder = Decoder::new(library, &TrackFormat { codec, config: None, channels: 2 })?;
        Ok(TrackReader { source, decoder, ended: false })
    }

    /// The next picture and its time; `None` at the end.
    ///
    /// # Errors
    /// The file can no longer be read or decoded.
    pub fn picture(&mut self) -> Result<Option<(Duration, Picture)>> {
        self.next(Decoder::picture)
    }

    /// The next audio and its time; `None` at the end. Stereo, interleaved, 48 kHz, full scale is 1.0.
    ///
    /// # Errors
    /// As [`TrackReader::picture`].
    pub fn sound(&mut self) -> Result<Option<(Duration, Vec<f32>)>> {
        let sound = self.next(Decoder::sound)?;
        Ok(sound.map(|(at, sound)| (at, sound.into_iter().map(|s| f32::from(s) / 32768.0).collect())))
    }

    fn next<T>(
        &mut self,
        pull: impl Fn(&mut Decoder, Duration) -> Result<Decoded<T>>,
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
            match pull(&mut self.decoder, WAIT)? {
                Decoded::Next(at, decoded) => return Ok(Some((at, decoded))),
                Decoded::End => return Ok(None),
                Decoded::NotYet if started.elapsed() > TIMEOUT => {
                    let waited = TIMEOUT.as_secs();
                    return Err(Error::machine(format!("{}: nothing decoded within {waited} s", self.source.name())));
                }
                Decoded::NotYet => {}
            }
        }
    }
}
