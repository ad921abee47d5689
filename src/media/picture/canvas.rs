//! A picture that is painted on: decoded pictures scaled into rectangles of it, drawn ones laid over. What is not painted again
//! stays, so a scene costs only what changes in it. It knows nothing of scenes or time.

use super::bilinear::BilinearScaler;
use super::colour::yuv;
use super::decoded::{Picture, described, strange, stride_of, writable};
use super::frame_pool::FramePool;
use super::overlay::Overlay;
use crate::error::{Error, Result};
use crate::media::cache::Cache;
use crate::media::geometry::{Rect, Size};
use crate::media::runtime::init;
use gst_video::prelude::*;
use gst_video::{VideoConverter, VideoConverterConfig, VideoFormat, VideoFrameRef, VideoInfo};
use gstreamer as gst;
use gstreamer_video as gst_video;
use image::{DynamicImage, Rgb, RgbImage, RgbaImage};

impl Picture {
    /// Its pixels, as a filter takes them.
    ///
    /// # Errors
    /// It cannot be converted.
    pub fn to_rgba(&self) -> Result<RgbaImage> {
        let (width, height) = self.size();
        let mut canvas = Canvas::new((width, height))?;
        canvas.draw(self, Rect { x: 0, y: 0, width, height }, false)?;
        Ok(DynamicImage::from(canvas.to_rgb()?).to_rgba8())
    }
}

/// What a converter was made for: picture, place and whether it is to be sharp.
type Slot = (Size, VideoFormat, String, Rect, bool);
/// So many converters are kept, and as many scalers; a picture that changes its size or place leaves one behind.
const MOST_CONVERTERS: usize = 128;

/// A picture in the making, I420 in the colours of BT.601.
pub struct Canvas {
    buffer: gst::Buffer,
    info: VideoInfo,
    converters: Cache<Slot, VideoConverter>,
    /// From one size to another, of pictures that have our colours.
    scalers: Cache<(Size, Size), BilinearScaler>,
    pool: FramePool,
}

impl Canvas {
    /// A black one.
    pub fn new(size: Size) -> Result<Canvas> {
        init()?;
        let info = described(VideoFormat::I420, size)?;
        let buffer = gst::Buffer::with_size(info.size()).map_err(|e| Error::machine("no memory").because(e))?;
        let (converters, scalers) = (Cache::new(MOST_CONVERTERS), Cache::new(MOST_CONVERTERS));
        let mut canvas = Canvas { buffer, info, converters, scalers, pool: FramePool::default() };
        canvas.fill([0, 0, 0])?;
        Ok(canvas)
    }

    /// Paints everything in one colour.
    pub fn fill(&mut self, colour: [u8; 3]) -> Result<()> {
        let (width, height) = (self.info.width(), self.info.height());
        self.fill_area(Rect { x: 0, y: 0, width, height }, colour)
    }

    /// Paints `area` in one colour; what sticks out is cut off.
    pub fn fill_area(&mut self, area: Rect, colour: [u8; 3]) -> Result<()> {
        self.pool.outdate(area);
        let (values, strides) = (yuv(colour), self.strides());
        let mut frame = writable(&mut self.buffer, &self.info)?;
        for (plane, (value, stride)) in (0..).zip(values.into_iter().zip(strides)) {
            let shift = u32::from(plane > 0);
            let (from, width) = ((area.x >> shift) as usize, (area.width >> shift) as usize);
            let data = frame.plane_data_mut(plane).map_err(|e| strange().because(e))?;
            let rows = data.chunks_mut(stride.max(1)).skip((area.y >> shift) as usize);
            for row in rows.take((area.height >> shift) as usize) {
                let end = row.len().min(from + width);
                row.get_mut(from..end).unwrap_or_default().fill(value);
            }
        }
        Ok(())
    }

    /// Scales `picture` into `area`, which must lie within the canvas. `sharp` is for writing: slower. A picture that is not to be
    /// sharp and hardly larger than its area is not scaled at all: its rim is left out.
    pub fn draw(&mut self, picture: &Picture, area: Rect, sharp: bool) -> Result<()> {
        self.pool.outdate(area);
        let size = (area.width, area.height);
        if !sharp && self.has_our_colours(picture) {
            if is_nearly(picture.size(), size) {
                return self.copy_from(picture, area);
            }
            if picture.size().0 >= 2 * size.0 && picture.size().1 >= 2 * size.1 {
                // Most of the work of making a picture small is in its pixels, and a quarter of them does as well.
                return self.draw(&picture.halved()?, area, sharp);
            }
            return self.scale(picture, area);
        }
        let slot = (picture.size(), picture.info.format(), picture.info.colorimetry().to_string(), area, sharp);
        let info = &self.info;
        let converter = self.converters.get(slot, || {
            VideoConverter::new(&picture.info, info, Some(into(area, sharp))).map_err(|e| strange().because(e))
        })?;
        let input = VideoFrameRef::from_buffer_ref_readable(&picture.buffer, &picture.info);
        let input = input.map_err(|e| strange().because(e))?;
        let mut output = writable(&mut self.buffer, &self.info)?;
        converter.frame_ref(&input, &mut output);
        Ok(())
    }

    /// True where a picture's bytes mean what they mean here.
    fn has_our_colours(&self, picture: &Picture) -> bool {
        picture.info.format() == VideoFormat::I420 && picture.info.colorimetry() == self.info.colorimetry()
    }

    /// Scales a picture of our colours into `area`.
    fn scale(&mut self, picture: &Picture, area: Rect) -> Result<()> {
        let slot = (picture.size(), (area.width, area.height));
        let scaler = self.scalers.get(slot, || Ok(BilinearScaler::new(slot.0, slot.1)))?;
        planes(picture, (&mut self.buffer, &self.info), area, |plane, from, to| {
            scaler.plane(plane, (from.0, from.1, picture.info.comp_width(plane as u8) as usize), to);
        })
    }

    /// FramePool the middle of a picture, which is at least as large, into `area`.
    fn copy_from(&mut self, picture: &Picture, area: Rect) -> Result<()> {
        let (width, height) = picture.size();
        // In whole pixels of chroma.
        let rim = |all: u32, shown: u32| (all.saturating_sub(shown) / 2) & !1;
        let (left, top) = (rim(width, area.width), rim(height, area.height));
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

    /// Lays a drawing over the canvas; what sticks out is cut off.
    pub fn overlay(&mut self, overlay: &Overlay) -> Result<()> {
        self.pool.outdate(overlay.area());
        let strides = self.strides();
        let mut frame = writable(&mut self.buffer, &self.info)?;
        for (plane, stride) in (0..).zip(strides) {
            let (width, height) = (self.info.comp_width(plane as u8), self.info.comp_height(plane as u8));
            let data = frame.plane_data_mut(plane).map_err(|e| strange().because(e))?;
            overlay.onto(plane as usize, data, stride, (width, height));
        }
        Ok(())
    }

    /// The canvas as it is now, as a picture for people.
    pub fn to_rgb(&self) -> Result<RgbImage> {
        let strides = self.strides();
        let frame =
            VideoFrameRef::from_buffer_ref_readable(&self.buffer, &self.info).map_err(|e| strange().because(e))?;
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

    /// How bright `area` is on average: 16 is black, 235 is white.
    pub fn brightness(&self, area: Rect) -> Result<u8> {
        let frame =
            VideoFrameRef::from_buffer_ref_readable(&self.buffer, &self.info).map_err(|e| strange().because(e))?;
        let luma = frame.plane_data(0).map_err(|e| strange().because(e))?;
        let stride = stride_of(self.info.stride(), 0);
        let rows = luma.chunks(stride).skip(area.y as usize).take(area.height as usize).step_by(4);
        let values = rows.flat_map(|row| row.iter().skip(area.x as usize).take(area.width as usize).step_by(4));
        let (sum, count) = values.fold((0u64, 0u64), |(sum, count), v| (sum + u64::from(*v), count + 1));
        Ok((sum / count.max(1)) as u8)
    }

    /// A copy, as the encoder takes it; the same one again while nothing was painted.
    pub(in crate::media) fn copy(&mut self) -> Result<gst::Buffer> {
        self.pool.of(&self.buffer, &self.info)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.buffer.map_readable().map(|bytes| bytes.to_vec()).unwrap_or_default()
    }

    fn strides(&self) -> Vec<usize> {
        self.info.stride().iter().map(|s| usize::try_from(*s).unwrap_or(0)).collect()
    }
}

/// Walks the planes of a picture of our colours beside those of a canvas, which begin where `area` does; each with its stride.
fn planes(
    picture: &Picture,
    (canvas, info): (&mut gst::Buffer, &VideoInfo),
    area: Rect,
    mut paint: impl FnMut(u32, (&[u8], usize), (&mut [u8], usize)),
) -> Result<()> {
    let input = VideoFrameRef::from_buffer_ref_readable(&picture.buffer, &picture.info);
    let input = input.map_err(|e| strange().because(e))?;
    let mut output = writable(canvas, info)?;
    for plane in 0..info.n_planes() {
        let (shift, stride) = (u32::from(plane > 0), stride_of(info.stride(), plane));
        let from = input.plane_data(plane).map_err(|e| strange().because(e))?;
        let to = output.plane_data_mut(plane).map_err(|e| strange().because(e))?;
        let first = (area.y >> shift) as usize * stride + (area.x >> shift) as usize;
        let to = to.get_mut(first..).unwrap_or_default();
        paint(plane, (from, stride_of(input.plane_stride(), plane)), (to, stride));
    }
    Ok(())
}

fn into(area: Rect, sharp: bool) -> VideoConverterConfig {
    let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
    let mut config = VideoConverterConfig::new();
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

/// True where a picture is as large as its place or hardly larger: a thirtieth of it, at the most, is left out at each side.
fn is_nearly(picture: Size, place: Size) -> bool {
    let nearly = |all: u32, shown: u32| all >= shown && (all - shown) * 15 <= all;
    nearly(picture.0, place.0) && nearly(picture.1, place.1)
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
