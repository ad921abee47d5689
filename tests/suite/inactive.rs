//! A sender that makes its sections `inactive` for a while and uses them again, as browsers may without another stream.

use crate::recorded::{SMALL, records};
use crate::support::browser::Browser;
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::sender::Sender;
use crate::support::server::TestServer;
use crate::support::tape::Tape;
use roombot::recording::manifest::Status;
use roombot::room::media::Source;
use std::time::Duration;

/// Sets the direction of everything that is sent.
async fn set_direction(sender: &Sender, direction: &str) {
    let js = format!(
        "for (const one of connections.flatMap((pc) => pc.getTransceivers())) if (one.sender.track) one.direction = '{direction}'"
    );
    sender.page.run(&js).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_section_that_was_inactive_is_received_again() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch_alone().await;
    let alice = Sender::join(&browser, &server, "inactive", "Alice", SMALL).await;
    let tape = Tape::start(&server.room("inactive"));
    records(&tape, "alice").await;
    pause(Duration::from_secs(1), "pictures").await;
    for _ in 0..2 {
        set_direction(&alice, "inactive").await;
        pause(Duration::from_secs(2), "nothing is sent").await;
        set_direction(&alice, "sendrecv").await;
        pause(Duration::from_secs(2), "pictures").await;
    }
    alice.fall_silent().await;
    let recorded = tape.finish().await;
    assert_eq!(recorded.manifest.status, Status::Complete, "{:#?}", recorded.manifest.reasons);
    for (source, name) in [(Source::Camera, "camera"), (Source::Mic, "mic")] {
        let tracks = recorded.manifest.tracks.iter().filter(|track| track.source == source);
        let frames: u64 = tracks.map(|track| track.frames).sum();
        let sent = alice.samples(name).await.last().expect("samples").clone();
        println!("{name}: {frames} recorded, {sent:?}");
        let sent = if source == Source::Camera { sent.frames } else { sent.packets };
        // What is on its way while a description is applied may be dropped by either side.
        assert!(frames + 25 >= sent, "{name}: {frames} of {sent}");
    }
}
