//! Recordings in the browser: the film, the tracks in sync without one, lists that lead to their moments, and what a hostile recording
//! cannot do. Pictures of the pages are left in target/pictures, for a person to look at.

use crate::film::{Made, job};
use crate::support::browser::{Browser, Page};
use crate::support::needs::{needed, tools};
use crate::support::{pause, within};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use roombot::container::matroska::scan;
use roombot::film::compose;
use roombot::film::layout::Policy;
use roombot::media::Library;
use roombot::recording::folder::RecordingFolder;
use roombot::recording::manifest::{FileEntry, FileState, Manifest, Status};
use roombot::recording::timeline::{Entry, Event};
use roombot::room::clock::{Basis, ClockSummary, LinearMapping, SessionTime};
use roombot::room::media::Source;
use roombot::verify::stamp::{LumaPlane, StampReader};
use roombot::verify::{Format, Job, make};
use roombot::viewer::Viewer;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

const PATIENCE: Duration = Duration::from_secs(60);
const DESK: (i64, i64) = (1280, 760);
const PHONE: (i64, i64) = (390, 800);
/// Notes in `problems` what goes wrong in a page.
const PROBLEMS: &str = "window.problems = [];
    addEventListener('error', (event) => problems.push(String(event.message)));
    addEventListener('unhandledrejection', (event) => problems.push(String(event.reason)));
    addEventListener('securitypolicyviolation', (event) => problems.push(`${event.violatedDirective} ${event.blockedURI}`));
    { const { error } = console; console.error = (...all) => { problems.push(all.join(' ')); error(...all); }; }";

/// A viewer that ends with its value.
struct Shown {
    address: SocketAddr,
    path: String,
    _stop: oneshot::Sender<()>,
}

impl Shown {
    async fn of(folder: &Path) -> Shown {
        let viewer = Viewer::bind("127.0.0.1:0".parse().unwrap(), folder.to_owned()).await.expect("a free port");
        let (address, path) = (viewer.local_addr(), viewer.path());
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(viewer.run(async move { drop(stopped.await) }));
        Shown { address, path, _stop: stop }
    }

    fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }

    async fn raw(&self, target: &str, headers: &str) -> (u16, String, Vec<u8>) {
        raw(&self.address.to_string(), target, headers).await
    }
}

/// The answer to a request as it is, with nothing made right by a client: its status, its head in lower case, its body.
async fn raw(address: &str, target: &str, headers: &str) -> (u16, String, Vec<u8>) {
    let host = if headers.contains("host:") { String::new() } else { format!("host: {address}\r\n") };
    let request = format!("GET {target} HTTP/1.1\r\n{host}{headers}connection: close\r\n\r\n");
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within(20, "an answer", socket.read_to_end(&mut answer)).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    (head[9..12].parse().unwrap(), head, answer[end + 4..].to_vec())
}

async fn open(browser: &Browser, shown: &Shown, fragment: &str) -> Page {
    let page = browser.page_with(&format!("{}{fragment}", shown.url()), PROBLEMS).await;
    page.resize(DESK.0, DESK.1).await;
    page.wait_for("window.roombot?.state.recording", PATIENCE, "the recording is loaded").await;
    page
}

/// A picture of the page, which is no wider than its window, and has had no problem.
async fn looks(page: &Page, name: &str, (width, height): (i64, i64)) {
    page.resize(width, height).await;
    let wide: i64 = page.eval("document.documentElement.scrollWidth").await;
    assert!(wide <= width, "{name}: the page is {wide} pixels wide, its window {width}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pictures");
    std::fs::create_dir_all(&folder).unwrap();
    page.screenshot(&folder.join(name)).await;
    let problems: Vec<String> = page.eval("problems").await;
    assert_eq!(problems, Vec::<String>::new(), "{name}");
}

fn chat(made: &mut Made, at: u64, who: &str, text: &str) {
    made.event(at, Event::Chat { participant: who.into(), text: text.into() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_plays_and_a_line_of_the_chat_leads_to_its_moment() {
    needed!(tools(&["chromium", "ffmpeg"]));
    let browser = Browser::launch().await;
    let dir = tempfile::tempdir().unwrap();
    let mut made = Made::new(dir.path());
    made.person("alice", 0, 4000);
    made.person("bob", 0, 4000);
    made.track("alice.webm", "alice", Source::Camera, (0, 4000));
    made.track("alice.webm", "alice", Source::Mic, (0, 4000));
    made.track("slides.webm", "bob", Source::Screen, (1000, 4000));
    for (at, speaks) in [(500, true), (2500, false)] {
        made.event(at, Event::Speech { participant: "alice".into(), speaks });
    }
    chat(&mut made, 1000, "alice", "good morning");
    chat(&mut made, 3000, "bob", "the last slide");
    let recording = made.save();
    let folder = recording.clone();
    let composed = move || compose(&Library::default(), &job(&folder, Policy::Auto), |_| Ok(()));
    tokio::task::spawn_blocking(composed).await.unwrap().unwrap();

    let shown = Shown::of(&recording).await;
    let page = open(&browser, &shown, "").await;
    page.wait_for("roombot.state.source === 'film.mp4'", PATIENCE, "the film is chosen").await;
    page.wait_for("roombot.element().readyState >= 2", PATIENCE, "the film is loaded").await;
    page.run("document.querySelector('#start').click()").await;
    page.wait_for("roombot.state.playing && roombot.element().currentTime > 0.7", PATIENCE, "it plays").await;
    page.run("document.querySelector('#play').click()").await;
    page.wait_for("!roombot.state.playing", PATIENCE, "it is paused").await;

    page.run("[...document.querySelectorAll('.said')].find((line) => line.innerText === 'the last slide').click()")
        .await;
    page.wait_for("!roombot.element().seeking && roombot.element().currentTime === 3", PATIENCE, "it is there").await;
    let hash: String = page.eval("location.hash").await;
    assert_eq!(hash, "#t=0:03");
    let marked = "document.querySelector('#panel-chat [aria-current] .said')?.innerText === 'the last slide'";
    page.wait_for(marked, PATIENCE, "the line is marked").await;
    page.run("document.querySelector('#tab-timeline').click()").await;
    page.run("[...document.querySelectorAll('.chapter')].find((one) => one.innerText.includes('shares')).click()")
        .await;
    page.wait_for("roombot.element().currentTime === 0", PATIENCE, "the chapter's beginning").await;
    let keys =
        "for (const key of ['ArrowRight', 'm']) dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }))";
    page.run(&keys.replace("dispatchEvent", "document.body.dispatchEvent")).await;
    page.wait_for("roombot.state.time >= 3990 && roombot.element().muted", PATIENCE, "keys are obeyed").await;
    // A slide of the film's stills.
    let slides: usize = page.eval("document.querySelectorAll('.slide img').length").await;
    assert!(slides > 0, "there are slides");
    looks(&page, "view-film.png", DESK).await;
    page.run("roombot.choose('tracks')").await;
    page.wait_for("roombot.state.tracks.length === 3 && !roombot.state.waiting", PATIENCE, "the tracks").await;

    let linked = open(&browser, &shown, "#t=0:02").await;
    linked.wait_for("roombot.state.time === 2000", PATIENCE, "the moment of the address").await;
}

const FPS: u64 = 30;
const SIZE: (u32, u32) = (256, 144);
/// By how much Bob's sound and picture are later in the session than in their files: his clock says more than `start_ms`.
const BOB_LATER: f64 = 1300.0;

/// What is seen and heard at once: session time, pictures as data URLs, and by how much the sounds are early, in milliseconds.
#[derive(Deserialize)]
struct Moment {
    at: f64,
    pictures: Vec<String>,
    sound: Vec<f64>,
}

const MOMENT: &str = "(() => {
    const { time: at, tracks } = roombot.state;
    const pictures = FILES.map((file) => {
        const canvas = Object.assign(document.createElement('canvas'), { width: 256, height: 144 });
        canvas.getContext('2d').drawImage(roombot.element(file), 0, 0, 256, 144);
        return canvas.toDataURL('image/png');
    });
    return { at, pictures, sound: tracks.filter(({ file }) => file.includes('.mic.')).map(({ session }) => session - at) };
})()";

/// When a picture was due in its source, in milliseconds: its middle.
fn due(picture: &str) -> Option<f64> {
    let png = BASE64_STANDARD.decode(picture.split_once(',')?.1).ok()?;
    let luma = image::load_from_memory(&png).ok()?.to_luma8();
    let size = (luma.width() as usize, luma.height() as usize);
    let plane = LumaPlane::new(luma.as_raw(), size, size.0)?;
    let stamp = StampReader::new().read(&plane).into_iter().find_map(|seen| seen.stamp)?;
    Some((f64::from(stamp.number) + 0.5) * 1000.0 / FPS as f64)
}

fn stamped(dir: &Path, participant: u8, format: Format) -> PathBuf {
    let out = dir.join(format!("{participant}.{}", if format == Format::H264 { "mkv" } else { "webm" }));
    let job = Job { participant, size: SIZE, fps: FPS as u32, seconds: 9, format, kilobits: 600, out: out.clone() };
    make(&Library::default(), &job, |_| Ok(())).unwrap();
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_film_the_tracks_play_in_sync() {
    needed!(tools(&["chromium"]));
    let browser = Browser::launch_alone().await;
    let dir = tempfile::tempdir().unwrap();
    let (alice, bob) = (stamped(dir.path(), 1, Format::Vp8), stamped(dir.path(), 2, Format::H264));
    let mut made = Made::new(dir.path());
    made.manifest.duration_ms = 9000;
    made.person("alice", 0, 9000);
    made.person("bob", 1000, 9000);
    made.part_of(&alice, "alice", Source::Camera, (0, 9000), 0, None);
    made.part_of(&alice, "alice", Source::Mic, (0, 9000), 0, Some((2000, 4000)));
    made.part_of(&bob, "bob", Source::Camera, (1000, 9000), 0, None);
    made.part_of(&bob, "bob", Source::Mic, (1000, 9000), 0, None);
    for track in &mut made.manifest.tracks[2..] {
        let rate = f64::from(track.clock_rate);
        let first = LinearMapping { origin_rtp: 500, origin: SessionTime((BOB_LATER * 1e6) as i64), rate };
        track.first_rtp = Some(500);
        track.clock = Some(ClockSummary {
            basis: Basis::SenderReports,
            first,
            error_ms: 1.0,
            drift_ppm: 0.0,
            clock_rate: track.clock_rate,
            reports_used: 3,
            reports_rejected: 0,
            later: vec![],
        });
    }
    let files: Vec<String> = made.manifest.tracks.iter().map(|track| track.file.clone()).collect();
    let recording = made.save();
    let shown = Shown::of(&recording).await;

    // Sound is played without regard to its times, so there must be no gap in it.
    let (status, _, sound) = shown.raw(&format!("{}media/tracks/{}?play", shown.path, files[1]), "").await;
    let heard = dir.path().join("heard.webm");
    std::fs::write(&heard, sound).unwrap();
    let [heard, written] = [heard, recording.join("tracks").join(&files[1])].map(|file| scan(&file).unwrap());
    assert_eq!((status, written.duration_ms), (200, heard.duration_ms));
    let played = heard.frames * 20;
    assert!(played.abs_diff(heard.duration_ms.unwrap()) <= 40, "it would be played for {played} ms");
    assert!(written.frames * 20 + 1900 < played, "the test has a gap of two seconds");

    let page = open(&browser, &shown, "").await;
    let moment = MOMENT.replace("FILES", &format!("{:?}", [&files[0], &files[2]]));
    let is_there = "!roombot.state.waiting && roombot.state.tracks.length === 4 && roombot.state.tracks.every((one) => one.ready >= 2 && !one.seeking)";
    for at in [2500.0, 7100.0, 1700.0] {
        page.run(&format!("roombot.seek({at})")).await;
        page.wait_for(is_there, PATIENCE, "all are at their place").await;
        page.run("await new Promise(requestAnimationFrame); await new Promise(requestAnimationFrame)").await;
        let seen: Moment = page.eval(&moment).await;
        for (picture, later) in seen.pictures.iter().zip([0.0, BOB_LATER]) {
            let off = due(picture).expect("a stamp is read") + later - at;
            assert!(off.abs() <= 34.0, "at {at} ms a picture is {off:.0} ms off");
        }
    }
    page.run("roombot.play()").await;
    page.wait_for("roombot.state.time > 4600", PATIENCE, "it plays").await;
    let mut seen: Vec<Moment> = Vec::new();
    for _ in 0..9 {
        seen.push(page.eval(&moment).await);
        pause(Duration::from_millis(150), "another picture is shown").await;
    }
    assert!(seen[8].at > seen[0].at + 500.0, "it plays on");
    for (who, later) in [0.0, BOB_LATER].into_iter().enumerate() {
        let off = |moment: &Moment| due(&moment.pictures[who]).map(|due| due + later - moment.at);
        let mut off: Vec<f64> = seen.iter().filter_map(off).collect();
        assert!(off.len() >= 5, "stamps are read");
        off.sort_by(f64::total_cmp);
        let middle = off[off.len() / 2];
        assert!(middle.abs() < 100.0, "pictures of {who} are {middle:.0} ms off: {off:.0?}");
    }
    for mic in 0..2 {
        let mut off: Vec<f64> = seen.iter().map(|moment| moment.sound[mic]).collect();
        off.sort_by(f64::total_cmp);
        assert!(off[4].abs() < 100.0, "sound {mic} is {off:.0?} ms off");
    }
    page.run("roombot.pause()").await;
    // A switched-off track is not played.
    page.run("document.querySelector('#tab-people').click(); document.querySelectorAll('.track input')[1].click()")
        .await;
    page.wait_for("roombot.state.tracks.length === 3", PATIENCE, "Alice's microphone is off").await;
    looks(&page, "view-tracks-phone.png", PHONE).await;
    looks(&page, "view-tracks.png", DESK).await;
}

const EVIL: &str = "<img src=x onerror=\"document.title='owned'\">";

#[tokio::test(flavor = "multi_thread")]
async fn what_participants_sent_stays_text_and_their_files_are_downloads() {
    needed!(tools(&["chromium"]));
    let browser = Browser::launch().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret.txt"), "secret").unwrap();
    let mut made = Made::new(dir.path());
    made.person("alice", 0, 4000);
    made.manifest.participants[0].name = EVIL.into();
    made.track("alice.webm", "alice", Source::Camera, (0, 4000));
    made.manifest.files.push(FileEntry {
        file: "files/alice/page.html".into(),
        participant: "alice".into(),
        name: format!("../{EVIL}.html"),
        mime: Some("text/html".into()),
        size: 8,
        bytes: 8,
        sha256: None,
        state: FileState::Received,
        reason: None,
        started_ms: 900,
        at_ms: 1000,
    });
    made.manifest.warnings.push(EVIL.into());
    chat(&mut made, 1000, "alice", "<script>document.title='owned'</script> javascript:alert(1) https://example.org/x");
    let recording = made.save();
    std::fs::create_dir_all(recording.join("files/alice")).unwrap();
    std::fs::write(recording.join("files/alice/page.html"), "<script>").unwrap();
    std::os::unix::fs::symlink(dir.path().join("secret.txt"), recording.join("link.json")).unwrap();
    let shown = Shown::of(&recording).await;

    let page = open(&browser, &shown, "").await;
    page.wait_for("roombot.state.tracks[0]?.ready >= 2", PATIENCE, "the track is loaded").await;
    for tab in ["timeline", "people", "files", "chat"] {
        page.run(&format!("document.querySelector('#tab-{tab}').click()")).await;
    }
    let (title, name): (String, String) =
        page.eval("[document.title, document.querySelector('#faces figcaption bdi').textContent]").await;
    assert_eq!((title.as_str(), name.as_str()), ("film · Roombot", EVIL));
    let made_of_it: usize =
        page.eval("document.querySelectorAll('#player [onerror], #player [src=x], #player script').length").await;
    assert_eq!(made_of_it, 0);
    let links: Vec<String> = page.eval("[...document.querySelectorAll('.said a')].map((link) => link.href)").await;
    assert_eq!(links, ["https://example.org/x"]);
    let name: String = page.eval("document.querySelector('#panel-files .entry-name').innerText").await;
    assert_eq!(name, format!("{}.html", EVIL.replace('/', "")));
    looks(&page, "view-hostile.png", DESK).await;

    let media = format!("{}media/", shown.path);
    let (status, head, body) = shown.raw(&format!("{media}files/alice/page.html"), "").await;
    assert_eq!((status, body.as_slice()), (200, &b"<script>"[..]));
    for header in [
        "content-type: application/octet-stream",
        "content-disposition: attachment",
        "x-content-type-options: nosniff",
        "content-security-policy: sandbox;",
    ] {
        assert!(head.contains(header), "{head}");
    }
    for wrong in [
        "../secret.txt",
        "..%2f..%2fsecret.txt",
        "%2e%2e/%2e%2e/secret.txt",
        "files/%2e%2e/%2e%2e/secret.txt",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "link.json",
        "files/alice",
        "tracks%00",
    ] {
        let (status, _, body) = shown.raw(&format!("{media}{wrong}"), "").await;
        assert!(matches!(status, 400 | 404), "{wrong}: {status}");
        assert!(!String::from_utf8_lossy(&body).contains("secret"), "{wrong}");
    }
    // Another folder beside the recording that is shown.
    assert_eq!(shown.raw("/recordings/secret.txt/", "").await.0, 404);
    assert_eq!(shown.raw("/recordings.json", "").await.0, 404);
    let (status, head, body) = shown.raw(&format!("{media}manifest.json"), "range: bytes=2-4\r\n").await;
    assert_eq!((status, body.len()), (206, 3));
    assert!(head.contains("content-range: bytes 2-4/"), "{head}");
    // A page of another site that has made its name lead here.
    assert_eq!(shown.raw(&format!("{}view.json", shown.path), "host: evil.example\r\n").await.0, 421);
    assert_eq!(shown.raw(&format!("{}view.json", shown.path), "host: localhost:1\r\n").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_are_listed_and_a_running_one_is_followed() {
    needed!(tools(&["chromium"]));
    let browser = Browser::launch().await;
    let dir = tempfile::tempdir().unwrap();
    let mut made = Made::new(dir.path());
    made.person("zoë", 0, 4000);
    made.track("alice.webm", "zoë", Source::Camera, (0, 4000));
    made.save();
    let now = jiff::Timestamp::now();
    let folder = RecordingFolder::create(dir.path(), "review", now).unwrap();
    let mut manifest = Manifest::new("review", "ws://127.0.0.1/rooms/review", now);
    manifest.save(&folder).unwrap();
    std::fs::create_dir(dir.path().join("other")).unwrap();

    let shown = Shown::of(dir.path()).await;
    let list = browser.page_with(&shown.url(), PROBLEMS).await;
    list.wait_for("document.querySelectorAll('.recording-card').length === 2", PATIENCE, "both are listed").await;
    let names =
        "[...document.querySelectorAll('.recording-card')].map((card) => card.innerText.replaceAll('\\n', ' '))";
    let cards: Vec<String> = list.eval(names).await;
    assert!(cards[0].contains("review") && cards[0].contains("Being recorded"), "the newest first: {cards:?}");
    assert!(cards[1].contains("zoë"), "{cards:?}");
    looks(&list, "view-list-phone.png", PHONE).await;
    looks(&list, "view-list.png", DESK).await;
    let search = |text: &str| {
        format!(
            "const field = document.querySelector('#search'); field.value = '{text}'; field.dispatchEvent(new Event('input'))"
        )
    };
    list.run(&search("ZOË film")).await;
    list.wait_for("document.querySelectorAll('.recording-card').length === 1", PATIENCE, "one is found").await;
    list.run(&search("nobody")).await;
    list.wait_for("document.querySelectorAll('.recording-card').length === 0", PATIENCE, "none is found").await;
    list.run(&search("review")).await;
    list.run("document.querySelector('.recording-card').click()").await;
    list.wait_for("window.roombot?.state.recording === 'recording'", PATIENCE, "it is opened").await;
    let told: String = list.eval("document.querySelector('#state').innerText").await;
    assert_eq!(told, "Being recorded");

    let event = Event::Chat { participant: "bob".into(), text: "still here".into() };
    folder.timeline().unwrap().append(&Entry { t_ms: 1500, at: now, event }).unwrap();
    manifest.duration_ms = 60_000;
    manifest.save(&folder).unwrap();
    let is_new = "document.querySelector('.said')?.innerText === 'still here' && roombot.state.length === 60000";
    list.wait_for(is_new, PATIENCE, "what came since is shown").await;
    manifest.status = Status::Complete;
    manifest.save(&folder).unwrap();
    list.wait_for("document.querySelector('#state').innerText === 'Complete'", PATIENCE, "the end is seen").await;
    looks(&list, "view-empty.png", DESK).await;
    list.run("document.querySelector('#list').click()").await;
    list.wait_for("document.querySelectorAll('.recording-card').length === 2", PATIENCE, "back to the list").await;
}

#[tokio::test]
async fn the_command_prints_its_address_and_ends_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut made = Made::new(dir.path());
    made.person("alice", 0, 4000);
    let recording = made.save();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_roombot"));
    command.arg("view").arg(&recording).args(["--json", "--no-open"]).kill_on_drop(true).stdout(Stdio::piped());
    let mut viewer = command.spawn().expect("it starts");
    let mut lines = BufReader::new(viewer.stdout.take().unwrap()).lines();
    let line = within(20, "its address", lines.next_line()).await.unwrap().expect("a line");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let url = line["url"].as_str().unwrap();
    let name = recording.file_name().unwrap().to_str().unwrap();
    assert!(url.starts_with("http://127.0.0.1:") && url.ends_with(&format!("/recordings/{name}/")), "{url}");
    let (address, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let (_, _, body) = raw(address, &format!("/{path}view.json"), "").await;
    let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&document["room"], &document["participants"][0]["key"]), (&"film".into(), &"alice".into()));
    assert_eq!(document["url"], "");
    let id = rustix::process::Pid::from_raw(viewer.id().unwrap() as i32).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let ended = within(20, "it ends", viewer.wait()).await.unwrap();
    assert!(ended.success(), "{ended}");

    let nowhere = tokio::process::Command::new(env!("CARGO_BIN_EXE_roombot")).args(["view", "/nowhere"]).output().await;
    assert_eq!(nowhere.unwrap().status.code(), Some(2));
}
