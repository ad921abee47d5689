//! Measures stamped media and compares the figures with expectations: stamps and their detection, measurements, verdicts. It never joins a
//! room and never changes what it measures.
//!
//! ```text
//! stamp -> (room, codec, recorder, film) -> target: detections per participant -> measurements -> verdict on expectations
//!                        `-> watch: end-to-end delay of the frames that a recorder receives ->
//! ```
#![deny(missing_docs)]

pub mod detections;
pub mod expect;
mod file_info;
mod join_times;
mod make;
pub mod measure;
pub mod quality;
pub mod stamp;
mod stops;
pub mod target;
pub mod verdict;
pub mod watch;

pub use file_info::FileInfo;
pub use make::{Format, Job, files, make};
