//! A sender that changes its codec in mid-call, on the same SSRC: bots give it back all along, viewers follow, and the judge goes on counting.

use crate::support::back::Back;
use crate::support::bot::run;
use crate::support::dump::Dump;
use crate::support::echoes::{self, plain};
use crate::support::needs::{needed, tools};
use crate::support::server::TestServer;
use crate::support::synthetic::label;
use crate::support::writer::Writer;
use crate::support::written::{Line, Offered};
use crate::support::{log, pause};
use roombot::media::{Library, MediaSource, SourceFrame};
use roombot::room::media::{Codec, MediaKind, Source};
use roombot::signal::for_url;
use roombot::verify::{Format, Job, make};
use std::path::Path;
use std::time::{Duration, Instant};

/// Every codec of a picture, as the writer numbers it.
const PICTURES: [(u8, Codec); 4] = [(97, Codec::Vp8), (98, Codec::Vp9), (99, Codec::H264), (100, Codec::Av1)];

fn camera() -> Offered {
    Offered::picture("cam", &[(97, "VP8/90000"), (98, "VP9/90000"), (99, "H264/90000"), (100, "AV1/90000")])
}

fn numbered(codec: Codec) -> (u8, Codec) {
    PICTURES.into_iter().find(|(_, known)| *known == codec).expect("a picture")
}

/// Sends `count` frames of a codec in real time, from this RTP time on; returns the RTP time after them.
async fn plays(writer: &Writer, line: &mut Line, codec: Codec, count: usize, from: i64) -> i64 {
    let dump = Dump::load(codec);
    line.become_codec(numbered(codec));
    let mut tick = tokio::time::interval(dump.pause());
    for n in 0..count {
        tick.tick().await;
        writer.write(line.packets(&dump.frame(n, from))).await;
    }
    from + count as i64 * 6000
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_its_codec_is_given_back_all_along() {
    let room = echoes::room();
    let writer = Writer::join(&room, "Alice", vec![camera()], vec![label("face", Source::Camera)]).await;
    let bot = echoes::bot(&room, plain()).await;
    writer.connected().await;
    let mut line = Line::new(7, "cam", numbered(Codec::Vp8));
    let mut at = 0;
    for codec in [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Vp8, Codec::Av1] {
        let before = Back::of(&writer).pictures();
        // A busy bot leaves pictures out; one that does not follow never gives any back.
        for _ in 0..15 {
            at = plays(&writer, &mut line, codec, 22, at).await;
            if Back::of(&writer).pictures() - before >= 40 {
                break;
            }
        }
        let back = Back::of(&writer).pictures() - before;
        println!("{codec:?}: {back} pictures, {} packets, {} offers", writer.came().len(), writer.said("offer").len());
        assert!(back >= 40, "{codec:?}: {back} pictures back: {:#?}", bot.watcher().all_tracks());
    }
    // One track, whatever it is made of: its receivers are told nothing, and have nothing to begin anew.
    let back = Back::of(&writer);
    assert_eq!((back.streams.len(), writer.said("offer").len()), (1, 1), "{:?}", writer.said("offer"));
    assert!(back.streams[0].frames.iter().all(|frame| frame.size.is_none_or(|size| size == (240, 132))));
    let steps = back.streams[0].frames.windows(2).map(|pair| pair[1].rtp_time - pair[0].rtp_time);
    // A busy bot leaves pictures out.
    assert!(steps.into_iter().all(|step| (1..180_000).contains(&step)), "its time goes on");
    bot.finish().await;
    writer.leave().await;
}

/// Its viewers are sent away with each change, since nothing in WHEP could tell them of it, and see the new codec as soon as they come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_follow_a_sender_into_another_codec() {
    log();
    let server = TestServer::start_with(|config| config.whep = true).await;
    let room = for_url(&server.room("codecs")).expect("a room");
    let writer = Writer::join(room.as_ref(), "Alice", vec![camera()], vec![label("face", Source::Camera)]).await;
    let whep = for_url(&format!("whep+http://{}/whep/codecs/Alice", server.address)).expect("a URL");
    let codecs = [Codec::Vp8, Codec::H264, Codec::Vp9];
    let (now_in, sent_in) = tokio::sync::watch::channel(codecs[0]);
    let watched = async {
        let viewer = echoes::Person::join(whep.as_ref(), "Viewer", Codec::Vp8, None).await;
        for codec in codecs {
            now_in.send_replace(codec);
            let name = format!("pictures in {codec:?}");
            viewer
                .sees(30, &name, |sight| {
                    let seen = sight.track(MediaKind::Video);
                    seen.is_some_and(|seen| seen.remote.codec == codec && seen.frames.len() >= 20)
                })
                .await;
        }
        viewer
    };
    let sent = async {
        let mut line = Line::new(7, "cam", numbered(Codec::Vp8));
        let mut at = 0;
        loop {
            let codec = *sent_in.borrow();
            at = plays(&writer, &mut line, codec, 10, at).await;
        }
    };
    tokio::select! {
        viewer = watched => viewer.leave().await,
        () = sent => {}
    }
    writer.leave().await;
}

/// Frames of a stamped file from the first key frame at or after `from` on, up to a key frame at or after `until`.
fn stamped(dir: &Path, format: Format, (from, until): (f64, f64)) -> Vec<SourceFrame> {
    let out = dir.join(format!("{format:?}.mkv"));
    if !out.exists() {
        let out = out.clone();
        let job = Job { participant: 1, size: (320, 180), fps: 15, seconds: 14, format, kilobits: 400, out };
        make(&Library::default(), &job, |_| Ok(())).expect("a stamped file");
    }
    let mut file =
        MediaSource::file(&Library::default(), &out, |kind| kind == MediaKind::Video, false).expect("a file");
    let mut frames = Vec::new();
    while let Some(frame) = file.next_frame().expect("readable") {
        let at = frame.at.as_secs_f64();
        if frame.frame.key && at >= until {
            break;
        }
        if !frames.is_empty() || frame.frame.key && at >= from {
            frames.push(frame);
        }
    }
    frames
}

/// A room in which somebody changes the codec of stamped media is verified live: every frame is counted, with its delay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_judge_goes_on_counting_when_the_codec_changes() {
    needed!(tools(&["ffmpeg"]));
    log();
    let dir = tempfile::tempdir().expect("a folder");
    let server = TestServer::start().await;
    let url = server.room("judged");
    let room = for_url(&url).expect("a room");
    let mut parts = Vec::new();
    let mut from = 0.0;
    for (format, codec) in [(Format::Vp8, Codec::Vp8), (Format::H264, Codec::H264), (Format::Vp9, Codec::Vp9)] {
        let folder = dir.path().to_owned();
        let span = (from, from + 3.0);
        let frames = tokio::task::spawn_blocking(move || stamped(&folder, format, span)).await.expect("made");
        let last = frames.last().expect("frames").at.as_secs_f64();
        println!("{codec:?}: {} frames from {:.2} to {last:.2}", frames.len(), frames[0].at.as_secs_f64());
        from = last + 1.0 / 30.0;
        parts.push((codec, frames));
    }
    let sent: usize = parts.iter().map(|(_, frames)| frames.len()).sum();
    let writer = Writer::join(room.as_ref(), "Alice", vec![camera()], vec![label("face", Source::Camera)]).await;
    let seconds = (from + 4.0).ceil().to_string();
    let judging = tokio::spawn(async move {
        let args = ["verify", &url, "--seconds", &seconds, "--name", "alice=1", "--expect", "frames >= 1", "--json"];
        run(&args).await
    });
    writer.connected().await;
    pause(Duration::from_millis(500), "the other side of a handshake ends later").await;
    let mut line = Line::new(7, "cam", numbered(Codec::Vp8));
    let start = Instant::now();
    for (codec, frames) in &parts {
        line.become_codec(numbered(*codec));
        for frame in frames {
            tokio::time::sleep_until((start + frame.at).into()).await;
            writer.write(line.packets(&frame.frame)).await;
        }
    }
    let judged = judging.await.expect("it ran");
    println!("{}", judged.stdout);
    let report: serde_json::Value = serde_json::from_str(&judged.stdout).unwrap_or_else(|e| panic!("{e}: {judged:?}"));
    let figures = &report["targets"][0]["participants"][0]["figures"];
    assert_eq!(figures["frames"], sent as f64, "{figures:#}");
    for (figure, is) in [("lost", 0.0), ("out_of_order", 0.0), ("freezes", 0.0)] {
        assert_eq!(figures[figure], is, "{figure}: {figures:#}");
    }
    writer.leave().await;
}
