//! Whether the media of a recording's tracks goes on until they end: until their participant leaves, takes them away or mutes them. Pure.

use crate::recording::manifest::{Manifest, Span, TrackEntry};
use crate::recording::timeline::{Entry, Event};
use crate::room::media::Source;

/// Media may end so much before its track.
const BOUND_MS: u64 = 3000;

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

    #[test]
    fn a_screen_whose_connection_is_lost_is_missed() {
        assert_eq!(found(Source::Screen, 1000, Some(30_000), &[], &[(9000, "disconnected"), (9500, "connected")]), 1);
        assert_eq!(found(Source::Screen, 9000, Some(30_000), &[], &[(8000, "failed")]), 1);
        assert_eq!(found(Source::Screen, 9000, Some(30_000), &[], &[(2000, "failed"), (3000, "connected")]), 0);
    }
}
