//! What film is to be made: options, their limits and defaults. Values only.

use super::captions::TimeRange;
use super::format::{FilmCodec, Quality};
use super::scene_renderer::SceneOptions;
use crate::error::{Error, Result};
use crate::film::layout::SIDES;
use std::path::PathBuf;
use std::time::Duration;

/// Frame rates that a film may have, in frames a second.
pub const RATES: std::ops::RangeInclusive<u32> = 1..=60;

/// A film to be made.
#[derive(Debug, Clone)]
pub struct Job {
    /// The recording's folder.
    pub recording: PathBuf,
    /// The film's file; by default `film.mp4` (or the extension of its format) in the recording.
    pub out: Option<PathBuf>,
    /// The video; `None`: sound alone.
    pub video: Option<VideoOptions>,
    /// Where the film begins, in session time.
    pub from: Duration,
    /// Where the film ends, in session time; by default with the session.
    pub until: Option<Duration>,
    /// Participants who are left out, by name or key.
    pub without: Vec<String>,
    /// The loudness of the film in LUFS (EBU R 128); by default it is not changed.
    pub loudness: Option<f64>,
}

/// The video of a film.
#[derive(Debug, Clone)]
pub struct VideoOptions {
    /// How scenes are drawn. Both sides of the size are even and within [`SIDES`].
    pub scene: SceneOptions,
    /// Frames a second, within [`RATES`].
    pub fps: u32,
    /// The codec; by default the usual one of the file's extension.
    pub codec: Option<FilmCodec>,
    /// The effort of the encoder.
    pub quality: Quality,
    /// Write poster, contact sheet and slides beside the film.
    pub stills: bool,
}

/// How much of a film has been made, in film time.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// What has been made.
    pub done: Duration,
    /// The length of the whole film, as far as it is known.
    pub of: Duration,
}

impl Job {
    /// The default film of a whole recording: 1280x720, automatic layout, with stills.
    pub fn usual(recording: PathBuf, fps: u32) -> Job {
        let scene = SceneOptions { size: (1280, 720), ..SceneOptions::default() };
        let video = VideoOptions { scene, fps, codec: None, quality: Quality::Fast, stills: true };
        let (video, from, without) = (Some(video), Duration::ZERO, Vec::new());
        Job { recording, out: None, video, from, until: None, without, loudness: None }
    }

    /// The user's error where a size or rate is out of range.
    pub(super) fn check(&self) -> Result<()> {
        let Some(video) = &self.video else { return Ok(()) };
        let (width, height) = video.scene.size;
        if [width, height].iter().any(|side| !SIDES.contains(side) || side % 2 == 1) {
            let (least, most) = (SIDES.start(), SIDES.end());
            return Err(Error::user(format!(
                "--size {width}x{height}: both sides must be even, from {least} to {most}"
            )));
        }
        if !RATES.contains(&video.fps) {
            let (least, most) = (RATES.start(), RATES.end());
            return Err(Error::user(format!("--fps {}: must be from {least} to {most}", video.fps)));
        }
        Ok(())
    }

    /// The part of a session of this length that is shown.
    pub(super) fn time_range(&self, duration_ms: u64) -> Result<TimeRange> {
        let ms = |at: Duration| u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        let until_ms = self.until.map_or(duration_ms, ms).min(duration_ms);
        let from_ms = ms(self.from);
        if from_ms >= until_ms {
            let seconds = duration_ms as f64 / 1000.0;
            return Err(Error::user(format!("--from and --to: nothing is left of a recording of {seconds:.1} s")));
        }
        Ok(TimeRange { from_ms, until_ms })
    }
}
