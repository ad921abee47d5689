//! One participant's connection: a task that takes their packets as they arrive and sends their streams back. It waits for nothing but
//! packets, messages and, for some milliseconds, a new pipeline.

use crate::bot::choices::Choices;
use crate::bot::shared::{BotAction, Shared};
use crate::bot::stream::{self, Returned, ReturnedStream};
use crate::client::KeyFrameForwarder;
use crate::room::clock::SenderClock;
use crate::room::media::{Frame, RemoteTrack, Source};
use crate::room::participant::{Participant, ParticipantId, TrackLabel};
use crate::rtc::subscriber::{MediaHandler, Report, StreamInfo, Subscriber, SubscriberConfig};
use crate::rtc::{Inbound, Inbox, OutboundTrack, due};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// How often streams are looked at.
const TICK: Duration = Duration::from_millis(100);
/// Streams that are sent back to one participant; more are left alone.
const MAX_STREAMS: usize = 8;

/// What a connection is told of its participant.
pub(crate) enum ConnectionMessage {
    TrackAdded(RemoteTrack),
    TracksRemoved(Vec<u32>),
    Labels(Vec<TrackLabel>),
}

/// A handle on the task; dropping it ends everything that it runs.
pub(crate) struct Connection(mpsc::Sender<ConnectionMessage>);

impl Connection {
    pub fn start(
        who: &Participant,
        inbox: Arc<Inbox>,
        shared: Arc<Shared>,
        choices: watch::Receiver<Choices>,
    ) -> Connection {
        // 64 wait at most (policy Block): it is never busy for longer than a pipeline takes to build.
        let (sender, messages) = mpsc::channel(64);
        let (key_frames, key_frame_requests) = mpsc::channel(64);
        let config =
            SubscriberConfig { max_streams: MAX_STREAMS, ..SubscriberConfig::live(shared.start, stream::hold(None)) };
        let task = Task {
            inbox,
            subscriber: Subscriber::new(config, who.tracks.clone()),
            handler: Handler {
                id: who.id.clone(),
                name: who.name.clone(),
                shared,
                choices,
                sources: HashSet::new(),
                actions: Vec::new(),
                key_frames,
            },
            batch: Vec::new(),
        };
        tokio::spawn(task.run(messages, key_frame_requests));
        Connection(sender)
    }

    pub async fn send(&self, message: ConnectionMessage) {
        let _ = self.0.send(message).await;
    }
}

struct Task {
    inbox: Arc<Inbox>,
    subscriber: Subscriber<Returned>,
    handler: Handler,
    batch: Vec<Inbound>,
}

struct Handler {
    id: ParticipantId,
    /// The participant's name.
    name: String,
    shared: Arc<Shared>,
    choices: watch::Receiver<Choices>,
    /// What is sent back already: one stream of each.
    sources: HashSet<Source>,
    /// What the room is to be asked for, in its order.
    actions: Vec<BotAction>,
    /// SSRCs of streams for whose returned track a receiver wants a key frame.
    key_frames: mpsc::Sender<u32>,
}

impl Task {
    async fn run(mut self, mut messages: mpsc::Receiver<ConnectionMessage>, mut key_frames: mpsc::Receiver<u32>) {
        let inbox = self.inbox.clone();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let due = due(self.subscriber.deadline());
            tokio::select! {
                biased;
                message = messages.recv() => match message {
                    Some(message) => self.on_message(message).await,
                    None => break,
                },
                Some(ssrc) = key_frames.recv() => {
                    if let Some(stream) = self.subscriber.stream(ssrc) {
                        stream.state.request_key_frame();
                    }
                }
                changed = self.handler.choices.changed() => match changed {
                    Ok(()) => self.on_choices().await,
                    Err(_) => break,
                },
                () = inbox.arrived() => {
                    self.drain();
                    // Whose codec has changed needs another pipeline at once.
                    if self.subscriber.streams().0.any(|stream| stream.state.lacks_pipeline()) {
                        self.act().await;
                        self.build().await;
                    }
                }
                () = due => self.subscriber.expire(Instant::now(), &mut self.handler),
                _ = tick.tick() => self.look().await,
            }
            self.act().await;
        }
        let Task { subscriber, mut handler, .. } = self;
        subscriber.end(Instant::now(), &mut handler);
        handler.act().await;
    }

    async fn act(&mut self) {
        self.handler.act().await;
    }

    async fn on_message(&mut self, message: ConnectionMessage) {
        let now = Instant::now();
        match message {
            ConnectionMessage::TrackAdded(track) => self.subscriber.announce(track, now, &mut self.handler),
            ConnectionMessage::TracksRemoved(ssrcs) => self.subscriber.remove(&ssrcs, now, &mut self.handler),
            ConnectionMessage::Labels(labels) => self.subscriber.set_labels(labels, now, &mut self.handler),
        }
        // Tracks are published before their pipelines are built.
        self.act().await;
        self.build().await;
        self.follow();
    }

    /// Builds the pipelines that are wanted and not there.
    async fn build(&mut self) {
        let choices = self.handler.choices.borrow().clone();
        let now = Instant::now();
        for stream in self.subscriber.streams().0 {
            let filter = choices.filter(stream.kind());
            if let Err(warning) = stream.state.build(&self.handler.shared, filter).await {
                self.handler.warn(&warning.to_string());
            }
            if stream.state.take_key_frame_need() {
                stream.key_frames.need_at_once(now);
            }
        }
    }

    /// The choices have changed.
    async fn on_choices(&mut self) {
        let choices = self.handler.choices.borrow_and_update().clone();
        for stream in self.subscriber.streams().0 {
            if let Err(warning) = stream.state.set_filter(choices.filter(stream.kind())) {
                self.handler.warn(&warning.to_string());
            }
            stream.state.want(choices.takes(&self.handler.name, stream.info.source));
        }
        self.build().await;
        self.follow();
    }

    /// Labels follow what is switched off here or there.
    fn follow(&mut self) {
        let choices = self.handler.choices.borrow().clone();
        let labels = self.subscriber.labels().to_vec();
        for stream in self.subscriber.streams().0 {
            let track = &stream.info.track;
            let theirs = labels.iter().find(|label| label.stream == track.stream && label.kind == track.kind());
            let is_taken = choices.takes(&self.handler.name, stream.info.source);
            let muted = theirs.is_some_and(|label| label.muted) || !is_taken;
            if std::mem::replace(&mut stream.state.muted, muted) != muted {
                self.handler.actions.push(BotAction::Mute(stream.state.out.label().clone(), muted));
            }
        }
    }

    fn drain(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        let dropped = self.inbox.drain(&mut batch);
        if dropped > 0 {
            tracing::warn!("{}: {dropped} packets came too fast to be looked at", self.handler.name);
        }
        for item in batch.drain(..) {
            self.subscriber.receive(item, &mut self.handler);
        }
        self.batch = batch;
    }

    async fn look(&mut self) {
        let now = Instant::now();
        self.subscriber.begin(now, &mut self.handler);
        self.act().await;
        self.build().await;
        let (shared, id) = (self.handler.shared.clone(), self.handler.id.clone());
        shared.shows(&id, self.subscriber.streams().0.filter(|stream| stream.state.shows()).count());
        let (budget, round_trip) = shared.budget(&id);
        self.subscriber.set_hold(stream::hold(round_trip));
        for stream in self.subscriber.streams().0 {
            if let Some(warning) = stream.state.look(now, budget) {
                self.handler.warn(&warning);
            }
            shared.status.set(&id.0, stream.ssrc(), stream.state.status(&self.handler.name));
        }
        self.subscriber.tick(now, &mut self.handler);
    }
}

impl Handler {
    /// Asks the room for what is to be done, in its order.
    async fn act(&mut self) {
        for action in std::mem::take(&mut self.actions) {
            self.shared.act(action).await;
        }
    }

    fn warn(&mut self, warning: &str) {
        self.actions.push(BotAction::Warn(format!("{}: {warning}", self.name)));
    }
}

impl MediaHandler for Handler {
    type State = Returned;

    fn on_begin(&mut self, info: &StreamInfo, _: Instant) -> Option<Returned> {
        if !self.sources.insert(info.source) {
            self.warn(&format!("a second {} is not sent back", info.source.word()));
            return None;
        }
        let codec = self.shared.codec.filter(|codec| codec.kind() == info.track.kind());
        let out = OutboundTrack::new(stream::label(&self.id.0, info), codec.unwrap_or(info.track.codec));
        let out = out.without_playout_delay();
        let key_frames = KeyFrameForwarder::start(&out, info.track.ssrc, self.key_frames.clone());
        let to = (!self.shared.to_all).then(|| self.id.clone());
        self.actions.push(BotAction::Publish(to, out.clone()));
        let mut returned = Returned::new(info, out, key_frames);
        returned.want(self.choices.borrow().takes(&self.name, info.source));
        Some(returned)
    }

    /// What goes back stays the same track in its codec: only another decoder is needed.
    fn on_codec(&mut self, ended: ReturnedStream, info: &StreamInfo, _: Instant, _: &SenderClock) -> Option<Returned> {
        let mut returned = ended.state;
        returned.change_codec(info);
        Some(returned)
    }

    fn on_frame(&mut self, stream: &mut ReturnedStream, frame: Frame, _: &SenderClock) {
        if !stream.state.frame(&frame) {
            stream.key_frames.need(frame.arrival);
        }
    }

    fn on_restart(&mut self, stream: &mut ReturnedStream, _: &SenderClock) {
        stream.state.restart();
    }

    fn on_report(&mut self, stream: &mut ReturnedStream, _: &Report, _: &SenderClock) {
        let mapping = stream.reported_mapping().cloned();
        stream.state.set_mapping(mapping);
    }

    fn request_key_frame(&mut self, stream: &mut ReturnedStream, ssrc: u32, _: Instant) {
        if stream.state.is_wanted() {
            self.actions.push(BotAction::KeyFrame(self.id.clone(), ssrc));
        }
    }

    fn on_end(&mut self, stream: ReturnedStream, _: Instant, _: &SenderClock) {
        self.sources.remove(&stream.info.source);
        self.shared.status.set(&self.id.0, stream.ssrc(), stream.state.status(&self.name));
        self.shared.status.end(&self.id.0, stream.ssrc());
        self.actions.push(BotAction::Unpublish(stream.state.out.label().clone()));
    }
}
