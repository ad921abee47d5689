//! The judge: media that can be recognised frame by frame, its readers, the measures, and the verdict. It never joins a room and never
//! changes what it judges.

mod make;
pub mod stamp;

pub use make::{Format, Job, make};
