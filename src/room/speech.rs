//! Whether one person speaks, told from the levels in the packets of their microphone (RFC 6464) alone: nothing is decoded. Pure: time is
//! passed in.
//!
//! A level says nothing of what is heard, but speech is louder than what is heard in its pauses, and its syllables rise and fall by many
//! decibels, several times a second. Noise and tones do neither, however loud they are.

use std::collections::VecDeque;

/// The time constant of the level that is judged, in ms: a syllable shows, the ripple of noise does not.
const SMOOTH_MS: f32 = 40.0;
/// Speech is louder by this than the quietest of the last seconds, in dB.
const ABOVE_FLOOR: f32 = 9.0;
/// Nothing below this is speech, in -dBov: what is heard of a quiet room.
const QUIETEST: f32 = 62.0;
/// The floor is the quietest of one to two such times, in ms: nobody speaks that long without taking breath.
const FLOOR_MS: u64 = 2500;
/// The level rises and falls by this with a syllable, in dB.
const SWING: f32 = 6.0;
/// So many rises and falls, and so much time above the floor, make speech, within a time, in ms.
const SWINGS: usize = 2;
const LOUD_MS: u64 = 360;
const WITHIN_MS: u64 = 1200;
/// What is remembered at most: packets are no shorter than 2.5 ms.
const MOST: usize = 512;

/// Follows the level of one microphone.
#[derive(Debug)]
pub struct SpeechDetector {
    /// Smoothed, in -dBov: 0 is loud, 127 silent.
    level: f32,
    heard_ms: u64,
    /// The quietest smoothed level since then, and before.
    floor: (u64, f32),
    before: f32,
    /// The direction of the last swing (true: louder), and the extreme since.
    rises: bool,
    extreme: f32,
    swings: VecDeque<u64>,
    /// Packets above the floor: when, and how long.
    loud: VecDeque<(u64, u64)>,
}

impl SpeechDetector {
    /// A microphone that is first heard at `now_ms`, with this level in dB below overload.
    pub fn new(level: u8, now_ms: u64) -> SpeechDetector {
        let level = f32::from(level);
        SpeechDetector {
            level,
            heard_ms: now_ms,
            floor: (now_ms, level),
            before: level,
            rises: false,
            extreme: level,
            swings: VecDeque::new(),
            loud: VecDeque::new(),
        }
    }

    /// One packet's level at `now_ms`: whether it is speech.
    pub fn heard(&mut self, level: u8, now_ms: u64) -> bool {
        let passed = now_ms.saturating_sub(self.heard_ms).max(1);
        self.heard_ms = now_ms;
        self.level += (f32::from(level) - self.level) * (passed as f32 / SMOOTH_MS).min(1.0);
        if now_ms.saturating_sub(self.floor.0) >= FLOOR_MS {
            self.before = self.floor.1;
            self.floor = (now_ms, self.level);
        }
        self.floor.1 = self.floor.1.max(self.level);
        let floor = self.floor.1.max(self.before);
        let is_loud = self.level <= (floor - ABOVE_FLOOR).min(QUIETEST);
        self.follow(now_ms);
        if is_loud {
            // After a pause without packets, this one does not stand for all of it.
            self.loud.push_back((now_ms, passed.min(60)));
        }
        let old = |at: u64| now_ms.saturating_sub(at) > WITHIN_MS;
        while self.loud.front().is_some_and(|(at, _)| old(*at)) || self.loud.len() > MOST {
            self.loud.pop_front();
        }
        while self.swings.front().is_some_and(|at| old(*at)) || self.swings.len() > MOST {
            self.swings.pop_front();
        }
        let loud_ms: u64 = self.loud.iter().map(|(_, lasts)| lasts).sum();
        is_loud && self.swings.len() >= SWINGS && loud_ms >= LOUD_MS
    }

    /// Counts a swing when the level has turned by [`SWING`].
    fn follow(&mut self, now_ms: u64) {
        let turned = if self.rises { self.level - self.extreme } else { self.extreme - self.level };
        if turned >= SWING {
            self.rises = !self.rises;
            self.extreme = self.level;
            self.swings.push_back(now_ms);
        } else {
            self.extreme = if self.rises { self.extreme.min(self.level) } else { self.extreme.max(self.level) };
        }
    }
}
