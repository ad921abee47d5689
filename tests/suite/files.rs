//! Files over data channels: what arrives is what was sent, whatever happens on the way.

use crate::support::bot::{self, Bot};
use crate::support::breaker::Breaker;
use crate::support::cargo::{below, file, only, received, sha256};
use crate::support::dump::Dump;
use crate::support::needs::{needed, tools};
use crate::support::probe::probe;
use crate::support::server::TestServer;
use crate::support::studio::{Studio, finish, subscribed, track_path};
use crate::support::synthetic::{Vp8Sender, label};
use crate::support::{moment, pause};
use crate::support::{pair, within};
use bytes::BytesMut;
use roombot::client::event::RoomEvent;
use roombot::client::{Client, ClientConfig, FileSend, IncomingFiles, Outcome, Sending};
use roombot::record::capture::Summary;
use roombot::recording::manifest::{FileState, Manifest};
use roombot::recording::recover::recover;
use roombot::recording::timeline::{Event, TimelineReader, TransferState};
use roombot::room::media::{Codec, Source};
use roombot::room::participant::Role;
use roombot::rtc::{ChannelSpec, Inbound, OutboundTrack, Wake};
use roombot::signal::JoinAs;
use roombot::transfer::store::FileStore;
use roombot::transfer::{FileReport, FileStatus};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_every_size_arrive_in_both_orders() {
    let studio = Studio::new();
    let alice = studio.sender("Alice", vec![]).await;
    let recording = studio.recorder(None).await;
    let out = tempfile::tempdir().expect("a folder");
    let mut sendings = Vec::new();
    let sizes = [0, 1, 1199, 65_536, 65_537, 1 << 20, 9_999_999];
    for (n, size) in sizes.into_iter().enumerate() {
        for ordered in [true, false] {
            let name = format!("{size}-{ordered}.bin");
            let path = file(out.path(), &name, size, n as u64);
            let sending = alice.send_file(recording.me(), FileSend { ordered, ..FileSend::new(&path) });
            sendings.push((name, path, sending));
        }
    }
    for (name, _, sending) in &mut sendings {
        let outcome = within(30, name, sending.outcome()).await;
        assert!(matches!(outcome, Outcome::Received { .. }), "{name}: {outcome:?}");
    }
    let summary = finish(recording).await;
    for (name, path, _) in &sendings {
        received(&summary, &format!("files/alice/{name}"), path);
    }
    assert_eq!(below(&summary.folder.join("files")).len(), sendings.len());
}

/// Plays a camera into `track` until the other future is done; how many pictures.
async fn playing(track: &OutboundTrack, until: impl Future<Output = ()>) -> u64 {
    let mut pictures = 0;
    let dump = Dump::load(Codec::Vp8);
    tokio::select! {
        () = dump.play_by(0..usize::MAX, 0, |frame, _| { track.send(&frame); pictures += 1 }) => {}
        () = until => {}
    }
    pictures
}

/// Every picture that was sent is in the file, and nothing was lost.
fn whole(summary: &Summary, participant: &str, pictures: u64) {
    let index = summary.manifest.tracks.iter().position(|t| t.participant == participant).expect("a track");
    let track = &summary.manifest.tracks[index];
    assert_eq!((track.frames, track.lost, track.gaps.len()), (pictures, 0, 0), "{track:?}");
    let seen = probe(&track_path(summary, index));
    assert_eq!((seen.frames, seen.complaints.as_str()), (pictures, ""), "{participant}");
}

fn camera() -> OutboundTrack {
    OutboundTrack::new(label("cam", Source::Camera), Codec::Vp8)
}

/// Waits until all of them have it.
async fn all_received(sendings: &mut [(String, PathBuf, Sending)]) {
    for (name, _, sending) in sendings {
        let outcome = within(60, name, sending.outcome()).await;
        assert!(matches!(outcome, Outcome::Received { .. }), "{name}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_cost_nobody_a_frame() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let cameras = [camera(), camera(), camera()];
    let mut people = Vec::new();
    for (name, camera) in ["Alice", "Bob", "Carol"].iter().zip(&cameras) {
        people.push(studio.sender(name, vec![camera.clone()]).await);
    }
    let recording = studio.recorder(None).await;
    subscribed(&cameras.iter().collect::<Vec<_>>()).await;
    let out = tempfile::tempdir().expect("a folder");
    let path = file(out.path(), "big.bin", 100_000_000, 1);
    let mut sending = people[0].send_file(recording.me(), FileSend::new(&path));
    let done = tokio::sync::watch::Sender::new(false);
    let (mut one, mut two, mut three) = (done.subscribe(), done.subscribe(), done.subscribe());
    let over = async |done: &mut tokio::sync::watch::Receiver<bool>| {
        let _ = done.wait_for(|done| *done).await;
    };
    let send = async {
        let outcome = within(50, "the file", sending.outcome()).await;
        assert!(matches!(outcome, Outcome::Received { .. }), "{outcome:?}");
        done.send_replace(true);
    };
    let (alice, bob, carol, ()) = tokio::join!(
        playing(&cameras[0], over(&mut one)),
        playing(&cameras[1], over(&mut two)),
        playing(&cameras[2], over(&mut three)),
        send
    );
    let summary = finish(recording).await;
    received(&summary, "files/alice/big.bin", &path);
    for (name, pictures) in [("alice", alice), ("bob", bob), ("carol", carol)] {
        whole(&summary, name, pictures);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_files_from_four_people_at_once() {
    let studio = Studio::new();
    let mut people = Vec::new();
    for name in ["Alice", "Bob", "Carol", "Dave"] {
        people.push((name, studio.sender(name, vec![]).await));
    }
    let recording = studio.recorder(None).await;
    let out = tempfile::tempdir().expect("a folder");
    let mut sendings = Vec::new();
    for n in 0..5 {
        for (who, session) in &people {
            let name = format!("{}-{n}.bin", who.to_lowercase());
            let path = file(out.path(), &name, 700_000 + n * 150_001, n as u64);
            let sending = session.send_file(recording.me(), FileSend { ordered: n % 2 == 0, ..FileSend::new(&path) });
            sendings.push((format!("files/{}/{name}", who.to_lowercase()), path, sending));
        }
    }
    all_received(&mut sendings).await;
    let summary = finish(recording).await;
    for (name, path, _) in &sendings {
        received(&summary, name, path);
    }
    assert_eq!(summary.manifest.files.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_in_the_middle_is_gone_on_from() {
    let studio = Studio::new();
    let breaker = Breaker::new(&studio.room);
    let alice = studio.sender_in(&breaker, "Alice", vec![]).await;
    let recording = studio.recorder_in(&breaker, None).await;
    let out = tempfile::tempdir().expect("a folder");
    let size = 60_000_000;
    let mut sendings = Vec::new();
    for ordered in [true, false] {
        let name = format!("{ordered}.bin");
        let path = file(out.path(), &name, size, 1);
        let sending = alice.send_file(recording.me(), FileSend { ordered, ..FileSend::new(&path) });
        let half = size as u64 / 2;
        within(30, "half of it", sending.progress().wait_for(|p| p.sent >= half)).await.expect("still sending");
        breaker.cut().await;
        // One after the other: beside each other, one may be through before the other is at its half.
        let mut one = [(name, path, sending)];
        all_received(&mut one).await;
        assert_eq!(one[0].2.progress().borrow().attempts, 2, "{}", one[0].0);
        sendings.extend(one);
    }
    let summary = finish(recording).await;
    let timeline = TimelineReader::open(&summary.folder.join("timeline.jsonl")).expect("a timeline");
    let events: Vec<Event> = timeline.map(|entry| entry.event).collect();
    for (name, path, _) in &sendings {
        received(&summary, &format!("files/alice/{name}"), path);
        let steps: Vec<(TransferState, u64)> = events
            .iter()
            .filter_map(|event| match event {
                Event::File { name: of, status, bytes, .. } if of == name => Some((*status, *bytes)),
                _ => None,
            })
            .collect();
        let [
            (TransferState::Started, 0),
            (TransferState::Incomplete, kept),
            (TransferState::Started, from),
            (TransferState::Received, _),
        ] = steps[..]
        else {
            panic!("{name}: {steps:?}");
        };
        // What was under way is sent again: the window, and what the sender had put before it.
        assert_eq!(kept, from, "{name}");
        assert!(from >= size as u64 / 2 - (8 << 20), "{name}: {steps:?}");
    }
    assert_eq!(summary.manifest.files.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stalls_loses_nothing() {
    let track = camera();
    let (mut a, mut b) = pair::connect(vec![track.clone()], Wake::default(), None).await;
    within(10, "a connects", a.connected()).await;
    let open = async |ordered| {
        let spec = ChannelSpec { label: "x".into(), protocol: "p".into(), ordered };
        a.peer.open_channel(spec).await.opened().await.expect("open")
    };
    let (stalled, other) = (open(true).await, open(true).await);
    let (theirs, others) = (within(10, "b", b.channel("p")).await, within(10, "b", b.channel("p")).await);
    // More messages than any queue on the way holds, and more bytes than all of them together.
    const MESSAGES: u32 = 4000;
    let message = |n: u32| [n.to_be_bytes().to_vec(), vec![n as u8; 10_000]].concat();
    let send = tokio::spawn(async move {
        for n in 0..MESSAGES {
            assert!(stalled.send(BytesMut::from(&message(n)[..])).await);
        }
        stalled
    });
    // The camera is not held up meanwhile: every packet is there when the reader wakes.
    let mut sender = Vp8Sender::default();
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..150 {
        tick.tick().await;
        track.send_packets(sender.next());
    }
    pause(Duration::from_millis(300), "all of it is under way: what does not come now is lost").await;
    let mut packets = Vec::new();
    assert_eq!(b.peer.inbox().drain(&mut packets), 0, "the inbox dropped packets");
    assert_eq!(packets.iter().filter(|item| matches!(item, Inbound::Rtp(_))).count(), 600);
    assert!(!send.is_finished(), "{MESSAGES} messages found room somewhere: the test proves nothing");
    for n in 0..MESSAGES {
        let came = within(10, "a message", theirs.recv()).await.expect("open");
        assert_eq!((came.text, &came.data[..]), (false, &message(n)[..]), "message {n}");
    }
    let _open = send.await.expect("sent");
    assert!(other.send_text("still there").await);
    assert_eq!(within(10, "a text", others.recv()).await.expect("open").data, "still there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lets_go_of_a_channel_holds_nobody_up() {
    let (mut a, mut b) = pair::connect(vec![], Wake::default(), None).await;
    within(10, "a connects", a.connected()).await;
    let spec = ChannelSpec { label: "x".into(), protocol: "p".into(), ordered: true };
    let ours = a.peer.open_channel(spec.clone()).await.opened().await.expect("open");
    drop(within(10, "b", b.channel("p")).await);
    // More than fits anywhere is sent to nobody; another channel goes on all the time.
    let flood = tokio::spawn(async move {
        for _ in 0..1000 {
            assert!(ours.send(BytesMut::from(&[0; 60_000][..])).await);
        }
        ours
    });
    let again = a.peer.open_channel(spec).await.opened().await.expect("open");
    let theirs = within(10, "b", b.channel("p")).await;
    let mut rounds = 0;
    while !flood.is_finished() || rounds < 3 {
        assert!(again.send_text("hello").await);
        assert_eq!(within(10, "a text", theirs.recv()).await.expect("open").data, "hello");
        rounds += 1;
    }
    let ours = within(20, "the flood is over", flood).await.expect("sent");
    assert_eq!(within(20, "the channel is closed", ours.recv()).await, None);
    assert!(again.send_text("hello").await);
    assert_eq!(within(10, "a text", theirs.recv()).await.expect("open").data, "hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guides_framing_goes_through_and_is_unconfirmed() {
    let studio = Studio::new();
    let alice = studio.sender("Alice", vec![]).await;
    let recording = studio.recorder(None).await;
    let out = tempfile::tempdir().expect("a folder");
    for (n, size) in [0, 1200, 3_000_001].into_iter().enumerate() {
        let path = file(out.path(), &format!("{size}.bin"), size, n as u64);
        let mut sending = alice.send_file(recording.me(), FileSend { classic: true, ..FileSend::new(&path) });
        assert_eq!(within(30, "a file", sending.outcome()).await, Outcome::Unconfirmed);
    }
    let summary = finish(recording).await;
    for size in [0, 1200, 3_000_001] {
        received(&summary, &format!("files/alice/{size}.bin"), &out.path().join(format!("{size}.bin")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bots_take_files_of_each_other_or_say_that_they_do_not() {
    let studio = Studio::new();
    let alice = studio.sender("Alice", vec![]).await;
    let (observer, mut events) = tokio::sync::mpsc::channel(64);
    let inbox = tempfile::tempdir().expect("a folder");
    let vault = FileStore::new(std::fs::File::open(inbox.path()).expect("open").into(), "in", studio.limits.clone());
    let config =
        ClientConfig { files: Some(IncomingFiles::into(vault)), observer: Some(observer), ..ClientConfig::default() };
    let how = JoinAs { name: "Echo".into(), role: Role::Bot, token: None };
    let echo = Client::join(&studio.room, how, config).await.expect("joined");
    let out = tempfile::tempdir().expect("a folder");
    let path = file(out.path(), "x.bin", 100_000, 1);
    let mut sending = alice.send_file(echo.me(), FileSend::new(&path));
    let outcome = within(20, "the file", sending.outcome()).await;
    assert!(matches!(outcome, Outcome::Received { .. }), "{outcome:?}");
    let came = async {
        loop {
            match events.recv().await.expect("still there") {
                RoomEvent::File { report: FileReport { status: FileStatus::Received { path, .. }, .. }, id } => {
                    return (id, path);
                }
                _ => continue,
            }
        }
    };
    let (id, name) = within(10, "it is told", came).await;
    assert_eq!((&id, name), (alice.me(), format!("{}/x.bin", alice.me())));
    // Back to who takes none.
    let back = inbox.path().join("in").join(alice.me().to_string()).join("x.bin");
    let mut sending = echo.send_file(alice.me(), FileSend::new(&back));
    let outcome = within(20, "an answer", sending.outcome()).await;
    assert!(matches!(&outcome, Outcome::Refused { reason, .. } if reason == "unwanted"), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_file_stays_incomplete() {
    let studio = Studio::new();
    let alice = studio.sender("Alice", vec![]).await;
    let recording = studio.recorder(None).await;
    let out = tempfile::tempdir().expect("a folder");
    let path = file(out.path(), "x.bin", 50_000_000, 1);
    let mut sending = alice.send_file(recording.me(), FileSend::new(&path));
    within(20, "it begins", sending.progress().wait_for(|p| p.sent > 1_000_000)).await.expect("sending");
    sending.cancel();
    assert!(matches!(within(10, "the end", sending.outcome()).await, Outcome::Cancelled { .. }));
    let summary = finish(recording).await;
    let [entry] = &summary.manifest.files[..] else { panic!("{:?}", summary.manifest.files) };
    assert_eq!((entry.file.as_str(), entry.state), ("files/alice/x.bin.part", FileState::Incomplete));
    assert!(entry.reason.as_ref().is_some_and(|reason| reason.contains("cancelled")), "{entry:?}");
    assert_eq!(std::fs::metadata(summary.folder.join(&entry.file)).expect("the part").len(), entry.bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_sends_to_the_program() {
    let server = TestServer::start().await;
    let room = server.room("post");
    let dir = tempfile::tempdir().expect("a folder");
    let (one, two) = (file(dir.path(), "one.bin", 5_000_000, 1), file(dir.path(), "two.bin", 10, 2));
    let out = dir.path().join("out");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let recorder = Bot::record(&room, &out, &["--quiet", "--max-file", "6MB"]);
    let arguments = [
        "send",
        &room,
        &text(&one),
        &text(&two),
        "--as",
        "Courier",
        "--to",
        "Recorder",
        "--message",
        "hello",
        "--json",
    ];
    let sent = Bot::start(&arguments).ended(Duration::from_secs(40)).await;
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    let said: serde_json::Value = serde_json::from_str(&sent.stdout).expect("JSON");
    assert_eq!(said["message_heard_by"], serde_json::json!(["Recorder"]));
    assert_eq!(said["files"].as_array().map(Vec::len), Some(2), "{said}");
    assert!(said["files"].as_array().into_iter().flatten().all(|file| file["received"] == true), "{said}");
    // Too large, to somebody who is not there, and a file that is not there either.
    let big = file(dir.path(), "big.bin", 7_000_000, 3);
    let sent = bot::run(&["send", &room, &text(&big), "--to", "Recorder", "--to", "Nobody", "--wait", "3s"]).await;
    assert_eq!(sent.code, Some(3), "{}", sent.stderr);
    assert!(sent.stderr.contains("Nobody was not there"), "{}", sent.stderr);
    assert!(sent.stderr.contains("Recorder did not get big.bin: refused (too-large"), "{}", sent.stderr);
    let sent = bot::run(&["send", &room, "/nowhere/x.bin"]).await;
    assert_eq!(sent.code, Some(2), "{}", sent.stderr);
    recorder.interrupt();
    let recorded = recorder.ended(Duration::from_secs(20)).await;
    assert_eq!(recorded.code, Some(0), "{}", recorded.stderr);
    let folder = PathBuf::from(recorded.stdout.trim());
    for path in [&one, &two] {
        let name = path.file_name().expect("a name");
        assert_eq!(sha256(&folder.join("files/courier").join(name)), sha256(path));
    }
    assert!(std::fs::read_to_string(folder.join("chat.vtt")).expect("subtitles").contains("<v Courier>hello"));
    let shown = bot::run(&["show", &text(&folder)]).await;
    assert!(shown.stdout.contains("- files/courier/one.bin  4.77 MiB, received at"), "{}", shown.stdout);
    assert!(shown.stdout.contains("1 message in chat.vtt"), "{}", shown.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bots_and_feeds_are_no_recipients_unless_they_are_named() {
    let server = TestServer::start().await;
    let room = server.room("company");
    let dir = tempfile::tempdir().expect("a folder");
    let one = file(dir.path(), "one.bin", 100_000, 1);
    let one = one.to_str().expect("UTF-8");
    let feed = Bot::start(&["feed", &room, "--audio", "silence", "--as", "Feed"]);
    let echo = Bot::start(&["echo", &room, "--as", "Echo"]);
    let alone = bot::run(&["send", &room, one]).await;
    assert_eq!(alone.code, Some(3), "{alone:?}");
    assert!(alone.stderr.contains("nobody here takes files"), "{alone:?}");
    let out = dir.path().join("out");
    let recorder = Bot::record(&room, &out, &["--quiet"]);
    // The recorder is there before the next one is: who is named is waited for.
    let sent = bot::run(&["send", &room, one, "--to", "Recorder"]).await;
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let sent = bot::run(&["send", &room, one, "--message", "hello"]).await;
    assert_eq!(sent.code, Some(0), "{sent:?}");
    assert!(sent.stdout.contains("one.bin -> Recorder: received") && !sent.stdout.contains("Echo"), "{sent:?}");
    let named = bot::run(&["send", &room, one, "--to", "Feed"]).await;
    assert_eq!(named.code, Some(3), "{named:?}");
    for running in [feed, echo, recorder] {
        running.interrupt();
        running.ended(Duration::from_secs(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_needs_no_more_memory_than_a_small_one() {
    let server = TestServer::start().await;
    let room = server.room("post");
    let dir = tempfile::tempdir().expect("a folder");
    let path = file(dir.path(), "large.bin", 300_000_000, 1);
    let recorder = Bot::record(&room, &dir.path().join("out"), &["--quiet"]);
    let courier = Bot::start(&["send", &room, path.to_str().expect("UTF-8"), "--to", "Recorder", "--json"]);
    let mut most = 0;
    let watch = async {
        loop {
            // The sender has ended when there is nothing to read; the recorder's figure stays.
            most = most.max(courier.peak_memory());
            moment().await;
            let part = std::fs::read_dir(dir.path().join("out")).ok().and_then(|mut all| all.next()?.ok());
            if part.is_some_and(|folder| folder.path().join("files/courier/large.bin").exists()) {
                return;
            }
        }
    };
    within(60, "the file", watch).await;
    let sent = courier.ended(Duration::from_secs(20)).await;
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    most = most.max(recorder.peak_memory());
    assert!(most < 100 << 20, "{} MiB", most >> 20);
    assert_eq!(sha256(&only(&dir.path().join("out")).join("files/courier/large.bin")), sha256(&path));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_kill_leaves_of_a_file_is_in_the_account() {
    let server = TestServer::start().await;
    let room = server.room("post");
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("out");
    let (small, large) = (file(dir.path(), "small.bin", 10, 1), file(dir.path(), "large.bin", 200_000_000, 2));
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let mut recorder = Bot::record(&room, &out, &["--quiet"]);
    let sent = bot::run(&["send", &room, &text(&small), "--to", "Recorder", "--message", "hello"]).await;
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    let _courier = Bot::start(&["send", &room, &text(&large), "--to", "Recorder"]);
    let folder = only(&out);
    let part = folder.join("files/courier/large.bin.part");
    let begun = async {
        while std::fs::metadata(&part).map_or(0, |part| part.len()) < 10_000_000 {
            moment().await;
        }
    };
    within(30, "the file comes", begun).await;
    recorder.kill();
    drop(recorder);
    let recovery = recover(&folder).expect("recovered").expect("it was cut short");
    assert!(recovery.problems.is_empty(), "{recovery}");
    let manifest = Manifest::load(&folder).expect("a manifest");
    let [one, two] = &manifest.files[..] else { panic!("{:#?}", manifest.files) };
    assert_eq!((one.file.as_str(), one.state), ("files/courier/small.bin", FileState::Received));
    assert_eq!((two.file.as_str(), two.state), ("files/courier/large.bin.part", FileState::Incomplete));
    assert_eq!(two.bytes, std::fs::metadata(&part).expect("it stays").len());
    assert!(std::fs::read_to_string(folder.join("chat.vtt")).expect("subtitles").contains("<v Courier>hello"));
}
