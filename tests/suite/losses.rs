//! What participants send and what cannot be recorded of it: told while it happens, in the manifest, in `show`, and by the exit code.

use crate::support::bot::{self, Bot};
use crate::support::cargo::{below, only};
use crate::support::dump::Dump;
use crate::support::glass::Glass;
use crate::support::needs::{needed, tools};
use crate::support::recorder::{PATIENCE, begun, recorded};
use crate::support::server::TestServer;
use crate::support::studio::subscribed;
use crate::support::synthetic::{label, packet};
use crate::support::{moment, pause, within};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use roombot::client::{Client, ClientConfig};
use roombot::recording::manifest::{Manifest, Status};
use roombot::room::media::{Codec, Source};
use roombot::room::participant::Role;
use roombot::rtc::OutboundTrack;
use roombot::signal::{Description, JoinAs, Signal, SignalCommand, SignalEvent, Signaller, for_url};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// A participant who is connected to the recorder only.
async fn joins(room: &dyn Signaller, name: &str, track: &OutboundTrack) -> Client {
    let how = JoinAs { name: name.into(), role: Role::Participant, token: None };
    let (publish, only) = (vec![track.clone()], vec!["Recorder".into()]);
    let config = ClientConfig { publish, only, ..ClientConfig::default() };
    within(10, "a sender joins", Client::join(room, how, config)).await.expect("joins")
}

/// The description with another number for a payload type.
fn renumbered(sdp: &str, from: &str, to: &str) -> String {
    let word = |word: &str| if word == from { to.to_owned() } else { word.to_owned() };
    let line = |line: &str| {
        let line = line.replace(&format!("apt={from}"), &format!("apt={to}"));
        let attribute = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"].into_iter().find(|start| line.starts_with(start));
        match attribute {
            Some(start) => format!("{start}{}", line[start.len()..].split(' ').map(word).collect::<Vec<_>>().join(" ")),
            None if line.starts_with("m=video") => line.split(' ').map(word).collect::<Vec<_>>().join(" "),
            None => line,
        }
    };
    sdp.lines().map(line).map(|line| line + "\r\n").collect()
}

/// A room in which the recorder hears another number for VP8 than the one that is sent.
fn misnumbered(room: &str) -> Glass {
    const HEARD: &str = "77";
    let sent = "96";
    let renumber = |signal: Signal, from: &str, to: &str| match signal {
        Signal::Description(Description { kind, sdp }) => {
            Signal::Description(Description { kind, sdp: renumbered(&sdp, from, to) })
        }
        other => other,
    };
    Glass::clear(for_url(room).expect("a room"))
        .saying(move |command| match command {
            SignalCommand::Signal { to, signal } => {
                Some(SignalCommand::Signal { to, signal: renumber(signal, sent, HEARD) })
            }
            other => Some(other),
        })
        .hearing(move |event| match event {
            SignalEvent::Signal { from, signal } => {
                Some(SignalEvent::Signal { from, signal: renumber(signal, HEARD, sent) })
            }
            other => Some(other),
        })
}

fn camera(name: &str, codec: Codec) -> OutboundTrack {
    OutboundTrack::new(label(name, Source::Camera), codec)
}

/// A finished recording says so in all its forms: `stderr` while it went on, JSON, manifest, `show`.
async fn says(outcome: &bot::Outcome, lines: &[&str]) -> Manifest {
    let json: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|e| panic!("{e}: {outcome:?}"));
    assert_eq!((&json["status"], &json["exit_code"]), (&"partial".into(), &7.into()), "{json:#}");
    let folder = json["folder"].as_str().expect("a folder");
    let manifest = Manifest::load(Path::new(folder)).expect("a manifest");
    let shown = bot::run(&["show", folder]).await.stdout;
    assert!(shown.contains(", with losses\n") && shown.contains("\nLosses\n"), "{shown}");
    assert_eq!(manifest.status, Status::Partial);
    for line in lines {
        let is_it = |text: &str| {
            text.starts_with(line.split('…').next().unwrap_or(""))
                && text.ends_with(line.split('…').next_back().unwrap_or(""))
        };
        let told = outcome.stderr.lines().filter_map(|line| line.strip_prefix("warning: "));
        assert!(told.clone().any(is_it), "{line}: {}", outcome.stderr);
        assert!(manifest.reasons.iter().any(|loss| is_it(&loss.text)), "{line}: {:#?}", manifest.reasons);
        assert!(shown.lines().filter_map(|line| line.strip_prefix("- ")).any(is_it), "{line}: {shown}");
        let in_json = json["reasons"].as_array().expect("reasons");
        assert!(in_json.iter().any(|loss| loss["text"].as_str().is_some_and(is_it)), "{line}: {json:#}");
    }
    manifest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_begun_is_told_in_seconds_and_by_the_exit_code() {
    needed!(tools(&["ffmpeg"]));
    let (server, dir) = (TestServer::start().await, tempfile::tempdir().expect("a folder"));
    let room = server.room("losses");
    let recorder = Bot::record(&room, dir.path(), &["--json", "--as", "Recorder"]);
    begun(dir.path()).await;
    let clear = for_url(&room).expect("a room");
    let (alice, bob, carol, dave, erin) = (
        camera("alice", Codec::H264),
        camera("bob", Codec::Vp8),
        camera("carol", Codec::Vp8),
        camera("dave", Codec::Vp8),
        camera("erin", Codec::Vp8),
    );
    let misnumbered = misnumbered(&room);
    let mut there = Vec::new();
    for (name, track) in [("Alice", &alice), ("Bob", &bob), ("Dave", &dave), ("Erin", &erin)] {
        there.push(joins(clear.as_ref(), name, track).await);
    }
    there.push(joins(&misnumbered, "Carol", &carol).await);
    subscribed(&[&alice, &bob, &carol, &dave, &erin]).await;
    let (honest, mut random) = (Dump::load(Codec::Vp8), StdRng::seed_from_u64(5));
    let sends = honest.play_by(0..usize::MAX, 0, |frame, n| {
        erin.send(&frame);
        let one = |payload: &[u8]| vec![packet(n as u16, n as u32 * 6000, true, Bytes::copy_from_slice(payload))];
        // A key frame without its parameter sets; noise; a good frame under a number that nobody negotiated.
        alice.send_packets(one(&[0x65, 0x88, 0x84, 0x00, 0x33]));
        let mut noise = [0; 700];
        random.fill_bytes(&mut noise);
        bob.send_packets(one(&noise));
        carol.send(&frame);
    });
    tokio::select! {
        () = sends => {}
        () = pause(Duration::from_secs(9), "longer than the recorder's patience") => {}
    }
    recorder.interrupt();
    let outcome = recorder.ended(PATIENCE).await;
    assert_eq!(outcome.code, Some(7), "{outcome:?}");
    let manifest = says(
        &outcome,
        &[
            "alice camera: …no picture could be begun: no parameter sets",
            "bob camera: …no picture could be begun: payload is not VP8 (end-to-end encrypted?)",
            "carol camera: …no picture could be begun: payload type 96 not negotiated",
            "dave camera: labelled, nothing arrived for …s",
        ],
    )
    .await;
    assert_eq!(manifest.reasons.len(), 4, "{:#?}", manifest.reasons);
    // Told before the end: with fewer seconds than in the end.
    let first = outcome.stderr.lines().find(|line| line.contains("no parameter sets")).expect("a warning");
    assert!(first.contains(" in 5 s,") || first.contains(" in 6 s,"), "{}", outcome.stderr);
    // Every packet that arrived is in a frame or in a count.
    for stream in &manifest.unrecorded {
        assert_eq!(stream.packets, stream.dropped.values().sum::<u64>(), "{stream:?}");
    }
    let honest = manifest.tracks.iter().find(|track| track.participant == "erin").expect("her track");
    assert_eq!(honest.arrived, honest.in_frames + honest.dropped.values().sum::<u64>());
    assert!(honest.frames > 100 && honest.dropped.is_empty(), "{honest:?}");
    assert_eq!(manifest.tracks.len(), 1, "{:#?}", manifest.tracks);
    for one in there {
        one.leave().await;
    }
    moment().await;
}

/// Many systems start a program with 1,024 descriptors and allow far more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_descriptors_at_the_start_lose_nothing() {
    let (server, dir) = (TestServer::start().await, tempfile::tempdir().expect("a folder"));
    let room = server.room("few");
    let mut command = std::process::Command::new("sh");
    let few = "ulimit -Sn 20; exec \"$0\" \"$@\"";
    command.args(["-c", few, env!("CARGO_BIN_EXE_roombot"), "record", &room, "--out"]).arg(dir.path());
    let recorder = Bot::spawn(command);
    begun(dir.path()).await;
    let media = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/alice.webm");
    let _people: Vec<Bot> = (0..3).map(|_| Bot::start(&["feed", &room, media, "--loop"])).collect();
    let six = async {
        while below(&only(dir.path())).iter().filter(|path| path.starts_with("tracks/")).count() < 6 {
            moment().await;
        }
    };
    within(PATIENCE.as_secs(), "three people's tracks", six).await;
    pause(Duration::from_secs(2), "tracks of some length").await;
    let (_, manifest) = recorded(recorder).await;
    assert_eq!((manifest.status, manifest.tracks.len()), (Status::Complete, 6), "{manifest:#?}");
}
