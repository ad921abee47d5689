//! A running Chromium's DevTools, as far as a scenario needs them: opens tabs, and has them do something. It starts no browser, and listens to
//! no events.

use crate::error::{Error, Result};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Where Chromium writes, below its profile, on which port and path it listens.
const PORT: &str = "DevToolsActivePort";
/// How long it may take to start, and for each command.
const STARTING: Duration = Duration::from_secs(30);
const COMMAND: Duration = Duration::from_secs(20);
const BEAT: Duration = Duration::from_millis(20);

/// A connection to a browser.
pub(super) struct DevTools {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    last: u64,
}

/// A tab, by the session that commands to it belong to.
pub(super) struct Tab(String);

impl DevTools {
    /// Waits until the browser with this profile listens, and connects.
    ///
    /// # Errors
    /// The machine's: it does not, in time.
    pub async fn connect(profile: &Path) -> Result<DevTools> {
        let until = Instant::now() + STARTING;
        let address = loop {
            // Both lines are there, or it is still being written.
            let text = std::fs::read_to_string(profile.join(PORT)).unwrap_or_default();
            if let Some((port, path)) = text.split_once('\n').filter(|(_, path)| !path.trim().is_empty()) {
                break format!("ws://127.0.0.1:{}{}", port.trim(), path.trim());
            }
            if Instant::now() > until {
                return Err(Error::machine(format!("Chromium has not started within {} s", STARTING.as_secs())));
            }
            sleep(BEAT).await;
        };
        let connected = timeout(COMMAND, connect_async(address)).await.map_err(|_| late("to connect"))?;
        let (socket, _) = connected.map_err(|e| Error::machine("Chromium takes no commands").because(e))?;
        Ok(DevTools { socket, last: 0 })
    }

    /// Lets pages from `origin` use camera and microphone without a question.
    ///
    /// # Errors
    /// The machine's: the browser is gone, or too slow.
    pub async fn grant(&mut self, origin: &str) -> Result<()> {
        let what = json!({ "permissions": ["audioCapture", "videoCapture"], "origin": origin });
        self.call("Browser.grantPermissions", what, None).await.map(drop)
    }

    /// Opens a tab in front of the others.
    ///
    /// # Errors
    /// As [`DevTools::grant`].
    pub async fn open(&mut self, url: &str) -> Result<Tab> {
        let strange = |what: &str| Error::machine(format!("Chromium opens a tab without {what}"));
        let target = self.call("Target.createTarget", json!({ "url": url }), None).await?;
        let target = target.get("targetId").cloned().ok_or_else(|| strange("a name"))?;
        let how = json!({ "targetId": target, "flatten": true });
        let attached = self.call("Target.attachToTarget", how, None).await?;
        let session = attached.get("sessionId").and_then(Value::as_str).ok_or_else(|| strange("a session"))?;
        Ok(Tab(session.to_owned()))
    }

    /// The value of a JavaScript expression in a tab, as if its user had clicked; a promise is waited for.
    ///
    /// # Errors
    /// As [`DevTools::grant`], and where the expression throws.
    pub async fn eval(&mut self, tab: &Tab, expression: &str) -> Result<Value> {
        let what =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let answer = self.call("Runtime.evaluate", what, Some(&tab.0)).await?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            return Err(Error::machine(format!("Chromium: {expression}: {thrown}")));
        }
        Ok(answer.pointer("/result/value").cloned().unwrap_or(Value::Null))
    }

    /// Waits until an expression in a tab is true.
    ///
    /// # Errors
    /// As [`DevTools::eval`], and where it is not in time.
    pub async fn until(&mut self, tab: &Tab, expression: &str, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        while self.eval(tab, expression).await? != true {
            if Instant::now() > until {
                return Err(Error::machine(format!("Chromium: not within {} s: {expression}", patience.as_secs())));
            }
            sleep(BEAT).await;
        }
        Ok(())
    }

    async fn call(&mut self, method: &str, params: Value, session: Option<&str>) -> Result<Value> {
        self.last += 1;
        let mut command = json!({ "id": self.last, "method": method, "params": params });
        if let (Some(session), Some(fields)) = (session, command.as_object_mut()) {
            fields.insert("sessionId".into(), session.into());
        }
        let gone = |why: String| Error::machine(format!("Chromium is gone before it has done {method}: {why}"));
        let answer = async {
            self.socket.send(Message::text(command.to_string())).await.map_err(|e| gone(e.to_string()))?;
            while let Some(message) = self.socket.next().await {
                let message = message.map_err(|e| gone(e.to_string()))?;
                let Ok(mut answer) = serde_json::from_slice::<Value>(&message.into_data()) else { continue };
                // Everything else is an event.
                if answer.get("id").and_then(Value::as_u64) != Some(self.last) {
                    continue;
                }
                return match answer.get("error") {
                    Some(error) => Err(Error::machine(format!("Chromium refuses {method}: {error}"))),
                    None => Ok(answer.get_mut("result").map(Value::take).unwrap_or_default()),
                };
            }
            Err(gone("its connection ended".into()))
        };
        timeout(COMMAND, answer).await.unwrap_or_else(|_| Err(late(method)))
    }
}

fn late(what: &str) -> Error {
    Error::machine(format!("Chromium needs more than {} s {what}", COMMAND.as_secs()))
}
