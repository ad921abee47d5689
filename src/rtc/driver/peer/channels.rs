//! Data channels of a connection: ours are opened here, theirs handed on. What is in them is for others to read.

use crate::error::{Error, Result};
use crate::room::policy::Channels;
use crate::rtc::driver::channel;
use crate::rtc::driver::channel::{ChannelSpec, DataChannel};
use crate::rtc::driver::outbox::Text;
use crate::rtc::driver::peer::CHAT_CHANNEL;
use crate::rtc::driver::peer::actor::Actor;
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot};
use webrtc::data_channel::DataChannel as Library;

/// Channels that may be open at once; later ones are closed as they come. Chromium opens no more either.
const MAX_CHANNELS: usize = 1024;

impl Actor {
    /// Texts of ours go out on the channel with that label, whoever opened it.
    pub(crate) async fn send_text(&mut self, label: String, text: Text) {
        let outbox = self.outboxes.entry(label.clone()).or_default();
        if !outbox.push(text) {
            return self.warn(format!("they are too slow for our texts on {label:?}; one was left out")).await;
        }
        if self.associated {
            self.open_outboxes().await;
        }
    }

    /// Opens a channel for texts that have none.
    pub(crate) async fn open_outboxes(&mut self) {
        if self.policy.channels != Channels::Named {
            return;
        }
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
    pub(crate) fn open_channel(&mut self, spec: ChannelSpec, reply: oneshot::Sender<Result<DataChannel>>) {
        match (self.policy.channels, self.single.clone()) {
            (Channels::Named, _) => {}
            (Channels::One { .. }, Some(single)) => return self.share(single, reply),
            (Channels::One { .. }, None) => return self.waiting.push(reply),
            (Channels::Never, _) => {
                let _ = reply.send(Err(Error::room("there are no data channels in this kind of room")));
                return;
            }
        }
        let (connection, common) = (self.connection.clone(), self.open_channels.clone());
        tokio::spawn(async move {
            let _ = reply.send(channel::open_surely(connection.as_ref(), &spec, common).await);
        });
    }

    /// Gives the single channel to who asked, when it is their turn.
    fn share(&self, single: Arc<dyn Library>, reply: oneshot::Sender<Result<DataChannel>>) {
        let (connection, common, turn) = (self.connection.clone(), self.open_channels.clone(), self.turn.clone());
        tokio::spawn(async move {
            let _ = reply.send(DataChannel::shared(single, connection, common, turn).await);
        });
    }

    /// A channel is there, of theirs or for our texts: it is handed on, and carries our texts if its label says so.
    pub(crate) async fn channel(&mut self, library: Arc<dyn Library>) {
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
        if matches!(self.policy.channels, Channels::One { .. }) && self.single.is_none() {
            self.single = Some(library.clone());
            for reply in std::mem::take(&mut self.waiting) {
                self.share(library.clone(), reply);
            }
            let outbox = self.outboxes.entry(CHAT_CHANNEL.to_owned()).or_default();
            outbox.attach(library, self.turn.clone());
        } else if channel.label() == CHAT_CHANNEL || self.outboxes.contains_key(channel.label()) {
            let outbox = self.outboxes.entry(channel.label().to_owned()).or_default();
            outbox.attach(library, Arc::new(Semaphore::new(1)));
        }
        // Nobody to take it: it is closed when it goes out of scope here.
        if let Some(taker) = &self.taker {
            let _ = taker.send((self.peer.clone(), channel)).await;
        }
    }
}
