//! Where a film goes: a file that gets its name when it is complete, or an HLS folder. It stores what was encoded, and knows neither
//! recordings nor how a film is rendered.
#![deny(missing_docs)]

mod film_file;
mod hls;
mod part_file;
mod sink;

pub use film_file::FilmFile;
pub use hls::HlsFolder;
pub use part_file::PartFile;
pub use sink::{EncodedFilm, Sink, Target};
