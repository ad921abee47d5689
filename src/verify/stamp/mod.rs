//! Stamps: IDs in video frames and in audio that identify the participant and the time. They are drawn, synthesised and detected here; pure, it
//! opens no file. docs/stamp.md has the format.

pub mod chirp;
pub mod code;
pub mod luma;
pub mod mark_detector;
pub mod pattern;
pub mod reader;
pub mod source;

pub use code::{FRAME_RATES, FrameStamp, MarkStamp};
pub use luma::LumaPlane;
pub use mark_detector::{DetectedMark, MarkDetector, Silence};
pub use reader::{DetectedStamp, Region, StampReader};
pub use source::{SIDES, StampedAudio, StampedVideo, number_of};
