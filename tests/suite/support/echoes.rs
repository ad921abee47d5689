//! A bot of ours in a room in memory, and people of ours who send it what files hold and look at what comes back.

use super::within;
use roombot::bot::{Bot, BotConfig};
use roombot::bot::{BotSetup, Choices};
use roombot::client::event::RoomEvent;
use roombot::client::{Client, ClientConfig, KeyFrameRequester};
use roombot::error::Result;
use roombot::media::{Filter, Library, MediaSource};
use roombot::room::clock::unwrap_rtp;
use roombot::room::media::{Codec, Frame, MediaKind, Source};
use roombot::room::participant::{ParticipantId, Role, TrackLabel};
use roombot::rtc::media::depacketize::{AssemblerConfig, FrameAssembler, Received};
use roombot::rtc::{Impairment, Inbound, Inbox, OutboundTrack, RemoteTrack};
use roombot::signal::memory::MemoryRoom;
use roombot::signal::{JoinAs, Signaller, for_url};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A filter by its name.
pub fn filter(kind: MediaKind, name: &str) -> Filter {
    Filter::resolve(&Library::default(), kind, name, &[]).expect("a filter")
}

/// A bot that does nothing to what it gives back.
pub fn plain() -> BotSetup {
    let choices = Choices::new(filter(MediaKind::Video, "none"), filter(MediaKind::Audio, "none"));
    BotSetup { library: Library::default(), codec: None, to_all: false, choices }
}

pub fn room() -> MemoryRoom {
    super::log();
    MemoryRoom::new("echoes").expect("a room")
}

pub async fn bot(room: &dyn Signaller, live: BotSetup) -> Bot {
    let how = JoinAs { name: "Echo".into(), role: Role::Bot, token: None };
    let config = BotConfig { how, live, returns: false, relay_only: false, impairment: None };
    within(10, "the bot joins", Bot::start(room, config)).await.expect("joins")
}

/// What a person sees of one track that comes to them.
pub struct Seen {
    pub remote: RemoteTrack,
    from: ParticipantId,
    /// Nothing can be decoded without a key frame; when one was asked for.
    starved: Option<Instant>,
    pub frames: Vec<Frame>,
    /// Sender reports: NTP time, RTP time (unwrapped near the newest frame).
    pub reports: Vec<(u64, i64)>,
    assembler: FrameAssembler,
}

/// Everything that comes to a person.
#[derive(Default)]
pub struct Sight {
    inboxes: Vec<Arc<Inbox>>,
    pub tracks: Vec<Seen>,
    /// The last labels that came, whosever they are.
    pub labels: Vec<TrackLabel>,
    pub texts: Vec<String>,
    /// Who is there, by name.
    pub there: BTreeMap<ParticipantId, String>,
    /// How often the room was lost, and found again.
    pub lost: usize,
    pub resumed: usize,
}

/// Somebody in the room.
pub struct Person {
    pub session: Client,
    pub camera: OutboundTrack,
    pub mic: OutboundTrack,
    pub sight: Arc<Mutex<Sight>>,
    playing: Vec<JoinHandle<()>>,
}

impl Person {
    /// Joins with a camera and a microphone that send nothing yet.
    pub async fn join(room: &dyn Signaller, name: &str, codec: Codec, impairment: Option<Impairment>) -> Person {
        Person::enter(room, name, Role::Participant, codec, impairment)
            .await
            .unwrap_or_else(|e| panic!("{name} joins: {e}"))
    }

    /// The same, in VP8, where the URL leads.
    pub async fn at(url: &str, name: &str) -> Result<Person> {
        Person::with_role(url, name, Role::Participant).await
    }

    pub async fn with_role(url: &str, name: &str, role: Role) -> Result<Person> {
        super::log();
        Person::enter(for_url(url)?.as_ref(), name, role, Codec::Vp8, None).await
    }

    async fn enter(
        room: &dyn Signaller,
        name: &str,
        role: Role,
        codec: Codec,
        impairment: Option<Impairment>,
    ) -> Result<Person> {
        let label = |kind, source| TrackLabel { stream: "face".into(), kind, source, muted: false };
        let camera = OutboundTrack::new(label(MediaKind::Video, Source::Camera), codec);
        let mic = OutboundTrack::new(label(MediaKind::Audio, Source::Mic), Codec::Opus);
        let (observer, events) = mpsc::channel(1024);
        let config = ClientConfig {
            publish: vec![camera.clone(), mic.clone()],
            impairment,
            observer: Some(observer),
            ..ClientConfig::default()
        };
        let how = JoinAs { name: name.into(), role, token: None };
        let session = within(30, "a person joins", Client::join(room, how, config)).await?;
        let sight: Arc<Mutex<Sight>> = Arc::default();
        let looking = tokio::spawn(look(events, sight.clone(), session.key_frame_requester()));
        Ok(Person { session, camera, mic, sight, playing: vec![looking] })
    }

    /// Plays a media file over and over into camera and microphone, its pictures in the codec of the camera.
    pub fn play(&mut self, file: &str) {
        let tracks = [self.camera.clone(), self.mic.clone()];
        self.playing.push(tokio::spawn(play(file.to_owned(), |_| true, tracks.to_vec())));
    }

    /// Shares a screen: the pictures of a media file, over and over.
    pub async fn share(&mut self, file: &str) {
        let label =
            TrackLabel { stream: "screen".into(), kind: MediaKind::Video, source: Source::Screen, muted: false };
        let screen = OutboundTrack::new(label, Codec::Vp8);
        self.session.publish(screen.clone()).await;
        self.playing.push(tokio::spawn(play(file.to_owned(), |kind| kind == MediaKind::Video, vec![screen])));
    }

    /// Waits until what is seen fulfils a condition.
    pub async fn sees(&self, seconds: u64, what: &str, mut holds: impl FnMut(&Sight) -> bool) {
        let seen = async {
            while !holds(&self.sight.lock().expect("lock")) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within(seconds, what, seen).await;
    }

    /// Waits for a text with this in it.
    pub async fn hears(&self, text: &str) {
        self.sees(40, &format!("{text:?} is heard"), |sight| sight.texts.iter().any(|heard| heard.contains(text)))
            .await;
    }

    /// The names of those who are there.
    pub fn people(&self) -> Vec<String> {
        self.sight.lock().expect("lock").there.values().cloned().collect()
    }

    pub async fn leave(mut self) {
        self.playing.drain(..).for_each(|task| task.abort());
        self.session.leave().await;
    }
}

impl Sight {
    /// The track of this kind that comes last.
    pub fn track(&self, kind: MediaKind) -> Option<&Seen> {
        self.tracks.iter().rev().find(|seen| seen.remote.kind() == kind)
    }
    /// Frames of this kind, of all tracks.
    pub fn count(&self, kind: MediaKind) -> usize {
        self.tracks.iter().filter(|seen| seen.remote.kind() == kind).map(|seen| seen.frames.len()).sum()
    }
}

async fn play(file: String, wants: fn(MediaKind) -> bool, tracks: Vec<OutboundTrack>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let open = move || MediaSource::file(&Library::default(), &path, wants, true).expect("a file");
    let source = Arc::new(Mutex::new(tokio::task::spawn_blocking(open).await.expect("opened")));
    let start = Instant::now();
    loop {
        let source = source.clone();
        let read = move || source.lock().expect("lock").next_frame().expect("readable").expect("repeated");
        let next = tokio::task::spawn_blocking(read).await.expect("read");
        tokio::time::sleep_until((start + next.at).into()).await;
        for track in tracks.iter().filter(|track| track.label().kind == next.kind) {
            track.send_captured(&next.frame, start + next.at);
        }
    }
}

async fn look(mut events: mpsc::Receiver<RoomEvent>, sight: Arc<Mutex<Sight>>, key_frame_requester: KeyFrameRequester) {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let mut early = Vec::new();
    loop {
        tokio::select! {
            happening = events.recv() => {
                let sight = &mut *sight.lock().expect("lock");
                match happening {
                    Some(RoomEvent::ConnectionOpened { media, .. }) => sight.inboxes.push(media.inbox),
                    Some(RoomEvent::Labels { tracks, .. }) => sight.labels = tracks,
                    Some(RoomEvent::Joined(who)) => {
                        if !who.tracks.is_empty() {
                            sight.labels = who.tracks;
                        }
                        sight.there.insert(who.id, who.name);
                    }
                    Some(RoomEvent::Left { id, .. }) => drop(sight.there.remove(&id)),
                    Some(RoomEvent::Reconnecting { .. }) => sight.lost += 1,
                    Some(RoomEvent::Resumed) => sight.resumed += 1,
                    Some(RoomEvent::TrackAdded { id, track: remote, .. }) => {
                        let assembler = FrameAssembler::new(remote.codec, AssemblerConfig::default());
                        sight.tracks.retain(|seen| seen.remote.ssrc != remote.ssrc);
                        let (frames, reports) = (Vec::new(), Vec::new());
                        sight.tracks.push(Seen { remote, from: id, starved: None, frames, reports, assembler });
                    }
                    Some(RoomEvent::Chat { text, .. }) => sight.texts.push(text),
                    Some(RoomEvent::Warning { text, .. }) => println!("warning: {text}"),
                    Some(_) => {}
                    None => return,
                }
            }
            _ = tick.tick() => sight.lock().expect("lock").drain(&mut early, &key_frame_requester),
        }
    }
}

impl Sight {
    fn drain(&mut self, early: &mut Vec<Inbound>, key_frame_requester: &KeyFrameRequester) {
        let mut items = std::mem::take(early);
        let mut batch = Vec::new();
        for inbox in &self.inboxes {
            inbox.drain(&mut batch);
            items.append(&mut batch);
        }
        let mut out = Vec::new();
        for item in items {
            let ssrc = match &item {
                Inbound::Rtp(packet) => packet.ssrc,
                Inbound::SenderReport { ssrc, .. } => *ssrc,
            };
            let Some(seen) = self.tracks.iter_mut().find(|seen| seen.remote.ssrc == ssrc) else {
                early.push(item);
                continue;
            };
            match item {
                Inbound::Rtp(packet) => seen.assembler.push(packet, &mut out),
                Inbound::SenderReport { ntp, rtp, .. } => {
                    if let Some(newest) = seen.frames.last() {
                        seen.reports.push((ntp, unwrap_rtp(newest.rtp_time, rtp)));
                    }
                }
            }
            for received in out.drain(..) {
                match received {
                    Received::Frame(frame) => {
                        seen.starved = None;
                        seen.frames.push(frame);
                    }
                    Received::NeedKeyFrame => {
                        key_frame_requester.request_key_frame(&seen.from, seen.remote.ssrc);
                        seen.starved = Some(Instant::now());
                    }
                    _ => {}
                }
            }
        }
        for seen in &mut self.tracks {
            if seen.starved.is_some_and(|at| at.elapsed() > Duration::from_secs(1)) {
                key_frame_requester.request_key_frame(&seen.from, seen.remote.ssrc);
                seen.starved = Some(Instant::now());
            }
        }
    }
}
