//! One video track on session time: the picture that is due. It decodes no earlier than needed and nothing while the track is not
//! visible. A track that fails is reported once and then has no more pictures.

use super::track_decoder::TrackDecoder;
use crate::error::Result;
use crate::media::{Decoder, Library, Picture};
use crate::recording::manifest::TrackEntry;
use crate::room::media::Source;
use std::path::PathBuf;

/// Pictures that are due this much later are shown already: file times are rounded to a millisecond.
const ROUNDING_NS: i64 = 1_000_000;
/// A file is opened this long before its first picture is due.
const OPEN_EARLY_NS: i64 = 200_000_000;

/// A video track.
pub struct TrackPictures {
    decoder: TrackDecoder,
    is_camera: bool,
    /// When the track ends, in session nanoseconds.
    ends_ns: i64,
    next: Option<(i64, Picture)>,
    now: Option<Picture>,
}

impl TrackPictures {
    /// The track file at `path`; nothing is opened yet. `grows`: it is still being written.
    pub fn new(path: PathBuf, track: &TrackEntry, grows: bool) -> TrackPictures {
        let decoder = TrackDecoder::new(path, track, grows);
        TrackPictures {
            decoder,
            is_camera: track.source == Source::Camera,
            ends_ns: ends_ns(track),
            next: None,
            now: None,
        }
    }

    /// Updates what is known of the track.
    pub fn update(&mut self, track: &TrackEntry, grows: bool) {
        self.ends_ns = ends_ns(track);
        self.decoder.update(track, grows);
    }

    /// The picture of the time that was advanced to; `None` before the first one.
    pub fn picture(&self) -> Option<&Picture> {
        self.now.as_ref()
    }

    /// Advances to session time `at` (nanoseconds): true where the picture has changed. A track that is not `visible` is not decoded.
    ///
    /// # Errors
    /// The file cannot be read or decoded any further; the track has then ended.
    pub fn advance(&mut self, library: &Library, at: i64, visible: bool) -> Result<bool> {
        let advanced = self.try_advance(library, at.saturating_add(ROUNDING_NS), visible);
        if advanced.is_err() {
            self.decoder.close();
        }
        advanced
    }

    fn try_advance(&mut self, library: &Library, at: i64, visible: bool) -> Result<bool> {
        if !self.decoder.is_closed() && at.saturating_add(OPEN_EARLY_NS) < self.decoder.start_ns() {
            return Ok(false);
        }
        if !visible {
            // The picture of a screen that does not change is still true when the track is visible again; an older one is not.
            if let Some((_, picture)) = self.next.take_if(|(time, _)| *time <= at) {
                self.now = Some(picture);
            }
            if self.decoder.skip(at)? || at >= self.ends_ns {
                self.now = None;
            }
            return Ok(false);
        }
        let mut latest = None;
        loop {
            if self.next.is_none() {
                if self.now.is_none() && latest.is_none() {
                    // The first picture, or the first since the track is visible again: from the key frame before.
                    self.decoder.skip(at)?;
                }
                self.next = self.decoder.next(library, Decoder::picture)?;
            }
            let Some(due) = self.next.take_if(|(time, _)| *time <= at) else { break };
            latest = Some(due);
        }
        let Some((_, picture)) = latest else { return Ok(false) };
        // An unchanged screen is sent again and again. New pictures are compared with the one that is drawn, so that small differences
        // cannot add up.
        if !self.is_camera && self.now.as_ref().is_some_and(|now| now.looks_like(&picture)) {
            return Ok(false);
        }
        self.now = Some(picture);
        Ok(true)
    }
}

fn ends_ns(track: &TrackEntry) -> i64 {
    i64::try_from(track.until_ms()).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}
