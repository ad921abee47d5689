//! What a run of a bot (`echo`, `filter`, `feed`) is told over its control socket, and where it stands. It waits for nobody.

use super::control_socket::{Controlled, Reply};
use crate::client::Handle;
use crate::room::end::EndReason;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Characters of a chat message that is said for a client.
const LONGEST_CHAT: usize = 2000;

/// A line that a client sends.
#[derive(Debug, Deserialize)]
struct Request {
    #[serde(default)]
    id: Value,
    #[serde(flatten)]
    command: Command,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
enum Command {
    /// Leaves the room.
    Stop,
    /// Asks for the status once.
    Status,
    /// Asks for the status once a second.
    Subscribe,
    /// A command of the bot, as in the room's chat: `filter sepia`. What is on this machine's disk cannot be named.
    Do { text: String },
    /// Says something to everybody in the room.
    Say { text: String },
}

/// Carries out a command; the error is why it cannot be done.
pub(super) type CommandFn = Box<dyn Fn(String) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// A bot that has joined.
pub(super) struct Attached {
    /// Its rooms: one for each copy.
    pub rooms: Vec<Handle>,
    /// What it does, as a JSON object.
    pub status: Box<dyn Fn() -> Value + Send + Sync>,
    /// None: it takes no commands.
    pub command: Option<CommandFn>,
}

/// A run of a bot, from its start to its end.
#[derive(Default)]
pub(super) struct BotSession {
    live: Mutex<Option<Arc<Attached>>>,
    stop: watch::Sender<bool>,
}

impl BotSession {
    fn live(&self) -> MutexGuard<'_, Option<Arc<Attached>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The room was joined.
    pub fn attach(&self, attached: Attached) {
        *self.live() = Some(Arc::new(attached));
    }

    /// It leaves the room.
    pub fn detach(&self) {
        self.live().take();
    }

    /// Completes when it is to end.
    pub async fn stopped(&self) -> EndReason {
        let mut stop = self.stop.subscribe();
        match stop.wait_for(|stop| *stop).await {
            Ok(_) => EndReason::Stopped,
            Err(_) => std::future::pending().await,
        }
    }

    async fn act(&self, command: Command) -> Result<Value, String> {
        let live = self.live().clone();
        let joined = || live.clone().ok_or_else(|| "the bot is not in the room".to_owned());
        match command {
            Command::Stop => {
                self.stop.send_replace(true);
                Ok(json!({}))
            }
            Command::Status | Command::Subscribe => Ok(json!({ "status": self.status() })),
            Command::Do { text } => match &joined()?.command {
                Some(command) => Ok(json!({ "answer": command(text).await? })),
                None => Err("this bot takes no commands".to_owned()),
            },
            Command::Say { text } => {
                if text.trim().is_empty() || text.chars().count() > LONGEST_CHAT {
                    return Err(format!("a message has 1 to {LONGEST_CHAT} characters"));
                }
                for room in &joined()?.rooms {
                    room.say(None, &text).await;
                }
                Ok(json!({}))
            }
        }
    }
}

impl Controlled for BotSession {
    async fn answer(&self, line: &[u8]) -> Reply {
        let request: Request = match serde_json::from_slice(line) {
            Ok(request) => request,
            Err(error) => {
                let value: Option<Value> = serde_json::from_slice(line).ok();
                let id = value.and_then(|value| value.get("id").cloned()).unwrap_or_default();
                return Reply { answer: json!({ "id": id, "error": error.to_string() }), subscribes: false };
            }
        };
        let subscribes = matches!(request.command, Command::Subscribe);
        let answer = match self.act(request.command).await {
            Ok(mut answer) => {
                answer["id"] = request.id;
                answer["ok"] = true.into();
                answer
            }
            Err(error) => json!({ "id": request.id, "error": error }),
        };
        Reply { answer, subscribes }
    }

    fn status(&self) -> Value {
        let live = self.live().clone();
        let state = match &live {
            _ if *self.stop.borrow() => "stopping",
            None => "joining",
            Some(_) => "running",
        };
        let mut status = live.map_or_else(|| json!({}), |live| (live.status)());
        status["state"] = state.into();
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bot_is_told_what_to_do_when_it_is_there() {
        let session = BotSession::default();
        let ask = async |line: &str| session.answer(line.as_bytes()).await.answer;
        assert_eq!(ask(r#"{"id":1,"command":"status"}"#).await["status"]["state"], "joining");
        assert_eq!(
            ask(r#"{"id":2,"command":"do","text":"filter sepia"}"#).await["error"],
            "the bot is not in the room"
        );
        let command: CommandFn = Box::new(|text| {
            Box::pin(async move { if text == "filter sepia" { Ok("video sepia".into()) } else { Err("no".into()) } })
        });
        let status = Box::new(|| json!({ "doing": "video none" }));
        session.attach(Attached { rooms: Vec::new(), status, command: Some(command) });
        let status = ask(r#"{"command":"status"}"#).await;
        assert_eq!((&status["status"]["state"], &status["status"]["doing"]), (&json!("running"), &json!("video none")));
        let done = ask(r#"{"id":"a","command":"do","text":"filter sepia"}"#).await;
        assert_eq!(done, json!({ "id": "a", "ok": true, "answer": "video sepia" }));
        assert_eq!(ask(r#"{"id":3,"command":"do","text":"dance"}"#).await, json!({ "id": 3, "error": "no" }));
        assert!(ask(r#"{"id":4,"command":"say","text":" "}"#).await["error"].is_string());
        assert!(ask(r#"{"id":5,"command":"explode"}"#).await["error"].is_string());
        assert!(session.answer(br#"{"command":"subscribe"}"#).await.subscribes);
        assert_eq!(ask(r#"{"id":6,"command":"stop"}"#).await, json!({ "id": 6, "ok": true }));
        assert_eq!(session.stopped().await, EndReason::Stopped);
        assert_eq!(session.status()["state"], "stopping");
    }
}
