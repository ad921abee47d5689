//! Track files: what is written comes back, with the sender's times, whatever ends the writing.

use super::*;
use crate::container::matroska::{TrackReader, scan};
use crate::recording::folder::RecordingFolder;
use crate::recording::testing::{Sample, probe, sample};
use jiff::Timestamp;
use std::path::PathBuf;

fn folder() -> (tempfile::TempDir, RecordingFolder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = RecordingFolder::create(dir.path(), "test", Timestamp::UNIX_EPOCH).unwrap();
    (dir, folder)
}

fn begin(folder: &RecordingFolder, sample: &Sample) -> (TrackFile, PathBuf) {
    let name = format!("alice.test.1.{}", TrackFormat::extension(sample.format.codec));
    let path = folder.path().join("tracks").join(&name);
    (TrackFile::create(folder, &name, sample.format.clone(), &sample.frames[0]).unwrap(), path)
}

#[test]
fn every_frame_of_every_codec_comes_back() {
    for codec in Codec::ALL {
        let mut sample = sample(codec, (160, 120), 3);
        // The sender's clock may stand anywhere.
        sample.frames.iter_mut().for_each(|frame| frame.rtp_time += 5_000_000_000);
        let (_dir, folder) = folder();
        let (mut track, path) = begin(&folder, &sample);
        for (n, frame) in sample.frames.iter().enumerate() {
            track.push(frame).unwrap();
            if n % 12 == 11 {
                track.flush().unwrap();
            }
        }
        let summary = track.finish().unwrap();
        let expected = sample.frames.len() as u64;
        assert_eq!((summary.frames, summary.lost_frames), (expected, 0));
        assert_eq!(summary.first_rtp, 5_000_000_000);
        assert_eq!(summary.file_bytes, std::fs::metadata(&path).unwrap().len());

        let seen = probe(&path);
        assert_eq!((seen.packets, seen.frames), (expected, expected), "{codec:?} {seen:?}");
        assert_eq!(seen.complaints, "", "{codec:?}");
        assert_eq!(seen.codec, codec.name().to_lowercase());
        let duration = summary.duration_ms as f64 / 1000.0;
        assert!((seen.duration.unwrap() - duration).abs() < 0.002, "{seen:?} {summary:?}");
        assert!((duration - 3.0).abs() < 0.041, "{codec:?} {duration}");

        let scanned = scan(&path).unwrap();
        assert!(scanned.finished && scanned.dropped == 0, "{scanned:?}");
        assert_eq!(
            (scanned.frames, scanned.payload, scanned.key_frames),
            (expected, summary.payload_bytes, summary.key_frames)
        );
        assert_eq!((scanned.duration_ms, &scanned.format.name), (Some(summary.duration_ms), &sample.format.name));
        let read: Vec<_> = TrackReader::open(&path).unwrap().frames().collect::<Result<_>>().unwrap();
        for (stored, frame) in read.iter().zip(&sample.frames) {
            assert_eq!(stored.data, frame.parts.concat());
            let exact = (frame.rtp_time - 5_000_000_000) as f64 * 1000.0 / f64::from(codec.clock_rate());
            assert!((stored.ms as f64 - exact).abs() <= 0.5 && stored.key == frame.key);
        }
    }
}

#[test]
fn a_file_that_was_killed_at_any_byte_has_every_whole_frame() {
    for codec in Codec::ALL {
        let sample = sample(codec, (160, 120), 2);
        let (dir, folder) = folder();
        let (mut track, path) = begin(&folder, &sample);
        for (n, frame) in sample.frames.iter().enumerate() {
            track.push(frame).unwrap();
            if n % 12 == 11 {
                track.flush().unwrap();
            }
        }
        track.flush().unwrap();
        drop(track);
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(probe(&path).frames, sample.frames.len() as u64, "{codec:?}");
        let scanned = scan(&path).unwrap();
        assert!(!scanned.finished && scanned.dropped == 0);

        for cut in [whole.len() - 1, whole.len() - 100, whole.len() * 2 / 3, whole.len() / 2] {
            let torn = dir.path().join("torn");
            std::fs::write(&torn, &whole[..cut]).unwrap();
            let scanned = scan(&torn).unwrap();
            assert!(scanned.frames > 0 && scanned.frames < sample.frames.len() as u64);
            let seen = probe(&torn);
            // ffmpeg also hands out the torn frame; what it makes of that is its own affair.
            assert!(
                (scanned.frames..=scanned.frames + 1).contains(&seen.packets),
                "{codec:?} {cut} {seen:?} {scanned:?}"
            );
            assert!(seen.frames >= scanned.frames, "{codec:?} {cut} {seen:?} {scanned:?}");
        }
    }
}

#[test]
fn jumps_and_steps_back_in_time_stay_in_order_of_arrival() {
    let sample = sample(Codec::Opus, (0, 0), 1);
    let (_dir, folder) = folder();
    let (mut track, path) = begin(&folder, &sample);
    // Seconds: a pause of nine hours, a step back beyond a cluster's reach, and before the beginning.
    let times = [0i64, 1, 2, 32_400, 32_401, 32_300, 10, -5];
    for (time, frame) in times.iter().zip(&sample.frames) {
        track.push(&Frame { rtp_time: time * 48_000, ..frame.clone() }).unwrap();
    }
    track.finish().unwrap();
    let read: Vec<_> = TrackReader::open(&path).unwrap().frames().map(|frame| frame.unwrap().ms).collect();
    assert_eq!(read, [0, 1000, 2000, 32_400_000, 32_401_000, 32_300_000, 10_000, 0]);
    assert_eq!(probe(&path).packets, 8);
}

#[test]
fn the_file_says_how_many_channels_came() {
    let sample = sample(Codec::Opus, (0, 0), 1);
    for (second, channels) in [(0xf8, 1), (0xfc, 2)] {
        let (_dir, folder) = folder();
        let (mut track, path) = begin(&folder, &sample);
        for (toc, frame) in [0xf8, second, 0xf8].into_iter().zip(&sample.frames) {
            track.push(&Frame { parts: vec![vec![toc, 0xff, 0xfe].into()], ..frame.clone() }).unwrap();
        }
        track.flush().unwrap();
        // While it grows, what may still come.
        assert_eq!(TrackReader::open(&path).unwrap().format().channels, 2);
        track.finish().unwrap();
        assert_eq!(TrackReader::open(&path).unwrap().format().channels, channels);
        assert_eq!(probe(&path).packets, 3);
    }
}

#[test]
fn pictures_that_are_shown_before_others_keep_their_times() {
    let sample = sample(Codec::H264, (160, 120), 2);
    let (_dir, folder) = folder();
    let (mut track, path) = begin(&folder, &sample);
    // Milliseconds, in the order of sending: B-frames, and a cluster that begins among them.
    let times = [0i64, 200, 100, 50, 150, 400, 300, 250, 350, 1100, 900, 850, 1000];
    for (time, frame) in times.iter().zip(&sample.frames) {
        track.push(&Frame { rtp_time: time * 90, ..frame.clone() }).unwrap();
    }
    let summary = track.finish().unwrap();
    assert_eq!((summary.last_rtp, summary.duration_ms), (1100 * 90, 1200));
    let read: Vec<_> = TrackReader::open(&path).unwrap().frames().map(|frame| frame.unwrap().ms as i64).collect();
    assert_eq!(read, times);
    let scanned = scan(&path).unwrap();
    assert_eq!((scanned.first_ms, scanned.last_ms, scanned.dropped), (Some(0), Some(1100), 0));
    let shown = std::process::Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "packet=pts_time", "-of", "csv=p=0"])
        .arg(&path)
        .output()
        .expect("these tests need the ffprobe command");
    let shown = String::from_utf8_lossy(&shown.stdout)
        .lines()
        .map(|line| line.trim().parse::<f64>().unwrap_or(-1.0))
        .collect::<Vec<_>>();
    assert_eq!(shown.iter().map(|seconds| (seconds * 1000.0).round() as i64).collect::<Vec<_>>(), times);
}

#[test]
fn times_are_rounded_to_the_nearest_millisecond() {
    assert_eq!(milliseconds(0, 90_000), 0);
    assert_eq!(milliseconds(44, 90_000), 0);
    assert_eq!(milliseconds(45, 90_000), 1);
    assert_eq!(milliseconds(3000, 90_000), 33);
    assert_eq!(milliseconds(-1, 90_000), 0);
    assert_eq!(milliseconds(i64::MAX, 90_000), 102_481_911_520_608_620);
    assert_eq!(milliseconds(i64::MAX, 1), u64::MAX);
}

#[test]
fn an_existing_file_is_not_touched() {
    let sample = sample(Codec::Opus, (0, 0), 1);
    let (_dir, folder) = folder();
    let (track, path) = begin(&folder, &sample);
    drop(track);
    let before = std::fs::read(&path).unwrap();
    let again = TrackFile::create(&folder, "alice.test.1.webm", sample.format.clone(), &sample.frames[0]);
    assert!(again.is_err());
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
