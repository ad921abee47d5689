//! What peers of other makes send: recorded, or said to be not recorded. Each peer writes its own descriptions and RTP.

use crate::support::back::Back;
use crate::support::dump::Dump;
use crate::support::echoes::{self, plain};
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::probe::probe;
use crate::support::studio::{Studio, finish, track_path};
use crate::support::synthetic::label;
use crate::support::writer::Writer;
use crate::support::written::{Answered, Line, Offered};
use bytes::Bytes;
use roombot::film::compose;
use roombot::film::layout::Policy;
use roombot::media::Library;
use roombot::record::capture::Summary;
use roombot::recording::manifest::Status;
use roombot::room::media::{Codec, Source};
use roombot::room::participant::TrackLabel;
use std::time::Duration;

const VP8: (u8, Codec) = (97, Codec::Vp8);
const OPUS: (u8, Codec) = (111, Codec::Opus);

fn camera() -> Offered {
    Offered::picture("cam", &[(97, "VP8/90000")])
}

fn mic() -> Offered {
    Offered::sound("mic", &[(111, "opus/48000/2")])
}

/// A recorder and a writer, connected.
async fn meet(
    studio: &Studio,
    sections: Vec<Offered>,
    labels: Vec<TrackLabel>,
) -> (roombot::record::Recording, Writer) {
    let recording = studio.recorder(None).await;
    let writer = Writer::join(&studio.room, "Alice", sections, labels).await;
    writer.connected().await;
    pause(Duration::from_millis(300), "the other side of a handshake ends later").await;
    (recording, writer)
}

/// Nothing was lost, and every file can be decoded.
fn is_complete(summary: &Summary) {
    let manifest = &summary.manifest;
    assert!(manifest.status == Status::Complete && manifest.reasons.is_empty(), "{manifest:#?}");
    for (index, track) in summary.manifest.tracks.iter().enumerate() {
        let seen = probe(&track_path(summary, index));
        assert_eq!((seen.packets, seen.complaints.as_str()), (track.frames, ""), "{track:#?}");
    }
}

/// Plays frames in real time through a line.
async fn plays(writer: &Writer, line: &mut Line, dump: &Dump, frames: std::ops::Range<usize>, base: i64) {
    let mut tick = tokio::time::interval(dump.pause());
    for n in frames {
        tick.tick().await;
        writer.write(line.packets(&dump.frame(n, base))).await;
    }
}

/// Plays a dump from frame `from` on until so many pictures more have come back; returns the frame after the last, and how many came. On a
/// busy machine a bot leaves pictures out up to a key frame, and one that has stopped for good never gets there.
async fn plays_until(writer: &Writer, line: &mut Line, dump: &Dump, from: usize, pictures: usize) -> (usize, usize) {
    const TURN: usize = 15;
    const TURNS: usize = 20;
    let before = Back::of(writer).pictures();
    let back = || Back::of(writer).pictures() - before;
    let mut at = from;
    while back() < pictures && at < from + TURNS * TURN {
        plays(writer, line, dump, at..at + TURN, 0).await;
        at += TURN;
    }
    (at, back())
}

/// A peer that has to change its SSRC (a collision, RFC 3550 8.2, or a restart of its encoder) and has no word for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_changes_in_silence_is_recorded_and_given_back() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let labels = vec![label("face", Source::Camera)];
    let writer = Writer::join(&studio.room, "Alice", vec![camera()], labels.clone()).await;
    let bot = echoes::bot(&studio.room, plain()).await;
    writer.connected().await;
    pause(Duration::from_millis(300), "the other side of a handshake ends later").await;
    let dump = Dump::load(Codec::Vp8);
    for ssrc in [7, 8, 9] {
        let (sent, back) = plays_until(&writer, &mut Line::new(ssrc, "cam", VP8), &dump, 0, 40).await;
        println!("source {ssrc}: {back} of {sent} pictures back");
        assert!(back >= 40, "source {ssrc}: {back} of {sent} pictures back: {:#?}", bot.watcher().all_tracks());
    }
    bot.finish().await;
    writer.leave().await;

    let (recording, writer) = meet(&studio, vec![camera()], labels).await;
    for ssrc in [7, 8, 9] {
        plays(&writer, &mut Line::new(ssrc, "cam", VP8), &dump, 0..30, 0).await;
    }
    let summary = finish(recording).await;
    writer.leave().await;
    is_complete(&summary);
    let tracks = &summary.manifest.tracks;
    assert_eq!(tracks.iter().map(|track| track.frames).collect::<Vec<_>>(), [30, 30, 30], "{tracks:#?}");
    // Each ends when the next begins, so that a film never shows two of them.
    let ends = tracks.windows(2).map(|pair| (pair[0].ended_ms.unwrap_or(0), pair[1].start_ms));
    assert!(ends.into_iter().all(|(end, next)| end <= next + 500), "{tracks:#?}");
}

/// What is given back may share the section of what it is made of. However that is answered, it comes back, and the offers end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_settles_however_its_offers_are_answered() {
    let dump = Dump::load(Codec::Vp8);
    for answered in [Answered::BothWays, Answered::OneWay, Answered::Unnamed] {
        let room = echoes::room();
        let section = Offered { answered, ..camera() };
        let writer = Writer::join(&room, "Alice", vec![section], vec![label("face", Source::Camera)]).await;
        let bot = echoes::bot(&room, plain()).await;
        writer.connected().await;
        pause(Duration::from_millis(300), "the other side of a handshake ends later").await;
        let mut line = Line::new(7, "cam", VP8);
        let (begun, before) = plays_until(&writer, &mut line, &dump, 0, 40).await;
        let settled = writer.said("offer").len();
        let (sent, back) = plays_until(&writer, &mut line, &dump, begun, 30).await;
        let offers = writer.said("offer").len();
        println!("{answered:?}: {settled} offers, then {}; {before}, then {back} of {sent} pictures", offers - settled);
        let most = if answered == Answered::OneWay { 3 } else { 1 };
        assert!(settled <= most && offers == settled, "{answered:?}: {settled} offers, then {}", offers - settled);
        let tracks = bot.finish().await;
        let came = writer.came().len();
        let told = format!("{before}, then {back} of {sent} pictures back in {came} packets");
        assert!(before >= 40 && back >= 30, "{answered:?}: {told}: {tracks:#?}");
        writer.leave().await;
    }
}

/// Nothing is taken that could not be recorded, and what somebody offers in nothing else is told at once, by its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_offered_in_codecs_that_are_not_recorded_is_told() {
    let studio = Studio::new();
    let sound =
        Offered::sound("mic", &[(0, "PCMU/8000"), (8, "PCMA/8000"), (9, "G722/8000"), (101, "telephone-event/8000")]);
    let picture = Offered::picture("cam", &[(97, "VP8/90000")]);
    let other = Offered { stream: "other", ..Offered::picture("other", &[(105, "H265/90000")]) };
    let labels = vec![label("face", Source::Camera)];
    let (recording, writer) = meet(&studio, vec![picture, sound, other], labels).await;
    plays(&writer, &mut Line::new(7, "cam", VP8), &Dump::load(Codec::Vp8), 0..30, 0).await;
    let mut told = Line::new(8, "mic", (0, Codec::Opus));
    for n in 0..50 {
        writer.write(vec![told.packet(n * 160, false, Bytes::from_static(&[0xff; 160]))]).await;
    }
    let summary = finish(recording).await;
    let answer = writer.said("answer").remove(0);
    writer.leave().await;
    let ports: Vec<&str> = answer.lines().filter(|line| line.starts_with("m=")).map(|line| &line[..9]).collect();
    assert_eq!(ports, ["m=video 9", "m=audio 0", "m=video 0"], "{answer}");
    let warnings = summary.manifest.warnings.join("\n");
    for codecs in ["PCMU, PCMA, G722", "H265"] {
        assert!(warnings.contains(codecs), "{codecs}: {warnings}");
    }
    assert_eq!(summary.manifest.tracks.len(), 1);
}

/// What wraps or marks media is accepted only where it is understood: a peer that keeps to the answer sends it plain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_understood_is_not_accepted() {
    let studio = Studio::new();
    let mut sound = Offered::sound("mic", &[(63, "red/48000/2"), (111, "opus/48000/2")]);
    sound.formats[0].2 = "111/111".into();
    let picture = Offered::picture(
        "cam",
        &[(97, "VP8/90000"), (116, "red/90000"), (117, "ulpfec/90000"), (118, "flexfec-03/90000")],
    )
    .with("a=extmap:13 urn:3gpp:video-orientation");
    let (recording, writer) = meet(&studio, vec![picture, sound], vec![label("face", Source::Mic)]).await;
    plays(&writer, &mut Line::new(7, "mic", OPUS), &Dump::load(Codec::Opus), 0..50, 0).await;
    let summary = finish(recording).await;
    let answer = writer.said("answer").remove(0);
    writer.leave().await;
    for refused in ["red/", "ulpfec", "flexfec", "video-orientation"] {
        assert!(!answer.contains(refused), "{refused}: {answer}");
    }
    assert_eq!(summary.manifest.tracks[0].frames, 50);
}

/// Packets without media, silence that is not sent, and a clock that jumps: nothing of it is a loss, and the film has its length.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn padding_silence_and_jumps_of_the_clock_lose_nothing() {
    needed!(tools(&["ffmpeg"]));
    let studio = Studio::new();
    let labels = vec![label("face", Source::Camera), label("face", Source::Mic)];
    let (recording, writer) = meet(&studio, vec![camera(), mic()], labels).await;
    let (pictures, sound) = (Dump::load(Codec::Vp8), Dump::load(Codec::Opus));
    let (mut cam, mut voice) = (Line::new(7, "cam", VP8), Line::new(8, "mic", OPUS));
    let mut sent = (0, 0);
    let mut tick = tokio::time::interval(pictures.pause());
    for n in 0..75 {
        tick.tick().await;
        // The clock of the picture jumps by an hour after two seconds, and its encoder begins anew.
        let (picture, base) = if n >= 30 { (n - 30, 3600 * 90_000) } else { (n, 0) };
        writer.write(cam.packets(&pictures.frame(picture, base))).await;
        // Probes of the bandwidth: padding only, which uses sequence numbers, and payloads of no length.
        let mut padding = cam.packet(picture as u32 * 6000 + base as u32, false, Bytes::new());
        padding.header.padding = n % 2 == 0;
        writer.write(vec![padding]).await;
        sent.0 += 1;
        // One second of sound, three of silence (DTX: now and then a packet of one byte), and sound again.
        let spoken = !(15..60).contains(&n);
        for part in 0..3 {
            let at = n * 3 + part;
            if spoken {
                writer.write(voice.packets(&sound.frame(at, 0))).await;
                sent.1 += 1;
            } else if at % 20 == 0 {
                writer.write(vec![voice.packet(at as u32 * 960, false, Bytes::from_static(&[0x08]))]).await;
                sent.1 += 1;
            }
        }
    }
    let summary = finish(recording).await;
    writer.leave().await;
    is_complete(&summary);
    let frames = |source| summary.manifest.tracks.iter().filter(|t| t.source == source).map(|t| t.frames).sum::<u64>();
    assert_eq!((frames(Source::Camera), frames(Source::Mic)), sent, "{:#?}", summary.manifest.tracks);
    // However far the clock jumps, the meeting was as long as it was.
    let last = summary.manifest.tracks.iter().map(|track| track.end_ms).max().unwrap_or(0);
    assert!(last <= summary.manifest.duration_ms + 1000, "{last} of {}", summary.manifest.duration_ms);
    let mut job = crate::film::job(&summary.folder, Policy::Auto);
    job.out = Some(studio.dir.path().join("film.mp4"));
    let film = tokio::task::spawn_blocking(move || compose(&Library::default(), &job, |_| Ok(()))).await.expect("made");
    let film = film.expect("a film");
    assert!(film.frames < 12 * u64::from(crate::film::FPS), "{} frames", film.frames);
}

/// H.264 whose parameter sets are in its description only, over a whole connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameter_sets_of_the_description_make_a_playable_file() {
    needed!(tools(&["ffmpeg"]));
    use base64::Engine;
    let studio = Studio::new();
    let dump = Dump::load(Codec::H264);
    // Takes the parameter sets out of the frames.
    let (mut sets, mut frames) = (Vec::new(), Vec::new());
    for n in 0..60 {
        let mut frame = dump.frame(n, 0);
        let joined = frame.parts.concat();
        let (mut rest, mut kept) = (&joined[..], Vec::new());
        while let Some((length, body)) = rest.split_first_chunk::<4>() {
            let (unit, behind) = body.split_at(u32::from_be_bytes(*length) as usize);
            rest = behind;
            if matches!(unit[0] & 0x1f, 7 | 8) {
                let text = base64::prelude::BASE64_STANDARD.encode(unit);
                if !sets.contains(&text) {
                    sets.push(text);
                }
            } else {
                kept.extend_from_slice(length);
                kept.extend_from_slice(unit);
            }
        }
        (frame.parts, frame.config) = (vec![kept.into()], None);
        frames.push(frame);
    }
    assert_eq!(sets.len(), 2);
    let mut section = Offered::picture("cam", &[(99, "H264/90000")]);
    section.formats[0].2 += &format!(";sprop-parameter-sets={}", sets.join(","));
    let (recording, writer) = meet(&studio, vec![section], vec![label("face", Source::Camera)]).await;
    let mut line = Line::new(7, "cam", (99, Codec::H264));
    let mut tick = tokio::time::interval(dump.pause());
    for frame in &frames {
        tick.tick().await;
        writer.write(line.packets(frame)).await;
    }
    let summary = finish(recording).await;
    writer.leave().await;
    is_complete(&summary);
    assert_eq!((summary.manifest.tracks.len(), probe(&track_path(&summary, 0)).frames), (1, 60));
    let mut job = crate::film::job(&summary.folder, Policy::Auto);
    job.out = Some(studio.dir.path().join("film.mp4"));
    let film = tokio::task::spawn_blocking(move || compose(&Library::default(), &job, |_| Ok(()))).await.expect("made");
    let film = film.expect("a film");
    assert_eq!(film.warnings, Vec::<String>::new());
    let seen = probe(&film.film);
    assert!(seen.frames >= 45 && seen.complaints.is_empty(), "{seen:?}");
}
