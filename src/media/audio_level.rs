//! The audio level of RTP packets (RFC 6464): RMS of one packet in dBov, not loudness as EBU R 128 defines it. Measures; changes
//! nothing.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Audio below this level (dB below overload) does not count as voice.
pub(super) const VOICE_THRESHOLD: u8 = 50;

/// Stores the level of each buffer that arrives at `sink`, in dB below overload.
pub(super) fn measure_at_sink(sink: &AppSink, level: Arc<AtomicU8>) {
    let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let samples = sample.buffer().and_then(|b| b.map_readable().ok()).ok_or(gst::FlowError::Error)?;
        level.store(audio_level(&samples), Ordering::Relaxed);
        Ok(gst::FlowSuccess::Ok)
    });
    sink.set_callbacks(callbacks.build());
}

/// RMS level of 16-bit little-endian samples in dB below overload (RFC 6464): 0 is the loudest, 127 is silence.
fn audio_level(samples: &[u8]) -> u8 {
    let (samples, _) = samples.as_chunks::<2>();
    let power: f64 = samples.iter().map(|s| f64::from(i16::from_le_bytes(*s)).powi(2)).sum();
    let mean = power / samples.len().max(1) as f64 / f64::from(i16::MAX).powi(2);
    if mean <= 0.0 { 127 } else { (-10.0 * mean.log10()).round().clamp(0.0, 127.0) as u8 }
}

/// Stores the level of each buffer that passes `pad`, in dB below overload.
pub(super) fn measure_at_pad(pad: &gst::Pad, level: Arc<AtomicU8>) {
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(samples) = info.buffer().and_then(|b| b.map_readable().ok()) {
            level.store(audio_level(&samples), Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_in_db_below_overload() {
        let square = |amplitude: i16| (0..960).flat_map(|_| amplitude.to_le_bytes()).collect::<Vec<_>>();
        assert_eq!(audio_level(&square(i16::MAX)), 0);
        assert_eq!(audio_level(&square(i16::MIN)), 0);
        assert_eq!(audio_level(&square(3277)), 20);
        assert_eq!(audio_level(&square(0)), 127);
        assert_eq!(audio_level(&[]), 127);
    }
}
