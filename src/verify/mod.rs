//! The judge: media that can be recognised frame by frame, its readers, the measures, and the verdict. It never joins a room and never
//! changes what it judges.
//!
//! ```text
//! stamp -> (a room, a codec, a recorder, a film) -> target: evidence of whom, when -> measure -> verdict over what is expected
//! ```

pub mod evidence;
pub mod expect;
mod file;
mod joining;
mod make;
pub mod measure;
pub mod quality;
pub mod stamp;
pub mod target;
pub mod verdict;

pub use file::Fact;
pub use make::{Format, Job, files, make};
