//! The framing of the WebRTC guide: a text `{fileName, fileSize}`, then raw bytes on the same channel; any other text is chat.
//! Pure. There is no answer, no hash and no resume.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The length of the guide's chunks, in bytes.
pub const CHUNK: usize = 1200;

/// What begins a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Announcement {
    pub file_name: String,
    /// In bytes.
    pub file_size: u64,
}

impl Announcement {
    /// Reads one: a JSON object with exactly these two fields.
    pub fn parse(text: &str) -> Option<Self> {
        // An array of two would do for the parser, but not for the guide.
        text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok())?
    }
    /// As it is sent.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What a message means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Chat(String),
    /// A file begins; an unfinished one before it ends as [`Heard::Broken`].
    Begin(Announcement),
    Write(Bytes),
    /// All of its bytes have come.
    Whole,
    /// What was received of the file is not a file: why.
    Broken(&'static str),
}

/// A shared channel, as its receiver hears it.
#[derive(Debug, Default)]
pub struct Classic {
    /// Bytes that the file still lacks.
    lacks: Option<u64>,
}

impl Classic {
    /// A text came.
    pub fn text(&mut self, text: String) -> Vec<Heard> {
        let Some(announcement) = Announcement::parse(&text) else { return vec![Heard::Chat(text)] };
        let mut heard = Vec::new();
        if self.lacks.is_some() {
            heard.push(Heard::Broken("another file began before it was whole"));
        }
        self.lacks = Some(announcement.file_size);
        heard.push(Heard::Begin(announcement));
        heard.extend(self.perhaps_whole());
        heard
    }

    /// Bytes came; without a file that they belong to they mean nothing.
    pub fn chunk(&mut self, data: Bytes) -> Vec<Heard> {
        let Some(lacks) = self.lacks else { return Vec::new() };
        let Some(left) = lacks.checked_sub(data.len() as u64) else {
            self.lacks = None;
            return vec![Heard::Broken("more bytes came than were announced")];
        };
        self.lacks = Some(left);
        let mut heard = if data.is_empty() { Vec::new() } else { vec![Heard::Write(data)] };
        heard.extend(self.perhaps_whole());
        heard
    }

    /// The file is not wanted: its bytes mean nothing.
    pub fn skip(&mut self) {
        self.lacks = None;
    }

    /// The channel has closed.
    pub fn closed(&mut self) -> Option<Heard> {
        self.lacks.take().map(|_| Heard::Broken("the channel closed before it was whole"))
    }

    fn perhaps_whole(&mut self) -> Option<Heard> {
        self.lacks.take_if(|lacks| *lacks == 0).map(|_| Heard::Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn begin(name: &str, size: u64) -> (String, Heard) {
        let announcement = Announcement { file_name: name.into(), file_size: size };
        (announcement.to_text(), Heard::Begin(announcement))
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
            assert_eq!(Classic::default().text(text.into()), [Heard::Chat(text.into())]);
        }
    }

    #[test]
    fn a_file_comes_in_pieces_and_chat_between_them() {
        let mut classic = Classic::default();
        let (text, began) = begin("a", 5);
        let (one, two) = (Bytes::from_static(b"abc"), Bytes::from_static(b"de"));
        assert_eq!(classic.text(text), [began]);
        assert_eq!(classic.chunk(one.clone()), [Heard::Write(one)]);
        assert_eq!(classic.text("hello".into()), [Heard::Chat("hello".into())]);
        assert_eq!(classic.chunk(two.clone()), [Heard::Write(two), Heard::Whole]);
        assert_eq!(classic.closed(), None);
    }

    #[test]
    fn an_empty_file_is_one_empty_message_or_none() {
        let mut classic = Classic::default();
        let (text, began) = begin("a", 0);
        assert_eq!(classic.text(text), [began, Heard::Whole]);
        assert_eq!(classic.chunk(Bytes::new()), []);
    }

    #[test]
    fn what_does_not_fit_is_not_received() {
        let mut classic = Classic::default();
        classic.text(begin("a", 5).0);
        assert!(matches!(classic.chunk(Bytes::from_static(b"abcdef"))[..], [Heard::Broken(_)]));
        assert_eq!(classic.chunk(Bytes::from_static(b"stray")), []);
        classic.text(begin("b", 5).0);
        assert!(matches!(classic.text(begin("c", 5).0)[..], [Heard::Broken(_), Heard::Begin(_)]));
        assert!(matches!(classic.closed(), Some(Heard::Broken(_))));
    }

    proptest! {
        #[test]
        fn a_whole_file_has_exactly_its_bytes(size in 0u64..5000, chunks in prop::collection::vec(0usize..2000, 0..12)) {
            let mut classic = Classic::default();
            let mut heard = classic.text(begin("x", size).0);
            for length in chunks {
                heard.extend(classic.chunk(vec![1; length].into()));
            }
            heard.extend(classic.closed());
            let written: usize = heard.iter().map(|h| if let Heard::Write(data) = h { data.len() } else { 0 }).sum();
            let whole = heard.contains(&Heard::Whole);
            let broken = heard.iter().any(|h| matches!(h, Heard::Broken(_)));
            prop_assert!(whole != broken);
            prop_assert!(written as u64 <= size && (!whole || written as u64 == size));
        }
    }
}
