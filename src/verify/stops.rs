//! Whether the media of a recording's tracks goes on until they end: until their participant leaves, takes them away or mutes them. Pure.

use crate::recording::manifest::{Manifest, Span, TrackEntry};
use crate::recording::timeline::{Entry, Event};
use crate::room::media::Source;

/// Media may end so much before its track.
const BOUND_MS: u64 = 3000;

/// A participant who has gone and their tracks end within this time.
const NOTICED_MS: u64 = 1000;

/// What is wrong, one line each.
pub(super) fn stops(manifest: &Manifest, events: &[Entry]) -> Vec<String> {
    let stops = manifest.tracks.iter().filter_map(|track| {
        let ms = missing_ms(manifest, track, events)?;
        let (who, source) = (&track.participant, track.source.word());
        let (stop, end) = (track.end_ms as f64 / 1000.0, until_ms(manifest, track) as f64 / 1000.0);
        let seconds = ms as f64 / 1000.0;
        Some(format!(
            "{who} {source} ({}) stops at {stop:.1} s, {seconds:.1} s before its end at {end:.1} s",
            track.file
        ))
    });
    stops.collect()
}

/// How long nothing came at the end of a track, if that is too long.
fn missing_ms(manifest: &Manifest, track: &TrackEntry, events: &[Entry]) -> Option<u64> {
    let until = until_ms(manifest, track);
    if was_gone(events, track, until) {
        return None;
    }
    let rest = Span { start_ms: track.end_ms, end_ms: Some(until) };
    // A screen that does not change sends nothing.
    if track.source == Source::Screen && !is_connection_lost(events, &track.participant, &rest) {
        return None;
    }
    let mut muted: Vec<(u64, u64)> =
        track.mutes.iter().map(|mute| (mute.start_ms.max(track.end_ms), mute.until(until).min(until))).collect();
    muted.sort_unstable();
    let (mut at, mut missing) = (track.end_ms, 0);
    for (from, to) in muted.into_iter().chain([(until, until)]) {
        missing += from.saturating_sub(at);
        at = at.max(to);
    }
    (missing > BOUND_MS).then_some(missing)
}

/// Whether the track ended since the room noticed that its participant was gone: they had gone before, nobody knows when.
fn was_gone(events: &[Entry], track: &TrackEntry, until: u64) -> bool {
    let is_it = |Entry { t_ms, event, .. }: &Entry| {
        matches!(event, Event::Left { participant, reason } if *participant == track.participant && reason == "timeout")
            && t_ms.abs_diff(until) < NOTICED_MS
    };
    events.iter().any(is_it)
}

/// When the track ends. Older recordings do not say it: then it is when its participant left, or when its next file begins.
fn until_ms(manifest: &Manifest, track: &TrackEntry) -> u64 {
    if let Some(ended) = track.ended_ms {
        return ended.max(track.end_ms);
    }
    // Of a screen it is not known.
    if matches!(track.source, Source::Screen | Source::ScreenAudio) {
        return track.end_ms;
    }
    let of_same = manifest.tracks.iter().filter(|t| t.participant == track.participant && t.source == track.source);
    let next = of_same.map(|other| other.start_ms).filter(|start| *start >= track.end_ms).min();
    let person = manifest.participants.iter().find(|person| person.key == track.participant);
    let present = person.into_iter().flat_map(|person| &person.present);
    let left = present.map(|span| span.until(manifest.duration_ms)).filter(|end| *end >= track.end_ms).min();
    left.into_iter().chain(next).min().unwrap_or(track.end_ms)
}

/// Whether the connection to a participant was lost at some time in the span.
fn is_connection_lost(events: &[Entry], key: &str, span: &Span) -> bool {
    let mut lost = false;
    for Entry { t_ms, event, .. } in events.iter().take_while(|entry| entry.t_ms < span.until(0)) {
        if let Event::IceState { participant, state } = event
            && participant == key
        {
            lost = matches!(state.as_str(), "disconnected" | "failed");
            if lost && *t_ms >= span.start_ms {
                return true;
            }
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::manifest::ParticipantEntry;
    use crate::room::media::Codec;
    use crate::room::participant::Role;
    use jiff::Timestamp;

    fn found(
        source: Source,
        end_ms: u64,
        ended_ms: Option<u64>,
        mutes: &[(u64, Option<u64>)],
        states: &[(u64, &str)],
    ) -> usize {
        let mut manifest = Manifest::new("r", "u", Timestamp::UNIX_EPOCH);
        manifest.duration_ms = 30_000;
        let present = vec![Span { start_ms: 0, end_ms: Some(30_000) }];
        let (key, role) = ("alice".to_owned(), Role::default());
        manifest.participants.push(ParticipantEntry { name: key.clone(), key, ids: vec![], role, present });
        let mut track = TrackEntry::new("x", "alice", source, Codec::Vp8, 100);
        (track.end_ms, track.ended_ms) = (end_ms, ended_ms);
        track.mutes = mutes.iter().map(|(start_ms, end_ms)| Span { start_ms: *start_ms, end_ms: *end_ms }).collect();
        manifest.tracks.push(track);
        let state = |(t_ms, state): &(u64, &str)| {
            let event = Event::IceState { participant: "alice".into(), state: (*state).into() };
            Entry { t_ms: *t_ms, at: Timestamp::UNIX_EPOCH, event }
        };
        stops(&manifest, &states.iter().map(state).collect::<Vec<_>>()).len()
    }

    #[test]
    fn media_that_stops_before_its_track_is_found() {
        for source in [Source::Camera, Source::Mic, Source::ScreenAudio] {
            assert_eq!(found(source, 20_000, Some(30_000), &[], &[]), 1, "{source:?}");
            assert_eq!(found(source, 28_000, Some(30_000), &[], &[]), 0, "{source:?}");
        }
        // Unmuted, and nothing comes.
        assert_eq!(found(Source::Camera, 10_000, Some(30_000), &[(10_000, Some(25_000))], &[]), 1);
        // Recorded before the end of tracks was noted.
        assert_eq!(found(Source::Camera, 20_000, None, &[], &[]), 1);
    }

    #[test]
    fn who_mutes_unshares_or_shows_something_still_is_not_missed() {
        assert_eq!(found(Source::Camera, 10_000, Some(30_000), &[(10_500, None)], &[]), 0);
        assert_eq!(found(Source::Mic, 10_000, Some(30_000), &[(10_500, Some(20_000)), (19_000, Some(29_000))], &[]), 0);
        assert_eq!(found(Source::Camera, 20_000, Some(20_100), &[], &[]), 0);
        assert_eq!(found(Source::Screen, 1000, Some(30_000), &[], &[(0, "connected")]), 0);
        assert_eq!(found(Source::Screen, 1000, None, &[], &[]), 0);
    }

    /// Two tracks of Alice's camera: she left at 12 s and came back at 15 s.
    fn found_of_two(first: (u64, Option<u64>), second: (u64, u64)) -> usize {
        let mut manifest = Manifest::new("r", "u", Timestamp::UNIX_EPOCH);
        manifest.duration_ms = 30_000;
        let span = |start_ms, end_ms| Span { start_ms, end_ms: Some(end_ms) };
        let (key, role) = ("alice".to_owned(), Role::default());
        let present = vec![span(0, 12_000), span(15_000, 30_000)];
        manifest.participants.push(ParticipantEntry { name: key.clone(), key, ids: vec![], role, present });
        for (start_ms, end_ms, ended_ms) in [(100, first.0, first.1), (second.0, second.1, Some(30_000))] {
            let mut track = TrackEntry::new("x", "alice", Source::Camera, Codec::Vp8, start_ms);
            (track.end_ms, track.ended_ms) = (end_ms, ended_ms);
            manifest.tracks.push(track);
        }
        stops(&manifest, &[]).len()
    }

    #[test]
    fn who_leaves_and_comes_back_is_not_missed_in_between() {
        for ended in [Some(12_000), None] {
            assert_eq!(found_of_two((11_900, ended), (15_500, 29_900)), 0, "{ended:?}");
            assert_eq!(found_of_two((5000, ended), (15_500, 29_900)), 1, "{ended:?}");
            assert_eq!(found_of_two((11_900, ended), (15_500, 20_000)), 1, "{ended:?}");
        }
        // Another file of the same track begins: the codec changed.
        assert_eq!(found_of_two((8000, Some(8040)), (8040, 29_900)), 0);
        assert_eq!(found_of_two((8000, None), (8040, 29_900)), 0);
    }

    #[test]
    fn pauses_in_the_middle_are_no_stops() {
        // Muted, unmuted, and it goes on to the end; and muted again at the end.
        let mutes = [(5000, Some(20_000)), (24_000, Some(26_000))];
        assert_eq!(found(Source::Camera, 29_900, Some(30_000), &mutes, &[]), 0);
        assert_eq!(found(Source::Mic, 29_900, Some(30_000), &mutes, &[]), 0);
        assert_eq!(found(Source::Camera, 24_050, Some(30_000), &[mutes[0], (24_000, None)], &[]), 0);
        // Unmuted just before the end: a camera takes a while to begin again.
        assert_eq!(found(Source::Camera, 10_000, Some(30_000), &[(10_000, Some(28_000))], &[]), 0);
        // A screen's sound ends with the screen.
        assert_eq!(found(Source::ScreenAudio, 12_000, Some(12_150), &[], &[]), 0);
    }

    #[test]
    fn who_was_gone_before_the_room_noticed_it_is_not_missed() {
        let left = |reason: &str| {
            let event = Event::Left { participant: "alice".into(), reason: reason.into() };
            vec![Entry { t_ms: 30_000, at: Timestamp::UNIX_EPOCH, event }]
        };
        let found = |events: &[Entry], ended_ms| {
            let mut manifest = Manifest::new("r", "u", Timestamp::UNIX_EPOCH);
            manifest.duration_ms = 40_000;
            let mut track = TrackEntry::new("x", "alice", Source::Mic, Codec::Opus, 100);
            (track.end_ms, track.ended_ms) = (10_000, Some(ended_ms));
            manifest.tracks.push(track);
            stops(&manifest, events).len()
        };
        assert_eq!((found(&left("timeout"), 30_010), found(&left("left"), 30_010)), (0, 1));
        assert_eq!(found(&left("timeout"), 20_000), 1, "its end was another");
    }

    #[test]
    fn a_screen_whose_connection_is_lost_is_missed() {
        assert_eq!(found(Source::Screen, 1000, Some(30_000), &[], &[(9000, "disconnected"), (9500, "connected")]), 1);
        assert_eq!(found(Source::Screen, 9000, Some(30_000), &[], &[(8000, "failed")]), 1);
        assert_eq!(found(Source::Screen, 9000, Some(30_000), &[], &[(2000, "failed"), (3000, "connected")]), 0);
    }
}
