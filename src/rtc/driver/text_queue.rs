//! Texts of ours that wait for their data channel: in order, a bounded number of them. It never reads from a channel.

use crate::rtc::driver::channel;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};
use webrtc::data_channel::DataChannel;

/// Texts that wait at most (policy: the newest is refused).
const WAITING: usize = 64;

/// A text, and a signal that it has arrived.
pub(crate) struct Text {
    pub text: String,
    pub arrived: oneshot::Sender<()>,
}

/// The texts for one label. Dropping it ends its task once everything is sent.
pub(crate) struct TextQueue {
    texts: mpsc::Sender<Text>,
    /// Until there is a channel.
    waiting: Option<mpsc::Receiver<Text>>,
}

impl Default for TextQueue {
    fn default() -> Self {
        let (texts, waiting) = mpsc::channel(WAITING);
        Self { texts, waiting: Some(waiting) }
    }
}

impl TextQueue {
    /// Adds a text; false if the queue is full.
    pub fn push(&mut self, text: Text) -> bool {
        if self.texts.is_closed() {
            *self = Self::default();
        }
        self.texts.try_send(text).is_ok()
    }

    /// Whether texts wait and there is no channel for them.
    pub fn needs_channel(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| !waiting.is_empty())
    }

    /// Sends on this channel from now on, unless there is one already.
    /// Each text waits for its turn.
    pub fn attach(&mut self, channel: Arc<dyn DataChannel>, turn: Arc<Semaphore>) {
        if let Some(texts) = self.waiting.take() {
            tokio::spawn(send(channel, texts, turn));
        }
    }
}

async fn send(channel: Arc<dyn DataChannel>, mut texts: mpsc::Receiver<Text>, turn: Arc<Semaphore>) {
    let mut sent = Vec::new();
    while let Some(mut next) = texts.recv().await {
        loop {
            let Ok(_turn) = turn.acquire().await else { return };
            if !channel::is_open(channel.as_ref()).await || channel.send_text(&next.text).await.is_err() {
                return;
            }
            sent.push(next.arrived);
            match texts.try_recv() {
                Ok(text) => next = text,
                Err(_) => break,
            }
        }
        if !channel::flushed(channel.as_ref()).await {
            return;
        }
        for arrived in sent.drain(..) {
            let _ = arrived.send(());
        }
    }
}
