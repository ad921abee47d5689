//! Texts of ours that wait for their channel: in order, a bounded number of them. It never reads from a channel.

use std::sync::Arc;
use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, RTCDataChannelState};

/// Texts that wait at most (policy: the newest is refused).
const WAITING: usize = 64;
/// How often a channel is asked whether it has opened, while texts wait for that.
const OPENING: std::time::Duration = std::time::Duration::from_millis(20);

/// The texts for one label. Dropping it ends its task.
pub(super) struct Outbox {
    texts: mpsc::Sender<String>,
    /// Until a channel takes them.
    waiting: Option<mpsc::Receiver<String>>,
}

impl Default for Outbox {
    fn default() -> Self {
        let (texts, waiting) = mpsc::channel(WAITING);
        Self { texts, waiting: Some(waiting) }
    }
}

impl Outbox {
    /// Takes a text; false where it is full, or its channel is gone.
    pub fn push(&mut self, text: String) -> bool {
        if self.texts.is_closed() {
            *self = Self::default();
        }
        self.texts.try_send(text).is_ok()
    }

    /// Texts wait, and no channel takes them.
    pub fn is_waiting(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| !waiting.is_empty())
    }

    /// Sends on this channel from now on, unless there is one already.
    pub fn attach(&mut self, channel: Arc<dyn DataChannel>) {
        let Some(mut texts) = self.waiting.take() else { return };
        tokio::spawn(async move {
            while let Some(text) = texts.recv().await {
                if !is_open(channel.as_ref()).await || channel.send_text(&text).await.is_err() {
                    break;
                }
            }
        });
    }
}

/// Waits until the channel is open; false once it never will be.
async fn is_open(channel: &dyn DataChannel) -> bool {
    loop {
        match channel.ready_state().await {
            Ok(RTCDataChannelState::Open) => return true,
            // Its events have another reader; this is asked a few times in a connection's life.
            Ok(RTCDataChannelState::Connecting) => tokio::time::sleep(OPENING).await,
            _ => return false,
        }
    }
}
