//! A client of a recorder's control socket.

use super::{moment, within};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

const SECONDS: u64 = 60;

pub struct Controller {
    stream: BufReader<UnixStream>,
    id: u64,
}

impl Controller {
    /// Connects, as soon as the socket is there.
    pub async fn connect(path: &Path) -> Controller {
        let connected = async {
            loop {
                match UnixStream::connect(path).await {
                    Ok(stream) => return stream,
                    Err(_) => moment().await,
                }
            }
        };
        Controller { stream: BufReader::new(within(SECONDS, "the socket is there", connected).await), id: 0 }
    }

    /// Sends a line as it is.
    pub async fn write(&mut self, line: &[u8]) {
        // The other side may have hung up.
        let _ = self.stream.write_all(line).await;
    }

    /// The next line; none once the other side has hung up.
    pub async fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = within(SECONDS, "a line", self.stream.read_line(&mut line)).await.unwrap_or(0);
        (read > 0).then(|| serde_json::from_str(&line).expect("JSON"))
    }

    /// Sends a command, and returns its answer.
    pub async fn ask(&mut self, command: Value) -> Value {
        self.id += 1;
        let mut request = command;
        request["id"] = json!(self.id);
        self.write(format!("{request}\n").as_bytes()).await;
        loop {
            let line = self.line().await.expect("an answer");
            if line["id"] == self.id {
                return line;
            }
        }
    }

    /// Sends a command that must be done.
    pub async fn does(&mut self, command: &str) {
        let answer = self.ask(json!({ "command": command })).await;
        assert_eq!(answer["ok"], true, "{answer}");
    }

    pub async fn status(&mut self) -> Value {
        self.ask(json!({"command": "status"})).await["status"].take()
    }

    /// Waits until the status is so.
    pub async fn until(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                let status = self.status().await;
                if is_so(&status) {
                    return status;
                }
                moment().await;
            }
        };
        within(SECONDS, what, found).await
    }

    /// Waits for a state.
    pub async fn is(&mut self, state: &str) -> Value {
        self.until(state, |status| status["state"] == state).await
    }
}

/// Where a recorder with this folder listens.
pub fn socket_of(folder: &Path) -> PathBuf {
    folder.with_extension("sock")
}
