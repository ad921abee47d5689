//! Sends a stamped file on published tracks in real time. All files of a scenario have the same start time, so a participant who joins later
//! continues where the others are. One thread per file. It never drops a frame, and counts the late ones.

use crate::error::{Error, Result};
use crate::media::MediaSource;
use crate::room::media::MediaKind;
use crate::rtc::OutboundTrack;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A frame sent later than this counts as late.
pub(super) const LATE: Duration = Duration::from_millis(60);
/// A frame sent later than this counts as very late.
pub(super) const VERY_LATE: Duration = Duration::from_millis(250);
/// An action later than this is no longer what the scenario describes.
pub(super) const LATE_ACTION: Duration = Duration::from_secs(1);

/// A range in which frames of one kind are not sent (microphone or camera off). The source's time continues meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pause {
    pub kind: MediaKind,
    pub from: Duration,
    pub until: Duration,
}

/// How punctually media was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SendStats {
    /// Frames sent.
    pub frames: u64,
    /// Frames sent more than [`LATE`] after their time.
    pub late: u64,
    /// Frames sent more than [`VERY_LATE`] after their time; counted in `late` too.
    pub very_late: u64,
    /// Failures of this machine. They make a run inconclusive.
    pub trouble: Vec<String>,
    /// Delays of this machine. They can only worsen a recording, so they make a run inconclusive only if an expectation fails.
    pub delays: Vec<String>,
}

impl SendStats {
    /// Counts a frame that was sent this long after its time.
    pub fn frame(&mut self, late_by: Duration) {
        self.frames += 1;
        self.late += u64::from(late_by > LATE);
        self.very_late += u64::from(late_by > VERY_LATE);
    }

    /// Notes a participant who joined this long after their time.
    pub fn joined(&mut self, name: &str, late_by: Duration) {
        if late_by > LATE_ACTION {
            self.delays.push(format!("{name} joined {:.1} s late", late_by.as_secs_f64()));
        }
    }

    /// Adds the statistics of another file or participant.
    pub fn merge(&mut self, other: SendStats) {
        self.frames += other.frames;
        self.late += other.late;
        self.very_late += other.very_late;
        self.trouble.extend(other.trouble);
        self.delays.extend(other.delays);
    }
}

/// Sends one file on a thread of its own, which ends when this is dropped.
pub(super) struct Player {
    stop: Sender<()>,
    thread: JoinHandle<Result<SendStats>>,
}

impl Player {
    /// Starts sending `source` as if its first frame was due at `start`. Frames before `from` (since `start`) are skipped, and so is video until
    /// the next key frame.
    ///
    /// # Errors
    /// The machine's: it cannot start a thread.
    pub fn start(
        source: MediaSource,
        tracks: Vec<OutboundTrack>,
        start: Instant,
        from: Duration,
        pauses: Vec<Pause>,
    ) -> Result<Player> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("player".into());
        let thread = thread.spawn(move || send(source, &tracks, start, from, &pauses, &stopped));
        let thread = thread.map_err(|e| Error::machine("cannot start a thread to send a file").because(e))?;
        Ok(Player { stop, thread })
    }

    /// Stops sending, and returns the statistics. Blocks until the thread has ended.
    ///
    /// # Errors
    /// The file could not be read to its end.
    pub fn stop(self) -> Result<SendStats> {
        drop(self.stop);
        self.thread.join().unwrap_or_else(|_| Err(Error::internal("the thread that sends a file panicked")))
    }
}

fn send(
    mut source: MediaSource,
    tracks: &[OutboundTrack],
    start: Instant,
    from: Duration,
    pauses: &[Pause],
    stopped: &Receiver<()>,
) -> Result<SendStats> {
    let mut stats = SendStats::default();
    let mut video_started = false;
    while let Some(next) = source.next_frame()? {
        if next.at < from {
            continue;
        }
        if pauses.iter().any(|p| p.kind == next.kind && (p.from..p.until).contains(&next.at)) {
            // Video resumes with a key frame.
            video_started &= next.kind != MediaKind::Video;
            continue;
        }
        video_started |= next.kind == MediaKind::Video && next.frame.key;
        if next.kind == MediaKind::Video && !video_started {
            continue;
        }
        // The thread sleeps by waiting for the stop signal.
        let wait = (start + next.at).saturating_duration_since(Instant::now());
        if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        let due = start + next.at;
        stats.frame(due.elapsed());
        // Sender reports use the due time, so a busy machine does not shift media in the recording.
        let same_kind = tracks.iter().filter(|track| track.label().kind == next.kind);
        same_kind.for_each(|track| track.send_captured(&next.frame, due));
    }
    Ok(stats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_frames_and_late_joins_are_counted() {
        let (mut one, mut all) = (SendStats::default(), SendStats::default());
        one.joined("alice", LATE_ACTION);
        one.joined("bob", LATE_ACTION + Duration::from_millis(500));
        [0, 61, 251].into_iter().for_each(|ms| one.frame(Duration::from_millis(ms)));
        all.merge(one.clone());
        all.merge(one);
        assert_eq!((all.frames, all.late, all.very_late), (6, 4, 2));
        assert_eq!(all.delays, ["bob joined 1.5 s late", "bob joined 1.5 s late"]);
        assert!(all.trouble.is_empty());
    }
}
