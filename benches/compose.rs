//! What a film costs beside ffmpeg: the same recording, the same x264 settings, CPU-seconds of either process and their ratio. Four
//! faces in a grid against `xstack` and `amix`; 1080p slides that change twice a minute with four faces beside them against the same
//! arrangement of `scale` and `xstack`.
//!
//! `cargo bench --bench compose [-- --seconds 60]`

use roombot::media::{Library, MediaSource};
use roombot::record::folder::RecordingFolder;
use roombot::record::manifest::{Manifest, ParticipantEntry, Span, Status, TrackEntry};
use roombot::record::matroska::TrackFormat;
use roombot::record::track::TrackFile;
use roombot::room::media::{Frame, MediaKind, Source};
use roombot::room::people::Role;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What `pipelines/compose/film-h264.gst` says.
const X264: [&str; 8] = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-g", "150"];
/// Who is there: a fixture each.
const PEOPLE: [&str; 4] = ["alice.webm", "bob.webm", "carol.mkv", "alice.webm"];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|a| a == "--test") {
        return;
    }
    let at = args.iter().position(|a| a == "--seconds");
    let seconds: u64 = at.and_then(|at| args.get(at + 1)).and_then(|n| n.parse().ok()).unwrap_or(60);
    let dir = std::env::temp_dir().join(format!("roombot-compose-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let faces = recording(&dir.join("faces"), seconds, None);
    let slides = recording(&dir.join("slides"), seconds, Some(&slides(&dir, seconds)));
    println!(
        "{seconds} s of meeting at 1280x720, 30 pictures a second, x264 veryfast, CRF 23; CPU-seconds a meeting minute\n"
    );
    println!("                                   roombot    ffmpeg     ratio     bytes: roombot    ffmpeg");
    let grid = "[0:v][1:v][2:v][3:v]xstack=inputs=4:layout=0_0|w0_0|0_h0|w0_h0,fps=30[v]";
    line("4 faces, grid", &dir, &faces, seconds, grid, &[]);
    let mut beside = String::new();
    for face in 0..4 {
        beside += &format!("[{face}:v]scale=248:138[f{face}];");
    }
    beside += "[4:v]scale=988:556,pad=1280:720:16:82[s];[s][f0]overlay=1016:66[a];[a][f1]overlay=1016:216[b];\
               [b][f2]overlay=1016:366[c];[c][f3]overlay=1016:516,fps=30[v]";
    line("slides and 4 faces", &dir, &slides, seconds, &beside, &["screen"]);
    let _ = std::fs::remove_dir_all(&dir);
}

fn line(name: &str, dir: &Path, recording: &Path, seconds: u64, filter: &str, more: &[&str]) {
    let (ours, theirs) = (dir.join("ours.mp4"), dir.join("theirs.mp4"));
    let mut roombot = Command::new(env!("CARGO_BIN_EXE_roombot"));
    roombot.arg("compose").arg(recording).arg("--out").arg(&ours).args(["--no-stills", "--json"]);
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-y"]);
    let manifest = Manifest::load(recording).expect("a manifest");
    let words = ["camera"].iter().chain(more).chain(&["mic"]);
    let tracks: Vec<&TrackEntry> =
        words.flat_map(|word| manifest.tracks.iter().filter(move |t| t.source.word() == *word)).collect();
    for track in &tracks {
        ffmpeg.arg("-i").arg(recording.join("tracks").join(&track.file));
    }
    let mics: String = (tracks.len() - 4..tracks.len()).map(|n| format!("[{n}:a]")).collect();
    ffmpeg.args([
        "-filter_complex",
        &format!("{filter};{mics}amix=inputs=4:normalize=0[a]"),
        "-map",
        "[v]",
        "-map",
        "[a]",
    ]);
    ffmpeg.args(X264).args(["-c:a", "aac", "-b:a", "128k", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]);
    ffmpeg.args(["-t", &seconds.to_string()]).arg(&theirs);
    let minute = |cpu: f64| cpu * 60.0 / seconds as f64;
    let (us, them) = (minute(cpu_of(&mut roombot)), minute(cpu_of(&mut ffmpeg)));
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |about| about.len());
    println!("{name:<32} {us:>9.1} {them:>9.1} {:>9.2} {:>19} {:>9}", us / them, size(&ours), size(&theirs));
    let _ = (std::fs::remove_file(ours), std::fs::remove_file(theirs));
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
