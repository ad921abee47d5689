//! A connection that is not made although the other side has media: it is told, and a fresh one is tried.

use crate::support::dump::Dump;
use crate::support::glass::Glass;
use crate::support::needs::{needed, tools};
use crate::support::studio::{Studio, finish};
use crate::support::synthetic::label;
use crate::support::within;
use roombot::recording::manifest::Status;
use roombot::room::media::{Codec, Source};
use roombot::rtc::OutboundTrack;
use roombot::signal::{Signal, SignalCommand};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
