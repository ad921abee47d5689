//! Animated images (GIF, APNG, WebP) as video: each picture as long as the file says. Decoded one picture ahead on a thread of its own; makes
//! frames only when the encoder asks for them.

use super::reader::FrameReader;
use super::transcode::Encoding;
use crate::error::{Error, Result};
use crate::media::runtime::Gst;
use crate::media::template::image_limits;
use crate::media::{Library, Pipeline};
use crate::room::media::MediaKind;
use gstreamer as gst;
use gstreamer_app::AppSrcCallbacks;
use image::codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::{AnimationDecoder, Frames, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbaImage};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// A picture is sent again after this time: who joins while it stands still must not wait long for one.
const REPEAT: Duration = Duration::from_millis(100);
/// A picture that is shown for less time than `SHORTEST` is shown for `USUAL`, as browsers do.
const SHORTEST: Duration = Duration::from_millis(20);
const USUAL: Duration = Duration::from_millis(100);

/// A picture and how long it is shown.
type Shown = (RgbaImage, Duration);

/// Whether the file is an image with several pictures. Files that cannot be read are not: they are reported where they are opened.
pub(super) fn is_animated(path: &Path) -> bool {
    let open = || File::open(path).ok().map(BufReader::new);
    let Some(format) = open().and_then(|file| ImageReader::new(file).with_guessed_format().ok()?.format()) else {
        return false;
    };
    match format {
        // How many pictures there are shows only when they are read.
        ImageFormat::Gif => true,
        ImageFormat::Png => {
            open().is_some_and(|file| PngDecoder::new(file).is_ok_and(|d| d.is_apng().unwrap_or(false)))
        }
        ImageFormat::WebP => open().is_some_and(|file| WebPDecoder::new(file).is_ok_and(|d| d.has_animation())),
        _ => false,
    }
}

/// The animation in the file at `path`, once or repeatedly.
///
/// # Errors
/// The user's: it cannot be read.
pub(super) fn open(library: &Library, path: &Path, repeat: bool, encoding: &Encoding) -> Result<FrameReader> {
    let gst = Gst::init()?;
    let wrong = |e: &dyn std::fmt::Display| Error::user(format!("cannot read the image {}: {e}", path.display()));
    // A file that cannot be read must not end the show during a meeting.
    match pictures(path).map_err(|e| wrong(&e))?.next() {
        Some(first) => drop(first.map_err(|e| wrong(&e))?),
        None => return Err(wrong(&"it has no pictures")),
    }
    let (sender, decoded) = sync_channel(1);
    let file = path.to_owned();
    let thread = std::thread::Builder::new().name("animation".into()).spawn(move || decode(&file, repeat, &sender));
    thread.map_err(|e| Error::machine("cannot start a thread to decode an image").because(e))?;
    let mut show = Show { gst, decoded, picture: None, next: Duration::ZERO, until: Duration::ZERO };
    let template = library.get("source/animation")?;
    FrameReader::generated(library, &template, &[], MediaKind::Video, encoding, |pipeline: &Pipeline| {
        let callbacks = AppSrcCallbacks::builder().need_data(move |source, _| match show.next_frame() {
            // Refused only by a pipeline that is being stopped.
            Ok(Some(sample)) => drop(source.push_sample(&sample)),
            Ok(None) => drop(source.end_of_stream()),
            Err(e) => gst::element_error!(source, gst::ResourceError::Read, ("{e}")),
        });
        pipeline.app_src("pictures")?.set_callbacks(callbacks.build());
        Ok(())
    })
}

/// The pictures of a file, each as large as the whole.
fn pictures(path: &Path) -> Result<Frames<'static>, ImageError> {
    let open = || File::open(path).map(BufReader::new);
    let format = ImageReader::new(open()?).with_guessed_format()?.format();
    Ok(match format {
        Some(ImageFormat::Png) => PngDecoder::with_limits(open()?, image_limits())?.apng()?.into_frames(),
        Some(ImageFormat::WebP) => {
            let mut decoder = WebPDecoder::new(open()?)?;
            decoder.set_limits(image_limits())?;
            decoder.into_frames()
        }
        _ => {
            let mut decoder = GifDecoder::new(open()?)?;
            decoder.set_limits(image_limits())?;
            decoder.into_frames()
        }
    })
}

/// Sends the pictures until nobody takes them.
fn decode(path: &Path, repeat: bool, sender: &SyncSender<Result<Shown, ImageError>>) {
    loop {
        let pictures = match pictures(path) {
            Ok(pictures) => pictures,
            Err(e) => return drop(sender.send(Err(e))),
        };
        let mut count = 0;
        for picture in pictures {
            let shown = picture.map(|picture| {
                let lasts = Duration::from(picture.delay());
                (picture.into_buffer(), if lasts < SHORTEST { USUAL } else { lasts })
            });
            let failed = shown.is_err();
            if sender.send(shown).is_err() || failed {
                return;
            }
            count += 1;
        }
        if !repeat || count == 0 {
            return;
        }
    }
}

struct Show {
    gst: Gst,
    decoded: Receiver<Result<Shown, ImageError>>,
    picture: Option<(gst::Caps, gst::Buffer)>,
    /// The time of the next frame.
    next: Duration,
    /// When the picture is followed by the next one.
    until: Duration,
}

impl Show {
    /// The next frame; `None` at the end.
    fn next_frame(&mut self) -> Result<Option<gst::Sample>> {
        if self.next >= self.until {
            // The thread that decodes ends with the last picture.
            let Ok(decoded) = self.decoded.recv() else { return Ok(None) };
            let (picture, lasts) =
                decoded.map_err(|e| Error::user("the image cannot be read to its end").because(e))?;
            self.picture = Some((caps(self.gst, &picture), self.gst.buffer(picture.into_raw())));
            self.until += lasts;
        }
        let Some((caps, pixels)) = &self.picture else { return Ok(None) };
        // What is left is no frame of its own where it is short.
        let left = self.until.saturating_sub(self.next);
        let lasts = if left < REPEAT + REPEAT / 2 { left } else { REPEAT };
        // The pixels are shared.
        let mut frame = pixels.copy();
        if let Some(frame) = frame.get_mut() {
            frame.set_pts(gst::ClockTime::try_from(self.next).ok());
            frame.set_duration(gst::ClockTime::try_from(lasts).ok());
        }
        self.next += lasts;
        Ok(Some(self.gst.sample(&frame, caps)))
    }
}

fn caps(gst: Gst, image: &RgbaImage) -> gst::Caps {
    let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
    gst.caps("video/x-raw")
        .field("format", "RGBA")
        .field("width", side(image.width()))
        .field("height", side(image.height()))
        .field("framerate", gst::Fraction::new(0, 1))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build()
}
