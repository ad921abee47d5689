//! One participant's connection, watched: a task that takes a copy of its packets as they arrive, decodes the pictures and reads their stamps.
//! It waits for nothing but packets and, for some milliseconds, for a decoder.

use super::Seen;
use super::stream::WatchedStream;
use crate::media::Library;
use crate::room::clock::SenderClock;
use crate::room::media::{Frame, MediaKind, RemoteTrack};
use crate::rtc::feedback::KeyFrameTiming;
use crate::rtc::subscriber::{MediaHandler, Report, Stream, StreamInfo, Subscriber, SubscriberConfig};
use crate::rtc::{Inbox, due};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc;

/// Streams of one participant that are announced at once.
const MAX_STREAMS: usize = 16;
/// Streams of pictures of one participant that are decoded.
const MAX_DECODED: usize = 8;
/// How often time is told.
const TICK: Duration = Duration::from_millis(100);

/// What a connection is told of its participant.
pub(super) enum ConnectionMessage {
    TrackAdded(RemoteTrack),
    TracksRemoved(Vec<u32>),
}

struct Watching {
    library: Library,
    decoded: usize,
    seen: Arc<Mutex<Seen>>,
}

/// Watches what is put into `inbox` from now on, until the sender of messages is dropped.
pub(super) fn watch(
    library: Library,
    inbox: &Inbox,
    mut messages: mpsc::UnboundedReceiver<ConnectionMessage>,
    seen: Arc<Mutex<Seen>>,
) -> impl Future<Output = ()> + Send + use<> {
    let copy = Arc::new(Inbox::default());
    // At once: no packet goes by unseen.
    inbox.copy_to(copy.clone());
    // Repairs are waited for as long as the recorder does, so that what is recorded is seen. The recorder asks for key frames.
    let config = SubscriberConfig {
        label_wait: Duration::ZERO,
        max_streams: MAX_STREAMS,
        linger: Duration::ZERO,
        key_frames: KeyFrameTiming { retry: Duration::MAX, interval: None },
        ..SubscriberConfig::recording(Instant::now())
    };
    let mut subscriber = Subscriber::new(config, Vec::new());
    let mut watching = Watching { library, decoded: 0, seen };
    async move {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let due = due(subscriber.deadline());
            tokio::select! {
                biased;
                message = messages.recv() => {
                    let now = Instant::now();
                    match message {
                        Some(ConnectionMessage::TrackAdded(track)) => subscriber.announce(track, now, &mut watching),
                        Some(ConnectionMessage::TracksRemoved(ssrcs)) => subscriber.remove(&ssrcs, now, &mut watching),
                        None => break,
                    }
                }
                () = copy.arrived() => drain(&copy, &mut subscriber, &mut watching),
                () = due => subscriber.expire(Instant::now(), &mut watching),
                _ = tick.tick() => subscriber.tick(Instant::now(), &mut watching),
            }
        }
        drain(&copy, &mut subscriber, &mut watching);
        subscriber.end(Instant::now(), &mut watching);
    }
}

fn drain(inbox: &Inbox, subscriber: &mut Subscriber<WatchedStream>, watching: &mut Watching) {
    let mut batch = Vec::new();
    let dropped = inbox.drain(&mut batch);
    if dropped > 0 {
        watching.seen().trouble.push(format!("{dropped} packets came too fast to be looked at"));
    }
    batch.into_iter().for_each(|item| subscriber.receive(item, watching));
    subscriber.begin(Instant::now(), watching);
}

impl Watching {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MediaHandler for Watching {
    type State = WatchedStream;

    fn on_begin(&mut self, info: &StreamInfo, _: Instant) -> Option<WatchedStream> {
        if info.track.kind() != MediaKind::Video || self.decoded >= MAX_DECODED {
            return None;
        }
        let (library, codec) = (self.library.clone(), info.track.codec);
        match unhurried(|| WatchedStream::start(library, codec)) {
            Ok(stream) => {
                self.decoded += 1;
                Some(stream)
            }
            Err(e) => {
                self.seen().trouble.push(e.to_string());
                None
            }
        }
    }

    fn on_frame(&mut self, stream: &mut Stream<WatchedStream>, frame: Frame, _: &SenderClock) {
        stream.state.frame(&frame);
    }

    fn on_report(&mut self, stream: &mut Stream<WatchedStream>, report: &Report, _: &SenderClock) {
        stream.state.reported_from(report.from);
    }

    fn on_restart(&mut self, stream: &mut Stream<WatchedStream>, _: &SenderClock) {
        let clock = stream.take_clock();
        stream.state.restart(clock);
    }

    fn on_end(&mut self, mut stream: Stream<WatchedStream>, _: Instant, _: &SenderClock) {
        self.decoded -= 1;
        let clock = stream.take_clock();
        let (watched, trouble) = stream.state.finish(clock);
        let mut seen = self.seen();
        seen.streams.extend(watched);
        seen.trouble.extend(trouble);
    }
}

/// Does something that takes some milliseconds without holding up others on this thread, where the runtime has others.
fn unhurried<T>(act: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(act),
        _ => act(),
    }
}
