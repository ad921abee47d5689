//! Senders that do what senders do: wrap around, change their picture's size, pause, begin anew, come late, leave, return.

use crate::support::dump::Dump;
use crate::support::glass::Glass;
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::probe::{packets, probe, sizes};
use crate::support::studio::{Studio, finish, subscribed, track_path};
use crate::support::synthetic::{Vp8Sender, label};
use crate::support::within;
use roombot::record::capture::Summary;
use roombot::recording::manifest::{Status, TrackEntry};
use roombot::room::media::{Codec, MediaKind, Source};
use roombot::rtc::OutboundTrack;
use roombot::rtc::media::packetize::Packetizer;
use roombot::signal::{SignalCommand, SignalEvent};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

fn camera(codec: Codec) -> OutboundTrack {
    OutboundTrack::new(label(codec.name(), Source::Camera), codec)
}

fn mic() -> OutboundTrack {
    OutboundTrack::new(label("voice", Source::Mic), Codec::Opus)
}

/// Packets of `from..to`, in real time, with `sequence` and `ticks` added to what they would have.
async fn play_shifted(dump: &Dump, track: &OutboundTrack, from: usize, to: usize, sequence: u16, ticks: u32) {
    let mut packetizer = Packetizer::new(track.codec(), 0);
    // The numbers go on from those before.
    for n in 0..from {
        packetizer.packetize(&dump.frame(n, 0), Instant::now());
    }
    dump.play_by(from..to, 0, |frame, _| {
        let mut packets = packetizer.packetize(&frame, Instant::now());
        for packet in &mut packets {
            packet.sequence = packet.sequence.wrapping_add(sequence);
            packet.timestamp = packet.timestamp.wrapping_add(ticks);
        }
        track.send_packets(packets);
    })
    .await;
}

/// The track in this file, and where the file is.
fn track<'a>(summary: &'a Summary, file: &str) -> (&'a TrackEntry, PathBuf) {
    let index = summary.manifest.tracks.iter().position(|track| track.file == file);
    let index = index.unwrap_or_else(|| panic!("no {file} in {:#?}", summary.manifest.tracks));
    (&summary.manifest.tracks[index], track_path(summary, index))
}

/// Checks that a file has exactly so many frames, all decodable, nothing lost.
fn assert_whole(summary: &Summary, file: &str, frames: usize) {
    let (track, path) = track(summary, file);
    let seen = probe(&path);
    assert_eq!((seen.packets, seen.frames, seen.complaints.as_str()), (frames as u64, frames as u64, ""), "{file}");
    assert_eq!((track.frames, track.lost, track.finished), (frames as u64, 0, true), "{track:?}");
    assert!(track.gaps.is_empty(), "{:?}", track.gaps);
}

/// Steps in a file's time, in milliseconds, that are longer than `than`; none may go back.
fn steps(path: &std::path::Path, than: f64) -> Vec<f64> {
    let times: Vec<f64> = packets(path).iter().map(|packet| packet.at * 1000.0).collect();
    let steps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.iter().all(|step| *step >= 0.0), "time goes back: {steps:?}");
    steps.into_iter().filter(|step| *step > than).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequence_numbers_and_timestamps_wrap_around() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let tracks: Vec<OutboundTrack> = Codec::ALL
        .iter()
        .map(|codec| {
            let source = if codec.kind() == MediaKind::Audio { Source::Mic } else { Source::Camera };
            OutboundTrack::new(label(codec.name(), source), *codec)
        })
        .collect();
    let alice = studio.sender("Alice", tracks.clone()).await;
    let recording = studio.recorder(None).await;
    subscribed(&tracks.iter().collect::<Vec<_>>()).await;
    let count = |codec: Codec| if codec == Codec::Opus { 150 } else { 45 };
    let mut players = JoinSet::new();
    for track in tracks {
        players.spawn(async move {
            let (dump, codec) = (Dump::load(track.codec()), track.codec());
            // Both wrap in about the first second.
            play_shifted(&dump, &track, 0, count(codec), 65_520, u32::MAX - codec.clock_rate()).await;
        });
    }
    players.join_all().await;
    let summary = finish(recording).await;
    alice.leave().await;
    assert_eq!(summary.manifest.warnings, Vec::<String>::new());
    assert_eq!(summary.manifest.tracks.len(), 5);
    for entry in &summary.manifest.tracks {
        assert_whole(&summary, &entry.file, count(entry.codec));
        let (first, last) = (entry.first_rtp.expect("first"), entry.last_rtp.expect("last"));
        assert!(first < 1 << 32 && last > 1 << 32, "no wrap: {entry:?}");
        let (_, path) = track(&summary, &entry.file);
        assert_eq!(steps(&path, 70.0), Vec::<f64>::new(), "{}", entry.file);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_resolution_stays_in_the_file() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let codecs = [Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H264];
    let tracks: Vec<OutboundTrack> = codecs.iter().map(|codec| camera(*codec)).collect();
    let alice = studio.sender("Alice", tracks.clone()).await;
    let recording = studio.recorder(None).await;
    subscribed(&tracks.iter().collect::<Vec<_>>()).await;
    let mut players = JoinSet::new();
    for track in tracks {
        players.spawn(async move {
            let (large, small) = (Dump::load(track.codec()), Dump::load_small(track.codec()));
            large.play(&track, 0, 15, 0).await;
            small.play(&track, 0, 10, 15 * 6000).await;
            large.play(&track, 0, 15, 25 * 6000).await;
        });
    }
    players.join_all().await;
    let summary = finish(recording).await;
    alice.leave().await;
    assert_eq!(summary.manifest.tracks.len(), 4, "{:#?}", summary.manifest.tracks);
    for entry in &summary.manifest.tracks {
        assert_whole(&summary, &entry.file, 40);
        let told: Vec<(u32, u32)> = entry.resolutions.iter().map(|r| (r.width, r.height)).collect();
        assert_eq!(told, [(240, 132), (160, 88), (240, 132)], "{}", entry.file);
        let changed = entry.resolutions[1].at_ms - entry.start_ms;
        assert!(changed.abs_diff(1000) < 100, "the change is told at {changed} ms of {}", entry.file);
        let (_, path) = track(&summary, &entry.file);
        assert_eq!(sizes(&path), [(240, 132), (160, 88), (240, 132)], "{}", entry.file);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_of_the_timestamp_is_a_gap_and_no_splice() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let (cam, voice) = (camera(Codec::Vp8), mic());
    let alice = studio.sender("Alice", vec![cam.clone(), voice.clone()]).await;
    let recording = studio.recorder(None).await;
    subscribed(&[&cam, &voice]).await;
    // What a sender does that was muted for ten seconds: the sequence goes on where it was, the time does not.
    let video = async {
        let dump = Dump::load(Codec::Vp8);
        play_shifted(&dump, &cam, 0, 22, 0, 0).await;
        play_shifted(&dump, &cam, 22, 44, 0, 900_000).await;
    };
    let sound = async {
        let dump = Dump::load(Codec::Opus);
        play_shifted(&dump, &voice, 0, 75, 0, 0).await;
        play_shifted(&dump, &voice, 75, 150, 0, 480_000).await;
    };
    tokio::join!(video, sound);
    let summary = finish(recording).await;
    alice.leave().await;
    assert_eq!(summary.manifest.tracks.len(), 2, "one file each: {:#?}", summary.manifest.tracks);
    for (file, frames, pause) in [("alice.camera.1.webm", 44, 66.7), ("alice.mic.1.webm", 150, 20.0)] {
        let (entry, path) = track(&summary, file);
        let seen = probe(&path);
        assert_eq!((seen.packets, seen.complaints.as_str(), entry.lost), (frames, "", 0), "{file}");
        let long = steps(&path, 500.0);
        assert!(matches!(long[..], [step] if (step - 10_000.0 - pause).abs() < 2.0), "{file}: {long:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_begins_anew_gets_a_new_file() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let (cam, voice) = (camera(Codec::Vp8), mic());
    let alice = studio.sender("Alice", vec![cam.clone(), voice.clone()]).await;
    let recording = studio.recorder(None).await;
    subscribed(&[&cam, &voice]).await;
    // The same SSRC, but sequence and time are somewhere else entirely.
    let video = async {
        let dump = Dump::load(Codec::Vp8);
        play_shifted(&dump, &cam, 0, 20, 0, 0).await;
        play_shifted(&dump, &cam, 0, 30, 20_000, 3_000_000_000).await;
    };
    let sound = async {
        let dump = Dump::load(Codec::Opus);
        play_shifted(&dump, &voice, 0, 60, 0, 0).await;
        play_shifted(&dump, &voice, 0, 90, 20_000, 3_000_000_000).await;
    };
    tokio::join!(video, sound);
    let summary = finish(recording).await;
    alice.leave().await;
    assert_eq!(summary.manifest.tracks.len(), 4, "{:#?}", summary.manifest.tracks);
    for (source, before, after, second_ms) in [("camera", 20, 30, 1333), ("mic", 60, 90, 1200)] {
        assert_whole(&summary, &format!("alice.{source}.1.webm"), before);
        assert_whole(&summary, &format!("alice.{source}.2.webm"), after);
        let first = track(&summary, &format!("alice.{source}.1.webm")).0;
        let second = track(&summary, &format!("alice.{source}.2.webm")).0;
        let apart = second.start_ms - first.start_ms;
        assert!(apart.abs_diff(second_ms) < 250, "{source}: {apart} ms apart");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_published_again_has_another_file_and_loses_nothing() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let first = camera(Codec::Vp8);
    let voice = mic();
    let alice = studio.sender("Alice", vec![first.clone(), voice.clone()]).await;
    let recording = studio.recorder(None).await;
    subscribed(&[&first, &voice]).await;
    let sound = async { Dump::load(Codec::Opus).play(&voice, 0, 200, 0).await };
    let video = async {
        let dump = Dump::load(Codec::Vp8);
        dump.play(&first, 0, 20, 0).await;
        pause(Duration::from_millis(200), "what is under way arrives").await;
        alice.unpublish("VP8").await;
        pause(Duration::from_millis(300), "a gap of some length").await;
        let second = OutboundTrack::new(label("again", Source::Camera), Codec::Vp8);
        alice.publish(second.clone()).await;
        subscribed(&[&second]).await;
        dump.play(&second, 0, 25, 77).await;
    };
    tokio::join!(sound, video);
    let summary = finish(recording).await;
    alice.leave().await;
    assert_whole(&summary, "alice.camera.1.webm", 20);
    assert_whole(&summary, "alice.camera.2.webm", 25);
    assert_whole(&summary, "alice.mic.1.webm", 200);
    let (one, two) = (track(&summary, "alice.camera.1.webm").0, track(&summary, "alice.camera.2.webm").0);
    assert!(one.end_ms < two.start_ms, "{one:?} {two:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_track_begins_when_it_began() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let voice = mic();
    let alice = studio.sender("Alice", vec![voice.clone()]).await;
    let recording = studio.recorder(None).await;
    subscribed(&[&voice]).await;
    let sound = async { Dump::load(Codec::Opus).play(&voice, 0, 200, 0).await };
    let video = async {
        pause(Duration::from_secs(2), "how late the track is").await;
        let screen = OutboundTrack::new(label("screen", Source::Screen), Codec::Vp9);
        alice.publish(screen.clone()).await;
        subscribed(&[&screen]).await;
        let began = jiff::Timestamp::now();
        Dump::load(Codec::Vp9).play(&screen, 0, 22, 5000).await;
        began
    };
    let ((), began) = tokio::join!(sound, video);
    let summary = finish(recording).await;
    alice.leave().await;
    assert_whole(&summary, "alice.mic.1.webm", 200);
    assert_whole(&summary, "alice.screen.1.webm", 22);
    let entry = track(&summary, "alice.screen.1.webm").0;
    let expected = began.as_millisecond() - summary.manifest.started.as_millisecond();
    assert!(expected > 2000, "the track was not late");
    let off = entry.start_ms as i64 - expected;
    assert!((-60..200).contains(&off), "it began at {expected} ms, and the manifest says {}", entry.start_ms);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracks_that_nobody_labels_are_a_camera_and_a_microphone() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let tracks = [
        OutboundTrack::new(label("a", Source::Screen), Codec::Vp8),
        OutboundTrack::new(label("b", Source::ScreenAudio), Codec::Opus),
    ];
    let silent = Glass::clear(Box::new(studio.room.clone()))
        .saying(|command| Some(command).filter(|c| !matches!(c, SignalCommand::Tracks(_))));
    let alice = studio.sender_in(&silent, "Alice", tracks.to_vec()).await;
    let recording = studio.recorder(None).await;
    subscribed(&tracks.iter().collect::<Vec<_>>()).await;
    let (vp8, opus) = (Dump::load(Codec::Vp8), Dump::load(Codec::Opus));
    tokio::join!(vp8.play(&tracks[0], 0, 30, 0), opus.play(&tracks[1], 0, 100, 0));
    let summary = finish(recording).await;
    alice.leave().await;
    assert_eq!(summary.manifest.tracks.len(), 2);
    assert_whole(&summary, "alice.camera.1.webm", 30);
    assert_whole(&summary, "alice.mic.1.webm", 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_the_same_name_are_two_people() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let (one, two) = (mic(), mic());
    let first = studio.sender("Alice", vec![one.clone()]).await;
    let second = studio.sender("Alice", vec![two.clone()]).await;
    // A room of another kind may leave names as they are.
    let careless = Glass::clear(Box::new(studio.room.clone())).hearing(|event| match event {
        SignalEvent::Joined(mut participant) => {
            participant.name = "Alice".into();
            Some(SignalEvent::Joined(participant))
        }
        other => Some(other),
    });
    let recording = studio.recorder_in(&careless, None).await;
    // Each is heard by the other first.
    subscribed(&[&one, &two]).await;
    let ready = async {
        for asked in [one.key_frame_requests(), two.key_frame_requests()] {
            let mut asked = asked;
            asked.wait_for(|n| *n >= 2).await.expect("track");
        }
    };
    within(10, "the recorder is connected to both", ready).await;
    pause(Duration::from_millis(200), "the other side of a handshake ends later").await;
    let dump = Dump::load(Codec::Opus);
    tokio::join!(dump.play(&one, 0, 50, 0), dump.play(&two, 0, 70, 0));
    let summary = finish(recording).await;
    first.leave().await;
    second.leave().await;
    let people: Vec<(&str, &str)> =
        summary.manifest.participants.iter().map(|p| (p.key.as_str(), p.name.as_str())).collect();
    assert_eq!(people, [("alice", "Alice"), ("alice-2", "Alice")]);
    let mut frames: Vec<(&str, u64)> =
        summary.manifest.tracks.iter().map(|t| (t.participant.as_str(), t.frames)).collect();
    frames.sort();
    assert_eq!(frames, [("alice", 50), ("alice-2", 70)]);
    assert_whole(&summary, "alice.mic.1.webm", 50);
    assert_whole(&summary, "alice-2.mic.1.webm", 70);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_and_returns_is_the_same_participant() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let recording = studio.recorder(None).await;
    let dump = Dump::load(Codec::Opus);
    for frames in [50, 75] {
        let voice = mic();
        let alice = studio.sender("Alice", vec![voice.clone()]).await;
        subscribed(&[&voice]).await;
        dump.play(&voice, 0, frames, 0).await;
        pause(Duration::from_millis(300), "what is under way arrives").await;
        alice.leave().await;
        pause(Duration::from_millis(400), "a gap of some length").await;
    }
    let summary = finish(recording).await;
    assert_eq!(summary.manifest.status, Status::Complete);
    let [alice] = &summary.manifest.participants[..] else { panic!("{:#?}", summary.manifest.participants) };
    assert_eq!((alice.key.as_str(), alice.ids.len()), ("alice", 2));
    let spans: Vec<(u64, u64)> = alice.present.iter().map(|s| (s.start_ms, s.end_ms.expect("an end"))).collect();
    assert!(matches!(spans[..], [(a, b), (c, d)] if a < b && b + 300 <= c && c < d), "{spans:?}");
    assert_whole(&summary, "alice.mic.1.webm", 50);
    assert_whole(&summary, "alice.mic.2.webm", 75);
    for (file, (from, to)) in ["alice.mic.1.webm", "alice.mic.2.webm"].iter().zip(spans) {
        let entry = track(&summary, file).0;
        assert!(entry.start_ms >= from && entry.end_ms <= to + 50, "{file} lies outside {from}..{to}: {entry:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discontinuous_sound_keeps_its_pauses() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let voice = mic();
    let alice = studio.sender("Alice", vec![voice.clone()]).await;
    let recording = studio.recorder(None).await;
    subscribed(&[&voice]).await;
    let dump = Dump::load(Codec::Opus);
    // Opus DTX: a frame every 400 ms while nobody speaks (RFC 7587, 3.1.3), without a hole in the sequence.
    let speaks = |n: usize| !(40..100).contains(&n) || n.is_multiple_of(20);
    let mut packetizer = Packetizer::new(Codec::Opus, 0);
    let mut sent = 0;
    dump.play_by(0..150, 0, |frame, n| {
        if speaks(n) {
            sent += 1;
            voice.send_packets(packetizer.packetize(&frame, Instant::now()));
        }
    })
    .await;
    let summary = finish(recording).await;
    alice.leave().await;
    let (entry, path) = track(&summary, "alice.mic.1.webm");
    assert_eq!((entry.frames, entry.lost, entry.gaps.len()), (sent, 0, 0), "{entry:?}");
    assert_eq!(steps(&path, 30.0), [400.0, 400.0, 400.0]);
    assert!((entry.end_ms - entry.start_ms).abs_diff(3000) < 100, "{entry:?}");
    assert_eq!(probe(&path).complaints, "");
}

/// Sends `frames` frames at 25 a second; `skip`: the packets of these never reach the network.
async fn synthetic(track: &OutboundTrack, sender: &mut Vp8Sender, frames: usize, skip: impl Fn(usize) -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(40));
    for n in 0..frames {
        tick.tick().await;
        let packets = sender.next();
        if !skip(n) {
            track.send_packets(packets);
        }
    }
}

/// How long it takes, from now on, until a key frame is asked for, while delta frames are sent.
async fn asked_after(track: &OutboundTrack, sender: &mut Vp8Sender) -> Duration {
    let mut asked = track.key_frame_requests();
    asked.mark_unchanged();
    let start = Instant::now();
    tokio::select! {
        _ = asked.changed() => start.elapsed(),
        () = synthetic(track, sender, 250, |_| false) => panic!("no key frame is asked for in ten seconds"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_frames_are_asked_for_at_the_start_after_loss_and_every_four_seconds() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let cam = camera(Codec::Vp8);
    let alice = studio.sender("Alice", vec![cam.clone()]).await;
    let recording = studio.recorder(None).await;
    subscribed(&[&cam]).await;
    // The first frames that the recorder gets cannot be decoded.
    let mut sender = Vp8Sender { frame: 1, key_every: u64::MAX, ticks: 3600, ..Default::default() };
    let start = asked_after(&cam, &mut sender).await;
    assert!(start < Duration::from_millis(1500), "at the start after {start:?}");
    // Not answered, it is asked again.
    let again = asked_after(&cam, &mut sender).await;
    assert!((600..2500).contains(&again.as_millis()), "again after {again:?}");

    sender.frame = 0;
    synthetic(&cam, &mut sender, 25, |_| false).await;
    // A frame that nobody can retransmit.
    synthetic(&cam, &mut sender, 2, |n| n == 0).await;
    let lost = asked_after(&cam, &mut sender).await;
    assert!(lost < Duration::from_millis(1500), "after a loss after {lost:?}");

    sender.frame = 0;
    synthetic(&cam, &mut sender, 1, |_| false).await;
    let regular = asked_after(&cam, &mut sender).await;
    assert!((3500..6000).contains(&regular.as_millis()), "without a key frame after {regular:?}");
    println!("asked: start {start:?}, again {again:?}, loss {lost:?}, regular {regular:?}");

    let summary = finish(recording).await;
    alice.leave().await;
    let entry = track(&summary, "alice.camera.1.webm").0;
    assert_eq!((entry.key_frames, entry.lost), (2, 4), "{entry:?}");
    let path = track(&summary, "alice.camera.1.webm").1;
    assert!(packets(&path)[0].key, "the file begins with a key frame");
    let timeline = std::fs::read_to_string(summary.folder.join("timeline.jsonl")).expect("a timeline");
    assert!(timeline.contains("key-frame-wait") && timeline.contains(r#""event":"gap""#), "{timeline}");
}
