//! Simulcast (RFC 8853): a camera that comes in three sizes is one track, in the best of them, at every door.

use crate::support::browser::{Browser, Page};
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::probe::{probe, sizes};
use crate::support::sender::PATIENCE;
use crate::support::server::TestServer;
use crate::support::tape::{Recorded, Tape};
use roombot::recording::manifest::Status;
use roombot::recording::timeline::{Entry, Event};
use roombot::room::media::Source;
use std::time::Duration;

/// The page's camera in three layers, in this order. (Of a camera smaller than 1280x720 Chromium sends the first two only.)
fn layered(order: &str) -> String {
    format!(
        "{{
            const add = RTCPeerConnection.prototype.addTrack;
            const layers = {{ q: 4, h: 2, f: 1 }};
            RTCPeerConnection.prototype.addTrack = function (track, ...streams) {{
                if (track.kind !== 'video' || this.layered) return add.call(this, track, ...streams);
                this.layered = true;
                const sendEncodings = [...'{order}'].map((rid) => ({{ rid, scaleResolutionDownBy: layers[rid] }}));
                return this.addTransceiver(track, {{ streams, sendEncodings }}).sender;
            }};
        }}"
    )
}

async fn join(browser: &Browser, server: &TestServer, order: &str) -> Page {
    let url = server.page("layers", "name=Alice&auto=1&width=1280&height=720&fps=10");
    let page = browser.page_with(&url, &layered(order)).await;
    page.wait_for("window.roombot?.state.phase === 'joined'", PATIENCE, "joined").await;
    page
}

/// Waits until the largest layer is in the file: a busy machine takes its time.
async fn whole(tape: &Tape) {
    let is_whole = |entry: &Entry| matches!(entry.event, Event::Resolution { width: 1280, .. }).then_some(());
    tape.until("the largest layer", is_whole).await;
    pause(Duration::from_secs(2), "some of it").await;
}

/// One camera that became whole, and a microphone beside it.
fn is_one_camera(recorded: &Recorded) {
    let camera = recorded.track("alice", Source::Camera);
    let seen = probe(&recorded.path(camera));
    assert_eq!((seen.frames, seen.complaints.as_str()), (camera.frames, ""), "{camera:#?}");
    let sizes = sizes(&recorded.path(camera));
    // A machine with other tests on it may be too slow for the largest layer at times.
    assert!(sizes.contains(&(1280, 720)), "{sizes:?}: {camera:#?}");
    assert_eq!((recorded.manifest.status, &recorded.manifest.reasons), (Status::Complete, &Vec::new()));
    assert!(recorded.track("alice", Source::Mic).frames > 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_in_three_layers_is_recorded_once_and_whole() {
    needed!(tools(&["chromium", "ffmpeg"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    for order in ["qhf", "fhq"] {
        let tape = Tape::start(&server.room("layers"));
        let page = join(&browser, &server, order).await;
        crate::recorded::records(&tape, "alice").await;
        page.run("roombot.say('hello')").await;
        tape.until("chat", |entry| matches!(&entry.event, Event::Chat { text, .. } if text == "hello").then_some(()))
            .await;
        // Another offer: of what is described again, the packets carry no names any more.
        page.run("await roombot.share(true)").await;
        tape.until("screen", crate::recorded::track_on("alice", Source::Screen)).await;
        whole(&tape).await;
        let recorded = tape.finish().await;
        is_one_camera(&recorded);
        assert!(recorded.track("alice", Source::Camera).dropped["other-layer"] > 0, "{:#?}", recorded.manifest.tracks);
        page.close().await;
    }
}

/// A WHIP client of its own: the camera in three layers and the microphone, over one exchange.
const WHIP: &str = "
    const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 1280, height: 720, frameRate: 10 } });
    const pc = window.pc = new RTCPeerConnection();
    const layers = { q: 4, h: 2, f: 1 };
    const sendEncodings = [...'ORDER'].map((rid) => ({ rid, scaleResolutionDownBy: layers[rid] }));
    pc.addTransceiver(media.getVideoTracks()[0], { direction: 'sendonly', streams: [media], sendEncodings });
    pc.addTransceiver(media.getAudioTracks()[0], { direction: 'sendonly', streams: [media] });
    await pc.setLocalDescription();
    await new Promise((done) => {
        pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done();
        pc.onicegatheringstatechange();
    });
    const headers = { 'content-type': 'application/sdp' };
    const answer = await fetch('/whip/layers?name=Alice', { method: 'POST', headers, body: pc.localDescription.sdp });
    const sdp = await answer.text();
    if (!answer.ok) throw new Error(sdp);
    await pc.setRemoteDescription({ type: 'answer', sdp });
";

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_in_three_layers_comes_whole_by_whip() {
    needed!(tools(&["chromium", "ffmpeg"]));
    let server = TestServer::start_with(|config| config.whip = true).await;
    let browser = Browser::launch().await;
    let page = browser.page(&format!("http://{}/", server.address)).await;
    let tape = Tape::start(&server.room("layers"));
    page.run(&WHIP.replace("ORDER", "qhf")).await;
    crate::recorded::records(&tape, "alice").await;
    whole(&tape).await;
    is_one_camera(&tape.finish().await);
}
