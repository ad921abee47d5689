//! Encoded frames as a pipeline outputs them: timestamps, bytes, and what is known of them without decoding.

use super::audio_level::VOICE_THRESHOLD;
use crate::room::media::{AudioLevel, MediaKind};
use bytes::Bytes;
use gstreamer as gst;
use gstreamer_app::{AppSink, AppSinkCallbacks};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::SyncSender;

/// One encoded frame. Times are in ns on the time line of its file or pipeline.
#[derive(Debug, Clone)]
pub(super) struct EncodedFrame {
    pub kind: MediaKind,
    pub pts: Option<u64>,
    pub duration: Option<u64>,
    pub data: Bytes,
    pub key: bool,
    pub size: Option<(u32, u32)>,
    pub config: Option<Bytes>,
    pub level: Option<AudioLevel>,
}

/// What the queue of a track holds.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// The next frame.
    Frame(EncodedFrame),
    /// The track of this kind has no more frames.
    End(MediaKind),
}

/// The largest frame that is accepted, in bytes.
const MAX_FRAME_BYTES: usize = 16 << 20;

/// Puts the frames that arrive at `sink` into the queue. Blocks while the queue is full, which stops the reading of the file.
pub(super) fn forward(sink: &AppSink, kind: MediaKind, level: Arc<AtomicU8>, queue: SyncSender<Item>) {
    let end = queue.clone();
    let callbacks = AppSinkCallbacks::builder().eos(move |_| drop(end.send(Item::End(kind)))).new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let frame = from_sample(kind, &sample, level.load(Ordering::Relaxed)).ok_or(gst::FlowError::Error)?;
        // The receiver is gone: the rest is not needed.
        queue.send(Item::Frame(frame)).map_err(|_| gst::FlowError::Eos)?;
        Ok(gst::FlowSuccess::Ok)
    });
    sink.set_callbacks(callbacks.build());
}

/// The frame of a sample; `level` is the audio level (RFC 6464), over 127 if unknown. `None` if it is too large or has no buffer.
pub(super) fn from_sample(kind: MediaKind, sample: &gst::Sample, level: u8) -> Option<EncodedFrame> {
    let buffer = sample.buffer()?;
    let about = sample.caps().and_then(|c| c.structure(0));
    let segment = sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>());
    let key = kind == MediaKind::Audio || !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    let data = buffer.map_readable().ok().filter(|d| d.len() <= MAX_FRAME_BYTES)?;
    let mut data = Bytes::copy_from_slice(&data);
    let av1 = about.is_some_and(|a| a.name() == "video/x-av1");
    if av1 && data.starts_with(&TEMPORAL_DELIMITER) {
        data = data.slice(TEMPORAL_DELIMITER.len()..);
    }
    let config =
        || about?.get::<gst::Buffer>("codec_data").ok()?.map_readable().ok().map(|c| Bytes::copy_from_slice(&c));
    Some(EncodedFrame {
        kind,
        pts: buffer.pts().and_then(|pts| segment?.to_running_time(pts)).map(gst::ClockTime::nseconds),
        duration: if kind == MediaKind::Audio {
            opus_duration(&data)
        } else {
            buffer.duration().map(gst::ClockTime::nseconds)
        },
        data,
        key,
        size: about.filter(|_| key).and_then(size),
        config: if key && kind == MediaKind::Video { config() } else { None },
        level: (level <= 127).then_some(AudioLevel { below_overload: level, voice: level < VOICE_THRESHOLD }),
    })
}

/// The duration of an Opus packet in ns, from its TOC byte (RFC 6716, 3.1). Containers shorten the first and the last packet.
fn opus_duration(packet: &[u8]) -> Option<u64> {
    let toc = *packet.first()?;
    let frame_us = match toc >> 3 {
        config @ 0..12 => [10_000, 20_000, 40_000, 60_000][usize::from(config % 4)],
        config @ 12..16 => [10_000, 20_000][usize::from(config % 2)],
        config => [2_500, 5_000, 10_000, 20_000][usize::from(config % 4)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1)? & 0x3f),
    };
    Some(frames * frame_us * 1000)
}

/// A temporal delimiter OBU (AV1, 5.6), which RTP and Matroska leave out.
pub(super) const TEMPORAL_DELIMITER: [u8; 2] = [0x12, 0x00];

/// Width and height in pixels.
pub(super) fn size(about: &gst::StructureRef) -> Option<(u32, u32)> {
    let side = |name| about.get::<i32>(name).ok().and_then(|v| u32::try_from(v).ok());
    Some((side("width")?, side("height")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opus_packet_says_how_long_it_is() {
        let ms = |packet: &[u8]| opus_duration(packet).map(|ns| ns as f64 / 1e6);
        assert_eq!(ms(&[0x78]), Some(20.0), "hybrid, one frame");
        assert_eq!(ms(&[0xf9]), Some(40.0), "CELT, two frames");
        assert_eq!(ms(&[0x83, 3]), Some(7.5), "CELT of 2.5 ms, three frames");
        assert_eq!(ms(&[0x18]), Some(60.0), "SILK");
        assert_eq!((ms(&[]), ms(&[3])), (None, None));
    }
}
