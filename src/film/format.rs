//! The format of a film: codec, container, encoder effort, and the pipeline that makes it. Values only.

use crate::error::{Error, Result};
use crate::media::Value;
use std::path::Path;

/// The video codec of a film.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FilmCodec {
    /// H.264, with AAC.
    #[default]
    H264,
    /// VP8, with Opus.
    Vp8,
    /// VP9, with Opus.
    Vp9,
    /// AV1, with Opus.
    Av1,
}

/// The effort of the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quality {
    /// Little CPU time.
    #[default]
    Fast,
    /// A smaller file of better quality, for several times the CPU time.
    Good,
}

/// A film's container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// MP4 (`.mp4`, `.m4v`).
    Mp4,
    /// WebM (`.webm`).
    WebM,
    /// Matroska (`.mkv`).
    Matroska,
}

/// A film's format: only combinations that players support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// The video codec.
    pub codec: FilmCodec,
    /// The container.
    pub container: Container,
    /// The effort of the encoder.
    pub quality: Quality,
}

impl Format {
    /// The format for a codec and a file name: where one is missing, the usual one for the other; without both, H.264 in MP4.
    ///
    /// # Errors
    /// The user's: an unknown extension, or a codec that the container does not support.
    pub fn of(codec: Option<FilmCodec>, out: Option<&Path>, quality: Quality) -> Result<Format> {
        let extension = out.map(|out| out.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase());
        let container = match extension.as_deref() {
            Some("mp4" | "m4v") => Container::Mp4,
            Some("webm") => Container::WebM,
            Some("mkv") => Container::Matroska,
            Some(other) => {
                return Err(Error::user(format!(
                    "a film ends in .mp4, .webm or .mkv (--out says `.{other}`); sound alone needs --audio-only"
                )));
            }
            None => {
                if codec.is_none_or(|codec| codec == FilmCodec::H264) {
                    Container::Mp4
                } else {
                    Container::WebM
                }
            }
        };
        let codec = codec.unwrap_or(if container == Container::WebM { FilmCodec::Vp9 } else { FilmCodec::H264 });
        match (codec, container) {
            (FilmCodec::H264, Container::WebM) => {
                Err(Error::user("H.264 does not go into WebM: use --codec vp9, or a name that ends in .mp4"))
            }
            (FilmCodec::Vp8 | FilmCodec::Vp9, Container::Mp4) => {
                Err(Error::user("VP8 and VP9 do not go into MP4: use a name that ends in .webm, or --codec h264"))
            }
            _ => Ok(Format { codec, container, quality }),
        }
    }

    /// The extension of a file of this format.
    pub fn extension(self) -> &'static str {
        match self.container {
            Container::Mp4 => "mp4",
            Container::WebM => "webm",
            Container::Matroska => "mkv",
        }
    }

    /// The pipeline template that makes it.
    pub fn pipeline(self) -> &'static str {
        match self.codec {
            FilmCodec::H264 => "compose/film-h264",
            FilmCodec::Vp8 => "compose/film-vp8",
            FilmCodec::Vp9 => "compose/film-vp9",
            FilmCodec::Av1 => "compose/film-av1",
        }
    }

    /// Parameters of that template.
    pub fn values(self) -> Vec<(&'static str, Value)> {
        let muxer = match self.container {
            Container::Mp4 => "mp4mux",
            Container::WebM => "webmmux",
            Container::Matroska => "matroskamux",
        };
        let mut values = vec![("container", Value::Word(muxer.into()))];
        if self.quality == Quality::Good {
            values.extend(match self.codec {
                FilmCodec::H264 => vec![
                    ("pass", Value::Word("qual".into())),
                    ("quality", Value::Int(21)),
                    ("preset", Value::Word("medium".into())),
                    ("subme", Value::Int(7)),
                    ("scenecut", Value::Int(40)),
                    ("bframes", Value::Int(3)),
                ],
                FilmCodec::Vp8 => vec![("quality", Value::Int(18)), ("speed", Value::Int(4))],
                FilmCodec::Vp9 => vec![("quality", Value::Int(27)), ("speed", Value::Int(5))],
                FilmCodec::Av1 => vec![("quality", Value::Int(24)), ("speed", Value::Int(7))],
            });
        } else if self.codec == FilmCodec::H264
            && std::thread::available_parallelism().is_ok_and(|cores| cores.get() <= 2)
        {
            // Rendering and decoding use the other core; more threads of x264 would only wait for each other.
            values.push(("threads", Value::Int(1)));
        }
        values
    }

    /// Priming samples that the encoder puts in front of the sound and that players play: 1024 of AAC, because the MP4 files that
    /// are written here have no edit list that skips them. That much of the session's start (21 ms) is left out instead, so that
    /// audio and video are in sync. Opus files carry their pre-skip.
    pub fn priming(self) -> i64 {
        if self.codec == FilmCodec::H264 { 1024 } else { 0 }
    }
}

/// The pipeline template for an audio file of this name, and its priming samples.
///
/// # Errors
/// The user's: an unknown extension.
pub fn audio_pipeline(out: &Path) -> Result<(&'static str, i64)> {
    match out.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase().as_str() {
        "opus" | "ogg" => Ok(("compose/sound-opus", 0)),
        "m4a" => Ok(("compose/sound-m4a", 1024)),
        "wav" => Ok(("compose/sound-wav", 0)),
        other => Err(Error::user(format!("sound ends in .opus, .m4a or .wav (--out says `.{other}`)"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_and_the_codec_agree() {
        let of =
            |codec, out: &str| Format::of(codec, Some(Path::new(out)), Quality::Fast).map(|f| (f.codec, f.extension()));
        assert_eq!(Format::of(None, None, Quality::Fast).unwrap().extension(), "mp4");
        assert_eq!(Format::of(Some(FilmCodec::Av1), None, Quality::Fast).unwrap().extension(), "webm");
        assert_eq!(of(None, "a.webm").unwrap(), (FilmCodec::Vp9, "webm"));
        assert_eq!(of(None, "a.MKV").unwrap(), (FilmCodec::H264, "mkv"));
        for (codec, out) in
            [(Some(FilmCodec::H264), "a.webm"), (Some(FilmCodec::Vp9), "a.mp4"), (None, "a.avi"), (None, "a")]
        {
            assert!(matches!(of(codec, out).unwrap_err(), crate::error::Error::User(_)), "{out}");
        }
        assert!(audio_pipeline(Path::new("a.opus")).is_ok() && audio_pipeline(Path::new("a.mp3")).is_err());
    }
}
