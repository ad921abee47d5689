//! One participant's connection, looked at: a task that sorts packets to streams as they arrive. It waits for nothing but packets, and for
//! some milliseconds for a decoder.

use super::Seen;
use super::stream::Stream;
use crate::error::Error;
use crate::media::Library;
use crate::room::clock::SenderClock;
use crate::room::media::MediaKind;
use crate::rtc::{Inbound, Inbox, RemoteTrack, due};
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::mpsc;

/// Packets that may wait for their stream to be announced.
const EARLY: usize = 2048;
/// Streams of one participant that are looked at.
const STREAMS: usize = 8;

/// What a connection is told.
pub(super) enum Told {
    Track(RemoteTrack),
    Ended(Vec<u32>),
}

struct Connection {
    library: Library,
    inbox: Arc<Inbox>,
    sender: SenderClock,
    streams: HashMap<u32, Stream>,
    /// What came before it was known what it is.
    early: Vec<Inbound>,
    seen: Arc<Mutex<Seen>>,
    /// When session time is counted from, which only differences are taken of.
    zero: Instant,
}

/// Watches what is put into `inbox` from now on, until nobody tells it anything any more.
pub(super) fn watch(
    library: Library,
    inbox: &Inbox,
    mut told: mpsc::UnboundedReceiver<Told>,
    seen: Arc<Mutex<Seen>>,
) -> impl Future<Output = ()> + Send + use<> {
    let copy = Arc::new(Inbox::default());
    // At once: no packet goes by unseen.
    inbox.copy_to(copy.clone());
    let mut connection = Connection {
        library,
        inbox: copy.clone(),
        sender: SenderClock::new(),
        streams: HashMap::new(),
        early: Vec::new(),
        seen,
        zero: Instant::now(),
    };
    async move {
        loop {
            let due = due(connection.streams.values().filter_map(Stream::deadline).min());
            tokio::select! {
                biased;
                news = told.recv() => match news {
                    Some(Told::Track(track)) => connection.begin(track).await,
                    Some(Told::Ended(ssrcs)) => ssrcs.iter().for_each(|ssrc| connection.end(*ssrc)),
                    None => break,
                },
                () = copy.arrived() => connection.drain(),
                () = due => connection.streams.values_mut().for_each(|stream| stream.tick(Instant::now())),
            }
        }
        connection.drain();
        let ssrcs: Vec<u32> = connection.streams.keys().copied().collect();
        ssrcs.into_iter().for_each(|ssrc| connection.end(ssrc));
    }
}

impl Connection {
    async fn begin(&mut self, track: RemoteTrack) {
        let is_known = self.streams.get(&track.ssrc).is_some_and(|stream| stream.codec == track.codec);
        if track.kind() != MediaKind::Video || is_known || self.streams.len() >= STREAMS {
            return;
        }
        self.end(track.ssrc);
        let (library, codec, ssrc) = (self.library.clone(), track.codec, track.ssrc);
        let built = tokio::task::spawn_blocking(move || Stream::start(library, codec)).await;
        match built.unwrap_or_else(|e| Err(Error::us("a live track was not built").because(e))) {
            Ok(stream) => drop(self.streams.insert(ssrc, stream)),
            Err(e) => self.seen.lock().unwrap_or_else(PoisonError::into_inner).trouble.push(e.to_string()),
        }
        for item in std::mem::take(&mut self.early) {
            self.take(item);
        }
    }

    fn end(&mut self, ssrc: u32) {
        let Some(stream) = self.streams.remove(&ssrc) else { return };
        let (watched, trouble) = stream.finish();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.streams.extend(watched);
        seen.trouble.extend(trouble);
    }

    fn drain(&mut self) {
        let mut batch = Vec::new();
        let dropped = self.inbox.drain(&mut batch);
        if dropped > 0 {
            let message = format!("{dropped} packets came too fast to be looked at");
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).trouble.push(message);
        }
        batch.into_iter().for_each(|item| self.take(item));
    }

    fn take(&mut self, item: Inbound) {
        let ssrc = match &item {
            Inbound::Rtp(packet) => packet.ssrc,
            Inbound::SenderReport { ssrc, .. } => *ssrc,
        };
        match (self.streams.get_mut(&ssrc), item) {
            (Some(stream), Inbound::Rtp(packet)) => stream.packet(packet),
            (Some(stream), Inbound::SenderReport { ntp, rtp, arrival, from, .. }) => {
                stream.report(&mut self.sender, (ntp, rtp), (self.zero, arrival), from.ip());
            }
            // Sound is never announced here, so only the newest are kept.
            (None, item) => {
                if self.early.len() >= EARLY {
                    self.early.drain(..EARLY / 2);
                }
                self.early.push(item);
            }
        }
    }
}
