//! Who speaks in a recording, heard in its sound: better than the recorder can tell, which decodes nothing. It changes no file.

use super::captions::TimeRange;
use super::scene_plan::ScenePlan;
use super::sound::nanos;
use super::track_decoder::TrackDecoder;
use crate::error::Result;
use crate::media::{Decoder, Library};
use crate::recording::timeline::{Entry, Event};
use crate::room::media::Source;
use crate::room::speaker::{SpeakerChange, SpeakerDetector};
use crate::room::speech::SpeechDetector;
use earshot::Detector;
use jiff::SignedDuration;
use std::collections::VecDeque;
use std::path::Path;

/// The detector takes 16 ms at 16 kHz.
const FRAME: usize = 256;
/// Samples at 48 kHz for one of the detector's.
const DECIMATION: usize = 3;
/// A frame is speech from this score on (0 to 1).
const SPEECH: f32 = 0.5;
/// What came so much before is the same speech: it is certain only after some syllables.
const BEFORE_MS: u64 = 1000;

/// What was heard in 16 ms of a participant's microphone.
struct Heard<'a> {
    until_ms: u64,
    who: &'a str,
    level: u8,
    is_speech: bool,
}

/// The timeline with who speaks as the sound within `range` says, or as it is where no speech is heard at all. Tracks that cannot be decoded are silent here: they are reported where
/// the film needs them.
pub fn heard(library: &Library, plan: &ScenePlan, events: &[Entry], tracks: &Path, range: TimeRange) -> Vec<Entry> {
    let mut all = Vec::new();
    let microphones = plan.manifest.tracks.iter().filter(|track| track.source == Source::Mic && plan.is_audible(track));
    for track in microphones {
        let mut decoder = TrackDecoder::new(tracks.join(&track.file), track, false);
        // What was heard before the error counts.
        let _ = listen(library, &mut decoder, &track.participant, range, &mut all);
    }
    // A meeting of music, say: the recorder's guess is better than nothing.
    if !all.iter().any(|heard| heard.is_speech) {
        return events.to_vec();
    }
    all.sort_by_key(|heard| heard.until_ms);
    let (mut detector, mut changes) = (SpeakerDetector::default(), Vec::new());
    let mut ended = 0;
    for heard in &all {
        // Speech ends in a silence without packets, too.
        while ended + 100 < heard.until_ms {
            ended += 100;
            changes.extend(detector.poll(ended).into_iter().map(|change| (ended, change)));
        }
        detector.judged(heard.who, heard.level, heard.is_speech, heard.until_ms);
        changes.extend(detector.poll(heard.until_ms).into_iter().map(|change| (heard.until_ms, change)));
    }
    for at in (ended..=range.until_ms).step_by(100).skip(1) {
        changes.extend(detector.poll(at).into_iter().map(|change| (at, change)));
    }
    let entry = |(t_ms, change): (u64, SpeakerChange)| {
        let event = match change {
            SpeakerChange::Speech { who, speaks } => Event::Speech { participant: who, speaks },
            SpeakerChange::Floor(participant) => Event::Speaker { participant },
        };
        let passed = SignedDuration::from_millis(i64::try_from(t_ms).unwrap_or(i64::MAX));
        let at = plan.manifest.started.checked_add(passed).unwrap_or(plan.manifest.started);
        Entry { t_ms, at, event }
    };
    let others = events.iter().filter(|e| !matches!(e.event, Event::Speech { .. } | Event::Speaker { .. })).cloned();
    let mut entries: Vec<Entry> = others.chain(changes.into_iter().map(entry)).collect();
    entries.sort_by_key(|entry| entry.t_ms);
    entries
}

/// Decodes a microphone within `range`.
fn listen<'a>(
    library: &Library,
    decoder: &mut TrackDecoder,
    who: &'a str,
    range: TimeRange,
    all: &mut Vec<Heard<'a>>,
) -> Result<()> {
    let from = i64::try_from(range.from_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    let mut voice = Detector::default();
    decoder.skip(from.saturating_sub(1_000_000_000))?;
    let (mut samples, mut levels): (Vec<f32>, Option<SpeechDetector>) = (Vec::new(), None);
    // The frames with a good score, by number.
    let mut likely: VecDeque<usize> = VecDeque::new();
    while let Some((due, sound)) = decoder.next(library, Decoder::sound)? {
        let begin = due.saturating_sub(nanos((samples.len() * DECIMATION) as i64));
        // Both channels and three samples are one: what is above 8 kHz is no speech.
        samples.extend(
            sound
                .chunks_exact(2 * DECIMATION)
                .map(|part| part.iter().map(|s| f32::from(*s)).sum::<f32>() / (2 * DECIMATION) as f32 / 32768.0),
        );
        let frames = samples.chunks_exact(FRAME);
        let rest = frames.remainder().to_vec();
        for (number, frame) in (1..).zip(frames) {
            let until = begin.saturating_add(nanos(number * (FRAME * DECIMATION) as i64));
            let until_ms = u64::try_from(until / 1_000_000).unwrap_or(0);
            if until_ms > range.until_ms {
                return Ok(());
            }
            let (level, is_likely) = (level(frame), voice.predict_f32(frame) >= SPEECH);
            // The detector alone takes brown noise and the beginning of a tone for speech, levels alone typing.
            let is_certain = levels.get_or_insert_with(|| SpeechDetector::new(level, until_ms)).heard(level, until_ms);
            if until_ms < range.from_ms {
                continue;
            }
            likely.extend(is_likely.then_some(all.len()));
            all.push(Heard { until_ms, who, level, is_speech: false });
            let is_old = |heard: &Heard<'_>| heard.until_ms + BEFORE_MS < until_ms;
            while likely.front().is_some_and(|first| all.get(*first).is_none_or(is_old)) {
                likely.pop_front();
            }
            if is_certain && is_likely {
                for number in likely.drain(..) {
                    if let Some(heard) = all.get_mut(number) {
                        heard.is_speech = true;
                    }
                }
            }
        }
        samples = rest;
    }
    Ok(())
}

/// RMS in dB below overload (RFC 6464).
fn level(frame: &[f32]) -> u8 {
    let power = frame.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / frame.len().max(1) as f64;
    if power <= 0.0 { 127 } else { (-10.0 * power.log10()).round().clamp(0.0, 127.0) as u8 }
}
