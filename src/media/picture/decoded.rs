//! A decoded picture, and measures of its content.

use crate::error::{Error, Result};
use crate::media::geometry::Size;
use crate::media::runtime::Gst;
use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoFrameRef, VideoInfo};
use gstreamer as gst;
use gstreamer_video as gst_video;

/// Values of a pixel (0 to 255) that differ by at most this much look the same.
const VISIBLE_DIFFERENCE: u8 = 2;

/// A decoded picture. Cheap to clone.
#[derive(Clone)]
pub struct Picture {
    pub(super) buffer: gst::Buffer,
    pub(super) info: VideoInfo,
}

impl Picture {
    /// The picture of a decoded sample. `known` caches the caps of the previous one, which seldom change.
    pub(in crate::media) fn from_sample(
        gst: Gst,
        sample: &gst::Sample,
        is_bt601: bool,
        known: &mut Option<(gst::Caps, VideoInfo)>,
    ) -> Option<Picture> {
        let caps = sample.caps_owned()?;
        if known.as_ref().is_none_or(|(known, _)| known.as_ptr() != caps.as_ptr()) {
            // Converters refuse input and output with different frame rates.
            let mut rateless = caps.clone();
            rateless.make_mut().set("framerate", gst::Fraction::new(0, 1));
            let mut info = VideoInfo::from_caps(&rateless).ok()?;
            if is_bt601 {
                info = bt601_info(gst, info.format(), (info.width(), info.height())).ok()?;
            }
            *known = Some((caps, info));
        }
        let (_, info) = known.as_ref()?;
        Some(Picture { buffer: sample.buffer_owned()?, info: info.clone() })
    }

    /// True if there is no visible difference, as between frames of a still screen that differ only by encoder noise.
    pub fn looks_like(&self, other: &Picture) -> bool {
        if self.info != other.info {
            return false;
        }
        let frame = |picture| VideoFrameRef::from_buffer_ref_readable(picture, &self.info);
        let (Ok(one), Ok(another)) = (frame(&self.buffer), frame(&other.buffer)) else { return false };
        let differ = |(a, b): (&[u8], &[u8])| a.iter().zip(b).fold(0, |most, (a, b)| most.max(a.abs_diff(*b)));
        (0..self.info.n_components().min(self.info.n_planes())).all(|plane| {
            let width = self.info.comp_width(plane as u8) as usize;
            let (Ok(a), Ok(b)) = (one.plane_data(plane), another.plane_data(plane)) else { return false };
            // Strides may differ; the padding between rows has no meaning.
            let (a, b) =
                (a.chunks(stride_of(one.plane_stride(), plane)), b.chunks(stride_of(another.plane_stride(), plane)));
            a.zip(b)
                .all(|(a, b)| differ((a.get(..width).unwrap_or(a), b.get(..width).unwrap_or(b))) <= VISIBLE_DIFFERENCE)
        })
    }

    /// The mean luma of each cell of a grid with `columns` x `rows` cells, row by row: 16 is black, 235 is white.
    ///
    /// # Errors
    /// Ours: the picture cannot be read.
    pub fn luma(&self, (columns, rows): Size) -> Result<Vec<u8>> {
        let frame = VideoFrameRef::from_buffer_ref_readable(&self.buffer, &self.info)
            .map_err(|e| not_paintable().because(e))?;
        let luma = frame.plane_data(0).map_err(|e| not_paintable().because(e))?;
        let stride = stride_of(frame.plane_stride(), 0);
        let part =
            |index: u32, count: u32, side: u32| (index * side / count) as usize..((index + 1) * side / count) as usize;
        let mean = |(column, row): (u32, u32)| {
            let (xs, ys) = (part(column, columns, self.info.width()), part(row, rows, self.info.height()));
            // Every pixel of every second row: strokes of text are thin.
            let values =
                ys.step_by(2).flat_map(|y| luma.get(y * stride + xs.start..y * stride + xs.end).unwrap_or_default());
            let (sum, count) = values.fold((0u64, 0u64), |(sum, count), v| (sum + u64::from(*v), count + 1));
            (sum / count.max(1)) as u8
        };
        Ok((0..rows).flat_map(|row| (0..columns).map(move |column| (column, row))).map(mean).collect())
    }

    /// The picture in half of its size, each pixel the mean of four; I420 only.
    pub(super) fn halved(&self, gst: Gst) -> Result<Picture> {
        let half = |side: u32| (side / 2) & !1;
        let size = (half(self.info.width()), half(self.info.height()));
        let info = bt601_info(gst, VideoFormat::I420, size)?;
        let mut buffer = gst.uninitialised_buffer(info.size())?;
        let input = VideoFrameRef::from_buffer_ref_readable(&self.buffer, &self.info)
            .map_err(|e| not_paintable().because(e))?;
        let mut output = writable(&mut buffer, &info)?;
        for plane in 0..3u32 {
            let from_stride = stride_of(input.plane_stride(), plane);
            let to_stride = stride_of(output.plane_stride(), plane);
            let shift = u32::from(plane > 0);
            let (width, height) = ((size.0 >> shift) as usize, (size.1 >> shift) as usize);
            let from = input.plane_data(plane).map_err(|e| not_paintable().because(e))?;
            let to = output.plane_data_mut(plane).map_err(|e| not_paintable().because(e))?;
            for (to, pair) in to.chunks_mut(to_stride).take(height).zip(from.chunks(2 * from_stride)) {
                let Some((upper, lower)) = pair.split_at_checked(from_stride) else { break };
                // Two pixels as one number: the compiler can vectorise this.
                let two = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
                for (to, (upper, lower)) in to.iter_mut().take(width).zip(two) {
                    let (upper, lower) = (u16::from_le_bytes(*upper), u16::from_le_bytes(*lower));
                    *to = (((upper & 255) + (upper >> 8) + (lower & 255) + (lower >> 8) + 2) >> 2) as u8;
                }
            }
        }
        drop(output);
        drop(input);
        Ok(Picture { buffer, info })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        (self.info.width(), self.info.height())
    }
}

/// The memory layout of a picture in BT.601.
pub(super) fn bt601_info(gst: Gst, format: VideoFormat, (width, height): Size) -> Result<VideoInfo> {
    let bt601 = gst.colorimetry("bt601").map_err(|e| not_paintable().because(e))?;
    let info = gst.video_info(format, (width, height)).colorimetry(&bt601).build();
    info.map_err(|e| Error::user(format!("a picture cannot have {width}x{height} pixels")).because(e))
}

/// Maps a buffer for painting.
pub(super) fn writable<'a>(
    buffer: &'a mut gst::Buffer,
    info: &'a VideoInfo,
) -> Result<VideoFrameRef<&'a mut gst::BufferRef>> {
    let buffer = buffer.get_mut().ok_or_else(not_paintable)?;
    VideoFrameRef::from_buffer_ref_writable(buffer, info).map_err(|e| not_paintable().because(e))
}

/// The stride of a plane in bytes; 1 if it is not known.
pub(super) fn stride_of(strides: &[i32], plane: u32) -> usize {
    strides.get(plane as usize).and_then(|stride| usize::try_from(*stride).ok()).unwrap_or(1).max(1)
}

/// A picture cannot be mapped; not expected.
pub(super) fn not_paintable() -> Error {
    Error::internal("a picture cannot be painted on")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Canvas;
    use crate::media::geometry::Rect;

    #[test]
    fn what_an_encoder_adds_is_not_seen_but_a_dot_is() {
        let grey = |value: u8| {
            let mut canvas = Canvas::new((64, 36)).unwrap();
            canvas.fill([value; 3]).unwrap();
            canvas
        };
        let picture = |mut canvas: Canvas| Picture {
            buffer: canvas.copy().unwrap(),
            info: bt601_info(Gst::init().unwrap(), VideoFormat::I420, (64, 36)).unwrap(),
        };
        let mut dotted = grey(100);
        dotted.fill_area(Rect { x: 62, y: 34, width: 2, height: 2 }, [110; 3]).unwrap();
        let (before, after, dotted) = (picture(grey(100)), picture(grey(102)), picture(dotted));
        assert!(before.looks_like(&before) && before.looks_like(&after));
        assert!(!before.looks_like(&dotted) && !before.looks_like(&picture(grey(110))));
    }
}
