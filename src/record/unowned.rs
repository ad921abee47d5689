//! Packets that a room's server sent and that belong to no participant: told while they come, and accounted for at the end.

use super::log::RecordingLog;
use crate::recording::account::{PAUSED, Unrecorded, in_words};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Streams that are told apart; all further ones are one.
const MAX_STREAMS: usize = 256;
/// What comes for a shorter time is told at the end only: the word of whose it is may be under way.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// What belongs to nobody, by SSRC.
#[derive(Default)]
pub(super) struct Unowned {
    streams: HashMap<u32, Stream>,
}

struct Stream {
    entry: Unrecorded,
    first: Instant,
    last: Instant,
    /// All of it came while the recorder was paused.
    paused: bool,
    /// The text by which it was told last.
    told: Option<String>,
}

/// Packets of one stream that were dropped for one reason.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    pub ssrc: u32,
    pub reason: &'static str,
    pub packets: u64,
    pub bytes: u64,
    pub first: Instant,
    pub last: Instant,
}

impl Unowned {
    /// Packets were dropped.
    pub fn add(&mut self, counted: Counted, log: &mut RecordingLog) {
        let Counted { ssrc, reason, packets, bytes, first, last } = counted;
        let known = self.streams.contains_key(&ssrc) || self.streams.len() < MAX_STREAMS;
        let stream = self.streams.entry(if known { ssrc } else { 0 }).or_insert_with(|| Stream {
            entry: Unrecorded::of_nobody(if known { ssrc } else { 0 }),
            first,
            last,
            paused: true,
            told: None,
        });
        if reason != PAUSED {
            // What is told is counted from there.
            let since = if stream.paused { first } else { stream.first.min(first) };
            (stream.first, stream.last, stream.paused) = (since, stream.last.max(last), false);
        }
        stream.entry.packets += packets;
        stream.entry.bytes += bytes;
        *stream.entry.dropped.entry(reason.to_owned()).or_default() += packets;
        if reason != PAUSED && stream.last.saturating_duration_since(stream.first) >= TELL_AFTER {
            stream.tell(stream.told.is_none(), last, log);
        }
    }

    /// The recording ends: the final account of each stream.
    pub fn end(self, at: Instant, log: &mut RecordingLog) {
        for mut stream in self.streams.into_values() {
            if stream.paused {
                stream.entry.reason = in_words(PAUSED).to_owned();
            }
            stream.tell(true, at, log);
        }
    }
}

impl Stream {
    fn tell(&mut self, event: bool, at: Instant, log: &mut RecordingLog) {
        // The first one's time is part of its name: an entry that was told keeps it.
        if self.told.is_none() {
            self.entry.start_ms = log.session(self.first).as_ms();
        }
        self.entry.end_ms = log.session(self.last).as_ms();
        let before = self.told.replace(self.entry.text());
        log.not_recorded(self.entry.clone(), before.as_deref(), event, at);
    }
}
