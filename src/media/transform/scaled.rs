//! Video filters that scale and overlay pictures in any raw format, with GStreamer's converter. Each holds at most one picture.

use super::probe::{Transform, unexpected};
use crate::error::{Error, Result};
use crate::media::geometry::{Rect, Size};
use crate::media::runtime::Gst;
use gst_video::{VideoConverter, VideoFormat, VideoFrameRef, VideoInfo, VideoResamplerMethod};
use gstreamer as gst;
use gstreamer_video as gst_video;
use image::RgbaImage;
use std::sync::Arc;

/// A value that depends on the caps of the input; made again when they change.
struct PerCaps<T>(Option<(gst::Caps, T)>);

impl<T> PerCaps<T> {
    fn get(&mut self, caps: &gst::Caps, make: impl FnOnce(&VideoInfo) -> Result<T>) -> Result<&mut T> {
        if self.0.as_ref().is_none_or(|(of, _)| of != caps) {
            let info = VideoInfo::from_caps(caps).map_err(|e| unexpected().because(e))?;
            self.0 = Some((caps.clone(), make(&info)?));
        }
        self.0.as_mut().map(|(_, made)| made).ok_or_else(unexpected)
    }
}

/// Scales a part of a picture into a part of another.
struct Scaler {
    from: VideoInfo,
    to: VideoInfo,
    converter: VideoConverter,
}

impl Scaler {
    fn new(from: &VideoInfo, part: Rect, to: &VideoInfo, into: Rect, method: VideoResamplerMethod) -> Result<Scaler> {
        let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
        let mut config = Gst::init()?.converter_config();
        config.set_src_x(side(part.x));
        config.set_src_y(side(part.y));
        config.set_src_width(Some(side(part.width)));
        config.set_src_height(Some(side(part.height)));
        config.set_dest_x(side(into.x));
        config.set_dest_y(side(into.y));
        config.set_dest_width(Some(side(into.width)));
        config.set_dest_height(Some(side(into.height)));
        config.set_fill_border(false);
        config.set_resampler_method(method);
        config.set_chroma_resampler_method(method);
        let converter = VideoConverter::new(from, to, Some(config)).map_err(|e| unexpected().because(e))?;
        Ok(Scaler { from: from.clone(), to: to.clone(), converter })
    }

    fn scale(&self, from: &gst::BufferRef, to: &mut gst::BufferRef) -> Result<()> {
        let from = VideoFrameRef::from_buffer_ref_readable(from, &self.from).map_err(|e| unexpected().because(e))?;
        let mut to = VideoFrameRef::from_buffer_ref_writable(to, &self.to).map_err(|e| unexpected().because(e))?;
        self.converter.frame_ref(&from, &mut to);
        Ok(())
    }
}

/// Scales a part of the picture down and up again, which removes all finer detail.
struct Coarse {
    small: gst::Buffer,
    down: Scaler,
    up: Scaler,
}

impl Coarse {
    fn new(info: &VideoInfo, part: Rect, small: Size, back: VideoResamplerMethod) -> Result<Coarse> {
        let small = like(info, info.format(), small)?;
        let down = Scaler::new(info, part, &small, whole(&small), VideoResamplerMethod::Linear)?;
        let up = Scaler::new(&small, whole(&small), info, part, back)?;
        Ok(Coarse { small: buffer(&small)?, down, up })
    }

    /// From one picture into another one.
    fn apply(&mut self, from: &gst::BufferRef, to: &mut gst::BufferRef) -> Result<()> {
        let small = self.small.get_mut().ok_or_else(unexpected)?;
        self.down.scale(from, small)?;
        self.up.scale(small, to)
    }

    /// In place.
    fn apply_in_place(&mut self, picture: &mut gst::BufferRef) -> Result<()> {
        let small = self.small.get_mut().ok_or_else(unexpected)?;
        self.down.scale(picture, small)?;
        self.up.scale(small, picture)
    }
}

/// Blurs the picture. `size` is the blur radius as a fraction of the width.
pub struct Blur {
    size: f64,
    made: PerCaps<Coarse>,
}

impl Blur {
    pub fn new(size: f64) -> Blur {
        Blur { size, made: PerCaps(None) }
    }
}

impl Transform for Blur {
    fn transform(&mut self, mut buffer: gst::Buffer, caps: &gst::Caps) -> Result<(gst::Buffer, Option<gst::Caps>)> {
        let made = self.made.get(caps, |info| blurred(info, self.size))?;
        made.apply_in_place(buffer.make_mut())?;
        Ok((buffer, None))
    }
}

fn blurred(info: &VideoInfo, size: f64) -> Result<Coarse> {
    let columns = (1.0 / size).max(2.0);
    let rows = columns * f64::from(info.height()) / f64::from(info.width());
    Coarse::new(info, whole(info), (even(columns), even(rows)), VideoResamplerMethod::Cubic)
}

/// Pixelates a region, given in fractions of the picture.
pub struct Pixelate {
    region: Region,
    /// The side of a block as a fraction of the width of the picture.
    block: f64,
    made: PerCaps<Coarse>,
}

/// Left, top, width and height as fractions of the picture. What lies outside is cut off.
pub struct Region {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Region {
    /// In pixels: even, because of chroma subsampling, and rounded up.
    fn within(&self, (width, height): Size) -> Rect {
        let span = |from: f64, share: f64, side: u32| {
            let first = ((from * f64::from(side)) as u32 & !1).min(side.saturating_sub(2) & !1);
            let last = (((from + share) * f64::from(side)).ceil() as u32).next_multiple_of(2).min(side);
            (first, last.max(first + 2).min(side) - first)
        };
        let ((x, width), (y, height)) = (span(self.x, self.width, width), span(self.y, self.height, height));
        Rect { x, y, width, height }
    }
}

impl Pixelate {
    pub fn new(region: Region, block: f64) -> Pixelate {
        Pixelate { region, block, made: PerCaps(None) }
    }
}

impl Transform for Pixelate {
    fn transform(&mut self, mut buffer: gst::Buffer, caps: &gst::Caps) -> Result<(gst::Buffer, Option<gst::Caps>)> {
        let made = self.made.get(caps, |info| {
            let part = self.region.within((info.width(), info.height()));
            let block = f64::from(even(self.block * f64::from(info.width())));
            // The number of blocks, at least one.
            let count = |side: u32| ((f64::from(side) / block).ceil() as u32).max(1);
            Coarse::new(info, part, (count(part.width), count(part.height)), VideoResamplerMethod::Nearest)
        })?;
        made.apply_in_place(buffer.make_mut())?;
        Ok((buffer, None))
    }
}

/// Position and size of an image within the picture.
#[derive(Debug, Clone, Copy)]
pub struct Inset {
    /// 0 left or top, 0.5 in the middle, 1 right or bottom.
    pub at: (f64, f64),
    /// Its width as a fraction of the picture's.
    pub size: f64,
    /// Its distance from the border, as a fraction of the picture's width.
    pub margin: f64,
}

impl Inset {
    /// The area for an image with the aspect ratio of `inner`, in pixels.
    fn within(&self, outer: Size, inner: Size) -> Rect {
        let (outer_width, outer_height) = (f64::from(outer.0), f64::from(outer.1));
        let margin = self.margin * outer_width;
        let room = (outer_width - 2.0 * margin, outer_height - 2.0 * margin);
        let aspect = f64::from(inner.0) / f64::from(inner.1.max(1));
        let width = (self.size * outer_width).min(room.0).min(room.1 * aspect).max(2.0);
        let height = (width / aspect).clamp(2.0, outer_height.max(2.0));
        let start = |at: f64, room: f64, side: f64| (margin + at * (room - side)).max(0.0) as u32 & !1;
        let (width, height) = (even(width).min(outer.0), even(height).min(outer.1));
        let x = start(self.at.0, room.0, f64::from(width)).min(outer.0 - width);
        let y = start(self.at.1, room.1, f64::from(height)).min(outer.1 - height);
        Rect { x, y, width, height }
    }
}

/// Blends an image into every picture.
pub struct Watermark {
    pub image: Arc<RgbaImage>,
    pub inset: Inset,
    /// 0 invisible, 1 as the image is.
    pub opacity: f64,
    made: PerCaps<(VideoInfo, gst_video::VideoOverlayComposition)>,
}

impl Watermark {
    pub fn new(image: Arc<RgbaImage>, inset: Inset, opacity: f64) -> Watermark {
        Watermark { image, inset, opacity, made: PerCaps(None) }
    }

    fn composition(&self, info: &VideoInfo) -> Result<gst_video::VideoOverlayComposition> {
        let area = self.inset.within((info.width(), info.height()), self.image.dimensions());
        let filter = image::imageops::FilterType::Triangle;
        let mut scaled = image::imageops::resize(self.image.as_ref(), area.width, area.height, filter);
        for [r, _, b, alpha] in scaled.as_chunks_mut::<4>().0 {
            std::mem::swap(r, b);
            *alpha = (f64::from(*alpha) * self.opacity) as u8;
        }
        let gst = Gst::init()?;
        let mut pixels = gst.buffer(scaled.into_raw());
        let described = pixels.get_mut().ok_or_else(unexpected)?;
        let flags = gst_video::VideoFrameFlags::empty();
        gst_video::VideoMeta::add(described, flags, VideoFormat::Bgra, area.width, area.height)
            .map_err(|e| unexpected().because(e))?;
        let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
        let made = gst.overlay(&pixels, (side(area.x), side(area.y)), (area.width, area.height));
        made.map_err(|e| unexpected().because(e))
    }
}

impl Transform for Watermark {
    fn transform(&mut self, mut buffer: gst::Buffer, caps: &gst::Caps) -> Result<(gst::Buffer, Option<gst::Caps>)> {
        let mut made = std::mem::replace(&mut self.made, PerCaps(None));
        let (info, composition) = made.get(caps, |info| Ok((info.clone(), self.composition(info)?)))?;
        let frame = VideoFrameRef::from_buffer_ref_writable(buffer.make_mut(), info);
        let mut frame = frame.map_err(|e| unexpected().because(e))?;
        composition.blend(&mut frame).map_err(|e| unexpected().because(e))?;
        drop(frame);
        self.made = made;
        Ok((buffer, None))
    }
}

/// Shows the picture in small over an image, or over a blurred copy of itself.
pub struct PictureInPicture {
    inset: Inset,
    image: Option<Arc<RgbaImage>>,
    made: PerCaps<(Background, VideoInfo, Scaler)>,
}

enum Background {
    Image(gst::Buffer),
    Blurred(Box<Coarse>),
}

impl PictureInPicture {
    pub fn new(inset: Inset, image: Option<Arc<RgbaImage>>) -> PictureInPicture {
        PictureInPicture { inset, image, made: PerCaps(None) }
    }
}

impl Transform for PictureInPicture {
    fn transform(&mut self, input: gst::Buffer, caps: &gst::Caps) -> Result<(gst::Buffer, Option<gst::Caps>)> {
        let (background, info, small) = self.made.get(caps, |info| {
            let background = match &self.image {
                Some(image) => Background::Image(converted(image, info)?),
                None => Background::Blurred(Box::new(blurred(info, 0.08)?)),
            };
            let size = (info.width(), info.height());
            let area = self.inset.within(size, size);
            let small = Scaler::new(info, whole(info), info, area, VideoResamplerMethod::Linear)?;
            Ok((background, info.clone(), small))
        })?;
        let mut picture = match background {
            Background::Image(image) => image.copy_deep().map_err(|e| no_memory().because(e))?,
            Background::Blurred(_) => buffer(info)?,
        };
        let out = picture.get_mut().ok_or_else(unexpected)?;
        if let Background::Blurred(coarse) = background {
            coarse.apply(&input, out)?;
        }
        small.scale(&input, out)?;
        let flags = gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS;
        input.copy_into(out, flags, ..).map_err(|e| unexpected().because(e))?;
        Ok((picture, None))
    }
}

/// `image` converted to the format and size of `info`.
fn converted(image: &RgbaImage, info: &VideoInfo) -> Result<gst::Buffer> {
    let size = (info.width(), info.height());
    let rgba = like(info, VideoFormat::Rgba, size)?;
    let mut picture = buffer(info)?;
    let scaler = Scaler::new(&rgba, whole(&rgba), info, whole(info), VideoResamplerMethod::Linear)?;
    let pixels = Gst::init()?.buffer(cover(image, size).into_raw());
    scaler.scale(&pixels, picture.get_mut().ok_or_else(unexpected)?)?;
    Ok(picture)
}

/// `image` scaled and cropped to fill `size`.
pub(super) fn cover(image: &RgbaImage, (width, height): Size) -> RgbaImage {
    let scale = (f64::from(width) / f64::from(image.width())).max(f64::from(height) / f64::from(image.height()));
    let scaled = |side: u32, least: u32| ((f64::from(side) * scale).round() as u32).max(least);
    let (large, tall) = (scaled(image.width(), width), scaled(image.height(), height));
    let filled = image::imageops::resize(image, large, tall, image::imageops::FilterType::Triangle);
    image::imageops::crop_imm(&filled, (large - width) / 2, (tall - height) / 2, width, height).to_image()
}

fn like(info: &VideoInfo, format: VideoFormat, (width, height): Size) -> Result<VideoInfo> {
    let about = Gst::init()?.video_info(format, (width, height)).fps(info.fps()).interlace_mode(info.interlace_mode());
    // Colorimetry applies only within the same family of formats.
    let is_same = format == info.format();
    let colorimetry = info.colorimetry();
    let about = if is_same { about.colorimetry(&colorimetry) } else { about };
    about.build().map_err(|e| unexpected().because(e))
}

fn whole(info: &VideoInfo) -> Rect {
    Rect { x: 0, y: 0, width: info.width(), height: info.height() }
}

fn buffer(info: &VideoInfo) -> Result<gst::Buffer> {
    Gst::init()?.uninitialised_buffer(info.size())
}

/// A side of at least two pixels, even because of chroma subsampling.
fn even(side: f64) -> u32 {
    (side.round() as u32 & !1).max(2)
}

fn no_memory() -> Error {
    Error::machine("no memory for a picture")
}
