//! What happened in a meeting as text along its film: chapters, who speaks and what was written, the latter two as WebVTT (W3C).
//! Pure; it writes no file.

use super::script::Script;
use crate::container::Chapter;
use crate::recording::timeline::{Entry, Event};
use crate::room::media::Source;
use std::fmt::Write;
use std::time::Duration;

/// The most chapters of a film: what MP4 has room for.
const MOST_CHAPTERS: usize = 255;
/// What happens within this is one chapter.
const TOGETHER_MS: u64 = 3000;
/// How long a message is read.
const READ_MS: u64 = 5000;

/// The part of a meeting that a film shows, in session milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub from_ms: u64,
    pub until_ms: u64,
}

impl Part {
    /// A time of the session in the film.
    fn in_film(self, ms: u64) -> Duration {
        Duration::from_millis(ms.clamp(self.from_ms, self.until_ms) - self.from_ms)
    }
}

/// The film's chapters: who joins, who shares a screen, and when that ends. The first begins with the film.
pub fn chapters(script: &Script, part: Part) -> Vec<Chapter> {
    let mut happened: Vec<(u64, String)> = Vec::new();
    for (number, person) in script.people() {
        for span in &person.present {
            happened.push((span.start_ms, format!("{} joins", script.name(number))));
        }
    }
    for (number, track) in script.manifest.tracks.iter().enumerate() {
        if track.source == Source::Screen && script.has(track) {
            happened.push((track.start_ms, format!("{} shares a screen", script.owner(number))));
            happened.push((track.end_ms, format!("after {}'s screen", script.owner(number))));
        }
    }
    happened.sort();
    let mut starts: Vec<(u64, Vec<String>)> = Vec::new();
    for (at, what) in happened.into_iter().filter(|(at, _)| *at < part.until_ms) {
        match starts.last_mut() {
            Some((since, said)) if at < *since + TOGETHER_MS => said.push(what),
            _ => starts.push((at, vec![what])),
        }
    }
    // Of what was before the film, the last.
    let before = starts.iter().filter(|(at, _)| *at <= part.from_ms).count();
    starts.drain(..before.saturating_sub(1));
    if starts.first().is_none_or(|(at, _)| *at > part.from_ms + TOGETHER_MS) {
        starts.insert(0, (part.from_ms, vec!["Start".into()]));
    }
    starts.truncate(MOST_CHAPTERS);
    if let Some((first, _)) = starts.first_mut() {
        *first = part.from_ms;
    }
    let ends: Vec<u64> = starts.iter().skip(1).map(|(at, _)| *at).chain([part.until_ms]).collect();
    let chapter = |((at, said), end): ((u64, Vec<String>), u64)| Chapter {
        from: part.in_film(at),
        until: part.in_film(end),
        title: said.join(", "),
    };
    starts.into_iter().zip(ends).map(chapter).collect()
}

/// Who speaks, one cue as long as they do; `None` where nobody did.
pub fn speakers(script: &Script, events: &[Entry], part: Part) -> Option<String> {
    let changes: Vec<(u64, Option<&str>)> = events
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Speaker { participant } => Some((entry.t_ms, participant.as_deref())),
            _ => None,
        })
        .collect();
    let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([part.until_ms]);
    let cues = changes
        .iter()
        .zip(ends)
        .filter_map(|((start, who), end)| Some((*start, end, named(script, (*who)?)?, String::new())));
    webvtt(cues, part)
}

/// What was written in the chat, each message for some seconds; `None` where nobody wrote.
pub fn chat(script: &Script, events: &[Entry], part: Part) -> Option<String> {
    let cues = events.iter().filter_map(|entry| match &entry.event {
        Event::Chat { participant, text } => {
            Some((entry.t_ms, entry.t_ms + READ_MS, named(script, participant)?, text.clone()))
        }
        _ => None,
    });
    webvtt(cues, part)
}

/// The name of somebody who is not left out.
fn named(script: &Script, key: &str) -> Option<String> {
    script.people().find(|(_, p)| p.key == key).map(|(_, p)| p.name.clone())
}

/// Cues with a start and an end in session milliseconds, a voice and what it says; where it says nothing, its name.
fn webvtt(cues: impl Iterator<Item = (u64, u64, String, String)>, part: Part) -> Option<String> {
    let mut text = String::from("WEBVTT\n");
    let mut count = 0;
    for (start, end, who, said) in cues {
        if end <= part.from_ms || start >= part.until_ms || end <= start {
            continue;
        }
        count += 1;
        let who = escaped(&who);
        let said = if said.is_empty() { who.clone() } else { escaped(&said) };
        let _ = write!(text, "\n{} --> {}\n<v {who}>{said}\n", time(part.in_film(start)), time(part.in_film(end)));
    }
    (count > 0).then_some(text)
}

/// `00:01:02.345`
fn time(at: Duration) -> String {
    let ms = at.as_millis();
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

/// Cue text (WebVTT, 6.4): no markup, no line that is empty, none that could be taken for times.
fn escaped(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<String> = lines
        .map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>())
        .map(|line| line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::manifest::{Manifest, ParticipantEntry, Span, TrackEntry};
    use crate::room::media::Codec;
    use crate::room::participant::Role;
    use jiff::Timestamp;

    fn script() -> Script {
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
        Script::new(manifest, &[], vec![])
    }

    fn entry(t_ms: u64, event: Event) -> Entry {
        Entry { t_ms, at: Timestamp::UNIX_EPOCH, event }
    }

    #[test]
    fn chapters_are_joins_and_screens() {
        let titles = |from_ms, until_ms| {
            let chapters = chapters(&script(), Part { from_ms, until_ms });
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
        let mut script = script();
        script.manifest.participants[0].present[0].start_ms = 0;
        script.manifest.participants[1].present[0].start_ms = 0;
        let first = |from_ms| chapters(&script, Part { from_ms, until_ms: 9000 }).swap_remove(0).title;
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
        let part = Part { from_ms: 10_000, until_ms: 15_500 };
        assert_eq!(
            speakers(&script(), &events, part).unwrap(),
            "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n<v Alice>Alice\n"
        );
        let chat = chat(&script(), &events, part).unwrap();
        assert_eq!(chat, "WEBVTT\n\n00:00:04.000 --> 00:00:05.500\n<v Bob>a &lt;b&gt;\n00:00 --&gt; &amp; so\n");
        assert_eq!(speakers(&script(), &[], part), None);
    }
}
