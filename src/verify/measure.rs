//! Measurements: named figures computed from a participant's trace. Pure; it knows no file and no verdict.

mod audio;
mod delay;
mod frames;
pub mod statistics;
mod sync;

pub use audio::{AudioMeasurement, measure_audio};
pub use delay::{DelayMeasurement, measure_delay};
pub use frames::{FrameMeasurement, measure_frames};
pub use sync::{SyncMeasurement, SyncPoint, SyncRating, measure_sync};

use super::detections::{Interval, Trace};
use serde::Serialize;
use std::collections::BTreeMap;

/// Every figure that a participant may have: name and meaning. docs/verify.md has the same table.
pub const PARTICIPANT_FIGURES: &[(&str, &str)] = &[
    ("frames", "distinct frames seen"),
    ("lost", "frames missing between the first and the last one seen"),
    ("lost_percent", "`lost` in percent of the expected frames"),
    ("dropped", "lost frames outside of freezes"),
    ("dropped_percent", "`dropped` in percent of the expected frames"),
    ("doubled", "frames seen again"),
    ("out_of_order", "frames that came after later ones"),
    ("restarts", "restarts of the source"),
    ("fps", "distinct frames a second"),
    ("first_frame_ms", "time of the first frame"),
    ("freezes", "freezes, by the definition of W3C webrtc-stats"),
    ("frozen_ms", "total duration of the freezes"),
    ("longest_freeze_ms", "longest freeze"),
    ("marks", "half seconds of audio recognised"),
    ("marks_lost", "marks missing between the first and the last"),
    ("marks_garbled", "lost marks although there was sound"),
    ("sound_gaps", "silences of at least 40 ms"),
    ("sound_gap_ms", "total duration of the silences"),
    ("longest_gap_ms", "longest silence"),
    ("first_sound_ms", "start of the first half second of audio"),
    ("av_p50_ms", "median of audio minus video time; positive: audio is late"),
    ("av_p95_ms", "95th percentile of the distance between audio and video, in either direction"),
    ("av_drift_ms_per_hour", "change of the offset; for media of a minute or more"),
    ("delay_p50_ms", "delay from capture to decoded frame, median; live rooms only"),
    ("delay_p95_ms", "the same, 95th percentile"),
    ("delay_max_ms", "the same, maximum"),
    ("zero_ms", "position of the source's first frame or first sound on the timeline"),
    ("signalling_ms", "from joining until both descriptions are exchanged; recordings only, as the next three"),
    ("ice_ms", "from then until ICE is connected"),
    ("dtls_ms", "from then until DTLS is connected"),
    ("first_packet_ms", "from joining until a track's first packet"),
    ("wrong", "frames and marks of somebody else in this participant's tracks"),
    ("psnr_db", "PSNR against the source, each frame against its original"),
    ("ssim", "SSIM against the source, each frame against its original"),
    ("timeline_psnr_db", "PSNR against the frame that should be visible at that time; the last frame is held"),
    ("timeline_ssim", "SSIM against the frame that should be visible at that time"),
];

/// The measurements of a trace. A part is absent if the trace has nothing to measure it by.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Measurements {
    /// All figures, by the names in [`PARTICIPANT_FIGURES`].
    pub figures: BTreeMap<&'static str, f64>,
    /// Video frames.
    pub frames: Option<FrameMeasurement>,
    /// Audio marks and silences.
    pub sounds: Option<AudioMeasurement>,
    /// Offset between audio and video.
    pub sync: Option<SyncMeasurement>,
    /// End-to-end delay.
    pub delay: Option<DelayMeasurement>,
}

impl Measurements {
    /// Measures a trace. `first_frame_ms` and `first_sound_ms` count from `start` (seconds). Figures without evidence are left out.
    pub fn of(trace: &Trace, start: f64) -> Measurements {
        let frames = measure_frames(&trace.frames, &trace.blanks);
        let (sounds, sync) = (measure_audio(&trace.marks, &trace.silences), measure_sync(trace));
        let mut figures = BTreeMap::new();
        let ms = |seconds: f64| seconds * 1000.0;
        let total = |all: &[Interval]| all.iter().fold(0.0, |sum, s| sum + ms(s.until - s.from));
        let longest = |all: &[Interval]| all.iter().map(|s| ms(s.until - s.from)).fold(0.0, f64::max);
        if let Some(f) = &frames {
            let all = (f.present + f.lost).max(1) as f64;
            figures.extend([
                ("frames", f.present as f64),
                ("lost", f.lost as f64),
                ("lost_percent", f.lost as f64 * 100.0 / all),
                ("dropped", f.dropped as f64),
                ("dropped_percent", f.dropped as f64 * 100.0 / all),
                ("doubled", f.doubled as f64),
                ("out_of_order", f.out_of_order as f64),
                ("restarts", f.restarts as f64),
                ("fps", f.fps),
                ("first_frame_ms", ms(f.first - start)),
                ("freezes", f.freezes.len() as f64),
                ("frozen_ms", total(&f.freezes)),
                ("longest_freeze_ms", longest(&f.freezes)),
                ("zero_ms", ms(f.zero)),
            ]);
        }
        if let Some(s) = &sounds {
            figures.extend([
                ("marks", s.present as f64),
                ("marks_lost", s.lost as f64),
                ("marks_garbled", s.garbled as f64),
                ("sound_gaps", s.gaps.len() as f64),
                ("sound_gap_ms", total(&s.gaps)),
                ("longest_gap_ms", longest(&s.gaps)),
                ("first_sound_ms", ms(s.first - start)),
            ]);
            figures.entry("zero_ms").or_insert(ms(s.zero));
        }
        if let Some(s) = &sync {
            figures.extend([("av_p50_ms", s.p50_ms), ("av_p95_ms", s.p95_ms)]);
            figures.extend(s.drift_ms_per_hour.map(|drift| ("av_drift_ms_per_hour", drift)));
        }
        let delay = measure_delay(&trace.delays, trace.delays_by);
        if let Some(d) = &delay {
            figures.extend([("delay_p50_ms", d.p50_ms), ("delay_p95_ms", d.p95_ms), ("delay_max_ms", d.max_ms)]);
        }
        Measurements { figures, frames, sounds, sync, delay }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::detections::{FrameDelay, FrameDetection, MarkDetection};

    #[test]
    fn every_figure_is_in_the_table_and_in_the_documentation() {
        let page = include_str!("../../docs/verify.md");
        for (name, _) in PARTICIPANT_FIGURES {
            assert!(page.contains(&format!("`{name}`")), "docs/verify.md does not name {name}");
        }
        let trace = Trace {
            frames: (0..90).map(|n| FrameDetection { at: n as f64 / 30.0, number: n, rate: 30 }).collect(),
            marks: (0..6).map(|n| MarkDetection { at: n as f64 / 2.0, number: n }).collect(),
            delays: vec![FrameDelay { at: 1.0, ms: 80.0 }],
            ..Trace::default()
        };
        for name in Measurements::of(&trace, 0.0).figures.keys() {
            assert!(PARTICIPANT_FIGURES.iter().any(|(figure, _)| figure == name), "{name}");
        }
    }
}
