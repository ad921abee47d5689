//! What a film costs beside ffmpeg: the same recording, the same x264 with the same settings, CPU-seconds of either process and their
//! ratio. Four faces in a grid against `xstack` and `amix`; 1080p slides that change twice a minute with four faces beside them against
//! the same arrangement of `scale` and `overlay`. For each the settings of our usual films, and those that ffmpeg's users would take.
//!
//! `cargo bench --bench compose [-- --seconds 60]`

use roombot::container::matroska::TrackFormat;
use roombot::media::{Library, MediaSource};
use roombot::recording::folder::RecordingFolder;
use roombot::recording::manifest::{Manifest, ParticipantEntry, Span, Status, TrackEntry};
use roombot::recording::track::TrackFile;
use roombot::room::media::{Frame, MediaKind, Source};
use roombot::room::participant::Role;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What x264 is told, as ffmpeg has it and as our element has it: the default of `pipelines/compose/film-h264.gst`, and what ffmpeg's
/// users would take.
const SETTINGS: [(&str, &str, &str); 2] = [
    ("as it is", "-preset superfast -qp 24 -x264-params bframes=5:weightp=0:b-adapt=0:scenecut=0:subme=2", ""),
    ("veryfast, CRF 23", "-preset veryfast -crf 23", "x264enc pass=qual quantizer=23 speed-preset=veryfast"),
];
/// Who is there: a fixture each.
const PEOPLE: [&str; 4] = ["alice.webm", "bob.webm", "carol.mkv", "alice.webm"];

/// The same without loss, for all that an eye could tell: what SSIM is measured against.
const FINE: &str = "-preset ultrafast -qp 1";

/// A case: what ffmpeg is to do with the cameras, then the screen if there is one.
struct Case<'a> {
    name: &'a str,
    recording: PathBuf,
    filter: String,
    screen: bool,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|a| a == "--test") {
        return;
    }
    let number = |flag: &str, usual: u64| {
        let at = args.iter().position(|a| a == flag);
        at.and_then(|at| args.get(at + 1)).and_then(|n| n.parse().ok()).unwrap_or(usual)
    };
    let (seconds, runs) = (number("--seconds", 60), number("--runs", 2).max(1));
    let dir = std::env::temp_dir().join(format!("roombot-compose-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    // Every input at the film's rate before they are put together: `xstack` and `overlay` make a picture for each that comes.
    let mut grid: String = (0..4).map(|face| format!("[{face}:v]fps=30[f{face}];")).collect();
    grid += "[f0][f1][f2][f3]xstack=inputs=4:layout=0_0|w0_0|0_h0|w0_h0[v]";
    let mut beside: String = (0..4).map(|face| format!("[{face}:v]scale=248:138,fps=30[f{face}];")).collect();
    beside += "[4:v]scale=988:556,fps=30,pad=1280:720:16:82[s];[s][f0]overlay=1016:66[a];[a][f1]overlay=1016:216[b];\
               [b][f2]overlay=1016:366[c];[c][f3]overlay=1016:516[v]";
    let slides = slides(&dir, seconds);
    let cases = [
        Case {
            name: "4 faces, grid",
            recording: recording(&dir.join("faces"), seconds, None),
            filter: grid,
            screen: false,
        },
        Case {
            name: "slides and 4 faces",
            recording: recording(&dir.join("slides"), seconds, Some(&slides)),
            filter: beside,
            screen: true,
        },
    ];
    println!(
        "{seconds} s of meeting at 1280x720, 30 pictures a second, x264, {runs} runs in turn, the cheapest of each; \
         CPU-seconds a meeting minute. Both have x264 with the same settings.\n"
    );
    println!(
        "{:<38} {:>9} {:>9} {:>6}   {:>9} {:>9}   {:>8} {:>8}",
        "", "roombot", "ffmpeg", "ratio", "kB", "kB", "SSIM", "SSIM"
    );
    for case in &cases {
        SETTINGS.iter().for_each(|settings| compare(case, *settings, &dir, seconds, runs));
    }
    let _ = std::fs::remove_dir_all(&dir);
}

fn compare(case: &Case, (name, told, element): (&str, &str, &str), dir: &Path, seconds: u64, runs: u64) {
    let (ours, theirs) = (dir.join("ours.mp4"), dir.join("theirs.mp4"));
    let (mut us, mut them) = (f64::MAX, f64::MAX);
    let pipelines = pipeline(dir, name, |text| if element.is_empty() { text.into() } else { with(text, element) });
    // As our pipeline is told (`film/format.rs`): several threads of x264 cost more than one, and have no core of their own here.
    let few_cores = std::thread::available_parallelism().is_ok_and(|cores| cores.get() <= 2);
    let told = if few_cores { format!("{told} -threads:v 1") } else { told.to_owned() };
    for _ in 0..runs {
        us = us.min(cpu_of(&mut roombot(case, &ours, &pipelines)));
        them = them.min(cpu_of(&mut ffmpeg(case, &theirs, seconds, &told)));
    }
    let (our_settings, their_settings) = (settings(&ours), settings(&theirs));
    let differ: Vec<_> = our_settings.iter().filter(|word| !their_settings.contains(word)).collect();
    if !differ.is_empty() {
        println!("x264 says of our film, and not of ffmpeg's: {differ:?}");
    }
    // The same pictures without loss, to say what the encoder made of them.
    let (our_source, their_source) = (dir.join("ours-fine.mp4"), dir.join("theirs-fine.mp4"));
    cpu_of(&mut roombot(case, &our_source, &pipeline(dir, "fine", fine)));
    cpu_of(&mut ffmpeg(case, &their_source, seconds, FINE));
    let kilobytes = |path: &Path| std::fs::metadata(path).map_or(0, |about| about.len() / 1000);
    let minute = |cpu: f64| cpu * 60.0 / seconds as f64;
    println!(
        "{:<38} {:>9.1} {:>9.1} {:>6.2}   {:>9} {:>9}   {:>8.5} {:>8.5}",
        format!("{}, {name}", case.name),
        minute(us),
        minute(them),
        us / them,
        kilobytes(&ours),
        kilobytes(&theirs),
        ssim(&ours, &our_source),
        ssim(&theirs, &their_source)
    );
    for path in [ours, theirs, our_source, their_source] {
        let _ = std::fs::remove_file(path);
    }
}

fn roombot(case: &Case, out: &Path, pipelines: &Path) -> Command {
    let _ = std::fs::remove_file(out);
    let mut roombot = Command::new(env!("CARGO_BIN_EXE_roombot"));
    roombot.arg("compose").arg(&case.recording).arg("--out").arg(out).args(["--no-stills", "--json"]);
    roombot.arg("--pipelines").arg(pipelines);
    roombot
}

fn ffmpeg(case: &Case, out: &Path, seconds: u64, encoder: &str) -> Command {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-y"]);
    let manifest = Manifest::load(&case.recording).expect("a manifest");
    let words = ["camera"].iter().chain(if case.screen { &["screen"][..] } else { &[] }).chain(&["mic"]);
    let tracks: Vec<&TrackEntry> =
        words.flat_map(|word| manifest.tracks.iter().filter(move |t| t.source.word() == *word)).collect();
    for track in &tracks {
        ffmpeg.arg("-i").arg(case.recording.join("tracks").join(&track.file));
    }
    let mics: String = (tracks.len() - 4..tracks.len()).map(|n| format!("[{n}:a]")).collect();
    let filter = format!("{};{mics}amix=inputs=4:normalize=0[a]", case.filter);
    ffmpeg.args(["-filter_complex", &filter, "-map", "[v]", "-map", "[a]"]);
    ffmpeg.args(["-c:v", "libx264", "-g", "150"]).args(encoder.split(' ')).args([
        "-c:a",
        "aac",
        "-aac_coder",
        "fast",
        "-b:a",
        "128k",
        "-pix_fmt",
        "yuv420p",
        "-movflags",
        "+faststart",
    ]);
    ffmpeg.args(["-t", &seconds.to_string()]).arg(out);
    ffmpeg
}

/// A folder of pipelines with ours for films, but changed.
fn pipeline(dir: &Path, name: &str, change: impl FnOnce(&str) -> String) -> PathBuf {
    let folder = dir.join(name);
    std::fs::create_dir_all(folder.join("compose")).expect("a folder");
    let text = change(include_str!("../pipelines/compose/film-h264.gst"));
    std::fs::write(folder.join("compose/film-h264.gst"), text).expect("a file");
    folder
}

/// Without loss: its encoder alone is another one.
fn fine(text: &str) -> String {
    with(text, "x264enc pass=quant qp-min=0 qp-max=1 quantizer=1 speed-preset=ultrafast")
}

/// With another encoder; what that has no place for is no parameter of its.
fn with(text: &str, element: &str) -> String {
    let encoder = text.lines().find(|line| line.starts_with("! x264enc")).expect("an encoder");
    let other = format!("! {element} key-int-max={{key-every}} vbv-buf-capacity=0 threads={{threads}} ! h264parse");
    let gone = ["pass", "quality", "subme", "scenecut", "preset", "bframes"].map(|name| format!("# @param {name}:"));
    let is_of_use = |line: &&str| !gone.iter().any(|gone| line.starts_with(gone));
    text.lines().filter(is_of_use).map(|line| format!("{}\n", line.replace(encoder, &other))).collect()
}

/// What x264 says in a film of how it was told to encode.
fn settings(film: &Path) -> Vec<String> {
    let bytes = std::fs::read(film).expect("a film");
    let at = bytes.windows(9).position(|w| w == b"options: ").expect("x264's settings");
    let said = bytes[at + 9..].split(|byte| *byte == 0 || *byte == 0x80).next().unwrap_or_default();
    String::from_utf8_lossy(said).split(' ').map(str::to_owned).collect()
}

/// How much of a film's pictures is as in another one, which was made without loss.
fn ssim(film: &Path, source: &Path) -> f64 {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "info", "-nostats", "-i"]).arg(film).arg("-i").arg(source);
    let said = command.args(["-lavfi", "[0:v][1:v]ssim", "-f", "null", "-"]).output().expect("ffmpeg runs");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let all = said.rsplit_once("All:").and_then(|(_, rest)| rest.split([' ', '(']).next());
    all.and_then(|all| all.parse().ok()).unwrap_or_else(|| panic!("no SSIM: {said}"))
}

/// CPU-seconds of a process, in user and kernel.
fn cpu_of(command: &mut Command) -> f64 {
    let children = || {
        let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc");
        // Behind the name: cutime and cstime, fields 16 and 17, in ticks of 10 ms.
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        [13, 14].iter().map(|n| fields[*n].parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
    };
    let before = children();
    let status = command.stdout(Stdio::null()).status().expect("it runs");
    assert!(status.success(), "{command:?}");
    children() - before
}

/// A recording of four people, and of a screen if there is one.
fn recording(parent: &Path, seconds: u64, screen: Option<&Path>) -> PathBuf {
    std::fs::create_dir_all(parent).expect("a folder");
    let start = jiff::Timestamp::UNIX_EPOCH;
    let folder = RecordingFolder::create(parent, "bench", start).expect("a recording");
    let mut manifest = Manifest::new("bench", "ws://127.0.0.1/rooms/bench", start);
    (manifest.status, manifest.duration_ms) = (Status::Complete, seconds * 1000);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for (number, fixture) in PEOPLE.iter().enumerate() {
        let key = format!("p{number}");
        let present = vec![Span { start_ms: 0, end_ms: None }];
        let entry =
            ParticipantEntry { name: key.clone(), key: key.clone(), ids: vec![], role: Role::Participant, present };
        manifest.participants.push(entry);
        let path = fixtures.join(fixture);
        track(&folder, &mut manifest, &path, &key, Source::Camera);
        track(&folder, &mut manifest, &path, &key, Source::Mic);
    }
    if let Some(screen) = screen {
        track(&folder, &mut manifest, screen, "p0", Source::Screen);
    }
    manifest.save(&folder).expect("a manifest");
    folder.path().to_owned()
}

fn track(folder: &RecordingFolder, manifest: &mut Manifest, path: &Path, key: &str, source: Source) {
    let is_sound = source == Source::Mic;
    let wants: fn(MediaKind) -> bool = if is_sound { |k| k == MediaKind::Audio } else { |k| k == MediaKind::Video };
    let mut file = MediaSource::file(&Library::default(), path, wants, true).expect("a fixture");
    let format = file.tracks()[0].clone();
    let until = u128::from(manifest.duration_ms);
    let mut frames =
        std::iter::from_fn(|| file.next_frame().expect("a frame")).take_while(|f| f.at.as_millis() < until);
    let first: Frame = frames.next().expect("a frame").frame;
    let format = TrackFormat {
        codec: format.codec,
        config: first.config.clone(),
        size: format.size,
        channels: 2,
        name: key.into(),
    };
    let name = format!("{key}.{}.1.{}", source.word(), TrackFormat::extension(format.codec));
    let mut entry = TrackEntry::new(&name, key, source, format.codec, 0);
    let mut written = TrackFile::create(folder, &name, format, &first).expect("a track file");
    written.push(&first).expect("a frame");
    frames.for_each(|frame| written.push(&frame.frame).expect("a frame"));
    written.finish().expect("a finished file");
    (entry.end_ms, entry.finished) = (manifest.duration_ms, true);
    manifest.tracks.push(entry);
}

/// Slides of 1920x1080 that change twice a minute, as a browser sends them: VP8 in real time, five pictures a second.
fn slides(dir: &Path, seconds: u64) -> PathBuf {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/slides.webm");
    let out = dir.join("slides.webm");
    // One picture every 2 s of the fixture, each for 30 s.
    let filter = "fps=0.5,setpts=N*30/TB,fps=5,scale=1920:1080";
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-stream_loop", &(seconds / 100).to_string(), "-i"])
        .arg(fixture)
        .args(["-vf", filter, "-t", &seconds.to_string(), "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"])
        .args(["-b:v", "2M", "-g", "3000"])
        .arg(&out)
        .status();
    assert!(status.expect("ffmpeg runs").success());
    out
}
