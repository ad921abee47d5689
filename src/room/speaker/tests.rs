//! Levels as real microphones send them, played at 20 ms a packet.

use super::*;

/// `fixtures/alice.webm`: 2.5 s of speech.
const ALICE: &[u8] = &[
    105, 34, 30, 19, 14, 15, 17, 24, 34, 35, 40, 30, 28, 26, 25, 17, 15, 16, 15, 20, 23, 25, 27, 27, 28, 27, 22, 17,
    20, 24, 29, 27, 27, 30, 30, 57, 74, 78, 82, 83, 88, 87, 86, 97, 101, 101, 101, 101, 101, 101, 101, 101, 101, 102,
    38, 32, 29, 27, 27, 28, 20, 15, 18, 20, 21, 22, 24, 26, 51, 32, 25, 22, 21, 19, 22, 27, 29, 29, 24, 22, 16, 15, 16,
    20, 47, 69, 32, 36, 29, 19, 17, 22, 47, 43, 38, 38, 39, 33, 34, 25, 18, 20, 53, 83, 35, 37, 34, 29, 26, 23, 18, 16,
    15, 17, 18, 21, 23, 26, 26, 26, 26, 26, 26, 35, 75, 79,
];
/// `fixtures/bob.webm`: 2.5 s of speech.
const BOB: &[u8] = &[
    33, 31, 29, 20, 18, 25, 30, 36, 32, 29, 28, 30, 25, 20, 15, 15, 17, 21, 23, 28, 37, 38, 41, 34, 30, 29, 24, 17, 18,
    25, 25, 28, 28, 22, 20, 19, 17, 18, 21, 22, 30, 40, 39, 32, 22, 21, 25, 25, 29, 48, 88, 89, 89, 90, 89, 95, 101,
    101, 101, 101, 101, 101, 98, 28, 19, 18, 21, 26, 28, 27, 28, 39, 32, 29, 27, 25, 28, 23, 18, 19, 22, 21, 26, 25,
    29, 27, 31, 35, 37, 37, 34, 25, 22, 16, 21, 22, 25, 31, 31, 30, 32, 55, 76, 80, 83, 87, 88, 89, 91, 101, 101, 101,
    101, 101, 101, 101, 101, 101, 101, 101, 101, 101, 101, 101, 101, 101,
];
/// Pink noise at -48 dBov, as ffmpeg makes it.
const PINK: &[u8] = &[
    48, 47, 48, 46, 50, 49, 49, 49, 49, 50, 49, 49, 49, 48, 45, 47, 48, 50, 48, 46, 47, 49, 48, 48, 49, 48, 48, 49, 49,
    49, 48, 48, 49, 50, 47, 49, 49, 47, 49, 48, 50, 46, 48, 49, 50, 50, 47, 45, 48, 48, 50, 50, 45, 43, 47, 49, 48, 46,
    47, 50, 48, 48, 49, 48, 47, 48, 45, 48, 47, 49, 45, 45, 48, 49, 47, 48, 48, 50, 47, 49, 48, 47, 50, 49, 50, 46, 45,
    45, 46, 48, 49, 50, 49, 47, 49, 48, 50, 48, 47, 46, 49, 48, 49, 46, 49, 47, 47, 49, 47, 48, 48, 47, 46, 49, 46, 49,
    47, 49, 49, 47, 49, 48, 49, 47, 47, 48, 48, 48, 48, 49, 50, 50, 48, 48, 48, 49, 49, 48, 50, 48, 49, 48, 50, 48, 46,
    46, 49, 49, 50, 46, 47, 48, 48, 46, 49, 45, 49, 47, 48, 48, 50, 48, 49, 46, 46, 46, 48, 50, 50, 45, 49, 50, 47, 49,
    47, 48, 49, 49, 47, 48, 49, 50, 50, 46, 48, 49, 47, 48, 48, 49, 49, 48, 49, 47, 47, 48, 50, 50, 49, 49, 46, 50, 49,
    47, 48, 49, 46, 49, 49, 46, 47, 46, 49, 48, 49, 48, 47, 48, 48, 47, 47, 48, 50, 49, 48, 47, 47, 49, 49, 46, 48, 49,
    47, 50, 48, 47, 47, 47, 48, 48, 49, 48, 51, 49, 48, 48, 49, 46, 48, 46,
];
/// Brown noise at -34 dBov.
const BROWN: &[u8] = &[
    35, 31, 34, 35, 35, 35, 35, 34, 34, 35, 34, 36, 35, 34, 34, 36, 33, 35, 34, 33, 34, 33, 34, 36, 34, 33, 34, 35, 35,
    36, 33, 34, 35, 35, 32, 35, 34, 33, 35, 32, 36, 32, 35, 34, 36, 36, 32, 31, 34, 33, 36, 35, 32, 32, 35, 34, 35, 34,
    32, 36, 34, 33, 35, 34, 33, 34, 32, 34, 32, 35, 33, 33, 34, 35, 32, 32, 34, 37, 34, 34, 34, 34, 35, 35, 36, 34, 31,
    32, 35, 36, 33, 38, 35, 34, 35, 34, 38, 33, 33, 33, 35, 33, 34, 32, 34, 32, 32, 35, 32, 35, 33, 33, 33, 35, 31, 34,
    32, 34, 36, 34, 36, 33, 35, 33, 33, 32, 35, 33, 33, 34, 35, 36, 34, 33, 33, 35, 36, 33, 36, 34, 36, 34, 37, 35, 33,
    35, 36, 35, 37, 33, 33, 34, 34, 33, 35, 34, 36, 33, 34, 32, 37, 33, 34, 33, 32, 34, 33, 36, 36, 32, 33, 35, 34, 34,
    33, 33, 36, 35, 33, 34, 34, 37, 36, 32, 32, 36, 33, 34, 35, 35, 35, 33, 35, 34, 33, 33, 36, 36, 35, 34, 32, 36, 34,
    34, 34, 35, 34, 34, 36, 33, 33, 32, 34, 34, 34, 33, 34, 34, 33, 33, 33, 33, 37, 34, 32, 33, 34, 35, 35, 33, 34, 34,
    33, 36, 35, 35, 32, 34, 34, 34, 35, 35, 37, 35, 34, 35, 34, 33, 33, 35,
];

const SILENCE: &[u8] = &[127];
const TONE: &[u8] = &[21];

/// Plays levels over and over in 20 ms packets over [from, to), each by this much softer, and returns the changes.
fn play(
    detector: &mut SpeakerDetector,
    (from, to): (u64, u64),
    heard: &[(&str, &[u8], u8)],
) -> Vec<(u64, SpeakerChange)> {
    let mut changes = Vec::new();
    for now in (from..to).step_by(20) {
        for (who, levels, softer) in heard {
            let level = levels[((now - from) / 20) as usize % levels.len()];
            let level = level.saturating_add(*softer).min(127);
            detector.heard(who, AudioLevel { below_overload: level, voice: true }, now);
        }
        changes.extend(detector.poll(now).into_iter().map(|change| (now, change)));
    }
    changes
}

fn speech(who: &str, speaks: bool) -> SpeakerChange {
    SpeakerChange::Speech { who: who.into(), speaks }
}

/// When `change` came.
fn at(changes: &[(u64, SpeakerChange)], change: &SpeakerChange) -> Vec<u64> {
    changes.iter().filter(|(_, c)| c == change).map(|(at, _)| *at).collect()
}

#[test]
fn the_floor_goes_to_who_speaks_and_back_to_nobody() {
    let mut detector = SpeakerDetector::default();
    assert!(play(&mut detector, (0, 1000), &[("alice", &[70], 0), ("bob", SILENCE, 0)]).is_empty());
    let changes = play(&mut detector, (1000, 3500), &[("alice", ALICE, 0), ("bob", SILENCE, 0)]);
    let [(began, first), (_, floor)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((first, floor), (&speech("alice", true), &SpeakerChange::Floor(Some("alice".into()))));
    assert!(*began < 1500, "{changes:?}");
    let changes = play(&mut detector, (3500, 6000), &[("alice", SILENCE, 0), ("bob", SILENCE, 0)]);
    let [(ended, first), (_, floor)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((first, floor), (&speech("alice", false), &SpeakerChange::Floor(None)));
    assert!((4200..4800).contains(ended), "{changes:?}");
}

#[test]
fn neither_noise_nor_tone_nor_hum_nor_ticks_speak_however_loud() {
    let tick: Vec<u8> = [13, 13, 16].into_iter().chain([127; 47]).collect();
    let typing: Vec<u8> = [30].into_iter().chain([70; 9]).collect();
    for levels in [PINK, BROWN, TONE, &[36], &tick, &typing] {
        for quiet_first in [0, 2000] {
            let mut detector = SpeakerDetector::default();
            play(&mut detector, (0, quiet_first), &[("alice", SILENCE, 0)]);
            let changes = play(&mut detector, (quiet_first, 60_000), &[("alice", levels, 0)]);
            assert!(changes.is_empty(), "{:?}: {changes:?}", &levels[..levels.len().min(9)]);
        }
    }
    // The same noise, 25 dB louder.
    let loud: Vec<u8> = PINK.iter().map(|level| level - 25).collect();
    assert!(play(&mut SpeakerDetector::default(), (0, 60_000), &[("alice", &loud, 0)]).is_empty());
}

#[test]
fn speech_is_heard_over_a_noise_of_its_own_and_beside_the_tone_of_another() {
    // Twenty decibels softer than Alice, over noise at -48: as loud as a tone of somebody else is not.
    let over_noise: Vec<u8> = ALICE.iter().zip(PINK).map(|(voice, noise)| (*voice).min(*noise)).collect();
    let mut detector = SpeakerDetector::default();
    play(&mut detector, (0, 5000), &[("alice", PINK, 0), ("bob", TONE, 0)]);
    let changes = play(&mut detector, (5000, 7500), &[("alice", &over_noise, 0), ("bob", TONE, 0)]);
    assert!(matches!(at(&changes, &speech("alice", true))[..], [at] if at < 5600), "{changes:?}");
    assert!(at(&changes, &SpeakerChange::Floor(Some("alice".into()))).len() == 1, "{changes:?}");
    let changes = play(&mut detector, (7500, 12_000), &[("alice", PINK, 0), ("bob", TONE, 0)]);
    assert_eq!(at(&changes, &speech("alice", false)).len(), 1, "{changes:?}");
    assert!(at(&changes, &speech("bob", true)).is_empty(), "{changes:?}");
}

#[test]
fn soft_voices_are_heard_and_long_ones_stay_heard() {
    let mut detector = SpeakerDetector::default();
    play(&mut detector, (0, 1000), &[("alice", SILENCE, 0)]);
    let changes = play(&mut detector, (1000, 61_000), &[("alice", ALICE, 25)]);
    assert!(at(&changes, &speech("alice", true)).first().is_some_and(|at| *at < 2000), "{changes:?}");
    // Who speaks without an end is interrupted by nothing.
    assert_eq!(changes.len(), 2, "{changes:?}");
}

#[test]
fn several_speak_at_once_and_the_floor_stays_where_it_is() {
    let mut detector = SpeakerDetector::default();
    play(&mut detector, (0, 1000), &[("alice", SILENCE, 0), ("bob", SILENCE, 0)]);
    play(&mut detector, (1000, 2500), &[("alice", ALICE, 0), ("bob", SILENCE, 0)]);
    let changes = play(&mut detector, (2500, 5000), &[("alice", ALICE, 0), ("bob", BOB, 15)]);
    assert_eq!(at(&changes, &speech("bob", true)).len(), 1, "{changes:?}");
    assert!(at(&changes, &speech("alice", false)).is_empty(), "{changes:?}");
    assert!(!changes.iter().any(|(_, c)| matches!(c, SpeakerChange::Floor(_))), "{changes:?}");
    let changes = play(&mut detector, (5000, 7500), &[("alice", SILENCE, 0), ("bob", BOB, 15)]);
    assert_eq!(at(&changes, &SpeakerChange::Floor(Some("bob".into()))).len(), 1, "{changes:?}");
    detector.gone("bob");
    assert_eq!(detector.poll(7500), [speech("bob", false), SpeakerChange::Floor(None)]);
}

#[test]
fn a_cough_does_not_take_the_floor_but_an_answer_does() {
    let mut detector = SpeakerDetector::default();
    play(&mut detector, (0, 1000), &[("alice", SILENCE, 0), ("bob", SILENCE, 0)]);
    play(&mut detector, (1000, 3000), &[("alice", ALICE, 10), ("bob", SILENCE, 0)]);
    assert!(play(&mut detector, (3000, 3200), &[("alice", ALICE, 10), ("bob", &[15], 0)]).is_empty());
    let changes = play(&mut detector, (3200, 3800), &[("alice", ALICE, 10), ("bob", SILENCE, 0)]);
    assert!(changes.is_empty(), "{changes:?}");
    let changes = play(&mut detector, (3800, 6000), &[("alice", SILENCE, 0), ("bob", BOB, 0)]);
    let took = at(&changes, &SpeakerChange::Floor(Some("bob".into())));
    assert!(matches!(took[..], [at] if at < 5200), "{changes:?}");
}

#[test]
fn what_was_decoded_is_believed() {
    let mut detector = SpeakerDetector::default();
    for now in (0..1000).step_by(20) {
        detector.judged("alice", 21, false, now);
        detector.judged("bob", 60, now > 300, now);
    }
    let told = [speech("bob", true), SpeakerChange::Floor(Some("bob".into()))];
    assert_eq!(detector.poll(1000), told);
}
