//! What was made, and what it cost. It reads no recording.

use super::job::VideoOptions;
use super::stills::Stills;
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A film that was made.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The film's file.
    pub film: PathBuf,
    /// Still pictures.
    pub stills: Stills,
    /// WebVTT files: who speaks, and the chat.
    pub subtitles: Vec<PathBuf>,
    /// How many chapters the film has.
    pub chapters: usize,
    /// In pixels; 0 without video.
    pub width: u32,
    /// In pixels; 0 without video.
    pub height: u32,
    /// Frames a second; 0 without video.
    pub fps: u32,
    /// Frames of the film, those that were left out included.
    pub frames: u64,
    /// The film's length.
    pub duration_ms: u64,
    /// The size of the film's file.
    pub bytes: u64,
    /// How long it took.
    pub took_ms: u64,
    /// Film time made per time it took.
    pub speed: f64,
    /// CPU time of the whole process while the film was made.
    pub cpu_seconds: f64,
    /// The measured loudness in LUFS, where it was to be changed.
    pub loudness: Option<f64>,
    /// Tracks that could not be used, from when and why.
    pub warnings: Vec<String>,
}

impl Summary {
    /// What can be said of any film.
    pub(super) fn of(
        film: PathBuf,
        video: Option<&VideoOptions>,
        frames: u64,
        length: Duration,
        cost: &CostMeter,
    ) -> Summary {
        let ((width, height), fps) = video.map_or(((0, 0), 0), |video| (video.scene.size, video.fps));
        let took = cost.started.elapsed();
        Summary {
            stills: Stills::default(),
            subtitles: Vec::new(),
            chapters: 0,
            width,
            height,
            fps,
            frames,
            duration_ms: u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
            bytes: std::fs::metadata(&film).map(|about| about.len()).unwrap_or(0),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            speed: length.as_secs_f64() / took.as_secs_f64().max(1e-3),
            cpu_seconds: (cpu_time() - cost.cpu).as_secs_f64(),
            loudness: None,
            warnings: Vec::new(),
            film,
        }
    }
}

/// Measures elapsed time and CPU time from its start.
pub(super) struct CostMeter {
    started: Instant,
    cpu: Duration,
}

impl CostMeter {
    pub(super) fn start() -> CostMeter {
        CostMeter { started: Instant::now(), cpu: cpu_time() }
    }
}

/// CPU time of the whole process, in user and kernel.
fn cpu_time() -> Duration {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID);
    time.map(Duration::from).unwrap_or_default()
}
