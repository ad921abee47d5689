//! `roombot`: a headless participant of WebRTC rooms, and a recorder of what is said and shown in them.
//!
//! The crate is a house with rooms; imports run one way (held by `tests/suite/house.rs`):
//!
//! ```text
//! room  <-  signal | rtc | media | transfer  <-  record | live  <-  verify  <-  film  <-  session  <-  relay  <-  server  <-  harness  <-  cli  <-  main
//! ```
//!
//! | room | what it holds | what it never does |
//! |---|---|---|
//! | [`room`] | participants, tracks, frames, clocks: pure values | name tokio, GStreamer or webrtc; ask for the time |
//! | [`signal`] | the room protocol, `trait Signaller`, its adapters | know of media |
//! | [`rtc`] | one WebRTC connection: negotiation, packets in and out, frames | let a `webrtc`/`rtc` type out |
//! | [`media`] | GStreamer: pipeline templates, demuxing, decoding | touch the network |
//! | [`transfer`] | chat and files: protocol, safe names, quotas, the disk | touch a connection |
//! | [`record`] | track files, clock, timeline, manifest, recovery | decode, wait for anybody |
//! | [`live`] | what a bot gives back: tracks filtered while they are live | record, know a room |
//! | [`verify`] | stamps in picture and sound, their readers, measures, the verdict | join a room; change what it judges |
//! | [`film`] | a recording as one film: scenes over time, painting, mixing | touch the recording's tracks or manifest |
//! | [`session`] | one actor a room: where the parts meet | parse a flag |
//! | [`relay`] | those outside who send into a room or watch it by HTTP (WHIP, WHEP) | transcode; know HTTP |
//! | [`server`] | the room server and its page | know of media |
//! | [`harness`] | scenarios: a room, stamped people and a recorder in one process, and a verdict | leave this machine |
//! | [`cli`] | one file a verb: flags to a validated configuration to a run | hold state |
//!
//! `ARCHITECTURE.md` says why, and how a packet travels.
// A smaller program uses less of its shared parts.
#![cfg_attr(not(all(feature = "film", feature = "filters", feature = "server")), allow(dead_code, unused_imports))]
#![forbid(unsafe_op_in_unsafe_fn)]
// They panic where nobody reads any more: `cli::say` prints.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

#[cfg(feature = "filters")]
pub mod bot;
pub mod cli;
pub mod client;
pub mod container;
pub mod error;
#[cfg(feature = "film")]
pub mod film;
#[cfg(all(feature = "film", feature = "server"))]
pub mod harness;
#[cfg(feature = "media")]
pub mod media;
pub mod record;
pub mod recording;
#[cfg(feature = "server")]
pub mod relay;
pub mod room;
pub mod rtc;
#[cfg(feature = "server")]
pub mod server;
pub mod signal;
pub mod transfer;
#[cfg(feature = "media")]
pub mod verify;
