//! Chapters of a film, and its subtitles as WebVTT (W3C): who speaks, and the chat. Pure; it writes no file.

use super::scene_plan::ScenePlan;
use crate::container::Chapter;
use crate::container::webvtt::WebVtt;
use crate::recording::chapters::{TOGETHER_MS, starts};
use crate::recording::intervals::Interval;
use crate::recording::timeline::{Entry, Event};
use std::time::Duration;

/// The most chapters of a film: MP4 counts them in one byte.
const MAX_CHAPTERS: usize = 255;
/// How long a message is shown.
const MESSAGE_MS: u64 = 5000;

/// The part of a meeting that a film shows, in session milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// Its start.
    pub from_ms: u64,
    /// Its end, after its start.
    pub until_ms: u64,
}

impl TimeRange {
    /// Where it begins in the session.
    pub fn start(self) -> Duration {
        Duration::from_millis(self.from_ms)
    }

    /// How long it lasts.
    pub fn length(self) -> Duration {
        Duration::from_millis(self.until_ms - self.from_ms)
    }

    /// A session time on the film's time, clamped to the film.
    fn in_film(self, ms: u64) -> Duration {
        Duration::from_millis(ms.clamp(self.from_ms, self.until_ms) - self.from_ms)
    }
}

/// The film's chapters: participants join, screens are shared and unshared. The first begins with the film.
pub fn chapters(plan: &ScenePlan, range: TimeRange) -> Vec<Chapter> {
    let mut starts = starts(&plan.manifest, plan.without(), range.until_ms);
    // Of the chapters that begin before the film, the last.
    let before = starts.iter().filter(|(at, _)| *at <= range.from_ms).count();
    starts.drain(..before.saturating_sub(1));
    if starts.first().is_none_or(|(at, _)| *at > range.from_ms + TOGETHER_MS) {
        starts.insert(0, (range.from_ms, "Start".into()));
    }
    starts.truncate(MAX_CHAPTERS);
    if let Some((first, _)) = starts.first_mut() {
        *first = range.from_ms;
    }
    let ends: Vec<u64> = starts.iter().skip(1).map(|(at, _)| *at).chain([range.until_ms]).collect();
    let chapter = |((at, title), end): ((u64, String), u64)| Chapter {
        from: range.in_film(at),
        until: range.in_film(end),
        title,
    };
    starts.into_iter().zip(ends).map(chapter).collect()
}

/// Who speaks, one cue for each time; `None` without any. Those of several participants may overlap.
pub fn speakers(plan: &ScenePlan, events: &[Entry], range: TimeRange) -> Option<String> {
    let mut spoken = plan.speech(events);
    spoken.sort_by_key(|(_, interval)| interval.start_ms);
    let cue = |(who, at): (usize, Interval)| (at.start_ms, at.end_ms, plan.name(who).to_owned(), String::new());
    webvtt(spoken.into_iter().map(cue), range)
}

/// The chat, each message for some seconds; `None` without messages.
pub fn chat(plan: &ScenePlan, events: &[Entry], range: TimeRange) -> Option<String> {
    let cues = events.iter().filter_map(|entry| match &entry.event {
        Event::Chat { participant, text } => {
            Some((entry.t_ms, entry.t_ms + MESSAGE_MS, display_name(plan, participant)?, text.clone()))
        }
        _ => None,
    });
    webvtt(cues, range)
}

/// The display name of a participant who is not left out.
fn display_name(plan: &ScenePlan, key: &str) -> Option<String> {
    plan.people().find(|(_, p)| p.key == key).map(|(_, p)| p.name.clone())
}

/// Cues as start and end in session milliseconds, name and text; where the text is empty, the name.
fn webvtt(cues: impl Iterator<Item = (u64, u64, String, String)>, range: TimeRange) -> Option<String> {
    let mut document = WebVtt::new(false);
    for (start, end, name, text) in cues {
        if end <= range.from_ms || start >= range.until_ms || end <= start {
            continue;
        }
        let lines: Vec<&str> = if text.is_empty() { vec![&name] } else { text.lines().map(str::trim).collect() };
        document.cue(range.in_film(start), range.in_film(end), &name, &lines.join("\n"));
    }
    document.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::manifest::{Manifest, ParticipantEntry, Span, TrackEntry};
    use crate::room::media::{Codec, Source};
    use crate::room::participant::Role;
    use jiff::Timestamp;

    fn plan() -> ScenePlan {
        let mut manifest = Manifest::new("r", "u", Timestamp::UNIX_EPOCH);
        manifest.duration_ms = 60_000;
        let person = |name: &str, start_ms| ParticipantEntry {
            key: name.to_lowercase(),
            ids: vec![],
            name: name.into(),
            role: Role::Participant,
            present: vec![Span { start_ms, end_ms: None }],
        };
        manifest.participants = vec![person("Alice", 100), person("Bob", 1000), person("Carol", 30_000)];
        let mut screen = TrackEntry::new("x", "bob", Source::Screen, Codec::Vp8, 10_000);
        screen.end_ms = 20_000;
        manifest.tracks = vec![screen];
        ScenePlan::new(manifest, &[], vec![])
    }

    fn entry(t_ms: u64, event: Event) -> Entry {
        Entry { t_ms, at: Timestamp::UNIX_EPOCH, event }
    }

    #[test]
    fn chapters_are_joins_and_screens() {
        let titles = |from_ms, until_ms| {
            let chapters = chapters(&plan(), TimeRange { from_ms, until_ms });
            chapters.into_iter().map(|c| (c.from.as_millis(), c.until.as_millis(), c.title)).collect::<Vec<_>>()
        };
        let chapter = |from, until, title: &str| (from, until, title.to_owned());
        assert_eq!(
            titles(0, 60_000),
            [
                chapter(0, 10_000, "Alice joins, Bob joins"),
                chapter(10_000, 20_000, "Bob shares a screen"),
                chapter(20_000, 30_000, "after Bob's screen"),
                chapter(30_000, 60_000, "Carol joins"),
            ]
        );
        assert_eq!(
            titles(15_000, 25_000),
            [chapter(0, 5000, "Bob shares a screen"), chapter(5000, 10_000, "after Bob's screen")]
        );
    }

    #[test]
    fn who_joins_as_the_film_begins_is_named_with_all_others() {
        let mut plan = plan();
        plan.manifest.participants[0].present[0].start_ms = 0;
        plan.manifest.participants[1].present[0].start_ms = 0;
        let first = |from_ms| chapters(&plan, TimeRange { from_ms, until_ms: 9000 }).swap_remove(0).title;
        assert_eq!([first(0), first(5000)], ["Alice joins, Bob joins"; 2]);
    }

    #[test]
    fn subtitles_are_of_the_films_part_and_cannot_be_markup() {
        let who = |key: &str| Event::Speaker { participant: Some(key.into()) };
        let events = [
            entry(1000, who("alice")),
            entry(12_000, Event::Speaker { participant: None }),
            entry(14_000, Event::Chat { participant: "bob".into(), text: "a <b>\n\n00:00 --> & so".into() }),
            entry(15_000, Event::Chat { participant: "nobody".into(), text: "x".into() }),
        ];
        let range = TimeRange { from_ms: 10_000, until_ms: 15_500 };
        assert_eq!(
            speakers(&plan(), &events, range).unwrap(),
            "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n<v Alice>Alice\n"
        );
        let chat = chat(&plan(), &events, range).unwrap();
        assert_eq!(chat, "WEBVTT\n\n00:00:04.000 --> 00:00:05.500\n<v Bob>a &lt;b&gt;\n00:00 --&gt; &amp; so\n");
        assert_eq!(speakers(&plan(), &[], range), None);
    }
}
