//! The text messages of `roombot-file/1` (docs/files.md), parsed with their limits. Pure; never trusts a length.

pub use crate::room::file::{Digest, Reason};
use serde::{Deserialize, Serialize};

/// Bytes of a text message of the protocol at most.
pub const MAX_MESSAGE: usize = 8 << 10;
/// The largest position or size: whole numbers that JavaScript can represent.
const MAX_POSITION: u64 = (1 << 53) - 1;
/// Bytes (UTF-8) of an offered name at most.
pub const MAX_OFFERED_NAME: usize = 1024;
const MAX_MIME: usize = 128;
/// Bytes (UTF-8) of the name of the member whose file it is at most: 64 characters.
const MAX_FROM: usize = 256;
const ID_LENGTH: std::ops::RangeInclusive<usize> = 8..=64;
/// Characters of a received reason that are kept.
const MAX_REASON_CHARS: usize = 64;
/// Characters of a received explanation that are kept.
const MAX_TEXT_CHARS: usize = 400;

/// A file that a sender offers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Offer {
    /// 8 to 64 of `[A-Za-z0-9_-]`, random: an offer with the same id, name and size resumes the file.
    pub id: String,
    /// The name for people, at most 1024 bytes of any characters.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// The media type, at most 128 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    /// The hash of the whole file, where the sender knows it beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Everybody in the room is offered this file, under the same id.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// The display name of the member who shared the file, where another one offers it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// A text message of the protocol. The sender sends `offer`, `end` and `cancel`; the receiver all others and `cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Message {
    /// The sender offers a file.
    Offer(Offer),
    /// The receiver accepts it.
    Accept {
        /// Where to begin, in bytes.
        offset: u64,
        /// How far the sender may go.
        until: u64,
        /// Bytes of the receiver's socket buffer; without it, assume little.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        buffer: Option<u64>,
    },
    /// The sender may go on.
    More {
        /// How far, in bytes from the start of the file.
        until: u64,
    },
    /// The sender has sent everything.
    End {
        /// The hash of the whole file.
        sha256: Digest,
    },
    /// The receiver has stored the file.
    Ack {
        /// The hash of the whole file.
        sha256: Digest,
        /// The receiver will offer it to others once the sender has left.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        shared: bool,
    },
    /// The hash was wrong: the sender begins again.
    Again {
        /// Where to begin, in bytes.
        offset: u64,
        /// How far the sender may go.
        until: u64,
    },
    /// The receiver does not accept the file, or not any longer.
    Refuse {
        /// One of the words of [`Reason`].
        reason: String,
        /// An explanation for people.
        #[serde(default)]
        text: String,
    },
    /// Either side gives up.
    Cancel {
        /// A word.
        #[serde(default)]
        reason: String,
    },
}

impl Message {
    /// Reads a message; `None` if it is not of the protocol or a field is out of range. Texts for people are cut.
    pub fn parse(text: &str) -> Option<Self> {
        // The parser would accept an array too.
        if text.len() > MAX_MESSAGE || !text.trim_start().starts_with('{') {
            return None;
        }
        let mut message: Message = serde_json::from_str(text).ok()?;
        let valid = match &mut message {
            Message::Offer(offer) => offer.is_valid(),
            Message::Accept { offset, until, .. } | Message::Again { offset, until } => {
                *offset <= *until && *until <= MAX_POSITION
            }
            Message::More { until } => *until <= MAX_POSITION,
            Message::End { .. } | Message::Ack { .. } => true,
            Message::Refuse { reason, text } => {
                (*reason, *text) = (cut(reason, MAX_REASON_CHARS), cut(text, MAX_TEXT_CHARS));
                true
            }
            Message::Cancel { reason } => {
                *reason = cut(reason, MAX_REASON_CHARS);
                true
            }
        };
        valid.then_some(message)
    }

    /// The message as text.
    pub fn to_text(&self) -> String {
        // Strings and numbers only: JSON can represent all of it.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The message for a refusal of ours.
    pub fn refuse(refusal: &super::Refusal) -> Self {
        Message::Refuse { reason: refusal.reason.word().to_owned(), text: refusal.text.clone() }
    }
}

impl Offer {
    /// Whether every field is within the range of the protocol.
    pub fn is_valid(&self) -> bool {
        ID_LENGTH.contains(&self.id.len())
            && self.id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            && self.name.len() <= MAX_OFFERED_NAME
            && self.size <= MAX_POSITION
            && self.mime.as_ref().is_none_or(|mime| mime.len() <= MAX_MIME)
            && self.from.as_ref().is_none_or(|from| from.len() <= MAX_FROM)
    }

    /// The hash of a shared file. Without it a file belongs to its offer alone: nobody could say whether another's is the same.
    pub fn shared_hash(&self) -> Option<Digest> {
        self.sha256.filter(|_| self.shared)
    }

    /// Whether it is a shared file of somebody else's.
    pub fn is_offered_on(&self) -> bool {
        self.from.is_some() && self.shared_hash().is_some()
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
        let offer = |mime, sha256| Offer {
            id: "a-long_id".into(),
            name: "ä.pdf".into(),
            size: 3,
            mime,
            sha256,
            ..Offer::default()
        };
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
            (format!(r#"{{"type":"ack","sha256":"{HASH}"}}"#), Message::Ack { sha256, shared: false }),
            (format!(r#"{{"type":"ack","sha256":"{HASH}","shared":true}}"#), Message::Ack { sha256, shared: true }),
            (
                format!(
                    r#"{{"type":"offer","id":"a-long_id","name":"ä.pdf","size":3,"sha256":"{HASH}","shared":true,"from":"Zoë"}}"#
                ),
                Message::Offer(Offer { shared: true, from: Some("Zoë".into()), ..offer(None, Some(sha256)) }),
            ),
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
            r#"{"type":"offer","id":"abcdefgh","name":"a","size":1,"shared":1}"#.into(),
            format!(r#"{{"type":"offer","id":"abcdefgh","name":"a","size":1,"from":"{}"}}"#, "x".repeat(257)),
            r#"{"type":"accept","offset":2,"until":1}"#.into(),
            r#"{"type":"more","until":-1}"#.into(),
            r#"{"type":"end","sha256":"abc"}"#.into(),
            format!(r#"{{"type":"end","sha256":"{}"}}"#, "é".repeat(32)),
            format!(r#"{{"type":"more","until":1,"x":"{}"}}"#, "x".repeat(MAX_MESSAGE)),
        ] {
            assert_eq!(Message::parse(&text), None, "{text}");
        }
        // Received texts are logged, so they must be short.
        let long = format!(r#"{{"type":"refuse","reason":"{0}","text":"{0}"}}"#, "y".repeat(1000));
        let Some(Message::Refuse { reason, text }) = Message::parse(&long) else { panic!() };
        assert_eq!((reason.len(), text.len()), (MAX_REASON_CHARS, MAX_TEXT_CHARS));
    }

    #[test]
    fn only_a_file_whose_hash_is_known_is_shared() {
        let hash = Some(Digest([7; 32]));
        let offer = |shared, sha256| Offer { shared, sha256, from: Some("Alice".into()), ..Offer::default() };
        for (offer, known) in [(offer(true, hash), true), (offer(true, None), false), (offer(false, hash), false)] {
            assert_eq!((offer.shared_hash().is_some(), offer.is_offered_on()), (known, known), "{offer:?}");
        }
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
        fn every_message_comes_back(id in "[A-Za-z0-9_-]{8,64}", name in "\\PC{0,200}", size in 0..=MAX_POSITION, hash: [u8; 32]) {
            let message = Message::Offer(Offer { id, name, size, sha256: Some(Digest(hash)), ..Offer::default() });
            prop_assert_eq!(Message::parse(&message.to_text()), Some(message));
        }
    }
}
