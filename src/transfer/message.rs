//! The text messages of `roombot-file/1` (docs/files.md), parsed with their limits. Pure; it never trusts a length.

pub use crate::room::file::{Digest, Reason};
use serde::{Deserialize, Serialize};

/// The longest text message of the protocol, in bytes.
pub const LONGEST: usize = 8 << 10;
/// Positions and sizes are whole numbers that JavaScript can hold.
const LARGEST: u64 = (1 << 53) - 1;
/// The longest name that may be offered, in bytes of UTF-8.
pub const LONGEST_NAME: usize = 1024;
const LONGEST_MIME: usize = 128;
const ID_LENGTH: std::ops::RangeInclusive<usize> = 8..=64;
/// Characters of a reason or a sentence of theirs that are kept.
const LONGEST_WORD: usize = 64;
const LONGEST_SENTENCE: usize = 400;

/// What a sender says of its file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Offer {
    /// 8 to 64 of `[A-Za-z0-9_-]`, too random to guess: whoever offers the same id, name and size again goes on with that file.
    pub id: String,
    /// For people, at most 1024 bytes; anything may be in it.
    pub name: String,
    /// In bytes.
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
}

/// A text message of the protocol; the sender says `offer`, `end`, `cancel`, the receiver everything else, and `cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Message {
    Offer(Offer),
    Accept {
        offset: u64,
        until: u64,
        /// Bytes that the receiver's socket holds until they are read; who does not say has little.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        buffer: Option<u64>,
    },
    More {
        until: u64,
    },
    End {
        sha256: Digest,
    },
    Ack {
        sha256: Digest,
    },
    Again {
        offset: u64,
        until: u64,
    },
    Refuse {
        reason: String,
        #[serde(default)]
        text: String,
    },
    Cancel {
        #[serde(default)]
        reason: String,
    },
}

impl Message {
    /// Reads a message; `None` where it is none of the protocol or a field is out of range. Their sentences are cut to a
    /// length for people.
    pub fn parse(text: &str) -> Option<Self> {
        // An array would do for the parser, too.
        if text.len() > LONGEST || !text.trim_start().starts_with('{') {
            return None;
        }
        let mut message: Message = serde_json::from_str(text).ok()?;
        let valid = match &mut message {
            Message::Offer(offer) => offer.is_valid(),
            Message::Accept { offset, until, .. } | Message::Again { offset, until } => {
                *offset <= *until && *until <= LARGEST
            }
            Message::More { until } => *until <= LARGEST,
            Message::End { .. } | Message::Ack { .. } => true,
            Message::Refuse { reason, text } => {
                (*reason, *text) = (cut(reason, LONGEST_WORD), cut(text, LONGEST_SENTENCE));
                true
            }
            Message::Cancel { reason } => {
                *reason = cut(reason, LONGEST_WORD);
                true
            }
        };
        valid.then_some(message)
    }

    /// The message as text.
    pub fn to_text(&self) -> String {
        // Strings and numbers only: there is nothing in it that JSON could not hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// A refusal for a reason of ours.
    pub fn refuse(refusal: &super::Refusal) -> Self {
        Message::Refuse { reason: refusal.reason.word().to_owned(), text: refusal.text.clone() }
    }
}

impl Offer {
    /// Every field is in the range that the protocol gives.
    pub fn is_valid(&self) -> bool {
        ID_LENGTH.contains(&self.id.len())
            && self.id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            && self.name.len() <= LONGEST_NAME
            && self.size <= LARGEST
            && self.mime.as_ref().is_none_or(|mime| mime.len() <= LONGEST_MIME)
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn messages_read_as_documented() {
        let sha256: Digest = HASH.parse().unwrap();
        let offer = |mime, sha256| Offer { id: "a-long_id".into(), name: "ä.pdf".into(), size: 3, mime, sha256 };
        for (text, message) in [
            (
                r#"{"type":"offer","id":"a-long_id","name":"ä.pdf","size":3}"#.to_owned(),
                Message::Offer(offer(None, None)),
            ),
            (
                format!(
                    r#"{{"type":"offer","id":"a-long_id","name":"ä.pdf","size":3,"mime":"a/b","sha256":"{HASH}"}}"#
                ),
                Message::Offer(offer(Some("a/b".into()), Some(sha256))),
            ),
            (
                r#"{"type":"accept","offset":0,"until":1048576}"#.into(),
                Message::Accept { offset: 0, until: 1 << 20, buffer: None },
            ),
            (r#"{"type":"more","until":2097152}"#.into(), Message::More { until: 2 << 20 }),
            (format!(r#"{{"type":"end","sha256":"{HASH}"}}"#), Message::End { sha256 }),
            (format!(r#"{{"type":"ack","sha256":"{HASH}"}}"#), Message::Ack { sha256 }),
            (r#"{"type":"again","offset":0,"until":9}"#.into(), Message::Again { offset: 0, until: 9 }),
            (
                r#"{"type":"refuse","reason":"too-large","text":"no"}"#.into(),
                Message::Refuse { reason: "too-large".into(), text: "no".into() },
            ),
            (r#"{"type":"cancel","reason":"cancelled"}"#.into(), Message::Cancel { reason: "cancelled".into() }),
        ] {
            assert_eq!(Message::parse(&text), Some(message.clone()), "{text}");
            assert_eq!(message.to_text(), text);
        }
    }

    #[test]
    fn what_is_out_of_range_is_no_message() {
        let offer = |id: &str, name: &str, size: &str| {
            format!(r#"{{"type":"offer","id":"{id}","name":"{name}","size":{size}}}"#)
        };
        let good = "abcdefgh";
        assert!(Message::parse(&offer(good, "", "9007199254740991")).is_some());
        for text in [
            String::new(),
            "offer".into(),
            "[]".into(),
            r#"["more",{"until":1}]"#.into(),
            r#"{"type":"offer"}"#.into(),
            r#"{"type":"moon","until":1}"#.into(),
            offer("short", "a", "1"),
            offer(&"x".repeat(65), "a", "1"),
            offer("../../etc", "a", "1"),
            offer(good, &"n".repeat(1025), "1"),
            offer(good, "a", "-1"),
            offer(good, "a", "1.5"),
            offer(good, "a", "1e30"),
            offer(good, "a", "9007199254740992"),
            offer(good, "a", "\"1\""),
            offer(good, "a", "null"),
            r#"{"type":"accept","offset":2,"until":1}"#.into(),
            r#"{"type":"more","until":-1}"#.into(),
            r#"{"type":"end","sha256":"abc"}"#.into(),
            format!(r#"{{"type":"end","sha256":"{}"}}"#, "é".repeat(32)),
            format!(r#"{{"type":"more","until":1,"x":"{}"}}"#, "x".repeat(LONGEST)),
        ] {
            assert_eq!(Message::parse(&text), None, "{text}");
        }
        // Words of theirs end up in logs.
        let long = format!(r#"{{"type":"refuse","reason":"{0}","text":"{0}"}}"#, "y".repeat(1000));
        let Some(Message::Refuse { reason, text }) = Message::parse(&long) else { panic!() };
        assert_eq!((reason.len(), text.len()), (LONGEST_WORD, LONGEST_SENTENCE));
    }

    #[test]
    fn reasons_have_their_words() {
        for reason in [Reason::BadOffer, Reason::TooMany, Reason::NoSpace, Reason::Mismatch] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.word());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*|\\{\"type\":\"(offer|more|accept|end|cancel)\".*\\}") {
            if let Some(message) = Message::parse(&text) {
                prop_assert_eq!(Message::parse(&message.to_text()), Some(message));
            }
        }

        #[test]
        fn every_message_comes_back(id in "[A-Za-z0-9_-]{8,64}", name in "\\PC{0,200}", size in 0..=LARGEST, hash: [u8; 32]) {
            let message = Message::Offer(Offer { id, name, size, mime: None, sha256: Some(Digest(hash)) });
            prop_assert_eq!(Message::parse(&message.to_text()), Some(message));
        }
    }
}
