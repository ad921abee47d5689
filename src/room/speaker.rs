//! Who speaks, each participant for themselves, and who has the floor. Told from the levels in the packets (RFC 6464), or from somebody
//! who has decoded the sound. Pure: time is passed in.

use super::media::AudioLevel;
use super::speech::SpeechDetector;
use std::collections::BTreeMap;

/// The time constant over which loudness is averaged, in ms, where several speak: a cough does not take the floor.
const SMOOTH_MS: f32 = 150.0;
/// Somebody else must be louder for this long before the floor goes to them.
const TAKE_OVER_MS: u64 = 400;
/// A pause of this length is still the same speech.
const PAUSE_MS: u64 = 1000;

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpeakerChange {
    /// A participant has begun or ceased to speak. Several may speak at once.
    Speech {
        /// The participant.
        who: String,
        /// Whether they speak from now on.
        speaks: bool,
    },
    /// The floor has changed hands: of those who speak, the one to look at; `None`: nobody speaks.
    Floor(Option<String>),
}

/// Follows every microphone and says who speaks and who has the floor.
#[derive(Debug, Default)]
pub struct SpeakerDetector {
    voices: BTreeMap<String, Voice>,
    speaker: Option<String>,
    /// Who has been louder than the speaker, since when (session ms).
    challenger: Option<(String, u64)>,
    /// What has happened besides, to be told with the next look.
    changes: Vec<SpeakerChange>,
}

#[derive(Debug)]
struct Voice {
    /// Averaged level in -dBov: 0 loud, 127 silent.
    level: f32,
    heard_ms: u64,
    detector: Option<SpeechDetector>,
    /// The last time that speech was heard.
    spoke_ms: Option<u64>,
    speaks: bool,
}

impl SpeakerDetector {
    /// One packet's level from the microphone of `who` at `now_ms` of session time.
    pub fn heard(&mut self, who: &str, level: AudioLevel, now_ms: u64) {
        let level = level.below_overload;
        let voice = self.voice(who, now_ms);
        let detector = voice.detector.get_or_insert_with(|| SpeechDetector::new(level, now_ms));
        let is_speech = detector.heard(level, now_ms);
        voice.update(level, is_speech, now_ms);
    }

    /// Decoded sound of `who` until `now_ms`: its level, and whether it is speech.
    pub fn judged(&mut self, who: &str, level: u8, is_speech: bool, now_ms: u64) {
        self.voice(who, now_ms).update(level, is_speech, now_ms);
    }

    /// The participant or their microphone is gone.
    pub fn gone(&mut self, who: &str) {
        if self.voices.remove(who).is_some_and(|voice| voice.speaks) {
            self.changes.push(SpeakerChange::Speech { who: who.to_owned(), speaks: false });
        }
    }

    /// Whether anybody speaks, as of the last look.
    pub fn is_speech(&self) -> bool {
        self.voices.values().any(|voice| voice.speaks)
    }

    /// Looks again at `now_ms`: what has changed since the last look.
    pub fn poll(&mut self, now_ms: u64) -> Vec<SpeakerChange> {
        let mut changes = std::mem::take(&mut self.changes);
        for (who, voice) in &mut self.voices {
            let speaks = voice.spoke_ms.is_some_and(|at| now_ms.saturating_sub(at) < PAUSE_MS);
            if speaks != voice.speaks {
                voice.speaks = speaks;
                changes.push(SpeakerChange::Speech { who: who.clone(), speaks });
            }
        }
        changes.extend(self.floor(now_ms).map(SpeakerChange::Floor));
        changes
    }

    fn voice(&mut self, who: &str, now_ms: u64) -> &mut Voice {
        let new = || Voice { level: 127.0, heard_ms: now_ms, detector: None, spoke_ms: None, speaks: false };
        self.voices.entry(who.to_owned()).or_insert_with(new)
    }

    /// `Some` when the floor has changed hands, with who has it now.
    fn floor(&mut self, now_ms: u64) -> Option<Option<String>> {
        let speaking = || self.voices.iter().filter(|(_, voice)| voice.speaks);
        let loudest = speaking().min_by(|a, b| a.1.level.total_cmp(&b.1.level)).map(|(who, _)| who.clone());
        let holds = self.speaker.as_ref().is_some_and(|speaker| self.voices.get(speaker).is_some_and(|v| v.speaks));
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
            (None, None) => return None,
            (_, loudest) => loudest,
        };
        self.challenger = None;
        self.speaker.clone_from(&next);
        Some(next)
    }
}

impl Voice {
    fn update(&mut self, level: u8, is_speech: bool, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.heard_ms).max(1) as f32;
        self.level += (f32::from(level) - self.level) * (passed / SMOOTH_MS).min(1.0);
        self.heard_ms = now_ms;
        if is_speech {
            self.spoke_ms = Some(now_ms);
        }
    }
}

#[cfg(test)]
mod tests;
