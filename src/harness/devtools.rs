//! A client of the Chrome DevTools Protocol: opens tabs and runs commands in them, several at a time. It starts no browser and
//! delivers no events.

use crate::error::{Error, Result};
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// The file in the profile with the port and path of the DevTools socket.
const PORT_FILE: &str = "DevToolsActivePort";
/// Limit for the start of the browser.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Limit for one command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// Interval between two polls of a condition.
const POLL: Duration = Duration::from_millis(20);
/// Commands that may wait to be sent; more senders wait.
const QUEUE: usize = 64;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connection to a browser; cheap to clone. It closes with the last clone.
#[derive(Debug, Clone)]
pub struct DevTools {
    commands: mpsc::Sender<Command>,
}

/// An open tab.
#[derive(Debug, Clone)]
pub struct Tab {
    target: String,
    session: String,
}

#[derive(Debug)]
struct Command {
    method: String,
    params: Value,
    session: Option<String>,
    reply: oneshot::Sender<Result<Value>>,
}

impl DevTools {
    /// Connects to the browser with this profile as soon as it listens. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// The machine's: it does not listen in time.
    pub async fn connect(profile: &Path) -> Result<DevTools> {
        let until = Instant::now() + START_TIMEOUT;
        let address = loop {
            // The file is complete when it has both lines.
            let text = tokio::fs::read_to_string(profile.join(PORT_FILE)).await.unwrap_or_default();
            if let Some((port, path)) = text.split_once('\n').filter(|(_, path)| !path.trim().is_empty()) {
                break format!("ws://127.0.0.1:{}{}", port.trim(), path.trim());
            }
            if Instant::now() > until {
                return Err(Error::machine(format!("Chromium did not start within {} s", START_TIMEOUT.as_secs())));
            }
            sleep(POLL).await;
        };
        let connected = timeout(COMMAND_TIMEOUT, connect_async(address)).await;
        let connected = connected.map_err(|_| timed_out("the DevTools connection"))?;
        let (socket, _) = connected.map_err(|e| Error::machine("cannot connect to Chromium's DevTools").because(e))?;
        let (commands, queue) = mpsc::channel(QUEUE);
        tokio::spawn(exchange(socket, queue));
        Ok(DevTools { commands })
    }

    /// Lets pages of `origin` use camera and microphone without a permission question.
    ///
    /// # Errors
    /// As [`DevTools::command`].
    pub async fn grant_media(&self, origin: &str) -> Result<()> {
        let params = json!({ "permissions": ["audioCapture", "videoCapture"], "origin": origin });
        self.command(None, "Browser.grantPermissions", params).await.map(drop)
    }

    /// Opens a tab in front of the others, and starts to load `url`.
    ///
    /// # Errors
    /// As [`DevTools::command`].
    pub async fn open(&self, url: &str) -> Result<Tab> {
        let created = self.command(None, "Target.createTarget", json!({ "url": url })).await?;
        let target = text(&created, "targetId")?;
        let params = json!({ "targetId": target, "flatten": true });
        let attached = self.command(None, "Target.attachToTarget", params).await?;
        Ok(Tab { target, session: text(&attached, "sessionId")? })
    }

    /// Loads `url` in a tab and waits until it is complete.
    ///
    /// # Errors
    /// As [`DevTools::wait_for`]; the machine's if the page does not load.
    pub async fn navigate(&self, tab: &Tab, url: &str) -> Result<()> {
        let loaded = self.command(Some(tab), "Page.navigate", json!({ "url": url })).await?;
        if let Some(error) = loaded.get("errorText").and_then(Value::as_str) {
            return Err(Error::machine(format!("Chromium cannot load {url}: {error}")));
        }
        // The answer comes when the navigation is committed, so this is no longer the document before it.
        self.wait_for(tab, "document.readyState === 'complete'", COMMAND_TIMEOUT).await
    }

    /// The value of a JavaScript expression in a tab, evaluated as a user action; a promise is awaited.
    ///
    /// # Errors
    /// As [`DevTools::command`]; the machine's if the expression throws.
    pub async fn eval(&self, tab: &Tab, expression: &str) -> Result<Value> {
        let params =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let mut answer = self.command(Some(tab), "Runtime.evaluate", params).await?;
        if let Some(exception) = answer.get("exceptionDetails") {
            return Err(Error::machine(format!("Chromium: {expression}: {exception}")));
        }
        Ok(answer.pointer_mut("/result/value").map(Value::take).unwrap_or_default())
    }

    /// Waits until an expression in a tab is true.
    ///
    /// # Errors
    /// As [`DevTools::eval`]; the machine's if it is not true in time.
    pub async fn wait_for(&self, tab: &Tab, expression: &str, limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        while self.eval(tab, expression).await? != true {
            if Instant::now() > until {
                return Err(Error::machine(format!("Chromium: not true within {} s: {expression}", limit.as_secs())));
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Closes a tab.
    ///
    /// # Errors
    /// As [`DevTools::command`].
    pub async fn close(&self, tab: Tab) -> Result<()> {
        self.command(None, "Target.closeTarget", json!({ "targetId": tab.target })).await.map(drop)
    }

    /// Runs a command of the protocol, in a tab or in the browser itself, and returns its result.
    ///
    /// # Errors
    /// The machine's: the browser has ended, refuses the command, or takes too long.
    pub async fn command(&self, tab: Option<&Tab>, method: &str, params: Value) -> Result<Value> {
        let (reply, answer) = oneshot::channel();
        let session = tab.map(|tab| tab.session.clone());
        let command = Command { method: method.to_owned(), params, session, reply };
        let ended = || Error::machine(format!("Chromium ended before it answered {method}"));
        let exchange = async {
            self.commands.send(command).await.map_err(|_| ended())?;
            answer.await.unwrap_or_else(|_| Err(ended()))
        };
        timeout(COMMAND_TIMEOUT, exchange).await.unwrap_or_else(|_| Err(timed_out(method)))
    }
}

/// Sends commands and hands out their answers until all handles are dropped or the browser ends.
async fn exchange(socket: Socket, mut queue: mpsc::Receiver<Command>) {
    let (mut sink, mut messages) = socket.split();
    let mut pending: HashMap<u64, (String, oneshot::Sender<Result<Value>>)> = HashMap::new();
    let mut last_id = 0;
    loop {
        tokio::select! {
            command = queue.recv() => {
                let Some(command) = command else { return };
                last_id += 1;
                if send(&mut sink, last_id, &command).await.is_err() {
                    return;
                }
                pending.insert(last_id, (command.method, command.reply));
            }
            message = messages.next() => {
                let Some(Ok(message)) = message else { return };
                let Ok(answer) = serde_json::from_slice::<Value>(&message.into_data()) else { continue };
                // Messages without an ID are events.
                let id = answer.get("id").and_then(Value::as_u64);
                if let Some((method, reply)) = id.and_then(|id| pending.remove(&id)) {
                    // The caller may have given up.
                    let _ = reply.send(result(&method, answer));
                }
            }
        }
    }
}

async fn send(sink: &mut SplitSink<Socket, Message>, id: u64, command: &Command) -> Result<(), ()> {
    let mut message = json!({ "id": id, "method": command.method, "params": command.params });
    if let (Some(session), Some(fields)) = (&command.session, message.as_object_mut()) {
        fields.insert("sessionId".into(), session.as_str().into());
    }
    sink.send(Message::text(message.to_string())).await.map_err(drop)
}

fn result(method: &str, mut answer: Value) -> Result<Value> {
    match answer.get("error") {
        Some(error) => Err(Error::machine(format!("Chromium refuses {method}: {error}"))),
        None => Ok(answer.get_mut("result").map(Value::take).unwrap_or_default()),
    }
}

fn text(answer: &Value, key: &str) -> Result<String> {
    let text = answer.get(key).and_then(Value::as_str).map(str::to_owned);
    text.ok_or_else(|| Error::machine(format!("Chromium's answer has no {key}")))
}

fn timed_out(what: &str) -> Error {
    Error::machine(format!("Chromium needs more than {} s for {what}", COMMAND_TIMEOUT.as_secs()))
}
