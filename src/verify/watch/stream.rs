//! One stream of pictures, looked at: packets to frames, frames to a decoder, and what their stamps say. It waits for repairs as the
//! recorder does, so that it sees what is recorded.

use super::Watched;
use crate::error::Result;
use crate::media::{Library, LiveDecoder, LivePicture};
use crate::room::clock::{SenderClock, SessionTime, TrackClock, unwrap_rtp};
use crate::room::media::{Codec, Frame, RtpPacket};
use crate::rtc::media::depacketize::{AssemblerConfig, FrameAssembler, Received};
use crate::verify::stamp::{FrameStamp, Luma, Reader};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// Pictures that are remembered of one stream: an hour of 60 a second.
const MOST: usize = 216_000;

/// A stamped picture that could have been shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    pub stamp: FrameStamp,
    pub rtp_time: i64,
    /// When the decoder had it, by this machine's clocks: the one that only goes on, and the one that says what time it is.
    pub decoded: Instant,
    pub wall: SystemTime,
}

/// A stream that is looked at.
pub(super) struct Stream {
    pub codec: Codec,
    library: Library,
    assembler: FrameAssembler,
    pictures: LiveDecoder,
    looks: Arc<Mutex<Vec<Look>>>,
    clock: TrackClock,
    from: Option<IpAddr>,
    newest_rtp: Option<i64>,
    /// What was seen before the sender began anew.
    before: Vec<Watched>,
    trouble: Vec<String>,
    scratch: Vec<Received>,
}

impl Stream {
    /// Builds the decoder, which takes some milliseconds.
    ///
    /// # Errors
    /// The user's: a missing package. The machine's: the decoder does not start.
    pub fn start(library: Library, codec: Codec) -> Result<Stream> {
        let looks = Arc::default();
        Ok(Stream {
            pictures: decoder(&library, codec, &looks)?,
            codec,
            library,
            assembler: FrameAssembler::new(codec, AssemblerConfig::default()),
            looks,
            clock: TrackClock::new(codec.clock_rate()),
            from: None,
            newest_rtp: None,
            before: Vec::new(),
            trouble: Vec::new(),
            scratch: Vec::new(),
        })
    }

    pub fn packet(&mut self, packet: RtpPacket) {
        let mut out = std::mem::take(&mut self.scratch);
        self.assembler.push(packet, &mut out);
        self.take(&mut out);
        self.scratch = out;
    }

    /// Gives up holes that are too old.
    pub fn tick(&mut self, now: Instant) {
        let mut out = std::mem::take(&mut self.scratch);
        self.assembler.tick(now, &mut out);
        self.take(&mut out);
        self.scratch = out;
    }

    /// When `tick` has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.assembler.deadline()
    }

    /// A sender report: its NTP and RTP times, when it arrived (counted from a common zero), and from where.
    pub fn report(
        &mut self,
        sender: &mut SenderClock,
        (ntp, rtp): (u64, u32),
        (zero, arrival): (Instant, Instant),
        from: IpAddr,
    ) {
        if let Some(newest) = self.newest_rtp {
            self.from = Some(from);
            let at = SessionTime::since(zero, arrival);
            self.clock.on_sender_report(sender, unwrap_rtp(newest, rtp), ntp, at);
        }
    }

    fn take(&mut self, received: &mut Vec<Received>) {
        for item in received.drain(..) {
            match item {
                Received::Frame(frame) => self.frame(&frame),
                Received::Discontinuity => self.begins_anew(),
                // The recorder asks for key frames.
                Received::NeedKeyFrame | Received::Gap { .. } => {}
            }
        }
    }

    fn frame(&mut self, frame: &Frame) {
        self.newest_rtp = Some(frame.rtp_time);
        self.pictures.push(frame);
    }

    /// The sender's RTP time begins anew.
    fn begins_anew(&mut self) {
        let seen = self.seen();
        self.before.extend(seen);
        self.newest_rtp = None;
        self.trouble.extend(self.pictures.poll().err().map(|e| e.to_string()));
        match decoder(&self.library, self.codec, &self.looks) {
            Ok(pictures) => self.pictures = pictures,
            Err(e) => self.trouble.push(e.to_string()),
        }
    }

    fn seen(&mut self) -> Option<Watched> {
        let looks = std::mem::take(&mut *self.looks.lock().unwrap_or_else(PoisonError::into_inner));
        let clock = std::mem::replace(&mut self.clock, TrackClock::new(self.codec.clock_rate()));
        (!looks.is_empty()).then_some(Watched { looks, clock, from: self.from })
    }

    /// All that was seen, and what went wrong.
    pub fn finish(mut self) -> (Vec<Watched>, Vec<String>) {
        self.trouble.extend(self.pictures.poll().err().map(|e| e.to_string()));
        let seen = self.seen();
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
        let room = MOST.saturating_sub(looks.len());
        looks.extend(stamps.take(room).map(|stamp| Look { stamp, rtp_time, decoded, wall }));
    })
}
