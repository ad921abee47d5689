//! One video track on the session's time: the picture that is to be seen now. Decodes no earlier than needed and lets go of
//! the file at its end; a track that fails is reported once and then has no more pictures.

use crate::error::Result;
use crate::media::{Decoder, Library, Picture};
use crate::record::manifest::TrackEntry;
use crate::record::placement::Placement;
use std::path::PathBuf;
use std::time::Duration;

/// A picture that is due this little later is shown: file times are rounded to a millisecond.
const ROUNDING_NS: i64 = 1_000_000;
/// A file is opened so long before its first picture is due.
const EARLY_NS: i64 = 200_000_000;

/// A video track that is being shown.
pub struct Lane {
    path: PathBuf,
    track: TrackEntry,
    placement: Placement,
    state: State,
    next: Option<(i64, Picture)>,
    /// What is to be seen now.
    pub now: Option<Picture>,
}

enum State {
    Waiting,
    Open(Box<Decoder>),
    Ended,
}

impl Lane {
    /// A track that lies at `path`; nothing is opened yet.
    pub fn new(path: PathBuf, track: &TrackEntry) -> Lane {
        Lane {
            path,
            placement: Placement::of(track),
            track: track.clone(),
            state: State::Waiting,
            next: None,
            now: None,
        }
    }

    /// Goes on to `at`, in session nanoseconds: true where another picture is to be seen.
    ///
    /// # Errors
    /// The file cannot be read or decoded any further; the lane has then ended.
    pub fn advance(&mut self, library: &Library, at: i64) -> Result<bool> {
        let advanced = self.go_on(library, at);
        if advanced.is_err() {
            self.state = State::Ended;
        }
        advanced
    }

    fn go_on(&mut self, library: &Library, at: i64) -> Result<bool> {
        if matches!(self.state, State::Waiting) {
            let start_ns = self.placement.session_ns(Duration::ZERO);
            if at.saturating_add(EARLY_NS) < start_ns {
                return Ok(false);
            }
            self.state = State::Open(Box::new(Decoder::open(library, &self.path, self.track.codec)?));
        }
        let mut changed = false;
        loop {
            if self.next.is_none() {
                let State::Open(decoder) = &mut self.state else { return Ok(changed) };
                match decoder.picture()? {
                    Some((in_file, picture)) => self.next = Some((self.placement.session_ns(in_file), picture)),
                    None => {
                        self.state = State::Ended;
                        return Ok(changed);
                    }
                }
            }
            let due = |(time, _): &mut (i64, Picture)| *time <= at.saturating_add(ROUNDING_NS);
            let Some((_, picture)) = self.next.take_if(due) else { return Ok(changed) };
            self.now = Some(picture);
            changed = true;
        }
    }
}
