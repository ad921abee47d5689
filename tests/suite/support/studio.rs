//! A room in memory with senders of ours and a recorder in it.

use super::{moment, pause, within};
use roombot::client::{Client, ClientConfig};
use roombot::record::capture::Summary;
use roombot::record::destination::{Destination, Place};
use roombot::record::{Reception, RecordConfig, Recording};
use roombot::room::participant::Role;
use roombot::rtc::{Impairment, OutboundTrack, Wake};
use roombot::signal::memory::MemoryRoom;
use roombot::signal::{JoinAs, Signaller};
use roombot::transfer::store::Limits;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub struct Studio {
    pub room: MemoryRoom,
    pub dir: tempfile::TempDir,
    /// How much the recorder takes of files.
    pub limits: Limits,
    /// How much it receives.
    pub reception: Reception,
}

impl Studio {
    pub fn new() -> Studio {
        super::log();
        let limits = Limits { reserve: 0, ..Limits::default() };
        Studio {
            room: MemoryRoom::new("studio").expect("room"),
            dir: tempfile::tempdir().expect("folder"),
            limits,
            reception: Reception::default(),
        }
    }

    /// Somebody who sends `tracks`.
    pub async fn sender(&self, name: &str, tracks: Vec<OutboundTrack>) -> Client {
        self.sender_in(&self.room, name, tracks).await
    }

    /// The same through `room`.
    pub async fn sender_in(&self, room: &dyn Signaller, name: &str, tracks: Vec<OutboundTrack>) -> Client {
        let how = JoinAs { name: name.into(), role: Role::Participant, token: None };
        let config = ClientConfig { publish: tracks, ..ClientConfig::default() };
        within(5, "a sender joins", Client::join(room, how, config)).await.expect("joins")
    }

    pub async fn recorder(&self, impairment: Option<Impairment>) -> Recording {
        self.recorder_in(&self.room, impairment).await
    }

    /// A recorder that sees the room through `room`.
    pub async fn recorder_in(&self, room: &dyn Signaller, impairment: Option<Impairment>) -> Recording {
        let config = RecordConfig {
            destination: Destination {
                place: Place::In(self.dir.path().into()),
                room: "studio".into(),
                url: "memory:".into(),
            },
            how: JoinAs { name: "Recorder".into(), role: Role::Recorder, token: None },
            wake: Wake::default(),
            relay_only: false,
            impairment,
            files: Some(self.limits.clone()),
            join_for: None,
            reception: self.reception.clone(),
            observer: None,
        };
        within(5, "the recorder joins", Recording::start(room, config)).await.expect("records")
    }
}

/// Waits until `tracks` are being sent (each has been asked for a key frame, which a new connection does), and the receiver is
/// through with its handshake too.
pub async fn subscribed(tracks: &[&OutboundTrack]) {
    for track in tracks {
        let mut asked = track.key_frame_requests();
        within(10, "a receiver connects", asked.wait_for(|n| *n > 0)).await.expect("track");
    }
    pause(std::time::Duration::from_millis(200), "the other side of a handshake ends later").await;
}

/// Ends the recording when its tracks no longer grow, so that what is under way arrives. A sender that goes on is not waited for.
pub async fn finish(recording: Recording) -> Summary {
    let tracks = recording.folder().join("tracks");
    let size = || {
        let files = std::fs::read_dir(&tracks).into_iter().flatten().flatten();
        files.filter_map(|file| Some(file.metadata().ok()?.len())).sum::<u64>()
    };
    let begun = Instant::now();
    let (mut last, mut since) = (size(), begun);
    while since.elapsed() < Duration::from_millis(400) && begun.elapsed() < Duration::from_secs(3) {
        moment().await;
        let now = size();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    within(10, "the recording ends", recording.finish(roombot::room::end::EndReason::Stopped)).await.expect("a summary")
}

/// The path of a track file.
pub fn track_path(summary: &Summary, index: usize) -> PathBuf {
    summary.folder.join("tracks").join(&summary.manifest.tracks[index].file)
}
