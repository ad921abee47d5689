//! Frames of real encoders through track filters.

use super::*;
use crate::media::testing::made;
use crate::media::{FrameFilter, Library, MediaSource};
use bytes::Bytes;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Frames of `fixtures/frames`: length, RTP time, key, bytes.
fn dump(codec: Codec) -> Vec<Frame> {
    let name = format!("{}/fixtures/frames/{}.frames", env!("CARGO_MANIFEST_DIR"), codec.name().to_lowercase());
    let data = std::fs::read(name).unwrap();
    let word = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap());
    let (mut frames, mut at) = (Vec::new(), 0);
    while at < data.len() {
        let len = word(at) as usize;
        frames.push(Frame {
            rtp_time: i64::from(word(at + 4)),
            arrival: Instant::now(),
            parts: vec![Bytes::copy_from_slice(&data[at + 9..at + 9 + len])],
            key: data[at + 8] == 1,
            size: None,
            config: None,
            audio_level: None,
            packets: 0,
        });
        at += 9 + len;
    }
    frames
}

fn start(from: Codec, to: Codec, filter: Filter) -> (TrackFilter, Receiver<Frame>) {
    let (sender, frames) = channel();
    let config = TrackFilterConfig { from, to, filter, bitrate: if to == Codec::Opus { 40_000 } else { 500_000 } };
    let track = TrackFilter::start(&Library::default(), &config, move |frame| drop(sender.send(frame))).unwrap();
    (track, frames)
}

fn none(kind: MediaKind) -> Filter {
    Filter::resolve(&Library::default(), kind, "none", &[]).unwrap()
}

/// Pushes one frame and waits for its output.
fn through(track: &mut TrackFilter, frames: &Receiver<Frame>, frame: &Frame) -> Frame {
    assert_eq!(track.push(frame), PushResult::Accepted);
    let patience = Duration::from_secs(10);
    frames
        .recv_timeout(patience)
        .unwrap_or_else(|e| panic!("{}: {e}: {:?} {:?}", frame.rtp_time, track.poll(), track.counts()))
}

#[test]
fn no_codec_holds_a_frame_back() {
    for (from, to) in [
        (Codec::Vp8, Codec::Vp8),
        (Codec::Vp9, Codec::Vp9),
        (Codec::H264, Codec::H264),
        (Codec::Av1, Codec::Av1),
        (Codec::Vp8, Codec::H264),
        (Codec::Opus, Codec::Opus),
    ] {
        let (mut track, frames) = start(from, to, none(from.kind()));
        for (n, frame) in dump(from).iter().take(12).enumerate() {
            // The next one is pushed only after the output of this one.
            let back = through(&mut track, &frames, frame);
            assert_eq!((back.rtp_time, back.arrival), (frame.rtp_time, frame.arrival), "{from:?} {n}");
            assert_eq!(back.key, n == 0 || to == Codec::Opus, "{from:?} to {to:?}, frame {n}");
            assert!(!back.is_empty() && (n > 0 || to != Codec::H264 || back.config.is_some()));
        }
        track.poll().unwrap();
    }
}

#[test]
fn a_key_frame_is_made_when_asked_for() {
    for to in [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1] {
        let (mut track, frames) = start(Codec::Vp8, to, none(MediaKind::Video));
        for (n, frame) in dump(Codec::Vp8).iter().take(9).enumerate() {
            if n == 5 {
                track.ask_key_frame();
            }
            assert_eq!(through(&mut track, &frames, frame).key, n == 0 || n == 5, "{to:?} {n}");
        }
    }
}

#[test]
fn a_filter_is_exchanged_while_frames_flow() {
    let kinds = [(Codec::Vp8, "grey"), (Codec::Opus, "robot")];
    for (codec, name) in kinds {
        let other = Filter::resolve(&Library::default(), codec.kind(), name, &[]).unwrap();
        let (mut track, frames) = start(codec, codec, none(codec.kind()));
        let mut last = i64::MIN;
        for (n, frame) in dump(codec).iter().take(16).enumerate() {
            match n {
                4 | 12 => track.set_filter(&other).unwrap(),
                8 => track.set_filter(&none(codec.kind())).unwrap(),
                _ => {}
            }
            let back = through(&mut track, &frames, frame);
            assert!(back.rtp_time > last && (n == 0 || codec == Codec::Opus || !back.key), "{name} {n}");
            last = back.rtp_time;
        }
        track.poll().unwrap();
    }
}

#[test]
fn pictures_get_smaller_and_larger_again() {
    let (mut track, frames) = start(Codec::Vp8, Codec::Vp8, none(MediaKind::Video));
    let mut sizes = Vec::new();
    for (n, frame) in dump(Codec::Vp8).iter().take(12).enumerate() {
        track.set_scale(VideoScale { percent: if (4..8).contains(&n) { 50 } else { 100 }, fps: None });
        track.set_bitrate(200_000 + 10_000 * n as u64);
        let back = through(&mut track, &frames, frame);
        if back.key {
            sizes.push((n, back.size));
        }
    }
    assert_eq!(sizes, [(0, Some((240, 132))), (4, Some((120, 66))), (8, Some((240, 132)))]);
    assert_eq!(track.size(), Some((240, 132)));
}

/// The frames of a film of that size.
fn film(codec: Codec, (width, height): (u32, u32)) -> Vec<Frame> {
    let encoder = match codec {
        Codec::Vp9 => "-c:v libvpx-vp9 -deadline realtime",
        Codec::Av1 => "-c:v libaom-av1 -cpu-used 8 -usage realtime",
        Codec::H264 => "-c:v libx264 -bf 0",
        Codec::Vp8 | Codec::Opus => "-c:v libvpx -deadline realtime",
    };
    let source =
        format!("-f lavfi -i rgbtestsrc=size={width}x{height}:rate=10:duration=0.4 -pix_fmt yuv420p {encoder}");
    let (_folder, path) = made(&source, "x.mkv");
    let mut source = MediaSource::file(&Library::default(), &path, |_| true, false).unwrap();
    std::iter::from_fn(|| source.next_frame().unwrap()).map(|next| next.frame).collect()
}

#[test]
fn odd_and_tiny_pictures_keep_their_size() {
    for size in [(300, 225), (301, 201), (225, 300), (17, 16), (2, 2), (1, 1), (3, 64)] {
        for codec in [Codec::Vp8, Codec::Vp9, Codec::Av1] {
            let (mut track, frames) = start(codec, codec, none(MediaKind::Video));
            let back = through(&mut track, &frames, &film(codec, size)[0]);
            // `av1enc` takes nothing smaller than 16 pixels.
            let factor = if codec == Codec::Av1 { 16_u32.div_ceil(size.0.min(size.1)) } else { 1 };
            assert_eq!((back.key, back.size), (true, Some((size.0 * factor, size.1 * factor))), "{codec:?}");
        }
    }
}

/// H.264 in 4:2:0 has even sides, and encoders want 16 pixels: what is odd gets a line more, what is tiny is enlarged.
#[test]
fn odd_and_tiny_pictures_become_h264() {
    for (size, want) in [
        ((300, 225), (300, 226)),
        ((301, 201), (302, 202)),
        ((225, 300), (226, 300)),
        ((2, 2), (16, 16)),
        ((1, 1), (16, 16)),
    ] {
        let (mut track, frames) = start(Codec::Vp8, Codec::H264, none(MediaKind::Video));
        let back = through(&mut track, &frames, &film(Codec::Vp8, size)[0]);
        assert_eq!((back.key, back.size), (true, Some(want)), "{size:?}");
    }
}

/// Says when it has a frame, and keeps it until it is let go.
struct Gated {
    entered: Sender<()>,
    gate: Arc<Mutex<Receiver<()>>>,
}

impl FrameFilter for Gated {
    fn apply(&mut self, _: &mut image::RgbaImage, _: Duration) {
        let _ = self.entered.send(());
        // An error means that the gate is open for good.
        let _ = self.gate.lock().unwrap().recv();
    }
}

#[test]
fn a_slow_filter_gets_the_newest_picture() {
    const FRAMES: u64 = 60;
    let ((entered, has_entered), (open, gate)) = (channel(), channel());
    let gate = Arc::new(Mutex::new(gate));
    let filter = Filter::of("gated", move || Box::new(Gated { entered: entered.clone(), gate: gate.clone() }));
    let (mut track, frames) = start(Codec::Vp8, Codec::Vp8, filter);
    let all = dump(Codec::Vp8);
    let rtp_time = |n: u64| n as i64 * 3000;
    for n in 0..FRAMES {
        let frame = Frame { rtp_time: rtp_time(n), ..all[n as usize % all.len()].clone() };
        assert_eq!(track.push(&frame), PushResult::Accepted, "the decoder does not wait for the filter");
        if n == 0 {
            has_entered.recv_timeout(Duration::from_secs(10)).expect("the first frame is in the filter");
        }
        let started = Instant::now();
        while track.counts().decoded <= n {
            assert!(started.elapsed() < Duration::from_secs(10), "frame {n} was not decoded: {:?}", track.counts());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    drop(open);
    let mut times = Vec::new();
    while times.last() != Some(&rtp_time(FRAMES - 1)) {
        times.push(frames.recv_timeout(Duration::from_secs(10)).expect("the newest frame comes").rtp_time);
    }
    // The one that was in the filter, and the newest one. The one before it may have been taken while the last one was on its way, and the
    // encoder, too, takes the newest.
    let is_expected = |time: &i64| *time == 0 || *time >= rtp_time(FRAMES - 2);
    assert!(times.len() <= 3 && times.iter().all(is_expected), "{times:?}");
}

#[test]
fn nothing_begins_without_a_key_frame_and_nothing_too_large_is_decoded() {
    let (mut track, frames) = start(Codec::Vp8, Codec::Vp8, none(MediaKind::Video));
    let all = dump(Codec::Vp8);
    assert_eq!(track.push(&all[1]), PushResult::NeedKeyFrame);
    assert_eq!(track.push(&Frame { size: Some((16_383, 16_383)), ..all[0].clone() }), PushResult::TooLarge);
    assert_eq!(track.push(&all[1]), PushResult::NeedKeyFrame);
    through(&mut track, &frames, &all[0]);
}

#[test]
fn irregular_times_come_back_as_they_are() {
    for to in [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1] {
        let (mut track, frames) = start(Codec::Vp8, to, none(MediaKind::Video));
        let mut rtp_time = 1 << 33;
        for (n, frame) in dump(Codec::Vp8).iter().take(20).enumerate() {
            // From 3 ms to half a second apart.
            rtp_time += [270, 300, 9000, 45_000][n % 4];
            let back = through(&mut track, &frames, &Frame { rtp_time, ..frame.clone() });
            assert_eq!((back.rtp_time, back.key), (rtp_time, n == 0), "{to:?} {n}");
        }
    }
}
