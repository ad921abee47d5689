//! One video track on the session's time: the picture that is to be seen now. Decodes no earlier than needed, nothing while it
//! is not to be seen, and lets go of the file at its end; a track that fails is reported once and then has no more pictures.

use super::feed::TrackFeed;
use crate::error::Result;
use crate::media::{Decoder, Library, Picture};
use crate::recording::manifest::TrackEntry;
use crate::room::media::Source;
use std::path::PathBuf;

/// A picture that is due this little later is shown: file times are rounded to a millisecond.
const ROUNDING_NS: i64 = 1_000_000;
/// A file is opened so long before its first picture is due.
const EARLY_NS: i64 = 200_000_000;
/// A camera that has sent nothing for longer is frozen. A screen that stands still sends nothing either.
const FROZEN_NS: i64 = 2_000_000_000;

/// A video track that is being shown, or could be.
pub struct Lane {
    feed: TrackFeed,
    is_camera: bool,
    next: Option<(i64, Picture)>,
    now: Option<(i64, Picture)>,
}

impl Lane {
    /// A track that lies at `path`; nothing is opened yet.
    pub fn new(path: PathBuf, track: &TrackEntry, grows: bool) -> Lane {
        let feed = TrackFeed::new(path, track, grows);
        Lane { feed, is_camera: track.source == Source::Camera, next: None, now: None }
    }

    /// Goes by what is known of the track now.
    pub fn update(&mut self, track: &TrackEntry, grows: bool) {
        self.feed.update(track, grows);
    }

    /// What is to be seen at `at`, in session nanoseconds: nothing before the first picture, and of a frozen camera.
    pub fn picture(&self, at: i64) -> Option<&Picture> {
        let (since, picture) = self.now.as_ref()?;
        (!self.is_camera || at.saturating_sub(*since) <= FROZEN_NS).then_some(picture)
    }

    /// Goes on to `at`, in session nanoseconds: true where another picture is to be seen. What is not `wanted` is not decoded.
    ///
    /// # Errors
    /// The file cannot be read or decoded any further; the lane has then ended.
    pub fn advance(&mut self, library: &Library, at: i64, wanted: bool) -> Result<bool> {
        let advanced = self.go_on(library, at.saturating_add(ROUNDING_NS), wanted);
        if advanced.is_err() {
            self.feed.close();
        }
        advanced
    }

    fn go_on(&mut self, library: &Library, at: i64, wanted: bool) -> Result<bool> {
        if !self.feed.is_closed() && at.saturating_add(EARLY_NS) < self.feed.start_ns() {
            return Ok(false);
        }
        if !wanted {
            // The picture that stood here is not the one that is to be seen when it is wanted again.
            self.now = None;
            self.next.take_if(|(time, _)| *time <= at);
            self.feed.skip(at)?;
            return Ok(false);
        }
        let mut seen = None;
        loop {
            if self.next.is_none() {
                if self.now.is_none() && seen.is_none() {
                    // Begins, or is wanted again: from the key frame before.
                    self.feed.skip(at)?;
                }
                self.next = self.feed.next(library, Decoder::picture)?;
            }
            let Some(due) = self.next.take_if(|(time, _)| *time <= at) else { break };
            seen = Some(due);
        }
        let Some((time, picture)) = seen else { return Ok(false) };
        if let Some((since, _)) = self.now.as_mut().filter(|(_, now)| !self.is_camera && now.looks_like(&picture)) {
            // A screen that stands still is sent all the same. What is painted stays what others are held against, so that small
            // differences cannot add up.
            *since = time;
            return Ok(false);
        }
        self.now = Some((time, picture));
        Ok(true)
    }
}
