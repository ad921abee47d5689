//! Chat and files over data channels: messages, limits, safe names, and the disk. Never touches a connection.
//!
//! [`protocol`] and [`classic`] are pure state machines: messages in, actions out. [`store`] writes files. The client connects them with data
//! channels. `docs/files.md` documents the protocol for other implementations.

#![deny(missing_docs)]

pub mod classic;
pub mod message;
pub mod names;
pub mod protocol;
pub mod store;
pub mod text_rate;

pub use crate::room::file::{FileReport, FileStatus, Refusal};

/// The subprotocol of a data channel that carries one file.
pub const PROTOCOL: &str = "roombot-file/1";
