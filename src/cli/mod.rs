//! The command line: one file a verb.

pub mod room;
pub mod show;
