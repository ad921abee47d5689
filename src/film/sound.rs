//! Mixes all audio tracks of a recording: each placed by its clock, without drift, gaps silent, never clipped.

use super::track_decoder::TrackDecoder;
use crate::error::{Error, Result};
use crate::media::{Decoder, Library};
use crate::recording::manifest::TrackEntry;
use std::collections::VecDeque;
use std::path::PathBuf;

/// The sample rate.
pub const RATE: i64 = 48_000;
/// Deviations of a position that are not corrected: file times are rounded to a millisecond.
const TOLERANCE: i64 = RATE / 500;
/// A larger deviation is a gap, or a jump of the sender's clock.
const JUMP: i64 = RATE * 60 / 1000;
/// A packet that begins this much after the end of the one before, by the sender's time, follows a lost one: that is a gap as well,
/// however short, and no drift. Times in files are rounded to a millisecond, and packets are no shorter.
const LOST: i64 = RATE * 4 / 1000;
/// After a gap, sound is faded in over so many samples, so that it does not click.
const FADE_IN: usize = 240;
/// A track's file is opened so many samples before its first one.
const OPEN_EARLY: i64 = RATE / 5;
/// The lookahead of the Opus encoder (libopus, which every browser uses), in samples: decoded sound is that late, and RTP has no
/// pre-skip.
const OPUS_LOOKAHEAD: i64 = 312;
/// Samples above this are compressed, so that no sum of voices reaches 1.
const LIMITER_KNEE: f32 = 0.8;

/// A mix of several tracks.
pub struct Mixer {
    tracks: Vec<MixerTrack>,
    /// The next sample.
    at: i64,
    gain: f32,
}

struct MixerTrack {
    decoder: TrackDecoder,
    blocks: VecDeque<Block>,
    /// The end of the last block.
    end: Option<i64>,
    /// When the next packet is due unless it is lost.
    next_due: Option<i64>,
}

/// Contiguous sound: the position of its first sample; left and right samples in turn.
struct Block {
    at: i64,
    samples: Vec<f32>,
}

impl Block {
    fn end(&self) -> i64 {
        self.at + (self.samples.len() / 2) as i64
    }
}

impl Mixer {
    /// A mix without tracks, from sample `at` of the session on.
    pub fn new(at: i64) -> Mixer {
        Mixer { tracks: Vec::new(), at, gain: 1.0 }
    }

    /// Adds the track file at `path`; nothing is opened yet. Tracks are numbered as they are added.
    pub fn add(&mut self, path: PathBuf, track: &TrackEntry, grows: bool) {
        self.tracks.push(MixerTrack {
            decoder: TrackDecoder::new(path, track, grows),
            blocks: VecDeque::new(),
            end: None,
            next_due: None,
        });
    }

    /// Updates what is known of track `number`: false where there is no such track.
    pub fn update(&mut self, number: usize, track: &TrackEntry, grows: bool) -> bool {
        let mixed = self.tracks.get_mut(number);
        mixed.map(|mixed| mixed.decoder.update(track, grows)).is_some()
    }

    /// Multiplies everything by `gain` from now on.
    pub fn set_gain(&mut self, gain: f32) {
        self.gain = gain;
    }

    /// The mix until sample `until` of the session, left and right samples in turn, as [`Mixer::sum`] but limited.
    pub fn mix(&mut self, library: &Library, until: i64, failed: impl FnMut(Error)) -> Vec<i16> {
        let gain = self.gain;
        self.sum(library, until, failed).into_iter().map(|s| (limited(s * gain) * 32767.0).round() as i16).collect()
    }

    /// The sum of all sound until sample `until` of the session, left and right in turn; 1.0 is full scale, and sums may be louder.
    /// Tracks that fail are left out from there on, and their errors are passed to `failed`.
    pub fn sum(&mut self, library: &Library, until: i64, mut failed: impl FnMut(Error)) -> Vec<f32> {
        let length = usize::try_from(until - self.at).unwrap_or(0);
        let mut sum = vec![0.0f32; length * 2];
        for track in &mut self.tracks {
            if let Err(error) = track.fill(library, self.at, until) {
                track.decoder.close();
                failed(error);
            }
            track.add(&mut sum, self.at);
        }
        self.at += length as i64;
        sum
    }
}

impl MixerTrack {
    /// Decodes until there is sound for every sample before `until`, or none in the file (yet).
    fn fill(&mut self, library: &Library, from: i64, until: i64) -> Result<()> {
        if self.decoder.is_closed() || samples(self.decoder.start_ns()) > until.saturating_add(OPEN_EARLY) {
            return Ok(());
        }
        if self.end.is_none() {
            // Sound before the film is not decoded.
            self.decoder.skip(nanos(from.saturating_sub(OPEN_EARLY)))?;
        }
        while self.end.is_none_or(|end| end < until) {
            let Some((due, sound)) = self.decoder.next(library, Decoder::sound)? else { return Ok(()) };
            self.place(samples(due) - OPUS_LOOKAHEAD, sound.into_iter().map(|s| f32::from(s) / 32768.0).collect());
        }
        Ok(())
    }

    /// Appends sound that is due at `due`: without a seam where it follows, one sample longer or shorter where clocks drift,
    /// after a gap where there is one.
    fn place(&mut self, due: i64, mut samples: Vec<f32>) {
        let off = self.end.map(|end| due - end);
        let follows = self.next_due.is_none_or(|next| due - next < LOST);
        self.next_due = Some(due + (samples.len() / 2) as i64);
        let at = match (off, self.end) {
            (Some(off), Some(end)) if off.abs() <= JUMP && (follows || off <= TOLERANCE) => {
                let length = samples.len() / 2;
                if off > TOLERANCE {
                    samples = stretched(&samples, length + 1);
                } else if off < -TOLERANCE && length > 2 {
                    samples = stretched(&samples, length - 1);
                }
                end
            }
            // The clock stepped back: sound is dropped until it has caught up.
            (Some(off), _) if off < 0 => return,
            _ => {
                for (index, pair) in samples.chunks_mut(2).take(FADE_IN).enumerate() {
                    pair.iter_mut().for_each(|s| *s *= index as f32 / FADE_IN as f32);
                }
                due
            }
        };
        let block = Block { at, samples };
        self.end = Some(block.end());
        self.blocks.push_back(block);
    }

    /// Adds the sound within `sum`, whose first sample is `from`, and drops what ends before its end.
    fn add(&mut self, sum: &mut [f32], from: i64) {
        let until = from + (sum.len() / 2) as i64;
        for block in &self.blocks {
            let (first, last) = (block.at.max(from), block.end().min(until));
            let (Ok(length), Ok(here), Ok(there)) =
                (usize::try_from(last - first), usize::try_from(first - from), usize::try_from(first - block.at))
            else {
                continue;
            };
            let own = block.samples.iter().skip(there * 2).take(length * 2);
            sum.iter_mut().skip(here * 2).zip(own).for_each(|(sum, own)| *sum += own);
        }
        self.blocks.retain(|block| block.end() > until);
    }
}

/// Samples as session nanoseconds.
pub(super) fn nanos(samples: i64) -> i64 {
    (i128::from(samples) * 1_000_000_000 / i128::from(RATE)) as i64
}

/// Session nanoseconds as samples.
fn samples(nanos: i64) -> i64 {
    (i128::from(nanos) * i128::from(RATE) / 1_000_000_000) as i64
}

/// The same sound in `length` samples, by linear interpolation.
fn stretched(samples: &[f32], length: usize) -> Vec<f32> {
    let last = (samples.len() / 2).saturating_sub(1);
    let step = last as f64 / (length.max(2) - 1) as f64;
    let value = |index: usize, channel: usize| samples.get(index.min(last) * 2 + channel).copied().unwrap_or(0.0);
    let at = |n: usize, channel: usize| {
        let place = n as f64 * step;
        let (index, part) = (place as usize, place.fract() as f32);
        value(index, channel) * (1.0 - part) + value(index + 1, channel) * part
    };
    (0..length).flat_map(|n| [at(n, 0), at(n, 1)]).collect()
}

/// A soft limiter: unchanged below the knee, approaching 1 above.
fn limited(sample: f32) -> f32 {
    let above = sample.abs() - LIMITER_KNEE;
    if above <= 0.0 {
        sample
    } else {
        (LIMITER_KNEE + (1.0 - LIMITER_KNEE) * (above / (1.0 - LIMITER_KNEE)).tanh()).copysign(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::media::{Codec, Source};

    fn mixer(tracks: usize) -> Mixer {
        let track = TrackEntry::new("x", "a", Source::Mic, Codec::Opus, 0);
        let mut mixer = Mixer::new(0);
        (0..tracks).for_each(|_| mixer.add(PathBuf::new(), &track, false));
        mixer.tracks.iter_mut().for_each(|track| track.decoder.close());
        mixer
    }

    fn mix(mixer: &mut Mixer, until: i64) -> Vec<i16> {
        mixer.mix(&Library::default(), until, |e| panic!("{e}"))
    }

    #[test]
    fn sound_lies_at_its_place_and_gaps_are_silent() {
        let mut mixer = mixer(1);
        mixer.tracks[0].place(1000, vec![0.5; 2 * 960]);
        mixer.tracks[0].place(10_000, vec![0.5; 2 * 960]);
        let first = mix(&mut mixer, 1500);
        assert_eq!((first.len(), first[2 * 999], first[2 * 1000 + 1], first[2 * 1499]), (3000, 0, 0, 16384));
        let rest = mix(&mut mixer, 12_000);
        assert_eq!((rest[2 * 459], rest[2 * 460], rest[2 * 8499], rest[2 * 9000]), (16384, 0, 0, 16384));
        assert!(mixer.tracks[0].blocks.is_empty());
    }

    #[test]
    fn many_voices_do_not_clip() {
        let mut mixer = mixer(20);
        mixer.tracks.iter_mut().for_each(|track| track.place(0, vec![-0.9; 2 * 960]));
        let mixed = mix(&mut mixer, 960);
        assert!(mixed.iter().all(|s| *s > i16::MIN) && mixed[2 * 959] < -32_000);
        assert_eq!(limited(0.3), 0.3);
        assert!(limited(0.9) < limited(1.2) && limited(50.0) <= 1.0);
    }

    #[test]
    fn drift_is_taken_out_sample_by_sample() {
        let mut mixer = mixer(1);
        let track = &mut mixer.tracks[0];
        // A sender whose seconds are 200 ppm long: after a hundred seconds it would be 20 ms behind.
        for packet in 0..5000i64 {
            track.place(packet * 960 + packet * 960 / 5000, vec![0.1; 2 * 960]);
            let end = track.end.unwrap();
            assert!((end - (packet + 1) * 960 - packet * 960 / 5000).abs() <= TOLERANCE + 1, "{packet}: {end}");
            track.blocks.clear();
        }
        track.place(0, vec![0.1; 2 * 960]);
        assert!(track.blocks.is_empty(), "a clock that steps back is waited for");
    }

    #[test]
    fn what_comes_after_a_lost_packet_is_not_early() {
        let mut mixer = mixer(1);
        let track = &mut mixer.tracks[0];
        for packet in (0..3000i64).filter(|packet| packet % 10 != 7) {
            track.place(packet * 960, vec![0.1; 2 * 960]);
            assert_eq!(track.blocks.pop_back().map(|block| block.at), Some(packet * 960));
        }
    }

    #[test]
    fn stretching_keeps_both_ends() {
        let ramp: Vec<f32> = (0..960).flat_map(|n| [n as f32, -(n as f32)]).collect();
        for length in [959, 961] {
            let other = stretched(&ramp, length);
            assert_eq!((other.len(), other[0], other[1]), (2 * length, 0.0, 0.0));
            assert!((other[2 * length - 2] - 959.0).abs() < 1e-2 && (other[2 * length - 1] + 959.0).abs() < 1e-2);
        }
        assert_eq!(stretched(&[], 1), [0.0, 0.0]);
    }
}
