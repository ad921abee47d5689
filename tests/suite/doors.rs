//! WHIP and WHEP: who sends into a room by one HTTP request is a participant, and who watches by one sees them. A real browser does both.

use crate::support::bot::{Bot, run};
use crate::support::browser::{Browser, Page};
use crate::support::cargo::only;
use crate::support::ffmpeg;
use crate::support::needs::{needed, tools};
use crate::support::probe::probe;
use crate::support::server::TestServer;
use crate::support::within;
use crate::support::{moment, pause};
use roombot::media::Library;
use roombot::recording::folder::TIMELINE;
use roombot::recording::manifest::Manifest;
use roombot::recording::timeline::{Entry, Event, TimelineReader};
use roombot::room::media::Source;
use roombot::verify::{Format, Job, make};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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

async fn watch(page: &Page, who: &str, token: &str) {
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
         await exchange('/whep/{who}', '{token}');"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_sends_by_whip_is_recorded_and_seen_by_whep() {
    needed!(tools(&["ffmpeg", "chromium"]));
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
    watch(&viewer, "studio/Camera", "s3cret").await;
    assert_eq!(viewer.eval::<u16>("window.replied").await, 201);
    viewer.wait_for("decoded().then((n) => n >= 60 && video.videoWidth === 640)", PATIENCE, "the viewer sees").await;
    viewer.wait_for("heard().then((n) => n >= 50)", PATIENCE, "the viewer hears").await;
    // Who proved at the door who they are proves it again: knowing the address is not enough.
    assert_eq!(viewer.eval::<u16>("fetch(session, { method: 'DELETE' }).then((r) => r.status)").await, 401);
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
            moment().await;
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

/// Ten seconds of stamped pictures and sound that FFmpeg sends, key frames two seconds apart: every picture from the first to the last
/// is in the recording.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ffmpeg_sends_by_whip_is_recorded_whole() {
    let program = needed!(ffmpeg::with_whip().await);
    let server = TestServer::start_with(|config| (config.whip, config.token) = (true, Some("s3cret".into()))).await;
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("alice.mkv");
    let job = Job { participant: 1, size: (320, 180), fps: 25, seconds: 10, format: Format::H264, kilobits: 500, out };
    let made = make(&Library::default(), &job, |_| Ok(())).expect("a stamped file");
    let recorder = Bot::record(&server.room("studio"), &dir.path().join("out"), &["--quiet", "--token", "s3cret"]);
    let recording = async {
        while std::fs::read_dir(dir.path().join("out")).map_or(0, Iterator::count) == 0 {
            moment().await;
        }
    };
    within(20, "the recorder is there", recording).await;
    let mut command = Command::new(program);
    command.args(["-hide_banner", "-nostdin", "-loglevel", "warning", "-re"]);
    for file in &made {
        command.arg("-i").arg(file);
    }
    command
        .args(
            "-c:v libx264 -preset ultrafast -profile:v baseline -bf 0 -g 50 -b:v 800k -c:a libopus -ac 2 -ar 48000"
                .split(' '),
        )
        .args(["-authorization", "s3cret", "-f", "whip"])
        .arg(format!("http://{}/whip/studio?name=alice", server.address))
        .stdin(Stdio::null());
    let code = ffmpeg::ended(command.spawn().expect("it starts"), Duration::from_secs(60)).await;
    println!("ffmpeg ended with {code:?}");
    let left = async {
        let timeline = only(&dir.path().join("out")).join(TIMELINE);
        let gone = |entry: Entry| matches!(entry.event, Event::Left { participant, .. } if participant == "alice");
        while !TimelineReader::open(&timeline).expect("a timeline").any(gone) {
            moment().await;
        }
    };
    within(60, "FFmpeg has left", left).await;
    recorder.interrupt();
    let outcome = recorder.ended(PATIENCE).await;
    let folder = PathBuf::from(outcome.stdout.trim());
    let manifest = Manifest::load(&folder).expect("a manifest");
    let camera = manifest.tracks.iter().find(|track| track.source == Source::Camera);
    let camera = camera.unwrap_or_else(|| panic!("no camera: {manifest:#?}"));
    println!("{} of {} pictures were recorded, {} packets lost", camera.frames, job.seconds * job.fps, camera.lost);
    let expected = ["participants == 1", "dropped == 0", "out_of_order == 0", "sound_gaps == 0", "av_p95_ms <= 45"];
    let expected: Vec<&str> = expected.iter().flat_map(|one| ["--expect", one]).collect();
    let target = folder.to_str().expect("UTF-8");
    let verdict = run(&[&["verify", target][..], &expected].concat()).await;
    assert_eq!(verdict.code, Some(0), "{}\n{}", verdict.stdout, verdict.stderr);
    let sent = u64::from(job.seconds * job.fps);
    assert!(camera.frames + 5 >= sent, "{} of {sent} pictures", camera.frames);
}

/// A page without an account in the room watches what a bot makes of somebody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_watches_the_filter_by_whep() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start_with(|config| config.whep = true).await;
    let room = server.room("studio");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/alice.webm");
    let _alice = Bot::start(&["feed", &room, file.to_str().expect("UTF-8"), "--as", "Alice", "--loop"]);
    let _filter = Bot::start(&["filter", &room, "--video", "grey-average", "--only", "Alice", "--to", "all"]);
    let browser = Browser::launch().await;
    let page = browser.page(&format!("http://{}/", server.address)).await;
    // How far from grey what a video shows is, at most, in steps of 255.
    page.run(
        "window.colour = (video) => {
            const canvas = new OffscreenCanvas(160, 90).getContext('2d');
            canvas.drawImage(video, 0, 0, 160, 90);
            const { data } = canvas.getImageData(0, 0, 160, 90);
            let most = 0;
            for (let at = 0; at < data.length; at += 4) {
                const [r, g, b] = data.subarray(at, at + 3);
                most = Math.max(most, Math.abs(r - g), Math.abs(g - b), Math.abs(b - r));
            }
            return most;
        };",
    )
    .await;
    for (who, grey) in [("studio", true), ("studio/Alice", false)] {
        // Nobody is to be seen until the bot and she are there.
        let seen = async {
            loop {
                watch(&page, who, "").await;
                match page.eval::<u16>("window.replied").await {
                    201 => break,
                    404 | 409 | 503 => pause(Duration::from_millis(200), "each look is a request").await,
                    other => panic!("{who}: {other}"),
                }
            }
        };
        within(60, "there is something to watch", seen).await;
        page.wait_for("decoded().then((n) => n >= 15 && video.videoWidth > 0)", PATIENCE, "the page sees").await;
        let colour = page.eval::<u8>("colour(video)").await;
        assert_eq!(colour < 24, grey, "{who}: {colour}");
        page.run("pc.close()").await;
    }
}
