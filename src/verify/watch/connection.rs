//! The task for one watched connection: receives a copy of its packets, decodes the video and reads the stamps. It waits only for packets and,
//! for some milliseconds, for a decoder to start.

use super::observations::Observations;
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

/// Maximum number of streams of a connection.
const MAX_STREAMS: usize = 16;
/// Maximum number of decoded video streams of a connection.
const MAX_DECODED: usize = 8;
/// Interval of the subscriber's periodic work.
const TICK: Duration = Duration::from_millis(100);

/// A change of the connection's tracks.
pub(super) enum ConnectionMessage {
    TrackAdded(RemoteTrack),
    TracksRemoved(Vec<u32>),
}

struct Watching {
    library: Library,
    decoded: usize,
    observations: Arc<Mutex<Observations>>,
}

/// Watches the packets of `inbox` from now on, until the sender of `messages` is dropped.
pub(super) fn watch(
    library: Library,
    inbox: &Inbox,
    mut messages: mpsc::UnboundedReceiver<ConnectionMessage>,
    observations: Arc<Mutex<Observations>>,
) -> impl Future<Output = ()> + Send + use<> {
    let copy = Arc::new(Inbox::default());
    // Before the task starts, so that no packet is missed.
    inbox.copy_to(copy.clone());
    // Waits for retransmissions as long as the recorder, to decode what is recorded. The recorder requests key frames.
    let config = SubscriberConfig {
        label_wait: Duration::ZERO,
        max_streams: MAX_STREAMS,
        linger: Duration::ZERO,
        key_frames: KeyFrameTiming { retry: Duration::MAX, interval: None },
        ..SubscriberConfig::recording(Instant::now())
    };
    let mut subscriber = Subscriber::new(config, Vec::new());
    let mut watching = Watching { library, decoded: 0, observations };
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
        watching.observations().trouble.push(format!("{dropped} packets arrived too fast to be decoded live"));
    }
    batch.into_iter().for_each(|item| subscriber.receive(item, watching));
    subscriber.begin(Instant::now(), watching);
}

impl Watching {
    fn observations(&self) -> MutexGuard<'_, Observations> {
        self.observations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MediaHandler for Watching {
    type State = WatchedStream;

    fn on_begin(&mut self, info: &StreamInfo, _: Instant) -> Option<WatchedStream> {
        if info.track.kind() != MediaKind::Video || self.decoded >= MAX_DECODED {
            return None;
        }
        let (library, codec) = (self.library.clone(), info.track.codec);
        match run_blocking(|| WatchedStream::start(library, codec)) {
            Ok(stream) => {
                self.decoded += 1;
                Some(stream)
            }
            Err(e) => {
                self.observations().trouble.push(e.to_string());
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
        let (observed, trouble) = stream.state.finish(clock);
        let mut observations = self.observations();
        observations.streams.extend(observed);
        observations.trouble.extend(trouble);
    }
}

/// Runs work of some milliseconds without blocking other tasks, if the runtime has several threads.
fn run_blocking<T>(act: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(act),
        _ => act(),
    }
}
