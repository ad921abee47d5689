//! The end-to-end delay of what is being received: a second look at the packets of a recorder, as they come. Pictures are decoded at once
//! and their stamps read, so it is known which picture could be shown when. It asks the senders for nothing, and nobody waits for it.
//!
//! ```text
//! the recorder's inbox -> a copy -> frames -> decoder -> stamp: this picture, at this moment
//! ```

mod connection;
mod delay;
mod stream;

pub use delay::{Basis, Clocks, Delays, Source, delays};
pub use stream::Look;

use crate::client::{RoomEvent, RoomObserver};
use crate::media::Library;
use crate::room::clock::TrackClock;
use crate::room::event::ConnectionId;
use connection::ConnectionMessage;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long the connections may take to end.
const ENDING: Duration = Duration::from_secs(5);

/// What was seen of one stream, between two beginnings of its sender.
#[derive(Debug)]
pub struct Watched {
    pub looks: Vec<Look>,
    /// RTP time to the sender's clock.
    pub clock: TrackClock,
    /// Where the reports of that clock came from; none where none came.
    pub from: Option<IpAddr>,
}

/// Watches the connections that it is told of.
pub struct Watch {
    library: Library,
    connections: Mutex<HashMap<ConnectionId, mpsc::UnboundedSender<ConnectionMessage>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    seen: Arc<Mutex<Seen>>,
}

/// What was seen until now.
#[derive(Debug, Default)]
struct Seen {
    streams: Vec<Watched>,
    /// What this machine could not do.
    trouble: Vec<String>,
}

impl RoomObserver for Watch {
    /// Must be called within a runtime of tokio.
    fn on_event(&self, event: &RoomEvent) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        // A connection that is gone has nothing to be told.
        let tell = |connections: &HashMap<ConnectionId, mpsc::UnboundedSender<ConnectionMessage>>, id, message| {
            let _ = connections.get(id).map(|sender| sender.send(message));
        };
        match event {
            RoomEvent::ConnectionOpened { connection, media, .. } => {
                let (sender, messages) = mpsc::unbounded_channel();
                let task = connection::watch(self.library.clone(), &media.inbox, messages, self.seen.clone());
                self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(tokio::spawn(task));
                connections.insert(*connection, sender);
            }
            RoomEvent::ConnectionClosed { connection, .. } => drop(connections.remove(connection)),
            RoomEvent::TrackAdded { connection, track, .. } => {
                tell(&connections, connection, ConnectionMessage::TrackAdded(track.clone()))
            }
            RoomEvent::TrackRemoved { connection, ssrcs, .. } => {
                tell(&connections, connection, ConnectionMessage::TracksRemoved(ssrcs.clone()))
            }
            _ => {}
        }
    }
}

impl Watch {
    /// A watch that has seen nothing yet.
    pub fn new(library: &Library) -> Arc<Watch> {
        Arc::new(Watch {
            library: library.clone(),
            connections: Mutex::default(),
            tasks: Mutex::default(),
            seen: Arc::default(),
        })
    }

    /// Ends the watch: what was seen of every stream, and what this machine could not do.
    pub async fn finish(&self) -> (Vec<Watched>, Vec<String>) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let ended = tokio::time::timeout(ENDING, futures_util::future::join_all(tasks)).await;
        let Seen { streams, mut trouble } =
            std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        if ended.is_err() {
            trouble.push(format!("looking at pictures did not end within {} s", ENDING.as_secs()));
        }
        (streams, trouble)
    }
}
