//! Size and frame rate of pictures that go back, changed while they flow. Never makes a picture larger, never repeats one.

use crate::error::{Error, Result};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Sides shorter than this are not made shorter still.
const SHORTEST: u32 = 64;

/// How much of the picture's size and rate goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoScale {
    /// Width and height in percent of the source's, 1 to 100.
    pub percent: u32,
    /// Pictures a second at most; none: all.
    pub fps: Option<u32>,
}

impl VideoScale {
    /// As it comes.
    pub const WHOLE: VideoScale = VideoScale { percent: 100, fps: None };

    /// The size of a picture in this scale: even sides, as every encoder wants them.
    pub fn of(self, (width, height): (u32, u32)) -> (u32, u32) {
        let side = |whole: u32| {
            let part = u64::from(whole) * u64::from(self.percent.clamp(1, 100)) / 100;
            let part = u32::try_from(part).unwrap_or(whole).max(SHORTEST.min(whole));
            (part & !1).max(2)
        };
        (side(width), side(height))
    }
}

/// Holds a pipeline to a [`VideoScale`].
#[derive(Debug)]
pub(super) struct ScaleControl(Mutex<State>);

#[derive(Debug)]
struct State {
    scale: VideoScale,
    source: Option<(u32, u32)>,
    /// The `capsfilter` behind the scaling.
    size: Option<gst::Element>,
    /// When the next picture may pass, in the pipeline's time.
    due: u64,
}

impl Default for ScaleControl {
    fn default() -> Self {
        ScaleControl(Mutex::new(State { scale: VideoScale::WHOLE, source: None, size: None, due: 0 }))
    }
}

impl ScaleControl {
    /// Pictures are left out behind `decoder`, and scaled by `scale` to what `size` (a `capsfilter`) prescribes.
    pub fn attach(self: &Arc<Self>, decoder: &gst::Bin, scale: &gst::Element, size: &gst::Element) -> Result<()> {
        let none = || Error::us("a live track has nothing to scale");
        self.lock().size = Some(size.clone());
        let me = Arc::downgrade(self);
        let output = decoder.static_pad("src").ok_or_else(none)?;
        output.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let pts = info.buffer().and_then(|buffer| buffer.pts()).map(gst::ClockTime::nseconds);
            // Not `Drop`: GStreamer 1.22 would let go of a buffer that the binding has taken already.
            match Weak::upgrade(&me).zip(pts) {
                Some((me, pts)) if !me.passes(pts) => gst::PadProbeReturn::Handled,
                _ => gst::PadProbeReturn::Ok,
            }
        });
        let me = Arc::downgrade(self);
        let input = scale.static_pad("sink").ok_or_else(none)?;
        input.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let (Some(me), Some(event)) = (Weak::upgrade(&me), info.event())
                && let gst::EventView::Caps(caps) = event.view()
                && let Ok(about) = gst_video::VideoInfo::from_caps(caps.caps())
            {
                me.came((about.width(), about.height()));
            }
            gst::PadProbeReturn::Ok
        });
        Ok(())
    }

    pub fn set(&self, scale: VideoScale) {
        let resize = {
            let state = &mut *self.lock();
            if state.scale == scale {
                return;
            }
            state.scale = scale;
            state.resize()
        };
        apply(resize);
    }

    /// The size before scaling.
    pub fn source(&self) -> Option<(u32, u32)> {
        self.lock().source
    }

    /// The pictures that come are of this size from now on.
    fn came(&self, size: (u32, u32)) {
        let resize = {
            let state = &mut *self.lock();
            state.source = Some(size);
            state.resize()
        };
        apply(resize);
    }

    /// Whether a picture of this time passes.
    fn passes(&self, pts: u64) -> bool {
        let state = &mut *self.lock();
        let Some(fps) = state.scale.fps else { return true };
        let step = 1_000_000_000 / u64::from(fps.max(1));
        // A picture may come a little early: cameras are not exact.
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
    fn resize(&self) -> Option<(gst::Element, gst::Caps)> {
        let (width, height) = self.scale.of(self.source?);
        let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
        let caps = gst::Caps::builder("video/x-raw").field("width", side(width)).field("height", side(height)).build();
        Some((self.size.clone()?, caps))
    }
}

/// Outside of the lock: it makes the pipeline negotiate, which may come back to us.
fn apply(resize: Option<(gst::Element, gst::Caps)>) {
    if let Some((size, caps)) = resize {
        size.set_property("caps", &caps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_stay_even_and_never_vanish() {
        let scale = |percent| VideoScale { percent, fps: None };
        assert_eq!(scale(100).of((641, 361)), (640, 360));
        assert_eq!(scale(75).of((640, 360)), (480, 270));
        assert_eq!(scale(50).of((1280, 720)), (640, 360));
        assert_eq!(scale(1).of((640, 360)), (64, 64));
        assert_eq!(scale(50).of((3, 1)), (2, 2));
    }

    #[test]
    fn pictures_are_left_out_evenly() {
        let count = |fps: u32, come: u64| {
            let scale = ScaleControl::default();
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
