//! `roombot` joins WebRTC rooms as a participant. It records meetings (one file per track, plus chat, shared files and a composed film),
//! sends people's video and audio back through filters, and sends test media and measures what arrives. It is a program and a library.
//!
//! The three examples below are in `examples/`; the tests run them.
//!
//! # Record a room
//!
//! ```ignore
#![doc = include_str!("../examples/record.rs")]
//! ```
//!
//! # A filter in Rust
//!
//! ```ignore
#![doc = include_str!("../examples/rust_filter.rs")]
//! ```
//!
//! # A kind of room of one's own
//!
//! ```ignore
#![doc = include_str!("../examples/own_signaller.rs")]
//! ```
//!
//! # Cargo features
//!
//! | feature (all on by default) | what it adds | what it needs |
//! |---|---|---|
//! | `film` | films of recordings | GStreamer |
//! | `filters` | bots that send media back through filters | GStreamer |
//! | `server` | the room server, its page, WHIP and WHEP; the player of recordings | |
//!
//! With `film` or `filters` come test media and their measurement (`feed`, `stamp`, `verify`); with `film` and `server` the scenarios
//! (`check`). Without any of them, `record`, `show` and `send` are left, and GStreamer is not linked.
//!
//! # Modules
//!
//! Imports run one way, from the bottom of this table to its top; consumers of [`client`] never import each other (a test holds this).
//!
//! | module | what it holds | what it never does |
//! |---|---|---|
//! | [`error`] | what went wrong and who must act; exit codes | |
//! | [`log`] | the program's log on stderr: text or JSON lines; traces | print results |
//! | [`room`] | participants, tracks, codecs, events, clocks: values and pure rules | name tokio, GStreamer or webrtc; read the time |
//! | [`signal`] | how to join each kind of room: `trait Signaller` and its adapters | handle media |
//! | [`rtc`] | WebRTC connections: packets to frames and back, congestion, sockets | let a type of the `webrtc` crate out |
//! | `media` | GStreamer: pipelines, decoders, encoders, filters | use the network |
//! | [`transfer`] | chat and files over data channels: protocol, safe names, quotas | use a connection |
//! | [`container`] | Matroska and MP4: readers and writers | read the time, use the network |
//! | [`recording`] | the recording folder: manifest, timeline, tracks, recovery | decode media |
//! | [`client`] | joins a room: a stream of events, subscriptions, publications | know a recorder, bot or verifier |
//! | [`record`] | the recorder, a consumer of `client` | decode media, wait for anybody |
//! | `bot` | sends people's media back filtered, a consumer of `client` | record |
//! | `verify` | test stamps in media: makes, finds and measures them, checks expectations | change what it measures |
//! | `relay` | WHIP publishers and WHEP viewers of a room, a consumer of `client` | re-encode media, know HTTP |
//! | `film` | a recording as one film: layout, scenes, painting, sound | change the recording |
//! | `pages` | the web pages of all servers, compiled in, with their security headers | read the disk |
//! | `viewer` | recordings over HTTP, for the player: the page's data, media with ranges | change a recording, decode media |
//! | `server` | the room server and its page | handle media |
//! | `service` | the recorder service: HTTP API, jobs, storage, webhooks | join a room, handle media |
//! | `harness` | scenarios: room, participants and recorder in one process, and a verdict | leave this machine |
//! | [`cli`] | one file per verb: from flags to a run | keep state |
// The modules that a smaller program leaves out use parts of the others that are then unused.
#![cfg_attr(not(all(feature = "film", feature = "filters", feature = "server")), allow(dead_code, unused_imports))]
#![forbid(unsafe_op_in_unsafe_fn)]
// They panic when the reader has gone away; `cli::print` does not.
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
pub mod log;
#[cfg(feature = "media")]
pub mod media;
#[cfg(feature = "film")]
pub mod output;
#[cfg(feature = "server")]
pub mod pages;
pub mod record;
pub mod recording;
#[cfg(feature = "server")]
pub mod relay;
pub mod room;
pub mod rtc;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "service")]
pub mod service;
pub mod signal;
pub mod transfer;
#[cfg(feature = "media")]
pub mod verify;
#[cfg(feature = "server")]
pub mod viewer;

#[cfg(feature = "filters")]
pub use bot::Bot;
pub use error::{Error, Result};
pub use record::Recorder;
pub use signal::Signaller;
