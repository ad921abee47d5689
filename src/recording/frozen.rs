//! When a camera is frozen: media is missing, so its last picture is old. A camera that only shows nothing new is not. Pure.

use crate::recording::manifest::{Span, TrackEntry};
use crate::recording::timeline::{Entry, Event};
use std::collections::HashMap;

/// A picture is shown for so long into a gap.
const FREEZE_MS: u64 = 2000;

/// When the connection of each participant was lost, by their keys.
pub struct Outages<'a>(HashMap<&'a str, Vec<Span>>);

impl<'a> Outages<'a> {
    /// From the states of their connections.
    pub fn of(events: &'a [Entry]) -> Outages<'a> {
        let mut outages: HashMap<&str, Vec<Span>> = HashMap::new();
        for Entry { t_ms, event, .. } in events {
            if let Event::RecorderAway { .. } = event {
                // Its connections ended with it.
                let open = outages.values_mut().filter_map(|spans| spans.last_mut());
                open.for_each(|span| span.end_ms = Some(span.until(*t_ms)));
            }
            let Event::IceState { participant, state } = event else { continue };
            let spans = outages.entry(participant).or_default();
            let open = spans.last_mut().filter(|span| span.end_ms.is_none());
            match (state.as_str(), open) {
                ("disconnected" | "failed", None) => spans.push(Span { start_ms: *t_ms, end_ms: None }),
                ("connected" | "closed", Some(span)) => span.end_ms = Some(*t_ms),
                _ => {}
            }
        }
        Outages(outages)
    }

    /// When the track's picture is frozen, in any order.
    pub fn freezes(&self, track: &TrackEntry) -> Vec<Span> {
        let gap = |start_ms: u64, end_ms: Option<u64>| {
            let start_ms = start_ms.saturating_add(FREEZE_MS);
            end_ms.is_none_or(|end_ms| start_ms < end_ms).then_some(Span { start_ms, end_ms })
        };
        let gaps = track.gaps.iter().filter_map(|lost| gap(lost.start_ms, Some(lost.end_ms)));
        let lost = self.0.get(track.participant.as_str()).into_iter().flatten();
        gaps.chain(lost.filter_map(|span| gap(span.start_ms, span.end_ms))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::manifest::Gap;
    use crate::room::media::{Codec, Source};
    use jiff::Timestamp;

    #[test]
    fn loss_and_lost_connections_freeze_and_stillness_does_not() {
        let state = |t_ms, word: &str| {
            let event = Event::IceState { participant: "alice".into(), state: word.into() };
            Entry { t_ms, at: Timestamp::UNIX_EPOCH, event }
        };
        let events = [
            state(0, "connected"),
            state(20_000, "disconnected"),
            state(21_000, "failed"),
            state(25_000, "connected"),
            state(40_000, "disconnected"),
        ];
        let mut track = TrackEntry::new("x", "alice", Source::Camera, Codec::Vp8, 0);
        track.ended_ms = Some(60_000);
        let gap = |start_ms, end_ms| Gap { start_ms, end_ms, cause: "loss".into() };
        track.gaps = vec![gap(1000, 2500), gap(5000, 9000)];
        let span = |start_ms, end_ms| Span { start_ms, end_ms };
        let expected = [span(7000, Some(9000)), span(22_000, Some(25_000)), span(42_000, None)];
        assert_eq!(Outages::of(&events).freezes(&track), expected);
        track.participant = "bob".into();
        track.gaps.clear();
        assert_eq!(Outages::of(&events).freezes(&track), []);
    }
}
