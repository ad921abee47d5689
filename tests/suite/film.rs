//! From track files to a film: everybody at their place, at their time.

use crate::support::machine;
use crate::support::needs::{needed, tools};
use bytes::Bytes;
use roombot::container::matroska::TrackFormat;
use roombot::film::layout::{Policy, Rect, Screen, Shows, View, layout};
use roombot::film::{Job, Quality, SceneOptions, VideoOptions, compose};
use roombot::media::{Library, MediaSource};
use roombot::recording::folder::RecordingFolder;
use roombot::recording::manifest::{Manifest, ParticipantEntry, Span, Status, TrackEntry};
use roombot::recording::timeline::{Entry, Event};
use roombot::recording::track::TrackFile;
use roombot::room::media::{Codec, Frame, MediaKind, Source};
use roombot::room::participant::Role;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub const SIZE: (u32, u32) = (640, 360);
pub const FPS: u32 = 15;
const DURATION_MS: u64 = 4000;
const BACKGROUND: [f64; 3] = [18.0, 20.0, 26.0];

/// A recording that is made of fixtures.
pub struct Made {
    folder: RecordingFolder,
    pub manifest: Manifest,
}

impl Made {
    pub fn new(parent: &Path) -> Made {
        let start = jiff::Timestamp::UNIX_EPOCH;
        let folder = RecordingFolder::create(parent, "film", start).unwrap();
        let mut manifest = Manifest::new("film", "ws://127.0.0.1/rooms/film", start);
        (manifest.status, manifest.duration_ms) = (Status::Complete, DURATION_MS);
        Made { folder, manifest }
    }

    pub fn person(&mut self, key: &str, start_ms: u64, end_ms: u64) {
        let present = vec![Span { start_ms, end_ms: Some(end_ms) }];
        let (key, role) = (key.to_owned(), Role::Participant);
        self.manifest.participants.push(ParticipantEntry { name: key.clone(), key, ids: vec![], role, present });
    }

    /// `from` to `to` of the session is the start of a fixture.
    pub fn track(&mut self, fixture: &str, owner: &str, source: Source, span: (u64, u64)) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture);
        self.part_of(&path, owner, source, span, 0, None);
    }

    /// `from` to `to` of the session is a media file from `skips` milliseconds on; nothing is sent while it is muted, which is a
    /// span of the file.
    pub fn part_of(
        &mut self,
        path: &Path,
        owner: &str,
        source: Source,
        (from, to): (u64, u64),
        skips: u64,
        mute: Option<(u64, u64)>,
    ) {
        let is_sound = source == Source::Mic;
        let wants: fn(MediaKind) -> bool = if is_sound { |k| k == MediaKind::Audio } else { |k| k == MediaKind::Video };
        let mut file = MediaSource::file(&Library::default(), path, wants, true).unwrap();
        let track = file.tracks()[0].clone();
        let sent = |at: u64| at >= skips && !mute.is_some_and(|(from, to)| (from..to).contains(&at));
        let (mut frames, mut first_at) = (Vec::<Frame>::new(), None);
        while let Some(frame) = file.next_frame().unwrap().filter(|f| f.at.as_millis() < u128::from(to - from + skips))
        {
            if sent(frame.at.as_millis() as u64) {
                first_at.get_or_insert(frame.at);
                frames.push(frame.frame);
            }
        }
        let late = (first_at.unwrap() - Duration::from_millis(skips)).as_secs_f64() * 1000.0;
        // What a recorder makes of AV1's first frame: 8 bits, 4:2:0.
        let av1 = (track.codec == Codec::Av1).then(|| Bytes::from_static(b"\x81\x00\x0c\x00"));
        let config = frames[0].config.clone().or(av1);
        let format = TrackFormat { codec: track.codec, config, size: track.size, channels: 2, name: owner.into() };
        let number = self.manifest.tracks.len();
        let name = format!("{owner}.{}.{number}.{}", source.word(), TrackFormat::extension(track.codec));
        let mut written = TrackFile::create(&self.folder, &name, format, &frames[0]).unwrap();
        frames.iter().for_each(|frame| written.push(frame).unwrap());
        written.finish().unwrap();
        let mut entry = TrackEntry::new(&name, owner, source, track.codec, from + late.round() as u64);
        entry.end_ms = to;
        let in_session = |at: u64| at - skips + from;
        entry.mutes = mute
            .map(|(from, to)| Span { start_ms: in_session(from), end_ms: Some(in_session(to)) })
            .into_iter()
            .collect();
        self.manifest.tracks.push(entry);
    }

    /// Something that happened.
    pub fn event(&mut self, t_ms: u64, event: Event) {
        let at = jiff::Timestamp::from_millisecond(t_ms.try_into().unwrap()).unwrap();
        self.folder.timeline().unwrap().append(&Entry { t_ms, at, event }).unwrap();
    }

    pub fn save(self) -> PathBuf {
        self.manifest.save(&self.folder).unwrap();
        self.folder.path().to_owned()
    }
}

pub fn job(recording: &Path, policy: Policy) -> Job {
    let scene = SceneOptions { policy, size: SIZE, ..SceneOptions::default() };
    Job {
        recording: recording.to_owned(),
        out: None,
        video: Some(VideoOptions { scene, fps: FPS, codec: None, quality: Quality::Fast, stills: true }),
        from: Duration::ZERO,
        until: None,
        without: vec![],
        loudness: None,
    }
}

/// The mean colour of a rectangle, a little within its edges.
pub fn mean(frame: &[u8], area: Rect) -> [f64; 3] {
    let mut sum = [0.0; 3];
    let (inset_x, inset_y) = (area.width / 10, area.height / 10);
    let mut count = 0.0;
    for y in area.y + inset_y..area.y + area.height - inset_y {
        for x in area.x + inset_x..area.x + area.width - inset_x {
            let at = (y * SIZE.0 + x) as usize * 3;
            sum.iter_mut().zip(&frame[at..at + 3]).for_each(|(sum, value)| *sum += f64::from(*value));
            count += 1.0;
        }
    }
    sum.map(|sum| sum / count)
}

/// The pictures of a film at these numbers, as RGB.
pub fn pictures(film: &Path, numbers: &[u64]) -> Vec<Vec<u8>> {
    let select = numbers.iter().map(|n| format!("eq(n,{n})")).collect::<Vec<_>>().join("+");
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(film)
        .args(["-vf", &format!("select='{select}'"), "-vsync", "0", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
        .output()
        .expect("ffmpeg runs");
    let frames = output.stdout.chunks((SIZE.0 * SIZE.1 * 3) as usize).map(<[u8]>::to_vec).collect::<Vec<_>>();
    assert_eq!(frames.len(), numbers.len(), "{}", String::from_utf8_lossy(&output.stderr));
    frames
}

pub fn streams(film: &Path) -> Value {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-show_streams", "-show_chapters", "-show_format", "-of", "json"])
        .arg(film)
        .output()
        .expect("ffprobe runs");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A stream of a film as ffmpeg decodes it, in the form that it is told.
pub fn stream_of(film: &Path, form: &[&str]) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    let output = command.args(["-v", "error", "-i"]).arg(film).args(form).arg("-").output().expect("ffmpeg runs");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// When the film's sound is first loud, in seconds.
fn first_loud(film: &Path) -> f64 {
    let sound = stream_of(film, &["-f", "s16le", "-ac", "1", "-ar", "48000"]);
    let (samples, _) = sound.as_chunks::<2>();
    let loud = samples.iter().position(|s| i16::from_le_bytes(*s).unsigned_abs() > 1500);
    loud.expect("there is sound") as f64 / 48_000.0
}

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

#[test]
fn everybody_is_where_the_layout_says_when_they_are_there() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let mut made = Made::new(dir.path());
    made.person("alice", 0, DURATION_MS);
    made.person("bob", 1500, DURATION_MS);
    made.person("carol", 0, 1000);
    made.track("alice.webm", "alice", Source::Camera, (0, DURATION_MS));
    made.track("carol.mkv", "carol", Source::Camera, (0, 1000));
    made.track("bob.webm", "bob", Source::Camera, (1500, DURATION_MS));
    made.track("slides.webm", "bob", Source::Screen, (2000, 2500));
    made.track("slides.webm", "bob", Source::Screen, (3000, 3500));
    made.track("alice.webm", "bob", Source::Mic, (1500, DURATION_MS));
    let mic = made.manifest.tracks[5].file.clone();
    let recording = made.save();
    let summary = compose(&Library::default(), &job(&recording, Policy::Auto), |_| Ok(())).unwrap();
    assert_eq!((summary.frames, summary.warnings), (60, Vec::<String>::new()));
    assert_eq!(summary.film, recording.join("film.mp4"));

    let seen = streams(&summary.film);
    let [picture, sound] = &seen["streams"].as_array().unwrap()[..] else { panic!("{seen}") };
    assert_eq!((&picture["codec_name"], &sound["codec_name"]), (&"h264".into(), &"aac".into()));
    assert_eq!((&picture["nb_read_frames"], &picture["start_time"]), (&"60".into(), &"0.000000".into()));
    assert_eq!((&picture["width"], &picture["height"]), (&640.into(), &360.into()));
    let duration: f64 = seen["format"]["duration"].as_str().unwrap().parse().unwrap();
    assert!((duration - 4.0).abs() < 0.1, "{duration}");

    // Milliseconds, screens, faces. The first picture of a scene is not looked at: it is 33 ms after the cut at the latest.
    let moments: [(u64, &[usize], &[usize]); 6] = [
        (600, &[], &[ALICE, CAROL]),
        (1200, &[], &[ALICE]),
        (1800, &[], &[ALICE, BOB]),
        (2200, &[3], &[ALICE, BOB]),
        (2800, &[], &[ALICE, BOB]),
        (3200, &[4], &[ALICE, BOB]),
    ];
    let numbers: Vec<u64> = moments.iter().map(|(ms, ..)| ms * u64::from(FPS) / 1000).collect();
    for ((ms, screens, faces), frame) in moments.iter().zip(pictures(&summary.film, &numbers)) {
        let screens = screens.iter().map(|number| Screen { number: *number, shape: (1280, 720) }).collect();
        // Bob is the only one who says something.
        let view = View { screens, faces: faces.to_vec(), featured: Some(BOB) };
        for tile in layout(&view, SIZE, Policy::Auto) {
            let mut area = tile.area;
            if let Shows::Screen(_) = tile.shows {
                // Slides are wide, and beside them there is nothing.
                area = roombot::film::layout::fit((1280, 720), area);
            }
            let [r, g, b] = mean(&frame, area);
            // Alice sits before blue, Bob before green, Carol before red; the first slide is a deep blue.
            let right = match tile.shows {
                Shows::Screen(_) => b > 120.0 && b > r + 80.0,
                Shows::Face(ALICE) => b > r && b > g,
                Shows::Face(BOB) => g > r && g > b,
                Shows::Face(_) => r > g && r > b,
            };
            assert!(right && r + g + b > 150.0, "at {ms} ms {tile:?} is {r:.0} {g:.0} {b:.0}");
        }
        // Nobody is above the first row of two, nor beside a single one.
        let corner = mean(&frame, Rect { x: 0, y: 0, width: SIZE.0, height: 8 });
        assert!(corner.iter().zip(BACKGROUND).all(|(have, want)| (have - want).abs() < 6.0), "at {ms} ms: {corner:?}");
    }

    // Opus's lead (312 samples) is in the track, and not in the film.
    let loud = first_loud(&summary.film);
    let voice = first_loud(&recording.join("tracks").join(mic)) - 0.0065;
    assert!((loud - 1.5 - voice).abs() < 0.005, "heard at {loud:.4} s, not {:.4} s", 1.5 + voice);

    let poster = image::open(summary.stills.poster.unwrap()).unwrap().to_rgb8();
    assert_eq!(poster.dimensions(), SIZE);
    assert!(mean(poster.as_raw(), Rect { x: 0, y: 0, width: SIZE.0, height: SIZE.1 }).iter().sum::<f64>() > 150.0);
}

#[test]
fn films_lie_beside_each_other_and_what_is_broken_is_told() {
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let mut made = Made::new(dir.path());
    made.manifest.duration_ms = 600;
    made.person("alice", 0, 600);
    made.person("bob", 0, 600);
    made.track("alice.webm", "alice", Source::Camera, (0, 600));
    made.track("bob.webm", "bob", Source::Camera, (0, 600));
    let (whole, torn) = (made.manifest.tracks[0].file.clone(), made.manifest.tracks[1].file.clone());
    let recording = made.save();
    let tracks = recording.join("tracks");
    let bytes = std::fs::read(tracks.join(&torn)).unwrap();
    std::fs::write(tracks.join(&torn), &bytes[..bytes.len() / 2]).unwrap();
    let first = compose(&Library::default(), &job(&recording, Policy::Grid), |_| Ok(())).unwrap();
    let before = std::fs::read(&first.film).unwrap();
    assert_eq!(first.frames, 9);

    std::fs::remove_file(tracks.join(&torn)).unwrap();
    let second = compose(&Library::default(), &job(&recording, Policy::Grid), |_| Ok(())).unwrap();
    assert!(second.film.ends_with("film-2.mp4") && second.stills.poster.unwrap().ends_with("poster-2.jpg"));
    assert!(second.warnings.len() == 1 && second.warnings[0].contains(&torn), "{:?}", second.warnings);
    assert_eq!(std::fs::read(&first.film).unwrap(), before);
    let left: Vec<String> =
        std::fs::read_dir(&recording).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.contains(".part")), "{left:?}");
    assert!(tracks.join(whole).is_file());

    let empty = Made::new(dir.path()).save();
    let error = compose(&Library::default(), &job(&empty, Policy::Auto), |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("nothing in it"), "{error}");
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 2);
}
