//! WHIP and WHEP: who sends into a room by one HTTP request is a participant, and who watches by one sees them. A real browser does both.

use crate::support::bot::Bot;
use crate::support::browser::{Browser, Page};
use crate::support::cargo::only;
use crate::support::probe::probe;
use crate::support::server::TestServer;
use crate::support::within;
use roombot::record::folder::TIMELINE;
use roombot::record::manifest::Manifest;
use roombot::record::timeline::{Entry, Event, TimelineReader};
use roombot::room::media::Source;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(40);

/// One exchange as RFC 9725 has it, with all candidates in the offer.
const EXCHANGE: &str = r#"
    window.exchange = async (url, token) => {
        await pc.setLocalDescription();
        while (pc.iceGatheringState !== 'complete') await new Promise((then) => setTimeout(then, 20));
        const headers = { 'Content-Type': 'application/sdp', Authorization: `Bearer ${token}` };
        const answer = await fetch(url, { method: 'POST', headers, body: pc.localDescription.sdp });
        window.replied = answer.status;
        if (answer.status !== 201) return;
        window.session = answer.headers.get('Location');
        window.tag = answer.headers.get('ETag');
        await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
    };
"#;

async fn send(page: &Page, room: &str, token: &str) {
    page.run(EXCHANGE).await;
    page.run(&format!(
        "const media = await navigator.mediaDevices.getUserMedia({{ audio: true, video: {{ width: 640, height: 360 }} }});
         window.pc = new RTCPeerConnection();
         for (const track of media.getTracks()) pc.addTransceiver(track, {{ direction: 'sendonly', streams: [media] }});
         await exchange('/whip/{room}?name=Camera', '{token}');"
    ))
    .await;
}

async fn watch(page: &Page, room: &str, token: &str) {
    page.run(EXCHANGE).await;
    page.run(&format!(
        "window.pc = new RTCPeerConnection();
         for (const kind of ['audio', 'video']) pc.addTransceiver(kind, {{ direction: 'recvonly' }});
         window.video = document.createElement('video');
         [video.muted, video.autoplay] = [true, true];
         document.body.append(video);
         pc.ontrack = ({{ track }}) => {{ (video.srcObject ??= new MediaStream()).addTrack(track); }};
         window.decoded = async () => [...(await pc.getStats()).values()]
             .find((one) => one.type === 'inbound-rtp' && one.kind === 'video')?.framesDecoded ?? 0;
         window.heard = async () => [...(await pc.getStats()).values()]
             .find((one) => one.type === 'inbound-rtp' && one.kind === 'audio')?.packetsReceived ?? 0;
         await exchange('/whep/{room}/Camera', '{token}');"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_sends_by_whip_is_recorded_and_seen_by_whep() {
    let server = TestServer::start_with(|config| {
        (config.whip, config.whep, config.token) = (true, true, Some("s3cret".into()));
    })
    .await;
    let dir = tempfile::tempdir().expect("a folder");
    let recorder = Bot::record(&server.room("studio"), dir.path(), &["--quiet", "--token", "s3cret"]);
    let browser = Browser::launch().await;
    let door = format!("http://{}/", server.address);
    let camera = browser.page(&door).await;

    send(&camera, "studio", "wrong").await;
    assert_eq!(camera.eval::<u16>("window.replied").await, 401);
    send(&camera, "studio", "s3cret").await;
    assert_eq!(camera.eval::<u16>("window.replied").await, 201);
    assert!(camera.eval::<bool>("Boolean(session && tag)").await);
    camera.wait_for("pc.connectionState === 'connected'", PATIENCE, "the camera is connected").await;

    let viewer = browser.page(&door).await;
    watch(&viewer, "studio", "s3cret").await;
    assert_eq!(viewer.eval::<u16>("window.replied").await, 201);
    viewer.wait_for("decoded().then((n) => n >= 60 && video.videoWidth === 640)", PATIENCE, "the viewer sees").await;
    viewer.wait_for("heard().then((n) => n >= 50)", PATIENCE, "the viewer hears").await;
    let leave =
        "fetch(session, { method: 'DELETE', headers: { Authorization: 'Bearer s3cret' } }).then((r) => r.status)";
    assert_eq!(viewer.eval::<u16>(leave).await, 200);
    assert_eq!(camera.eval::<u16>(leave).await, 200);
    assert_eq!(camera.eval::<u16>(leave).await, 404);
    // Who says goodbye is gone from the room at once.
    let recording = only(dir.path());
    let left = async {
        let gone = |entry: Entry| matches!(entry.event, Event::Left { participant, .. } if participant == "camera");
        while !TimelineReader::open(&recording.join(TIMELINE)).expect("a timeline").any(gone) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(10, "the camera has left", left).await;
    recorder.interrupt();
    let outcome = recorder.ended(PATIENCE).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let folder = std::path::PathBuf::from(outcome.stdout.trim());
    let manifest = Manifest::load(&folder).expect("a manifest");
    let person = manifest.participants.iter().find(|p| p.name == "Camera").expect("a participant");
    assert!(person.present.iter().all(|span| span.end_ms.is_some_and(|end| end < manifest.duration_ms)));
    for (source, least) in [(Source::Camera, 60), (Source::Mic, 100)] {
        let track = manifest.tracks.iter().find(|t| t.source == source && t.participant == person.key);
        let track = track.unwrap_or_else(|| panic!("no {source:?}: {:#?}", manifest.tracks));
        assert!(track.frames >= least && track.lost == 0, "{track:?}");
        let seen = probe(&folder.join("tracks").join(&track.file));
        assert_eq!((seen.frames, seen.complaints.as_str()), (track.frames, ""), "{}", track.file);
    }
}
