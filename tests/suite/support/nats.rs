//! NATS's own server with JetStream, on a port of its own, and a line to it that can be held up. Ends with its value.

use super::foreign::python;
use super::service::command_by;
use super::within;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A server that can be killed and started again with what it had.
pub struct Nats {
    program: PathBuf,
    folder: TempDir,
    /// What its command begins with.
    by: Vec<String>,
    pub address: SocketAddr,
    child: Option<Child>,
}

impl Nats {
    /// Finds the server, or installs it, and starts it.
    pub async fn start() -> Result<Nats, String> {
        Nats::start_at("127.0.0.1", Vec::new()).await
    }

    /// The same at another address, by a command that begins with these words.
    pub async fn start_at(address: &str, by: Vec<String>) -> Result<Nats, String> {
        let folder = tokio::task::spawn_blocking(|| python("nats")).await.expect("it ran")?;
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        let address = format!("{address}:{port}").parse().expect("an address");
        let program = folder.join("venv/bin/nats-server");
        let mut nats = Nats { program, folder: tempfile::tempdir().expect("a folder"), by, address, child: None };
        nats.restart().await;
        Ok(nats)
    }

    /// Starts it again.
    pub async fn restart(&mut self) {
        let mut command = command_by(&self.by, &self.program);
        command.args(["-a", &self.address.ip().to_string(), "-p", &self.address.port().to_string(), "-js", "-sd"]);
        command.arg(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("it starts"));
        let answers = async {
            while TcpStream::connect(self.address).await.is_err() {
                super::moment().await;
            }
        };
        within(20, "NATS listens", answers).await;
    }

    /// SIGKILL, and everything that it had is gone.
    pub fn lose(&mut self) {
        self.kill();
        self.folder = tempfile::tempdir().expect("a folder");
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A line that can be held: what is sent goes nowhere, and nothing is closed.
pub struct Line {
    pub address: SocketAddr,
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Line {
    /// Listens on a port of its own.
    pub async fn to(target: SocketAddr) -> Line {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (open, opened) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let opened = opened.clone();
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(target).await else { return };
                    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                    tokio::join!(carry(near_read, far_write, opened.clone()), carry(far_read, near_write, opened));
                });
            }
        });
        Line { address, open, task }
    }

    pub fn hold(&self) {
        self.open.send_replace(false);
    }
    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut open: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if open.wait_for(|open| *open).await.is_err() || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
