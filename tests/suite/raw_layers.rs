//! Simulcast (RFC 8853) of a peer that writes its own RTP: layers in other codecs than the first, and layers that start and stop.

use crate::support::dump::Dump;
use crate::support::needs::{needed, tools};
use crate::support::probe::probe;
use crate::support::server::TestServer;
use crate::support::studio::{Studio, finish, track_path};
use crate::support::synthetic::label;
use crate::support::tape::Tape;
use crate::support::writer::Writer;
use crate::support::written::{Line, Offered, RID};
use crate::support::{log, pause};
use roombot::record::capture::Summary;
use roombot::recording::manifest::Status;
use roombot::room::media::{Codec, Source};
use roombot::signal::for_url;
use std::time::Duration;

const VP8: (u8, Codec) = (97, Codec::Vp8);
const VP9: (u8, Codec) = (98, Codec::Vp9);

fn camera() -> Offered {
    let section = Offered::picture("cam", &[(97, "VP8/90000"), (98, "VP9/90000")]);
    ["q", "h", "f"]
        .iter()
        .fold(section, |section, rid| section.with(&format!("a=rid:{rid} send")))
        .with("a=simulcast:send q;h;f")
}

/// A layer: what it sends, and when, in frames of a fifteenth of a second.
struct Layer {
    line: Line,
    dump: Dump,
    on: Vec<std::ops::Range<usize>>,
}

fn layer(ssrc: u32, rid: &str, codec: (u8, Codec), small: bool, on: &[std::ops::Range<usize>]) -> Layer {
    let mut line = Line::new(ssrc, "cam", codec);
    line.extensions.push((RID, rid.as_bytes().to_vec()));
    let dump = if small { Dump::load_small(codec.1) } else { Dump::load(codec.1) };
    Layer { line, dump, on: on.to_vec() }
}

/// Sends the layers in real time. Each span of a layer begins with a key frame.
async fn play(writer: &Writer, layers: &mut [Layer], frames: usize) {
    let mut tick = tokio::time::interval(Duration::from_secs(1) / 15);
    for n in 0..frames {
        tick.tick().await;
        for (index, Layer { line, dump, on }) in layers.iter_mut().enumerate() {
            let Some(span) = on.iter().find(|span| span.contains(&n)) else { continue };
            let mut frame = dump.frame(n - span.start, 0);
            frame.rtp_time = n as i64 * 6000 + index as i64 * 1_000_000;
            writer.write(line.packets(&frame)).await;
        }
    }
}

async fn recorded(mut layers: Vec<Layer>, frames: usize) -> Summary {
    let studio = Studio::new();
    let recording = studio.recorder(None).await;
    let writer = Writer::join(&studio.room, "Alice", vec![camera()], vec![label("face", Source::Camera)]).await;
    writer.connected().await;
    pause(Duration::from_millis(300), "the other side of a handshake ends later").await;
    play(&writer, &mut layers, frames).await;
    let summary = finish(recording).await;
    writer.leave().await;
    for index in 0..summary.manifest.tracks.len() {
        let seen = probe(&track_path(&summary, index));
        assert_eq!((seen.frames, seen.complaints.as_str()), (summary.manifest.tracks[index].frames, ""));
    }
    assert_eq!((summary.manifest.status, &summary.manifest.reasons), (Status::Complete, &vec![]));
    // Its folder goes with the studio.
    summary
}

/// Codec, sizes and frames of a file.
type File = (Codec, Vec<(u32, u32)>, u64);

/// What is recorded: codec, size and frames of each file, in order.
fn files(summary: &Summary) -> Vec<File> {
    let sizes = |track: &roombot::recording::manifest::TrackEntry| {
        track.resolutions.iter().map(|resolution| (resolution.width, resolution.height)).collect()
    };
    summary.manifest.tracks.iter().map(|track| (track.codec, sizes(track), track.frames)).collect()
}

const SMALL: (u32, u32) = (160, 88);
const LARGE: (u32, u32) = (240, 132);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_better_layer_in_another_codec_is_the_one_that_is_recorded() {
    needed!(tools(&["ffmpeg"]));
    // The small one is there first.
    let layers = vec![
        layer(11, "q", VP8, true, std::slice::from_ref(&(0..75))),
        layer(12, "f", VP9, false, std::slice::from_ref(&(15..75))),
    ];
    let summary = recorded(layers, 75).await;
    let [(Codec::Vp8, small, before), (Codec::Vp9, large, after)] = &files(&summary)[..] else {
        panic!("{:#?}", summary.manifest.tracks)
    };
    assert_eq!((&small[..], &large[..]), (&[SMALL][..], &[LARGE][..]));
    assert!((14..=16).contains(before) && *after == 60, "{before} {after}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layers_that_start_and_stop_leave_no_hole_that_another_could_fill() {
    needed!(tools(&["ffmpeg"]));
    // The large one comes late, stops, and comes again; the small one stops meanwhile.
    let layers = vec![layer(11, "q", VP8, true, &[0..30, 45..100]), layer(12, "f", VP8, false, &[15..50, 75..100])];
    let summary = recorded(layers, 100).await;
    let [(Codec::Vp8, sizes, frames)] = &files(&summary)[..] else { panic!("{:#?}", summary.manifest.tracks) };
    assert_eq!(sizes[..], [SMALL, LARGE, SMALL, LARGE]);
    // Small frames until 15, large ones until 50, small ones again after at most a second and a key frame, large ones from 75 on.
    assert!(*frames >= 15 + 35 + 5 + 25, "{frames}");
}

/// The same over WHIP, where nothing can be said later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layers_of_a_whip_client_come_as_one_picture_in_the_best_of_them() {
    needed!(tools(&["ffmpeg"]));
    log();
    let server = TestServer::start_with(|config| config.whip = true).await;
    let tape = Tape::start(&server.room("layers"));
    let whip = for_url(&format!("whip+http://{}/whip/layers", server.address)).expect("a URL");
    let writer = Writer::join(whip.as_ref(), "Alice", vec![camera()], vec![]).await;
    writer.connected().await;
    let mut layers = vec![
        layer(11, "q", VP8, true, std::slice::from_ref(&(0..90))),
        layer(12, "h", VP8, true, std::slice::from_ref(&(0..90))),
        layer(13, "f", VP8, false, std::slice::from_ref(&(30..90))),
    ];
    play(&writer, &mut layers, 90).await;
    pause(Duration::from_millis(300), "what is under way arrives").await;
    writer.leave().await;
    let recorded = tape.finish().await;
    let camera = recorded.track("alice", Source::Camera);
    let sizes: Vec<(u32, u32)> = camera.resolutions.iter().map(|one| (one.width, one.height)).collect();
    assert_eq!(sizes, [SMALL, LARGE], "{camera:#?}");
    assert!(camera.frames >= 60, "{camera:#?}");
}
