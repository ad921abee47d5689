//! Who speaks, told from the loudness in the packets (RFC 6464): no decoding. Pure: time is passed in.

use super::media::AudioLevel;
use std::collections::BTreeMap;

/// Louder than this (in -dBov) counts as speech; rooms hum at about 60.
const SPEECH: f32 = 50.0;
/// The time constant over which loudness is averaged, in ms: a cough is no speech.
const SMOOTH_MS: f32 = 150.0;
/// Somebody else must be louder for this long before the word goes to them.
const TAKE_OVER_MS: u64 = 400;
/// A pause of this length is still the same speaker.
const PAUSE_MS: u64 = 1200;

/// Follows the loudness of every microphone and says who has the floor.
#[derive(Debug, Default)]
pub struct SpeakerDetector {
    voices: BTreeMap<String, Voice>,
    speaker: Option<String>,
    /// Who has been louder than the speaker, since when (session ms).
    challenger: Option<(String, u64)>,
}

#[derive(Debug, Clone, Copy)]
struct Voice {
    /// Averaged level in -dBov: 0 loud, 127 silent.
    level: f32,
    heard_ms: u64,
    /// Last time above the threshold.
    spoke_ms: Option<u64>,
}

impl SpeakerDetector {
    /// One packet's level from the microphone of `who` at `now_ms` of session time.
    pub fn heard(&mut self, who: &str, level: AudioLevel, now_ms: u64) {
        let new = f32::from(level.below_overload);
        if !self.voices.contains_key(who) {
            self.voices.insert(who.to_owned(), Voice { level: 127.0, heard_ms: now_ms, spoke_ms: None });
        }
        let Some(voice) = self.voices.get_mut(who) else { return };
        let passed = now_ms.saturating_sub(voice.heard_ms).max(1) as f32;
        voice.level += (new - voice.level) * (passed / SMOOTH_MS).min(1.0);
        voice.heard_ms = now_ms;
        if voice.level < SPEECH {
            voice.spoke_ms = Some(now_ms);
        }
    }

    /// The participant or their microphone is gone.
    pub fn gone(&mut self, who: &str) {
        self.voices.remove(who);
    }

    /// Looks again at `now_ms`; `Some` when the floor has changed hands, with who has it now.
    pub fn poll(&mut self, now_ms: u64) -> Option<Option<String>> {
        let speaks = |voice: &Voice| voice.spoke_ms.is_some_and(|at| now_ms.saturating_sub(at) < PAUSE_MS);
        let loudest = self
            .voices
            .iter()
            .filter(|(_, v)| v.level < SPEECH && now_ms.saturating_sub(v.heard_ms) < PAUSE_MS)
            .min_by(|a, b| a.1.level.total_cmp(&b.1.level))
            .map(|(who, _)| who.clone());
        let holds = self.speaker.as_ref().and_then(|s| self.voices.get(s)).is_some_and(speaks);
        let next = match (&self.speaker, loudest) {
            (Some(speaker), Some(loudest)) if *speaker == loudest => {
                self.challenger = None;
                return None;
            }
            (Some(_), Some(loudest)) if holds => {
                let since = match &self.challenger {
                    Some((who, since)) if *who == loudest => *since,
                    _ => now_ms,
                };
                self.challenger = Some((loudest.clone(), since));
                if now_ms.saturating_sub(since) < TAKE_OVER_MS {
                    return None;
                }
                Some(loudest)
            }
            (Some(_), None) if holds => return None,
            (None, None) => return None,
            (_, loudest) => loudest,
        };
        self.challenger = None;
        self.speaker.clone_from(&next);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays levels (who, level) in 20 ms packets over [from, to) and returns the changes.
    fn play(detector: &mut SpeakerDetector, from: u64, to: u64, levels: &[(&str, u8)]) -> Vec<(u64, Option<String>)> {
        let mut changes = Vec::new();
        for now in (from..to).step_by(20) {
            for (who, level) in levels {
                detector.heard(who, AudioLevel { below_overload: *level, voice: true }, now);
            }
            changes.extend(detector.poll(now).map(|change| (now, change)));
        }
        changes
    }

    #[test]
    fn the_floor_goes_to_who_speaks_and_back_to_nobody() {
        let mut detector = SpeakerDetector::default();
        assert!(play(&mut detector, 0, 1000, &[("alice", 70), ("bob", 127)]).is_empty());
        let changes = play(&mut detector, 1000, 3000, &[("alice", 25), ("bob", 127)]);
        assert!(matches!(&changes[..], [(at, Some(who))] if who == "alice" && *at < 1300), "{changes:?}");
        let changes = play(&mut detector, 3000, 6000, &[("alice", 127), ("bob", 127)]);
        assert!(matches!(&changes[..], [(at, None)] if (4000..4600).contains(at)), "{changes:?}");
    }

    #[test]
    fn a_cough_does_not_take_the_floor_but_an_answer_does() {
        let mut detector = SpeakerDetector::default();
        play(&mut detector, 0, 2000, &[("alice", 30), ("bob", 127)]);
        assert!(play(&mut detector, 2000, 2200, &[("alice", 30), ("bob", 15)]).is_empty());
        assert!(play(&mut detector, 2200, 3000, &[("alice", 30), ("bob", 127)]).is_empty());
        let changes = play(&mut detector, 3000, 5000, &[("alice", 90), ("bob", 20)]);
        assert!(matches!(&changes[..], [(at, Some(who))] if who == "bob" && *at < 3800), "{changes:?}");
        detector.gone("bob");
        assert_eq!(detector.poll(5000), Some(None));
    }
}
