//! What one browser does to its camera's encoding in mid-call: another codec on the same stream, and spatial layers.

use crate::recorded::{SMALL, records, sane};
use crate::support::back::Back;
use crate::support::browser::Browser;
use crate::support::echoes;
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::player::play;
use crate::support::probe::{probe, sizes};
use crate::support::sender::{PATIENCE, Sender};
use crate::support::server::TestServer;
use crate::support::synthetic::label;
use crate::support::tape::Tape;
use crate::support::writer::Writer;
use crate::support::written::{Line, Offered};
use roombot::container::matroska::{StoredFrame, TrackReader};
use roombot::recording::timeline::Event;
use roombot::room::media::{Codec, Frame, Source};
use std::path::Path;
use std::time::{Duration, Instant};

/// Script that changes the parameters of each sender of video.
fn set_parameters(change: &str) -> String {
    format!(
        "for (const one of connections.flatMap((pc) => pc.getSenders())) if (one.track?.kind === 'video') {{
            const parameters = one.getParameters();
            {change};
            await one.setParameters(parameters);
        }}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_codec_that_changes_in_mid_call_begins_a_file_and_loses_nothing() {
    needed!(tools(&["ffmpeg", "chromium"]));
    let server = TestServer::start().await;
    // Every frame is counted on both sides: nothing else that keeps a core busy runs meanwhile.
    let browser = Browser::launch_alone().await;
    let alice = Sender::join(&browser, &server, "codecs", "Alice", SMALL).await;
    let tape = Tape::start(&server.room("codecs"));
    records(&tape, "alice").await;
    let mut began = vec![];
    for codec in ["VP9", "H264", "VP8"] {
        pause(Duration::from_secs(2), "pictures of that codec").await;
        let find = format!(
            "parameters.encodings[0].codec = parameters.codecs.find((one) => one.mimeType === 'video/{codec}')"
        );
        alice.page.run(&set_parameters(&find)).await;
        began.push(codec);
        tape.until(&format!("alice's camera in {began:?}"), |entry| match &entry.event {
            Event::TrackOn { source: Source::Camera, codec: is, .. } if is.name() == codec => Some(()),
            _ => None,
        })
        .await;
    }
    pause(Duration::from_secs(2), "pictures of that codec").await;
    alice.fall_silent().await;
    let recorded = tape.finish().await;
    sane(&recorded);
    let cameras: Vec<_> = recorded.manifest.tracks.iter().filter(|track| track.source == Source::Camera).collect();
    let codecs: Vec<Codec> = cameras.iter().map(|track| track.codec).collect();
    let first = codecs[0];
    assert_eq!(codecs[1..], [Codec::Vp9, Codec::H264, Codec::Vp8], "first {first:?}");
    let frames: u64 = cameras.iter().map(|track| track.frames).sum();
    let encoded = alice.samples("camera").await.last().expect("samples").clone();
    println!("{frames} frames recorded of {} encoded", encoded.frames);
    // One that an encoder has made just before it is replaced may never be sent, or is sent and not counted by the browser.
    assert!(frames.abs_diff(encoded.frames) <= 3, "{frames} of {}", encoded.frames);
    let times: Vec<u64> = cameras.iter().flat_map(|camera| shown_at(&recorded.path(camera), camera.start_ms)).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "no picture comes twice: {times:?}");
    for camera in cameras {
        assert!(camera.gaps.is_empty(), "{camera:#?}");
        assert_eq!(probe(&recorded.path(camera)).frames, camera.frames);
    }
}

/// When each frame of a track is shown, in milliseconds of the recording.
fn shown_at(path: &Path, start_ms: u64) -> Vec<u64> {
    let track = TrackReader::open(path).expect("a track");
    track.frames().map(|frame| start_ms + frame.expect("a frame").ms).collect()
}

async fn layered(mode: &str, server: &TestServer, browser: &Browser) {
    let room = mode.to_lowercase().replace('_', "-");
    let alice = Sender::join(browser, server, &room, "Alice", "codec=vp9&width=960&height=540&fps=10").await;
    alice.page.run(&set_parameters(&format!("parameters.encodings[0].scalabilityMode = '{mode}'"))).await;
    let tape = Tape::start(&server.room(&room));
    records(&tape, "alice").await;
    tape.until("the whole picture", |entry| match entry.event {
        Event::Resolution { width: 960, height: 540, .. } => Some(()),
        _ => None,
    })
    .await;
    pause(Duration::from_secs(2), "pictures").await;
    alice.page.wait_for("samples.length > 0", PATIENCE, "samples").await;
    alice.fall_silent().await;
    let recorded = tape.finish().await;
    let camera = recorded.track("alice", Source::Camera);
    let last = camera.resolutions.last().expect("a size");
    assert_eq!((last.width, last.height), (960, 540), "{mode}: {:?}", camera.resolutions);
    let seen = probe(&recorded.path(camera));
    assert_eq!((seen.frames, seen.complaints.as_str()), (camera.frames, ""), "{mode}: a picture for each superframe");
    assert_eq!(sizes(&recorded.path(camera)).last(), Some(&(960, 540)), "{mode}");
    let played = play(browser, &recorded.path(camera)).await;
    assert!(played.error.is_none() && played.ended, "{mode}: {played:?}");
    let back = given_back(&recorded.path(camera)).await;
    assert_eq!(back.last(), Some(&(960, 540)), "{mode}: {back:?}");
}

/// The sizes of what a bot gives back of recorded superframes: each once for as long as it stays.
async fn given_back(path: &Path) -> Vec<(u32, u32)> {
    let frames: Vec<StoredFrame> =
        TrackReader::open(path).expect("a track").frames().map(|one| one.expect("a frame")).collect();
    let room = echoes::room();
    let section = Offered::picture("cam", &[(98, "VP9/90000")]);
    let writer = Writer::join(&room, "Alice", vec![section], vec![label("face", Source::Camera)]).await;
    let bot = echoes::bot(&room, echoes::plain()).await;
    writer.connected().await;
    let mut line = Line::new(7, "cam", (98, Codec::Vp9));
    for StoredFrame { ms, key, data } in frames {
        pause(Duration::from_millis(100), "as it came").await;
        let (size, config, audio_level, packets) = (None, None, None, 0);
        let (rtp_time, arrival) = (ms as i64 * 90, Instant::now());
        let frame = Frame { rtp_time, arrival, parts: vec![data], key, size, config, audio_level, packets };
        writer.write(line.packets(&frame)).await;
    }
    let back = Back::of(&writer);
    bot.finish().await;
    writer.leave().await;
    let mut sizes: Vec<(u32, u32)> =
        back.streams.iter().flat_map(|stream| &stream.frames).filter_map(|frame| frame.size).collect();
    sizes.dedup();
    sizes
}

#[tokio::test(flavor = "multi_thread")]
async fn all_spatial_layers_of_a_vp9_picture_are_recorded() {
    needed!(tools(&["ffmpeg", "chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    for mode in ["L3T3", "L3T3_KEY"] {
        layered(mode, &server, &browser).await;
    }
}
