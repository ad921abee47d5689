//! `roombot serve` as a process, with a folder of its own, and a client of its API. Killed with its value.

use super::{deadline, moment, within};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The administrator's key of all services of the tests.
pub const KEY: &str = "rb_0123456789abcdef0123456789abcdef";

/// The states that are ends.
pub const ENDS: [&str; 5] = ["complete", "partial", "failed", "cancelled", "expired"];

/// A running service.
pub struct Service {
    folder: TempDir,
    around: Around,
    more: Vec<String>,
    child: Child,
    url: String,
    http: reqwest::Client,
}

/// How a service is started.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// What its command begins with.
    pub by: Vec<String>,
    /// More of its environment.
    pub variables: Vec<(String, String)>,
}

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

impl Service {
    /// One with an empty folder; `more`: further arguments.
    pub async fn start(more: &[&str]) -> Service {
        Service::start_around(Around::default(), more).await
    }

    /// The same, started in another way.
    pub async fn start_around(around: Around, more: &[&str]) -> Service {
        let folder = tempfile::tempdir().expect("a folder");
        let more: Vec<String> = more.iter().map(|&arg| arg.to_owned()).collect();
        let (child, url) = start(folder.path(), &around, &more).await;
        let http = client();
        Service { folder, around, more, child, url, http }
    }

    /// Sends the service a signal; not what it started.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
        rustix::process::kill_process(pid, signal).expect("it was running");
    }

    /// SIGKILL. What it started goes on.
    pub fn kill_only(&mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it has ended");
    }

    /// SIGTERM, and its end is waited for.
    pub async fn end(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        let ended = async {
            while self.child.try_wait().expect("a child").is_none() {
                moment().await;
            }
        };
        within(60, "the service ends", ended).await;
    }

    /// Another one in its place.
    pub async fn restart(&mut self) {
        (self.child, self.url) = start(self.folder.path(), &self.around, &self.more).await;
    }

    /// SIGKILL, and another one in its place.
    pub async fn kill_and_restart(&mut self) {
        self.kill_only();
        self.restart().await;
    }

    /// Its address: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }
    /// Its data folder.
    pub fn data(&self) -> &Path {
        self.folder.path()
    }
    /// The folder of a recording.
    pub fn recording(&self, id: &str) -> PathBuf {
        self.data().join("recordings").join(id)
    }

    /// A request with the administrator's key.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(KEY)
    }

    /// Sends a request and reads its answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, text: response.text().await.expect("a body") }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    /// Asks for a recording and returns its id.
    pub async fn record(&self, request: Value) -> String {
        let answer = self.post("/v1/recordings", request).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    /// Waits until a recording is in one of these states and returns it. Fails where it ends in another.
    pub async fn until(&self, id: &str, states: &[&str], seconds: u64) -> Value {
        let reached = async {
            loop {
                let recording = self.get(&format!("/v1/recordings/{id}")).await.json();
                let state = recording["state"].as_str().unwrap_or_default().to_owned();
                if states.contains(&state.as_str()) {
                    return recording;
                }
                assert!(!ENDS.contains(&state.as_str()), "waiting for {states:?}: {recording:#}\n{}", self.log(id));
                moment().await;
            }
        };
        within(seconds, &format!("the recording is {states:?}"), reached).await
    }

    pub async fn has_ended(&self, id: &str) -> bool {
        let recording = self.get(&format!("/v1/recordings/{id}")).await.json();
        ENDS.iter().any(|end| recording["state"] == *end)
    }

    /// What the processes of a recording said.
    pub fn log(&self, id: &str) -> String {
        std::fs::read_to_string(self.data().join("logs").join(format!("{id}.log"))).unwrap_or_default()
    }

    /// The processes of a recording that run now.
    pub fn processes(&self, id: &str) -> Vec<i32> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let names_it = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains(id) && line.contains(&self.data().display().to_string())
        };
        pids.filter(names_it).collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Recorders and bots outlive a service; not this one: their command lines name its folder.
        for pid in self.processes("") {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// A client without a key.
pub fn client() -> reqwest::Client {
    // rustls needs a default cryptography provider; installing it twice changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_secs(30)).build().expect("a client")
}

/// A command that begins with these words.
pub fn command_by(by: &[String], program: &Path) -> Command {
    let Some((first, rest)) = by.split_first() else { return Command::new(program) };
    let mut command = Command::new(first);
    command.args(rest).arg(program);
    command
}

/// Starts the program and reads its address.
async fn start(data: &Path, around: &Around, more: &[String]) -> (Child, String) {
    let mut command = command_by(&around.by, Path::new(env!("CARGO_BIN_EXE_roombot")));
    command.envs(around.variables.iter().cloned());
    command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(more);
    listening(command).await
}

/// Starts a service and reads its address.
pub async fn listening(mut command: Command) -> (Child, String) {
    command.env("ROOMBOT_ADMIN_KEY", KEY).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let stdout = child.stdout.take().expect("a pipe");
    let line = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        let _ = BufReader::new(stdout).read_line(&mut line);
        line
    });
    let line = within(20, "the service listens", line).await.expect("read");
    let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no address: {line:?}"));
    let url = told["url"].as_str().expect("an address").trim_end_matches('/').to_owned();
    (child, url)
}

/// The events in (a part of) a stream of them; a line that was cut off is none.
pub fn events_in(stream: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Waits until something holds.
pub async fn until_it_holds(what: &str, seconds: u64, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + deadline(seconds);
    while !holds() {
        assert!(Instant::now() < end, "not within {:?}: {what}", deadline(seconds));
        moment().await;
    }
}
