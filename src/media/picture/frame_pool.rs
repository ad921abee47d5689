//! Copies of a canvas for encoders, which keep some of them for a while. A copy that the encoder has released is reused: only the areas
//! that were painted since are copied again. It paints nothing itself.

use super::decoded::{not_paintable, stride_of, writable};
use crate::error::{Error, Result};
use crate::media::geometry::Rect;
use gst_video::{VideoFrameRef, VideoInfo};
use gstreamer as gst;
use gstreamer_video as gst_video;

/// The most copies that are reused; encoders that hold more at once get copies that are not.
const MAX_COPIES: usize = 48;
/// A copy with more changed areas than this is copied as a whole.
const MAX_STALE: usize = 64;

/// The copies.
#[derive(Default)]
pub(super) struct FramePool(Vec<Copied>);

struct Copied {
    buffer: gst::Buffer,
    /// Areas that were painted since.
    stale: Vec<Rect>,
}

impl FramePool {
    /// Notes that `area` of the canvas has changed.
    pub(super) fn mark_changed(&mut self, area: Rect) {
        for Copied { stale, .. } in &mut self.0 {
            if stale.len() <= MAX_STALE && !stale.iter().any(|known| is_within(area, *known)) {
                // For example a picture, then an overlay on all of its tile.
                stale.retain(|known| !is_within(*known, area));
                stale.push(area);
            }
        }
    }

    /// A copy of the current `picture`; the same one as before if nothing was painted since.
    ///
    /// # Errors
    /// The machine's: no memory.
    pub(super) fn copy_of(&mut self, picture: &gst::Buffer, info: &VideoInfo) -> Result<gst::Buffer> {
        let no_memory = |e| Error::machine("no memory for a picture").because(e);
        let fresh = match self.0.iter().position(|copied| copied.stale.is_empty()) {
            Some(fresh) => fresh,
            None => match self.0.iter().position(|copied| copied.buffer.is_all_memory_writable()) {
                Some(free) => {
                    self.0.get_mut(free).ok_or_else(not_paintable)?.update(picture, info)?;
                    free
                }
                None => {
                    if self.0.len() >= MAX_COPIES {
                        self.0.swap_remove(0);
                    }
                    self.0.push(Copied { buffer: picture.copy_deep().map_err(no_memory)?, stale: Vec::new() });
                    self.0.len() - 1
                }
            },
        };
        let copied = &self.0.get(fresh).ok_or_else(not_paintable)?.buffer;
        // The pixels are shared, timestamps are not.
        copied.copy_region(gst::BufferCopyFlags::MEMORY | gst::BufferCopyFlags::META, ..).map_err(no_memory)
    }
}

impl Copied {
    fn update(&mut self, picture: &gst::Buffer, info: &VideoInfo) -> Result<()> {
        let areas = std::mem::take(&mut self.stale);
        let everything = [Rect { x: 0, y: 0, width: info.width(), height: info.height() }];
        let areas = if areas.len() > MAX_STALE { &everything[..] } else { &areas };
        let from = VideoFrameRef::from_buffer_ref_readable(picture, info).map_err(|e| not_paintable().because(e))?;
        let mut to = writable(&mut self.buffer, info)?;
        for plane in 0..info.n_planes() {
            let stride = stride_of(info.stride(), plane);
            let shift = u32::from(plane > 0);
            let from = from.plane_data(plane).map_err(|e| not_paintable().because(e))?;
            let to = to.plane_data_mut(plane).map_err(|e| not_paintable().because(e))?;
            for area in areas {
                // A chroma pixel is copied if any of its luma pixels was painted.
                let span =
                    |at: u32, side: u32| (at >> shift) as usize..(at.saturating_add(side + shift) >> shift) as usize;
                let (columns, rows) = (span(area.x, area.width), span(area.y, area.height));
                for start in rows.map(|row| row * stride) {
                    let columns = start + columns.start..start + columns.end.min(stride);
                    if let Some((to, from)) = to.get_mut(columns.clone()).zip(from.get(columns)) {
                        to.copy_from_slice(from);
                    }
                }
            }
        }
        Ok(())
    }
}

fn is_within(inner: Rect, outer: Rect) -> bool {
    let is_within = |(at, side): (u32, u32), (from, all): (u32, u32)| {
        at >= from && at.saturating_add(side) <= from.saturating_add(all)
    };
    is_within((inner.x, inner.width), (outer.x, outer.width))
        && is_within((inner.y, inner.height), (outer.y, outer.height))
}

#[cfg(test)]
mod tests {
    use crate::media::Canvas;
    use crate::media::geometry::{Rect, Size};
    use gstreamer as gst;
    use proptest::prelude::*;

    const SIZE: Size = (70, 46);

    fn bytes(buffer: &gst::Buffer) -> Vec<u8> {
        buffer.map_readable().unwrap().to_vec()
    }

    #[test]
    fn what_is_let_go_of_is_used_again() {
        let mut canvas = Canvas::new(SIZE).unwrap();
        let place = |copy: &gst::Buffer| copy.map_readable().unwrap().as_ptr();
        let first = canvas.copy().unwrap();
        let same = canvas.copy().unwrap();
        assert_eq!(place(&first), place(&same));
        canvas.fill([9; 3]).unwrap();
        let second = canvas.copy().unwrap();
        assert_ne!(place(&first), place(&second));
        let (there, _) = (place(&first), drop((first, same)));
        canvas.fill([99; 3]).unwrap();
        let third = canvas.copy().unwrap();
        assert_eq!(place(&third), there);
        assert_ne!(bytes(&second), bytes(&third));
    }

    proptest! {
        /// Whatever is painted, and whichever copies are still held: each is what the canvas was.
        #[test]
        fn a_copy_is_the_picture_as_it_was(
            strokes in prop::collection::vec((0u32..70, 0u32..46, 1u32..90, 1u32..60, any::<u8>(), 0usize..4), 1..120)
        ) {
            let mut canvas = Canvas::new(SIZE).unwrap();
            let mut held: Vec<(gst::Buffer, Vec<u8>)> = Vec::new();
            for (x, y, width, height, grey, drops) in strokes {
                let (width, height) = (width.min(SIZE.0 - x), height.min(SIZE.1 - y));
                canvas.fill_area(Rect { x, y, width, height }, [grey; 3]).unwrap();
                let copy = canvas.copy().unwrap();
                prop_assert_eq!(bytes(&copy), canvas.bytes());
                let now = bytes(&copy);
                held.push((copy, now));
                held.drain(..drops.min(held.len()));
                for (copy, then) in &held {
                    prop_assert_eq!(&bytes(copy), then);
                }
            }
        }
    }
}
