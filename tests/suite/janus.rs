//! VideoRooms of a real Janus: what Chromium publishes there is recorded, whoever comes and goes; what a bot feeds arrives; a lost socket and a
//! lost server are survived, or said; and Janus' own recording of the same room is judged beside ours.

use crate::support::bot::{self, Bot};
use crate::support::browser::{Browser, Page};
use crate::support::cargo::only;
use crate::support::janus::Janus;
use crate::support::needs::{needed, tools};
use crate::support::proxy::Proxy;
use crate::support::within;
use crate::support::{moment, pause};
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use roombot::media::Library;
use roombot::recording::folder::TIMELINE;
use roombot::recording::manifest::Manifest;
use roombot::recording::timeline::{Event, TimelineReader};
use roombot::room::media::Source;
use roombot::verify::stamp::number_of;
use roombot::verify::verdict::{TargetReport, judge};
use roombot::verify::{Format, Job, make, target};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const ROOMS: &str = "room-1234: { description = \"test\"\n pin = \"hush\"\n publishers = 6\n bitrate = 2000000\n \
                     audiocodec = \"opus\"\n videocodec = \"vp8\"\n record = true\n rec_dir = \"REC\" }\n\
                     room-55: { description = \"small\"\n publishers = 1\n audiocodec = \"opus\"\n videocodec = \"vp8\" }\n";

/// Serves the page, and what it plays.
async fn site(files: HashMap<String, Vec<u8>>) -> SocketAddr {
    let mut site = Router::new()
        .route("/room", get(|| async { ([(CONTENT_TYPE, "text/html")], "<!doctype html><title>A room</title>") }))
        .route("/", get(|| async { ([(CONTENT_TYPE, "text/html")], include_str!("../pages/janus.html")) }));
    for (name, bytes) in files {
        let bytes = bytes::Bytes::from(bytes);
        site = site.route(&format!("/{name}"), get(move || async move { ([(CONTENT_TYPE, "video/webm")], bytes) }));
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move { axum::serve(listener, site).await });
    address
}

/// Half a minute of somebody, as a file.
fn stamped(dir: &Path, name: &str, size: (u32, u32)) -> PathBuf {
    let out = dir.join(format!("{name}.webm"));
    let participant = number_of(name);
    let job = Job { participant, size, fps: 15, seconds: 24, format: Format::Vp8, kilobits: 600, out: out.clone() };
    make(&Library::default(), &job, |_| Ok(())).expect("a stamped file");
    out
}

/// What the timeline of the recording below a folder says, as far as it is written.
fn events(out: &Path) -> Vec<Event> {
    TimelineReader::open(&only(out).join(TIMELINE)).expect("a timeline").map(|entry| entry.event).collect()
}

/// Waits until the recording has begun and its timeline says this.
async fn until(out: &Path, what: &str, says: impl Fn(&Event) -> bool) {
    let late = Instant::now() + PATIENCE;
    loop {
        let begun = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
        let told = if begun && only(out).join(TIMELINE).exists() { events(out) } else { Vec::new() };
        if told.iter().any(&says) {
            return;
        }
        assert!(Instant::now() < late, "not within {PATIENCE:?}: {what}: {told:#?}");
        moment().await;
    }
}

fn begins(who: &'static str, source: Source) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::TrackOn { participant, source: s, .. } if participant == who && *s == source)
}

fn leaves(who: &'static str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Left { participant, .. } if participant == who)
}

/// What Janus wrote of somebody, as one file, by the times at which its two halves began.
fn by_janus(janus: &Janus, feed: u64, out: &Path) -> PathBuf {
    let (mut parts, mut begun) = (Vec::new(), Vec::new());
    for (kind, extension, rate) in [("video", "webm", 90_000.0), ("audio", "opus", 48_000.0)] {
        let mjr = janus.recorded(feed, kind);
        let part = out.join(format!("{feed}.{extension}"));
        let done = Command::new("janus-pp-rec").arg(&mjr).arg(&part).output().expect("janus-pp-rec runs");
        assert!(part.exists(), "{}", String::from_utf8_lossy(&done.stdout));
        begun.push(Janus::begun(&mjr, rate));
        parts.push(part);
    }
    let whole = out.join(format!("{feed}.mkv"));
    let later = format!("{:.3}", begun[1] - begun[0]);
    let ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-i"])
        .arg(&parts[0])
        .args(["-itsoffset", &later, "-i"])
        .arg(&parts[1])
        .args(["-map", "0:v", "-map", "1:a", "-c", "copy"])
        .arg(&whole)
        .output()
        .expect("ffmpeg runs");
    assert!(ffmpeg.status.success(), "{}", String::from_utf8_lossy(&ffmpeg.stderr));
    whole
}

fn judged(path: &Path, names: &target::StampNumbers) -> TargetReport {
    judge(&target::read(&Library::default(), path, names).expect("it is there"), &[], names, |_| vec![])
}

fn line(who: &str, by: &str, figures: &BTreeMap<&'static str, f64>) {
    let names = ["frames", "lost_percent", "freezes", "marks", "marks_lost", "av_p50_ms", "av_p95_ms"];
    let figures = names.map(|name| figures.get(name).map_or("-".to_owned(), |value| format!("{value:.1}")));
    println!("| {who} | {by} | {} |", figures.join(" | "));
}

/// Publishers in one tab, each in a frame of its own: a hidden tab shows its film to nobody.
struct Publishers {
    janus: SocketAddr,
    site: SocketAddr,
    page: Page,
}

impl Publishers {
    async fn enter(&self, name: &str, media: &str, more: &str) {
        let (janus, site) = (self.janus, self.site);
        let url = format!("http://{site}/?ws=ws://{janus}&room=1234&pin=hush&name={name}&media={media}.webm{more}");
        let frame = format!(
            "const frame = Object.assign(document.createElement('iframe'), {{ name: '{name}', src: '{url}' }});
             document.body.append(frame);
             await new Promise((loaded) => {{ frame.onload = loaded; }});"
        );
        self.page.run(&frame).await;
        let there = format!("frames.{name}.state.up || frames.{name}.state.error");
        self.page.wait_for(&there, PATIENCE, &format!("{name} publishes")).await;
        assert_eq!(self.page.eval::<String>(&format!("String(frames.{name}.state.error)")).await, "null");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_browsers_are_recorded_by_the_bot_and_by_janus_itself() {
    needed!(tools(&["ffmpeg", "chromium", "janus-pp-rec"]));
    let janus = needed!(Janus::start(ROOMS).await);
    let dir = tempfile::tempdir().expect("a folder");
    let mut files = HashMap::new();
    for (name, size) in [("alice", (320, 180)), ("bob", (320, 180)), ("carol", (960, 540))] {
        let file = stamped(dir.path(), name, size);
        files.insert(format!("{name}.webm"), std::fs::read(file).expect("a file"));
    }
    let browser = Browser::launch_alone().await;
    let site = site(files).await;
    let page = browser.page(&format!("http://{site}/room")).await;
    let publishers = Publishers { janus: janus.address(), site, page };
    let page = &publishers.page;
    // One is there before the recorder, the others come later.
    publishers.enter("alice", "alice", "").await;
    let out = dir.path().join("ours");
    let recorder = Bot::record(&janus.room("1234?pin=hush"), &out, &["--quiet"]);
    until(&out, "Alice is recorded", begins("alice", Source::Camera)).await;
    publishers.enter("bob", "bob", "").await;
    publishers.enter("carol", "carol", "&simulcast=1").await;
    until(&out, "Bob is recorded", begins("bob", Source::Camera)).await;
    until(&out, "Carol is recorded", begins("carol", Source::Camera)).await;
    // A sender begins with the lower ones, and gets as far as the path and the machine let it.
    let best =
        |event: &Event| matches!(event, Event::Resolution { file, width: 960, height: 540 } if file.contains("carol"));
    until(&out, "the best of Carol's three pictures is taken", best).await;
    page.run("await frames.alice.share()").await;
    until(&out, "Alice shares a screen", begins("alice", Source::Screen)).await;
    pause(Duration::from_secs(4), "a screen of some length").await;
    let mut feeds: Vec<u64> = Vec::new();
    for name in ["alice", "bob", "carol"] {
        feeds.push(page.eval(&format!("frames.{name}.state.feed")).await);
    }
    let carol_sends: serde_json::Value = page.eval("frames.carol.layers()").await;
    // Who comes next stands where Bob stood.
    page.run("await frames.bob.leave()").await;
    until(&out, "Bob has left", leaves("bob")).await;
    publishers.enter("dave", "alice", "").await;
    until(&out, "Dave is recorded", begins("dave", Source::Camera)).await;
    until(&out, "Dave is heard", begins("dave", Source::Mic)).await;
    page.run("await frames.dave.leave()").await;
    page.run("await frames.carol.unpublish()").await;
    page.run("await frames.alice.leave()").await;
    until(&out, "Alice has left", leaves("alice")).await;
    recorder.interrupt();
    let outcome = recorder.ended(PATIENCE).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let folder = PathBuf::from(outcome.stdout.trim());
    let manifest = Manifest::load(&folder).expect("a manifest");

    assert!(carol_sends.as_array().is_some_and(|layers| layers.len() == 3), "{carol_sends}");
    // Everybody by themselves, with what they sent and nothing of others', however sections were used.
    for (who, sources) in [
        ("alice", &[Source::Camera, Source::Mic, Source::Screen][..]),
        ("bob", &[Source::Camera, Source::Mic]),
        ("carol", &[Source::Camera, Source::Mic]),
        ("dave", &[Source::Camera, Source::Mic]),
    ] {
        let of = |source: Source| manifest.tracks.iter().find(|t| t.participant == who && t.source == source);
        for track in sources.iter().map(|source| of(*source).unwrap_or_else(|| panic!("{who} has no {source:?}"))) {
            assert!(track.frames > 0 && track.lost * 20 <= track.packets, "{track:?}");
        }
        let person = manifest.participants.iter().find(|p| p.key == who).expect("a participant");
        assert!(person.present.iter().all(|span| span.end_ms.is_some()), "{person:?}");
    }
    let names = target::StampNumbers::from([("dave".to_owned(), number_of("alice"))]);
    let ours = judged(&folder, &names);
    println!("| who | recorded by | pictures | lost % | freezes | marks | lost | A/V p50 ms | p95 ms |");
    for (who, feed) in [("alice", feeds[0]), ("bob", feeds[1]), ("carol", feeds[2])] {
        let theirs = judged(&by_janus(&janus, feed, dir.path()), &names);
        let of = |judged: &TargetReport| {
            let person = judged.participants.iter().find(|p| p.number == number_of(who));
            person.unwrap_or_else(|| panic!("{who}: {judged:#?}")).measures.figures.clone()
        };
        let (ours, theirs) = (of(&ours), of(&theirs));
        line(who, "roombot", &ours);
        line(who, "Janus", &theirs);
        assert_eq!(ours["wrong"], 0.0, "{who}");
        // Who comes later is there from their first pictures on: at most we wait for one more key frame.
        let is_there = who == "alice" || ours["frames"] + 8.0 >= theirs["frames"];
        assert!(is_there, "{who}: {ours:?} {theirs:?}; key frames were asked for: {:#?}", janus.says("sending PLI to"));
        // What a browser leaves out is missing in both.
        assert!(ours["lost_percent"] <= theirs["lost_percent"] + 2.0, "{who}: {ours:?} {theirs:?}");
        assert!((ours["av_p50_ms"] - theirs["av_p50_ms"]).abs() <= 60.0, "{who}: {ours:?} {theirs:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_fed_arrives_over_a_lost_socket_and_a_lost_server_is_said() {
    let mut janus = needed!(Janus::start(ROOMS).await);
    let dir = tempfile::tempdir().expect("a folder");
    // Who is to act is said at the door.
    for (rest, code, says) in [
        ("99", 2, "has no room 99"),
        ("1234", 3, "room 1234 has a pin"),
        ("1234?pin=loud", 3, "room 1234 has another pin"),
    ] {
        let refused = bot::run(&["record", &janus.room(rest), "--out", dir.path().to_str().expect("UTF-8")]).await;
        assert!(refused.code == Some(code) && refused.stderr.contains(says), "{rest}: {refused:?}");
    }
    let proxy = Proxy::start(janus.address()).await;
    let out = dir.path().join("ours");
    let through = format!("janus+ws://{}/1234?pin=hush", proxy.address);
    let recorder = Bot::record(&through, &out, &["--quiet"]);
    until(&out, "it has begun", |event| matches!(event, Event::RecordingStarted { .. })).await;
    let fixture = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
    let feeder = Bot::start(&["feed", &through, &fixture, "--as", "Alice", "--loop"]);
    until(&out, "Alice is recorded", begins("alice", Source::Mic)).await;
    until(&out, "Alice is seen", begins("alice", Source::Camera)).await;
    janus.until_it_says("PLI from subscriber sending PLI to").await;
    // Both lose their way to the server, and media goes on.
    proxy.cut();
    until(&out, "the socket was lost", |event| matches!(event, Event::Reconnecting { .. })).await;
    until(&out, "it is back", |event| matches!(event, Event::Resumed {})).await;
    let second = Bot::start(&["feed", &through, &fixture, "--as", "Bob", "--loop"]);
    until(&out, "Bob is seen", begins("bob", Source::Camera)).await;
    assert!(!events(&out).iter().any(leaves("alice")), "a claimed session is still there");
    second.interrupt();
    until(&out, "Bob has left", leaves("bob")).await;
    drop(feeder);
    let lost = || events(&out).iter().filter(|event| matches!(event, Event::Reconnecting { .. })).count();
    let before = lost();
    janus.kill();
    let noticed = async {
        while lost() == before {
            moment().await;
        }
    };
    within(PATIENCE.as_secs(), "the server's end is noticed", noticed).await;
    recorder.interrupt();
    let outcome = recorder.ended(PATIENCE).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let manifest = Manifest::load(Path::new(outcome.stdout.trim())).expect("a manifest");
    let of =
        |who: &str, source| manifest.tracks.iter().filter(move |t| t.participant == who && t.source == source).count();
    assert_eq!((of("alice", Source::Camera), of("alice", Source::Mic)), (1, 1), "{:#?}", manifest.tracks);
    assert_eq!((of("bob", Source::Camera), of("bob", Source::Mic)), (1, 1), "{:#?}", manifest.tracks);
    assert!(manifest.tracks.iter().all(|track| track.lost == 0), "{:#?}", manifest.tracks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filtered_pictures_keep_their_size() {
    let janus = needed!(Janus::start(ROOMS).await);
    let dir = tempfile::tempdir().expect("a folder");
    let (room, out) = (janus.room("1234?pin=hush"), dir.path().join("ours"));
    let recorder = Bot::record(&room, &out, &["--quiet"]);
    until(&out, "it has begun", |event| matches!(event, Event::RecordingStarted { .. })).await;
    let sources = ["--video", "pattern:ball,640x360@15", "--audio", "tone", "--as", "Alice"];
    let _feeder = Bot::start(&[&["feed", room.as_str()][..], &sources].concat());
    let _filter = Bot::start(&["filter", &room, "--video", "grey-average"]);
    until(&out, "the filtered picture is there", begins("filter", Source::Camera)).await;
    until(&out, "the filtered sound is there", begins("filter", Source::Mic)).await;
    // What the path carries is known after a second or two; a machine that stands still for a moment may cost size for some more.
    pause(Duration::from_secs(4), "how much the path carries is known after it").await;
    let size = || {
        let mut sizes = events(&out).into_iter().filter_map(|event| match event {
            Event::Resolution { file, width, height } if file.contains("filter") => Some((width, height)),
            _ => None,
        });
        sizes.next_back()
    };
    let whole = async {
        while size() != Some((640, 360)) {
            moment().await;
        }
    };
    within(PATIENCE.as_secs(), "pictures of their own size", whole).await;
    recorder.interrupt();
    assert_eq!(recorder.ended(PATIENCE).await.code, Some(0));
}
