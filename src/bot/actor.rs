//! The bot's actor: who is in the room, what is done for them, what the room is asked for. Each connection's tracks are handled by a task of
//! their own ([`crate::bot::connection`]); here is only what they share.

use crate::bot::choices::Choices;
use crate::bot::command;
use crate::bot::command::Command;
use crate::bot::connection::{Connection, ConnectionMessage};
use crate::bot::shared::{BotAction, Shared};
use crate::bot::status::TrackStatus;
use crate::client::IncomingMedia;
use crate::media::{Filter, Library, ParamKind};
use crate::room::event::ConnectionId;
use crate::room::media::{Codec, MediaKind};
use crate::room::participant::{Participant, ParticipantId, Role, TrackLabel};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Configuration of a bot; what can change while it runs is in [`Choices`].
#[derive(Clone)]
pub struct BotSetup {
    pub library: Library,
    /// The codec of pictures that go back; none: the one they come in.
    pub codec: Option<Codec>,
    /// Every participant receives every returned track, not only its sender.
    pub to_all: bool,
    pub choices: Choices,
}

/// Somebody in the room.
struct Person {
    participant: Participant,
    connections: HashMap<ConnectionId, Connection>,
}

/// The reply to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Text for whoever asked.
    Say(String),
    /// It cannot be done; why.
    Refuse(String),
    /// The bot is to leave.
    Quit,
}

/// Reads a bot's state; keeps nothing running.
#[derive(Clone)]
pub struct Watcher {
    shared: Arc<Shared>,
    choices: watch::Receiver<Choices>,
}

impl Watcher {
    /// What the bot does, in one line.
    pub fn doing(&self) -> String {
        self.choices.borrow().describe()
    }
    /// The current tracks.
    pub fn tracks(&self) -> Vec<TrackStatus> {
        self.shared.status.tracks()
    }
    /// Ended tracks, then current ones.
    pub fn all_tracks(&self) -> Vec<TrackStatus> {
        self.shared.status.all()
    }
}

/// The bot's state: participants and their connections.
pub struct Live {
    shared: Arc<Shared>,
    choices: watch::Sender<Choices>,
    people: HashMap<ParticipantId, Person>,
}

impl Live {
    /// Begins with nobody. What it wants done in the room goes to `actions`. Must be called, and used, within a tokio runtime.
    pub fn new(setup: BotSetup, actions: mpsc::Sender<BotAction>) -> Live {
        let BotSetup { library, codec, to_all, choices } = setup;
        let shared = Shared::new(library, codec, to_all, actions);
        Live { shared: Arc::new(shared), choices: watch::channel(choices).0, people: HashMap::new() }
    }

    /// A handle for whoever watches.
    pub fn watcher(&self) -> Watcher {
        Watcher { shared: self.shared.clone(), choices: self.choices.subscribe() }
    }

    pub fn joined(&mut self, participant: Participant) {
        self.people.insert(participant.id.clone(), Person { participant, connections: HashMap::new() });
    }

    /// Somebody has gone: their pipelines go too.
    pub fn left(&mut self, id: &ParticipantId) {
        self.shared.remove_path(id);
        self.people.remove(id);
        crate::bot::memory::trim_soon();
    }

    /// Their labels, all of them.
    pub async fn labelled(&mut self, id: &ParticipantId, tracks: Vec<TrackLabel>) {
        let Some(person) = self.people.get_mut(id) else { return };
        person.participant.tracks.clone_from(&tracks);
        for connection in person.connections.values() {
            connection.send(ConnectionMessage::Labels(tracks.clone())).await;
        }
    }

    /// A connection exists. What bots and recorders send is left alone.
    pub fn connection_opened(&mut self, id: &ParticipantId, connection: ConnectionId, media: IncomingMedia) {
        let Some(person) = self.people.get_mut(id) else { return };
        self.shared.add_path(id, media.bandwidth);
        if person.participant.role == Role::Participant {
            let (shared, choices) = (self.shared.clone(), self.choices.subscribe());
            let task = Connection::start(&person.participant, media.inbox, shared, choices);
            person.connections.insert(connection, task);
        }
    }

    /// A connection is gone, and the pipelines of its streams with it.
    pub fn connection_closed(&mut self, id: &ParticipantId, connection: ConnectionId) {
        if let Some(person) = self.people.get_mut(id) {
            person.connections.remove(&connection);
            if person.connections.is_empty() {
                self.shared.remove_path(id);
            }
        }
        crate::bot::memory::trim_soon();
    }

    /// All connections to somebody are gone.
    pub fn disconnected(&mut self, id: &ParticipantId) {
        let Some(person) = self.people.get(id) else { return };
        for connection in person.connections.keys().copied().collect::<Vec<_>>() {
            self.connection_closed(id, connection);
        }
    }

    /// Hands a message to a connection of a participant.
    pub(crate) async fn tell(&mut self, id: &ParticipantId, connection: ConnectionId, message: ConnectionMessage) {
        if let Some(connection) = self.people.get(id).and_then(|person| person.connections.get(&connection)) {
            connection.send(message).await;
        }
    }

    /// What somebody in the room said, if it was meant for the bot. Who is not at this machine can name filters of the library
    /// only, cannot have it open a file, and cannot send it away.
    pub async fn on_chat(&mut self, id: &ParticipantId, text: &str) {
        let Some(text) = command::addressed(text) else { return };
        let answer = match self.command(text, false).await {
            Answer::Say(answer) | Answer::Refuse(answer) => answer,
            Answer::Quit => "only who runs the bot can do that".to_owned(),
        };
        self.shared.act(BotAction::Say(id.clone(), answer)).await;
    }

    /// Executes a command. `trusted`: typed by the operator, not sent in the chat.
    pub async fn command(&mut self, text: &str, trusted: bool) -> Answer {
        let command = match command::parse(text) {
            Ok(command) => command,
            Err(answer) => return Answer::Refuse(answer),
        };
        let mut choices = self.choices.borrow().clone();
        match command {
            Command::Quit => return Answer::Quit,
            Command::Help => return Answer::Say(command::HELP.to_owned()),
            Command::Status => return Answer::Say(self.status()),
            Command::Video { filter, values } => match self.resolve(MediaKind::Video, filter, values, trusted).await {
                Ok(filter) => (choices.video, choices.video_on) = (filter, true),
                Err(answer) => return Answer::Refuse(answer),
            },
            Command::Audio { filter, values } => match self.resolve(MediaKind::Audio, filter, values, trusted).await {
                Ok(filter) => (choices.audio, choices.audio_on) = (filter, true),
                Err(answer) => return Answer::Refuse(answer),
            },
            Command::VideoOn(on) => choices.video_on = on,
            Command::AudioOn(on) => choices.audio_on = on,
            Command::Source(pick) => choices.pick = pick,
            Command::Only(None) => choices.only.clear(),
            Command::Only(Some(name)) => {
                if !self.people.values().any(|person| person.participant.name == name) {
                    let known: Vec<&str> =
                        self.people.values().map(|person| person.participant.name.as_str()).collect();
                    return Answer::Refuse(format!("nobody here is called that; there is {}", known.join(", ")));
                }
                choices.only = vec![name];
            }
        }
        let answer = choices.describe();
        self.choices.send_replace(choices);
        Answer::Say(answer)
    }

    /// Resolves a filter and tests it before it is used.
    async fn resolve(
        &self,
        kind: MediaKind,
        name: String,
        values: Vec<(String, String)>,
        trusted: bool,
    ) -> Result<Filter, String> {
        let library = self.shared.library.clone();
        let found = tokio::task::spawn_blocking(move || {
            if !trusted && (name.ends_with(".gst") || opens_files(&library, kind, &name, &values)) {
                return Err("only who runs the bot can have it open a file".to_owned());
            }
            let filter = Filter::resolve(&library, kind, &name, &values).map_err(|e| e.to_string())?;
            crate::media::check_filter(&filter).map_err(|e| e.to_string())?;
            Ok(filter)
        });
        found.await.unwrap_or_else(|_| Err("that filter could not be tried".to_owned()))
    }

    fn status(&self) -> String {
        let tracks = self.shared.status.tracks();
        let delay = tracks.iter().filter_map(|track| track.delay_p95_ms).max();
        let delay = delay.map(|ms| format!(", at most {ms} ms (95 in 100)")).unwrap_or_default();
        format!("{}; {} tracks{delay}", self.choices.borrow().describe(), tracks.len())
    }
}

/// Whether any of these parameters is a file.
fn opens_files(library: &Library, kind: MediaKind, name: &str, values: &[(String, String)]) -> bool {
    let folder = if kind == MediaKind::Video { "video" } else { "audio" };
    // A filter that is not there opens nothing; the error says what there is.
    library.get(&format!("filter/{folder}/{name}")).is_ok_and(|template| {
        let is_file = |param: &&crate::media::Param| matches!(param.kind, ParamKind::Image);
        template.params.iter().filter(is_file).any(|param| values.iter().any(|(name, _)| *name == param.name))
    })
}
