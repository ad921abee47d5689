//! Plays a source into published tracks in real time: one thread, one clock for picture and sound. It never drops a
//! frame and never waits for a connection.

use crate::error::{Error, Result};
use crate::media::{MediaSource, Track};
use crate::room::media::{Codec, MediaKind, Source};
use crate::rtc::OutboundTrack;
use serde::Serialize;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Later than this, a frame counts as late.
const LATE: Duration = Duration::from_millis(50);
/// Later than this the machine has slept or is hopelessly short: the clock is set anew instead of sending a flood.
const LOST: Duration = Duration::from_secs(2);
/// No more key frames are made than one in this time, whoever asks: each costs as much as ten other pictures.
const KEY_FRAMES_APART: Duration = Duration::from_millis(500);

/// What went out on one track.
#[derive(Debug, Clone, Serialize)]
pub struct Sent {
    pub source: Source,
    pub codec: Codec,
    /// What the source has instead, where it had to be encoded.
    pub encoded_from: Option<String>,
    pub frames: u64,
    pub key_frames: u64,
    pub bytes: u64,
    /// Frames that went out more than 50 ms after their time.
    pub late: u64,
    /// Key frames that receivers asked for. What is sent as it is cannot make any, so they wait for its next one.
    pub key_frames_asked: u64,
}

/// A file that is being played. Dropping it stops the playing.
pub struct Pump {
    stop: Sender<()>,
    ended: oneshot::Receiver<Result<Vec<Sent>>>,
}

impl Pump {
    /// Plays `source` into the track of each frame's kind, its first frame at `start`.
    ///
    /// # Errors
    /// The machine has no thread left.
    pub fn play(source: MediaSource, tracks: Vec<OutboundTrack>, start: Instant) -> Result<Pump> {
        let (stop, stopped) = channel();
        let (report, ended) = oneshot::channel();
        let play = move || {
            // The receiver may be gone: then nobody wants the report.
            let _ = report.send(run(source, &tracks, start, &stopped));
        };
        let thread = std::thread::Builder::new().name("feed".into()).spawn(play);
        thread.map_err(|e| Error::machine("cannot start a thread to play a file").because(e))?;
        Ok(Pump { stop, ended })
    }

    /// Waits for the end of the file. May be dropped and called again; once it has answered, it is used up.
    ///
    /// # Errors
    /// What the file said when it could not be read any further.
    pub async fn ended(&mut self) -> Result<Vec<Sent>> {
        (&mut self.ended).await.unwrap_or_else(|e| Err(Error::us("the playing of a file broke off").because(e)))
    }

    /// Stops, and says what went out until now.
    pub async fn stop(self) -> Result<Vec<Sent>> {
        drop(self.stop);
        self.ended.await.unwrap_or_else(|e| Err(Error::us("the playing of a file broke off").because(e)))
    }
}

fn run(
    mut source: MediaSource,
    tracks: &[OutboundTrack],
    mut start: Instant,
    stopped: &Receiver<()>,
) -> Result<Vec<Sent>> {
    let mut sent: Vec<Sent> =
        tracks.iter().zip(source.tracks()).map(|(out, track)| Sent::nothing(out, track)).collect();
    let picture = tracks.iter().find(|track| track.label().kind == MediaKind::Video);
    let mut asked = picture.map(OutboundTrack::key_frame_requests);
    let mut answered = Instant::now();
    while let Some(next) = source.next_frame()? {
        // Waiting for the stop is how this thread sleeps.
        let wait = (start + next.at).saturating_duration_since(Instant::now());
        if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        if let Some(asked) = &mut asked
            && asked.has_changed().unwrap_or(false)
            && answered.elapsed() > KEY_FRAMES_APART
        {
            asked.mark_unchanged();
            answered = Instant::now();
            source.ask_key_frame();
        }
        let behind = start.elapsed().saturating_sub(next.at);
        if behind > LOST {
            tracing::warn!("the feed was {:.1} s behind its clock, which starts anew", behind.as_secs_f64());
            start += behind;
        }
        let lane = tracks.iter().zip(&mut sent).find(|(track, _)| track.label().kind == next.kind);
        if let Some((track, sent)) = lane {
            sent.frames += 1;
            sent.key_frames += u64::from(next.frame.key && next.kind == MediaKind::Video);
            sent.bytes += next.frame.len() as u64;
            sent.late += u64::from(behind > LATE);
            // When it was due, not when this thread woke up: reports that are even let receivers sync well.
            track.send_taken(&next.frame, start + next.at);
        }
    }
    for (track, sent) in tracks.iter().zip(&mut sent) {
        sent.key_frames_asked = *track.key_frame_requests().borrow();
    }
    Ok(sent)
}

impl Sent {
    /// Adds what went out on another track of the same source.
    pub fn add(&mut self, more: &Sent) {
        self.frames += more.frames;
        self.key_frames += more.key_frames;
        self.bytes += more.bytes;
        self.late += more.late;
        self.key_frames_asked += more.key_frames_asked;
    }

    fn nothing(out: &OutboundTrack, track: &Track) -> Sent {
        let (source, codec, encoded_from) = (out.label().source, out.codec(), track.was.clone());
        Sent { source, codec, encoded_from, frames: 0, key_frames: 0, bytes: 0, late: 0, key_frames_asked: 0 }
    }
}
