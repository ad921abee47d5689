//! Detections: which stamped frames and marks of which participant are in a media file, and when. It reads files and measures nothing; what it
//! cannot read it reports.

use super::stamp::chirp::band;
use super::stamp::code::{FrameStamp, MarkStamp};
use super::stamp::luma::LumaPlane;
use super::stamp::mark_detector::{DetectedMark, MarkDetector, Silence};
use super::stamp::reader::StampReader;
use crate::error::{Error, Result};
use crate::media::{DecodedData, FileDecoder, Library};
use crate::room::media::MediaKind;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// A frame whose stamp was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameDetection {
    /// Presentation time, seconds.
    pub at: f64,
    /// Frame number of the source; wraps at [`super::stamp::code::FRAME_NUMBERS`].
    pub number: u32,
    /// Frame rate of the source.
    pub rate: u32,
}

/// A mark (half a second of stamped audio) that was recognised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarkDetection {
    /// Start time, seconds.
    pub at: f64,
    /// Mark number of the source, two a second; wraps at [`super::stamp::code::MARK_NUMBERS`].
    pub number: u32,
}

/// The end-to-end delay of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameDelay {
    /// When it was decoded, seconds of session time.
    pub at: f64,
    /// From capture to the decoded frame, ms.
    pub ms: f64,
}

/// How the capture time of a frame is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DelayBasis {
    /// From the start of the source, the frame number and the frame rate.
    Source,
    /// From the sender's clock, by its RTCP sender reports (RFC 3550, section 6.4.1).
    SenderReports,
}

/// A time interval, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Start, inclusive.
    pub from: f64,
    /// End, exclusive.
    pub until: f64,
}

/// Everything detected of one participant, sorted by time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    /// Stamped frames.
    pub frames: Vec<FrameDetection>,
    /// Stamped audio.
    pub marks: Vec<MarkDetection>,
    /// Intervals without audio.
    pub silences: Vec<Interval>,
    /// Times of frames without any stamp, which may have replaced frames of this participant.
    pub blanks: Vec<f64>,
    /// End-to-end delays, if the room was watched live.
    pub delays: Vec<FrameDelay>,
    /// How the capture times for `delays` are known.
    pub delays_by: Option<DelayBasis>,
}

/// Everything detected in one or more files.
#[derive(Debug, Clone, Default)]
pub struct Detections {
    /// By participant number.
    pub traces: BTreeMap<u8, Trace>,
    /// All frames.
    pub pictures: u64,
    /// Frames without a stamp.
    pub blank: u64,
    /// Stamps that could not be read.
    pub unread: u64,
    blanks: Vec<f64>,
    /// End of the last frame or sound, seconds.
    pub length: f64,
    /// Kinds of media in the files.
    pub kinds: BTreeSet<MediaKind>,
    /// Defects of the media: it cannot be read to its end.
    pub damage: Vec<String>,
    /// Failures of this machine: no decoder, too slow.
    pub trouble: Vec<String>,
}

impl Detections {
    /// Decodes a file to its end and adds what is detected. `session_time` maps the file's time to seconds on the common timeline.
    ///
    /// # Errors
    /// The user's: there is no such file. Other failures are added to `damage` or `trouble`.
    pub fn read(&mut self, library: &Library, path: &Path, session_time: impl Fn(Duration) -> f64) -> Result<()> {
        let mut playback = FileDecoder::open(library, path)?;
        let mut readers: BTreeMap<usize, StampReader> = BTreeMap::new();
        let mut detectors: BTreeMap<usize, MarkDetector> = BTreeMap::new();
        loop {
            let buffer = match playback.next_buffer() {
                Ok(Some(buffer)) => buffer,
                Ok(None) => break,
                Err(e @ Error::User(_)) if playback.undecodable().is_empty() => {
                    self.damage.push(e.to_string());
                    break;
                }
                Err(e) => {
                    self.trouble.push(e.to_string());
                    break;
                }
            };
            let at = session_time(buffer.at);
            match buffer.data {
                DecodedData::Picture { luma, width, height } => {
                    self.kinds.insert(MediaKind::Video);
                    self.length = self.length.max(at);
                    if let Some(luma) = LumaPlane::new(&luma, (width, height), width) {
                        self.add_frame(at, readers.entry(buffer.stream).or_default(), &luma);
                    }
                }
                DecodedData::Samples(samples) => {
                    self.kinds.insert(MediaKind::Audio);
                    self.length = self.length.max(at + samples.len() as f64 / 48_000.0);
                    detectors.entry(buffer.stream).or_default().push(at, &samples);
                }
            }
        }
        for mut detector in detectors.into_values() {
            detector.finish();
            self.add_marks(&detector.marks, &detector.silences);
        }
        let missing = playback.undecodable().into_iter();
        self.trouble.extend(missing.map(|what| format!("{}: no decoder for {what}", path.display())));
        for trace in self.traces.values_mut() {
            trace.blanks = self.blanks.clone();
            trace.sort();
        }
        Ok(())
    }

    fn add_frame(&mut self, at: f64, reader: &mut StampReader, luma: &LumaPlane) {
        let stamps = reader.read(luma);
        self.pictures += 1;
        if stamps.is_empty() {
            self.blank += 1;
            self.blanks.push(at);
        }
        for detected in stamps {
            match detected.stamp {
                Some(FrameStamp { participant, rate, number }) => {
                    self.traces.entry(participant).or_default().frames.push(FrameDetection { at, number, rate });
                }
                None => self.unread += 1,
            }
        }
    }

    fn add_marks(&mut self, marks: &[DetectedMark], silences: &[Silence]) {
        let mut present: BTreeSet<u8> = BTreeSet::new();
        for DetectedMark { stamp: MarkStamp { participant, number }, at } in marks {
            self.traces.entry(*participant).or_default().marks.push(MarkDetection { at: *at, number: *number });
            present.insert(*participant);
        }
        for participant in present {
            let band = band(participant);
            let own = silences.iter().filter(|silence| silence.band == band);
            let own = own.map(|silence| Interval { from: silence.from, until: silence.until });
            self.traces.entry(participant).or_default().silences.extend(own);
        }
    }
}

impl Trace {
    /// True if nothing was detected.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.marks.is_empty()
    }

    /// Sorts everything by time.
    pub fn sort(&mut self) {
        self.frames.sort_by(|a, b| a.at.total_cmp(&b.at));
        self.marks.sort_by(|a, b| a.at.total_cmp(&b.at));
        self.silences.sort_by(|a, b| a.from.total_cmp(&b.from));
        self.blanks.sort_by(f64::total_cmp);
    }

    /// The part of the trace within a time window.
    pub fn during(&self, window: Interval) -> Trace {
        let within = |at: f64| (window.from..window.until).contains(&at);
        let clipped = |s: &Interval| Interval { from: s.from.max(window.from), until: s.until.min(window.until) };
        Trace {
            frames: self.frames.iter().filter(|frame| within(frame.at)).copied().collect(),
            marks: self.marks.iter().filter(|mark| within(mark.at)).copied().collect(),
            silences: self.silences.iter().map(clipped).filter(|s| s.until > s.from).collect(),
            blanks: self.blanks.iter().copied().filter(|at| within(*at)).collect(),
            delays: self.delays.iter().filter(|delay| within(delay.at)).copied().collect(),
            delays_by: self.delays_by,
        }
    }
}
