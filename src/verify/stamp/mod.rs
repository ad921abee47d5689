//! Stamps: what makes a picture and a sound tell by themselves whose they are and when they were made. Drawn and spoken here, and
//! found again; pure, it opens no file.

pub mod chirp;
pub mod code;
mod listener;
mod luma;
mod mark;
mod person;
mod reader;

pub use code::{FrameStamp, MarkStamp, RATES};
pub use listener::{Heard, Listener, Silence};
pub use luma::Luma;
pub use mark::{Spot, draw};
pub use person::{Pictures, SIDES, Sound, number_of};
pub use reader::{Place, Reader, Sighting};
