//! Every count that a sender can provoke, through a whole recording: what is beyond a limit or of no use is named, the recording is partial,
//! and each packet that was sent is in a frame or in a count.

use crate::support::bot::Bot;
use crate::support::forwarding::Forwarding;
use crate::support::glass::Glass;
use crate::support::recorder::{PATIENCE, begun};
use crate::support::server::TestServer;
use crate::support::studio::{Studio, finish, subscribed};
use crate::support::synthetic::{Vp8Sender, label, packet};
use crate::support::{machine, pause, promptly, within};
use bytes::Bytes;
use roombot::client::{Client, ClientConfig};
use roombot::record::Reception;
use roombot::recording::manifest::{Loss, Manifest, Status};
use roombot::room::media::{Codec, Frame, Source};
use roombot::room::participant::Role;
use roombot::rtc::OutboundTrack;
use roombot::rtc::subscriber::{FrameTransform, StreamInfo};
use roombot::signal::{JoinAs, SignalCommand, for_url};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn camera() -> OutboundTrack {
    OutboundTrack::new(label("cam", Source::Camera), Codec::Vp8)
}

/// Sends frames for so long, 25 a second; returns how many packets.
async fn plays(track: &OutboundTrack, sender: &mut Vp8Sender, seconds: u64) -> u64 {
    let mut sent = 0;
    let mut tick = tokio::time::interval(Duration::from_millis(40));
    for _ in 0..25 * seconds {
        tick.tick().await;
        let packets = sender.next();
        sent += packets.len() as u64;
        track.send_packets(packets);
    }
    sent
}

/// The law: every packet is in a frame or in a count; and nothing that was sent is missing. The recording is partial for this reason.
fn obeys(manifest: &Manifest, sent: u64, cause: &str) -> Loss {
    let mut arrived = 0;
    for track in &manifest.tracks {
        assert_eq!(track.arrived, track.in_frames + track.dropped.values().sum::<u64>(), "{track:#?}");
        arrived += track.arrived;
    }
    for stream in &manifest.unrecorded {
        assert_eq!(stream.packets, stream.dropped.values().sum::<u64>(), "{stream:#?}");
        arrived += stream.packets;
    }
    // What the network lost was repeated, or is missing in earnest.
    let lost: u64 = manifest.tracks.iter().map(|track| track.lost).sum();
    assert!(arrived + lost >= sent, "{arrived} and {lost} of {sent}: {manifest:#?}");
    assert_eq!(manifest.status, Status::Partial, "{manifest:#?}");
    let loss = manifest.reasons.iter().find(|loss| loss.cause == cause);
    loss.unwrap_or_else(|| panic!("no {cause}: {:#?}", manifest.reasons)).clone()
}

/// A recording of one camera with these limits, where `sends` sends it and says how many packets.
async fn recorded(reception: Reception, sends: impl AsyncFnOnce(&OutboundTrack) -> u64) -> (Manifest, u64) {
    let mut studio = Studio::new();
    studio.reception = reception;
    let track = camera();
    let recording = studio.recorder(None).await;
    let alice = studio.sender("Alice", vec![track.clone()]).await;
    subscribed(&[&track]).await;
    let sent = sends(&track).await;
    let manifest = finish(recording).await.manifest;
    alice.leave().await;
    (manifest, sent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_that_find_the_inbox_full_are_counted() {
    let reception = Reception { inbox_bytes: 60_000, ..Reception::default() };
    let (manifest, sent) = recorded(reception, async |track| {
        let mut sender = Vp8Sender::default();
        let mut sent = plays(track, &mut sender, 1).await;
        // More than the inbox holds, between two looks of the recorder.
        sender.packets = 400;
        let burst = sender.next();
        sent += burst.len() as u64;
        track.send_packets(burst);
        (sender.packets, sender.key_every) = (4, 1);
        sent + plays(track, &mut sender, 1).await
    })
    .await;
    let loss = obeys(&manifest, sent, "inbox-full");
    assert!(loss.text.ends_with("not recorded: the recorder could not keep up"), "{loss:?}");
    assert_eq!(loss.packets, manifest.tracks[0].dropped["inbox-full"]);
    assert!(manifest.warnings.iter().any(|text| text.starts_with("capture fell behind")), "{:?}", manifest.warnings);
}

/// A key is missing for some frames.
struct Keyless(u32);

impl FrameTransform for Keyless {
    fn transform(&mut self, _: &StreamInfo, _: &mut Frame) -> Result<(), String> {
        self.0 += 1;
        if self.0.is_multiple_of(5) { Err("no key".to_owned()) } else { Ok(()) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_cannot_be_decrypted_are_counted() {
    let transforms = |key: &str, _: &StreamInfo| -> Option<Box<dyn FrameTransform>> {
        (key == "alice").then(|| Box::new(Keyless(0)) as Box<dyn FrameTransform>)
    };
    let reception = Reception { transforms: Some(Arc::new(transforms)), ..Reception::default() };
    let (manifest, sent) = recorded(reception, async |track| {
        let mut sender = Vp8Sender { key_every: 1, ..Vp8Sender::default() };
        plays(track, &mut sender, 2).await
    })
    .await;
    let loss = obeys(&manifest, sent, "transform");
    assert_eq!(loss.packets, manifest.tracks[0].dropped["transform"]);
    assert!(manifest.tracks[0].frames >= 35 && loss.packets >= 32, "{:#?}", manifest.tracks[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_and_files_beyond_the_limits_are_counted() {
    let cases = [
        (Reception { streams: 1, ..Reception::default() }, "too many streams"),
        (Reception { track_files: 1, ..Reception::default() }, "the recording has as many track files as it may have"),
    ];
    for (reception, reason) in cases {
        let mut studio = Studio::new();
        studio.reception = reception;
        let tracks = [camera(), OutboundTrack::new(label("slides", Source::Screen), Codec::Vp8)];
        let recording = studio.recorder(None).await;
        let alice = studio.sender("Alice", tracks.to_vec()).await;
        subscribed(&[&tracks[0], &tracks[1]]).await;
        let mut senders = [Vp8Sender::default(), Vp8Sender::default()];
        let [first, second] = &mut senders;
        let (one, two) = tokio::join!(plays(&tracks[0], first, 2), plays(&tracks[1], second, 2));
        let manifest = finish(recording).await.manifest;
        alice.leave().await;
        let loss = obeys(&manifest, one + two, "not-recorded");
        assert!(loss.text.ends_with(reason), "{loss:?}");
        assert_eq!((manifest.tracks.len(), manifest.tracks[0].frames), (1, 50), "{manifest:#?}");
        assert_eq!(manifest.unrecorded.iter().map(|stream| stream.packets).max(), Some(200), "{manifest:#?}");
    }
}

/// Somebody who is connected to the recorder only.
async fn joins(room: &dyn roombot::signal::Signaller, name: &str, track: &OutboundTrack) -> Client {
    let how = JoinAs { name: name.into(), role: Role::Participant, token: None };
    let config =
        ClientConfig { publish: vec![track.clone()], only: vec!["Recorder".into()], ..ClientConfig::default() };
    within(10, "a sender joins", Client::join(room, how, config)).await.expect("joins")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_is_too_large_and_a_stream_that_begins_too_late_are_counted_by_the_real_recorder() {
    // A thousand packets have to arrive in half a second.
    let _busy = machine::alone().await;
    let (server, dir) = (TestServer::start().await, tempfile::tempdir().expect("a folder"));
    let room = server.room("counts");
    let recorder = Bot::record(&room, dir.path(), &["--json", "--as", "Recorder"]);
    begun(dir.path()).await;
    let (frank, grace) = (camera(), camera());
    let clear = for_url(&room).expect("a room");
    // Grace says of nothing what it is: the recorder waits half a second for her word.
    let nameless = Glass::clear(for_url(&room).expect("a room"))
        .saying(|command| (!matches!(command, SignalCommand::Tracks(_))).then_some(command));
    let there = [joins(clear.as_ref(), "Frank", &frank).await, joins(&nameless, "Grace", &grace).await];
    subscribed(&[&frank, &grace]).await;

    let mut early = Vp8Sender { packets: 2, ..Vp8Sender::default() };
    let mut hers = 0;
    for _ in 0..1000 {
        let packets = early.next();
        hers += packets.len() as u64;
        grace.send_packets(packets);
        if early.frame.is_multiple_of(100) {
            tokio::task::yield_now().await;
        }
    }
    let mut sender = Vp8Sender::default();
    let mut his = plays(&frank, &mut sender, 1).await;
    let size = 8000;
    for at in 0..size {
        let start: &[u8] = if at == 0 { &[0x10, 0x11, 0x02, 0x00] } else { &[0x00] };
        let payload = [start, &[7; 1100]].concat();
        let one = packet(sender.sequence, sender.timestamp, at + 1 == size, Bytes::from(payload));
        frank.send_packets(vec![one]);
        sender.sequence = sender.sequence.wrapping_add(1);
        his += 1;
        if at % 50 == 0 {
            pause(Duration::from_millis(20), "no faster than sockets can take it").await;
        }
    }
    sender.timestamp = sender.timestamp.wrapping_add(sender.ticks);
    (sender.frame, early.key_every) = (0, 1);
    let (more, too) = tokio::join!(plays(&frank, &mut sender, 2), plays(&grace, &mut early, 2));
    pause(Duration::from_millis(500), "what is under way arrives").await;
    recorder.interrupt();
    let outcome = recorder.ended(PATIENCE).await;
    assert_eq!(outcome.code, Some(7), "{outcome:?}");
    let json: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let manifest = Manifest::load(Path::new(json["folder"].as_str().expect("a folder"))).expect("a manifest");
    let sent = his + more + hers + too;
    let large = obeys(&manifest, sent, "too-large");
    assert!(large.text.ends_with("not recorded: frame is too large") && large.packets > 7000, "{large:?}");
    assert_eq!(large.participant, "frank");
    let early = obeys(&manifest, sent, "early-overflow");
    assert!(early.text.ends_with("not recorded: too much before the stream was announced"), "{early:?}");
    assert_eq!((early.participant.as_str(), early.source), ("grace", Some(Source::Camera)));
    assert!(outcome.stderr.contains(&early.text) && outcome.stderr.contains(&large.text), "{}", outcome.stderr);
    for one in there {
        one.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_sends_and_nobody_owns_is_counted() {
    let studio = Studio::new();
    let (hers, nobodys) = (camera(), OutboundTrack::new(label("ghost", Source::Screen), Codec::Vp8));
    // The recorder takes who joins for a server that forwards Bob's camera, and something that is nobody's.
    let room = Forwarding::of(studio.room.clone(), "Bob", label("cam", Source::Camera));
    let recording = studio.recorder_in(&room, None).await;
    let server = studio.sender("Server", vec![hers.clone(), nobodys.clone()]).await;
    subscribed(&[&hers, &nobodys]).await;
    let mut senders = [Vp8Sender::default(), Vp8Sender::default()];
    let [first, second] = &mut senders;
    let (one, two) = tokio::join!(plays(&hers, first, 7), plays(&nobodys, second, 7));
    let mut status = recording.status();
    let told = |status: &roombot::record::status::Status| {
        status.warnings.iter().any(|text| text.starts_with("the room's server, stream "))
    };
    promptly(5, "it is told while it comes", status.wait_for(told)).await.expect("a recorder");
    let manifest = finish(recording).await.manifest;
    server.leave().await;
    let loss = obeys(&manifest, one + two, "not-recorded");
    assert!(loss.text.ends_with("nothing could be begun: no participant owns it"), "{loss:?}");
    assert_eq!((manifest.reasons.len(), loss.packets, loss.participant.as_str()), (1, two, ""), "{manifest:#?}");
    let tracks: Vec<_> = manifest.tracks.iter().map(|track| (track.participant.as_str(), track.frames)).collect();
    assert_eq!(tracks, [("bob", 175)]);
}

/// A recorder whose disk takes no file larger than this, in KiB.
fn on_a_small_disk(room: &str, out: &Path, kib: u32) -> Bot {
    let mut command = std::process::Command::new("sh");
    // A process that does not ignore the signal ends by it.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kib * 2);
    command.args(["-c", &script, env!("CARGO_BIN_EXE_roombot"), "record", room, "--json", "--as", "Recorder"]);
    command.args(["--out", out.to_str().expect("UTF-8")]);
    Bot::spawn(command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_disk_did_not_take_stays_lost_when_the_next_start_finishes_the_file() {
    let (server, dir) = (TestServer::start().await, tempfile::tempdir().expect("a folder"));
    let room = server.room("full");
    let recorder = on_a_small_disk(&room, dir.path(), 100);
    begun(dir.path()).await;
    let track = camera();
    let alice = joins(for_url(&room).expect("a room").as_ref(), "Alice", &track).await;
    subscribed(&[&track]).await;
    // 60 KB a second.
    let mut sender = Vp8Sender { key_every: 5, ..Vp8Sender::default() };
    let sent = plays(&track, &mut sender, 5).await;
    pause(Duration::from_millis(500), "what is under way arrives").await;
    recorder.interrupt();
    let outcome = recorder.ended(PATIENCE).await;
    alice.leave().await;
    assert_eq!(outcome.code, Some(4), "{outcome:?}");
    let json: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let folder = Path::new(json["folder"].as_str().expect("a folder"));
    let before = Manifest::load(folder).expect("a manifest");
    assert_eq!(before.status, Status::Recording, "{before:#?}");
    let next = Bot::record(&room, dir.path(), &["--quiet", "--for", "1s"]).ended(PATIENCE).await;
    assert_eq!(next.code, Some(0), "{next:?}");
    let manifest = Manifest::load(folder).expect("a manifest");
    let loss = obeys(&manifest, sent, "disk");
    let track = &manifest.tracks[0];
    assert!(track.finished && manifest.ended == before.ended, "{track:#?}");
    // What is in the file is what is said to be in it.
    let scanned = roombot::container::matroska::scan(&folder.join("tracks").join(&track.file)).expect("a file");
    assert_eq!((scanned.frames, track.frames), (track.frames, track.in_frames / 4), "{track:#?}");
    assert_eq!(
        (track.frames + track.unwritten_frames, loss.packets),
        (sent / 4, track.unwritten_frames * 4),
        "{track:#?}"
    );
    assert_eq!(manifest.reasons.len(), 1, "{:#?}", manifest.reasons);
}
