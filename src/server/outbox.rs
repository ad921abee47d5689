//! The queue of messages for one member's socket: bounded in messages and bytes (policy: a member whose queue is full is removed). Never
//! waits.

use crate::signal::protocol::{ErrorCode, ServerMessage};
use axum::extract::ws::Utf8Bytes;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Why the server closes a socket; sent to the member before the close frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CloseReason {
    pub(super) code: ErrorCode,
    pub(super) message: String,
}

impl CloseReason {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The room's end of the queue.
pub(super) struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    bytes: Arc<Semaphore>,
    max_bytes: usize,
    close: oneshot::Sender<CloseReason>,
}

/// The socket's end of the queue, and the room's wish to close the socket, which comes first.
pub(super) struct OutgoingQueue {
    pub(super) queue: mpsc::Receiver<Outgoing>,
    pub(super) close: oneshot::Receiver<CloseReason>,
}

/// A queued message; holds its share of the bytes until it is dropped.
pub(super) struct Outgoing {
    pub(super) text: Utf8Bytes,
    _share: OwnedSemaphorePermit,
}

/// Both ends of a queue of at most `messages` messages and `bytes` bytes.
pub(super) fn outbox(messages: usize, bytes: usize) -> (Outbox, OutgoingQueue) {
    let (sender, queue) = mpsc::channel(messages.max(1));
    let (close, closed) = oneshot::channel();
    let max_bytes = bytes.min(Semaphore::MAX_PERMITS);
    let bytes = Arc::new(Semaphore::new(max_bytes));
    (Outbox { queue: sender, bytes, max_bytes, close }, OutgoingQueue { queue, close: closed })
}

impl Outbox {
    /// Queues a message. False when the queue is full or the socket has ended.
    pub(super) fn send(&self, text: &Utf8Bytes) -> bool {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        match Arc::clone(&self.bytes).try_acquire_many_owned(length) {
            Ok(share) => self.queue.try_send(Outgoing { text: text.clone(), _share: share }).is_ok(),
            Err(_) => false,
        }
    }

    /// Whether a signal of another member may be queued: those get half of the queue, so that a burst of them cannot fill it.
    pub(super) fn accepts_signal(&self, text: &Utf8Bytes) -> bool {
        self.is_filled_to_less_than(2, text)
    }

    /// Whether another member's labels may be queued: those get a quarter, so that they keep no signal away. They can be told later.
    pub(super) fn accepts_labels(&self, text: &Utf8Bytes) -> bool {
        self.is_filled_to_less_than(4, text)
    }

    /// Whether the queue, with this message, has less than one of so many parts of what it can hold.
    fn is_filled_to_less_than(&self, parts: usize, text: &Utf8Bytes) -> bool {
        let messages = self.queue.max_capacity() - self.queue.capacity();
        let bytes = self.max_bytes - self.bytes.available_permits() + text.len();
        messages * parts < self.queue.max_capacity() && bytes * parts < self.max_bytes
    }

    /// Whether the socket's task has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Closes the socket; queued messages are dropped.
    pub(super) fn close(self, reason: CloseReason) {
        // The socket may have ended by itself meanwhile.
        let _ = self.close.send(reason);
    }
}

/// A message as it goes over the wire.
pub(super) fn encode(message: &ServerMessage) -> Utf8Bytes {
    // Strings, numbers and lists only: JSON can represent every value of this type.
    serde_json::to_string(message).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_bounded_in_messages_and_in_bytes() {
        let (outbox_of_two, _outgoing) = outbox(2, 1000);
        let text = Utf8Bytes::from("x".repeat(10));
        assert!(outbox_of_two.send(&text) && outbox_of_two.send(&text) && !outbox_of_two.send(&text));

        let (outbox_of_25, mut outgoing) = outbox(100, 25);
        assert!(outbox_of_25.send(&text) && outbox_of_25.send(&text) && !outbox_of_25.send(&text));
        drop(outgoing.queue.try_recv().expect("the first"));
        assert!(outbox_of_25.send(&text), "a written message gives its bytes back");
    }

    #[test]
    fn a_vanished_socket_takes_nothing() {
        let (outbox, outgoing) = outbox(2, 1000);
        drop(outgoing);
        assert!(outbox.is_closed() && !outbox.send(&"x".into()));
    }
}
