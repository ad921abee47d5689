//! Sends a source to published tracks in real time: one thread, one clock for video and audio. It drops no frame and waits for no
//! connection.

use crate::error::{Error, Result};
use crate::media::{MediaSource, SourceFrame, Track};
use crate::room::media::{Codec, MediaKind, Source};
use crate::rtc::OutboundTrack;
use serde::Serialize;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Later than this, a frame counts as late.
const LATE: Duration = Duration::from_millis(50);
/// Later than this (after a suspend, say), the clock is reset instead of sending a burst.
const RESET: Duration = Duration::from_secs(2);
/// The least time between two key frames on request: each is as large as ten other frames.
const KEY_FRAMES_APART: Duration = Duration::from_millis(500);

/// What was sent on one track.
#[derive(Debug, Clone, Serialize)]
pub struct Sent {
    /// Camera, microphone or screen.
    pub source: Source,
    /// The codec that was sent.
    pub codec: Codec,
    /// The codec of the source, if it was re-encoded.
    pub encoded_from: Option<String>,
    /// All frames.
    pub frames: u64,
    /// Frames that a receiver can show: all but those before the first key frame.
    pub playable: u64,
    /// Video key frames, with which a receiver can begin.
    pub key_frames: u64,
    /// Bytes of all frames, without packet headers.
    pub bytes: u64,
    /// Frames that were sent more than 50 ms late.
    pub late: u64,
    /// Key frames that receivers requested. Media that is not re-encoded cannot produce them.
    pub key_frames_asked: u64,
}

/// A source that is being sent. Dropping it stops that.
pub struct Playout {
    stop: Sender<()>,
    ended: oneshot::Receiver<Result<Vec<Sent>>>,
}

impl Playout {
    /// Sends `source` to the tracks, each frame to the one of its kind; the first frame at `start`.
    ///
    /// # Errors
    /// [`Error::Machine`]: a thread cannot be started.
    pub fn start(source: MediaSource, tracks: Vec<OutboundTrack>, start: Instant) -> Result<Playout> {
        let (stop, stopped) = channel();
        let (report, ended) = oneshot::channel();
        let run = move || {
            // Nobody may be waiting for the report.
            let _ = report.send(send_all(source, &tracks, start, &stopped));
        };
        let thread = std::thread::Builder::new().name("feed".into()).spawn(run);
        thread.map_err(|e| Error::machine("cannot start a thread to send media").because(e))?;
        Ok(Playout { stop, ended })
    }

    /// Waits for the end of the source. Cancel safe; must not be called again after it has returned.
    ///
    /// # Errors
    /// Why the source could not be read to its end.
    pub async fn ended(&mut self) -> Result<Vec<Sent>> {
        (&mut self.ended)
            .await
            .unwrap_or_else(|e| Err(Error::internal("the thread that sends media has panicked").because(e)))
    }

    /// Stops; returns what was sent.
    ///
    /// # Errors
    /// As [`Playout::ended`].
    pub async fn stop(self) -> Result<Vec<Sent>> {
        drop(self.stop);
        self.ended.await.unwrap_or_else(|e| Err(Error::internal("the thread that sends media has panicked").because(e)))
    }
}

fn send_all(
    mut source: MediaSource,
    tracks: &[OutboundTrack],
    mut start: Instant,
    stopped: &Receiver<()>,
) -> Result<Vec<Sent>> {
    let mut sent: Vec<Sent> =
        tracks.iter().zip(source.tracks()).map(|(out, track)| Sent::nothing(out, track)).collect();
    let video = tracks.iter().find(|track| track.label().kind == MediaKind::Video);
    let mut requests = video.map(OutboundTrack::key_frame_requests);
    let mut last_key_frame = Instant::now();
    while let Some(next) = source.next_frame()? {
        // Sleeps until the frame is due or the playout is stopped.
        let wait = (start + next.at).saturating_duration_since(Instant::now());
        if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        if let Some(requests) = &mut requests
            && requests.has_changed().unwrap_or(false)
            && last_key_frame.elapsed() > KEY_FRAMES_APART
        {
            requests.mark_unchanged();
            last_key_frame = Instant::now();
            source.ask_key_frame();
        }
        let behind = start.elapsed().saturating_sub(next.at);
        if behind > RESET {
            tracing::warn!("{:.1} s late: the clock is reset", behind.as_secs_f64());
            start += behind;
        }
        let target = tracks.iter().zip(&mut sent).find(|(track, _)| track.label().kind == next.kind);
        if let Some((track, sent)) = target {
            sent.frames += 1;
            let begins = begins(&next, sent.codec);
            sent.key_frames += u64::from(begins && next.kind == MediaKind::Video);
            sent.playable += u64::from(begins || sent.playable > 0);
            sent.bytes += next.frame.len() as u64;
            sent.late += u64::from(behind > LATE);
            // The due time, not the time at which this thread woke up: sender reports without jitter help receivers to synchronise.
            track.send_captured(&next.frame, start + next.at);
        }
    }
    for (track, sent) in tracks.iter().zip(&mut sent) {
        sent.key_frames_asked = *track.key_frame_requests().borrow();
    }
    Ok(sent)
}

/// Whether a receiver can begin with this frame: H.264 needs its parameter sets as well.
fn begins(next: &SourceFrame, codec: Codec) -> bool {
    next.kind == MediaKind::Audio || next.frame.key && (codec != Codec::H264 || next.frame.config.is_some())
}

impl Sent {
    /// Adds what was sent on another track of the same source.
    pub fn add(&mut self, more: &Sent) {
        self.frames += more.frames;
        self.playable += more.playable;
        self.key_frames += more.key_frames;
        self.bytes += more.bytes;
        self.late += more.late;
        self.key_frames_asked += more.key_frames_asked;
    }

    fn nothing(out: &OutboundTrack, track: &Track) -> Sent {
        let (source, codec, encoded_from) = (out.label().source, out.codec(), track.encoded_from.clone());
        Sent {
            source,
            codec,
            encoded_from,
            frames: 0,
            playable: 0,
            key_frames: 0,
            bytes: 0,
            late: 0,
            key_frames_asked: 0,
        }
    }
}
