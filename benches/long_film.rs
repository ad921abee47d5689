//! The film of a meeting of two hours, from stamped people: one whose clock is 50 ppm fast, one who loses packets and is silent for
//! half a minute in ten. How far picture and sound lie from where they belong, at the beginning and at the end, and how much memory the
//! film takes meanwhile.
//!
//! `cargo bench --bench long_film [-- --minutes 120]`

use roombot::container::matroska::TrackFormat;
use roombot::media::{Library, MediaSource, SourceFrame};
use roombot::recording::folder::RecordingFolder;
use roombot::recording::manifest::{Manifest, ParticipantEntry, Span, Status, TrackEntry};
use roombot::recording::track::TrackFile;
use roombot::room::clock::{SenderClock, SessionTime, TrackClock};
use roombot::room::media::{MediaKind, Source};
use roombot::room::participant::Role;
use roombot::verify::detections::{Detections, Trace};
use roombot::verify::{Format, Job, make};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What each sends, over and over: its numbers begin anew then.
const SOURCE_SECONDS: u32 = 600;
/// The encoder adds a packet to the sound, which is repeated as well.
const SOUND_LONGER: f64 = 0.02;
/// Pictures a second, of the sources and the film.
const FPS: u32 = 5;
/// Figures are taken of so much at the beginning and at the end, in seconds.
const WINDOW: f64 = 300.0;
/// What a film may take, in MiB, however long it is.
const MEMORY: u64 = 256;
/// NTP time of the senders' beginning, in seconds.
const NTP: f64 = 3_900_000_000.0;

/// Somebody in the meeting.
struct Person {
    name: &'static str,
    /// How much faster their clock is.
    ppm: f64,
    start_ms: u64,
    /// Of 1000 packets.
    lost: u64,
    /// Sends nothing for half a minute in every ten.
    pauses: bool,
}

/// Film pictures show what is due 100 ms after they begin: Alice's pictures change shortly before that, so what is late would be seen.
const PEOPLE: [Person; 3] = [
    Person { name: "alice", ppm: 0.0, start_ms: 97, lost: 0, pauses: false },
    Person { name: "bob", ppm: 50.0, start_ms: 400, lost: 0, pauses: false },
    Person { name: "carol", ppm: 0.0, start_ms: 2000, lost: 20, pauses: true },
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|a| a == "--test") {
        return;
    }
    let at = args.iter().position(|a| a == "--minutes");
    let minutes: u64 = at.and_then(|at| args.get(at + 1)).and_then(|n| n.parse().ok()).unwrap_or(120);
    let dir = std::env::temp_dir().join(format!("roombot-long-film-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let began = Instant::now();
    let recording = recording(&dir, minutes * 60_000);
    println!("{minutes} minutes of three people, made in {:.0} s", began.elapsed().as_secs_f64());
    let film = recording.join("film.mp4");
    let memory = compose(&recording);
    let evidence = {
        let mut evidence = Detections::default();
        evidence.read(&Library::default(), &film, |at| at.as_secs_f64()).expect("a film");
        evidence
    };
    let lasts = (minutes * 60) as f64;
    let windows = [("beginning", 0.0, WINDOW.min(lasts / 2.0)), ("end", lasts - WINDOW.min(lasts / 2.0), lasts)];
    println!(
        "\n{:<10} {:<10} {:>9} {:>12} {:>9} {:>12} {:>12}",
        "", "", "pictures", "off by, ms", "marks", "median, ms", "most, ms"
    );
    let mut worst = 0.0f64;
    for (number, person) in (1..).zip(&PEOPLE) {
        let trace = evidence.traces.get(&number).expect("somebody is seen and heard");
        for (name, from, until) in windows {
            let (pictures, picture_off) = person.pictures(trace, from, until);
            let mut offs = person.marks(trace, from, until);
            offs.sort_by(f64::total_cmp);
            let (median, most) = (offs[offs.len() / 2], offs.iter().map(|off| off.abs()).fold(0.0, f64::max));
            worst = worst.max(picture_off + most);
            println!(
                "{:<10} {name:<10} {pictures:>9} {picture_off:>12.1} {:>9} {median:>12.2} {most:>12.2}",
                person.name,
                offs.len()
            );
        }
    }
    println!("\nPicture and sound of one person lie {worst:.1} ms apart at most.");
    let part = |from: f64, until: f64| {
        let index = |part: f64| (part * memory.len() as f64) as usize;
        memory[index(from)..index(until).max(index(from) + 1)].iter().copied().max().unwrap_or(0) / 1024
    };
    let parts: Vec<u64> = (0..4).map(|quarter| part(f64::from(quarter) / 4.0, f64::from(quarter + 1) / 4.0)).collect();
    println!("Resident memory in each quarter, at most: {parts:?} MiB.");
    let _ = std::fs::remove_dir_all(&dir);
    assert!(worst < 20.0, "more than 20 ms");
    // Half an hour takes as much.
    assert!(parts.iter().all(|most| *most < MEMORY), "memory grows");
}

impl Person {
    /// When something that the source had at `s` seconds happened, in session seconds.
    fn session(&self, s: f64) -> f64 {
        self.start_ms as f64 / 1000.0 + s / (1.0 + self.ppm * 1e-6)
    }

    /// And back.
    fn source(&self, at: f64) -> f64 {
        (at - self.start_ms as f64 / 1000.0) * (1.0 + self.ppm * 1e-6)
    }

    /// How many pictures the film has of them in a window, and by how many milliseconds the worst of them is not the one that was due.
    fn pictures(&self, trace: &Trace, from: f64, until: f64) -> (usize, f64) {
        let (rate, wraps) = (f64::from(FPS), i64::from(FPS * SOURCE_SECONDS));
        let seen = trace.frames.iter().filter(|sight| (from..until).contains(&sight.at));
        let off = |at: f64, number: u32| {
            let source = self.source(at + 0.5 / rate);
            let due = (source * rate).floor() as i64;
            let behind = (due - i64::from(number)).rem_euclid(wraps);
            if self.lost > 0 && behind <= i64::from(FPS) * 2 {
                // What was lost is not there to be seen: the picture before stays.
                return 0.0;
            }
            match behind {
                0 => 0.0,
                // The one before it is still there: so much too long.
                1 => (source - due as f64 / rate) * 1000.0,
                behind if behind == wraps - 1 => ((due + 1) as f64 / rate - source) * 1000.0,
                _ => f64::INFINITY,
            }
        };
        let offs: Vec<f64> = seen.map(|sight| off(sight.at, sight.number)).collect();
        (offs.len(), offs.into_iter().fold(0.0, f64::max))
    }

    /// By how many milliseconds each mark in a window is late.
    fn marks(&self, trace: &Trace, from: f64, until: f64) -> Vec<f64> {
        let wraps = f64::from(SOURCE_SECONDS) + SOUND_LONGER;
        let heard = trace.marks.iter().filter(|mark| (from..until).contains(&mark.at));
        let off = |at: f64, number: u32| {
            let source = self.source(at);
            // In the source, of which this may be the tenth time.
            let off = (source - f64::from(number) / 2.0).rem_euclid(wraps);
            (if off > wraps / 2.0 { off - wraps } else { off }) * 1000.0
        };
        heard.map(|mark| off(mark.at, mark.number)).collect()
    }

    fn is_sending(&self, s: f64) -> bool {
        !self.pauses || s % 600.0 < 570.0
    }
}

/// Makes the film in a process of its own; gives its resident memory in KiB, five times a second.
fn compose(recording: &Path) -> Vec<u64> {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_roombot"))
        .arg("compose")
        .arg(recording)
        .args(["--size", "320x180", "--fps", &FPS.to_string(), "--no-stills", "--json"])
        .stdout(Stdio::null())
        .spawn()
        .expect("it runs");
    let mut memory = Vec::new();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a process") {
            break status;
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        memory.extend(line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()));
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(status.success());
    println!("The film took {:.0} s.", began.elapsed().as_secs_f64());
    memory
}

fn recording(dir: &Path, lasts_ms: u64) -> PathBuf {
    let start = jiff::Timestamp::UNIX_EPOCH;
    let folder = RecordingFolder::create(dir, "long", start).expect("a recording");
    let mut manifest = Manifest::new("long", "ws://127.0.0.1/rooms/long", start);
    (manifest.status, manifest.duration_ms) = (Status::Complete, lasts_ms);
    for (number, person) in (1..).zip(&PEOPLE) {
        let out = dir.join(format!("{}.webm", person.name));
        let job = Job {
            participant: number,
            size: (160, 90),
            fps: FPS,
            seconds: SOURCE_SECONDS,
            format: Format::Vp8,
            kilobits: 80,
            out: out.clone(),
        };
        make(&Library::default(), &job, |_| Ok(())).expect("stamps");
        let (key, role) = (person.name.to_owned(), Role::Participant);
        let present = vec![Span { start_ms: person.start_ms, end_ms: None }];
        manifest.participants.push(ParticipantEntry { name: key.clone(), key, ids: vec![], role, present });
        let mut sender = SenderClock::new();
        let mut clocks = Vec::new();
        for source in [Source::Camera, Source::Mic] {
            let (entry, clock) = track(&folder, &out, person, source, lasts_ms, &mut sender);
            manifest.tracks.push(entry);
            clocks.push(clock);
        }
        for (entry, clock) in manifest.tracks.iter_mut().rev().zip(clocks.iter().rev()) {
            entry.clock = clock.mapping(&sender).map(|mapping| mapping.summary());
        }
    }
    manifest.save(&folder).expect("a manifest");
    folder.path().to_owned()
}

/// A track as a recorder would have it: file, entry, and its clock from arrivals and sender reports on a network that delays by 0 to 20 ms.
fn track(
    folder: &RecordingFolder,
    path: &Path,
    person: &Person,
    source: Source,
    lasts_ms: u64,
    sender: &mut SenderClock,
) -> (TrackEntry, TrackClock) {
    let is_sound = source == Source::Mic;
    let wants: fn(MediaKind) -> bool = if is_sound { |k| k == MediaKind::Audio } else { |k| k == MediaKind::Video };
    let mut file = MediaSource::file(&Library::default(), path, wants, true).expect("stamps");
    let about = file.tracks()[0].clone();
    let mut seed = person.start_ms * 2 + u64::from(is_sound) + 1;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let name = format!("{}.{}.1.webm", person.name, source.word());
    let mut entry = TrackEntry::new(&name, person.name, source, about.codec, person.start_ms);
    let mut clock = TrackClock::new(entry.clock_rate);
    let ticks = f64::from(entry.clock_rate);
    let (mut written, mut first_rtp, mut waits_for_key, mut reported) = (None, None, false, 0.0);
    while let Some(SourceFrame { frame, at, .. }) = file.next_frame().expect("a frame") {
        let s = at.as_secs_f64();
        let session = person.session(s);
        if session * 1000.0 >= lasts_ms as f64 {
            break;
        }
        let delay = random(20) as f64 / 1000.0;
        let arrival = |at: f64| SessionTime(((at + delay) * 1e9) as i64);
        let first = *first_rtp.get_or_insert(frame.rtp_time);
        if s >= reported {
            // Every five seconds, for its own clock's time: what RTP time belongs to it.
            let ntp = ((NTP + s) * f64::from(1u32 << 16) * f64::from(1u32 << 16)) as u64;
            clock.on_sender_report(sender, first + (s * ticks) as i64, ntp, arrival(session));
            reported += 5.0;
        }
        waits_for_key |= random(1000) < person.lost;
        if !person.is_sending(s) || (waits_for_key && !frame.key) {
            waits_for_key = true;
            continue;
        }
        if is_sound && waits_for_key {
            // A packet of sound is lost by itself.
            waits_for_key = false;
            if person.is_sending(s - 0.02) {
                continue;
            }
        }
        waits_for_key = false;
        clock.on_arrival(frame.rtp_time, arrival(session));
        let format = || TrackFormat {
            codec: about.codec,
            config: frame.config.clone(),
            size: about.size,
            channels: 2,
            name: person.name.into(),
        };
        let track =
            written.get_or_insert_with(|| TrackFile::create(folder, &name, format(), &frame).expect("a track file"));
        entry.first_rtp.get_or_insert(frame.rtp_time);
        track.push(&frame).expect("a frame");
    }
    written.expect("a frame").finish().expect("a finished file");
    (entry.end_ms, entry.finished) = (lasts_ms, true);
    (entry, clock)
}
