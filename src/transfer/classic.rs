//! The framing of the WebRTC guide: a text `{fileName, fileSize}`, then raw bytes on the same channel; any other text is chat. Without
//! answer, hash or resume. Pure.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Bytes of a chunk, as the guide sends them.
pub const CHUNK: usize = 1200;

/// The message before a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Announcement {
    /// The name for people; any characters.
    pub file_name: String,
    /// In bytes.
    pub file_size: u64,
}

impl Announcement {
    /// Reads one: a JSON object with exactly these two fields.
    pub fn parse(text: &str) -> Option<Self> {
        // The parser would accept an array too; the guide does not.
        text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok())?
    }
    /// The announcement as text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What a message means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClassicEvent {
    /// A chat message.
    Chat(String),
    /// A file begins; an unfinished one before it ends as [`ClassicEvent::Broken`].
    Begin(Announcement),
    /// Bytes of the file.
    Write(Bytes),
    /// All bytes of the file have been received.
    Complete,
    /// The file is incomplete and will stay so; why.
    Broken(&'static str),
}

/// The receiving side of a shared channel.
#[derive(Debug, Default)]
pub struct Classic {
    /// Bytes of the file that are still missing.
    missing: Option<u64>,
}

impl Classic {
    /// A text message was received.
    pub fn text(&mut self, text: String) -> Vec<ClassicEvent> {
        let Some(announcement) = Announcement::parse(&text) else { return vec![ClassicEvent::Chat(text)] };
        let mut events = Vec::new();
        if self.missing.is_some() {
            events.push(ClassicEvent::Broken("another file began before it was complete"));
        }
        self.missing = Some(announcement.file_size);
        events.push(ClassicEvent::Begin(announcement));
        events.extend(self.completed());
        events
    }

    /// A binary message was received. Without a file it is ignored.
    pub fn chunk(&mut self, data: Bytes) -> Vec<ClassicEvent> {
        let Some(missing) = self.missing else { return Vec::new() };
        let Some(left) = missing.checked_sub(data.len() as u64) else {
            self.missing = None;
            return vec![ClassicEvent::Broken("more bytes came than were announced")];
        };
        self.missing = Some(left);
        let mut events = if data.is_empty() { Vec::new() } else { vec![ClassicEvent::Write(data)] };
        events.extend(self.completed());
        events
    }

    /// The file is not wanted: its bytes are ignored.
    pub fn skip(&mut self) {
        self.missing = None;
    }

    /// The channel has closed.
    pub fn closed(&mut self) -> Option<ClassicEvent> {
        self.missing.take().map(|_| ClassicEvent::Broken("the channel closed before it was complete"))
    }

    fn completed(&mut self) -> Option<ClassicEvent> {
        self.missing.take_if(|missing| *missing == 0).map(|_| ClassicEvent::Complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn begin(name: &str, size: u64) -> (String, ClassicEvent) {
        let announcement = Announcement { file_name: name.into(), file_size: size };
        (announcement.to_text(), ClassicEvent::Begin(announcement))
    }

    #[test]
    fn an_announcement_is_exactly_that() {
        assert_eq!(begin("a.png", 5).0, r#"{"fileName":"a.png","fileSize":5}"#);
        assert!(Announcement::parse(r#" { "fileSize" : 5, "fileName" : "" } "#).is_some());
        for text in [
            "hello",
            "{}",
            r#"{"fileName":"a"}"#,
            r#"{"fileName":"a","fileSize":-1}"#,
            r#"{"fileName":"a","fileSize":1.5}"#,
            r#"{"fileName":1,"fileSize":1}"#,
            r#"{"fileName":"a","fileSize":1,"more":2}"#,
            r#"[{"fileName":"a","fileSize":1}]"#,
            r#"["a",1]"#,
        ] {
            assert_eq!(Announcement::parse(text), None, "{text}");
            assert_eq!(Classic::default().text(text.into()), [ClassicEvent::Chat(text.into())]);
        }
    }

    #[test]
    fn a_file_comes_in_pieces_and_chat_between_them() {
        let mut classic = Classic::default();
        let (text, began) = begin("a", 5);
        let (one, two) = (Bytes::from_static(b"abc"), Bytes::from_static(b"de"));
        assert_eq!(classic.text(text), [began]);
        assert_eq!(classic.chunk(one.clone()), [ClassicEvent::Write(one)]);
        assert_eq!(classic.text("hello".into()), [ClassicEvent::Chat("hello".into())]);
        assert_eq!(classic.chunk(two.clone()), [ClassicEvent::Write(two), ClassicEvent::Complete]);
        assert_eq!(classic.closed(), None);
    }

    #[test]
    fn an_empty_file_is_one_empty_message_or_none() {
        let mut classic = Classic::default();
        let (text, began) = begin("a", 0);
        assert_eq!(classic.text(text), [began, ClassicEvent::Complete]);
        assert_eq!(classic.chunk(Bytes::new()), []);
    }

    #[test]
    fn what_does_not_fit_is_not_received() {
        let mut classic = Classic::default();
        classic.text(begin("a", 5).0);
        assert!(matches!(classic.chunk(Bytes::from_static(b"abcdef"))[..], [ClassicEvent::Broken(_)]));
        assert_eq!(classic.chunk(Bytes::from_static(b"stray")), []);
        classic.text(begin("b", 5).0);
        assert!(matches!(classic.text(begin("c", 5).0)[..], [ClassicEvent::Broken(_), ClassicEvent::Begin(_)]));
        assert!(matches!(classic.closed(), Some(ClassicEvent::Broken(_))));
    }

    proptest! {
        #[test]
        fn a_whole_file_has_exactly_its_bytes(size in 0u64..5000, chunks in prop::collection::vec(0usize..2000, 0..12)) {
            let mut classic = Classic::default();
            let mut events = classic.text(begin("x", size).0);
            for length in chunks {
                events.extend(classic.chunk(vec![1; length].into()));
            }
            events.extend(classic.closed());
            let written: usize = events.iter().map(|h| if let ClassicEvent::Write(data) = h { data.len() } else { 0 }).sum();
            let whole = events.contains(&ClassicEvent::Complete);
            let broken = events.iter().any(|h| matches!(h, ClassicEvent::Broken(_)));
            prop_assert!(whole != broken);
            prop_assert!(written as u64 <= size && (!whole || written as u64 == size));
        }
    }
}
