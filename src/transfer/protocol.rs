//! Sender and receiver of one file over one channel, as state machines: messages in, actions out. Pure.

mod outgoing;

pub use outgoing::{Outgoing, SendAction, SendEnd};

use super::Refusal;
use super::message::{Digest, Message, Offer, Reason};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Bytes that a sender may be ahead of what is written at most.
pub const MAX_WINDOW: u64 = 4 << 20;
/// Attempts to send a file until it is refused.
const MAX_ATTEMPTS: u32 = 3;
/// Chunks of an unordered channel that may wait for earlier ones: as many as a window of small ones.
const MAX_PIECES: usize = 4096;
/// Bytes before each chunk of an unordered channel: its position, big endian.
pub const POSITION: usize = 8;

/// What a receiver has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiveAction {
    /// Decide about the offer, then call [`Incoming::accepted`], [`Incoming::present`] or [`Incoming::refuse`].
    Decide(Offer),
    /// Send this message.
    Send(Message),
    /// Append to the file, then call [`Incoming::written`].
    Write(Bytes),
    /// Everything was written: verify and store the file, then call [`Incoming::kept`] or [`Incoming::mismatched`].
    Keep(Digest),
    /// Delete what was written, then call [`Incoming::accepted`] with 0.
    Restart,
    /// The transfer has ended: read no further.
    Stop(ReceiveEnd),
}

/// How a file that is received ended on its channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiveEnd {
    /// The file is stored, and the sender is told.
    Kept,
    /// We refused it.
    Refused(Refusal),
    /// The sender cancelled, for this reason.
    Cancelled(String),
}

/// The receiving side.
#[derive(Debug)]
pub struct Incoming {
    ordered: bool,
    /// Bytes of our socket buffer, which the sender is told.
    buffer: Option<u64>,
    offer: Option<Offer>,
    state: ReceiveState,
    /// All bytes before this position have been received.
    frontier: u64,
    until: u64,
    attempts: u32,
    /// Chunks beyond the frontier, by position; never overlapping, all within `until`.
    pieces: BTreeMap<u64, Bytes>,
    end: Option<Digest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReceiveState {
    AwaitingOffer,
    Deciding,
    Receiving,
    Verifying,
    Ended,
}

impl Incoming {
    /// A receiver that waits for the offer. `ordered`: the channel is; `buffer`: bytes of our socket buffer, if known.
    pub fn new(ordered: bool, buffer: Option<u64>) -> Self {
        Self {
            ordered,
            buffer,
            offer: None,
            state: ReceiveState::AwaitingOffer,
            frontier: 0,
            until: 0,
            attempts: 0,
            pieces: BTreeMap::new(),
            end: None,
        }
    }

    /// The offer, once it was received.
    pub fn offer(&self) -> Option<&Offer> {
        self.offer.as_ref()
    }

    /// Whether the sender has to wait for us.
    pub fn is_sender_waiting(&self) -> bool {
        self.state != ReceiveState::Receiving || self.frontier == self.until && !self.is_complete()
    }

    /// Every byte was received, but not the sender's `end`.
    pub fn is_complete(&self) -> bool {
        self.state == ReceiveState::Receiving && self.offer.as_ref().is_some_and(|offer| offer.size == self.frontier)
    }

    /// A text message was received.
    pub fn text(&mut self, text: &str) -> Vec<ReceiveAction> {
        let message = Message::parse(text);
        match (self.state, message) {
            (ReceiveState::Ended, _) => Vec::new(),
            (ReceiveState::AwaitingOffer, Some(Message::Offer(offer))) => {
                self.state = ReceiveState::Deciding;
                self.offer = Some(offer.clone());
                vec![ReceiveAction::Decide(offer)]
            }
            (ReceiveState::AwaitingOffer, _) => {
                self.refuse(Refusal::new(Reason::BadOffer, "the first message is no valid offer"))
            }
            (_, Some(Message::Cancel { reason })) => {
                self.state = ReceiveState::Ended;
                vec![ReceiveAction::Stop(ReceiveEnd::Cancelled(reason))]
            }
            (ReceiveState::Receiving, Some(Message::End { sha256 })) if self.end.is_none() => {
                self.end = Some(sha256);
                self.check_complete()
            }
            _ => self.refuse(Refusal::new(Reason::BadMessage, "unexpected message")),
        }
    }

    /// A binary message was received.
    pub fn chunk(&mut self, mut data: Bytes) -> Vec<ReceiveAction> {
        let size = self.offer.as_ref().map_or(0, |offer| offer.size);
        match self.state {
            ReceiveState::Ended => return Vec::new(),
            ReceiveState::AwaitingOffer => return self.refuse(Refusal::new(Reason::BadOffer, "bytes before an offer")),
            ReceiveState::Deciding => {
                return self.refuse(Refusal::new(Reason::Flood, "bytes before they were accepted"));
            }
            ReceiveState::Receiving if self.ordered && self.end.is_none() => {}
            ReceiveState::Receiving if !self.ordered => {}
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
            let mut steps = vec![ReceiveAction::Write(data)];
            steps.extend(self.check_complete());
            return steps;
        }
        self.piece(at, data)
    }

    /// A chunk of an unordered channel that may have to wait for others.
    fn piece(&mut self, at: u64, data: Bytes) -> Vec<ReceiveAction> {
        let end = at + data.len() as u64;
        let before = self.pieces.range(..=at).next_back().map(|(start, piece)| start + piece.len() as u64);
        let after = self.pieces.range(at..).next().map(|(start, _)| *start);
        if at < self.frontier || before.is_some_and(|before| before > at) || after.is_some_and(|after| after < end) {
            return self.refuse(Refusal::new(Reason::BadMessage, "a chunk overlaps another"));
        }
        if self.pieces.len() >= MAX_PIECES {
            return self.refuse(Refusal::new(Reason::Flood, "too many small chunks out of order"));
        }
        self.pieces.insert(at, data);
        let mut steps = Vec::new();
        while let Some(piece) = self.pieces.remove(&self.frontier) {
            self.frontier += piece.len() as u64;
            steps.push(ReceiveAction::Write(piece));
        }
        steps.extend(self.check_complete());
        steps
    }

    /// After the sender's `end`: whether everything was received.
    fn check_complete(&mut self) -> Vec<ReceiveAction> {
        let (Some(sha256), Some(offer)) = (self.end, &self.offer) else { return Vec::new() };
        let promised = offer.sha256.is_none_or(|promised| promised == sha256);
        if self.frontier == offer.size && promised {
            self.state = ReceiveState::Verifying;
            return vec![ReceiveAction::Keep(sha256)];
        }
        if self.frontier < offer.size && !self.ordered {
            // Some chunks may arrive after the end.
            return Vec::new();
        }
        self.state = ReceiveState::Verifying;
        self.mismatched()
    }

    /// The file is accepted; `offset` bytes of it are stored already. `window`: bytes that the sender may be ahead.
    pub fn accepted(&mut self, offset: u64, window: u64) -> Vec<ReceiveAction> {
        let size = self.offer.as_ref().map_or(0, |offer| offer.size);
        if self.state != ReceiveState::Deciding || offset > size {
            return Vec::new();
        }
        self.state = ReceiveState::Receiving;
        self.frontier = offset;
        self.until = size.min(offset.saturating_add(window));
        let (offset, until) = (self.frontier, self.until);
        self.attempts += 1;
        let message = match self.attempts {
            1 => Message::Accept { offset, until, buffer: self.buffer },
            _ => Message::Again { offset, until },
        };
        vec![ReceiveAction::Send(message)]
    }

    /// The file is written up to `position`: the sender may go on.
    pub fn written(&mut self, position: u64, window: u64) -> Vec<ReceiveAction> {
        let size = self.offer.as_ref().map_or(0, |offer| offer.size);
        let until = size.min(position.saturating_add(window));
        // One message for each quarter of a window is enough.
        let is_due = until > self.until && (until == size || until - self.until >= window / 4);
        if self.state != ReceiveState::Receiving || !is_due {
            return Vec::new();
        }
        self.until = until;
        vec![ReceiveAction::Send(Message::More { until })]
    }

    /// The file is stored: complete and verified. `shared`: it will be offered to others.
    pub fn kept(&mut self, shared: bool) -> Vec<ReceiveAction> {
        match self.end.filter(|_| self.state == ReceiveState::Verifying) {
            Some(sha256) => self.acknowledge(sha256, shared),
            None => Vec::new(),
        }
    }

    /// The offered file, with this hash, is stored already: nothing has to be sent.
    pub fn present(&mut self, sha256: Digest, shared: bool) -> Vec<ReceiveAction> {
        match self.state {
            ReceiveState::Deciding => self.acknowledge(sha256, shared),
            _ => Vec::new(),
        }
    }

    fn acknowledge(&mut self, sha256: Digest, shared: bool) -> Vec<ReceiveAction> {
        self.state = ReceiveState::Ended;
        vec![ReceiveAction::Send(Message::Ack { sha256, shared }), ReceiveAction::Stop(ReceiveEnd::Kept)]
    }

    /// Size or hash are wrong.
    pub fn mismatched(&mut self) -> Vec<ReceiveAction> {
        if self.state != ReceiveState::Verifying {
            return Vec::new();
        }
        if self.attempts >= MAX_ATTEMPTS {
            return self.refuse(Refusal::new(Reason::Mismatch, "size or hash were wrong three times"));
        }
        self.state = ReceiveState::Deciding;
        self.end = None;
        self.pieces.clear();
        vec![ReceiveAction::Restart]
    }

    /// The file is not accepted, or not any longer.
    pub fn refuse(&mut self, refusal: Refusal) -> Vec<ReceiveAction> {
        if self.state == ReceiveState::Ended {
            return Vec::new();
        }
        self.state = ReceiveState::Ended;
        self.pieces.clear();
        vec![ReceiveAction::Send(Message::refuse(&refusal)), ReceiveAction::Stop(ReceiveEnd::Refused(refusal))]
    }
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
