//! Chat and files between members: the words, who may send how much, safe names, and the disk. It never touches a connection.
//!
//! [`protocol`] and [`classic`] are pure: messages in, steps out. [`vault`] does what the steps say, on a disk. The session
//! brings them together with data channels. `docs/files.md` has the protocol for those who write the other side.

pub mod classic;
pub mod message;
pub mod names;
pub mod protocol;
pub mod texts;
pub mod vault;

use message::{Digest, Reason};

/// The subprotocol of a data channel that carries one file.
pub const PROTOCOL: &str = "roombot-file/1";

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
    pub status: FileStatus,
}

/// How far a file is. A path is `OWNER/NAME`, below the vault's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileStatus {
    /// Bytes begin to come, at an offset that is more than 0 when it goes on after a break.
    Started { path: String, offset: u64 },
    /// It is whole, verified and on the disk.
    Received { path: String, sha256: Digest },
    /// It was not taken; nothing, or only a `.part`, is there.
    Refused { path: Option<String>, written: u64, refusal: Refusal },
    /// It stopped in the middle and may go on.
    Incomplete { path: String, written: u64, cause: String },
}
