//! Changes size and frame rate of live video while it runs. Never enlarges a picture beyond what the encoder needs, never repeats one.

use crate::error::{Error, Result};
use crate::media::runtime::Gst;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Sides are not made shorter than this, in pixels.
const MIN_SIDE: u32 = 64;

/// How far size and frame rate of video are reduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoScale {
    /// Width and height in percent of the input, 1 to 100.
    pub percent: u32,
    /// The highest frame rate, frames per second; `None`: unlimited.
    pub fps: Option<u32>,
}

impl VideoScale {
    /// No reduction.
    pub const FULL: VideoScale = VideoScale { percent: 100, fps: None };

    /// The output size for an input size: the same at 100 percent, even sides below.
    pub fn of(self, (width, height): (u32, u32)) -> (u32, u32) {
        if self.percent >= 100 {
            return (width, height);
        }
        let side = |whole: u32| {
            let part = u64::from(whole) * u64::from(self.percent.clamp(1, 100)) / 100;
            let part = u32::try_from(part).unwrap_or(whole).max(MIN_SIDE.min(whole));
            (part & !1).max(2)
        };
        (side(width), side(height))
    }
}

/// Applies a [`VideoScale`] to a pipeline.
#[derive(Debug)]
pub(super) struct ScaleControl(Mutex<State>);

#[derive(Debug)]
struct State {
    gst: Gst,
    least_side: u32,
    scale: VideoScale,
    /// The input size, once it is known.
    source: Option<(u32, u32)>,
    /// The `capsfilter` after the scaling element.
    size: Option<gst::Element>,
    /// The earliest time of the next frame, in ns of pipeline time.
    due: u64,
}

impl ScaleControl {
    /// No side gets shorter than `least_side` pixels: smaller pictures are enlarged.
    pub fn new(gst: Gst, least_side: u32) -> ScaleControl {
        ScaleControl(Mutex::new(State { gst, least_side, scale: VideoScale::FULL, source: None, size: None, due: 0 }))
    }

    /// Drops frames at the output of `decoder`, and lets `scale` (a converter) scale to the caps of `size` (a `capsfilter`).
    ///
    /// # Errors
    /// Ours: an element without its pads.
    pub fn attach(self: &Arc<Self>, decoder: &gst::Bin, scale: &gst::Element, size: &gst::Element) -> Result<()> {
        let no_pad = || Error::internal("a live track has an element without its pads");
        self.lock().size = Some(size.clone());
        let me = Arc::downgrade(self);
        let output = decoder.static_pad("src").ok_or_else(no_pad)?;
        output.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let pts = info.buffer().and_then(|buffer| buffer.pts()).map(gst::ClockTime::nseconds);
            // Not `Drop`: with GStreamer 1.22 the buffer would be released twice.
            match Weak::upgrade(&me).zip(pts) {
                Some((me, pts)) if !me.passes(pts) => gst::PadProbeReturn::Handled,
                _ => gst::PadProbeReturn::Ok,
            }
        });
        let me = Arc::downgrade(self);
        let input = scale.static_pad("sink").ok_or_else(no_pad)?;
        input.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let (Some(me), Some(event)) = (Weak::upgrade(&me), info.event())
                && let gst::EventView::Caps(caps) = event.view()
                && let Ok(about) = gst_video::VideoInfo::from_caps(caps.caps())
            {
                me.set_source((about.width(), about.height()));
            }
            gst::PadProbeReturn::Ok
        });
        Ok(())
    }

    /// Applies `scale` from the next frame on.
    pub fn set(&self, scale: VideoScale) {
        let resize = {
            let state = &mut *self.lock();
            if state.scale == scale {
                return;
            }
            state.scale = scale;
            state.resize()
        };
        set_caps(resize);
    }

    /// The size before scaling.
    pub fn source(&self) -> Option<(u32, u32)> {
        self.lock().source
    }

    /// The input has this size from now on.
    fn set_source(&self, size: (u32, u32)) {
        let resize = {
            let state = &mut *self.lock();
            state.source = Some(size);
            state.resize()
        };
        set_caps(resize);
    }

    /// Whether the frame of this time is kept.
    fn passes(&self, pts: u64) -> bool {
        let state = &mut *self.lock();
        let Some(fps) = state.scale.fps else { return true };
        let step = 1_000_000_000 / u64::from(fps.max(1));
        // Cameras are not exact: a frame may be a little early.
        let early = pts + step / 5 < state.due;
        if early && state.due - pts <= 2 * step {
            return false;
        }
        let late = early || pts > state.due + step;
        state.due = if late { pts } else { state.due } + step;
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The `capsfilter` and its new caps, once the input size is known.
    fn resize(&self) -> Option<(gst::Element, gst::Caps)> {
        let (width, height) = self.scale.of(self.source?);
        let factor = self.least_side.div_ceil(width.min(height).max(1));
        let (width, height) = (width.saturating_mul(factor), height.saturating_mul(factor));
        let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
        let caps = self.gst.caps("video/x-raw").field("width", side(width)).field("height", side(height)).build();
        Some((self.size.clone()?, caps))
    }
}

/// To be called without the lock: the pipeline renegotiates, which may call back into this file.
fn set_caps(resize: Option<(gst::Element, gst::Caps)>) {
    if let Some((size, caps)) = resize {
        size.set_property("caps", &caps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_stay_as_they_are_or_become_even_and_never_vanish() {
        let scale = |percent| VideoScale { percent, fps: None };
        assert_eq!(scale(100).of((641, 361)), (641, 361));
        assert_eq!(scale(99).of((641, 361)), (634, 356));
        assert_eq!(scale(75).of((640, 360)), (480, 270));
        assert_eq!(scale(50).of((1280, 720)), (640, 360));
        assert_eq!(scale(1).of((640, 360)), (64, 64));
        assert_eq!(scale(50).of((3, 1)), (2, 2));
    }

    #[test]
    fn pictures_are_left_out_evenly() {
        let count = |fps: u32, come: u64| {
            let scale = ScaleControl::new(Gst::init().unwrap(), 1);
            scale.set(VideoScale { percent: 100, fps: Some(fps) });
            (0..10 * come).filter(|n| scale.passes(n * 1_000_000_000 / come)).count()
        };
        for (fps, come, want) in
            [(15, 30, 150), (10, 30, 100), (15, 15, 150), (30, 30, 300), (15, 8, 80), (20, 30, 200)]
        {
            let passed = count(fps, come);
            assert!(passed.abs_diff(want) <= want / 20 + 1, "{passed} of {come} a second at {fps}");
        }
    }
}
