//! Plays a stamped file into published tracks in real time, as from a common beginning: whoever comes later goes on where the others are. One
//! thread a file; it never drops a frame, and counts those that are late.

use crate::error::{Error, Result};
use crate::media::MediaSource;
use crate::room::media::MediaKind;
use crate::rtc::OutboundTrack;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Later than this, a frame counts as late, and as very late.
pub(super) const LATE: Duration = Duration::from_millis(60);
pub(super) const VERY_LATE: Duration = Duration::from_millis(250);

/// Later than this, what somebody does is not what the scenario says.
pub(super) const TARDY: Duration = Duration::from_secs(1);

/// When nothing of one kind is sent: a microphone or camera that is off. The source goes on meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    pub kind: MediaKind,
    pub from: Duration,
    pub until: Duration,
}

/// What was played.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Played {
    pub frames: u64,
    pub late: u64,
    /// Counted as late too.
    pub very_late: u64,
    /// What else this machine was too busy for.
    pub trouble: Vec<String>,
    /// The same, where it makes nothing better, as late frames do: it counts only where something is not met.
    pub excuses: Vec<String>,
}

impl Played {
    /// One more frame went out, so much after its time.
    pub fn note(&mut self, behind: Duration) {
        self.frames += 1;
        self.late += u64::from(behind > LATE);
        self.very_late += u64::from(behind > VERY_LATE);
    }

    /// Somebody is in the room, so much after their time.
    pub fn entered(&mut self, who: &str, behind: Duration) {
        if behind > TARDY {
            self.excuses.push(format!("{who} was in the room {:.1} s late", behind.as_secs_f64()));
        }
    }

    /// Adds what somebody else played.
    pub fn add(&mut self, more: Played) {
        self.frames += more.frames;
        self.late += more.late;
        self.very_late += more.very_late;
        self.trouble.extend(more.trouble);
        self.excuses.extend(more.excuses);
    }
}

/// A file that is being played; dropping it stops the playing.
pub struct Player {
    stop: Sender<()>,
    thread: JoinHandle<Result<Played>>,
}

impl Player {
    /// Plays `source`, whose first frame was due at `start`, from `from` on (since `start`; pictures from the next key frame).
    ///
    /// # Errors
    /// The machine has no thread left.
    pub fn play(
        source: MediaSource,
        tracks: Vec<OutboundTrack>,
        start: Instant,
        from: Duration,
        pauses: Vec<Pause>,
    ) -> Result<Player> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("player".into());
        let thread = thread.spawn(move || play(source, &tracks, start, from, &pauses, &stopped));
        let thread = thread.map_err(|e| Error::machine("cannot start a thread to play a file").because(e))?;
        Ok(Player { stop, thread })
    }

    /// Stops, and says what was played.
    ///
    /// # Errors
    /// What the file said when it could not be read any further.
    pub fn stop(self) -> Result<Played> {
        drop(self.stop);
        self.thread.join().unwrap_or_else(|_| Err(Error::us("the playing of a file broke off")))
    }
}

fn play(
    mut source: MediaSource,
    tracks: &[OutboundTrack],
    start: Instant,
    from: Duration,
    pauses: &[Pause],
    stopped: &Receiver<()>,
) -> Result<Played> {
    let mut played = Played::default();
    let mut begun = false;
    while let Some(next) = source.next_frame()? {
        if next.at < from {
            continue;
        }
        if pauses.iter().any(|p| p.kind == next.kind && (p.from..p.until).contains(&next.at)) {
            // Pictures begin again with a key frame.
            begun &= next.kind != MediaKind::Video;
            continue;
        }
        begun |= next.kind == MediaKind::Video && next.frame.key;
        if next.kind == MediaKind::Video && !begun {
            continue;
        }
        // Waiting for the stop is how this thread sleeps.
        let wait = (start + next.at).saturating_duration_since(Instant::now());
        if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        let due = start + next.at;
        played.note(due.elapsed());
        // Reports say when it was due, so what a busy machine sends late does not lie elsewhere in the recording.
        let meant = tracks.iter().filter(|track| track.label().kind == next.kind);
        meant.for_each(|track| track.send_taken(&next.frame, due));
    }
    Ok(played)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_late_is_excused_and_late_frames_are_counted() {
        let (mut one, mut all) = (Played::default(), Played::default());
        one.entered("alice", TARDY);
        one.entered("bob", TARDY + Duration::from_millis(500));
        [0, 61, 251].into_iter().for_each(|ms| one.note(Duration::from_millis(ms)));
        all.add(one.clone());
        all.add(one);
        assert_eq!((all.frames, all.late, all.very_late), (6, 4, 2));
        assert_eq!(all.excuses, ["bob was in the room 1.5 s late", "bob was in the room 1.5 s late"]);
        assert!(all.trouble.is_empty());
    }
}
