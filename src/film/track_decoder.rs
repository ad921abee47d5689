//! Decodes one track file on session time. Frames that are not needed are skipped without being read; decoding begins again at the
//! key frame before. It never waits for a file that grows.

use crate::container::matroska::{Block, TrackReader};
use crate::error::{Error, Result};
use crate::media::{Decoded, Decoder, Library, TrackFormat};
use crate::recording::manifest::TrackEntry;
use crate::recording::placement::Placement;
use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a decoder may take for its next output on a busy machine.
const DECODE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait for output until more input is offered.
const OUTPUT_WAIT: Duration = Duration::from_millis(20);
/// The most frames that are kept since a key frame: half a day at 30 a second. Beyond, decoding begins at the next key frame.
const MAX_SKIPPED: usize = 1_300_000;

/// A track file and its decoder.
pub struct TrackDecoder {
    path: PathBuf,
    placement: Placement,
    /// The file is still being written.
    grows: bool,
    reader: Option<TrackReader<File>>,
    decoder: Option<Decoder>,
    /// Skipped, but needed to decode what follows.
    skipped: VecDeque<Block>,
    /// Read, and not due yet.
    lookahead: Option<Block>,
    /// Frames in the decoder that it has returned nothing for yet.
    pending: usize,
    /// The decoder has got the end of the stream.
    ended: bool,
    closed: bool,
}

impl TrackDecoder {
    /// The decoder of the track file at `path`; nothing is opened yet. `grows`: the file is still being written.
    pub fn new(path: PathBuf, track: &TrackEntry, grows: bool) -> TrackDecoder {
        TrackDecoder {
            path,
            placement: Placement::of(track),
            grows,
            reader: None,
            decoder: None,
            skipped: VecDeque::new(),
            lookahead: None,
            pending: 0,
            ended: false,
            closed: false,
        }
    }

    /// Updates what is known of the track: a better clock, or that its file is complete.
    pub fn update(&mut self, track: &TrackEntry, grows: bool) {
        self.placement = Placement::of(track);
        self.grows = grows;
    }

    /// When the file begins, in session nanoseconds.
    pub fn start_ns(&self) -> i64 {
        self.placement.session_ns(Duration::ZERO)
    }

    /// True where there is no further output.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Closes file and decoder.
    pub fn close(&mut self) {
        (self.reader, self.decoder, self.lookahead, self.closed) = (None, None, None, true);
        self.skipped = VecDeque::new();
    }

    /// Skips frames that are due until `at`, in session nanoseconds, without decoding them. True if there were any.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn skip(&mut self, at: i64) -> Result<bool> {
        let mut any = false;
        while !self.closed {
            let Some(block) = self.read()? else {
                // What was skipped last may still be asked for.
                if !self.grows && self.skipped.is_empty() {
                    self.close();
                }
                return Ok(any);
            };
            if self.session_ns(&block) > at {
                self.lookahead = Some(block);
                return Ok(any);
            }
            any = true;
            if block.key || self.skipped.len() >= MAX_SKIPPED {
                self.skipped.clear();
            }
            if block.key || !self.skipped.is_empty() || self.decoder.is_some() {
                self.skipped.push_back(block);
            }
        }
        Ok(any)
    }

    /// The next output of the decoder, which `take` takes from it, and when it is due in session nanoseconds. `None` at the end, or
    /// at the present end of a file that grows.
    ///
    /// # Errors
    /// The file cannot be read or decoded any further, or a decoder's package is missing.
    pub fn next<T>(
        &mut self,
        library: &Library,
        take: impl Fn(&mut Decoder, Duration) -> Result<Decoded<T>>,
    ) -> Result<Option<(i64, T)>> {
        let started = Instant::now();
        while !self.closed {
            let is_starved = self.push(library)?;
            let Some(decoder) = &mut self.decoder else { return Ok(None) };
            let wait = if is_starved && self.pending == 0 { Duration::ZERO } else { OUTPUT_WAIT };
            match take(decoder, wait).map_err(|e| self.with_path(e))? {
                Decoded::Next(in_file, taken) => {
                    self.pending = self.pending.saturating_sub(1);
                    return Ok(Some((self.placement.session_ns(in_file), taken)));
                }
                Decoded::End => self.close(),
                Decoded::NotYet if is_starved => {
                    self.pending = 0;
                    return Ok(None);
                }
                Decoded::NotYet if started.elapsed() > DECODE_TIMEOUT => {
                    let waited = DECODE_TIMEOUT.as_secs();
                    return Err(self.with_path(Error::machine(format!("nothing was decoded within {waited} s"))));
                }
                Decoded::NotYet => {}
            }
        }
        Ok(None)
    }

    /// Offers input to the decoder: true where a file that grows has no more for now.
    fn push(&mut self, library: &Library) -> Result<bool> {
        if self.decoder.is_none() {
            let reader = self.open()?;
            let format = reader.format();
            let (codec, config, channels) = (format.codec, format.config.clone(), format.channels);
            self.decoder = Some(Decoder::new(library, &TrackFormat { codec, config, channels })?);
        }
        while !self.ended && self.decoder.as_ref().is_some_and(Decoder::wants_input) {
            let block = match self.skipped.pop_front() {
                Some(block) => Some(block),
                None => self.read()?,
            };
            let (Some(reader), Some(decoder)) = (&mut self.reader, &self.decoder) else { break };
            match block {
                Some(block) => {
                    decoder.push(reader.read(&block)?, Duration::from_millis(block.ms), block.key)?;
                    self.pending += 1;
                }
                None if self.grows => return Ok(true),
                None => {
                    decoder.end();
                    self.ended = true;
                }
            }
        }
        Ok(false)
    }

    /// The next block of the file, as far as it is there.
    fn read(&mut self) -> Result<Option<Block>> {
        if let Some(block) = self.lookahead.take() {
            return Ok(Some(block));
        }
        let reader = self.open()?;
        match reader.next_block()? {
            // Also of a complete file: it may have grown since its length was read.
            None => {
                reader.refresh()?;
                reader.next_block()
            }
            block => Ok(block),
        }
    }

    fn open(&mut self) -> Result<&mut TrackReader<File>> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => TrackReader::open(&self.path)?,
        };
        Ok(self.reader.insert(reader))
    }

    fn session_ns(&self, block: &Block) -> i64 {
        self.placement.session_ns(Duration::from_millis(block.ms))
    }

    fn with_path(&self, error: Error) -> Error {
        error.within(self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::folder::{RecordingFolder, Subfolder};
    use crate::recording::testing::sample;
    use crate::recording::track::TrackFile;
    use crate::room::media::{Codec, Source};

    #[test]
    fn what_a_file_gets_last_is_read_too_when_it_is_finished() {
        let (library, dir) = (Library::default(), tempfile::tempdir().unwrap());
        let folder = RecordingFolder::create(dir.path(), "grows", jiff::Timestamp::UNIX_EPOCH).unwrap();
        let sample = sample(Codec::Vp8, (160, 120), 2);
        let (first, last) = sample.frames.split_at(30);
        let mut file = TrackFile::create(&folder, "alice.webm", sample.format.clone(), &first[0]).unwrap();
        first.iter().for_each(|frame| file.push(frame).unwrap());
        file.flush().unwrap();

        let entry = TrackEntry::new("alice.webm", "alice", Source::Camera, Codec::Vp8, 0);
        let path = folder.path().join(Subfolder::Tracks.name()).join("alice.webm");
        let mut feed = TrackDecoder::new(path, &entry, true);
        let seen =
            |feed: &mut TrackDecoder| std::iter::from_fn(|| feed.next(&library, Decoder::picture).unwrap()).count();
        let before = seen(&mut feed);
        assert!((1..=30).contains(&before), "{before}");
        last.iter().for_each(|frame| file.push(frame).unwrap());
        file.finish().unwrap();
        feed.update(&entry, false);
        assert_eq!(before + seen(&mut feed), 60);
        assert!(feed.is_closed());
    }
}
