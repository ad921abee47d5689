//! Measures: what a participant's trace comes to, as figures with names. Pure; it knows no file and no verdict.

mod delay;
mod frames;
mod sound;
mod sync;

pub use delay::{Delayed, delayed};
pub use frames::{Frames, frames};
pub use sound::{Sounds, sounds};
pub use sync::{Judgement, Point, Sync, sync};

use super::evidence::{Stretch, Trace};
use serde::Serialize;
use std::collections::BTreeMap;

/// Every figure that a participant may have: its name, and what it is.
pub const FIGURES: &[(&str, &str)] = &[
    ("frames", "different pictures that were seen"),
    ("lost", "pictures that are missing between the first and the last that were seen"),
    ("lost_percent", "the same, of all that should be there"),
    ("dropped", "those of them that are missing while the picture moved, not in a freeze"),
    ("dropped_percent", "the same, of all that should be there"),
    ("doubled", "pictures that were seen again"),
    ("out_of_order", "pictures that came after later ones"),
    ("restarts", "how often the source began anew"),
    ("fps", "different pictures a second"),
    ("first_frame_ms", "when the first picture was seen"),
    (
        "freezes",
        "gaps between pictures of at least max(3 x average, average + 150 ms), as W3C webrtc-stats counts them",
    ),
    ("frozen_ms", "how long they lasted together"),
    ("longest_freeze_ms", "the longest of them"),
    ("marks", "half seconds of sound that were recognised"),
    ("marks_lost", "those that are missing between the first and the last"),
    ("marks_garbled", "those of them that are missing although there was sound"),
    ("sound_gaps", "silences of 40 ms or more"),
    ("sound_gap_ms", "how long they lasted together"),
    ("longest_gap_ms", "the longest of them"),
    ("first_sound_ms", "when the first half second of sound began"),
    ("av_p50_ms", "sound after picture (negative: before it), the median"),
    ("av_p95_ms", "how far sound and picture lie apart, either way, in 95 of 100 cases"),
    ("av_drift_ms_per_hour", "how fast that changes; of traces of a minute or more"),
    (
        "delay_p50_ms",
        "from the moment at which a picture was made to the moment at which it was decoded, the median; live only",
    ),
    ("delay_p95_ms", "the same, of the slowest of 95 in 100"),
    ("delay_max_ms", "the same, of the slowest"),
    ("zero_ms", "where the source's first picture, or its first sound, lies on the time line"),
    ("signalling_ms", "from joining until both sides have described themselves; of recordings, as the next three"),
    ("ice_ms", "from then until a path was found"),
    ("dtls_ms", "from then until the connection was encrypted"),
    ("first_packet_ms", "from joining until a track's first packet"),
    ("wrong", "pictures and marks of somebody else in this participant's tracks"),
    ("psnr_db", "signal to noise against the source, each picture against itself"),
    ("ssim", "structural similarity against the source, each picture against itself"),
    ("timeline_psnr_db", "signal to noise against what should be seen at the time, the last picture held"),
    ("timeline_ssim", "structural similarity against what should be seen at the time"),
];

/// What a trace comes to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Measures {
    pub figures: BTreeMap<&'static str, f64>,
    pub frames: Option<Frames>,
    pub sounds: Option<Sounds>,
    pub sync: Option<Sync>,
    /// End-to-end, where somebody watched.
    pub delay: Option<Delayed>,
}

impl Measures {
    /// Measures a trace whose times count from `start` (seconds). A figure for which there is no evidence is not there.
    pub fn of(trace: &Trace, start: f64) -> Measures {
        let frames = frames(&trace.sights, &trace.blanks);
        let (sounds, sync) = (sounds(&trace.marks, &trace.silences), sync(trace));
        let mut figures = BTreeMap::new();
        let ms = |seconds: f64| seconds * 1000.0;
        let together = |all: &[Stretch]| all.iter().fold(0.0, |sum, s| sum + ms(s.until - s.from));
        let longest = |all: &[Stretch]| all.iter().map(|s| ms(s.until - s.from)).fold(0.0, f64::max);
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
                ("frozen_ms", together(&f.freezes)),
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
                ("sound_gap_ms", together(&s.gaps)),
                ("longest_gap_ms", longest(&s.gaps)),
                ("first_sound_ms", ms(s.first - start)),
            ]);
            figures.entry("zero_ms").or_insert(ms(s.zero));
        }
        if let Some(s) = &sync {
            figures.extend([("av_p50_ms", s.p50_ms), ("av_p95_ms", s.p95_ms)]);
            figures.extend(s.drift_ms_per_hour.map(|drift| ("av_drift_ms_per_hour", drift)));
        }
        let delay = delayed(&trace.delays, trace.delays_by);
        if let Some(d) = &delay {
            figures.extend([("delay_p50_ms", d.p50_ms), ("delay_p95_ms", d.p95_ms), ("delay_max_ms", d.max_ms)]);
        }
        Measures { figures, frames, sounds, sync, delay }
    }
}

/// The value below which `part` of the values lie (0.0 to 1.0), between neighbours in proportion. None of nothing.
pub fn percentile(values: &mut [f64], part: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let exact = values.len().checked_sub(1)? as f64 * part.clamp(0.0, 1.0);
    let (low, high) = (values.get(exact.floor() as usize)?, values.get(exact.ceil() as usize)?);
    Some(low + (high - low) * exact.fract())
}

/// The number nearest to `near` that is `value` modulo `modulus`.
fn unwrap(near: i64, value: u32, modulus: u32) -> i64 {
    let (value, modulus) = (i64::from(value), i64::from(modulus).max(1));
    let ahead = (value - near).rem_euclid(modulus);
    near + if ahead > modulus / 2 { ahead - modulus } else { ahead }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_lie_between_neighbours() {
        assert_eq!(percentile(&mut [3.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(percentile(&mut [0.0, 10.0], 0.95), Some(9.5));
        assert_eq!((percentile(&mut [7.0], 1.0), percentile(&mut [], 0.5)), (Some(7.0), None));
    }

    #[test]
    fn every_figure_is_in_the_table_and_in_the_documentation() {
        let page = include_str!("../../docs/verify.md");
        for (name, _) in FIGURES {
            assert!(page.contains(&format!("`{name}`")), "docs/verify.md does not name {name}");
        }
        let trace = Trace {
            sights: (0..90)
                .map(|n| crate::verify::evidence::Sight { at: n as f64 / 30.0, number: n, rate: 30 })
                .collect(),
            marks: (0..6).map(|n| crate::verify::evidence::Mark { at: n as f64 / 2.0, number: n }).collect(),
            delays: vec![crate::verify::evidence::Delay { at: 1.0, ms: 80.0 }],
            ..Trace::default()
        };
        for name in Measures::of(&trace, 0.0).figures.keys() {
            assert!(FIGURES.iter().any(|(figure, _)| figure == name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_unwrapped_to_the_nearest(near in -1_000_000i64..1_000_000, off in -2047i64..2047) {
            let value = (near + off).rem_euclid(4096) as u32;
            prop_assert_eq!(unwrap(near, value, 4096), near + off);
        }
    }
}
