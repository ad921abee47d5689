//! Runs video or audio through a filter without a clock: for stills, tests and checks. Everything is held in memory, so it is for
//! seconds of media, not hours.

use super::buffer::timed_buffer;
use super::runtime::Gst;
use super::transform::probe::rgba_image;
use super::{Filter, Pipeline, Template};
use crate::error::{Error, Result};
use crate::room::media::MediaKind;
use gst_video::VideoInfo;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;
use image::RgbaImage;
use std::time::{Duration, Instant};

/// How long a filter may take for one frame or one block of audio, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Samples of both channels in a block of 20 ms; audio arrives from a room in such blocks.
const BLOCK: usize = 2 * 960;

/// Converts any raw video to the format that encoders take.
const TO_I420: &str = "videoconvert ! video/x-raw,format=I420";

/// Applies `filter` to `frames`, `fps` of them a second; returns each output frame with its time. A filter may output more or fewer
/// frames than it gets.
///
/// # Errors
/// The user's: the filter is for audio, its template does not take video, or the frames differ in size. The machine's: it fails or
/// hangs.
pub fn filter_frames(
    filter: &Filter,
    frames: impl IntoIterator<Item = RgbaImage>,
    fps: u32,
) -> Result<Vec<(Duration, RgbaImage)>> {
    let gst = Gst::init()?;
    let mut frames = frames.into_iter().peekable();
    let Some((width, height)) = frames.peek().map(RgbaImage::dimensions) else { return Ok(Vec::new()) };
    let fps = fps.clamp(1, 1000);
    let caps = rgba(gst, (width, height), fps);
    let lasts = Duration::from_secs(1) / fps;
    let mut buffers = (0u32..).zip(frames).map(|(index, frame)| {
        let at = Duration::from_secs(1) * index / fps;
        (frame.dimensions() == (width, height))
            .then(|| timed_buffer(gst, frame.into_raw(), at, lasts))
            .ok_or_else(|| Error::user("all frames must have the same size"))
    });
    let mut out = Vec::new();
    run(filter, MediaKind::Video, "videoconvert ! video/x-raw,format=RGBA", &caps, &mut buffers, |sample| {
        let info = sample.caps().and_then(|caps| VideoInfo::from_caps(caps).ok());
        if let Some((buffer, info)) = sample.buffer_owned().zip(info) {
            out.push((buffer.pts().unwrap_or_default().into(), rgba_image(&buffer, &info)?));
        }
        Ok(())
    })?;
    Ok(out)
}

/// Applies `filter` to `samples`: stereo, interleaved, 48 kHz. A filter may output more or fewer samples than it gets.
///
/// # Errors
/// As [`filter_frames`].
pub fn filter_samples(filter: &Filter, samples: &[f32]) -> Result<Vec<f32>> {
    let gst = Gst::init()?;
    let caps = gst
        .caps("audio/x-raw")
        .field("format", "F32LE")
        .field("layout", "interleaved")
        .field("rate", 48_000)
        .field("channels", 2)
        .build();
    let mut buffers = (0u32..).zip(samples.chunks(BLOCK)).map(|(index, piece)| {
        let lasts = Duration::from_nanos(piece.len() as u64 / 2 * 1_000_000_000 / 48_000);
        let data = piece.iter().flat_map(|s| s.to_le_bytes()).collect();
        Ok(timed_buffer(gst, data, Duration::from_millis(20) * index, lasts))
    });
    let mut out = Vec::new();
    run(filter, MediaKind::Audio, "identity", &caps, &mut buffers, |sample| {
        let data = sample.buffer().and_then(|b| b.map_readable().ok());
        let data = data.ok_or_else(|| Error::internal("the output of a filter cannot be read"))?;
        out.extend(data.as_chunks::<4>().0.iter().map(|s| f32::from_le_bytes(*s)));
        Ok(())
    })?;
    Ok(out)
}

/// Runs a little media through a filter, to check that it takes its kind of media and outputs some.
///
/// # Errors
/// As [`filter_frames`]; the user's if nothing comes out.
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
        true => Err(Error::user(format!("{}: it outputs nothing", filter.file()))),
    }
}

/// Checks that everything that a template needs is installed, and if it is a filter (`name=in` and `name=out`), that media passes it.
///
/// # Errors
/// The user's, as [`Pipeline::build`] and [`check_filter`].
pub fn check_template(template: &Template) -> Result<()> {
    Pipeline::check(template)?;
    let named = |kind: &str| template.name.contains(&format!("filter/{kind}/"));
    let kinds: &[MediaKind] = match (named("video"), named("audio"), template.is_filter()) {
        (true, ..) => &[MediaKind::Video],
        (_, true, _) => &[MediaKind::Audio],
        (.., true) => &[MediaKind::Video, MediaKind::Audio],
        _ => return Ok(()),
    };
    let values = template.samples().into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Vec<_>>();
    let check = |kind: &MediaKind| check_filter(&Filter::of_template(*kind, template.clone(), values.clone())?);
    let (first, rest) = kinds.split_first().ok_or_else(|| Error::internal("a filter of neither video nor audio"))?;
    let checked = check(first);
    // The error about video is reported, unless it is an audio filter.
    if checked.is_ok() || rest.iter().any(|kind| check(kind).is_ok()) { Ok(()) } else { checked }
}

/// CPU time of `filter` for each of `frames`, from I420 to I420 as for live video. Measures the whole process, so nothing else should
/// run.
///
/// # Errors
/// As [`filter_frames`].
pub fn frame_cost(filter: &Filter, frames: &[RgbaImage]) -> Result<Duration> {
    let (caps, buffers) = in_i420(frames)?;
    let count = u32::try_from(buffers.len()).unwrap_or(u32::MAX).max(1);
    let before = cpu_time()?;
    let mut buffers = buffers.into_iter().map(Ok);
    run(filter, MediaKind::Video, TO_I420, &caps, &mut buffers, |_| Ok(()))?;
    Ok(cpu_time()?.saturating_sub(before) / count)
}

/// Frames as a decoder outputs them, and their caps.
fn in_i420(frames: &[RgbaImage]) -> Result<(gst::Caps, Vec<gst::Buffer>)> {
    let gst = Gst::init()?;
    let size = frames.first().map(RgbaImage::dimensions).ok_or_else(|| Error::internal("no frames"))?;
    let mut given = (0u32..).zip(frames).map(|(index, frame)| {
        Ok(timed_buffer(gst, frame.as_raw().clone(), Duration::from_secs(1) * index / 30, Duration::from_secs(1) / 30))
    });
    let (mut caps, mut buffers) = (None, Vec::new());
    run(&Filter::identity(), MediaKind::Video, TO_I420, &rgba(gst, size, 30), &mut given, |sample| {
        caps = sample.caps_owned();
        buffers.extend(sample.buffer_owned());
        Ok(())
    })?;
    Ok((caps.ok_or_else(|| Error::internal("frames without a format"))?, buffers))
}

/// Applies `filter` to frames in I420: the bytes of all planes.
#[cfg(test)]
pub(super) fn planar(filter: &Filter, frames: &[RgbaImage]) -> Result<Vec<Vec<u8>>> {
    let (caps, buffers) = in_i420(frames)?;
    let mut out = Vec::new();
    run(filter, MediaKind::Video, TO_I420, &caps, &mut buffers.into_iter().map(Ok), |sample| {
        out.extend(sample.buffer().and_then(|b| b.map_readable().ok()).map(|data| data.to_vec()));
        Ok(())
    })?;
    Ok(out)
}

/// CPU time of `filter` for all of `samples`.
///
/// # Errors
/// As [`filter_samples`].
pub fn sound_cost(filter: &Filter, samples: &[f32]) -> Result<Duration> {
    let before = cpu_time()?;
    filter_samples(filter, samples)?;
    Ok(cpu_time()?.saturating_sub(before))
}

fn cpu_time() -> Result<Duration> {
    let now = nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID.now();
    now.map(Duration::from).map_err(|e| Error::machine("this process cannot read its own CPU time").because(e))
}

fn rgba(gst: Gst, (width, height): (u32, u32), fps: u32) -> gst::Caps {
    let side = |side| i32::try_from(side).unwrap_or(i32::MAX);
    gst.caps("video/x-raw")
        .field("format", "RGBA")
        .field("width", side(width))
        .field("height", side(height))
        .field("framerate", gst::Fraction::new(side(fps), 1))
        .build()
}

/// Runs `buffers` through the filter and then through the elements of `after`; calls `take` with every sample that comes out.
fn run(
    filter: &Filter,
    kind: MediaKind,
    after: &str,
    caps: &gst::Caps,
    buffers: &mut dyn Iterator<Item = Result<gst::Buffer>>,
    mut take: impl FnMut(&gst::Sample) -> Result<()>,
) -> Result<()> {
    if filter.kind() != kind {
        return Err(Error::user(format!("{}: it is a filter of {}", filter.file(), kind_name(filter.kind()))));
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
    let parent = parent.ok_or_else(|| Error::internal("an element outside of a bin"))?;
    let unfit = |e| Error::user(format!("{}: it does not accept {}", filter.file(), kind_name(kind))).because(e);
    parent.add(&bin).map_err(unfit)?;
    source.set_caps(Some(caps));
    gst::Element::link_many([&before, bin.upcast_ref(), &behind]).map_err(unfit)?;
    pipeline.start()?;

    // Push one, pull whatever is there. What a filter holds back is pulled at the end.
    let mut pull = |wait: Duration| match out.try_pull_sample(gst::ClockTime::try_from(wait).ok()) {
        Some(sample) => take(&sample).map(|()| true),
        None => Ok(false),
    };
    for buffer in buffers {
        source.push_buffer(buffer?).map_err(|flow| {
            pipeline.poll().err().unwrap_or_else(|| Error::internal("the filter accepts no more data").because(flow))
        })?;
        while pull(Duration::ZERO)? {}
        pipeline.poll()?;
    }
    // Refused only by a pipeline that has failed; `poll` reports why.
    let _ = source.end_of_stream();
    let mut last = Instant::now();
    while !out.is_eos() {
        if pull(Duration::from_millis(50))? {
            last = Instant::now();
            continue;
        }
        pipeline.poll()?;
        if last.elapsed() > TIMEOUT {
            let (file, waited) = (filter.file(), TIMEOUT.as_secs());
            return Err(Error::machine(format!("{file}: no output for {waited} s")));
        }
    }
    Ok(())
}

fn kind_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}
