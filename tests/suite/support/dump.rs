//! Real encoders' frames from `fixtures/frames`, played over and over in real time.

use bytes::Bytes;
use roombot::room::media::{Codec, Frame};
use roombot::rtc::OutboundTrack;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

/// The frames of one dump.
pub struct Dump {
    codec: Codec,
    frames: Vec<(u32, bool, Bytes)>,
    /// RTP ticks from one frame to the next.
    ticks: i64,
}

impl Dump {
    pub fn load(codec: Codec) -> Dump {
        Dump::read(codec, "")
    }

    /// The same codec at 160x88 instead of 240x132 (video only).
    pub fn load_small(codec: Codec) -> Dump {
        Dump::read(codec, ".small")
    }

    fn read(codec: Codec, suffix: &str) -> Dump {
        let name = format!("fixtures/frames/{}{suffix}.frames", codec.name().to_lowercase());
        let data = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("dump");
        let mut frames = Vec::new();
        let mut at = 0;
        let word = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().expect("four bytes"));
        while at < data.len() {
            let (len, time, key) = (word(at) as usize, word(at + 4), data[at + 8] == 1);
            frames.push((time, key, Bytes::copy_from_slice(&data[at + 9..at + 9 + len])));
            at += 9 + len;
        }
        let ticks = i64::from(frames[1].0 - frames[0].0);
        Dump { codec, frames, ticks }
    }

    /// The `n`th frame of the endless loop; its RTP time starts at `base`.
    pub fn frame(&self, n: usize, base: i64) -> Frame {
        let (_, key, data) = &self.frames[n % self.frames.len()];
        Frame {
            rtp_time: base + n as i64 * self.ticks,
            arrival: Instant::now(),
            parts: vec![data.clone()],
            key: *key,
            size: None,
            config: None,
            audio_level: None,
            packets: 0,
        }
    }

    /// Time from one frame to the next.
    pub fn pause(&self) -> Duration {
        Duration::from_secs_f64(self.ticks as f64 / f64::from(self.codec.clock_rate()))
    }

    /// Sends frames `from..to` in real time.
    pub async fn play(&self, track: &OutboundTrack, from: usize, to: usize, base: i64) {
        self.play_by(from..to, base, |frame, _| track.send(&frame)).await;
    }

    /// Hands frames of `range` to `send` in real time, each with its number.
    pub async fn play_by(&self, range: Range<usize>, base: i64, mut send: impl FnMut(Frame, usize)) {
        let mut tick = tokio::time::interval(self.pause());
        for n in range {
            tick.tick().await;
            send(self.frame(n, base), n);
        }
    }
}
