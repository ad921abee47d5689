//! Control sockets: programs of the same user send one JSON object a line and get one for each. A client never holds up what it controls.

use crate::error::{Error, Result};
use crate::record::control::MAX_LINE;
use serde_json::{Value, json};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Clients at once.
const MAX_CLIENTS: usize = 32;
/// A client that does not take a line for so long is cut off.
const SLOW: Duration = Duration::from_secs(5);
/// How often the status is sent.
const STATUS: Duration = Duration::from_secs(1);

/// What a control socket controls.
pub(super) trait Controlled: Send + Sync + 'static {
    /// Does what a line asks for.
    fn answer(&self, line: &[u8]) -> impl Future<Output = Reply> + Send;
    /// What those who subscribed are sent once a second.
    fn status(&self) -> Value;
}

/// What a client gets for its line.
pub(super) struct Reply {
    pub answer: Value,
    /// It is sent the status from now on.
    pub subscribes: bool,
}

/// A socket that listens; removed when it is dropped.
pub(super) struct ControlSocket {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl ControlSocket {
    /// Listens at `path`, which only this user may connect to. A socket that nobody listens to is replaced.
    ///
    /// # Errors
    /// The user's: something else is there, or the folder is not writable.
    pub async fn listen(path: &Path, session: Arc<impl Controlled>) -> Result<ControlSocket> {
        let failed = |e: io::Error| Error::user(format!("{}: cannot listen there: {e}", path.display())).because(e);
        if let Ok(found) = std::fs::symlink_metadata(path) {
            if !found.file_type().is_socket() {
                return Err(Error::user(format!("{}: is no socket", path.display())));
            }
            if UnixStream::connect(path).await.is_ok() {
                return Err(Error::user(format!("{}: another process listens there", path.display())));
            }
            std::fs::remove_file(path).map_err(failed)?;
        }
        let listener = listen_privately(path).map_err(failed)?;
        let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
        let task = tokio::spawn(async move {
            loop {
                let Ok(place) = clients.clone().acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let session = session.clone();
                        tokio::spawn(async move {
                            serve(stream, session.as_ref()).await;
                            drop(place);
                        });
                    }
                    // Too many open files, say.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
        Ok(ControlSocket { path: path.to_owned(), task })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Nobody else can connect at any moment: the socket gets its name when its mode is set.
fn listen_privately(path: &Path) -> io::Result<UnixListener> {
    let mut hidden = path.as_os_str().to_owned();
    hidden.push(".new");
    let _ = std::fs::remove_file(&hidden);
    let listener = UnixListener::bind(&hidden)?;
    let named = std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| std::fs::rename(&hidden, path));
    if named.is_err() {
        let _ = std::fs::remove_file(&hidden);
    }
    named.map(|()| listener)
}

/// Serves one client until it goes, or is too slow.
async fn serve(stream: UnixStream, session: &impl Controlled) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut tick = interval(STATUS);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut is_subscribed, mut line) = (false, Vec::new());
    loop {
        let limit = (MAX_LINE + 1).saturating_sub(line.len()) as u64;
        let mut limited = (&mut reader).take(limit);
        tokio::select! {
            // Cancel safe: what was read is in `line`.
            read = limited.read_until(b'\n', &mut line) => {
                if read.is_err() || !line.ends_with(b"\n") && line.len() <= MAX_LINE {
                    return;
                }
                if line.len() > MAX_LINE {
                    let why = format!("a line has at most {MAX_LINE} bytes");
                    let _ = send(&mut writer, &json!({ "id": null, "error": why })).await;
                    return;
                }
                let Reply { answer, subscribes } = session.answer(&line).await;
                is_subscribed |= subscribes;
                line.clear();
                if send(&mut writer, &answer).await.is_err() {
                    return;
                }
            }
            _ = tick.tick(), if is_subscribed => {
                if send(&mut writer, &json!({ "status": session.status() })).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn send(writer: &mut OwnedWriteHalf, line: &Value) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    timeout(SLOW, writer.write_all(&text)).await?
}
