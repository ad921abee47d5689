//! The servers of other people's rooms and the pages for them (`tests/pages`), in a node of their own that ends with its value. What
//! they need comes from npm once, into the folder of this build; nothing that was installed by hand is used.

use super::needs::tools;
use serde::Deserialize;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin};

/// What is installed, and what it is run from.
const FILES: &[&str] =
    &["package.json", "package-lock.json", "server.js", "users.json", "uws/index.js", "uws/package.json"];

/// Their ports.
#[derive(Deserialize)]
struct Ports {
    deepstream: u16,
    pages: u16,
}

/// Running servers.
pub struct Others {
    ports: Ports,
    _child: Child,
    /// They end with their input.
    _input: ChildStdin,
}

impl Others {
    /// Starts them, where there are node, npm and a registry to install from. `--locked` among the
    /// arguments: deepstream wants a login, the user `bot` with the password `open sesame`.
    pub async fn start(arguments: &[&str]) -> Result<Others, String> {
        let folder = tokio::task::spawn_blocking(|| INSTALLED.get_or_init(install)).await.expect("it ran").as_ref()?;
        let mut child = tokio::process::Command::new("node")
            .arg(folder.join("server.js"))
            .args(arguments)
            .env("PAGES", pages())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node runs");
        let input = child.stdin.take().expect("a pipe");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let ports = async {
            while let Some(line) = lines.next_line().await.expect("UTF-8") {
                if let Ok(ports) = serde_json::from_str(&line) {
                    return ports;
                }
            }
            panic!("the servers have ended");
        };
        let ports = super::within(60, "the servers start", ports).await;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Others { ports, _child: child, _input: input })
    }

    /// A room of the guide for the bot. `rest` follows the application's name.
    pub fn guide(&self, app: &str, rest: &str) -> String {
        format!("deepstream+ws://127.0.0.1:{}/deepstream?app={app}{rest}", self.ports.deepstream)
    }

    /// A page of a room for two, with what follows its query.
    pub fn pair(&self, app: &str, rest: &str) -> String {
        format!("http://127.0.0.1:{}/pair.html?hub={}&app={app}{rest}", self.ports.pages, self.ports.deepstream)
    }

    /// A page of the mesh.
    pub fn mesh(&self) -> String {
        format!("http://127.0.0.1:{}/mesh.html?hub={}", self.ports.pages, self.ports.deepstream)
    }

    /// A group call for the bot.
    pub fn call(&self, room: &str) -> String {
        format!("socketio+http://127.0.0.1:{}/{room}", self.ports.pages)
    }

    /// A page of a group call, with what follows its query.
    pub fn caller(&self, room: &str, rest: &str) -> String {
        format!("http://127.0.0.1:{}/call.html?room={room}{rest}", self.ports.pages)
    }

    /// Where the two servers listen: deepstream, and socket.io with the pages.
    pub fn ports(&self) -> (u16, u16) {
        (self.ports.deepstream, self.ports.pages)
    }
}

fn pages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages")
}

/// Found out once: whoever comes first installs, and waits for a registry, for all.
static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// The folder with everything that node runs, or what is not there.
fn install() -> Result<PathBuf, String> {
    tools(&["node", "npm"])?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rooms-of-others");
    std::fs::create_dir_all(folder.join("uws")).expect("a folder");
    let lock = File::create(folder.join("lock")).expect("a file");
    lock.lock().expect("a lock");
    let changed = |name: &&&str| {
        let text = std::fs::read(pages().join(name)).expect("a file of ours");
        std::fs::read(folder.join(name)).ok() != Some(text)
    };
    let done = folder.join("done");
    let new: Vec<&&str> = FILES.iter().filter(changed).collect();
    if new.iter().any(|name| **name != "server.js" && **name != "users.json") {
        let _ = std::fs::remove_file(&done);
    }
    for name in new {
        std::fs::copy(pages().join(name), folder.join(name)).expect("copied");
    }
    if !done.exists() {
        installed_by_npm(&folder)?;
        File::create(&done).expect("a file");
    }
    Ok(folder)
}

/// Has npm install what the folder's lock file says; says so where no registry answers. Anything else that goes wrong is our fault.
pub(super) fn installed_by_npm(folder: &Path) -> Result<(), String> {
    let mut words = String::new();
    // A registry may be busy; it is asked again.
    for _ in 0..3 {
        let output = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"])
            .args(["--fetch-retries", "1", "--fetch-retry-mintimeout", "1000", "--fetch-timeout", "30000"])
            .current_dir(folder)
            .output()
            .expect("npm runs");
        if output.status.success() {
            return Ok(());
        }
        words = String::from_utf8_lossy(&output.stderr).into_owned();
        super::blocking_pause(Duration::from_secs(2), "a registry recovers");
    }
    let said = |code: &&&str| words.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == **code);
    match UNREACHABLE.iter().find(said) {
        Some(code) => Err(format!("npm reaches no registry ({code}), and {} stays empty", folder.display())),
        None => panic!("npm ci: {words}"),
    }
}

/// What npm says where no registry answers, or only a proxy that knows of none.
const UNREACHABLE: &[&str] = &[
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ENETUNREACH",
    "EHOSTUNREACH",
    "ETIMEDOUT",
    "ERR_SOCKET_TIMEOUT",
    "ENOTCACHED",
    "E502",
    "E503",
    "E504",
];
