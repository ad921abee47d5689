//! Hears the marks in sound: each band is brought down to 960 complex samples a second, the falling chirps are looked for by a matched
//! filter, and the rising ones after them are read. It also notices where a band falls silent. It holds a second of sound.

mod band;
mod filters;

use super::chirp::{BANDS, RATE};
use super::code::MarkStamp;
use band::{AROUND, Band, QUIET};
use filters::{DELAY, FIRST, Filters, LONG, STEP};

/// Sound whose time is off by less is taken to follow what came before; the clock follows slowly.
const LOOSE: f64 = 0.02;
/// A longer gap is not filled with silence: everything starts anew behind it.
const LONGEST: f64 = 60.0;

/// A mark that was heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    pub stamp: MarkStamp,
    /// When it begins, seconds.
    pub at: f64,
}

/// A band that fell silent after a mark, from and until, seconds. The last one may have no end but that of the sound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Silence {
    pub band: usize,
    pub from: f64,
    pub until: f64,
}

/// Hears one track: sound of one channel at 48,000 Hz.
pub struct Listener {
    filters: Filters,
    bands: Vec<Band>,
    /// The last samples of the sound that the first filter still needs; silence before the first of all.
    recent: Vec<f32>,
    /// Samples that went in so far, and the time of the first.
    count: usize,
    origin: Option<f64>,
    /// What was heard so far, by time within each band.
    pub heard: Vec<Heard>,
    pub silences: Vec<Silence>,
}

impl Default for Listener {
    fn default() -> Listener {
        Listener::new()
    }
}

impl Listener {
    pub fn new() -> Listener {
        Listener {
            filters: Filters::new(),
            bands: (0..BANDS).map(Band::new).collect(),
            recent: vec![0.0; FIRST - 1],
            count: 0,
            origin: None,
            heard: Vec::new(),
            silences: Vec::new(),
        }
    }

    /// Takes the next sound, whose first sample is due `at` seconds. Sound that overlaps with what was heard is left out; gaps are
    /// silence.
    pub fn push(&mut self, at: f64, sound: &[f32]) {
        let origin = *self.origin.get_or_insert(at);
        let off = at - (origin + self.count as f64 / RATE as f64);
        if off.abs() <= LOOSE {
            self.origin = Some(origin + off * 0.02);
            self.take(sound);
        } else if (0.0..=LONGEST).contains(&off) {
            self.be_silent((off * RATE as f64).round() as usize);
            self.take(sound);
        } else if (-LONGEST..0.0).contains(&off) {
            let twice = (-off * RATE as f64).round() as usize;
            self.take(sound.get(twice..).unwrap_or(&[]));
        } else {
            self.finish();
            let (heard, silences) = (std::mem::take(&mut self.heard), std::mem::take(&mut self.silences));
            *self = Listener { origin: Some(at), heard, silences, ..Listener::new() };
            self.take(sound);
        }
    }

    /// Hears what is under way to its end. Nothing may follow.
    pub fn finish(&mut self) {
        let end = self.origin.unwrap_or(0.0) + self.count as f64 / RATE as f64;
        // As much as the filters and the search for a beginning hold back.
        self.be_silent(DELAY + STEP * (AROUND + LONG));
        for band in 0..self.bands.len() {
            let since = self.bands.get_mut(band).and_then(|state| state.quiet_since.take());
            if let Some(from) = since.map(|since| time_of(self.origin, since as f64)) {
                self.silences.push(Silence { band, from, until: end });
            }
        }
        let least = (QUIET * STEP) as f64 / RATE as f64;
        for silence in &mut self.silences {
            silence.until = silence.until.min(end);
        }
        self.silences.retain(|silence| silence.until - silence.from > least * 0.9);
    }

    fn be_silent(&mut self, mut samples: usize) {
        let silence = [0.0; 4800];
        while samples > 0 {
            let part = samples.min(silence.len());
            self.take(silence.get(..part).unwrap_or(&[]));
            samples -= part;
        }
    }

    fn take(&mut self, sound: &[f32]) {
        self.recent.extend_from_slice(sound);
        let mut number = self.count.div_ceil(STEP);
        while number * STEP < self.count + sound.len() {
            let from = number * STEP - self.count;
            let window = self.recent.get(from..from + FIRST).unwrap_or(&[]);
            for band in &mut self.bands {
                band.raw.push(self.filters.thin(band.number, window, number));
            }
            number += 1;
        }
        self.count += sound.len();
        self.recent.drain(..self.recent.len().saturating_sub(FIRST - 1));
        let time = |place: f64| time_of(self.origin, place);
        for band in &mut self.bands {
            band.refine(&self.filters);
            band.search(&self.filters, |stamp, place| self.heard.push(Heard { stamp, at: time(place) }));
            let number = band.number;
            band.listen(|from, until| {
                self.silences.push(Silence { band: number, from: time(from as f64), until: time(until as f64) });
            });
        }
    }
}

/// When a sample of a band is heard, in a sound that began at `origin`.
fn time_of(origin: Option<f64>, place: f64) -> f64 {
    origin.unwrap_or(0.0) + (place * STEP as f64 - DELAY as f64) / RATE as f64
}

#[cfg(test)]
mod tests;
