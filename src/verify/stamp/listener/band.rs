//! One band: where marks begin in it, what they say, and where it falls silent.

use super::filters::{Complex, Filters, LONG, SECOND};
use crate::verify::stamp::MarkStamp;
use crate::verify::stamp::chirp::{self, CHIRPS, PREAMBLE};

/// Samples of a band in the falling chirps, and in a whole mark.
const HEAD: usize = LONG * PREAMBLE.len();
const WHOLE: usize = LONG * CHIRPS;
/// How much of a band's power must be falling chirps for a mark to begin (as amplitude; noise has 0.13 on average).
const ALIKE: f32 = 0.5;
/// Marks are so far apart at least, samples of a band: a little less than a mark.
const APART: usize = WHOLE - LONG;
/// The beginning is looked for around the first likeness within so many samples of a band.
pub const AROUND: usize = LONG / 2;
/// Power of a band below which nothing is looked for: 80 dB below overload.
const FLOOR: f32 = 1e-8;
/// A band that is quieter than half of what it was (as amplitude) for so many samples of it is a gap: 40 ms.
pub const QUIET: usize = 38;
/// Chirps of a mark that are taken for what they are second most likely to be, one at a time, where its check code disagrees.
const DOUBTED: usize = 3;

/// One band of the sound, so far.
pub struct Band {
    pub number: usize,
    /// Before the second filter: what it still needs.
    pub raw: Vec<Complex>,
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
    pub quiet_since: Option<usize>,
}

impl Band {
    pub fn new(number: usize) -> Band {
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
    pub fn refine(&mut self, filters: &Filters) {
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
    pub fn search(&mut self, filters: &Filters, mut tell: impl FnMut(MarkStamp, f64)) {
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
    pub fn listen(&mut self, mut tell: impl FnMut(usize, usize)) {
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

fn mean_power(samples: &[Complex]) -> f32 {
    samples.iter().map(|s| s.power()).sum::<f32>() / samples.len().max(1) as f32
}

/// Where between -1/2 and 1/2 a curve through three values is highest, the middle one being the highest of them.
fn summit(before: f32, here: f32, after: f32) -> f64 {
    let bend = before - 2.0 * here + after;
    if bend >= 0.0 { 0.0 } else { f64::from(((before - after) / (2.0 * bend)).clamp(-0.5, 0.5)) }
}
