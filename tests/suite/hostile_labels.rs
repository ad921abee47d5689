//! A member who says again and again what it sends: nobody is thrown out for it, and it fills no recording.

use crate::continued::STAMPED;
use crate::recorded::track_on;
use crate::support::bot::Bot;
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::raw::Raw;
use crate::support::server::TestServer;
use crate::support::tape::Tape;
use roombot::recording::manifest::Status;
use roombot::recording::timeline::Event;
use roombot::room::media::{MediaKind, Source};
use roombot::room::participant::TrackLabel;
use roombot::signal::protocol::ClientMessage;
use std::time::Duration;

/// As many as a server takes in a burst, and as large as it takes them.
const BURST: usize = 989;
const LABELS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_labels_throws_nobody_out_and_fills_no_recording() {
    needed!(tools(&["ffmpeg"]));
    let server = TestServer::start().await;
    let room = server.room("meeting");
    let tape = Tape::start(&room);
    let alice = Bot::start(&["feed", &room, "--stamp", STAMPED, "--as", "Alice"]);
    for source in [Source::Camera, Source::Mic] {
        tape.until("Alice's tracks", track_on("alice", source)).await;
    }
    let mut mallory = Raw::join(&room, "Mallory").await;
    let label = |index: usize, muted| TrackLabel {
        stream: format!("{index:0128}"),
        kind: MediaKind::Audio,
        source: Source::Mic,
        muted,
    };
    for n in 0..BURST {
        let tracks = (0..LABELS).map(|index| label(index, n % 2 == 0)).collect();
        mallory.say(&serde_json::to_string(&ClientMessage::Tracks { tracks }).expect("JSON")).await;
    }
    // It is heard still: a burst is no reason to throw it out either.
    mallory.say(r#"{"type":"ping"}"#).await;
    pause(Duration::from_secs(3), "the last labels are told, and Alice goes on").await;
    let recorded = tape.finish().await;
    drop((alice, mallory));

    let ended = recorded.timeline.iter().find_map(|entry| match &entry.event {
        Event::RecordingEnded { reason } => Some(reason.as_str()),
        _ => None,
    });
    assert_eq!(
        (ended, recorded.manifest.status),
        (Some("stopped"), Status::Complete),
        "{:?}",
        recorded.manifest.warnings
    );
    assert!(!recorded.timeline.iter().any(|entry| matches!(entry.event, Event::Reconnecting { .. })));
    for track in &recorded.manifest.tracks {
        assert_eq!((track.participant.as_str(), track.lost, track.gaps.len()), ("alice", 0, 0), "{track:#?}");
    }
    let about = recorded.timeline.iter().filter(|entry| entry.event.participant() == Some("mallory")).count();
    assert!((LABELS..LABELS * 70).contains(&about), "{about} lines of Mallory's");
    let manifest = recorded.folder.join("manifest.json").metadata().expect("a manifest").len();
    assert!(manifest < 100_000, "{manifest} bytes");
}
