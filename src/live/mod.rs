//! What a bot gives back: each participant's tracks decoded, filtered and sent again while they are live. Knows no room and no
//! signalling: it is told what happens, and says what it wishes to be done. It records nothing.
//!
//! ```text
//! inbox -> receive (short patience) -> media::LiveTrack -> OutboundTrack
//!            one task a participant        one pipeline a track
//! ```

mod board;
mod choices;
pub mod command;
mod connection;
mod delays;
mod desk;
mod memory;
pub mod quality;
mod stream;

pub use board::TrackStatus;
pub use choices::{Choices, Pick};
pub use desk::{Answer, Live, LiveSetup, Watcher, Wish};
