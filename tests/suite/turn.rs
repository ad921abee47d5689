//! Media through a real TURN server (coturn), where no other path is allowed.

use crate::support::dump::Dump;
use crate::support::needs::{needed, tools};
use crate::support::probe::probe;
use crate::support::server::TestServer;
use crate::support::studio::{finish, subscribed, track_path};
use crate::support::synthetic::label;
use crate::support::within;
use crate::support::{moment, pause};
use roombot::client::{Client, ClientConfig};
use roombot::record::destination::{Destination, Place};
use roombot::record::{RecordConfig, Recording};
use roombot::recording::manifest::Status;
use roombot::room::media::{Codec, Source};
use roombot::room::participant::Role;
use roombot::rtc::{OutboundTrack, Wake};
use roombot::server::parse_ice_server;
use roombot::signal::{JoinAs, Signal, SignalCommand, for_url};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::glass::Glass;

/// A TURN server on a port of its own; ends with its value.
struct Turn {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Turn {
    async fn start() -> Result<Turn, String> {
        tools(&["turnserver"])?;
        let dir = tempfile::tempdir().expect("a folder");
        let port = UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a free port").port();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let child = Command::new("turnserver")
            .args("-n --no-cli --no-tls --no-dtls --listening-ip=127.0.0.1 --relay-ip=127.0.0.1".split(' '))
            .args("--lt-cred-mech --user=u:p --realm=test --allow-loopback-peers --log-file=stdout".split(' '))
            .args([format!("--listening-port={port}"), format!("--userdb={}", path("users"))])
            .arg(format!("--pidfile={}", path("pid")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("coturn starts");
        let turn = Turn { child, port, _dir: dir };
        within(15, "coturn answers", turn.answers()).await;
        Ok(turn)
    }

    /// Waits until it answers a STUN binding request (RFC 8489).
    async fn answers(&self) {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let request: Vec<u8> = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
        let mut answer = [0; 1500];
        loop {
            let _ = socket.send_to(&request, ("127.0.0.1", self.port)).await;
            let heard = tokio::time::timeout(Duration::from_millis(100), socket.recv(&mut answer)).await;
            if matches!(heard, Ok(Ok(length)) if length >= 20 && answer[..2] == [1, 1]) {
                return;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_through_a_relay_is_recorded_whole() {
    needed!(tools(&["ffmpeg"]));
    crate::support::log();
    let turn = needed!(Turn::start().await);
    let server = TestServer::start_with(|config| {
        let address = format!("turn:u:p@127.0.0.1:{}", turn.port);
        config.ice_servers = vec![parse_ice_server(&address).expect("a TURN server")];
    })
    .await;
    let room = server.room("far");
    // What the sender says of its addresses.
    let offered: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = offered.clone();
    let glass = Glass::clear(for_url(&room).expect("a room")).saying(move |command| {
        match &command {
            SignalCommand::Signal { signal: Signal::Candidate(Some(candidate)), .. } => {
                noted.lock().expect("lock").push(candidate.candidate.clone());
            }
            SignalCommand::Signal { signal: Signal::Description(description), .. } => {
                let lines = description.sdp.lines().filter(|line| line.starts_with("a=candidate:"));
                noted.lock().expect("lock").extend(lines.map(str::to_owned));
            }
            _ => {}
        }
        Some(command)
    });
    let tracks = [
        OutboundTrack::new(label("cam", Source::Camera), Codec::Vp8),
        OutboundTrack::new(label("voice", Source::Mic), Codec::Opus),
    ];
    let how = |name: &str, role| JoinAs { name: name.into(), role, token: None };
    let config = ClientConfig { publish: tracks.to_vec(), relay_only: true, ..ClientConfig::default() };
    let alice = Client::join(&glass, how("Alice", Role::Participant), config).await.expect("joined");
    let dir = tempfile::tempdir().expect("a folder");
    let config = RecordConfig {
        destination: Destination { place: Place::In(dir.path().into()), room: "far".into(), url: room.clone() },
        how: how("Recorder", Role::Recorder),
        wake: Wake::default(),
        relay_only: true,
        impairment: None,
        files: None,
        join_for: None,
        reception: Default::default(),
        observer: None,
    };
    let recording = Recording::start(for_url(&room).expect("a room").as_ref(), config).await.expect("records");
    within(20, "both are connected through the relay", subscribed(&tracks.iter().collect::<Vec<_>>())).await;
    let timeline = recording.folder().join("timeline.jsonl");
    let connected = async {
        while !std::fs::read_to_string(&timeline).unwrap_or_default().contains(r#""state":"connected""#) {
            moment().await;
        }
    };
    within(20, "the recorder is connected", connected).await;
    pause(Duration::from_millis(200), "the other side of a handshake ends later").await;
    let (vp8, opus) = (Dump::load(Codec::Vp8), Dump::load(Codec::Opus));
    tokio::join!(vp8.play(&tracks[0], 0, 45, 0), opus.play(&tracks[1], 0, 150, 0));
    let summary = finish(recording).await;
    alice.leave().await;

    let offered = offered.lock().expect("lock").clone();
    assert!(!offered.is_empty() && offered.iter().all(|c| c.contains("typ relay")), "{offered:#?}");
    assert_eq!((summary.manifest.status, summary.manifest.tracks.len()), (Status::Complete, 2));
    for (index, track) in summary.manifest.tracks.iter().enumerate() {
        let sent = if track.codec == Codec::Opus { 150 } else { 45 };
        let seen = probe(&track_path(&summary, index));
        assert_eq!((seen.packets, seen.frames, seen.complaints.as_str()), (sent, sent, ""), "{track:?}");
        assert_eq!(track.lost, 0);
    }
}
