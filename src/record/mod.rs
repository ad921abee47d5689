//! The recorder: joins a room, turns what arrives into track files, a timeline and a manifest. It never decodes and never waits for the network.

mod builder;
pub mod capture;
mod connection;
mod context;
pub mod control;
pub mod destination;
mod disk;
pub mod lease;
mod ledger;
mod limits;
mod log;
mod notices;
mod quiet;
mod reception;
mod run;
mod shares;
mod sharing;
pub mod status;
mod stream;
#[cfg(test)]
mod tests;
mod unconnected;
mod unowned;

pub use builder::{Recorder, RecorderBuilder};
pub use limits::Limits;
pub use reception::{Reception, Transforms};
pub use run::{Controls, RecordConfig, Recording};
