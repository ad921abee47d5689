//! The end-to-end delay of received video: a copy of a recorder's packets is decoded as it arrives, and the stamps tell which frame could be
//! displayed when. It requests nothing from senders, and nothing waits for it.
//!
//! ```text
//! the recorder's inbox -> copy -> frames -> decoder -> stamp: this frame, at this moment
//! ```

mod connection;
mod delay;
mod observations;
mod stream;

pub use delay::{Clocks, Delays, delays};
pub use observations::{DecodedFrame, ObservedStream};

use crate::client::{RoomEvent, RoomObserver};
use crate::media::Library;
use crate::room::event::ConnectionId;
use connection::ConnectionMessage;
use observations::Observations;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Limit for the end of all connections' tasks.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// Observes the connections of a room client.
pub struct Watch {
    library: Library,
    connections: Mutex<HashMap<ConnectionId, mpsc::UnboundedSender<ConnectionMessage>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    observations: Arc<Mutex<Observations>>,
}

impl RoomObserver for Watch {
    /// Must be called in a tokio runtime.
    fn on_event(&self, event: &RoomEvent) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        // The task of a closed connection has ended.
        let send_to = |connections: &HashMap<ConnectionId, mpsc::UnboundedSender<ConnectionMessage>>, id, message| {
            let _ = connections.get(id).map(|sender| sender.send(message));
        };
        match event {
            RoomEvent::ConnectionOpened { connection, media, .. } => {
                let (sender, messages) = mpsc::unbounded_channel();
                let task = connection::watch(self.library.clone(), &media.inbox, messages, self.observations.clone());
                self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(tokio::spawn(task));
                connections.insert(*connection, sender);
            }
            RoomEvent::ConnectionClosed { connection, .. } => drop(connections.remove(connection)),
            RoomEvent::TrackAdded { connection, track, .. } => {
                send_to(&connections, connection, ConnectionMessage::TrackAdded(track.clone()))
            }
            RoomEvent::TrackRemoved { connection, ssrcs, .. } => {
                send_to(&connections, connection, ConnectionMessage::TracksRemoved(ssrcs.clone()))
            }
            _ => {}
        }
    }
}

impl Watch {
    /// A watch without observations.
    pub fn new(library: &Library) -> Arc<Watch> {
        Arc::new(Watch {
            library: library.clone(),
            connections: Mutex::default(),
            tasks: Mutex::default(),
            observations: Arc::default(),
        })
    }

    /// Ends the watch. Returns what was observed of each stream, and failures of this machine.
    pub async fn finish(&self) -> (Vec<ObservedStream>, Vec<String>) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = tokio::time::timeout(END_TIMEOUT, futures_util::future::join_all(tasks)).await;
        let Observations { streams, mut trouble } =
            std::mem::take(&mut *self.observations.lock().unwrap_or_else(PoisonError::into_inner));
        if ended.is_err() {
            trouble.push(format!("the live decoders did not end within {} s", END_TIMEOUT.as_secs()));
        }
        (streams, trouble)
    }
}
