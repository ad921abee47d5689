//! One participant's connection: a task that takes their packets as they arrive and sorts them to streams. It waits for nothing but
//! packets, wishes and, for some milliseconds, a new pipeline.

use crate::bot::actor::{BotAction, Shared};
use crate::bot::choices::Choices;
use crate::bot::stream::Stream;
use crate::room::clock::{SenderClock, SessionTime};
use crate::room::media::Source;
use crate::room::participant::{Participant, ParticipantId, TrackLabel};
use crate::rtc::{Inbound, Inbox, RemoteTrack, due};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long a stream waits for the participant to say what it is.
const LABEL_FOR: Duration = Duration::from_millis(500);
/// How often streams are looked at.
const TICK: Duration = Duration::from_millis(100);
/// Two key frames of one track are at least so far apart.
const KEY_FRAME_PAUSE: Duration = Duration::from_millis(300);
/// Streams that are given back to one participant; more are left alone.
const MOST_STREAMS: usize = 8;

/// What a connection is told.
pub(crate) enum Told {
    Track(RemoteTrack),
    Ended(Vec<u32>),
    Labels(Vec<TrackLabel>),
}

/// A handle on the task; dropping it ends everything that it runs.
pub(crate) struct Connection(mpsc::Sender<Told>);

impl Connection {
    pub fn start(
        who: &Participant,
        inbox: Arc<Inbox>,
        desk: Arc<Shared>,
        choices: watch::Receiver<Choices>,
    ) -> Connection {
        // 64 wait at most (policy Block): it is never busy for longer than a pipeline takes to build.
        let (sender, told) = mpsc::channel(64);
        let (asks, asked) = mpsc::channel(64);
        let task = Task {
            id: who.id.clone(),
            name: who.name.clone(),
            labels: who.tracks.clone(),
            inbox,
            desk,
            choices,
            sender: SenderClock::new(),
            announced: Vec::new(),
            streams: HashMap::new(),
            batch: Vec::new(),
            asks,
        };
        tokio::spawn(task.run(told, asked));
        Connection(sender)
    }

    pub async fn tell(&self, told: Told) {
        let _ = self.0.send(told).await;
    }
}

struct Task {
    id: ParticipantId,
    name: String,
    labels: Vec<TrackLabel>,
    inbox: Arc<Inbox>,
    desk: Arc<Shared>,
    choices: watch::Receiver<Choices>,
    sender: SenderClock,
    /// Streams that have not begun: since when they wait for a label.
    announced: Vec<(RemoteTrack, Instant)>,
    streams: HashMap<u32, Running>,
    batch: Vec<Inbound>,
    asks: mpsc::Sender<u32>,
}

struct Running {
    stream: Stream,
    /// Labelled as muted by us.
    muted: bool,
    /// Carries key-frame requests of whoever watches.
    asking: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

impl Task {
    async fn run(mut self, mut told: mpsc::Receiver<Told>, mut asked: mpsc::Receiver<u32>) {
        let inbox = self.inbox.clone();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let due = due(self.streams.values().filter_map(|running| running.stream.deadline()).min());
            tokio::select! {
                biased;
                news = told.recv() => match news {
                    Some(news) => self.told(news).await,
                    None => break,
                },
                Some(ssrc) = asked.recv() => {
                    if let Some(running) = self.streams.get(&ssrc) {
                        running.stream.ask_key_frame();
                    }
                }
                changed = self.choices.changed() => match changed {
                    Ok(()) => self.chosen().await,
                    Err(_) => break,
                },
                () = inbox.arrived() => self.drain(),
                () = due => self.each(|stream, desk| stream.tick(Instant::now(), desk)),
                _ = tick.tick() => self.look().await,
            }
        }
        let ssrcs: Vec<u32> = self.streams.keys().copied().collect();
        for ssrc in ssrcs {
            self.end(ssrc).await;
        }
    }

    fn each(&mut self, mut act: impl FnMut(&mut Stream, &Shared)) {
        for running in self.streams.values_mut() {
            act(&mut running.stream, &self.desk);
        }
    }

    async fn told(&mut self, news: Told) {
        match news {
            Told::Track(track) => {
                if self.streams.contains_key(&track.ssrc) {
                    self.end(track.ssrc).await;
                }
                self.announced.retain(|(known, _)| known.ssrc != track.ssrc);
                if self.announced.len() + self.streams.len() < MOST_STREAMS {
                    self.announced.push((track, Instant::now()));
                }
            }
            Told::Ended(ssrcs) => {
                self.announced.retain(|(track, _)| !ssrcs.contains(&track.ssrc));
                for ssrc in ssrcs {
                    self.end(ssrc).await;
                }
            }
            Told::Labels(labels) => self.labels = labels,
        }
        self.begin().await;
        self.follow().await;
    }

    /// Announced streams begin once it is known what they are.
    async fn begin(&mut self) {
        let (labels, now) = (&self.labels, Instant::now());
        let label = |track: &RemoteTrack| {
            labels
                .iter()
                .find(|label| label.stream == track.stream && label.kind == track.kind())
                .map(|label| label.source)
        };
        let known = |(track, since): &mut (RemoteTrack, Instant)| {
            label(track).is_some() || now.duration_since(*since) >= LABEL_FOR
        };
        let ready: Vec<(RemoteTrack, Source)> = self
            .announced
            .extract_if(.., known)
            .map(|(track, _)| (label(&track).unwrap_or(Source::default_for(track.kind())), track))
            .map(|(source, track)| (track, source))
            .collect();
        for (track, source) in ready {
            self.add(track, source).await;
        }
    }

    async fn add(&mut self, track: RemoteTrack, source: Source) {
        // Sound and picture of one source share a stream, and so one clock at whoever plays them.
        let screen = matches!(source, Source::Screen | Source::ScreenAudio);
        let stream = format!("{}-{}", self.id, if screen { "screen" } else { "face" });
        let label = TrackLabel { stream, kind: track.kind(), source, muted: false };
        if self.streams.values().any(|running| running.stream.source == source) {
            tracing::debug!("{}: a second {} is left alone", self.id, source.word());
            return;
        }
        let ssrc = track.ssrc;
        let codec = self.desk.codec.filter(|codec| codec.kind() == track.kind()).unwrap_or(track.codec);
        let mut stream = Stream::new(track, source, label, codec);
        let wanted = self.choices.borrow().takes(&self.name, source);
        stream.want(wanted);
        let (out, asks) = (stream.out.clone(), self.asks.clone());
        let asking = tokio::spawn(async move {
            let mut requests = out.key_frame_requests();
            while requests.changed().await.is_ok() && asks.send(ssrc).await.is_ok() {
                // What is asked for meanwhile is answered by one more.
                tokio::time::sleep(KEY_FRAME_PAUSE).await;
            }
        });
        let to = (!self.desk.to_all).then(|| self.id.clone());
        self.desk.wish(BotAction::Publish(to, stream.out.clone())).await;
        self.streams.insert(ssrc, Running { stream, muted: false, asking });
        self.build().await;
    }

    async fn end(&mut self, ssrc: u32) {
        let Some(running) = self.streams.remove(&ssrc) else { return };
        self.desk.board.set(&self.id.0, ssrc, running.stream.status(&self.name));
        self.desk.board.end(&self.id.0, ssrc);
        self.desk.wish(BotAction::Unpublish(running.stream.out.label().clone())).await;
    }

    /// Pipelines that are wanted and not there.
    async fn build(&mut self) {
        let choices = self.choices.borrow().clone();
        let mut warnings = Vec::new();
        for running in self.streams.values_mut() {
            let filter = choices.filter(running.stream.remote.kind());
            warnings.extend(running.stream.begin(&self.desk, filter).await.err());
        }
        for warning in warnings {
            self.desk.wish(BotAction::Warn(format!("{}: {warning}", self.name))).await;
        }
    }

    /// The choices have changed.
    async fn chosen(&mut self) {
        let choices = self.choices.borrow_and_update().clone();
        let mut warnings = Vec::new();
        for running in self.streams.values_mut() {
            let stream = &mut running.stream;
            warnings.extend(stream.set_filter(choices.filter(stream.remote.kind())).err());
            stream.want(choices.takes(&self.name, stream.source));
        }
        for warning in warnings {
            self.desk.wish(BotAction::Warn(format!("{}: {warning}", self.name))).await;
        }
        self.build().await;
        self.follow().await;
    }

    /// Labels follow what is switched off here or there.
    async fn follow(&mut self) {
        let choices = self.choices.borrow().clone();
        let mut changed = Vec::new();
        for running in self.streams.values_mut() {
            let stream = &running.stream;
            let theirs = self
                .labels
                .iter()
                .find(|label| label.stream == stream.remote.stream && label.kind == stream.remote.kind());
            let muted = theirs.is_some_and(|label| label.muted) || !choices.takes(&self.name, stream.source);
            if std::mem::replace(&mut running.muted, muted) != muted {
                changed.push((stream.out.label().clone(), muted));
            }
        }
        for (label, muted) in changed {
            self.desk.wish(BotAction::Mute(label, muted)).await;
        }
    }

    fn drain(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        let dropped = self.inbox.drain(&mut batch);
        if dropped > 0 {
            tracing::warn!("{}: {dropped} packets came too fast to be looked at", self.name);
        }
        for item in batch.drain(..) {
            match item {
                Inbound::Rtp(packet) => {
                    if let Some(running) = self.streams.get_mut(&packet.ssrc) {
                        running.stream.packet(packet, &self.desk);
                    }
                }
                Inbound::SenderReport { ssrc, ntp, rtp, arrival, .. } => {
                    if let Some(running) = self.streams.get_mut(&ssrc) {
                        let at = SessionTime::since(self.desk.start, arrival);
                        running.stream.report(&mut self.sender, ntp, rtp, at);
                    }
                }
            }
        }
        self.batch = batch;
    }

    async fn look(&mut self) {
        self.begin().await;
        self.build().await;
        self.desk.shows(&self.id, self.streams.values().filter(|running| running.stream.shows()).count());
        let (budget, round_trip) = self.desk.budget(&self.id);
        let now = Instant::now();
        let mut wishes = Vec::new();
        for (ssrc, running) in &mut self.streams {
            let needs = running.stream.look(now, budget, round_trip);
            if needs.key_frame {
                wishes.push(BotAction::KeyFrame(self.id.clone(), *ssrc));
            }
            wishes.extend(needs.warning.map(|warning| BotAction::Warn(format!("{}: {warning}", self.name))));
            self.desk.board.set(&self.id.0, *ssrc, running.stream.status(&self.name));
        }
        for wish in wishes {
            self.desk.wish(wish).await;
        }
    }
}
