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

pub use crate::room::file::{FileReport, FileStatus, Refusal};

/// The subprotocol of a data channel that carries one file.
pub const PROTOCOL: &str = "roombot-file/1";
