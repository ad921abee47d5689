//! Commands to a running recorder, over its control socket (docs/control.md): one JSON object a line.

use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long a recorder may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer.
const LONGEST: u64 = 1 << 20;

/// How a recorder stands, as it says itself.
pub type LiveStatus = Value;

/// Sends a command and returns the answer.
pub(super) async fn command(socket: &Path, command: &str) -> io::Result<Value> {
    request(socket, json!({ "command": command })).await
}

/// Sends a command with what belongs to it, and returns the answer.
pub(super) async fn request(socket: &Path, mut request: Value) -> io::Result<Value> {
    request["id"] = 1.into();
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await?;
        let request = format!("{request}\n");
        stream.write_all(request.as_bytes()).await?;
        let mut lines = BufReader::new(stream.take(LONGEST)).lines();
        while let Some(line) = lines.next_line().await? {
            let answer: Value = serde_json::from_str(&line)?;
            if answer["id"] == 1 {
                return match answer["error"].as_str() {
                    Some(error) => Err(io::Error::other(error.to_owned())),
                    None => Ok(answer),
                };
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    };
    timeout(ANSWER_TIMEOUT, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The number of the process that listens at this socket.
pub(super) async fn owner(socket: &Path) -> Option<i32> {
    let stream = timeout(ANSWER_TIMEOUT, UnixStream::connect(socket)).await.ok()?.ok()?;
    stream.peer_cred().ok()?.pid()
}
