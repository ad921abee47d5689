//! A canvas: decoded pictures are scaled into rectangles of it, overlays are drawn on top. Areas that are not painted again keep their
//! content, so a scene costs only what changes in it. It knows nothing of scenes or time.

use super::bilinear::BilinearScaler;
use super::colour::yuv;
use super::decoded::{Picture, bt601_info, not_paintable, stride_of, writable};
use super::frame_pool::FramePool;
use super::overlay::Overlay;
use crate::error::Result;
use crate::media::cache::Cache;
use crate::media::geometry::{Rect, Size};
use crate::media::runtime::Gst;
use gst_video::prelude::*;
use gst_video::{VideoConverter, VideoConverterConfig, VideoFormat, VideoFrameRef, VideoInfo};
use gstreamer as gst;
use gstreamer_video as gst_video;
use image::{DynamicImage, Rgb, RgbImage, RgbaImage};

impl Picture {
    /// Its pixels, not premultiplied.
    ///
    /// # Errors
    /// Ours: it cannot be converted.
    pub fn to_rgba(&self) -> Result<RgbaImage> {
        let (width, height) = self.size();
        let mut canvas = Canvas::new((width, height))?;
        canvas.draw(self, Rect { x: 0, y: 0, width, height }, false)?;
        Ok(DynamicImage::from(canvas.to_rgb()?).to_rgba8())
    }
}

/// What a converter was made for: size, format and colours of the picture, area, and whether it is sharp.
type ConverterKey = (Size, VideoFormat, String, Rect, bool);
/// Converters that are cached, and scalers; a picture that changes its size or area needs another one.
const MAX_CONVERTERS: usize = 128;

/// A picture to paint on: I420, BT.601, limited range.
pub struct Canvas {
    gst: Gst,
    buffer: gst::Buffer,
    info: VideoInfo,
    converters: Cache<ConverterKey, VideoConverter>,
    /// By the sizes that they scale from and to; for pictures with the format and colours of the canvas.
    scalers: Cache<(Size, Size), BilinearScaler>,
    pool: FramePool,
}

impl Canvas {
    /// A black canvas.
    ///
    /// # Errors
    /// The machine's: no memory. The user's: a size that no picture can have.
    pub fn new(size: Size) -> Result<Canvas> {
        let gst = Gst::init()?;
        let info = bt601_info(gst, VideoFormat::I420, size)?;
        let buffer = gst.uninitialised_buffer(info.size())?;
        let (converters, scalers) = (Cache::new(MAX_CONVERTERS), Cache::new(MAX_CONVERTERS));
        let mut canvas = Canvas { gst, buffer, info, converters, scalers, pool: FramePool::default() };
        canvas.fill([0, 0, 0])?;
        Ok(canvas)
    }

    /// Paints everything in one colour (RGB).
    ///
    /// # Errors
    /// Ours: the canvas cannot be written to; so for all that paints.
    pub fn fill(&mut self, colour: [u8; 3]) -> Result<()> {
        let (width, height) = (self.info.width(), self.info.height());
        self.fill_area(Rect { x: 0, y: 0, width, height }, colour)
    }

    /// Paints `area` in one colour (RGB). What lies outside of the canvas is cut off.
    ///
    /// # Errors
    /// As [`Canvas::fill`].
    pub fn fill_area(&mut self, area: Rect, colour: [u8; 3]) -> Result<()> {
        self.pool.mark_changed(area);
        let (values, strides) = (yuv(colour), self.strides());
        let mut frame = writable(&mut self.buffer, &self.info)?;
        for (plane, (value, stride)) in (0..).zip(values.into_iter().zip(strides)) {
            let shift = u32::from(plane > 0);
            let (from, width) = ((area.x >> shift) as usize, (area.width >> shift) as usize);
            let data = frame.plane_data_mut(plane).map_err(|e| not_paintable().because(e))?;
            let rows = data.chunks_mut(stride.max(1)).skip((area.y >> shift) as usize);
            for row in rows.take((area.height >> shift) as usize) {
                let end = row.len().min(from + width);
                row.get_mut(from..end).unwrap_or_default().fill(value);
            }
        }
        Ok(())
    }

    /// Scales `picture` into `area`, which must lie within the canvas. `sharp` scales with more taps, for text; it is slower. A picture
    /// that is not `sharp` and only slightly larger than its area is cropped instead of scaled.
    ///
    /// # Errors
    /// As [`Canvas::fill`].
    pub fn draw(&mut self, picture: &Picture, area: Rect, sharp: bool) -> Result<()> {
        self.pool.mark_changed(area);
        let size = (area.width, area.height);
        if !sharp && self.has_same_format(picture) {
            if is_slightly_larger(picture.size(), size) {
                return self.copy_middle(picture, area);
            }
            if picture.size().0 >= 2 * size.0 && picture.size().1 >= 2 * size.1 {
                // The cost of scaling down is in the input pixels, and a quarter of them is enough.
                return self.draw(&picture.halved(self.gst)?, area, sharp);
            }
            return self.scale(picture, area);
        }
        let key = (picture.size(), picture.info.format(), picture.info.colorimetry().to_string(), area, sharp);
        let (gst, info) = (self.gst, &self.info);
        let converter = self.converters.get(key, || {
            VideoConverter::new(&picture.info, info, Some(converter_config(gst, area, sharp)))
                .map_err(|e| not_paintable().because(e))
        })?;
        let input = VideoFrameRef::from_buffer_ref_readable(&picture.buffer, &picture.info);
        let input = input.map_err(|e| not_paintable().because(e))?;
        let mut output = writable(&mut self.buffer, &self.info)?;
        converter.frame_ref(&input, &mut output);
        Ok(())
    }

    /// True if a picture has the format and colours of the canvas.
    fn has_same_format(&self, picture: &Picture) -> bool {
        picture.info.format() == VideoFormat::I420 && picture.info.colorimetry() == self.info.colorimetry()
    }

    /// Scales a picture of the same format into `area`.
    fn scale(&mut self, picture: &Picture, area: Rect) -> Result<()> {
        let key = (picture.size(), (area.width, area.height));
        let scaler = self.scalers.get(key, || Ok(BilinearScaler::new(key.0, key.1)))?;
        planes(picture, (&mut self.buffer, &self.info), area, |plane, from, to| {
            scaler.plane(plane, (from.0, from.1, picture.info.comp_width(plane as u8) as usize), to);
        })
    }

    /// Copies the middle of a picture, which is at least as large as `area`, into `area`.
    fn copy_middle(&mut self, picture: &Picture, area: Rect) -> Result<()> {
        let (width, height) = picture.size();
        // Even, so that it is a whole number of chroma pixels.
        let margin = |all: u32, shown: u32| (all.saturating_sub(shown) / 2) & !1;
        let (left, top) = (margin(width, area.width), margin(height, area.height));
        planes(picture, (&mut self.buffer, &self.info), area, |plane, (from, from_stride), (to, stride)| {
            let at = |side: u32| (side >> u32::from(plane > 0)) as usize;
            let rows = from.chunks(from_stride).skip(at(top)).take(at(area.height));
            for (to, from) in to.chunks_mut(stride).zip(rows) {
                let from = from.get(at(left)..at(left) + at(area.width));
                if let Some((to, from)) = to.get_mut(..at(area.width)).zip(from) {
                    to.copy_from_slice(from);
                }
            }
        })
    }

    /// Blends an overlay into the canvas. What lies outside is cut off.
    ///
    /// # Errors
    /// As [`Canvas::fill`].
    pub fn overlay(&mut self, overlay: &Overlay) -> Result<()> {
        self.pool.mark_changed(overlay.area());
        let strides = self.strides();
        let mut frame = writable(&mut self.buffer, &self.info)?;
        for (plane, stride) in (0..).zip(strides) {
            let (width, height) = (self.info.comp_width(plane as u8), self.info.comp_height(plane as u8));
            let data = frame.plane_data_mut(plane).map_err(|e| not_paintable().because(e))?;
            overlay.blend(plane as usize, data, stride, (width, height));
        }
        Ok(())
    }

    /// The content of the canvas in RGB.
    ///
    /// # Errors
    /// Ours: the canvas cannot be read.
    pub fn to_rgb(&self) -> Result<RgbImage> {
        let strides = self.strides();
        let frame = VideoFrameRef::from_buffer_ref_readable(&self.buffer, &self.info)
            .map_err(|e| not_paintable().because(e))?;
        let planes: Vec<&[u8]> = (0..3).filter_map(|p| frame.plane_data(p).ok()).collect();
        let value = |plane: usize, x: u32, y: u32| {
            let index = y as usize * strides.get(plane).copied().unwrap_or(0) + x as usize;
            f32::from(planes.get(plane).and_then(|p| p.get(index)).copied().unwrap_or(0))
        };
        Ok(RgbImage::from_fn(self.info.width(), self.info.height(), |x, y| {
            let luma = 1.164 * (value(0, x, y) - 16.0);
            let (u, v) = (value(1, x / 2, y / 2) - 128.0, value(2, x / 2, y / 2) - 128.0);
            let rgb = [luma + 1.596 * v, luma - 0.392 * u - 0.813 * v, luma + 2.017 * u];
            Rgb(rgb.map(|c| c.round().clamp(0.0, 255.0) as u8))
        }))
    }

    /// The mean luma of `area`: 16 is black, 235 is white.
    ///
    /// # Errors
    /// Ours: the canvas cannot be read.
    pub fn brightness(&self, area: Rect) -> Result<u8> {
        let frame = VideoFrameRef::from_buffer_ref_readable(&self.buffer, &self.info)
            .map_err(|e| not_paintable().because(e))?;
        let luma = frame.plane_data(0).map_err(|e| not_paintable().because(e))?;
        let stride = stride_of(self.info.stride(), 0);
        let rows = luma.chunks(stride).skip(area.y as usize).take(area.height as usize).step_by(4);
        let values = rows.flat_map(|row| row.iter().skip(area.x as usize).take(area.width as usize).step_by(4));
        let (sum, count) = values.fold((0u64, 0u64), |(sum, count), v| (sum + u64::from(*v), count + 1));
        Ok((sum / count.max(1)) as u8)
    }

    /// A copy for an encoder. The same buffer is returned again if nothing was painted since.
    pub(in crate::media) fn copy(&mut self) -> Result<gst::Buffer> {
        self.pool.copy_of(&self.buffer, &self.info)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.buffer.map_readable().map(|bytes| bytes.to_vec()).unwrap_or_default()
    }

    fn strides(&self) -> Vec<usize> {
        self.info.stride().iter().map(|s| usize::try_from(*s).unwrap_or(0)).collect()
    }
}

/// Calls `paint` for each plane of a picture and of the canvas, which have the same format, each with its stride. The plane of the
/// canvas starts at the corner of `area`.
fn planes(
    picture: &Picture,
    (canvas, info): (&mut gst::Buffer, &VideoInfo),
    area: Rect,
    mut paint: impl FnMut(u32, (&[u8], usize), (&mut [u8], usize)),
) -> Result<()> {
    let input = VideoFrameRef::from_buffer_ref_readable(&picture.buffer, &picture.info);
    let input = input.map_err(|e| not_paintable().because(e))?;
    let mut output = writable(canvas, info)?;
    for plane in 0..info.n_planes() {
        let (shift, stride) = (u32::from(plane > 0), stride_of(info.stride(), plane));
        let from = input.plane_data(plane).map_err(|e| not_paintable().because(e))?;
        let to = output.plane_data_mut(plane).map_err(|e| not_paintable().because(e))?;
        let first = (area.y >> shift) as usize * stride + (area.x >> shift) as usize;
        let to = to.get_mut(first..).unwrap_or_default();
        paint(plane, (from, stride_of(input.plane_stride(), plane)), (to, stride));
    }
    Ok(())
}

fn converter_config(gst: Gst, area: Rect, sharp: bool) -> VideoConverterConfig {
    let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
    let mut config = gst.converter_config();
    config.set_dest_x(side(area.x));
    config.set_dest_y(side(area.y));
    config.set_dest_width(Some(side(area.width)));
    config.set_dest_height(Some(side(area.height)));
    config.set_fill_border(false);
    config.set_resampler_method(if sharp {
        gst_video::VideoResamplerMethod::Lanczos
    } else {
        gst_video::VideoResamplerMethod::Linear
    });
    config
}

/// True if a picture is as large as its area, or larger by at most a thirtieth at each side.
fn is_slightly_larger(picture: Size, area: Size) -> bool {
    let nearly = |all: u32, shown: u32| all >= shown && (all - shown) * 15 <= all;
    nearly(picture.0, area.0) && nearly(picture.1, area.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture that is dark on its left half and light on its right one.
    fn halves((width, height): Size) -> Picture {
        let mut canvas = Canvas::new((width, height)).unwrap();
        canvas.fill_area(Rect { x: width / 2, y: 0, width: width / 2, height }, [255, 255, 255]).unwrap();
        Picture { buffer: canvas.copy().unwrap(), info: canvas.info.clone() }
    }

    #[test]
    fn a_picture_lies_in_its_middle_whichever_way_it_gets_there() {
        let area = Rect { x: 20, y: 10, width: 100, height: 60 };
        // Copied, halved and scaled, scaled only.
        for size in [(104, 62), (330, 200), (140, 84)] {
            let mut canvas = Canvas::new((160, 90)).unwrap();
            canvas.draw(&halves(size), area, false).unwrap();
            let part = |x: u32| canvas.brightness(Rect { x, y: 12, width: 40, height: 56 }).unwrap();
            assert_eq!((part(24), part(76)), (16, 235), "{size:?}");
            assert_eq!(canvas.brightness(Rect { x: 124, y: 0, width: 30, height: 90 }).unwrap(), 16, "{size:?}");
        }
    }
}
