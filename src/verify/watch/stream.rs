//! One watched video stream: its decoder, and the stamps of the decoded frames.

use super::observations::{DecodedFrame, ObservedStream};
use crate::error::Result;
use crate::media::{Library, LiveDecoder, LivePicture};
use crate::room::clock::TrackClock;
use crate::room::media::{Codec, Frame};
use crate::verify::stamp::luma::LumaPlane;
use crate::verify::stamp::reader::StampReader;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Maximum number of frames kept per stream: one hour at 60 a second.
const MAX_FRAMES: usize = 216_000;

/// The state of a watched stream.
pub(super) struct WatchedStream {
    codec: Codec,
    library: Library,
    decoder: LiveDecoder,
    frames: Arc<Mutex<Vec<DecodedFrame>>>,
    from: Option<IpAddr>,
    /// Observations before the sender's last restart.
    before: Vec<ObservedStream>,
    trouble: Vec<String>,
}

impl WatchedStream {
    /// Starts the decoder, which takes some milliseconds.
    ///
    /// # Errors
    /// The user's: a missing package. The machine's: the decoder does not start.
    pub fn start(library: Library, codec: Codec) -> Result<WatchedStream> {
        let frames = Arc::default();
        let decoder = start_decoder(&library, codec, &frames)?;
        Ok(WatchedStream { codec, library, decoder, frames, from: None, before: Vec::new(), trouble: Vec::new() })
    }

    /// The next frame of the stream.
    pub fn frame(&mut self, frame: &Frame) {
        self.decoder.push(frame);
    }

    /// Notes the source address of a sender report.
    pub fn reported_from(&mut self, from: IpAddr) {
        self.from = Some(from);
    }

    /// The sender's RTP time restarts; `clock` is valid for what was observed before.
    pub fn restart(&mut self, clock: TrackClock) {
        let observed = self.observed(clock);
        self.before.extend(observed);
        self.trouble.extend(self.decoder.poll().err().map(|e| e.to_string()));
        match start_decoder(&self.library, self.codec, &self.frames) {
            Ok(decoder) => self.decoder = decoder,
            Err(e) => self.trouble.push(e.to_string()),
        }
    }

    fn observed(&mut self, clock: TrackClock) -> Option<ObservedStream> {
        let frames = std::mem::take(&mut *self.frames.lock().unwrap_or_else(PoisonError::into_inner));
        (!frames.is_empty()).then_some(ObservedStream { frames, clock, from: self.from })
    }

    /// Returns everything observed, and failures of this machine.
    pub fn finish(mut self, clock: TrackClock) -> (Vec<ObservedStream>, Vec<String>) {
        self.trouble.extend(self.decoder.poll().err().map(|e| e.to_string()));
        let observed = self.observed(clock);
        self.before.extend(observed);
        (self.before, self.trouble)
    }
}

/// A decoder that adds stamped frames to `frames`.
fn start_decoder(library: &Library, codec: Codec, frames: &Arc<Mutex<Vec<DecodedFrame>>>) -> Result<LiveDecoder> {
    let frames = frames.clone();
    let mut reader = StampReader::new();
    LiveDecoder::start(library, codec, move |LivePicture { rtp_time, decoded, luma, width, height }| {
        // The wall time of decoding; this thread may run later.
        let wall = SystemTime::now().checked_sub(decoded.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        let Some(luma) = LumaPlane::new(&luma, (width, height), width) else { return };
        let stamps = reader.read(&luma).into_iter().filter_map(|detected| detected.stamp);
        let mut frames = frames.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_FRAMES.saturating_sub(frames.len());
        frames.extend(stamps.take(room).map(|stamp| DecodedFrame { stamp, rtp_time, decoded, wall }));
    })
}
