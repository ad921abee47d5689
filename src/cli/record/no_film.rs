//! In place of `film.rs` in a program without films: no flags, no film.

use crate::error::Result;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct FilmArgs {}

impl FilmArgs {
    pub fn start(&self, _recording: &Path) -> Result<LiveFilm> {
        Ok(LiveFilm)
    }
}

pub(super) struct LiveFilm;

impl LiveFilm {
    pub async fn finish(self) -> Option<PathBuf> {
        None
    }
}
