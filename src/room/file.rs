//! A file on its way from one participant to another, and why one is refused. Values only.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// A SHA-256; 64 lower-case hex digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

/// Why a file is refused: the words of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    BadOffer,
    BadMessage,
    Unwanted,
    TooLarge,
    TooMany,
    NoSpace,
    Flood,
    Mismatch,
    Idle,
    Busy,
    Broken,
}

impl Reason {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Reason::BadOffer => "bad-offer",
            Reason::BadMessage => "bad-message",
            Reason::Unwanted => "unwanted",
            Reason::TooLarge => "too-large",
            Reason::TooMany => "too-many",
            Reason::NoSpace => "no-space",
            Reason::Flood => "flood",
            Reason::Mismatch => "mismatch",
            Reason::Idle => "idle",
            Reason::Busy => "busy",
            Reason::Broken => "broken",
        }
    }
}

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for Digest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "a SHA-256 is 64 hex digits";
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(FORM);
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| FORM)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| FORM)?;
        }
        Ok(Self(digest))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a file is not taken, for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    pub text: String,
}

impl Refusal {
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }
}

/// What becomes of a file that somebody sends us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Whose it is: a participant's folder name.
    pub owner: String,
    /// As the sender calls it; any text.
    pub name: String,
    /// As the sender says, in bytes.
    pub size: u64,
    pub mime: Option<String>,
    /// The id under which everybody in the room is offered it; absent: it is meant for us only.
    pub shared: Option<String>,
    pub status: FileStatus,
}

/// How far a file is. A path is `OWNER/NAME`, below the vault's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileStatus {
    /// Bytes begin to come, at an offset that is more than 0 when it goes on after a break.
    Started { path: String, offset: u64 },
    /// It is whole, verified and on the disk. The sender is told whether we offer it on.
    Received { path: String, sha256: Digest, offered_on: bool },
    /// It was not taken; nothing, or only a `.part`, is there.
    Refused { path: Option<String>, written: u64, refusal: Refusal },
    /// It stopped in the middle and may go on.
    Incomplete { path: String, written: u64, cause: String },
}
