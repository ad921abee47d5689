//! A bot in a room: joins it, tells the bot's actor what happens there, and does what that wants done. It decides nothing about media.

use crate::bot::chat_and_files::ChatAndFileEcho;
use crate::bot::connection::ConnectionMessage;
use crate::bot::{Answer, BotAction, BotSetup, Live, TrackStatus, Watcher};
use crate::client::event::RoomEvent;
use crate::client::{Client, ClientConfig, Handle};
use crate::error::Result;
use crate::room::end::EndReason;
use crate::room::policy::PeerState;
use crate::rtc::{Impairment, Wake};
use crate::signal::{JoinAs, Signaller};
use std::future::Future;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Actions that may wait (policy Block): those of a few seconds with many people coming at once.
const ACTIONS: usize = 256;
/// Commands that may wait (policy Block: who types waits).
const COMMANDS: usize = 16;

/// What to give back, and as whom.
pub struct BotConfig {
    pub how: JoinAs,
    pub live: BotSetup,
    /// Whether what people say and send as files goes back to them too.
    pub returns: bool,
    /// Use no path but those over TURN servers.
    pub relay_only: bool,
    /// An emulated network (loss, delay, reordering by a seed), as scenarios ask for. None: the real one.
    pub impairment: Option<Impairment>,
}

/// A command that was typed, whether by who runs the bot, and where its answer goes.
type Typed = (String, bool, oneshot::Sender<Answer>);

/// A bot in a room. Dropping it leaves at once; [`Bot::finish`] leaves politely.
pub struct Bot {
    session: Client,
    watcher: Watcher,
    commands: mpsc::Sender<Typed>,
    task: JoinHandle<()>,
}

impl Bot {
    /// Joins the room and gives back from now on.
    ///
    /// # Errors
    /// What the room says.
    pub async fn start(room: &dyn Signaller, config: BotConfig) -> Result<Bot> {
        let (observer, events) = mpsc::channel(1024);
        let returns = config.returns.then(ChatAndFileEcho::new).transpose()?;
        let session_config = ClientConfig {
            files: returns.as_ref().map(ChatAndFileEcho::takes),
            wake: Wake::OnArrival,
            measure: true,
            relay_only: config.relay_only,
            impairment: config.impairment,
            observer: Some(observer),
            ..ClientConfig::default()
        };
        let session = Client::join(room, config.how, session_config).await?;
        let (actions, actions_rx) = mpsc::channel(ACTIONS);
        let live = Live::new(config.live, actions);
        let watcher = live.watcher();
        let (commands, typed) = mpsc::channel(COMMANDS);
        tokio::spawn(act(session.handle(), actions_rx));
        let task = tokio::spawn(run(live, returns, session.handle(), events, typed));
        Ok(Bot { session, watcher, commands, task })
    }

    /// How everything stands.
    pub fn watcher(&self) -> Watcher {
        self.watcher.clone()
    }

    /// A handle that takes commands of who runs the bot.
    pub fn commander(&self) -> Commander {
        Commander(self.commands.clone())
    }

    /// The room that it is in.
    pub fn room(&self) -> Handle {
        self.session.handle()
    }

    /// Waits until the time is up, `stop` completes or the room ends; says why.
    pub async fn until(&mut self, duration: Option<Duration>, stop: impl Future<Output = EndReason>) -> EndReason {
        let clock = async {
            match duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            why = stop => why,
            () = clock => EndReason::TimeUp,
            reason = self.session.ended() => reason,
        }
    }

    /// Leaves the room; every track, with what became of it.
    pub async fn finish(self) -> Vec<TrackStatus> {
        let tracks = self.watcher.all_tracks();
        self.session.leave().await;
        self.task.abort();
        tracks
    }
}

/// Takes commands as typed; keeps no bot alive for longer than one of them takes.
#[derive(Clone)]
pub struct Commander(mpsc::Sender<Typed>);

impl Commander {
    /// Carries out a command; none where the bot has gone. `trusted`: of who runs the bot, who may have it open files.
    pub async fn command(&self, text: &str, trusted: bool) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        self.0.send((text.to_owned(), trusted, answer)).await.ok()?;
        answered.await.ok()
    }
}

/// Tells the live side what happens and what was typed.
async fn run(
    mut live: Live,
    mut returns: Option<ChatAndFileEcho>,
    room: Handle,
    mut events: mpsc::Receiver<RoomEvent>,
    mut typed: mpsc::Receiver<Typed>,
) {
    loop {
        tokio::select! {
            event = events.recv() => {
                let Some(event) = event else { return };
                if let Some(returns) = &mut returns {
                    returns.on_event(&event, &room).await;
                }
                on_event(&mut live, event).await;
            }
            Some((text, trusted, answer)) = typed.recv() => {
                // Nobody may wait for it any more.
                let _ = answer.send(live.command(&text, trusted).await);
            }
        }
    }
}

async fn on_event(live: &mut Live, event: RoomEvent) {
    match event {
        RoomEvent::Joined(participant) => live.joined(participant),
        RoomEvent::Left { id, .. } => live.left(&id),
        RoomEvent::Labels { id, tracks } => live.labelled(&id, tracks).await,
        RoomEvent::ConnectionOpened { id, connection, media } => live.connection_opened(&id, connection, media),
        RoomEvent::ConnectionClosed { id, connection } => live.connection_closed(&id, connection),
        RoomEvent::File { .. } => {}
        RoomEvent::Chat { id, text } => live.on_chat(&id, &text).await,
        RoomEvent::Warning { id, text } | RoomEvent::NothingComes { id, text } => tracing::warn!("{id}: {text}"),
        RoomEvent::ConnectionState { id, state } => {
            tracing::info!("{id}: {}", state.word());
            if state == PeerState::Closed {
                live.disconnected(&id);
            }
        }
        RoomEvent::PathFound { .. } | RoomEvent::Unowned { .. } => {}
        RoomEvent::TrackAdded { id, connection, track } => {
            live.tell(&id, connection, ConnectionMessage::TrackAdded(track)).await;
        }
        RoomEvent::TrackRemoved { id, connection, ssrcs } => {
            live.tell(&id, connection, ConnectionMessage::TracksRemoved(ssrcs)).await;
        }
        RoomEvent::Reconnecting { cause } => tracing::warn!("the room is lost, trying again: {cause}"),
        RoomEvent::Resumed => tracing::info!("back in the room"),
    }
}

/// Does what the bot wants done in its room.
async fn act(room: Handle, mut actions: mpsc::Receiver<BotAction>) {
    while let Some(action) = actions.recv().await {
        match action {
            BotAction::Publish(Some(id), track) => room.publish_to(&id, track).await,
            BotAction::Publish(None, track) => room.publish(track).await,
            BotAction::Unpublish(label) => room.unpublish(&label).await,
            BotAction::Mute(label, muted) => room.mute(&label, muted).await,
            BotAction::KeyFrame(id, ssrc) => room.request_key_frame(&id, ssrc),
            BotAction::Say(id, text) => room.say(Some(&id), &text).await,
            BotAction::Warn(warning) => tracing::warn!("{warning}"),
        }
    }
}
