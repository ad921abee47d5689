//! How much of a recording's lists one participant may take, so that nobody fills them for everybody. Pure.

use crate::recording::manifest::Span;
use crate::recording::timeline::Event;
use std::collections::HashMap;

/// Lines of the timeline that peers can cause.
const LINES: u64 = 1_000_000;
/// Those of one participant.
const LINES_OF_ONE: u64 = 50_000;
/// Warnings in the manifest.
const WARNINGS: usize = 200;
/// Those of one participant.
const WARNINGS_OF_ONE: usize = 50;
/// Spans in one list, such as a track's mutes.
const SPANS: usize = 1000;

/// Lines so far.
#[derive(Default)]
pub(super) struct Lines {
    all: u64,
    of: HashMap<String, u64>,
}

impl Lines {
    /// Whether an event goes onto the timeline. Not: with what is to be said of it, once. Who comes and goes is there as long as anything is.
    ///
    /// `subject`: the participant whom it is about.
    pub fn admit(&mut self, event: &Event, subject: Option<&str>) -> Result<(), Option<String>> {
        if self.all >= LINES {
            self.all += 1;
            let what = || format!("the timeline has {LINES} lines: later events are not on it");
            return Err((self.all == LINES + 1).then(what));
        }
        let is_presence = matches!(event, Event::Joined { .. } | Event::Left { .. });
        if let Some(key) = subject.filter(|_| !is_presence) {
            let lines = match self.of.get_mut(key) {
                Some(lines) => lines,
                None => self.of.entry(key.to_owned()).or_default(),
            };
            *lines += 1;
            if *lines > LINES_OF_ONE {
                let what =
                    || format!("{key}: has {LINES_OF_ONE} lines of the timeline: its later events are not on it");
                return Err((*lines == LINES_OF_ONE + 1).then(what));
            }
        }
        self.all += 1;
        Ok(())
    }
}

/// The participant whom an event is about; one of these keys, where a warning says it in words.
pub(super) fn subject(event: &Event, is_key: impl Fn(&str) -> bool) -> Option<&str> {
    match event {
        Event::Warning { message } => subject_of_warning(message, is_key),
        event => event.participant(),
    }
}

fn subject_of_warning(message: &str, is_key: impl Fn(&str) -> bool) -> Option<&str> {
    message.split([' ', ':']).next().filter(|first| is_key(first))
}

/// Adds a warning to those of the manifest. The last one that fits says that there are more.
pub(super) fn add_warning(warnings: &mut Vec<String>, message: String, is_key: impl Fn(&str) -> bool) {
    if warnings.contains(&message) {
        return;
    }
    let subject = subject_of_warning(&message, &is_key);
    let listed = |warning: &&String| subject_of_warning(warning, &is_key) == subject;
    let of_one = subject.map_or(0, |_| warnings.iter().filter(listed).count());
    let (left, who) = match subject {
        Some(key) if of_one + 1 >= WARNINGS_OF_ONE => (WARNINGS_OF_ONE - of_one, format!("{key}: ")),
        _ => (WARNINGS.saturating_sub(warnings.len()), String::new()),
    };
    match left.min(WARNINGS.saturating_sub(warnings.len())) {
        0 => {}
        1 => warnings.push(format!("{who}there are more warnings than are listed here; see the timeline")),
        _ => warnings.push(message),
    }
}

/// Begins a span. A list that is full goes on with its last span instead, as if that had not ended.
pub(super) fn begin_span(spans: &mut Vec<Span>, start_ms: u64) {
    let is_full = spans.len() >= SPANS;
    match spans.last_mut() {
        Some(last) if is_full => last.end_ms = None,
        _ => spans.push(Span { start_ms, end_ms: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::media::Source;

    fn mute(participant: &str) -> Event {
        Event::Mute { participant: participant.into(), source: Source::Mic }
    }

    #[test]
    fn one_participant_takes_a_share_of_the_timeline_and_is_told_of() {
        let mut lines = Lines::default();
        let mut told = Vec::new();
        for _ in 0..60_000 {
            match lines.admit(&mute("mallory"), Some("mallory")) {
                Ok(()) => {}
                Err(what) => told.extend(what),
            }
        }
        assert_eq!((told.len(), lines.all), (1, LINES_OF_ONE));
        assert!(told[0].starts_with("mallory: "), "{told:?}");
        assert_eq!(lines.admit(&mute("alice"), Some("alice")), Ok(()));
        let left = Event::Left { participant: "mallory".into(), reason: "left".into() };
        assert_eq!(lines.admit(&left, Some("mallory")), Ok(()), "the others see it go");
    }

    #[test]
    fn the_timeline_ends_with_a_word() {
        let mut lines = Lines { all: LINES - 1, ..Lines::default() };
        assert_eq!(lines.admit(&Event::Resumed {}, None), Ok(()));
        assert!(matches!(lines.admit(&Event::Resumed {}, None), Err(Some(_))));
        assert_eq!(lines.admit(&Event::Resumed {}, None), Err(None));
    }

    #[test]
    fn one_participant_does_not_fill_the_warnings() {
        let is_key = |word: &str| ["alice", "mallory"].contains(&word);
        let mut warnings = Vec::new();
        for n in 0..300 {
            add_warning(&mut warnings, format!("mallory camera: strange {n}"), is_key);
        }
        assert_eq!(warnings.len(), WARNINGS_OF_ONE);
        assert!(warnings[49].starts_with("mallory: there are more"), "{warnings:?}");
        add_warning(&mut warnings, "alice: her own".into(), is_key);
        assert_eq!(warnings.last().unwrap(), "alice: her own");
        for n in 0..300 {
            add_warning(&mut warnings, format!("the network {n}"), is_key);
        }
        assert_eq!(warnings.len(), WARNINGS);
        assert!(warnings.last().unwrap().starts_with("there are more warnings"));
    }

    #[test]
    fn a_full_list_of_spans_goes_on_with_its_last() {
        let mut spans = Vec::new();
        for n in 0..5000 {
            begin_span(&mut spans, n * 2);
            spans.last_mut().unwrap().end_ms = Some(n * 2 + 1);
        }
        assert_eq!(spans.len(), SPANS);
        assert_eq!((spans[998].end_ms, spans[999].start_ms, spans[999].end_ms), (Some(1997), 1998, Some(9999)));
    }

    #[test]
    fn whom_an_event_is_about() {
        let gap = Event::Gap { file: "alice.mic.1.webm".into(), start_ms: 0, end_ms: 1, cause: "loss".into() };
        let warning = |text: &str| Event::Warning { message: text.into() };
        let is_key = |word: &str| word == "alice";
        for (event, key) in [
            (mute("bob"), Some("bob")),
            (gap, Some("alice")),
            (warning("alice camera: no picture"), Some("alice")),
            (warning("alices: no picture"), None),
            (warning("the disk is slow"), None),
            (Event::Resumed {}, None),
        ] {
            assert_eq!(subject(&event, is_key), key, "{event:?}");
        }
    }
}
