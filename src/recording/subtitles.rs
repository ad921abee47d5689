//! The chat of a recording as WebVTT subtitles on the session's clock. Pure: events in, text out.

use crate::error::Result;
use crate::recording::folder::{RecordingFolder, TIMELINE};
use crate::recording::manifest::Manifest;
use crate::recording::timeline::{Entry, Event, TimelineReader};
use std::fmt::Write;

/// The subtitles' file name in a recording.
pub const CHAT: &str = "chat.vtt";
/// How long a text is shown.
const SHOWN_MS: u64 = 5000;

/// The subtitles; `None` where nobody said anything.
pub(crate) fn render(manifest: &Manifest, events: &[Entry]) -> Option<String> {
    let mut out = "WEBVTT\n".to_owned();
    let mut cues = 0u64;
    for Entry { t_ms, event, .. } in events {
        let Event::Chat { participant, text } = event else { continue };
        let text = cue_text(text);
        if text.is_empty() {
            continue;
        }
        cues += 1;
        let person = manifest.participants.iter().find(|entry| entry.key == *participant);
        let name = cue_text(person.map_or(participant, |person| &person.name)).replace('\n', " ");
        let (from, to) = (time(*t_ms), time(t_ms.saturating_add(SHOWN_MS)));
        let _ = write!(out, "\n{cues}\n{from} --> {to}\n<v {name}>{text}\n");
    }
    (cues > 0).then_some(out)
}

/// Writes the subtitles of a recording anew from its timeline. Waits for the disk.
pub(crate) fn save(manifest: &Manifest, folder: &RecordingFolder) -> Result<()> {
    let events: Vec<Entry> = TimelineReader::open(&folder.path().join(TIMELINE))?
        .filter(|entry| matches!(entry.event, Event::Chat { .. }))
        .collect();
    match render(manifest, &events) {
        Some(text) => folder.write_atomically(CHAT, text.as_bytes()),
        None => Ok(()),
    }
}

/// Text that ends no cue and is no markup (WebVTT 4.2.2): escaped, without control characters or empty lines.
fn cue_text(text: &str) -> String {
    let lines = text.lines().map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>());
    let lines: Vec<String> = lines.filter(|line| !line.trim().is_empty()).collect();
    lines.join("\n").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `01:02:03.004`
fn time(ms: u64) -> String {
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::manifest::ParticipantEntry;
    use crate::room::participant::Role;
    use jiff::Timestamp;

    #[test]
    fn texts_become_cues_and_never_markup() {
        let mut manifest = Manifest::new("r", "u", Timestamp::UNIX_EPOCH);
        let (key, name) = ("alice".to_owned(), "Alice <b>\n& Co".to_owned());
        let entry = ParticipantEntry { key, ids: vec![], name, role: Role::default(), present: vec![] };
        manifest.participants.push(entry);
        let chat = |t_ms, text: &str| Entry {
            t_ms,
            at: Timestamp::UNIX_EPOCH,
            event: Event::Chat { participant: "alice".into(), text: text.into() },
        };
        assert_eq!(render(&manifest, &[chat(0, " \n\n")]), None);
        let text = render(&manifest, &[chat(1500, "1 < 2\r\n\n\nNOTE\u{1b} x --> y"), chat(3_723_004, "two")]);
        assert_eq!(
            text.unwrap(),
            "WEBVTT\n\n1\n00:00:01.500 --> 00:00:06.500\n<v Alice &lt;b&gt; &amp; Co>1 &lt; 2\nNOTE x --&gt; y\n\n2\n\
             01:02:03.004 --> 01:02:08.004\n<v Alice &lt;b&gt; &amp; Co>two\n"
        );
    }
}
