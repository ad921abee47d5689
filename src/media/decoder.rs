//! Encoded frames of one track in, pictures or sound out, each with the time of the frame it came from. It reads no file,
//! holds a few frames and no more, and never waits without a deadline.

use super::{Library, Picture, Pipeline};
use crate::error::{Error, Result};
use crate::room::media::Codec;
use bytes::Bytes;
use gstreamer as gst;
use gstreamer_app::{AppSink, AppSrc};
use gstreamer_video::VideoInfo;
use std::collections::VecDeque;
use std::time::Duration;

/// Pictures that wait in front of the decoder. So many lie behind it, too (`pipelines/compose/`), and as many that were taken from
/// there at once: at 30 a second, less than half a second in all.
const WAITING: u64 = 4;
/// The same of sound, a third of a second. Whoever goes back and forth with a thread for each packet pays more for that than for the
/// packet.
const PACKETS_WAITING: u64 = 16;

/// What a decoder has to know of a track before its first frame.
#[derive(Debug, Clone)]
pub struct TrackFormat {
    pub codec: Codec,
    /// H.264: `avcC`.
    pub config: Option<Bytes>,
    /// Sound: 1 or 2.
    pub channels: u8,
}

/// What comes out of a decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded<T> {
    /// What the frame that was due then holds.
    Next(Duration, T),
    /// Nothing yet; it may want more frames.
    NotYet,
    /// Everything has come out.
    End,
}

/// A decoder at work.
pub struct Decoder {
    pipeline: Pipeline,
    into: AppSrc,
    out: AppSink,
    codec: Codec,
    /// What was decoded meanwhile: taken all at once, so that the decoder's thread wakes for many frames rather than for each.
    ready: VecDeque<gst::Sample>,
    /// What the last picture was said to be, and what that means.
    described: Option<(gst::Caps, VideoInfo)>,
}

impl Decoder {
    /// A decoder of a track.
    ///
    /// # Errors
    /// The user's: the package of a decoder is missing.
    pub fn new(library: &Library, track: &TrackFormat) -> Result<Decoder> {
        let template = library.get(&format!("compose/{}", track.codec.name().to_lowercase()))?;
        let mut pipeline = Pipeline::build(&template, &[])?;
        let (into, out) = (pipeline.app_src("frames")?, pipeline.app_sink("out")?);
        into.set_caps(Some(&caps(track)));
        into.set_format(gst::Format::Time);
        pipeline.start()?;
        Ok(Decoder { pipeline, into, out, codec: track.codec, ready: VecDeque::new(), described: None })
    }

    /// True while it takes more frames without holding too many.
    pub fn wants_input(&self) -> bool {
        let most = if self.codec == Codec::Opus { PACKETS_WAITING } else { WAITING };
        self.ready.is_empty() && self.into.current_level_buffers() < most
    }

    /// Gives it a frame, due `at` on the file's time.
    ///
    /// # Errors
    /// The machine's: it has failed.
    pub fn push(&self, frame: Bytes, at: Duration, key: bool) -> Result<()> {
        let mut buffer = gst::Buffer::from_slice(frame);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::try_from(at).ok());
            if !key {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        self.into.push_buffer(buffer).map(drop).map_err(|flow| self.broken().because(flow))
    }

    /// There are no more frames.
    pub fn end(&self) {
        // A source that is flushing has failed, and the next question says why.
        let _ = self.into.end_of_stream();
    }

    /// The next picture; waits for it no longer than `wait`.
    ///
    /// # Errors
    /// Nothing can be decoded any further.
    pub fn picture(&mut self, wait: Duration) -> Result<Decoded<Picture>> {
        // VP8 has one colour space (RFC 6386, 9.2); GStreamer guesses another one for large pictures.
        let is_bt601 = self.codec == Codec::Vp8;
        let mut described = self.described.take();
        let next = self.next(wait, |sample| Picture::from_sample(sample, is_bt601, &mut described));
        self.described = described;
        next
    }

    /// The next sound; waits for it no longer than `wait`. Left and right in turn, 48,000 of each a second.
    ///
    /// # Errors
    /// As [`Decoder::picture`].
    pub fn sound(&mut self, wait: Duration) -> Result<Decoded<Vec<i16>>> {
        self.next(wait, |sample| {
            let data = sample.buffer()?.map_readable().ok()?;
            let (samples, _) = data.as_chunks::<2>();
            Some(samples.iter().map(|s| i16::from_le_bytes(*s)).collect())
        })
    }

    fn next<T>(&mut self, wait: Duration, mut read: impl FnMut(&gst::Sample) -> Option<T>) -> Result<Decoded<T>> {
        if self.ready.is_empty() {
            self.ready.extend(self.out.try_pull_sample(gst::ClockTime::try_from(wait).ok()));
            let more = || self.out.try_pull_sample(gst::ClockTime::ZERO);
            self.ready.extend(std::iter::from_fn(more).take(PACKETS_WAITING as usize));
        }
        let Some(sample) = self.ready.pop_front() else {
            self.pipeline.poll().map_err(|e| self.broken().because(e))?;
            return Ok(if self.out.is_eos() { Decoded::End } else { Decoded::NotYet });
        };
        let strange = || Error::us(format!("a frame of {} was decoded into something strange", self.codec.name()));
        let at = time(&sample).ok_or_else(strange)?;
        read(&sample).map(|read| Decoded::Next(at, read)).ok_or_else(strange)
    }

    fn broken(&self) -> Error {
        Error::machine(format!("{} cannot be decoded any further", self.codec.name()))
    }
}

fn caps(track: &TrackFormat) -> gst::Caps {
    let config = track.config.as_ref().map(|config| gst::Buffer::from_slice(config.clone()));
    match track.codec {
        Codec::Vp8 => gst::Caps::builder("video/x-vp8").build(),
        Codec::Vp9 => gst::Caps::builder("video/x-vp9").build(),
        Codec::Av1 => {
            gst::Caps::builder("video/x-av1").field("stream-format", "obu-stream").field("alignment", "tu").build()
        }
        Codec::H264 => {
            let caps = gst::Caps::builder("video/x-h264").field("stream-format", "avc").field("alignment", "au");
            caps.field_if_some("codec_data", config).build()
        }
        Codec::Opus => gst::Caps::builder("audio/x-opus")
            .field("channel-mapping-family", 0i32)
            .field("channels", i32::from(track.channels.clamp(1, 2)))
            .field("rate", 48_000i32)
            .build(),
    }
}

/// When a sample is due, on the file's time.
fn time(sample: &gst::Sample) -> Option<Duration> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let pts = sample.buffer()?.pts()?;
    Some(Duration::from_nanos(segment.to_stream_time(pts).unwrap_or(pts).nseconds()))
}
