//! From senders of ours to files: every codec whole, and what bad networks and strange senders do.

use crate::support::dump::Dump;
use crate::support::needs::{needed, tools};
use crate::support::probe::probe;
use crate::support::studio::{Studio, finish, subscribed, track_path};
use crate::support::synthetic::label;
use roombot::recording::manifest::Status;
use roombot::room::clock::Basis;
use roombot::room::media::{Codec, MediaKind, Source};
use roombot::rtc::{Impairment, OutboundTrack};

fn source(codec: Codec) -> Source {
    if codec.kind() == MediaKind::Audio { Source::Mic } else { Source::Camera }
}

/// Sends 4 s of each codec from one participant and checks every file against what was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_codec_is_recorded_whole() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let tracks: Vec<OutboundTrack> =
        Codec::ALL.iter().map(|c| OutboundTrack::new(label(c.name(), source(*c)), *c)).collect();
    let alice = studio.sender("Alice", tracks.clone()).await;
    let recording = studio.recorder(None).await;
    subscribed(&tracks.iter().collect::<Vec<_>>()).await;
    let count = |codec: Codec| if codec == Codec::Opus { 200 } else { 60 };
    let mut players = tokio::task::JoinSet::new();
    for track in tracks.clone() {
        let codec = track.codec();
        players.spawn(async move { Dump::load(codec).play(&track, 0, count(codec), 4_294_900_000).await });
    }
    players.join_all().await;
    let summary = finish(recording).await;
    alice.leave().await;
    assert_eq!(summary.manifest.status, Status::Complete);
    assert_eq!(summary.manifest.warnings, Vec::<String>::new());
    assert_eq!(summary.manifest.tracks.len(), 5);
    for (index, track) in summary.manifest.tracks.iter().enumerate() {
        let sent = count(track.codec) as u64;
        assert_eq!((track.frames, track.lost), (sent, 0), "{track:?}");
        assert!(track.finished && track.gaps.is_empty());
        let seen = probe(&track_path(&summary, index));
        assert_eq!((seen.packets, seen.frames, seen.complaints.as_str()), (sent, sent, ""), "{}", track.file);
        assert_eq!(seen.codec, track.codec.name().to_lowercase());
        let clock = track.clock.as_ref().expect("a clock");
        assert_eq!(clock.basis, Basis::SenderReports, "{}", track.file);
        assert_eq!(track.source, source(track.codec));
        assert!((track.end_ms - track.start_ms).abs_diff(4000) < 80, "{track:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_is_repaired_before_it_reaches_the_file() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let camera = OutboundTrack::new(label("cam", Source::Camera), Codec::Vp8);
    let alice = studio.sender("Alice", vec![camera.clone()]).await;
    let bad = Impairment { loss: 0.15, reorder: 0.05, duplicate: 0.05, ..Impairment::seeded(3) };
    let recording = studio.recorder(Some(bad)).await;
    subscribed(&[&camera]).await;
    Dump::load(Codec::Vp8).play(&camera, 0, 90, 0).await;
    let summary = finish(recording).await;
    alice.leave().await;
    let track = &summary.manifest.tracks[0];
    let seen = probe(&track_path(&summary, 0));
    assert_eq!(seen.complaints, "");
    assert_eq!(seen.frames, track.frames);
    assert!(track.frames >= 88, "{track:?}");
    assert!(track.repaired > 0, "nothing was lost: the test proves nothing: {track:?}");
}
