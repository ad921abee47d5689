//! One encoded track into one file, on the sender's time. It holds at most a second in memory and never decodes.
//!
//! A file's timestamps are the frames' RTP times since its first frame, in milliseconds: WebM asks for a scale of 1 ms, and at 90
//! ticks a millisecond a block's 16 bits would not reach over a third of a second. Nothing is lost by the rounding: the
//! manifest keeps the exact RTP time of time 0, and half a millisecond is below what RTCP can relate.

use crate::container::matroska::{TrackFormat, TrackWriter};
use crate::error::{Error, Result, io_failed};
use crate::recording::folder::{RecordingFolder, Subfolder};
use crate::room::media::{Codec, Frame};
use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

/// A track file that grows. Dropped without [`TrackFile::finish`] it can still be opened, and lacks what was not flushed.
#[derive(Debug)]
pub struct TrackFile {
    name: String,
    codec: Codec,
    writer: TrackWriter,
    first_rtp: i64,
    last_rtp: i64,
    key_frames: u64,
    payload: u64,
    /// RTP time and packets of the frames that are not written yet.
    pending: VecDeque<(i64, u32)>,
    unwritten_packets: u64,
    /// RTP times of the frames that could not be written, first and last, since they were last asked for.
    unwritten: Option<(i64, i64)>,
}

/// Totals of a finished file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackSummary {
    /// The name in `tracks/`.
    pub file: String,
    /// The codec of all frames.
    pub codec: Codec,
    /// Frames in the file.
    pub frames: u64,
    /// Key frames that were pushed.
    pub key_frames: u64,
    /// Bytes of media that were pushed.
    pub payload_bytes: u64,
    /// Bytes of the whole file.
    pub file_bytes: u64,
    /// Unwrapped RTP time of the first frame.
    pub first_rtp: i64,
    /// The latest unwrapped RTP time of a frame.
    pub last_rtp: i64,
    /// From the first frame to the end of the last.
    pub duration_ms: u64,
    /// Frames that could not be written.
    pub lost_frames: u64,
}

/// A file that could not be finished, and what is not in it.
#[derive(Debug)]
pub struct Unfinished {
    /// The disk's.
    pub error: Error,
    /// Frames that were in memory, and their packets.
    pub frames: u64,
    /// See `frames`.
    pub packets: u64,
}

impl TrackFile {
    /// Creates `tracks/<file_name>`, which must not be there yet, and writes its header.
    ///
    /// `first` is time 0; it still has to be pushed.
    ///
    /// # Errors
    /// The file exists, the format lacks something, or the disk's.
    pub fn create(folder: &RecordingFolder, file_name: &str, format: TrackFormat, first: &Frame) -> Result<TrackFile> {
        format.check()?;
        let codec = format.codec;
        let file = folder.create_file(Subfolder::Tracks, file_name)?;
        let writer = TrackWriter::new(file, format)?;
        let (name, origin) = (file_name.to_owned(), first.rtp_time);
        Ok(Self {
            name,
            codec,
            writer,
            first_rtp: origin,
            last_rtp: origin,
            key_frames: 0,
            payload: 0,
            pending: VecDeque::new(),
            unwritten_packets: 0,
            unwritten: None,
        })
    }

    /// Appends a frame to the cluster in memory (the only copy of its bytes), and writes that out when it holds a second or 4 MiB.
    ///
    /// # Errors
    /// The disk's, and the frame is kept all the same: report it once and go on. A full disk costs the seconds for which it is
    /// full, and no more. A frame above 32 MiB is dropped.
    pub fn push(&mut self, frame: &Frame) -> Result<()> {
        self.last_rtp = self.last_rtp.max(frame.rtp_time);
        self.key_frames += u64::from(frame.key);
        self.payload += frame.len() as u64;
        let ms = milliseconds(frame.rtp_time.saturating_sub(self.first_rtp), self.codec.clock_rate());
        let (lost, waiting) = (self.writer.lost(), self.writer.waiting());
        let pushed = self.writer.push(ms, frame.key, frame.parts.iter().map(|part| &part[..]));
        self.pending.push_back((frame.rtp_time, frame.packets));
        let lost = self.writer.lost() > lost;
        if lost && self.writer.waiting() == waiting {
            // Too large: it alone is lost.
            self.pending.pop_back().into_iter().for_each(|frame| self.note_unwritten(frame));
        }
        self.settle_pending(lost);
        pushed
    }

    /// Frames have left the writer's memory: for the file, or lost.
    fn settle_pending(&mut self, lost: bool) {
        let left = self.pending.len().saturating_sub(usize::try_from(self.writer.waiting()).unwrap_or(usize::MAX));
        for _ in 0..left {
            let Some(frame) = self.pending.pop_front() else { break };
            if lost {
                self.note_unwritten(frame);
            }
        }
    }

    fn note_unwritten(&mut self, (rtp_time, packets): (i64, u32)) {
        self.unwritten_packets += u64::from(packets);
        let (first, last) = self.unwritten.unwrap_or((rtp_time, rtp_time));
        self.unwritten = Some((first.min(rtp_time), last.max(rtp_time)));
    }

    /// Writes what is in memory: one write call, or none. A kill loses what was not flushed: call it about every 400 ms.
    ///
    /// # Errors
    /// The disk's; the next call tries again.
    pub fn flush(&mut self) -> Result<()> {
        let flushed = self.writer.flush();
        self.settle_pending(false);
        flushed
    }

    /// Writes what is left, the index and the duration, and syncs the file. It blocks: call it on another thread.
    ///
    /// # Errors
    /// The disk's, with what it did not take.
    pub fn finish(mut self) -> std::result::Result<TrackSummary, Unfinished> {
        let finished = self.flush().and_then(|()| self.writer.finish());
        let finished =
            finished.and_then(|()| self.writer.file().sync_all().map_err(|e| io_failed("sync a track file", e)));
        if let Err(error) = finished {
            let packets = self.pending.iter().map(|(_, packets)| u64::from(*packets)).sum();
            return Err(Unfinished { error, frames: self.pending.len() as u64, packets });
        }
        Ok(TrackSummary {
            frames: self.writer.frames(),
            key_frames: self.key_frames,
            payload_bytes: self.payload,
            file_bytes: self.writer.bytes(),
            first_rtp: self.first_rtp,
            last_rtp: self.last_rtp,
            duration_ms: self.writer.duration_ms(),
            lost_frames: self.writer.lost(),
            codec: self.codec,
            file: self.name,
        })
    }

    /// The file, for another thread to call `sync_data` on about every 5 s: capture never waits for the disk.
    pub fn sync_handle(&self) -> Arc<File> {
        self.writer.file().clone()
    }

    /// The name in `tracks/`.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Bytes of the file and in memory.
    pub fn bytes(&self) -> u64 {
        self.writer.bytes()
    }
    /// Bytes of media that were pushed.
    pub fn payload_bytes(&self) -> u64 {
        self.payload
    }
    /// Frames that were pushed and not lost.
    pub fn frames(&self) -> u64 {
        self.writer.frames()
    }
    /// Key frames that were pushed.
    pub fn key_frames(&self) -> u64 {
        self.key_frames
    }
    /// Frames that could not be written, or that were too large.
    pub fn lost_frames(&self) -> u64 {
        self.writer.lost()
    }
    /// Packets of those frames.
    pub fn lost_packets(&self) -> u64 {
        self.unwritten_packets
    }
    /// The unwrapped RTP times of the first and the last frame that were lost since the last call.
    pub fn take_lost(&mut self) -> Option<(i64, i64)> {
        self.unwritten.take()
    }
    /// Unwrapped RTP time of the first frame: the file's time 0.
    pub fn first_rtp(&self) -> i64 {
        self.first_rtp
    }
    /// Unwrapped RTP time of the last frame.
    pub fn last_rtp(&self) -> i64 {
        self.last_rtp
    }
    /// From the first frame to the end of the last, in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.writer.duration_ms()
    }
}

/// Ticks in milliseconds, rounded to the nearest; 0 for what lies before the start.
fn milliseconds(ticks: i64, clock_rate: u32) -> u64 {
    let (ticks, rate) = (ticks.max(0) as u64, u64::from(clock_rate));
    (ticks / rate).saturating_mul(1000).saturating_add((ticks % rate * 1000 + rate / 2) / rate)
}

#[cfg(test)]
mod tests {
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
}
