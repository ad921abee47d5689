//! Chapters of a film, as containers store them.

use std::time::Duration;

/// A part of a film.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    /// Start on the film's time.
    pub from: Duration,
    /// End on the film's time.
    pub until: Duration,
    /// What players show.
    pub title: String,
}
