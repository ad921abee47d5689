//! The chat of a recording as WebVTT subtitles on the session's clock. Pure: events in, text out.

use crate::container::webvtt::{WebVtt, cue_text};
use crate::error::Result;
use crate::recording::folder::{RecordingFolder, TIMELINE};
use crate::recording::manifest::Manifest;
use crate::recording::timeline::{Entry, Event, TimelineReader};
use std::time::Duration;

/// The subtitles' file name in a recording.
pub const CHAT: &str = "chat.vtt";
/// How long a message is shown.
const SHOWN_MS: u64 = 5000;

/// The subtitles; `None` without chat messages.
pub(crate) fn render(manifest: &Manifest, events: &[Entry]) -> Option<String> {
    let mut document = WebVtt::new(true);
    for Entry { t_ms, event, .. } in events {
        let Event::Chat { participant, text } = event else { continue };
        if cue_text(text).is_empty() {
            continue;
        }
        let entry = manifest.participants.iter().find(|entry| entry.key == *participant);
        let name = entry.map_or(participant, |entry| &entry.name);
        let time = |ms: u64| Duration::from_millis(ms);
        document.cue(time(*t_ms), time(t_ms.saturating_add(SHOWN_MS)), name, text);
    }
    document.finish()
}

/// Writes the subtitles of a recording from its timeline. Waits for the disk.
pub(crate) fn save(manifest: &Manifest, folder: &RecordingFolder) -> Result<()> {
    let events: Vec<Entry> = TimelineReader::open(&folder.path().join(TIMELINE))?
        .filter(|entry| matches!(entry.event, Event::Chat { .. }))
        .collect();
    match render(manifest, &events) {
        Some(text) => folder.write_atomically(CHAT, text.as_bytes()),
        None => Ok(()),
    }
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
