//! One track file on the session's time, as frames for a decoder. What is not wanted is skipped without being read, what is
//! wanted again begins at the key frame before; a file that still grows is waited for by nobody.

use crate::container::matroska_reader::{Block, TrackReader};
use crate::error::{Error, Result};
use crate::media::{Decoded, Decoder, Library, TrackFormat};
use crate::recording::manifest::TrackEntry;
use crate::recording::placement::Placement;
use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a decoder may take to give its next picture, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it is waited for until it may want another frame.
const WAIT: Duration = Duration::from_millis(20);
/// Frames without a key frame among them that may be skipped: half a day at 30 a second. Beyond, the next key frame is waited for.
const MOST_SKIPPED: usize = 1_300_000;

/// A track file and its decoder.
pub struct TrackFeed {
    path: PathBuf,
    placement: Placement,
    /// The file is still being written.
    grows: bool,
    reader: Option<TrackReader<File>>,
    decoder: Option<Decoder>,
    /// Skipped, but needed if what follows is wanted.
    skipped: VecDeque<Block>,
    /// Read one too far.
    ahead: Option<Block>,
    /// Frames that the decoder has, and has given nothing for yet.
    under_way: usize,
    /// The decoder knows that there is no more.
    ended: bool,
    closed: bool,
}

impl TrackFeed {
    /// The feed of a track whose file lies at `path`; nothing is opened yet.
    pub fn new(path: PathBuf, track: &TrackEntry, grows: bool) -> TrackFeed {
        TrackFeed {
            path,
            placement: Placement::of(track),
            grows,
            reader: None,
            decoder: None,
            skipped: VecDeque::new(),
            ahead: None,
            under_way: 0,
            ended: false,
            closed: false,
        }
    }

    /// Goes by what is known of the track now: its clock is known better, or its file has got its end.
    pub fn update(&mut self, track: &TrackEntry, grows: bool) {
        self.placement = Placement::of(track);
        self.grows = grows;
    }

    /// When the file begins, in session nanoseconds.
    pub fn start_ns(&self) -> i64 {
        self.placement.session_ns(Duration::ZERO)
    }

    /// Nothing will come any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Lets go of file and decoder.
    pub fn close(&mut self) {
        (self.reader, self.decoder, self.ahead, self.closed) = (None, None, None, true);
        self.skipped = VecDeque::new();
    }

    /// Skips what is due until `at`, in session nanoseconds, and decodes none of it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn skip(&mut self, at: i64) -> Result<()> {
        while !self.closed {
            let Some(block) = self.read()? else {
                if !self.grows {
                    self.close();
                }
                return Ok(());
            };
            if self.session_ns(&block) > at {
                self.ahead = Some(block);
                return Ok(());
            }
            if block.key || self.skipped.len() >= MOST_SKIPPED {
                self.skipped.clear();
            }
            if block.key || !self.skipped.is_empty() || self.decoder.is_some() {
                self.skipped.push_back(block);
            }
        }
        Ok(())
    }

    /// What comes next out of the decoder by way of `take`, and when it is due in session nanoseconds. [`Decoded::NotYet`] only
    /// where the file still grows.
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
            let is_dry = self.push(library)?;
            let Some(decoder) = &mut self.decoder else { return Ok(None) };
            let wait = if is_dry && self.under_way == 0 { Duration::ZERO } else { WAIT };
            match take(decoder, wait).map_err(|e| self.named(e))? {
                Decoded::Next(in_file, taken) => {
                    self.under_way = self.under_way.saturating_sub(1);
                    return Ok(Some((self.placement.session_ns(in_file), taken)));
                }
                Decoded::End => self.close(),
                Decoded::NotYet if is_dry => {
                    self.under_way = 0;
                    return Ok(None);
                }
                Decoded::NotYet if started.elapsed() > PATIENCE => {
                    let waited = PATIENCE.as_secs();
                    return Err(self.named(Error::machine(format!("nothing was decoded within {waited} s"))));
                }
                Decoded::NotYet => {}
            }
        }
        Ok(None)
    }

    /// Gives the decoder what it takes: true where the file has no more for now.
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
                    self.under_way += 1;
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
        if let Some(block) = self.ahead.take() {
            return Ok(Some(block));
        }
        let reader = self.open()?;
        match reader.next_block()? {
            // Of one that grows no longer, too: it may have grown since it was looked at last.
            None => {
                reader.look_again()?;
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

    fn named(&self, error: Error) -> Error {
        error.within(self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::folder::{RecordingFolder, Sub};
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
        let path = folder.path().join(Sub::Tracks.word()).join("alice.webm");
        let mut feed = TrackFeed::new(path, &entry, true);
        let seen = |feed: &mut TrackFeed| std::iter::from_fn(|| feed.next(&library, Decoder::picture).unwrap()).count();
        let before = seen(&mut feed);
        assert!((1..=30).contains(&before), "{before}");
        last.iter().for_each(|frame| file.push(frame).unwrap());
        file.finish().unwrap();
        feed.update(&entry, false);
        assert_eq!(before + seen(&mut feed), 60);
        assert!(feed.is_closed());
    }
}
