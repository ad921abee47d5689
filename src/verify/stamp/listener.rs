//! Hears the marks in sound: each band is brought down to 960 complex samples a second, the falling chirps are looked for by a matched
//! filter, and the rising ones after them are read. It also notices where a band falls silent. It holds a second of sound.

use super::chirp::{self, BANDS, CHIRP, CHIRPS, PREAMBLE, RATE};
use super::code::MarkStamp;
use std::f32::consts::TAU;

/// One sample of a band for so many of the sound.
const STEP: usize = 50;
/// Samples of a band in a chirp, in the falling ones, and in a whole mark.
const LONG: usize = CHIRP / STEP;
const HEAD: usize = LONG * PREAMBLE.len();
const WHOLE: usize = LONG * CHIRPS;
/// Taps of the filter before the samples are thinned out, and of the one after, which parts the bands from each other.
const FIRST: usize = 361;
const SECOND: usize = 49;
/// Oscillators repeat after so many samples: every band's middle is a multiple of 50 Hz.
const TURN: usize = RATE / 50;
/// How much of a band's power must be falling chirps for a mark to begin (as amplitude; noise has 0.13 on average).
const ALIKE: f32 = 0.5;
/// Marks are so far apart at least, samples of a band: a little less than a mark.
const APART: usize = WHOLE - LONG;
/// What the filters delay, in samples of the sound.
const DELAY: usize = (FIRST - 1) / 2 + (SECOND - 1) / 2 * STEP;
/// The beginning is looked for around the first likeness within so many samples of a band.
const AROUND: usize = LONG / 2;
/// Power of a band below which nothing is looked for: 80 dB below overload.
const FLOOR: f32 = 1e-8;
/// Sound whose time is off by less is taken to follow what came before; the clock follows slowly.
const LOOSE: f64 = 0.02;
/// A longer gap is not filled with silence: everything starts anew behind it.
const LONGEST: f64 = 60.0;
/// A band that is quieter than half of what it was (as amplitude) for so many samples of it is a gap: 40 ms.
const QUIET: usize = 38;
/// Chirps of a mark that are taken for what they are second most likely to be, one at a time, where its check code disagrees.
const DOUBTED: usize = 3;

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

#[derive(Debug, Clone, Copy, Default)]
struct Complex {
    re: f32,
    im: f32,
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

struct Filters {
    /// For each band the first filter with the band's oscillator in it.
    first: Vec<Vec<Complex>>,
    /// A turn back, in steps of one sample of 50 Hz.
    turns: Vec<Complex>,
    second: Vec<f32>,
    head: Vec<Complex>,
    /// The rising chirps.
    symbols: Vec<Vec<Complex>>,
}

struct Band {
    number: usize,
    /// Before the second filter: what it still needs.
    raw: Vec<Complex>,
    /// After it; the first of these is number `gone` of the track.
    samples: Vec<Complex>,
    gone: usize,
    /// The next place at which a mark may begin, and the best one so far with its likeness.
    next: usize,
    best: Option<(usize, f32)>,
    /// Mean power of the last mark.
    usual: f32,
    /// The next place that is looked at for silence, and since when it has been quiet.
    listened: usize,
    quiet_since: Option<usize>,
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

impl Filters {
    fn new() -> Filters {
        let low = low_pass(FIRST, 480.0 / RATE as f64);
        let first = (0..BANDS).map(|band| {
            let turn = |n: usize| Complex::turned(-((chirp::centre(band) * n) as f64) / RATE as f64);
            low.iter().enumerate().map(|(n, tap)| turn(n).scaled(*tap)).collect()
        });
        let chirp = |rises: bool, shift: u8| {
            (0..LONG).map(move |n| Complex::turned(chirp::phase(rises, shift, n as f64 / LONG as f64)))
        };
        Filters {
            first: first.collect(),
            turns: (0..TURN).map(|n| Complex::turned(-(n as f64) / TURN as f64)).collect(),
            second: low_pass(SECOND, 225.0 * STEP as f64 / RATE as f64),
            head: PREAMBLE.iter().flat_map(|shift| chirp(false, *shift)).collect(),
            symbols: (0..16).map(|shift| chirp(true, shift).collect()).collect(),
        }
    }

    /// Sample `number` of a band from the window of the sound that ends with it.
    fn thin(&self, band: usize, window: &[f32], number: usize) -> Complex {
        let mut sum = Complex::default();
        for (tap, sample) in self.first.get(band).into_iter().flatten().zip(window) {
            sum.re += tap.re * sample;
            sum.im += tap.im * sample;
        }
        // The filter's oscillator begins with the window; the band's began with the sound.
        let start = number * STEP + TURN - (FIRST - 1);
        let turn = start % TURN * (chirp::centre(band) / 50) % TURN;
        sum.times(self.turns.get(turn).copied().unwrap_or_default())
    }
}

impl Band {
    fn new(number: usize) -> Band {
        Band {
            number,
            raw: vec![Complex::default(); SECOND - 1],
            samples: Vec::new(),
            gone: 0,
            next: 0,
            best: None,
            usual: f32::INFINITY,
            listened: 0,
            quiet_since: None,
        }
    }

    /// What the second filter makes of the samples that came.
    fn refine(&mut self, filters: &Filters) {
        let refined = self.raw.windows(SECOND).map(|window| {
            let parts = filters.second.iter().zip(window);
            parts.fold(Complex::default(), |sum, (tap, sample)| sum.plus(sample.scaled(*tap)))
        });
        self.samples.extend(refined);
        self.raw.drain(..self.raw.len().saturating_sub(SECOND - 1));
        let needed = self.next.saturating_sub(AROUND + 2).min(self.listened);
        let spare = needed.saturating_sub(self.gone).min(self.samples.len());
        if spare > WHOLE {
            self.samples.drain(..spare);
            self.gone += spare;
        }
    }

    /// Looks for marks as far as there are samples; tells what each says and where it begins.
    fn search(&mut self, filters: &Filters, mut tell: impl FnMut(MarkStamp, f64)) {
        while self.next + WHOLE <= self.gone + self.samples.len() {
            let likeness = self.likeness(filters, self.next);
            if likeness >= ALIKE && self.best.is_none_or(|(_, best)| likeness > best) {
                self.best = Some((self.next, likeness));
            }
            let Some((place, likeness)) = self.best.filter(|(place, _)| self.next >= place + AROUND) else {
                self.next += 1;
                continue;
            };
            self.best = None;
            match self.read(filters, place).filter(|stamp| chirp::band(stamp.participant) == self.number) {
                Some(stamp) => {
                    let before = place.checked_sub(1).map_or(0.0, |before| self.likeness(filters, before));
                    tell(stamp, place as f64 + summit(before, likeness, self.likeness(filters, place + 1)));
                    self.usual = mean_power(self.window(place, WHOLE));
                    self.next = place + APART;
                }
                None => self.next += 1,
            }
        }
    }

    /// How much of what begins at `place` is the falling chirps: 0 to 1, as amplitude.
    fn likeness(&self, filters: &Filters, place: usize) -> f32 {
        let window = self.window(place, HEAD);
        let (mut sum, mut power) = (Complex::default(), 0.0);
        for (sample, head) in window.iter().zip(&filters.head) {
            sum = sum.plus(sample.times(head.mirrored()));
            power += sample.power();
        }
        if power < FLOOR * HEAD as f32 { 0.0 } else { (sum.power() / (power * HEAD as f32)).sqrt() }
    }

    /// What the mark says that begins at `place`.
    fn read(&self, filters: &Filters, place: usize) -> Option<MarkStamp> {
        let mut symbols = [0u8; 8];
        // Of each chirp what it might be instead, and how little speaks against that.
        let mut doubts: Vec<(f32, usize, u8)> = Vec::new();
        for (index, symbol) in symbols.iter_mut().enumerate() {
            let window = self.window(place + HEAD + index * LONG, LONG);
            let mut likely: Vec<(f32, u8)> = filters
                .symbols
                .iter()
                .zip(0u8..)
                .map(|(chirp, value)| {
                    let pairs = window.iter().zip(chirp);
                    (pairs.fold(Complex::default(), |sum, (s, c)| sum.plus(s.times(c.mirrored()))).power(), value)
                })
                .collect();
            likely.sort_by(|a, b| b.0.total_cmp(&a.0));
            let [first, second, ..] = likely.as_slice() else { return None };
            *symbol = first.1;
            doubts.push((first.0 / second.0.max(f32::MIN_POSITIVE), index, second.1));
        }
        doubts.sort_by(|a, b| a.0.total_cmp(&b.0));
        let instead = doubts.iter().take(DOUBTED).map(|(_, index, value)| {
            let mut other = symbols;
            other.iter_mut().skip(*index).take(1).for_each(|symbol| *symbol = *value);
            other
        });
        std::iter::once(symbols).chain(instead).find_map(MarkStamp::read)
    }

    /// Looks for silence as far as marks were looked for.
    fn listen(&mut self, mut tell: impl FnMut(usize, usize)) {
        let end = self.next.min(self.gone + self.samples.len());
        for place in self.listened..end {
            // Two samples and more: one alone may be the seam of two chirps.
            let is_quiet = mean_power(self.window(place, 4)) < self.usual / 4.0 && self.usual.is_finite();
            match (is_quiet, self.quiet_since) {
                (true, None) => self.quiet_since = Some(place),
                (false, Some(since)) => {
                    self.quiet_since = None;
                    if place - since >= QUIET {
                        tell(since, place);
                    }
                }
                _ => {}
            }
        }
        self.listened = end.max(self.listened);
    }

    fn window(&self, place: usize, length: usize) -> &[Complex] {
        let from = place.saturating_sub(self.gone).min(self.samples.len());
        let to = (from + length).min(self.samples.len());
        self.samples.get(from..to).unwrap_or(&[])
    }
}

impl Complex {
    fn turned(turns: f64) -> Complex {
        let angle = turns.fract() as f32 * TAU;
        Complex { re: angle.cos(), im: angle.sin() }
    }
    fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }
    fn mirrored(self) -> Complex {
        Complex { re: self.re, im: -self.im }
    }
    fn scaled(self, by: f32) -> Complex {
        Complex { re: self.re * by, im: self.im * by }
    }
    fn plus(self, other: Complex) -> Complex {
        Complex { re: self.re + other.re, im: self.im + other.im }
    }
    fn times(self, other: Complex) -> Complex {
        Complex { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }
}

fn mean_power(samples: &[Complex]) -> f32 {
    samples.iter().map(|s| s.power()).sum::<f32>() / samples.len().max(1) as f32
}

/// Where between -1/2 and 1/2 a curve through three values is highest, the middle one being the highest of them.
fn summit(before: f32, here: f32, after: f32) -> f64 {
    let bend = before - 2.0 * here + after;
    if bend >= 0.0 { 0.0 } else { f64::from(((before - after) / (2.0 * bend)).clamp(-0.5, 0.5)) }
}

/// The taps of a low pass, its edge as a part of the sampling rate (a windowed sinc, Hamming).
fn low_pass(taps: usize, edge: f64) -> Vec<f32> {
    use std::f64::consts::PI;
    let middle = (taps - 1) as f64 / 2.0;
    let tap = |n: usize| {
        let x = n as f64 - middle;
        let sinc = if x == 0.0 { 2.0 * edge } else { (2.0 * PI * edge * x).sin() / (PI * x) };
        sinc * (0.54 - 0.46 * (2.0 * PI * n as f64 / (taps - 1) as f64).cos())
    };
    let all: Vec<f64> = (0..taps).map(tap).collect();
    let sum: f64 = all.iter().sum();
    all.iter().map(|tap| (tap / sum) as f32).collect()
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
