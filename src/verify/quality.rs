//! PSNR and SSIM of received frames: against their original, which is regenerated from the stamp, and against the frame that should be visible
//! at that time. Two comparisons a second; luma only.

use super::detections::Interval;
use super::stamp::luma::LumaPlane;
use super::stamp::reader::{Region, StampReader};
use super::stamp::source::StampedVideo;
use crate::error::Result;
use crate::media::{DecodedData, FileDecoder, Library};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Interval between two comparisons, seconds.
const INTERVAL: f64 = 0.5;
/// An edge of the source picture this near to the edge of the file counts as the same, as a share of its side.
const EDGE_TOLERANCE: f32 = 0.03;
/// Upper limit of PSNR, dB; the value of identical frames.
const MAX_PSNR: f64 = 100.0;
/// Side of an SSIM block, pixels.
const BLOCK: usize = 8;
/// The constants of SSIM for 8 bits: (0.01 x 255)² and (0.03 x 255)² (Wang et al. 2004).
const C1: f64 = 6.5025;
const C2: f64 = 58.5225;

/// The source with which a participant's frames are compared.
#[derive(Debug, Clone, Copy)]
pub struct ReferenceSource {
    /// Width and height of the source, pixels.
    pub size: (u32, u32),
    /// Time of frame 0, seconds.
    pub zero: f64,
    /// Frame rate.
    pub rate: u32,
}

/// A received frame and its original, greyscale.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedFrame {
    /// Seconds on the timeline.
    pub at: f64,
    /// PSNR of the two.
    pub psnr_db: f64,
    /// Width of both, pixels.
    pub width: usize,
    /// Height of both, pixels.
    pub height: usize,
    /// Luma as received, row by row.
    pub received: Vec<u8>,
    /// Luma of the original, scaled to the received size.
    pub sent: Vec<u8>,
}

/// Image quality of a participant's video.
#[derive(Debug, Clone, Default)]
pub struct Quality {
    matched: Mean,
    on_time: Mean,
    /// The frame with the lowest PSNR against its original.
    pub worst: Option<ComparedFrame>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    psnr: f64,
    ssim: f64,
    count: u32,
}

impl Quality {
    /// The mean figures, by name. Empty without comparisons.
    pub fn figures(&self) -> Vec<(&'static str, f64)> {
        let mut figures = Vec::new();
        if let (Some(matched), Some(on_time)) = (self.matched.value(), self.on_time.value()) {
            figures.extend([("psnr_db", matched.0), ("ssim", matched.1)]);
            figures.extend([("timeline_psnr_db", on_time.0), ("timeline_ssim", on_time.1)]);
        }
        figures
    }

    /// Adds the comparisons from another file of the same participant.
    pub fn add(&mut self, other: Quality) {
        self.matched.add(other.matched);
        self.on_time.add(other.on_time);
        self.worst = match (self.worst.take(), other.worst) {
            (Some(a), Some(b)) => Some(if b.psnr_db < a.psnr_db { b } else { a }),
            (a, b) => a.or(b),
        };
    }
}

impl Mean {
    fn value(self) -> Option<(f64, f64)> {
        let count = f64::from(self.count);
        (self.count > 0).then(|| (self.psnr / count, self.ssim / count))
    }
    fn add(&mut self, other: Mean) {
        self.psnr += other.psnr;
        self.ssim += other.ssim;
        self.count += other.count;
    }
}

/// The frame of a participant that is visible at the moment.
struct VisibleFrame {
    number: u32,
    /// Time of the next comparison, seconds.
    next: f64,
    region: Vec<u8>,
    width: usize,
    height: usize,
    /// The part of the source frame in the region, as shares of its width and height: left, top, right, bottom.
    part: [f32; 4],
}

/// Compares the frames of a file with their sources; both maps are by participant number. `session_time` maps the file's time to seconds on the
/// common timeline. A damaged file is compared up to the damage.
///
/// # Errors
/// The user's: there is no such file, or the source size cannot be stamped.
pub fn compare(
    library: &Library,
    path: &Path,
    session_time: impl Fn(Duration) -> f64,
    sources: &BTreeMap<u8, ReferenceSource>,
) -> Result<BTreeMap<u8, Quality>> {
    let mut made = BTreeMap::new();
    for (number, source) in sources {
        made.insert(*number, StampedVideo::new(*number, source.size, source.rate)?);
    }
    let mut found: BTreeMap<u8, Quality> = BTreeMap::new();
    let (mut held, mut readers): (BTreeMap<u8, VisibleFrame>, BTreeMap<usize, StampReader>) = Default::default();
    let mut playback = FileDecoder::open(library, path)?;
    // Errors were reported when the detections were read.
    while let Ok(Some(buffer)) = playback.next_buffer() {
        let DecodedData::Picture { luma, width, height } = buffer.data else { continue };
        let Some(luma) = LumaPlane::new(&luma, (width, height), width) else { continue };
        let at = session_time(buffer.at);
        for detected in readers.entry(buffer.stream).or_default().read(&luma) {
            let Some(stamp) = detected.stamp else { continue };
            let Some((source, pictures)) = sources.get(&stamp.participant).zip(made.get(&stamp.participant)) else {
                continue;
            };
            let quality = found.entry(stamp.participant).or_default();
            let next = match held.remove(&stamp.participant) {
                Some(mut before) => {
                    before.compare_until(at, source, pictures, quality);
                    before.next
                }
                // In the middle of the frame's duration: at its edge, rounding could select the neighbouring frame.
                None => at + 0.5 / f64::from(source.rate.max(1)),
            };
            if let Some(now) = VisibleFrame::of(&luma, detected.region, pictures.size(), stamp.number, next) {
                held.insert(stamp.participant, now);
            }
        }
    }
    Ok(found)
}

impl VisibleFrame {
    fn of(luma: &LumaPlane, region: Region, source: (usize, usize), number: u32, next: f64) -> Option<VisibleFrame> {
        let [x, y, wide, high] = region.picture(source)?;
        // Edges of a blurred picture are found with a small error, so a picture that almost fills the file is taken to fill it.
        let snapped = |from: f32, length: f32, side: usize| {
            let (until, side) = (from + length, side as f32);
            let from = if from.abs() < EDGE_TOLERANCE * length { 0.0 } else { from };
            (from, if (until - side).abs() < EDGE_TOLERANCE * length { side - from } else { until - from })
        };
        let ((x, wide), (y, high)) = (snapped(x, wide, luma.width()), snapped(y, high, luma.height()));
        let (left, top) = (x.round().max(0.0) as usize, y.round().max(0.0) as usize);
        let (right, low) =
            (((x + wide).round() as usize).min(luma.width()), ((y + high).round() as usize).min(luma.height()));
        let (width, height) = (right.checked_sub(left)?, low.checked_sub(top)?);
        if width < BLOCK || height < BLOCK {
            return None;
        }
        let mut region = Vec::with_capacity(width * height);
        (top..low).for_each(|row| region.extend_from_slice(luma.row(row).get(left..right).unwrap_or(&[])));
        let part = |from: usize, start: f32, whole: f32| ((from as f32 - start) / whole).clamp(0.0, 1.0);
        let part = [part(left, x, wide), part(top, y, high), part(right, x, wide), part(low, y, high)];
        (region.len() == width * height).then_some(VisibleFrame { number, next, region, width, height, part })
    }

    /// Makes all comparisons due before `at`, when the next frame appears.
    fn compare_until(&mut self, at: f64, source: &ReferenceSource, pictures: &StampedVideo, quality: &mut Quality) {
        let until = Interval { from: self.next, until: at };
        if until.until <= until.from {
            return;
        }
        let own = self.original(pictures, self.number);
        let matched = (psnr(&self.region, &own), ssim(&self.region, &own, self.width));
        if quality.worst.as_ref().is_none_or(|worst| matched.0 < worst.psnr_db) {
            let (width, height) = (self.width, self.height);
            let (received, sent) = (self.region.clone(), own);
            quality.worst = Some(ComparedFrame { at: self.next, psnr_db: matched.0, width, height, received, sent });
        }
        // A minute is enough for a frame that stays longer.
        for _ in 0..120 {
            if self.next >= at {
                break;
            }
            let due = ((self.next - source.zero) * f64::from(source.rate)).floor();
            let due = if due >= 0.0 { due as u32 } else { 0 };
            let should = self.original(pictures, due);
            quality.matched.add(Mean { psnr: matched.0, ssim: matched.1, count: 1 });
            let on_time = (psnr(&self.region, &should), ssim(&self.region, &should, self.width));
            quality.on_time.add(Mean { psnr: on_time.0, ssim: on_time.1, count: 1 });
            self.next += INTERVAL;
        }
        self.next = self.next.max(at);
    }

    /// ReferenceSource frame `number` scaled to the region, by averaging.
    fn original(&self, pictures: &StampedVideo, number: u32) -> Vec<u8> {
        let (wide, high) = pictures.size();
        let whole = pictures.luma(number);
        let span = |index: usize, count: usize, from: f32, until: f32, side: usize| {
            let edge = |i: usize| (from + (until - from) * i as f32 / count as f32) * side as f32;
            let first = (edge(index).round() as usize).min(side - 1);
            first..(edge(index + 1).round() as usize).clamp(first + 1, side)
        };
        let [left, top, right, low] = self.part;
        let columns: Vec<_> = (0..self.width).map(|x| span(x, self.width, left, right, wide)).collect();
        let mut scaled = Vec::with_capacity(self.width * self.height);
        for y in 0..self.height {
            let rows = span(y, self.height, top, low, high);
            for columns in &columns {
                let (mut sum, mut count) = (0u32, 0u32);
                for row in rows.clone() {
                    for value in whole.get(row * wide + columns.start..row * wide + columns.end).unwrap_or(&[]) {
                        sum += u32::from(*value);
                        count += 1;
                    }
                }
                scaled.push((sum / count.max(1)) as u8);
            }
        }
        scaled
    }
}

/// Peak signal-to-noise ratio of two planes of the same size, dB.
fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let square: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    let mean = square as f64 / a.len().max(1) as f64;
    if mean > 0.0 { (10.0 * (255.0 * 255.0 / mean).log10()).min(MAX_PSNR) } else { MAX_PSNR }
}

/// Mean structural similarity of two planes of the same size over 8x8 blocks; 1.0 if they are identical.
fn ssim(a: &[u8], b: &[u8], width: usize) -> f64 {
    let height = a.len() / width.max(1);
    let (mut sum, mut count) = (0.0, 0.0);
    for top in (0..height.saturating_sub(BLOCK - 1)).step_by(BLOCK) {
        for left in (0..width.saturating_sub(BLOCK - 1)).step_by(BLOCK) {
            let [mut sa, mut sb, mut aa, mut bb, mut ab] = [0u32; 5];
            for row in top..top + BLOCK {
                let range = row * width + left..row * width + left + BLOCK;
                let (Some(from_a), Some(from_b)) = (a.get(range.clone()), b.get(range)) else { continue };
                for (a, b) in from_a.iter().zip(from_b) {
                    let (a, b) = (u32::from(*a), u32::from(*b));
                    sa += a;
                    sb += b;
                    aa += a * a;
                    bb += b * b;
                    ab += a * b;
                }
            }
            let n = (BLOCK * BLOCK) as f64;
            let (ma, mb) = (f64::from(sa) / n, f64::from(sb) / n);
            let (va, vb) = (f64::from(aa) / n - ma * ma, f64::from(bb) / n - mb * mb);
            let cov = f64::from(ab) / n - ma * mb;
            sum += (2.0 * ma * mb + C1) * (2.0 * cov + C2) / ((ma * ma + mb * mb + C1) * (va + vb + C2));
            count += 1.0;
        }
    }
    if count > 0.0 { sum / count } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identical_frames_score_best() {
        let pictures = StampedVideo::new(1, (320, 180), 30).unwrap();
        let picture = pictures.luma(9);
        assert_eq!((psnr(&picture, &picture), ssim(&picture, &picture, 320)), (MAX_PSNR, 1.0));
        let brighter: Vec<u8> = picture.iter().map(|v| v + 10).collect();
        // A difference of 10 everywhere: 10 log10(255² / 100).
        assert!((psnr(&picture, &brighter) - 28.13).abs() < 0.01);
        assert!(ssim(&picture, &brighter, 320) > 0.98);
        let other = pictures.luma(200);
        assert!(psnr(&picture, &other) < 25.0 && ssim(&picture, &other, 320) < 0.7);
        assert_eq!((psnr(&[], &[]), ssim(&[], &[], 0)), (MAX_PSNR, 1.0));
    }

    #[test]
    fn a_scaled_region_is_compared_with_its_original() {
        let pictures = StampedVideo::new(1, (640, 360), 30).unwrap();
        let whole = pictures.luma(40);
        // Half size, inside a film.
        let mut film = vec![16u8; 400 * 300];
        for y in 0..180 {
            for x in 0..320 {
                let at = |dx: usize, dy: usize| u32::from(whole[(y * 2 + dy) * 640 + x * 2 + dx]);
                film[(y + 50) * 400 + x + 60] = ((at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1)) / 4) as u8;
            }
        }
        let luma = LumaPlane::new(&film, (400, 300), 400).unwrap();
        let detected = StampReader::new().read(&luma)[0];
        let held = VisibleFrame::of(&luma, detected.region, (640, 360), 40, 0.0).unwrap();
        assert!(held.width.abs_diff(320) <= 1 && held.height.abs_diff(180) <= 1, "{}x{}", held.width, held.height);
        let own = held.original(&pictures, 40);
        assert!(psnr(&held.region, &own) > 28.0, "{}", psnr(&held.region, &own));
        let other = held.original(&pictures, 70);
        assert!(psnr(&held.region, &other) < 22.0, "{}", psnr(&held.region, &other));
    }
}
