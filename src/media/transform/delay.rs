//! Video filters that change when a frame is shown. They neither change nor copy pixels, and hold a bounded number of frames.

use super::probe::{Transform, pts};
use crate::error::Result;
use gstreamer as gst;
use std::collections::VecDeque;
use std::time::Duration;

/// The most bytes that a delay holds; with very large frames the delay becomes shorter (policy DropOldest).
const MAX_HELD_BYTES: usize = 256 << 20;

/// Repeats one frame, and takes a new one at an interval.
pub struct Freeze {
    every: Duration,
    held: Option<(Duration, gst::Caps, gst::Buffer)>,
}

impl Freeze {
    pub fn new(every: Duration) -> Freeze {
        Freeze { every, held: None }
    }
}

impl Transform for Freeze {
    fn transform(&mut self, buffer: gst::Buffer, caps: &gst::Caps) -> Result<(gst::Buffer, Option<gst::Caps>)> {
        let at = pts(&buffer);
        match &self.held {
            Some((since, of, held)) if at.saturating_sub(*since) < self.every && of == caps => {
                Ok((shown_at(held, &buffer), None))
            }
            _ => {
                self.held = Some((at, caps.clone(), buffer.clone()));
                Ok((buffer, None))
            }
        }
    }
}

/// Delays the video; shows the first frame until then.
pub struct Delay {
    by: Duration,
    caps: Option<gst::Caps>,
    held: VecDeque<(Duration, gst::Buffer)>,
}

impl Delay {
    pub fn new(by: Duration) -> Delay {
        Delay { by, caps: None, held: VecDeque::new() }
    }
}

impl Transform for Delay {
    fn transform(&mut self, buffer: gst::Buffer, caps: &gst::Caps) -> Result<(gst::Buffer, Option<gst::Caps>)> {
        let at = pts(&buffer);
        if self.caps.as_ref() != Some(caps) {
            // Frames of another size or format can no longer be output.
            self.held.clear();
            self.caps = Some(caps.clone());
        }
        self.held.push_back((at, buffer.clone()));
        let is_due = |held: &(Duration, gst::Buffer)| held.0 + self.by <= at;
        let most = (MAX_HELD_BYTES / buffer.size().max(1)).max(1);
        while self.held.get(1).is_some_and(is_due) || self.held.len() > most {
            self.held.pop_front();
        }
        let shown = self.held.front().map(|(_, held)| shown_at(held, &buffer));
        Ok((shown.unwrap_or(buffer), None))
    }
}

/// A frame with the timestamps of another one. The pixels are shared.
fn shown_at(picture: &gst::Buffer, other: &gst::Buffer) -> gst::Buffer {
    let mut shown = picture.copy();
    if let Some(shown) = shown.get_mut() {
        shown.set_pts(other.pts());
        shown.set_dts(other.dts());
        shown.set_duration(other.duration());
    }
    shown
}
