//! From what a path carries to what is sent over it: bitrate, size and frame rate, with hysteresis. Pure: is told the time.

use crate::media::VideoScale;
use crate::room::media::{Codec, Source};
use std::time::{Duration, Instant};

/// How long a step has been too much before a smaller one is taken.
const PATIENCE_DOWN: Duration = Duration::from_millis(300);
/// How long a larger step has fitted before it is taken.
const PATIENCE_UP: Duration = Duration::from_secs(3);
/// How much more than its need there must be for a larger step.
const ROOM_UP: f64 = 1.25;
/// What of the bits is left for pictures: the rest is headers and retransmissions.
const PAYLOAD: f64 = 0.92;
/// Up to so many times its need, a picture becomes better to look at.
const USEFUL: f64 = 4.0;
/// Fewer bits a second than this make no picture.
const LEAST: u64 = 30_000;

/// Percent of the sides, and the part of the frame rate (2: every second picture). A face is rather small than jerky, a text
/// rather slow than small.
const CAMERA: &[(u32, u32)] = &[(100, 1), (75, 1), (50, 1), (50, 2), (25, 2)];
const SCREEN: &[(u32, u32)] = &[(100, 1), (100, 2), (100, 4), (75, 4), (50, 4)];

/// What is to be sent: pictures as they come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pictures {
    pub source: Source,
    pub codec: Codec,
    pub size: (u32, u32),
    /// Pictures a second.
    pub fps: f64,
}

/// How it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Bits a second for the encoder.
    pub bitrate: u64,
    pub shape: VideoScale,
}

/// The quality of one track over time.
#[derive(Debug, Clone, Default)]
pub struct Quality {
    /// Index into the steps.
    step: Option<usize>,
    too_much: Option<Instant>,
    room_above: Option<Instant>,
}

impl Quality {
    /// What to send when `budget` bits a second are there for it.
    pub fn decide(&mut self, now: Instant, budget: u64, pictures: &Pictures) -> Setting {
        let steps = if pictures.source == Source::Screen { SCREEN } else { CAMERA };
        let payload = budget as f64 * PAYLOAD;
        let need =
            |step: usize| steps.get(step).map_or(f64::INFINITY, |(percent, part)| bits(pictures, *percent, *part));
        let best = (0..steps.len()).find(|step| need(*step) <= payload).unwrap_or(steps.len() - 1);
        let lasting = |since: &mut Option<Instant>, holds: bool, patience: Duration| {
            if !holds {
                *since = None;
            }
            holds && now.saturating_duration_since(*since.get_or_insert(now)) >= patience
        };
        let step = match self.step {
            None => best,
            Some(step) if best > step && lasting(&mut self.too_much, true, PATIENCE_DOWN) => best,
            Some(step) => {
                if best <= step {
                    self.too_much = None;
                }
                let above = step.saturating_sub(1);
                let fits = step > 0 && need(above) * ROOM_UP <= payload;
                if lasting(&mut self.room_above, fits, PATIENCE_UP) { above } else { step }
            }
        };
        if self.step != Some(step) {
            *self = Quality { step: Some(step), too_much: None, room_above: None };
        }
        let (percent, part) = steps.get(step).copied().unwrap_or((100, 1));
        let bitrate = (payload.min(need(step) * USEFUL) as u64).max(LEAST);
        let fps = (part > 1).then(|| (pictures.fps / f64::from(part)).round().max(1.0) as u32);
        Setting { bitrate, shape: VideoScale { percent, fps } }
    }
}

/// Bits a second below which such pictures are not worth looking at: 240 kbit/s for 640x360 at 30 a second in VP8. Larger and
/// faster pictures need less for each pixel.
fn bits(pictures: &Pictures, percent: u32, part: u32) -> f64 {
    let (width, height) = (f64::from(pictures.size.0), f64::from(pictures.size.1));
    let pixels = width * height * (f64::from(percent) / 100.0).powi(2);
    let codec = match pictures.codec {
        Codec::H264 => 1.1,
        Codec::Vp9 => 0.8,
        Codec::Av1 => 0.7,
        Codec::Vp8 | Codec::Opus => 1.0,
    };
    codec * 1.14 * pixels.powf(0.8) * (pictures.fps / f64::from(part)).max(1.0).powf(0.7)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACE: Pictures = Pictures { source: Source::Camera, codec: Codec::Vp8, size: (640, 360), fps: 30.0 };

    /// What a track settles on when it begins with this budget.
    fn at_first(budget: u64, pictures: &Pictures) -> (u64, u32, Option<u32>) {
        let setting = Quality::default().decide(Instant::now(), budget, pictures);
        (setting.bitrate / 1000, setting.shape.percent, setting.shape.fps)
    }

    #[test]
    fn size_goes_first_then_rate() {
        for (budget, want) in [
            (8_000_000, (961, 100, None)),
            (1_000_000, (920, 100, None)),
            (300_000, (276, 100, None)),
            (200_000, (184, 75, None)),
            (100_000, (92, 50, None)),
            (60_000, (55, 50, Some(15))),
            (30_000, (30, 25, Some(15))),
            (0, (30, 25, Some(15))),
        ] {
            assert_eq!(at_first(budget, &FACE), want, "{budget}");
        }
    }

    #[test]
    fn a_screen_gets_slow_before_it_gets_small() {
        let screen = Pictures { source: Source::Screen, size: (1280, 720), fps: 15.0, ..FACE };
        for (budget, want) in [
            (2_000_000, (1794, 100, None)),
            (450_000, (414, 100, Some(8))),
            (240_000, (220, 100, Some(4))),
            (60_000, (55, 50, Some(4))),
        ] {
            assert_eq!(at_first(budget, &screen), want, "{budget}");
        }
    }

    #[test]
    fn better_codecs_step_down_later() {
        let at = |codec| at_first(230_000, &Pictures { codec, ..FACE }).1;
        assert_eq!([Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Av1].map(at), [75, 75, 100, 100]);
    }

    #[test]
    fn it_falls_soon_and_recovers_one_step_at_a_time() {
        let (mut quality, start) = (Quality::default(), Instant::now());
        let mut at = |ms: u64, budget| quality.decide(start + Duration::from_millis(ms), budget, &FACE).shape.percent;
        assert_eq!(at(0, 1_000_000), 100);
        assert_eq!(at(100, 100_000), 100, "once is nothing");
        assert_eq!(at(200, 1_000_000), 100);
        assert_eq!(at(300, 100_000), 100);
        assert_eq!(at(600, 100_000), 50, "it lasts");
        assert_eq!(at(700, 1_000_000), 50);
        assert_eq!(at(3600, 1_000_000), 50);
        assert_eq!(at(3700, 1_000_000), 75);
        assert_eq!(at(3800, 1_000_000), 75);
        assert_eq!(at(6800, 1_000_000), 100);
    }

    #[test]
    fn a_budget_at_the_edge_does_not_make_it_flap() {
        let (mut quality, start) = (Quality::default(), Instant::now());
        let mut changes = 0;
        let mut last = None;
        for n in 0..600_u64 {
            // 640x360 needs 240 kbit/s and some: the budget swings about that by a tenth.
            let budget = if n % 7 < 3 { 250_000 } else { 280_000 };
            let shape = quality.decide(start + Duration::from_millis(100 * n), budget, &FACE).shape;
            changes += u32::from(last.replace(shape).is_some_and(|last| last != shape));
        }
        assert!(changes <= 1, "{changes} changes in a minute");
    }
}
