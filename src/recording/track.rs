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
#[path = "track_tests.rs"]
mod tests;
