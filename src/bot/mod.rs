//! What a bot gives back: each participant's tracks decoded, filtered and sent again while they are live. Knows no room and no
//! signalling: it is told what happens, and says what it wishes to be done. It records nothing.
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
mod status;
mod stream;

pub use actor::{Answer, BotAction, BotSetup, Live, Watcher};
pub use builder::BotBuilder;
pub use choices::{Choices, Pick};
pub use run::{Bot, BotConfig, Commander};
pub use status::TrackStatus;
