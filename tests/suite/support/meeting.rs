//! An honest participant who is recorded over a real room server, while others do what they like.

use super::dump::Dump;
use super::glass::Glass;
use super::probe::probe;
use super::server::TestServer;
use super::studio::{finish, subscribed, track_path};
use super::synthetic::label;
use super::within;
use roombot::client::{Client, ClientConfig, FileSend, Sending};
use roombot::record::capture::Summary;
use roombot::record::destination::{Destination, Place};
use roombot::record::{RecordConfig, Recording};
use roombot::room::media::{Codec, Source};
use roombot::room::participant::Role;
use roombot::rtc::{OutboundTrack, Wake};
use roombot::signal::{JoinAs, Signal, SignalCommand, SignalEvent, Signaller, for_url};
use roombot::transfer::store::Limits;
use std::future::Future;
use std::sync::{Arc, Mutex};

/// What passed between the honest participant and the recorder.
#[derive(Debug, Clone, Default)]
pub struct Overheard {
    pub by_honest: Vec<Signal>,
    pub by_recorder: Vec<Signal>,
}

pub struct Meeting {
    _server: TestServer,
    pub room: String,
    pub overheard: Arc<Mutex<Overheard>>,
    dir: tempfile::TempDir,
    alice: Client,
    tracks: [OutboundTrack; 2],
    recording: Recording,
}

impl Meeting {
    pub async fn start() -> Meeting {
        Meeting::start_seen(|room| room).await
    }

    /// With a recorder that takes so much of files.
    pub async fn start_taking(limits: Limits) -> Meeting {
        Meeting::start_with(limits, |room| room).await
    }

    /// With a recorder that sees the room through what `seen` makes of it.
    pub async fn start_seen(seen: impl FnOnce(Box<dyn Signaller>) -> Box<dyn Signaller>) -> Meeting {
        Meeting::start_with(Limits { reserve: 0, ..Limits::default() }, seen).await
    }

    async fn start_with(files: Limits, seen: impl FnOnce(Box<dyn Signaller>) -> Box<dyn Signaller>) -> Meeting {
        super::log();
        // The server's own limits are tested elsewhere; here the recorder must hold.
        let server = TestServer::start_with(|config| {
            config.limits.messages_per_second = 1_000_000;
            config.limits.queue_messages = 100_000;
            config.limits.queue_bytes = 1 << 30;
        })
        .await;
        let room = server.room("meeting");
        let overheard: Arc<Mutex<Overheard>> = Arc::default();
        let (said, heard) = (overheard.clone(), overheard.clone());
        let glass = Glass::clear(for_url(&room).expect("a room"))
            .saying(move |command| {
                if let SignalCommand::Signal { signal, .. } = &command {
                    said.lock().expect("lock").by_honest.push(signal.clone());
                }
                Some(command)
            })
            .hearing(move |event| {
                // Of others than the recorder there is nothing to hear for who is there for its sake only.
                if let SignalEvent::Signal { signal, .. } = &event {
                    heard.lock().expect("lock").by_recorder.push(signal.clone());
                }
                Some(event)
            });
        let tracks = [
            OutboundTrack::new(label("cam", Source::Camera), Codec::Vp8),
            OutboundTrack::new(label("voice", Source::Mic), Codec::Opus),
        ];
        let how = |name: &str, role| JoinAs { name: name.into(), role, token: None };
        let config =
            ClientConfig { publish: tracks.to_vec(), only: vec!["Recorder".into()], ..ClientConfig::default() };
        let alice = Client::join(&glass, how("Alice", Role::Participant), config).await.expect("joined");
        let dir = tempfile::tempdir().expect("a folder");
        let config = RecordConfig {
            destination: Destination { place: Place::In(dir.path().into()), room: "meeting".into(), url: room.clone() },
            how: how("Recorder", Role::Recorder),
            wake: Wake::default(),
            relay_only: false,
            impairment: None,
            files: Some(files),
            join_for: None,
            reception: Default::default(),
            observer: None,
        };
        let view = seen(for_url(&room).expect("a room"));
        let recording = within(10, "the recorder joins", Recording::start(view.as_ref(), config)).await;
        let recording = recording.expect("records");
        subscribed(&[&tracks[0], &tracks[1]]).await;
        Meeting { _server: server, room, overheard, dir, alice, tracks, recording }
    }

    /// Sends a file of the honest participant's to the recorder.
    pub fn send(&self, path: &std::path::Path) -> Sending {
        self.alice.send_file(self.recording.me(), FileSend::new(path))
    }

    /// The folder around the recording's own.
    pub fn parent(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Plays for as long as `trouble` lasts, but at least two seconds; ends the recording and checks that the honest
    /// participant's tracks are whole. The meeting's folder must be kept for as long as the summary's files are looked at.
    pub async fn endure(self, trouble: impl Future<Output = ()>) -> (Summary, tempfile::TempDir) {
        let [camera, voice] = &self.tracks;
        let (vp8, opus) = (Dump::load(Codec::Vp8), Dump::load(Codec::Opus));
        let (mut pictures, mut sounds) = (0, 0);
        let least = super::pause(std::time::Duration::from_secs(2), "the honest tracks have some length");
        let trouble = async {
            tokio::join!(least, within(60, "the trouble ends", trouble));
        };
        tokio::select! {
            () = vp8.play_by(0..usize::MAX, 0, |frame, _| { camera.send(&frame); pictures += 1 }) => {}
            () = opus.play_by(0..usize::MAX, 0, |frame, _| { voice.send(&frame); sounds += 1 }) => {}
            () = trouble => {}
        }
        let summary = finish(self.recording).await;
        self.alice.leave().await;
        let mut found = 0;
        for (index, track) in summary.manifest.tracks.iter().enumerate().filter(|(_, t)| t.participant == "alice") {
            let sent = if track.codec == Codec::Opus { sounds } else { pictures };
            let seen = probe(&track_path(&summary, index));
            assert_eq!((seen.packets, seen.frames, seen.complaints.as_str()), (sent, sent, ""), "{track:?}");
            assert_eq!((track.lost, track.gaps.len(), track.finished), (0, 0, true), "{track:?}");
            found += 1;
        }
        assert_eq!(found, 2, "{:#?}", summary.manifest.tracks);
        let timeline = std::fs::read_to_string(summary.folder.join("timeline.jsonl")).expect("a timeline");
        let states: Vec<&str> = timeline
            .lines()
            .filter(|line| line.contains("ice-state") && line.contains(r#""participant":"alice""#))
            .filter_map(|line| line.split(r#""state":""#).nth(1)?.split('"').next())
            .collect();
        assert!(!states.contains(&"disconnected") && !states.contains(&"failed"), "{states:?}");
        (summary, self.dir)
    }
}
