//! How loud sound is that flows through a pipeline, as RTP tells it (RFC 6464). Measures; changes nothing.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Sound quieter than this many dB below overload is not taken for a voice.
pub(super) const VOICE: u8 = 50;

/// Keeps the loudness of the sound that last came by, in dB below overload.
pub(super) fn measure(sink: &AppSink, level: Arc<AtomicU8>) {
    let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let sound = sample.buffer().and_then(|b| b.map_readable().ok()).ok_or(gst::FlowError::Error)?;
        level.store(loudness(&sound), Ordering::Relaxed);
        Ok(gst::FlowSuccess::Ok)
    });
    sink.set_callbacks(callbacks.build());
}

/// RMS level of 16-bit little-endian samples in dB below overload, as RFC 6464 counts: 0 is loudest, 127 is silence.
fn loudness(samples: &[u8]) -> u8 {
    let (samples, _) = samples.as_chunks::<2>();
    let power: f64 = samples.iter().map(|s| f64::from(i16::from_le_bytes(*s)).powi(2)).sum();
    let mean = power / samples.len().max(1) as f64 / f64::from(i16::MAX).powi(2);
    if mean <= 0.0 { 127 } else { (-10.0 * mean.log10()).round().clamp(0.0, 127.0) as u8 }
}

/// The same for sound that flows on through `pad`.
pub(super) fn listen(pad: &gst::Pad, level: Arc<AtomicU8>) {
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(sound) = info.buffer().and_then(|b| b.map_readable().ok()) {
            level.store(loudness(&sound), Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loudness_is_counted_below_overload() {
        let square = |amplitude: i16| (0..960).flat_map(|_| amplitude.to_le_bytes()).collect::<Vec<_>>();
        assert_eq!(loudness(&square(i16::MAX)), 0);
        assert_eq!(loudness(&square(i16::MIN)), 0);
        assert_eq!(loudness(&square(3277)), 20);
        assert_eq!(loudness(&square(0)), 127);
        assert_eq!(loudness(&[]), 127);
    }
}
