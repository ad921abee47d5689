//! Both sides of one file over one channel as state machines: what comes goes in, what is to be done comes out. Pure.

use super::Refusal;
use super::message::{Digest, Message, Offer, Reason};
use bytes::Bytes;
use std::collections::BTreeMap;

/// How far ahead of what is written a sender may be at most, in bytes.
pub const WIDEST_WINDOW: u64 = 4 << 20;
/// How often a file may be sent before it is given up.
const ATTEMPTS: u32 = 3;
/// Pieces of an unordered channel that may wait for those before them: as many as a window of small ones.
const MOST_PIECES: usize = 4096;
/// A receiver whose socket holds so many bytes needs no even pace. Browsers have 64 KiB and do not say.
const ROOMY: u64 = 256 << 10;
/// What stands before each chunk of an unordered channel: its position, big endian.
pub const POSITION: usize = 8;

/// What a receiver is to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Decide whether to take the file, and say so with [`Incoming::accepted`] or [`Incoming::refuse`].
    Decide(Offer),
    Send(Message),
    /// Append to the file; then [`Incoming::written`].
    Write(Bytes),
    /// Everything was written: verify and keep the file; then [`Incoming::kept`] or [`Incoming::mismatched`].
    Keep(Digest),
    /// Throw away what was written; then [`Incoming::accepted`] with 0.
    Restart,
    /// It is over; nothing more is to be read.
    Stop(Stop),
}

/// How it ended on this channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The file is whole, and the sender knows.
    Kept,
    Refused(Refusal),
    /// By the sender, in its words.
    Cancelled(String),
}

/// The receiving side.
#[derive(Debug)]
pub struct Incoming {
    ordered: bool,
    /// Bytes that our socket holds until we read them, for the sender to know.
    buffer: Option<u64>,
    offer: Option<Offer>,
    state: Taking,
    /// All bytes before this position have come.
    frontier: u64,
    until: u64,
    attempts: u32,
    /// Beyond the frontier, by position; never overlapping, all within `until`.
    pieces: BTreeMap<u64, Bytes>,
    end: Option<Digest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taking {
    Nothing,
    Deciding,
    Bytes,
    Keeping,
    Over,
}

impl Incoming {
    pub fn new(ordered: bool, buffer: Option<u64>) -> Self {
        Self {
            ordered,
            buffer,
            offer: None,
            state: Taking::Nothing,
            frontier: 0,
            until: 0,
            attempts: 0,
            pieces: BTreeMap::new(),
            end: None,
        }
    }

    /// What is being received, once it was offered.
    pub fn offer(&self) -> Option<&Offer> {
        self.offer.as_ref()
    }

    /// The sender may send nothing before we say so.
    pub fn holds_up(&self) -> bool {
        self.state != Taking::Bytes || self.frontier == self.until && !self.is_complete()
    }

    /// Every byte has come, and the sender has not said the end yet.
    pub fn is_complete(&self) -> bool {
        self.state == Taking::Bytes && self.offer.as_ref().is_some_and(|offer| offer.size == self.frontier)
    }

    /// A text message came.
    pub fn text(&mut self, text: &str) -> Vec<Step> {
        let message = Message::parse(text);
        match (self.state, message) {
            (Taking::Over, _) => Vec::new(),
            (Taking::Nothing, Some(Message::Offer(offer))) => {
                self.state = Taking::Deciding;
                self.offer = Some(offer.clone());
                vec![Step::Decide(offer)]
            }
            (Taking::Nothing, _) => self.refuse(Refusal::new(Reason::BadOffer, "the first message is no valid offer")),
            (_, Some(Message::Cancel { reason })) => {
                self.state = Taking::Over;
                vec![Step::Stop(Stop::Cancelled(reason))]
            }
            (Taking::Bytes, Some(Message::End { sha256 })) if self.end.is_none() => {
                self.end = Some(sha256);
                self.perhaps_whole()
            }
            _ => self.refuse(Refusal::new(Reason::BadMessage, "not a message that belongs here")),
        }
    }

    /// A binary message came.
    pub fn chunk(&mut self, mut data: Bytes) -> Vec<Step> {
        let size = self.offer.as_ref().map_or(0, |offer| offer.size);
        match self.state {
            Taking::Over => return Vec::new(),
            Taking::Nothing => return self.refuse(Refusal::new(Reason::BadOffer, "bytes before an offer")),
            Taking::Deciding => return self.refuse(Refusal::new(Reason::Flood, "bytes before they were accepted")),
            Taking::Bytes if self.ordered && self.end.is_none() => {}
            Taking::Bytes if !self.ordered => {}
            _ => return self.refuse(Refusal::new(Reason::BadMessage, "bytes after the end")),
        }
        let mut at = self.frontier;
        if !self.ordered {
            let Some((position, rest)) = data.split_first_chunk::<POSITION>() else {
                return self.refuse(Refusal::new(Reason::BadMessage, "a chunk without its position"));
            };
            at = u64::from_be_bytes(*position);
            data = data.slice_ref(rest);
        }
        let length = data.len() as u64;
        if length == 0 {
            return self.refuse(Refusal::new(Reason::BadMessage, "an empty chunk"));
        }
        if at.checked_add(length).is_none_or(|end| end > self.until || end > size) {
            return self.refuse(Refusal::new(Reason::Flood, "more bytes than were asked for"));
        }
        if at == self.frontier && self.pieces.is_empty() {
            self.frontier += length;
            let mut steps = vec![Step::Write(data)];
            steps.extend(self.perhaps_whole());
            return steps;
        }
        self.piece(at, data)
    }

    /// A chunk of an unordered channel that may have to wait for others.
    fn piece(&mut self, at: u64, data: Bytes) -> Vec<Step> {
        let end = at + data.len() as u64;
        let before = self.pieces.range(..=at).next_back().map(|(start, piece)| start + piece.len() as u64);
        let after = self.pieces.range(at..).next().map(|(start, _)| *start);
        if at < self.frontier || before.is_some_and(|before| before > at) || after.is_some_and(|after| after < end) {
            return self.refuse(Refusal::new(Reason::BadMessage, "a chunk overlaps another"));
        }
        if self.pieces.len() >= MOST_PIECES {
            return self.refuse(Refusal::new(Reason::Flood, "too many small chunks out of order"));
        }
        self.pieces.insert(at, data);
        let mut steps = Vec::new();
        while let Some(piece) = self.pieces.remove(&self.frontier) {
            self.frontier += piece.len() as u64;
            steps.push(Step::Write(piece));
        }
        steps.extend(self.perhaps_whole());
        steps
    }

    /// The end was announced: is everything there?
    fn perhaps_whole(&mut self) -> Vec<Step> {
        let (Some(sha256), Some(offer)) = (self.end, &self.offer) else { return Vec::new() };
        let promised = offer.sha256.is_none_or(|promised| promised == sha256);
        if self.frontier == offer.size && promised {
            self.state = Taking::Keeping;
            return vec![Step::Keep(sha256)];
        }
        if self.frontier < offer.size && !self.ordered {
            // Chunks may have been overtaken by the end.
            return Vec::new();
        }
        self.state = Taking::Keeping;
        self.mismatched()
    }

    /// The file is taken: `offset` bytes of it are there. `window` is how far the sender may go ahead.
    pub fn accepted(&mut self, offset: u64, window: u64) -> Vec<Step> {
        let size = self.offer.as_ref().map_or(0, |offer| offer.size);
        if self.state != Taking::Deciding || offset > size {
            return Vec::new();
        }
        self.state = Taking::Bytes;
        self.frontier = offset;
        self.until = size.min(offset.saturating_add(window));
        let (offset, until) = (self.frontier, self.until);
        self.attempts += 1;
        let message = match self.attempts {
            1 => Message::Accept { offset, until, buffer: self.buffer },
            _ => Message::Again { offset, until },
        };
        vec![Step::Send(message)]
    }

    /// So much of the file is written: the sender may go on.
    pub fn written(&mut self, position: u64, window: u64) -> Vec<Step> {
        let size = self.offer.as_ref().map_or(0, |offer| offer.size);
        let until = size.min(position.saturating_add(window));
        // A word for each quarter of a window is often enough.
        let worth = until > self.until && (until == size || until - self.until >= window / 4);
        if self.state != Taking::Bytes || !worth {
            return Vec::new();
        }
        self.until = until;
        vec![Step::Send(Message::More { until })]
    }

    /// The file is on the disk, whole and verified.
    pub fn kept(&mut self) -> Vec<Step> {
        let Some(sha256) = self.end.filter(|_| self.state == Taking::Keeping) else { return Vec::new() };
        self.state = Taking::Over;
        vec![Step::Send(Message::Ack { sha256 }), Step::Stop(Stop::Kept)]
    }

    /// What came is not what was meant.
    pub fn mismatched(&mut self) -> Vec<Step> {
        if self.state != Taking::Keeping {
            return Vec::new();
        }
        if self.attempts >= ATTEMPTS {
            return self.refuse(Refusal::new(Reason::Mismatch, "size or hash do not fit, three times"));
        }
        self.state = Taking::Deciding;
        self.end = None;
        self.pieces.clear();
        vec![Step::Restart]
    }

    /// It is not taken, or not any longer.
    pub fn refuse(&mut self, refusal: Refusal) -> Vec<Step> {
        if self.state == Taking::Over {
            return Vec::new();
        }
        self.state = Taking::Over;
        self.pieces.clear();
        vec![Step::Send(Message::refuse(&refusal)), Step::Stop(Stop::Refused(refusal))]
    }
}

/// How a file that is sent ends on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// They have it, with this hash.
    Received(Digest),
    /// Their word and sentence.
    Refused {
        reason: String,
        text: String,
    },
    Cancelled {
        reason: String,
    },
    /// They broke the protocol.
    Confused(&'static str),
}

/// What a sender is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Read the file from here; [`Outgoing::next`] says what to send.
    Seek(u64),
    Stop(Sent),
}

/// The sending side.
#[derive(Debug)]
pub struct Outgoing {
    offer: Offer,
    state: Giving,
    at: u64,
    until: u64,
    /// Bytes that the receiver's socket holds, as far as it says.
    buffer: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Giving {
    Offered,
    Bytes,
    Ended(Digest),
    Over,
}

impl Outgoing {
    /// The machine, and the message that opens the channel.
    pub fn new(offer: Offer) -> (Self, Message) {
        let message = Message::Offer(offer.clone());
        (Self { offer, state: Giving::Offered, at: 0, until: 0, buffer: 0 }, message)
    }

    /// How far it has sent.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Whether the receiver takes a congestion window at once.
    pub fn is_roomy(&self) -> bool {
        self.buffer >= ROOMY
    }

    /// A text message came.
    pub fn text(&mut self, text: &str) -> Option<Order> {
        let size = self.offer.size;
        match (self.state, Message::parse(text)) {
            (Giving::Over, _) => None,
            (Giving::Offered, Some(Message::Accept { offset, until, buffer })) if offset <= size => {
                self.buffer = buffer.unwrap_or(0);
                Some(self.seek(offset, until))
            }
            (Giving::Ended(_) | Giving::Bytes, Some(Message::Again { offset, until })) if offset <= size => {
                Some(self.seek(offset, until))
            }
            (Giving::Bytes | Giving::Ended(_), Some(Message::More { until })) if until >= self.until => {
                self.until = until;
                None
            }
            (Giving::Ended(ours), Some(Message::Ack { sha256 })) if ours == sha256 => {
                Some(self.stop(Sent::Received(sha256)))
            }
            (_, Some(Message::Refuse { reason, text })) => Some(self.stop(Sent::Refused { reason, text })),
            (_, Some(Message::Cancel { reason })) => Some(self.stop(Sent::Cancelled { reason })),
            _ => Some(self.stop(Sent::Confused("what they say does not belong here"))),
        }
    }

    fn seek(&mut self, offset: u64, until: u64) -> Order {
        (self.state, self.at, self.until) = (Giving::Bytes, offset, until);
        Order::Seek(offset)
    }

    fn stop(&mut self, sent: Sent) -> Order {
        self.state = Giving::Over;
        Order::Stop(sent)
    }

    /// How many bytes may be sent now, from [`Outgoing::position`] on; `None` while there is nothing to send.
    pub fn next(&self, most: usize) -> Option<usize> {
        let left = self.until.min(self.offer.size).checked_sub(self.at)?;
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(most);
        (self.state == Giving::Bytes && length > 0).then_some(length)
    }

    /// So many bytes were sent.
    pub fn sent(&mut self, length: usize) {
        self.at = self.at.saturating_add(length as u64);
    }

    /// Every byte was sent, and the end has not been said.
    pub fn is_at_end(&self) -> bool {
        self.state == Giving::Bytes && self.at >= self.offer.size
    }

    /// Everything was said, and the other side has to look at it.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, Giving::Ended(_))
    }

    /// Says the end, with the hash of the whole file.
    pub fn end(&mut self, sha256: Digest) -> Message {
        self.state = Giving::Ended(sha256);
        Message::End { sha256 }
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
