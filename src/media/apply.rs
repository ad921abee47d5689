//! Runs pictures or sound through a filter as fast as it goes: for stills, tests and checks. No room, no clock; everything is
//! held in memory, so it is for seconds of media, not hours.

use super::filter::picture;
use super::pipeline::Pipeline;
use super::{Filter, Template};
use crate::error::{Error, Result};
use crate::room::media::MediaKind;
use gst_video::VideoInfo;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;
use image::RgbaImage;
use std::time::{Duration, Instant};

/// How long a filter may take over one picture or piece of sound, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// Sound goes through in pieces of 20 ms, as it arrives from a room: samples of both channels.
const PIECE: usize = 2 * 960;

/// What `filter` makes of `frames`, which follow each other `fps` times a second; each with the time that it is due at. A filter may
/// answer with more or fewer pictures than it got.
///
/// # Errors
/// The user's: the filter is one of sound, or its text does not take pictures. The machine's: it fails or hangs.
pub fn filter_frames(
    filter: &Filter,
    frames: impl IntoIterator<Item = RgbaImage>,
    fps: u32,
) -> Result<Vec<(Duration, RgbaImage)>> {
    super::init()?;
    let mut frames = frames.into_iter().peekable();
    let Some((width, height)) = frames.peek().map(RgbaImage::dimensions) else { return Ok(Vec::new()) };
    let side = |side| i32::try_from(side).unwrap_or(i32::MAX);
    let fps_whole = side(fps.clamp(1, 1000));
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", "RGBA")
        .field("width", side(width))
        .field("height", side(height))
        .field("framerate", gst::Fraction::new(fps_whole, 1))
        .build();
    let lasts = Duration::from_secs(1) / fps.clamp(1, 1000);
    let mut buffers = (0u32..).zip(frames).map(|(index, frame)| {
        let at = Duration::from_secs(1) * index / fps.clamp(1, 1000);
        (frame.dimensions() == (width, height))
            .then(|| timed(frame.into_raw(), at, lasts))
            .ok_or_else(|| Error::user("the pictures must be of one size"))
    });
    let mut out = Vec::new();
    run(filter, MediaKind::Video, "videoconvert ! video/x-raw,format=RGBA", &caps, &mut buffers, |sample| {
        let info = sample.caps().and_then(|caps| VideoInfo::from_caps(caps).ok());
        if let Some((buffer, info)) = sample.buffer_owned().zip(info) {
            out.push((buffer.pts().unwrap_or_default().into(), picture(&buffer, &info)?));
        }
        Ok(())
    })?;
    Ok(out)
}

/// What `filter` makes of `samples`: left and right in turn, 48,000 of each a second. A filter may answer with a tail, or with less.
///
/// # Errors
/// As [`filter_frames`].
pub fn filter_samples(filter: &Filter, samples: &[f32]) -> Result<Vec<f32>> {
    super::init()?;
    let caps = gst::Caps::builder("audio/x-raw")
        .field("format", "F32LE")
        .field("layout", "interleaved")
        .field("rate", 48_000)
        .field("channels", 2)
        .build();
    let mut buffers = (0u32..).zip(samples.chunks(PIECE)).map(|(index, piece)| {
        let lasts = Duration::from_nanos(piece.len() as u64 / 2 * 1_000_000_000 / 48_000);
        let data = piece.iter().flat_map(|s| s.to_le_bytes()).collect();
        Ok(timed(data, Duration::from_millis(20) * index, lasts))
    });
    let mut out = Vec::new();
    run(filter, MediaKind::Audio, "identity", &caps, &mut buffers, |sample| {
        let data = sample.buffer().and_then(|b| b.map_readable().ok());
        let data = data.ok_or_else(|| Error::us("a filter's sound cannot be read"))?;
        out.extend(data.as_chunks::<4>().0.iter().map(|s| f32::from_le_bytes(*s)));
        Ok(())
    })?;
    Ok(out)
}

/// Lets a little media through a filter: is it one, is it of its kind, and does anything come out?
///
/// # Errors
/// As [`filter_frames`]; the user's where nothing comes out.
pub fn check_filter(filter: &Filter) -> Result<()> {
    let is_empty = match filter.kind() {
        MediaKind::Video => {
            let frame = RgbaImage::from_fn(96, 54, |x, y| image::Rgba([x as u8, y as u8, 128, 255]));
            filter_frames(filter, std::iter::repeat_n(frame, 10), 30)?.is_empty()
        }
        MediaKind::Audio => filter_samples(filter, &[0.1; 48_000])?.is_empty(),
    };
    match is_empty {
        false => Ok(()),
        true => Err(Error::user(format!("{}: nothing comes out of it", filter.file()))),
    }
}

/// Lets `buffers` through the filter and then through the elements of `after`, and every sample that comes out into `take`.
fn run(
    filter: &Filter,
    kind: MediaKind,
    after: &str,
    caps: &gst::Caps,
    buffers: &mut dyn Iterator<Item = Result<gst::Buffer>>,
    mut take: impl FnMut(&gst::Sample) -> Result<()>,
) -> Result<()> {
    if filter.kind() != kind {
        return Err(Error::user(format!("{}: it filters {}", filter.file(), word(filter.kind()))));
    }
    let text = format!(
        "# Offline.\nappsrc name=source format=time max-bytes=0 ! identity name=before\n\
         identity name=behind ! {after} ! appsink name=out sync=false max-buffers=0"
    );
    let template = Template::parse("offline", filter.file(), &text)?;
    let mut pipeline = Pipeline::build(&template, &[])?;
    let (source, out) = (pipeline.app_src("source")?, pipeline.app_sink("out")?);
    let (before, behind) = (pipeline.element("before")?, pipeline.element("behind")?);
    let bin = filter.bin()?;
    let parent = before.parent().and_then(|p| p.downcast::<gst::Bin>().ok());
    let parent = parent.ok_or_else(|| Error::us("a pipeline without a bin"))?;
    let unfit = |e| Error::user(format!("{}: it does not take {}", filter.file(), word(kind))).because(e);
    parent.add(&bin).map_err(unfit)?;
    source.set_caps(Some(caps));
    gst::Element::link_many([&before, bin.upcast_ref(), &behind]).map_err(unfit)?;
    pipeline.start()?;

    // One in, whatever is there out: a filter that holds something back is asked again at the end.
    let mut pull = |wait: Duration| match out.try_pull_sample(gst::ClockTime::try_from(wait).ok()) {
        Some(sample) => take(&sample).map(|()| true),
        None => Ok(false),
    };
    for buffer in buffers {
        source.push_buffer(buffer?).map_err(|flow| {
            pipeline.poll().err().unwrap_or_else(|| Error::us("the filter takes no more").because(flow))
        })?;
        while pull(Duration::ZERO)? {}
        pipeline.poll()?;
    }
    // A source that is flushing has failed, and `poll` says why.
    let _ = source.end_of_stream();
    let mut last = Instant::now();
    while !out.is_eos() {
        if pull(Duration::from_millis(50))? {
            last = Instant::now();
            continue;
        }
        pipeline.poll()?;
        if last.elapsed() > PATIENCE {
            let (file, waited) = (filter.file(), PATIENCE.as_secs());
            return Err(Error::machine(format!("{file}: nothing has come out for {waited} s")));
        }
    }
    Ok(())
}

fn word(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "sound",
        MediaKind::Video => "pictures",
    }
}

fn timed(data: Vec<u8>, at: Duration, lasts: Duration) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_mut_slice(data);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(gst::ClockTime::try_from(at).ok());
        buffer.set_duration(gst::ClockTime::try_from(lasts).ok());
    }
    buffer
}
