//! A bot of ours in a room in memory, and people of ours who send it what files hold and look at what comes back ([`Sight`]).

use super::moment;
use super::sight::{self, Sight};
use super::within;
use roombot::bot::{Bot, BotConfig};
use roombot::bot::{BotSetup, Choices};
use roombot::client::{Client, ClientConfig};
use roombot::error::Result;
use roombot::media::{Filter, Library, MediaSource};
use roombot::room::media::{Codec, MediaKind, Source};
use roombot::room::participant::{Role, TrackLabel};
use roombot::rtc::{Impairment, OutboundTrack};
use roombot::signal::memory::MemoryRoom;
use roombot::signal::{JoinAs, Signaller, for_url};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;
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
        let looking = tokio::spawn(sight::look(events, sight.clone(), session.key_frame_requester()));
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
                moment().await;
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
