//! One data channel to the recorder, on which the test says what it likes.

use super::moment;
use super::within;
use bytes::BytesMut;
use std::sync::Arc;
use webrtc::data_channel::{DataChannel, DataChannelEvent};

pub struct Line {
    pub channel: Arc<dyn DataChannel>,
}

impl Line {
    /// Waits until it is open.
    pub async fn new(channel: Arc<dyn DataChannel>) -> Line {
        let open = async { while !matches!(channel.poll().await, Some(DataChannelEvent::OnOpen)) {} };
        within(15, "the channel opens", open).await;
        Line { channel }
    }

    pub async fn say(&self, text: &str) {
        let _ = self.channel.send_text(text).await;
    }
    pub async fn send(&self, bytes: &[u8]) {
        let _ = self.channel.send(BytesMut::from(bytes)).await;
    }

    /// Waits until everything has arrived.
    pub async fn flush(&self) {
        let sent = async {
            while self.channel.outstanding_bytes().await.is_ok_and(|bytes| bytes > 0) {
                moment().await;
            }
        };
        within(10, "everything arrives", sent).await;
    }

    /// The next text; `None` when the channel is closed.
    pub async fn hear(&self) -> Option<serde_json::Value> {
        let next = async {
            loop {
                match self.channel.poll().await {
                    Some(DataChannelEvent::OnMessage(message)) => return Some(message.data),
                    None | Some(DataChannelEvent::OnClose) => return None,
                    Some(_) => {}
                }
            }
        };
        let data = within(20, "an answer", next).await?;
        Some(serde_json::from_slice(&data).expect("JSON"))
    }

    /// The next text of this type; others are passed over. `None` when the channel is closed.
    pub async fn hear_of(&self, kind: &str) -> Option<serde_json::Value> {
        loop {
            let message = self.hear().await?;
            if message["type"] == kind {
                return Some(message);
            }
            assert!(message["type"] != "refuse" && message["type"] != "ack", "{message} instead of {kind}");
        }
    }

    /// How it ends: `ack`, or the word of the refusal.
    pub async fn verdict(&self) -> String {
        loop {
            let Some(message) = self.hear().await else { return "closed".to_owned() };
            match message["type"].as_str() {
                Some("ack") => return "ack".to_owned(),
                Some("refuse") => return message["reason"].as_str().expect("a word").to_owned(),
                _ => {}
            }
        }
    }
}
