//! Key-frame requests of whoever receives a published track, passed on to whoever can act on them. It decides nothing but their pace.

use crate::rtc::OutboundTrack;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// At least this long between two requests of one track that are passed on; those between are one.
const PAUSE: Duration = Duration::from_millis(300);

/// Sends `key` to `requests` whenever a receiver of the track wants a key frame; ends with its receiver, or when it is dropped.
pub(crate) struct KeyFrameForwarder(JoinHandle<()>);

impl KeyFrameForwarder {
    /// Must be called within a tokio runtime.
    pub fn start<K: Copy + Send + 'static>(track: &OutboundTrack, key: K, requests: mpsc::Sender<K>) -> Self {
        let mut wanted = track.key_frame_requests();
        KeyFrameForwarder(tokio::spawn(async move {
            while wanted.changed().await.is_ok() && requests.send(key).await.is_ok() {
                tokio::time::sleep(PAUSE).await;
            }
        }))
    }
}

impl Drop for KeyFrameForwarder {
    fn drop(&mut self) {
        self.0.abort();
    }
}
