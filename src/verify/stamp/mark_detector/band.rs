//! One band: finds and decodes the marks in it, and finds silences.

use super::filters::{Complex, Filters, LONG, SECOND};
use crate::verify::stamp::chirp::{self, CHIRPS_PER_MARK, PREAMBLE};
use crate::verify::stamp::code::MarkStamp;

/// Samples of a band in the falling chirps, and in a whole mark.
const HEAD: usize = LONG * PREAMBLE.len();
const WHOLE: usize = LONG * CHIRPS_PER_MARK;
/// Minimum correlation with the falling chirps at the start of a mark (0 to 1; noise has 0.13 on average).
const MIN_CORRELATION: f32 = 0.5;
/// Minimum distance between marks, samples of a band: a little less than a mark.
const MIN_DISTANCE: usize = WHOLE - LONG;
/// The best correlation is searched within this many samples of a band after the first sufficient one.
pub const SEARCH: usize = LONG / 2;
/// Power of a band below which no mark is searched: -80 dBFS.
const FLOOR: f32 = 1e-8;
/// A band below half of its usual amplitude for this many samples of it is silent: 40 ms.
pub const MIN_SILENCE: usize = 38;
/// Number of chirps for which the second most likely symbol is tried, one at a time, if the CRC does not match.
const ALTERNATIVES: usize = 3;

/// The state of one band.
pub struct Band {
    pub number: usize,
    /// Input of the second filter that it still needs.
    pub raw: Vec<Complex>,
    /// Output of the second filter; the first of these is sample `removed` of the track.
    samples: Vec<Complex>,
    removed: usize,
    /// The next position at which a mark may begin.
    next: usize,
    /// The best position so far, and its correlation.
    best: Option<(usize, f32)>,
    /// Mean power of the last mark.
    usual_power: f32,
    /// The next position that is checked for silence.
    checked: usize,
    /// Start of the current silence.
    pub quiet_since: Option<usize>,
}

impl Band {
    pub fn new(number: usize) -> Band {
        Band {
            number,
            raw: vec![Complex::default(); SECOND - 1],
            samples: Vec::new(),
            removed: 0,
            next: 0,
            best: None,
            usual_power: f32::INFINITY,
            checked: 0,
            quiet_since: None,
        }
    }

    /// Applies the second filter to new samples.
    pub fn filter(&mut self, filters: &Filters) {
        let refined = self.raw.windows(SECOND).map(|window| {
            let parts = filters.second.iter().zip(window);
            parts.fold(Complex::default(), |sum, (tap, sample)| sum.plus(sample.scaled(*tap)))
        });
        self.samples.extend(refined);
        self.raw.drain(..self.raw.len().saturating_sub(SECOND - 1));
        let needed = self.next.saturating_sub(SEARCH + 2).min(self.checked);
        let spare = needed.saturating_sub(self.removed).min(self.samples.len());
        if spare > WHOLE {
            self.samples.drain(..spare);
            self.removed += spare;
        }
    }

    /// Searches the new samples for marks; reports each with its position.
    pub fn search(&mut self, filters: &Filters, mut found: impl FnMut(MarkStamp, f64)) {
        while self.next + WHOLE <= self.removed + self.samples.len() {
            let correlation = self.correlation(filters, self.next);
            if correlation >= MIN_CORRELATION && self.best.is_none_or(|(_, best)| correlation > best) {
                self.best = Some((self.next, correlation));
            }
            let Some((position, correlation)) = self.best.filter(|(position, _)| self.next >= position + SEARCH) else {
                self.next += 1;
                continue;
            };
            self.best = None;
            match self.decode(filters, position).filter(|stamp| chirp::band(stamp.participant) == self.number) {
                Some(stamp) => {
                    let before = position.checked_sub(1).map_or(0.0, |before| self.correlation(filters, before));
                    found(stamp, position as f64 + peak(before, correlation, self.correlation(filters, position + 1)));
                    self.usual_power = mean_power(self.window(position, WHOLE));
                    self.next = position + MIN_DISTANCE;
                }
                None => self.next += 1,
            }
        }
    }

    /// Correlation of the samples from `position` on with the falling chirps, 0 to 1.
    fn correlation(&self, filters: &Filters, position: usize) -> f32 {
        let window = self.window(position, HEAD);
        let (mut sum, mut power) = (Complex::default(), 0.0);
        for (sample, head) in window.iter().zip(&filters.head) {
            sum = sum.plus(sample.times(head.conjugate()));
            power += sample.power();
        }
        if power < FLOOR * HEAD as f32 { 0.0 } else { (sum.power() / (power * HEAD as f32)).sqrt() }
    }

    /// Decodes the mark that begins at `position`.
    fn decode(&self, filters: &Filters, position: usize) -> Option<MarkStamp> {
        let mut symbols = [0u8; 8];
        // For each chirp: how much more likely the best symbol is than the second best, index, second best symbol.
        let mut alternatives: Vec<(f32, usize, u8)> = Vec::new();
        for (index, symbol) in symbols.iter_mut().enumerate() {
            let window = self.window(position + HEAD + index * LONG, LONG);
            let mut likely: Vec<(f32, u8)> = filters
                .symbols
                .iter()
                .zip(0u8..)
                .map(|(chirp, value)| {
                    let pairs = window.iter().zip(chirp);
                    (pairs.fold(Complex::default(), |sum, (s, c)| sum.plus(s.times(c.conjugate()))).power(), value)
                })
                .collect();
            likely.sort_by(|a, b| b.0.total_cmp(&a.0));
            let [first, second, ..] = likely.as_slice() else { return None };
            *symbol = first.1;
            alternatives.push((first.0 / second.0.max(f32::MIN_POSITIVE), index, second.1));
        }
        alternatives.sort_by(|a, b| a.0.total_cmp(&b.0));
        let corrected = alternatives.iter().take(ALTERNATIVES).map(|(_, index, value)| {
            let mut other = symbols;
            other.iter_mut().skip(*index).take(1).for_each(|symbol| *symbol = *value);
            other
        });
        std::iter::once(symbols).chain(corrected).find_map(MarkStamp::read)
    }

    /// Searches for silences up to where marks have been searched; reports start and end.
    pub fn find_silence(&mut self, mut found: impl FnMut(usize, usize)) {
        let end = self.next.min(self.removed + self.samples.len());
        for position in self.checked..end {
            // More than one sample: the power drops briefly between two chirps.
            let is_quiet =
                mean_power(self.window(position, 4)) < self.usual_power / 4.0 && self.usual_power.is_finite();
            match (is_quiet, self.quiet_since) {
                (true, None) => self.quiet_since = Some(position),
                (false, Some(since)) => {
                    self.quiet_since = None;
                    if position - since >= MIN_SILENCE {
                        found(since, position);
                    }
                }
                _ => {}
            }
        }
        self.checked = end.max(self.checked);
    }

    fn window(&self, position: usize, length: usize) -> &[Complex] {
        let from = position.saturating_sub(self.removed).min(self.samples.len());
        let to = (from + length).min(self.samples.len());
        self.samples.get(from..to).unwrap_or(&[])
    }
}

fn mean_power(samples: &[Complex]) -> f32 {
    samples.iter().map(|s| s.power()).sum::<f32>() / samples.len().max(1) as f32
}

/// Position (-1/2 to 1/2) of the maximum of a parabola through three values, of which the middle one is the highest.
fn peak(before: f32, here: f32, after: f32) -> f64 {
    let bend = before - 2.0 * here + after;
    if bend >= 0.0 { 0.0 } else { f64::from(((before - after) / (2.0 * bend)).clamp(-0.5, 0.5)) }
}
