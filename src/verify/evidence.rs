//! Evidence: what of whom was seen and heard when, read from media files. It collects and judges nothing; what it could not read it says.

use super::stamp::{FrameStamp, Heard, Listener, Luma, MarkStamp, Reader, Silence};
use super::watch::Basis;
use crate::error::{Blame, Result};
use crate::media::{Content, FileDecoder, Library};
use crate::room::media::MediaKind;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// A stamped picture that was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sight {
    /// When, in seconds.
    pub at: f64,
    /// The picture's number, and how many the source has a second.
    pub number: u32,
    pub rate: u32,
}

/// A mark that was heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// When it begins, in seconds.
    pub at: f64,
    /// Two a second.
    pub number: u32,
}

/// A picture of which it is known how long it took from being made to being decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delay {
    /// When it was decoded, in seconds.
    pub at: f64,
    pub ms: f64,
}

/// From and until, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stretch {
    pub from: f64,
    pub until: f64,
}

/// What was seen and heard of one participant, by time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    pub sights: Vec<Sight>,
    pub marks: Vec<Mark>,
    pub silences: Vec<Stretch>,
    /// When pictures without any stamp were shown, where they may have been in this one's place.
    pub blanks: Vec<f64>,
    /// How long pictures took, where somebody watched, and by what that is known.
    pub delays: Vec<Delay>,
    pub delays_by: Option<Basis>,
}

/// Everything that was found.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    pub traces: BTreeMap<u8, Trace>,
    /// Pictures in all, those without any stamp, and stamps that said nothing.
    pub pictures: u64,
    pub blank: u64,
    pub unread: u64,
    blanks: Vec<f64>,
    /// The end of the last picture or sound, seconds.
    pub length: f64,
    pub kinds: BTreeSet<MediaKind>,
    /// What the media is to blame for: it cannot be read to its end.
    pub damage: Vec<String>,
    /// What this machine is to blame for: no decoder, too slow.
    pub trouble: Vec<String>,
}

impl Evidence {
    /// Reads a file to its end. `place` turns the file's time into the one that is judged by.
    ///
    /// # Errors
    /// The user's: there is no such file. All else becomes damage or trouble.
    pub fn read(&mut self, library: &Library, path: &Path, place: impl Fn(Duration) -> f64) -> Result<()> {
        let mut playback = FileDecoder::open(library, path)?;
        let mut readers: BTreeMap<usize, Reader> = BTreeMap::new();
        let mut listeners: BTreeMap<usize, Listener> = BTreeMap::new();
        loop {
            let piece = match playback.next_piece() {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(e) if e.blame() == Blame::User && playback.undecodable().is_empty() => {
                    self.damage.push(e.to_string());
                    break;
                }
                Err(e) => {
                    self.trouble.push(e.to_string());
                    break;
                }
            };
            let at = place(piece.at);
            match piece.content {
                Content::Picture { luma, width, height } => {
                    self.kinds.insert(MediaKind::Video);
                    self.length = self.length.max(at);
                    if let Some(luma) = Luma::new(&luma, (width, height), width) {
                        self.see(at, readers.entry(piece.stream).or_default(), &luma);
                    }
                }
                Content::Sound(samples) => {
                    self.kinds.insert(MediaKind::Audio);
                    self.length = self.length.max(at + samples.len() as f64 / 48_000.0);
                    listeners.entry(piece.stream).or_default().push(at, &samples);
                }
            }
        }
        for mut listener in listeners.into_values() {
            listener.finish();
            self.hear(&listener.heard, &listener.silences);
        }
        let missing = playback.undecodable().into_iter();
        self.trouble.extend(missing.map(|what| format!("{}: this machine has no decoder for {what}", path.display())));
        for trace in self.traces.values_mut() {
            trace.blanks = self.blanks.clone();
            trace.sort();
        }
        Ok(())
    }

    fn see(&mut self, at: f64, reader: &mut Reader, luma: &Luma) {
        let seen = reader.read(luma);
        self.pictures += 1;
        if seen.is_empty() {
            self.blank += 1;
            self.blanks.push(at);
        }
        for sighting in seen {
            match sighting.stamp {
                Some(FrameStamp { participant, rate, number }) => {
                    self.traces.entry(participant).or_default().sights.push(Sight { at, number, rate });
                }
                None => self.unread += 1,
            }
        }
    }

    fn hear(&mut self, heard: &[Heard], silences: &[Silence]) {
        let mut here: BTreeSet<u8> = BTreeSet::new();
        for Heard { stamp: MarkStamp { participant, number }, at } in heard {
            self.traces.entry(*participant).or_default().marks.push(Mark { at: *at, number: *number });
            here.insert(*participant);
        }
        for participant in here {
            let band = super::stamp::chirp::band(participant);
            let own = silences.iter().filter(|silence| silence.band == band);
            let own = own.map(|silence| Stretch { from: silence.from, until: silence.until });
            self.traces.entry(participant).or_default().silences.extend(own);
        }
    }
}

impl Trace {
    /// True where nothing was seen or heard.
    pub fn is_empty(&self) -> bool {
        self.sights.is_empty() && self.marks.is_empty()
    }

    /// Puts everything in the order of time.
    pub fn sort(&mut self) {
        self.sights.sort_by(|a, b| a.at.total_cmp(&b.at));
        self.marks.sort_by(|a, b| a.at.total_cmp(&b.at));
        self.silences.sort_by(|a, b| a.from.total_cmp(&b.from));
        self.blanks.sort_by(f64::total_cmp);
    }

    /// What of it lies in a window.
    pub fn during(&self, window: Stretch) -> Trace {
        let within = |at: f64| (window.from..window.until).contains(&at);
        let clipped = |s: &Stretch| Stretch { from: s.from.max(window.from), until: s.until.min(window.until) };
        Trace {
            sights: self.sights.iter().filter(|sight| within(sight.at)).copied().collect(),
            marks: self.marks.iter().filter(|mark| within(mark.at)).copied().collect(),
            silences: self.silences.iter().map(clipped).filter(|s| s.until > s.from).collect(),
            blanks: self.blanks.iter().copied().filter(|at| within(*at)).collect(),
            delays: self.delays.iter().filter(|delay| within(delay.at)).copied().collect(),
            delays_by: self.delays_by,
        }
    }
}
