//! A connection that is not made although the other side has media, or that brings nothing of it: it is told, and a fresh one is tried.

use crate::support::dump::Dump;
use crate::support::glass::Glass;
use crate::support::needs::{needed, tools};
use crate::support::studio::{Studio, finish};
use crate::support::synthetic::{Vp8Sender, label};
use crate::support::{pause, within};
use roombot::recording::manifest::Status;
use roombot::room::media::{Codec, Source};
use roombot::rtc::OutboundTrack;
use roombot::signal::{Description, Signal, SignalCommand, SignalEvent};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_not_accepted_is_noticed_and_a_fresh_connection_is_made() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let track = OutboundTrack::new(label("cam", Source::Camera), Codec::Vp8);
    // The recorder's first answer is lost, as if the other side had refused it.
    let lost = Arc::new(AtomicBool::new(false));
    let seen = lost.clone();
    let deaf = Glass::clear(Box::new(studio.room.clone())).saying(move |command| match &command {
        SignalCommand::Signal { signal: Signal::Description(description), .. }
            if description.kind == "answer" && !seen.swap(true, Ordering::SeqCst) =>
        {
            None
        }
        _ => Some(command),
    });
    let recording = studio.recorder_in(&deaf, None).await;
    let alice = studio.sender("Alice", vec![track.clone()]).await;
    let mut asked = track.key_frame_requests();
    let dump = Dump::load(Codec::Vp8);
    within(40, "a fresh connection is made", asked.wait_for(|n| *n > 0)).await.expect("a track");
    assert!(lost.load(Ordering::SeqCst), "no answer was lost: the test proves nothing");
    dump.play(&track, 0, 30, 0).await;
    let summary = finish(recording).await;
    alice.leave().await;
    let manifest = &summary.manifest;
    assert_eq!((manifest.tracks.len(), manifest.tracks[0].frames), (1, 30), "{manifest:#?}");
    let told = "alice: no connection after 5 s, though they have media: no network path is found";
    assert!(manifest.warnings.iter().any(|warning| warning == told), "{:#?}", manifest.warnings);
    // What came in the meantime is lost.
    assert_eq!((manifest.status, manifest.reasons[0].cause.as_str()), (Status::Partial, "nothing-arrived"));
}

/// The first connection between the two brings nothing: the sender leaves out what is theirs. On the second everything is as it should be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_stands_and_brings_nothing_is_begun_anew_once() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let track = OutboundTrack::new(label("cam", Source::Camera), Codec::Vp8);
    // Whatever she describes says that she sends nothing, until she is told to begin anew.
    let said = Arc::new(AtomicBool::new(false));
    let anew = said.clone();
    let muffled = Glass::clear(Box::new(studio.room.clone()))
        .saying(move |command| match command {
            SignalCommand::Signal { signal: Signal::Description(description), to } if !anew.load(Ordering::SeqCst) => {
                let sdp = description.sdp.replace("a=sendrecv", "a=recvonly").replace("a=sendonly", "a=inactive");
                let signal = Signal::Description(Description { sdp, ..description });
                Some(SignalCommand::Signal { signal, to })
            }
            other => Some(other),
        })
        .hearing(move |event| {
            if let SignalEvent::Signal { signal: Signal::Anew(_), .. } = &event {
                said.store(true, Ordering::SeqCst);
            }
            Some(event)
        });
    let recording = studio.recorder(None).await;
    let alice = studio.sender_in(&muffled, "Alice", vec![track.clone()]).await;
    let mut sender = Vp8Sender { key_every: 5, ..Vp8Sender::default() };
    let mut status = recording.status();
    let recorded = status.wait_for(|status| status.people.iter().any(|person| !person.tracks.is_empty()));
    let sends = async {
        loop {
            track.send_packets(sender.next());
            pause(Duration::from_millis(40), "the next picture").await;
        }
    };
    within(40, "a fresh connection brings it", async {
        tokio::select! {
            seen = recorded => drop(seen.expect("a recorder")),
            () = sends => {}
        }
    })
    .await;
    let summary = finish(recording).await;
    alice.leave().await;
    let manifest = &summary.manifest;
    // How many seconds it took is the machine's matter.
    let ends = [
        " s, and nothing of their media has come; it is asked for again",
        " s, and nothing of their media has come; the connection is begun anew",
    ];
    for end in ends {
        let told = |warning: &String| warning.starts_with("alice: connected for ") && warning.ends_with(end);
        assert!(manifest.warnings.iter().any(told), "{end}: {:#?}", manifest.warnings);
    }
    assert!(manifest.tracks.len() == 1 && manifest.tracks[0].frames > 0, "{manifest:#?}");
    // What came in the meantime is lost.
    assert_eq!((manifest.status, manifest.reasons[0].cause.as_str()), (Status::Partial, "nothing-arrived"));
    let events = std::fs::read_to_string(summary.folder.join("timeline.jsonl")).expect("a timeline");
    assert!(events.contains(ends[1]), "{events}");
}
