//! Data channels of a connection: ours are opened here, theirs handed on. What is in them is for others to read.

use super::CHAT_CHANNEL;
use super::actor::Actor;
use crate::error::Result;
use crate::rtc::channel::{self, ChannelSpec, DataChannel};
use crate::rtc::outbox::Text;
use std::sync::Arc;
use tokio::sync::oneshot;
use webrtc::data_channel::DataChannel as Library;

/// Channels that may be open at once; later ones are closed as they come. Chromium opens no more either.
const MAX_CHANNELS: usize = 1024;

impl Actor {
    /// Texts of ours go out on the channel with that label, whoever opened it.
    pub(super) async fn send_text(&mut self, label: String, text: Text) {
        let outbox = self.outboxes.entry(label.clone()).or_default();
        if !outbox.push(text) {
            return self.warn(format!("they are too slow for our texts on {label:?}; one was left out")).await;
        }
        if self.associated {
            self.open_outboxes().await;
        }
    }

    /// Opens a channel for texts that have none.
    pub(super) async fn open_outboxes(&mut self) {
        let waiting = self.outboxes.iter().filter(|(_, outbox)| outbox.is_waiting());
        let labels: Vec<String> = waiting.map(|(label, _)| label.clone()).collect();
        for label in labels {
            let spec = ChannelSpec { label, protocol: String::new(), ordered: true };
            match channel::open(self.connection.as_ref(), &spec).await {
                Ok(channel) => self.channel(channel).await,
                Err(e) => self.warn(e.to_string()).await,
            }
        }
    }

    /// Opens a channel as soon as that can be, and gives it to who asked.
    pub(super) fn open_channel(&self, spec: ChannelSpec, reply: oneshot::Sender<Result<DataChannel>>) {
        let (connection, alive) = (self.connection.clone(), self.open_channels.clone());
        tokio::spawn(async move {
            let _ = reply.send(channel::open_surely(connection.as_ref(), &spec, alive).await);
        });
    }

    /// A channel is there, of theirs or for our texts: it is handed on, and carries our texts if its label says so.
    pub(super) async fn channel(&mut self, library: Arc<dyn Library>) {
        let full = Arc::strong_count(&self.open_channels) > MAX_CHANNELS;
        let taken = match full {
            true => None,
            false => DataChannel::new(library.clone(), self.connection.as_ref(), self.open_channels.clone()).await,
        };
        let Some(channel) = taken else {
            let _ = library.close().await;
            tokio::spawn(channel::end(library));
            return;
        };
        if channel.label() == CHAT_CHANNEL || self.outboxes.contains_key(channel.label()) {
            self.outboxes.entry(channel.label().to_owned()).or_default().attach(library);
        }
        // Nobody to take it: it is closed when it goes out of scope here.
        if let Some(taker) = &self.taker {
            let _ = taker.send((self.peer.clone(), channel)).await;
        }
    }
}
