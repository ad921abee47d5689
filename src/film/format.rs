//! What a film is made of: codec, container, how well it is encoded, and which pipeline does that. Values only.

use crate::error::{Error, Result};
use crate::media::Value;
use std::path::Path;

/// The codec of a film's pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FilmCodec {
    #[default]
    H264,
    Vp8,
    Vp9,
    Av1,
}

/// How much time the encoder takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quality {
    #[default]
    Fast,
    /// A smaller file that looks better, for several times the work.
    Good,
}

/// A film's container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    Mp4,
    WebM,
    Matroska,
}

/// A film's format: only combinations that players know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    pub codec: FilmCodec,
    pub container: Container,
    pub quality: Quality,
}

impl Format {
    /// By the codec that was asked for, or the usual one for what the file is called; where neither says, H.264 in MP4.
    ///
    /// # Errors
    /// The user's: a name that is of no film, or a codec that does not go into it.
    pub fn of(codec: Option<FilmCodec>, out: Option<&Path>, quality: Quality) -> Result<Format> {
        let ending = out.map(|out| out.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase());
        let container = match ending.as_deref() {
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

    /// What a file of this format ends in.
    pub fn extension(self) -> &'static str {
        match self.container {
            Container::Mp4 => "mp4",
            Container::WebM => "webm",
            Container::Matroska => "mkv",
        }
    }

    /// The pipeline that makes it.
    pub fn pipeline(self) -> &'static str {
        match self.codec {
            FilmCodec::H264 => "compose/film-h264",
            FilmCodec::Vp8 => "compose/film-vp8",
            FilmCodec::Vp9 => "compose/film-vp9",
            FilmCodec::Av1 => "compose/film-av1",
        }
    }

    /// That pipeline's values.
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
            // Painting and decoding take the other one; more threads of x264 only wait for each other.
            values.push(("threads", Value::Int(1)));
        }
        values
    }

    /// Samples that players take for the start of the sound, but that the encoder put in front of it: AAC's 1024, which MP4 as
    /// it is written here does not tell players to skip. So much of the session's start (21 ms) is left out instead, and sound
    /// and picture lie together. Opus says it itself.
    pub fn priming(self) -> i64 {
        if self.codec == FilmCodec::H264 { 1024 } else { 0 }
    }
}

/// A file with sound alone: the pipeline for its name, and how many samples its encoder puts in front.
///
/// # Errors
/// The user's: a name that is of no sound.
pub fn sound(out: &Path) -> Result<(&'static str, i64)> {
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
            assert_eq!(of(codec, out).unwrap_err().blame(), crate::error::Blame::User, "{out}");
        }
        assert!(sound(Path::new("a.opus")).is_ok() && sound(Path::new("a.mp3")).is_err());
    }
}
