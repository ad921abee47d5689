//! When each participant was present, spoke and sent something, derived from a manifest and its timeline. Pure.

use crate::recording::manifest::{Manifest, ParticipantEntry, Span, TrackEntry};
use crate::recording::timeline::{Entry, Event};
use crate::room::media::Source;
use serde::Serialize;
use std::collections::BTreeMap;

/// A time range in session milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Interval {
    /// Its start.
    pub start_ms: u64,
    /// Its end, not before its start.
    pub end_ms: u64,
}

impl Interval {
    /// The part of `self` that lies within `other`, in milliseconds.
    pub fn overlap(&self, other: &Interval) -> u64 {
        self.end_ms.min(other.end_ms).saturating_sub(self.start_ms.max(other.start_ms))
    }
}

/// The activity of one participant. Each list is sorted, and its intervals do not overlap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// The participant's key.
    pub participant: String,
    /// The display name.
    pub name: String,
    /// In the room.
    pub present: Vec<Interval>,
    /// Spoke, by the timeline.
    pub spoke: Vec<Interval>,
    /// Microphone sending and not muted.
    pub mic: Vec<Interval>,
    /// Camera sending and not muted.
    pub camera: Vec<Interval>,
    /// Screen shared and not paused.
    pub screen: Vec<Interval>,
}

/// Everybody's activity, in the manifest's order. Open spans end with the manifest's duration.
pub fn activities(manifest: &Manifest, events: &[Entry]) -> Vec<Activity> {
    let now_ms = manifest.duration_ms;
    let spoken = speech(events, now_ms);
    let of_participant = |key: &str, source| {
        let tracks = manifest.tracks.iter().filter(|track| track.participant == key && track.source == source);
        merged(tracks.flat_map(|track| unmuted(track, now_ms)).collect())
    };
    let activity = |entry: &ParticipantEntry| Activity {
        participant: entry.key.clone(),
        name: entry.name.clone(),
        present: merged(entry.present.iter().map(|span| interval(span, now_ms)).collect()),
        spoke: merged(spoken.iter().filter(|(key, _)| *key == entry.key).map(|(_, interval)| *interval).collect()),
        mic: of_participant(&entry.key, Source::Mic),
        camera: of_participant(&entry.key, Source::Camera),
        screen: of_participant(&entry.key, Source::Screen),
    };
    manifest.participants.iter().map(activity).collect()
}

/// Who spoke when, by key; intervals of several participants may overlap. Recordings that know nothing of that have the active speaker.
pub fn speech(events: &[Entry], now_ms: u64) -> Vec<(&str, Interval)> {
    let (mut intervals, mut speaking, mut is_known) = (Vec::new(), BTreeMap::<&str, u64>::new(), false);
    for Entry { t_ms, event, .. } in events {
        let ended = match event {
            Event::Speech { participant, speaks } => {
                is_known = true;
                if *speaks {
                    speaking.entry(participant).or_insert(*t_ms);
                    continue;
                }
                participant
            }
            Event::Left { participant, .. } => participant,
            Event::RecorderAway { .. } => {
                let ended = std::mem::take(&mut speaking).into_iter();
                intervals
                    .extend(ended.map(|(who, start_ms)| (who, Interval { start_ms, end_ms: (*t_ms).max(start_ms) })));
                continue;
            }
            _ => continue,
        };
        let start_ms = speaking.remove(ended.as_str());
        let interval = |start_ms| (ended.as_str(), Interval { start_ms, end_ms: (*t_ms).max(start_ms) });
        intervals.extend(start_ms.map(interval));
    }
    if !is_known {
        return speakers(events, now_ms);
    }
    let open = speaking.into_iter().map(|(key, start_ms)| (key, Interval { start_ms, end_ms: now_ms.max(start_ms) }));
    intervals.extend(open);
    intervals.sort_by_key(|(_, interval)| interval.start_ms);
    intervals
}

/// Who was the active speaker when: until somebody else is, or they leave.
fn speakers(events: &[Entry], now_ms: u64) -> Vec<(&str, Interval)> {
    let mut intervals = Vec::new();
    let mut speaking: Option<(&str, u64)> = None;
    for Entry { t_ms, event, .. } in events {
        let next = match event {
            Event::Speaker { participant } => participant.as_deref().map(|key| (key, *t_ms)),
            Event::Left { participant, .. } if speaking.is_some_and(|(key, _)| key == participant) => None,
            Event::RecorderAway { .. } => None,
            _ => continue,
        };
        if let Some((key, start_ms)) = std::mem::replace(&mut speaking, next) {
            intervals.push((key, Interval { start_ms, end_ms: (*t_ms).max(start_ms) }));
        }
    }
    intervals.extend(speaking.map(|(key, start_ms)| (key, Interval { start_ms, end_ms: now_ms.max(start_ms) })));
    intervals
}

/// A track's time without its mutes.
fn unmuted(track: &TrackEntry, now_ms: u64) -> Vec<Interval> {
    let mut sending = Vec::new();
    let mut start_ms = track.start_ms;
    for mute in merged(track.mutes.iter().map(|mute| interval(mute, now_ms)).collect()) {
        sending.push(Interval { start_ms, end_ms: mute.start_ms.min(track.until_ms()) });
        start_ms = start_ms.max(mute.end_ms);
    }
    sending.push(Interval { start_ms, end_ms: track.until_ms() });
    sending.retain(|interval| interval.start_ms < interval.end_ms);
    sending
}

fn interval(span: &Span, now_ms: u64) -> Interval {
    Interval { start_ms: span.start_ms, end_ms: span.until(now_ms) }
}

/// Sorted, and those that touch or overlap made one.
fn merged(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_by_key(|interval| interval.start_ms);
    let mut merged: Vec<Interval> = Vec::with_capacity(intervals.len());
    for interval in intervals {
        match merged.last_mut() {
            Some(last) if interval.start_ms <= last.end_ms => last.end_ms = last.end_ms.max(interval.end_ms),
            _ => merged.push(interval),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::manifest::ParticipantEntry;
    use crate::room::media::Codec;
    use crate::room::participant::Role;
    use jiff::Timestamp;

    fn from_to(start_ms: u64, end_ms: u64) -> Interval {
        Interval { start_ms, end_ms }
    }

    fn speaker(t_ms: u64, key: Option<&str>) -> Entry {
        Entry { t_ms, at: Timestamp::UNIX_EPOCH, event: Event::Speaker { participant: key.map(Into::into) } }
    }

    #[test]
    fn one_speaks_until_the_next_does() {
        let left = Event::Left { participant: "bob".into(), reason: "left".into() };
        let events = [
            speaker(100, Some("alice")),
            speaker(300, Some("bob")),
            Entry { t_ms: 350, at: Timestamp::UNIX_EPOCH, event: left },
            speaker(400, Some("alice")),
            speaker(500, None),
            speaker(700, Some("alice")),
        ];
        let expected = [
            ("alice", from_to(100, 300)),
            ("bob", from_to(300, 350)),
            ("alice", from_to(400, 500)),
            ("alice", from_to(700, 1000)),
        ];
        assert_eq!(speakers(&events, 1000), expected);
    }

    #[test]
    fn several_speak_at_once_until_they_cease_or_leave() {
        let speech_of = |t_ms, key: &str, speaks| {
            let event = Event::Speech { participant: key.into(), speaks };
            Entry { t_ms, at: Timestamp::UNIX_EPOCH, event }
        };
        let left = Event::Left { participant: "bob".into(), reason: "left".into() };
        let events = [
            speech_of(100, "alice", true),
            speaker(100, Some("alice")),
            speech_of(200, "bob", true),
            speech_of(300, "alice", false),
            Entry { t_ms: 350, at: Timestamp::UNIX_EPOCH, event: left },
            speech_of(400, "carol", true),
        ];
        let expected = [("alice", from_to(100, 300)), ("bob", from_to(200, 350)), ("carol", from_to(400, 1000))];
        assert_eq!(speech(&events, 1000), expected);
        assert_eq!(speech(&events[1..2], 1000), [("alice", from_to(100, 1000))]);
    }

    #[test]
    fn mutes_are_taken_out_whatever_they_are() {
        let mut track = TrackEntry::new("alice.mic.1.webm", "alice", Source::Mic, Codec::Opus, 1000);
        track.end_ms = 9000;
        let span = |start_ms, end_ms| Span { start_ms, end_ms };
        track.mutes = vec![span(0, Some(1500)), span(3000, Some(4000)), span(3500, Some(3600)), span(8000, None)];
        assert_eq!(unmuted(&track, 9500), [from_to(1500, 3000), from_to(4000, 8000)]);
        // A screen that was drawn once is there until it is unshared.
        track.ended_ms = Some(9400);
        assert_eq!(unmuted(&track, 9500), [from_to(1500, 3000), from_to(4000, 8000)]);
        track.mutes.pop();
        assert_eq!(unmuted(&track, 9500), [from_to(1500, 3000), from_to(4000, 9400)]);
        track.ended_ms = None;
        track.mutes = vec![span(20_000, Some(10_000))];
        assert_eq!(unmuted(&track, 9500), [from_to(1000, 9000)]);
    }

    #[test]
    fn tracks_of_one_source_are_one_line() {
        let mut manifest = Manifest::new("r", "u", Timestamp::UNIX_EPOCH);
        manifest.duration_ms = 5000;
        let present = vec![Span { start_ms: 0, end_ms: None }];
        let (key, name) = ("alice".to_owned(), "Alice".to_owned());
        manifest.participants.push(ParticipantEntry { key, ids: vec![], name, role: Role::default(), present });
        for (start_ms, end_ms) in [(3000, 4000), (0, 1000), (900, 2000)] {
            let mut track = TrackEntry::new("x", "alice", Source::Camera, Codec::Vp8, start_ms);
            track.end_ms = end_ms;
            manifest.tracks.push(track);
        }
        let alice = activities(&manifest, &[]).remove(0);
        assert_eq!(alice.camera, [from_to(0, 2000), from_to(3000, 4000)]);
        assert_eq!(alice.present, [from_to(0, 5000)]);
        assert!(alice.mic.is_empty() && alice.screen.is_empty() && alice.spoke.is_empty());
    }
}
