//! Bots: each participant's tracks are decoded, filtered, encoded and sent back while they are live. It records nothing.
//!
//! ```text
//! inbox -> receive (short patience) -> media::TrackFilter -> OutboundTrack
//!            one task a participant        one pipeline a track
//! ```

mod actor;
mod builder;
mod chat_and_files;
mod choices;
pub mod command;
mod connection;
mod delays;
mod memory;
pub mod quality;
mod run;
mod shared;
mod status;
mod stream;

pub use actor::{Answer, BotSetup, Live, Watcher};
pub use builder::BotBuilder;
pub use choices::{Choices, Pick};
pub use run::{Bot, BotConfig, Commander};
pub use shared::BotAction;
pub use status::TrackStatus;
