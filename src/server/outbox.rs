//! What waits to be written to one member's socket: bounded in messages and bytes (policy: who is further behind is dropped). Never waits.

use crate::signal::protocol::{ErrorCode, ServerMessage};
use axum::extract::ws::Utf8Bytes;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Why the server ends a socket; told to the member before the close.
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

/// The room's end: puts messages in.
pub(super) struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    bytes: Arc<Semaphore>,
    most_bytes: usize,
    end: oneshot::Sender<CloseReason>,
}

/// The socket's end: takes them out, and hears first of all when the room wants the socket to end.
pub(super) struct OutgoingQueue {
    pub(super) queue: mpsc::Receiver<Outgoing>,
    pub(super) end: oneshot::Receiver<CloseReason>,
}

/// One message on its way; holds its share of the bytes until it is dropped.
pub(super) struct Outgoing {
    pub(super) text: Utf8Bytes,
    _share: OwnedSemaphorePermit,
}

/// Both ends of a queue of at most `messages` messages and `bytes` bytes.
pub(super) fn outbox(messages: usize, bytes: usize) -> (Outbox, OutgoingQueue) {
    let (sender, queue) = mpsc::channel(messages.max(1));
    let (end, ended) = oneshot::channel();
    let most_bytes = bytes.min(Semaphore::MAX_PERMITS);
    let bytes = Arc::new(Semaphore::new(most_bytes));
    (Outbox { queue: sender, bytes, most_bytes, end }, OutgoingQueue { queue, end: ended })
}

impl Outbox {
    /// Queues a written message. False when the member is too far behind or its socket is gone.
    pub(super) fn send(&self, text: &Utf8Bytes) -> bool {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        match Arc::clone(&self.bytes).try_acquire_many_owned(length) {
            Ok(share) => self.queue.try_send(Outgoing { text: text.clone(), _share: share }).is_ok(),
            Err(_) => false,
        }
    }

    /// Whether what other members send may still be queued: it gets half of the room, so that no burst of theirs can put this
    /// member behind.
    pub(super) fn takes_relayed(&self, text: &Utf8Bytes) -> bool {
        self.queue.capacity() * 2 > self.queue.max_capacity()
            && self.bytes.available_permits().saturating_sub(text.len()) * 2 > self.most_bytes
    }

    /// True when the socket's task has ended.
    pub(super) fn is_gone(&self) -> bool {
        self.queue.is_closed()
    }

    /// Ends the socket; what is still queued is not written any more.
    pub(super) fn end(self, farewell: CloseReason) {
        // The socket may have ended by itself meanwhile: then nobody is there to be told.
        let _ = self.end.send(farewell);
    }
}

/// A message as it goes over the wire.
pub(super) fn written(message: &ServerMessage) -> Utf8Bytes {
    // Strings, numbers and lists only: there is no value of this type that JSON cannot hold.
    serde_json::to_string(message).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_bounded_in_messages_and_in_bytes() {
        let (outbox_of_two, _letters) = outbox(2, 1000);
        let text = Utf8Bytes::from("x".repeat(10));
        assert!(outbox_of_two.send(&text) && outbox_of_two.send(&text) && !outbox_of_two.send(&text));

        let (outbox_of_25, mut letters) = outbox(100, 25);
        assert!(outbox_of_25.send(&text) && outbox_of_25.send(&text) && !outbox_of_25.send(&text));
        drop(letters.queue.try_recv().expect("the first"));
        assert!(outbox_of_25.send(&text), "a written message gives its bytes back");
    }

    #[test]
    fn a_vanished_socket_takes_nothing() {
        let (outbox, letters) = outbox(2, 1000);
        drop(letters);
        assert!(outbox.is_gone() && !outbox.send(&"x".into()));
    }
}
