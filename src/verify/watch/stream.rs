//! One watched stream of pictures: its decoder, and what the stamps of its pictures say.

use super::Watched;
use crate::error::Result;
use crate::media::{Library, LiveDecoder, LivePicture};
use crate::room::clock::TrackClock;
use crate::room::media::{Codec, Frame};
use crate::verify::stamp::{FrameStamp, Luma, Reader};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// Pictures that are remembered of one stream: an hour of 60 a second.
const MAX_LOOKS: usize = 216_000;

/// A stamped picture that could have been shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    pub stamp: FrameStamp,
    pub rtp_time: i64,
    /// When the decoder had it, by this machine's clocks: the one that only goes on, and the one that says what time it is.
    pub decoded: Instant,
    pub wall: SystemTime,
}

/// What is kept for a stream that is watched.
pub(super) struct WatchedStream {
    codec: Codec,
    library: Library,
    pictures: LiveDecoder,
    looks: Arc<Mutex<Vec<Look>>>,
    from: Option<IpAddr>,
    /// What was seen before the sender began anew.
    before: Vec<Watched>,
    trouble: Vec<String>,
}

impl WatchedStream {
    /// Builds the decoder, which takes some milliseconds.
    ///
    /// # Errors
    /// The user's: a missing package. The machine's: the decoder does not start.
    pub fn start(library: Library, codec: Codec) -> Result<WatchedStream> {
        let looks = Arc::default();
        let pictures = decoder(&library, codec, &looks)?;
        Ok(WatchedStream { codec, library, pictures, looks, from: None, before: Vec::new(), trouble: Vec::new() })
    }

    /// The next frame of the stream.
    pub fn frame(&mut self, frame: &Frame) {
        self.pictures.push(frame);
    }

    /// A sender report was taken into the stream's clock.
    pub fn reported_from(&mut self, from: IpAddr) {
        self.from = Some(from);
    }

    /// The sender's RTP time begins anew; `clock` is the one until now.
    pub fn restart(&mut self, clock: TrackClock) {
        let seen = self.seen(clock);
        self.before.extend(seen);
        self.trouble.extend(self.pictures.poll().err().map(|e| e.to_string()));
        match decoder(&self.library, self.codec, &self.looks) {
            Ok(pictures) => self.pictures = pictures,
            Err(e) => self.trouble.push(e.to_string()),
        }
    }

    fn seen(&mut self, clock: TrackClock) -> Option<Watched> {
        let looks = std::mem::take(&mut *self.looks.lock().unwrap_or_else(PoisonError::into_inner));
        (!looks.is_empty()).then_some(Watched { looks, clock, from: self.from })
    }

    /// All that was seen, and what went wrong.
    pub fn finish(mut self, clock: TrackClock) -> (Vec<Watched>, Vec<String>) {
        self.trouble.extend(self.pictures.poll().err().map(|e| e.to_string()));
        let seen = self.seen(clock);
        self.before.extend(seen);
        (self.before, self.trouble)
    }
}

/// A decoder whose pictures' stamps are noted.
fn decoder(library: &Library, codec: Codec, looks: &Arc<Mutex<Vec<Look>>>) -> Result<LiveDecoder> {
    let looks = looks.clone();
    let mut reader = Reader::new();
    LiveDecoder::start(library, codec, move |LivePicture { rtp_time, decoded, luma, width, height }| {
        // What time it was then: this thread may have come to it later.
        let wall = SystemTime::now().checked_sub(decoded.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        let Some(luma) = Luma::new(&luma, (width, height), width) else { return };
        let stamps = reader.read(&luma).into_iter().filter_map(|sighting| sighting.stamp);
        let mut looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_LOOKS.saturating_sub(looks.len());
        looks.extend(stamps.take(room).map(|stamp| Look { stamp, rtp_time, decoded, wall }));
    })
}
