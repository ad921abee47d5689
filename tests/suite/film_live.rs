//! A film that is made while its meeting is recorded: it grows, plays as it lies there, and is an ordinary film at the end.

use crate::film::{SIZE, mean, pictures, streams};
use crate::support::blocking_pause;
use crate::support::machine;
use crate::support::needs::{needed, tools};
use roombot::container::matroska::TrackFormat;
use roombot::film::layout::Rect;
use roombot::media::{Library, MediaSource};
use roombot::recording::folder::RecordingFolder;
use roombot::recording::manifest::{Manifest, ParticipantEntry, Span, Status, TrackEntry};
use roombot::recording::timeline::{Entry, Event};
use roombot::recording::track::TrackFile;
use roombot::room::media::{MediaKind, Source};
use roombot::room::participant::Role;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the meeting lasts, and how long at most: until its film has been seen growing, which takes a busy machine longer.
const LASTS: Duration = Duration::from_secs(8);
const LASTS_AT_MOST: Duration = Duration::from_secs(60);
/// More bytes than what a film begins with.
const GROWN: u64 = 10_000;

/// A track that is written as time goes by.
pub struct Growing {
    source: MediaSource,
    next: Option<roombot::media::SourceFrame>,
    file: TrackFile,
    pub entry: TrackEntry,
}

impl Growing {
    pub fn start(folder: &RecordingFolder, fixture: &str, source: Source) -> Growing {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture);
        let wants: fn(MediaKind) -> bool =
            if source == Source::Mic { |k| k == MediaKind::Audio } else { |k| k == MediaKind::Video };
        let mut file = MediaSource::file(&Library::default(), &path, wants, true).unwrap();
        let track = file.tracks()[0].clone();
        let first = file.next_frame().unwrap().unwrap();
        let format = TrackFormat {
            codec: track.codec,
            config: first.frame.config.clone(),
            size: track.size,
            channels: 2,
            name: "alice".into(),
        };
        let name = format!("alice.{}.1.webm", source.word());
        let written = TrackFile::create(folder, &name, format, &first.frame).unwrap();
        let entry = TrackEntry::new(&name, "alice", source, track.codec, 0);
        Growing { source: file, next: Some(first), file: written, entry }
    }

    /// Writes what is due by now.
    pub fn go_on(&mut self, now: Duration) {
        while let Some(frame) = self.next.take_if(|frame| frame.at <= now) {
            self.file.push(&frame.frame).unwrap();
            self.next = self.source.next_frame().unwrap();
        }
        self.file.flush().unwrap();
    }

    fn finish(mut self, manifest: &mut Manifest) {
        self.file.finish().unwrap();
        (self.entry.end_ms, self.entry.finished) = (manifest.duration_ms, true);
        manifest.tracks.push(self.entry);
    }
}

#[test]
fn a_film_follows_its_recording() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let start = jiff::Timestamp::now();
    let began = Instant::now();
    let folder = RecordingFolder::create(dir.path(), "live", start).unwrap();
    let mut manifest = Manifest::new("live", "ws://127.0.0.1/rooms/live", start);
    manifest.save(&folder).unwrap();
    let present = vec![Span { start_ms: 0, end_ms: None }];
    let alice =
        ParticipantEntry { key: "alice".into(), ids: vec![], name: "Alice".into(), role: Role::Participant, present };
    let tell = |event: Event| {
        let t_ms = began.elapsed().as_millis() as u64;
        folder.timeline().unwrap().append(&Entry { t_ms, at: start, event }).unwrap();
    };
    let hls = dir.path().join("hls");
    let film = Command::new(env!("CARGO_BIN_EXE_roombot"))
        .arg("compose")
        .arg(folder.path())
        .args(["--follow", "--json", "--size", "640x360", "--fps", "15", "--live-hls"])
        .arg(&hls)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    // A limit to the size of files stands for a disk that gets full.
    let limited = format!("trap '' XFSZ; ulimit -f 100; exec '{}' \"$@\"", env!("CARGO_BIN_EXE_roombot"));
    let full = Command::new("sh")
        .args(["-c", &limited, "sh", "compose"])
        .arg(folder.path())
        .args(["--follow", "--json", "--size", "640x360", "--fps", "15", "--out"])
        .arg(dir.path().join("full.mp4"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    // Left of a film that was cut short.
    std::fs::write(folder.path().join("film.live.mp4"), "the first").unwrap();
    let mut tracks =
        [Growing::start(&folder, "alice.webm", Source::Camera), Growing::start(&folder, "alice.webm", Source::Mic)];
    tell(Event::Joined { participant: "alice".into(), id: "p1".into(), name: "Alice".into() });
    for track in &tracks {
        let (file, source, codec) = (track.entry.file.clone(), track.entry.source, track.entry.codec);
        tell(Event::TrackOn { participant: "alice".into(), file, source, codec });
    }
    tell(Event::Chat { participant: "alice".into(), text: "hello".into() });
    let growing = folder.path().join("film-2.live.mp4");
    let mut seen_growing = 0;
    while began.elapsed() < LASTS || seen_growing <= GROWN && began.elapsed() < LASTS_AT_MOST {
        tracks.iter_mut().for_each(|track| track.go_on(began.elapsed()));
        seen_growing = seen_growing.max(std::fs::metadata(&growing).map_or(0, |about| about.len()));
        blocking_pause(Duration::from_millis(100), "tracks grow");
    }
    let lasts = began.elapsed();
    tracks.iter_mut().for_each(|track| track.go_on(lasts));
    (manifest.status, manifest.duration_ms) = (Status::Complete, lasts.as_millis() as u64);
    manifest.participants.push(alice);
    tracks.into_iter().for_each(|track| track.finish(&mut manifest));
    manifest.save(&folder).unwrap();
    let recording = folder.path().to_owned();
    drop(folder);

    let output = film.wait_with_output().unwrap();
    assert!(output.status.success());
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(seen_growing > GROWN, "the film did not grow: {seen_growing} bytes");
    assert!(!growing.exists());
    assert_eq!(std::fs::read(recording.join("film.live.mp4")).unwrap(), b"the first");
    assert!(std::fs::read_to_string(recording.join("film.chat.vtt")).unwrap().contains("<v Alice>hello"));
    let full = full.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&full.stderr).into_owned();
    assert_eq!((full.status.code(), said.lines().count()), (Some(4), 1), "{said}");
    assert!(!dir.path().join("full.mp4").exists() && !dir.path().join("full.mp4.part").exists());
    let film = recording.join("film.mp4");
    let shown = streams(&film);
    let length: f64 = shown["format"]["duration"].as_str().unwrap().parse().unwrap();
    assert!((length - manifest.duration_ms as f64 / 1000.0).abs() < 0.2, "{length} of {} ms", manifest.duration_ms);
    assert_eq!(shown["streams"].as_array().unwrap().len(), 2);
    // Alice sits before blue, from soon after the start to the end.
    let made: u64 = shown["streams"][0]["nb_read_frames"].as_str().unwrap().parse().unwrap();
    assert!(made > 40, "{made} pictures, {summary}");
    let seen = [made / 2, made - 3];
    for (number, frame) in seen.iter().zip(pictures(&film, &seen)) {
        let [r, g, b] = mean(&frame, Rect { x: 0, y: 0, width: SIZE.0, height: SIZE.1 });
        let shown = format!("{number} of {made}: {r:.0} {g:.0} {b:.0}, {summary}");
        assert!(b > r && b > g && r + g + b > 200.0, "{shown}");
    }
    // Stills as of any film.
    let still = |name: &str| image::open(summary["stills"][name].as_str().unwrap()).unwrap().to_rgb8();
    assert_eq!(still("poster").dimensions(), SIZE);
    let [r, g, b] = mean(still("poster").as_raw(), Rect { x: 0, y: 0, width: SIZE.0, height: SIZE.1 });
    assert!(b > r && b > g && r + g + b > 200.0, "{r:.0} {g:.0} {b:.0}");
    let (sheet, seconds) = (still("contact_sheet"), manifest.duration_ms / 1000);
    assert!(sheet.width() == 8 + 4 * 328 && sheet.height() > 2 * 180, "{:?} of {seconds} s", sheet.dimensions());
    let list = std::fs::read_to_string(hls.join("film.m3u8")).unwrap();
    assert!(list.contains("#EXT-X-ENDLIST") && list.contains("film.00001.ts"), "{list}");
    assert!(streams(&hls.join("film.00001.ts"))["streams"].as_array().unwrap().len() == 2);
}

#[test]
fn nobody_is_followed_where_nobody_records() {
    let dir = tempfile::tempdir().unwrap();
    let folder = RecordingFolder::create(dir.path(), "over", jiff::Timestamp::now()).unwrap();
    let path = folder.path().to_owned();
    drop(folder);
    let output =
        Command::new(env!("CARGO_BIN_EXE_roombot")).arg("compose").arg(path).arg("--follow").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("without --follow"), "{said}");
}
