//! Detects marks in audio: each band is mixed down to 960 complex samples a second, a matched filter finds the falling chirps, and the rising
//! ones after them are decoded. It also detects silences of a band. It buffers about a second of audio.

mod band;
mod filters;

use super::chirp::{BANDS, SAMPLE_RATE};
use super::code::MarkStamp;
use band::{Band, MIN_SILENCE, SEARCH};
use filters::{DELAY, FIRST, Filters, LONG, STEP};

/// Audio whose timestamp deviates by less continues the previous audio, and the clock is adjusted slowly; seconds.
const TOLERANCE: f64 = 0.02;
/// After a longer gap detection restarts instead of filling the gap with silence; seconds.
const MAX_GAP: f64 = 60.0;

/// A mark that was detected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectedMark {
    /// Participant and number.
    pub stamp: MarkStamp,
    /// Start time, seconds.
    pub at: f64,
}

/// An interval in which a band was silent after a mark. The last one may end with the audio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Silence {
    /// The band, see [`super::chirp::band`].
    pub band: usize,
    /// Start, seconds.
    pub from: f64,
    /// End, seconds.
    pub until: f64,
}

/// A detector for one track: mono, 48 kHz.
pub struct MarkDetector {
    filters: Filters,
    bands: Vec<Band>,
    /// The last samples, which the first filter still needs; initially silence.
    recent: Vec<f32>,
    /// Number of samples so far.
    count: usize,
    /// Time of the first sample.
    origin: Option<f64>,
    /// Detected marks, sorted by time within each band.
    pub marks: Vec<DetectedMark>,
    /// Detected silences, sorted by time within each band.
    pub silences: Vec<Silence>,
}

impl Default for MarkDetector {
    fn default() -> MarkDetector {
        MarkDetector::new()
    }
}

impl MarkDetector {
    /// A detector without any audio yet.
    pub fn new() -> MarkDetector {
        MarkDetector {
            filters: Filters::new(),
            bands: (0..BANDS).map(Band::new).collect(),
            recent: vec![0.0; FIRST - 1],
            count: 0,
            origin: None,
            marks: Vec::new(),
            silences: Vec::new(),
        }
    }

    /// Adds audio whose first sample has the timestamp `at` (seconds). Overlapping audio is skipped; gaps are silence.
    pub fn push(&mut self, at: f64, audio: &[f32]) {
        let origin = *self.origin.get_or_insert(at);
        let off = at - (origin + self.count as f64 / SAMPLE_RATE as f64);
        if off.abs() <= TOLERANCE {
            self.origin = Some(origin + off * 0.02);
            self.process(audio);
        } else if (0.0..=MAX_GAP).contains(&off) {
            self.push_silence((off * SAMPLE_RATE as f64).round() as usize);
            self.process(audio);
        } else if (-MAX_GAP..0.0).contains(&off) {
            let overlap = (-off * SAMPLE_RATE as f64).round() as usize;
            self.process(audio.get(overlap..).unwrap_or(&[]));
        } else {
            self.finish();
            let (marks, silences) = (std::mem::take(&mut self.marks), std::mem::take(&mut self.silences));
            *self = MarkDetector { origin: Some(at), marks, silences, ..MarkDetector::new() };
            self.process(audio);
        }
    }

    /// Completes the detection at the end of the audio. Nothing may follow.
    pub fn finish(&mut self) {
        let end = self.origin.unwrap_or(0.0) + self.count as f64 / SAMPLE_RATE as f64;
        // The delay of the filters and of the search for a mark.
        self.push_silence(DELAY + STEP * (SEARCH + LONG));
        for band in 0..self.bands.len() {
            let since = self.bands.get_mut(band).and_then(|state| state.quiet_since.take());
            if let Some(from) = since.map(|since| time_of(self.origin, since as f64)) {
                self.silences.push(Silence { band, from, until: end });
            }
        }
        let least = (MIN_SILENCE * STEP) as f64 / SAMPLE_RATE as f64;
        for silence in &mut self.silences {
            silence.until = silence.until.min(end);
        }
        self.silences.retain(|silence| silence.until - silence.from > least * 0.9);
    }

    fn push_silence(&mut self, mut samples: usize) {
        let silence = [0.0; 4800];
        while samples > 0 {
            let part = samples.min(silence.len());
            self.process(silence.get(..part).unwrap_or(&[]));
            samples -= part;
        }
    }

    fn process(&mut self, audio: &[f32]) {
        self.recent.extend_from_slice(audio);
        let mut number = self.count.div_ceil(STEP);
        while number * STEP < self.count + audio.len() {
            let from = number * STEP - self.count;
            let window = self.recent.get(from..from + FIRST).unwrap_or(&[]);
            for band in &mut self.bands {
                band.raw.push(self.filters.decimate(band.number, window, number));
            }
            number += 1;
        }
        self.count += audio.len();
        self.recent.drain(..self.recent.len().saturating_sub(FIRST - 1));
        let time = |place: f64| time_of(self.origin, place);
        for band in &mut self.bands {
            band.filter(&self.filters);
            band.search(&self.filters, |stamp, place| self.marks.push(DetectedMark { stamp, at: time(place) }));
            let number = band.number;
            band.find_silence(|from, until| {
                self.silences.push(Silence { band: number, from: time(from as f64), until: time(until as f64) });
            });
        }
    }
}

/// The time of a sample of a band, in audio that began at `origin`.
fn time_of(origin: Option<f64>, place: f64) -> f64 {
    origin.unwrap_or(0.0) + (place * STEP as f64 - DELAY as f64) / SAMPLE_RATE as f64
}

#[cfg(test)]
mod tests;
