//! A meeting of stamped people as a film, in every layout: whose picture lies where, which of their pictures it is, and when their sound
//! is heard. They come late, leave, mute, share a screen, and one drops out and comes back.

use crate::film::{Made, job, stream_of};
use crate::support::machine;
use crate::support::needs::{needed, tools};
use roombot::film::layout::{Policy, Rect, Screen, Shows, View, featured, fit, layout};
use roombot::film::{FilmCodec, compose};
use roombot::media::Library;
use roombot::recording::manifest::Span;
use roombot::recording::timeline::Event;
use roombot::room::media::Source;
use roombot::verify::stamp::{DetectedMark, DetectedStamp, LumaPlane, MarkDetector, MarkStamp, StampReader};
use roombot::verify::{Format, Job, make};
use std::path::{Path, PathBuf};

const SIZE: (u32, u32) = (960, 540);
const FPS: u64 = 15;
const LASTS_MS: u64 = 8000;
/// Of all stamped pictures; screens are larger.
const FACE: (u32, u32) = (256, 144);
const SCREEN: (u32, u32) = (320, 180);
const MARK_MS: u64 = 500;

/// Number of a person in the manifest, and on a stamp one more.
const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;
const DAVE: usize = 3;
/// Number on the stamp of Bob's screen.
const SHARED: u8 = 102;

/// A part of what somebody sent: session time, and how much later it is than the source's.
#[derive(Clone, Copy)]
struct Sent {
    owner: usize,
    source: Source,
    from: u64,
    to: u64,
    shift: u64,
    /// Muted between these times.
    mute: Option<(u64, u64)>,
}

const fn sent(owner: usize, source: Source, from: u64, to: u64, shift: u64) -> Sent {
    Sent { owner, source, from, to, shift, mute: None }
}

const fn muted(sent: Sent, from: u64, to: u64) -> Sent {
    Sent { mute: Some((from, to)), ..sent }
}

const MEETING: [Sent; 11] = [
    sent(ALICE, Source::Camera, 0, 8000, 0),
    sent(ALICE, Source::Mic, 0, 8000, 0),
    sent(BOB, Source::Camera, 1000, 3000, 1000),
    sent(BOB, Source::Mic, 1000, 3000, 1000),
    // He drops out, and is back with what his source has by then.
    sent(BOB, Source::Camera, 4200, 8000, 1200),
    sent(BOB, Source::Mic, 4200, 8000, 1200),
    sent(BOB, Source::Screen, 4500, 6500, 4500),
    muted(sent(CAROL, Source::Camera, 0, 6300, 0), 2000, 4000),
    sent(CAROL, Source::Mic, 0, 6300, 0),
    sent(DAVE, Source::Camera, 500, 8000, 500),
    muted(sent(DAVE, Source::Mic, 500, 8000, 500), 3000, 5000),
];
const SPEAKERS: [(u64, Option<usize>); 3] = [(200, Some(ALICE)), (3200, Some(CAROL)), (7000, None)];
/// When somebody was there.
const PRESENT: [(usize, u64, u64); 5] =
    [(ALICE, 0, 8000), (BOB, 1000, 3000), (BOB, 4200, 8000), (CAROL, 0, 6300), (DAVE, 0, 8000)];
const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];
/// Pictures a second that their cameras make: as many as the film, twice as many, fewer.
const RATES: [u64; 4] = [15, 30, 10, 15];
const SCREEN_RATE: u64 = 5;

impl Sent {
    fn is_live(&self, ms: f64) -> bool {
        let within = |(from, to): (u64, u64)| (from as f64..to as f64).contains(&ms);
        within((self.from, self.to)) && !self.mute.is_some_and(within)
    }

    fn rate(&self) -> u64 {
        if self.source == Source::Screen { SCREEN_RATE } else { RATES[self.owner] }
    }

    fn number(&self) -> u8 {
        if self.source == Source::Screen { SHARED } else { self.owner as u8 + 1 }
    }

    fn size(&self) -> (u32, u32) {
        if self.source == Source::Screen { SCREEN } else { FACE }
    }
}

fn stamped(dir: &Path, participant: u8, fps: u64, size: (u32, u32), format: Format) -> PathBuf {
    let out = dir.join(format!("{participant}.{}", if format == Format::H264 { "mkv" } else { "webm" }));
    let (fps, seconds) = (fps as u32, (LASTS_MS / 1000) as u32);
    make(
        &Library::default(),
        &Job { participant, size, fps, seconds, format, kilobits: 600, out: out.clone() },
        |_| Ok(()),
    )
    .unwrap();
    out
}

fn recording(dir: &Path) -> PathBuf {
    let formats = [Format::Vp8, Format::Vp9, Format::H264, Format::Vp8];
    let files: Vec<PathBuf> = (0..4).map(|who| stamped(dir, who as u8 + 1, RATES[who], FACE, formats[who])).collect();
    let screen = stamped(dir, SHARED, SCREEN_RATE, SCREEN, Format::Vp8);
    let mut made = Made::new(dir);
    made.manifest.duration_ms = LASTS_MS;
    for (who, from, to) in PRESENT {
        match made.manifest.participants.iter_mut().find(|p| p.key == NAMES[who]) {
            Some(person) => person.present.push(Span { start_ms: from, end_ms: Some(to) }),
            None => made.person(NAMES[who], from, to),
        }
    }
    for part in MEETING {
        let file = if part.source == Source::Screen { &screen } else { &files[part.owner] };
        let mute = part.mute.map(|(from, to)| (from - part.shift, to - part.shift));
        made.part_of(file, NAMES[part.owner], part.source, (part.from, part.to), part.from - part.shift, mute);
    }
    for (at, who) in SPEAKERS {
        made.event(at, Event::Speaker { participant: who.map(|who| NAMES[who].to_owned()) });
    }
    made.save()
}

/// What is to be seen.
fn view(ms: f64) -> View {
    let live = |source: Source| move |(_, part): &(usize, &Sent)| part.source == source && part.is_live(ms);
    let screens = MEETING.iter().enumerate().filter(live(Source::Screen));
    let is_there =
        |who: &usize| PRESENT.iter().any(|(p, from, to)| p == who && (*from as f64..*to as f64).contains(&ms));
    let places = featured(&SPEAKERS);
    View {
        screens: screens.map(|(number, _)| Screen { number, shape: (16, 9) }).collect(),
        faces: (0..4).filter(is_there).collect(),
        featured: places.iter().rfind(|(from, _)| *from as f64 <= ms).map(|(_, who)| *who),
    }
}

/// What a tile shows: the part of the meeting, and where; none: a card.
fn shown(shows: Shows, ms: f64) -> Option<&'static Sent> {
    let wanted = |part: &&Sent| match shows {
        Shows::Screen(_) => part.source == Source::Screen,
        Shows::Face(who) => part.source == Source::Camera && part.owner == who,
    };
    MEETING.iter().filter(wanted).find(|part| part.is_live(ms))
}

/// Everything changes at these times.
fn cuts() -> Vec<u64> {
    let mut cuts: Vec<u64> = MEETING.iter().flat_map(|part| [part.from, part.to]).collect();
    cuts.extend(MEETING.iter().filter_map(|part| part.mute).flat_map(|(from, to)| [from, to]));
    cuts.extend(featured(&SPEAKERS).iter().map(|(from, _)| *from));
    cuts
}

/// Looks at a picture that is seen at `ms`; gives how many stamps were checked.
fn look(policy: Policy, ms: f64, seen: &[DetectedStamp]) -> usize {
    // A name on its pill has something of a frame, too, but it says nothing.
    let mut left: Vec<&DetectedStamp> = seen.iter().filter(|sighting| sighting.stamp.is_some()).collect();
    let mut checked = 0;
    for tile in layout(&view(ms), SIZE, policy) {
        let Some(part) = shown(tile.shows, ms) else { continue };
        let area = fit(part.size(), tile.area);
        let at = left.iter().position(|sighting| lies_in(sighting, part, area));
        let at =
            at.unwrap_or_else(|| panic!("{policy:?} at {ms:.0} ms: nobody in {:?} {area:?}: {seen:?}", tile.shows));
        let stamp = left.remove(at).stamp.unwrap_or_else(|| panic!("{policy:?} at {ms:.0} ms: unread in {area:?}"));
        assert_eq!(stamp.participant, part.number(), "{policy:?} at {ms:.0} ms in {area:?}");
        // The picture that is due in the middle of the film's, and no other: none is missing, none is seen twice but where rates
        // differ. Files know times to a millisecond.
        let due = |late: f64| ((ms - part.shift as f64 + late) * part.rate() as f64 / 1000.0).floor() as i64;
        let (early, late) = (due(-2.0), due(2.0));
        let number = i64::from(stamp.number);
        assert!(
            (early..=late).contains(&number),
            "{policy:?} at {ms:.0} ms: {:?} shows {number}, not {early} to {late}",
            tile.shows
        );
        checked += 1;
    }
    assert!(left.is_empty(), "{policy:?} at {ms:.0} ms: {left:?} belong nowhere");
    checked
}

/// True where the picture around a stamp is the one that was laid out.
fn lies_in(sighting: &DetectedStamp, part: &Sent, area: Rect) -> bool {
    let (width, height) = part.size();
    let Some(found) = sighting.region.picture((width as usize, height as usize)) else { return false };
    let wanted = [area.x, area.y, area.width, area.height].map(|side| side as f32);
    found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() <= 4.0)
}

/// Every whole mark of every microphone is heard, at its time, and no other; gives by how many milliseconds the worst is off.
fn listen(policy: Policy, heard: &[DetectedMark]) -> f64 {
    let (mut worst, mut expected) = (0.0f64, 0);
    let mics = || MEETING.iter().filter(|part| part.source == Source::Mic);
    for part in mics() {
        for number in 0..(LASTS_MS / MARK_MS) {
            let at = (number * MARK_MS + part.shift) as f64;
            // A mark is whole where nothing of it is missing; the first of all begins with an encoder's.
            let is_whole = [1.0, MARK_MS as f64 + 25.0].iter().all(|in_it| part.is_live(at + in_it));
            if !is_whole || part.mute.is_some_and(|(from, to)| (from as f64 - 500.0..to as f64).contains(&at)) {
                continue;
            }
            let stamp = MarkStamp { participant: part.number(), number: number as u32 };
            let off = heard.iter().find(|heard| heard.stamp == stamp).map(|heard| heard.at * 1000.0 - at);
            let off = off.unwrap_or_else(|| panic!("{policy:?}: mark {number} of {} is not heard", part.number()));
            worst = if off.abs() > worst.abs() { off } else { worst };
            expected += 1;
        }
    }
    assert!(expected > 40, "{expected}");
    for DetectedMark { stamp, at } in heard {
        let is_sent = mics().any(|part| part.number() == stamp.participant && part.is_live(at * 1000.0 + 250.0));
        assert!(is_sent, "{policy:?}: {stamp:?} is heard at {at:.3} s");
    }
    worst
}

#[test]
fn every_stamp_is_where_and_when_the_layout_says() {
    needed!(tools(&["ffmpeg"]));
    let _turn = machine::blocking_share();
    let dir = tempfile::tempdir().unwrap();
    let recording = recording(dir.path());
    let cuts = cuts();
    let policies = [Policy::Auto, Policy::Grid, Policy::Speaker, Policy::Presentation, Policy::Single];
    for policy in policies {
        let mut job = job(&recording, policy);
        // One of them in the other family of formats: sound and picture lie together there as well.
        let ending = if policy == Policy::Single { "webm" } else { "mp4" };
        job.out = Some(dir.path().join(format!("{policy:?}.{ending}")));
        let picture = job.video.as_mut().unwrap();
        (picture.scene.size, picture.fps, picture.stills) = (SIZE, FPS as u32, false);
        picture.codec = (ending == "webm").then_some(FilmCodec::Vp8);
        let made = compose(&Library::default(), &job, |_| Ok(())).unwrap();
        assert_eq!((made.frames, made.warnings), (FPS * LASTS_MS / 1000, Vec::<String>::new()));

        let pictures = stream_of(&made.film, &["-vsync", "0", "-f", "rawvideo", "-pix_fmt", "gray"]);
        let length = (SIZE.0 * SIZE.1) as usize;
        assert_eq!(pictures.len(), length * made.frames as usize, "{policy:?}");
        let (mut reader, mut checked) = (StampReader::new(), 0);
        for (number, picture) in pictures.chunks(length).enumerate() {
            let frame = 1000.0 / FPS as f64;
            let middle = (number as f64 + 0.5) * frame;
            // Within one picture of a change either is right.
            if cuts.iter().any(|cut| (*cut as f64 - middle).abs() < frame) {
                continue;
            }
            let luma = LumaPlane::new(picture, (SIZE.0 as usize, SIZE.1 as usize), SIZE.0 as usize).unwrap();
            checked += look(policy, middle, &reader.read(&luma));
        }
        let least = if policy == Policy::Single { 60 } else { 150 };
        assert!(checked > least, "{policy:?}: {checked} stamps");

        let sound = stream_of(&made.film, &["-f", "f32le", "-ac", "1", "-ar", "48000"]);
        let (samples, _) = sound.as_chunks::<4>();
        let samples: Vec<f32> = samples.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let mut listener = MarkDetector::new();
        listener.push(0.0, &samples);
        listener.finish();
        let worst = listen(policy, &listener.marks);
        assert!(worst.abs() < 5.0, "{policy:?}: sound is {worst:.1} ms off");
        println!("{policy:?}: {checked} stamps of {} pictures, sound {worst:.1} ms off at most", made.frames);
    }
}
