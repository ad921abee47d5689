//! Data channels of a connection: ours are opened here, theirs passed on. It reads none of them.

use crate::error::Error;
use crate::room::policy::DataChannels;
use crate::rtc::driver::channel;
use crate::rtc::driver::channel::{ChannelSpec, DataChannel};
use crate::rtc::driver::peer::actor::Actor;
use crate::rtc::driver::peer::state::ChannelReply;
use crate::rtc::driver::text_queue::Text;
use crate::rtc::peer::CHAT_CHANNEL;
use std::sync::Arc;
use tokio::sync::Semaphore;
use webrtc::data_channel::DataChannel as Library;

/// Channels that may be open at once; later ones are closed as they come. Chromium opens no more either.
const MAX_CHANNELS: usize = 1024;

impl Actor {
    /// Opens the channel that our first offer carries.
    pub(crate) async fn open_first_channel(&mut self) {
        if self.policy.channels == DataChannels::None {
            return;
        }
        match self.connection.create_data_channel(CHAT_CHANNEL, None).await {
            Ok(channel) => self.on_channel(channel).await,
            Err(e) => self.warn(format!("no data channel: {e}")).await,
        }
    }

    /// Sends a text on the channel with that label, whoever opened it.
    pub(crate) async fn send_text(&mut self, label: String, text: Text) {
        let queue = self.channels.texts.entry(label.clone()).or_default();
        if !queue.push(text) {
            return self.warn(format!("they are too slow for our texts on {label:?}; one was dropped")).await;
        }
        if self.channels.associated {
            self.open_text_channels().await;
        }
    }

    /// Opens channels for texts that have none.
    pub(crate) async fn open_text_channels(&mut self) {
        if self.policy.channels != DataChannels::Named {
            return;
        }
        let waiting = self.channels.texts.iter().filter(|(_, queue)| queue.needs_channel());
        let labels: Vec<String> = waiting.map(|(label, _)| label.clone()).collect();
        for label in labels {
            let spec = ChannelSpec { label, protocol: String::new(), ordered: true };
            match channel::open(self.connection.as_ref(), &spec).await {
                Ok(channel) => self.on_channel(channel).await,
                Err(e) => self.warn(e.to_string()).await,
            }
        }
    }

    /// Opens a channel as soon as possible.
    pub(crate) fn open_channel(&mut self, spec: ChannelSpec, reply: ChannelReply) {
        match (self.policy.channels, self.channels.shared.channel.clone()) {
            (DataChannels::Named, _) => {}
            (DataChannels::Single { .. }, Some(shared)) => return self.share(shared, reply),
            (DataChannels::Single { .. }, None) => return self.channels.shared.waiting.push(reply),
            (DataChannels::None, _) => {
                let _ = reply.send(Err(Error::room("there are no data channels in this kind of room")));
                return;
            }
        }
        let (connection, common) = (self.connection.clone(), self.channels.common.clone());
        tokio::spawn(async move {
            let _ = reply.send(channel::open_acknowledged(connection.as_ref(), &spec, common).await);
        });
    }

    /// Gives the shared channel to a sender, when it is their turn.
    fn share(&self, shared: Arc<dyn Library>, reply: ChannelReply) {
        let (connection, common) = (self.connection.clone(), self.channels.common.clone());
        let turn = self.channels.shared.turn.clone();
        tokio::spawn(async move {
            let _ = reply.send(DataChannel::shared(shared, connection, common, turn).await);
        });
    }

    /// A channel is there, of theirs or for our texts: it is passed on, and carries our texts if its label says so.
    pub(crate) async fn on_channel(&mut self, library: Arc<dyn Library>) {
        // One holder is ours.
        let full = Arc::strong_count(&self.channels.common) > MAX_CHANNELS;
        let channel = match full {
            true => None,
            false => DataChannel::new(library.clone(), self.connection.as_ref(), self.channels.common.clone()).await,
        };
        let Some(channel) = channel else {
            let _ = library.close().await;
            tokio::spawn(channel::drain(library));
            return;
        };
        if matches!(self.policy.channels, DataChannels::Single { .. }) && self.channels.shared.channel.is_none() {
            self.channels.shared.channel = Some(library.clone());
            for reply in std::mem::take(&mut self.channels.shared.waiting) {
                self.share(library.clone(), reply);
            }
            let queue = self.channels.texts.entry(CHAT_CHANNEL.to_owned()).or_default();
            queue.attach(library, self.channels.shared.turn.clone());
        } else if channel.label() == CHAT_CHANNEL || self.channels.texts.contains_key(channel.label()) {
            let queue = self.channels.texts.entry(channel.label().to_owned()).or_default();
            queue.attach(library, Arc::new(Semaphore::new(1)));
        }
        // Without a receiver it is drained and closed by being dropped here.
        if let Some(incoming) = &self.channels.incoming {
            let _ = incoming.send((self.peer.clone(), channel)).await;
        }
    }
}
