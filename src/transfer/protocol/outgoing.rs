//! The sender of one file over one channel, as a state machine. Pure.

use crate::transfer::message::{Digest, Message, Offer};

/// A receiver with a socket buffer of this size needs no pacing. Browsers have 64 KiB and do not say so.
const LARGE_BUFFER: u64 = 256 << 10;

/// How a file that is sent ended on its channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendEnd {
    /// The receiver has stored it.
    Received {
        /// The hash of the whole file.
        sha256: Digest,
        /// The receiver will offer it to others.
        shared: bool,
    },
    /// The receiver refused it.
    Refused {
        /// A word of [`Reason`], or another one.
        reason: String,
        /// An explanation for people.
        text: String,
    },
    /// The receiver cancelled.
    Cancelled {
        /// A word.
        reason: String,
    },
    /// The receiver broke the protocol.
    ProtocolError(&'static str),
}

/// What a sender has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendAction {
    /// Read the file from this position; [`Outgoing::next`] says how much to send.
    Seek(u64),
    /// The transfer has ended.
    Stop(SendEnd),
}

/// The sending side.
#[derive(Debug)]
pub struct Outgoing {
    offer: Offer,
    state: SendState,
    at: u64,
    until: u64,
    /// Bytes of the receiver's socket buffer; 0 where it does not say.
    buffer: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SendState {
    Offered,
    Sending,
    AwaitingAck(Digest),
    Ended,
}

impl Outgoing {
    /// A sender, and its first message.
    pub fn new(offer: Offer) -> (Self, Message) {
        let message = Message::Offer(offer.clone());
        (Self { offer, state: SendState::Offered, at: 0, until: 0, buffer: 0 }, message)
    }

    /// How many bytes of the file were sent.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Whether the receiver's socket buffer is large enough to send without pacing.
    pub fn has_large_buffer(&self) -> bool {
        self.buffer >= LARGE_BUFFER
    }

    /// A text message was received.
    pub fn text(&mut self, text: &str) -> Option<SendAction> {
        let size = self.offer.size;
        match (self.state, Message::parse(text)) {
            (SendState::Ended, _) => None,
            (SendState::Offered, Some(Message::Accept { offset, until, buffer })) if offset <= size => {
                self.buffer = buffer.unwrap_or(0);
                Some(self.seek(offset, until))
            }
            (SendState::AwaitingAck(_) | SendState::Sending, Some(Message::Again { offset, until }))
                if offset <= size =>
            {
                Some(self.seek(offset, until))
            }
            (SendState::Sending | SendState::AwaitingAck(_), Some(Message::More { until })) if until >= self.until => {
                self.until = until;
                None
            }
            (SendState::AwaitingAck(ours), Some(Message::Ack { sha256, shared })) if ours == sha256 => {
                Some(self.stop(SendEnd::Received { sha256, shared }))
            }
            // They have had it from somebody else.
            (SendState::Offered, Some(Message::Ack { sha256, shared })) if self.offer.shared_hash() == Some(sha256) => {
                Some(self.stop(SendEnd::Received { sha256, shared }))
            }
            (_, Some(Message::Refuse { reason, text })) => Some(self.stop(SendEnd::Refused { reason, text })),
            (_, Some(Message::Cancel { reason })) => Some(self.stop(SendEnd::Cancelled { reason })),
            _ => Some(self.stop(SendEnd::ProtocolError("unexpected message"))),
        }
    }

    fn seek(&mut self, offset: u64, until: u64) -> SendAction {
        (self.state, self.at, self.until) = (SendState::Sending, offset, until);
        SendAction::Seek(offset)
    }

    fn stop(&mut self, end: SendEnd) -> SendAction {
        self.state = SendState::Ended;
        SendAction::Stop(end)
    }

    /// How many bytes may be sent now, from [`Outgoing::position`] on; `None` while there is nothing to send.
    pub fn next(&self, most: usize) -> Option<usize> {
        let left = self.until.min(self.offer.size).checked_sub(self.at)?;
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(most);
        (self.state == SendState::Sending && length > 0).then_some(length)
    }

    /// `length` bytes were sent.
    pub fn sent(&mut self, length: usize) {
        self.at = self.at.saturating_add(length as u64);
    }

    /// Every byte was sent, but not the `end`.
    pub fn is_at_end(&self) -> bool {
        self.state == SendState::Sending && self.at >= self.offer.size
    }

    /// The `end` was sent, and the receiver has to verify the file.
    pub fn awaits_ack(&self) -> bool {
        matches!(self.state, SendState::AwaitingAck(_))
    }

    /// The `end`, with the hash of the whole file.
    pub fn end(&mut self, sha256: Digest) -> Message {
        self.state = SendState::AwaitingAck(sha256);
        Message::End { sha256 }
    }
}
