//! Decodes one track: encoded frames in, pictures or audio out, each with the time of the frame that it came from. It reads no file,
//! holds a bounded number of frames, and never waits without a deadline.

use super::runtime::Gst;
use super::{Library, Picture, Pipeline};
use crate::error::{Error, Result};
use crate::room::media::Codec;
use bytes::Bytes;
use gstreamer as gst;
use gstreamer_app::{AppSink, AppSrc};
use gstreamer_video::VideoInfo;
use std::collections::VecDeque;
use std::time::Duration;

/// Video frames that may wait before the decoder. As many wait after it (`pipelines/compose/`), and as many may have been pulled at
/// once: at 30 frames per second less than half a second in all.
const MAX_FRAMES: u64 = 4;
/// The same for audio packets, a third of a second: waking a thread for each packet costs more than decoding it.
const MAX_PACKETS: u64 = 16;

/// What a decoder has to know of a track before its first frame.
#[derive(Debug, Clone)]
pub struct TrackFormat {
    /// The codec.
    pub codec: Codec,
    /// H.264: the decoder configuration record (`avcC`).
    pub config: Option<Bytes>,
    /// Audio: 1 or 2 channels.
    pub channels: u8,
}

/// What comes out of a decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded<T> {
    /// The content of the frame of that time.
    Next(Duration, T),
    /// Nothing yet; the decoder may need more frames.
    NotYet,
    /// Everything has come out.
    End,
}

/// A running decoder.
pub struct Decoder {
    gst: Gst,
    pipeline: Pipeline,
    input: AppSrc,
    output: AppSink,
    codec: Codec,
    /// Decoded samples, pulled in batches so that the decoder's thread wakes less often.
    ready: VecDeque<gst::Sample>,
    /// The caps of the last picture, and what they say.
    known_caps: Option<(gst::Caps, VideoInfo)>,
}

impl Decoder {
    /// Builds and starts the decoder of a track.
    ///
    /// # Errors
    /// The user's: the package of a decoder is missing.
    pub fn new(library: &Library, track: &TrackFormat) -> Result<Decoder> {
        let gst = Gst::init()?;
        let template = library.get(&format!("compose/{}", track.codec.name().to_lowercase()))?;
        let mut pipeline = Pipeline::build(&template, &[])?;
        let (input, output) = (pipeline.app_src("frames")?, pipeline.app_sink("out")?);
        input.set_caps(Some(&caps(gst, track)));
        input.set_format(gst::Format::Time);
        pipeline.start()?;
        Ok(Decoder { gst, pipeline, input, output, codec: track.codec, ready: VecDeque::new(), known_caps: None })
    }

    /// True if more frames may be pushed without holding too many.
    pub fn wants_input(&self) -> bool {
        let most = if self.codec == Codec::Opus { MAX_PACKETS } else { MAX_FRAMES };
        self.ready.is_empty() && self.input.current_level_buffers() < most
    }

    /// Pushes a frame with its time on the file's time line.
    ///
    /// # Errors
    /// The machine's: it has failed.
    pub fn push(&self, frame: Bytes, at: Duration, key: bool) -> Result<()> {
        let mut buffer = self.gst.shared_buffer(frame);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gst::ClockTime::try_from(at).ok());
            if !key {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        self.input.push_buffer(buffer).map(drop).map_err(|flow| self.broken().because(flow))
    }

    /// To be called after the last frame.
    pub fn end(&self) {
        // Refused only by a pipeline that has failed; the next pull reports why.
        let _ = self.input.end_of_stream();
    }

    /// The next picture; waits at most `wait`.
    ///
    /// # Errors
    /// Decoding has failed.
    pub fn picture(&mut self, wait: Duration) -> Result<Decoded<Picture>> {
        // VP8 has one colour space (RFC 6386, 9.2); GStreamer assumes another one for large pictures.
        let is_bt601 = self.codec == Codec::Vp8;
        let (gst, mut known_caps) = (self.gst, self.known_caps.take());
        let next = self.next(wait, |sample| Picture::from_sample(gst, sample, is_bt601, &mut known_caps));
        self.known_caps = known_caps;
        next
    }

    /// The next audio: stereo, interleaved, 48 kHz. Waits at most `wait`.
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
            self.ready.extend(self.output.try_pull_sample(gst::ClockTime::try_from(wait).ok()));
            let more = || self.output.try_pull_sample(gst::ClockTime::ZERO);
            self.ready.extend(std::iter::from_fn(more).take(MAX_PACKETS as usize));
        }
        let Some(sample) = self.ready.pop_front() else {
            self.pipeline.poll().map_err(|e| self.broken().because(e))?;
            return Ok(if self.output.is_eos() { Decoded::End } else { Decoded::NotYet });
        };
        let unexpected =
            || Error::internal(format!("a decoded {} frame has no time or an unexpected format", self.codec.name()));
        let at = time(&sample).ok_or_else(unexpected)?;
        read(&sample).map(|read| Decoded::Next(at, read)).ok_or_else(unexpected)
    }

    fn broken(&self) -> Error {
        Error::machine(format!("{} can no longer be decoded", self.codec.name()))
    }
}

fn caps(gst: Gst, track: &TrackFormat) -> gst::Caps {
    let config = track.config.as_ref().map(|config| gst.shared_buffer(config.clone()));
    match track.codec {
        Codec::Vp8 => gst.caps("video/x-vp8").build(),
        Codec::Vp9 => gst.caps("video/x-vp9").build(),
        Codec::Av1 => gst.caps("video/x-av1").field("stream-format", "obu-stream").field("alignment", "tu").build(),
        Codec::H264 => {
            let caps = gst.caps("video/x-h264").field("stream-format", "avc").field("alignment", "au");
            caps.field_if_some("codec_data", config).build()
        }
        Codec::Opus => gst
            .caps("audio/x-opus")
            .field("channel-mapping-family", 0i32)
            .field("channels", i32::from(track.channels.clamp(1, 2)))
            .field("rate", 48_000i32)
            .build(),
    }
}

/// The time of a sample on the file's time line.
fn time(sample: &gst::Sample) -> Option<Duration> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let pts = sample.buffer()?.pts()?;
    Some(Duration::from_nanos(segment.to_stream_time(pts).unwrap_or(pts).nseconds()))
}
