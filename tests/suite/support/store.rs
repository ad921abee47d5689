//! Amazon's S3 as `moto` has it, on a port of its own, and a line to it that can be held. Ends with its value.

use super::foreign::python;
use super::service::{client, command_by};
use super::{moment, within};
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The bucket of the tests.
pub const BUCKET: &str = "meetings";

/// A port for an S3 that may not run yet.
pub struct Store {
    folder: std::path::PathBuf,
    /// What its command begins with.
    by: Vec<String>,
    address: SocketAddr,
    child: Option<Child>,
}

/// What a request with a key begins with.
const KEY: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request";

impl Store {
    /// Finds moto, or installs it. Nothing runs yet.
    pub async fn prepare() -> Result<Store, String> {
        Store::prepare_at("127.0.0.1", Vec::new()).await
    }

    /// The same at another address, by a command that begins with these words.
    pub async fn prepare_at(address: &str, by: Vec<String>) -> Result<Store, String> {
        let folder = tokio::task::spawn_blocking(|| python("moto")).await.expect("it ran")?;
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its address").port();
        let address = format!("{address}:{port}").parse().expect("an address");
        Ok(Store { folder, by, address, child: None })
    }

    /// Starts it with an empty bucket.
    pub async fn start(&mut self) {
        let mut command = command_by(&self.by, &self.folder.join("venv/bin/python"));
        let (host, port) = (self.address.ip().to_string(), self.address.port().to_string());
        command.args(["-m", "moto.server", "-H", &host, "-p", &port]);
        command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("it starts"));
        let http = client();
        let made = async {
            loop {
                let bucket = http.put(self.url(&format!("/{BUCKET}"))).send().await;
                if bucket.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                    return;
                }
                moment().await;
            }
        };
        within(60, "moto makes a bucket", made).await;
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The keys of all objects.
    pub async fn keys(&self) -> Vec<String> {
        let list = client().get(self.url(&format!("/{BUCKET}?list-type=2"))).send().await.expect("an answer");
        let text = list.text().await.expect("a list");
        text.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned())).collect()
    }

    /// All objects below a prefix but for those that are only on their way, by the rest of their keys.
    pub async fn below(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        let list = client().get(self.url(&format!("/{BUCKET}?list-type=2&prefix={prefix}"))).send().await;
        let text = list.expect("an answer").text().await.expect("a list");
        assert!(text.contains("<IsTruncated>false"), "more than one list: {text}");
        let keys = text.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0));
        let mut found = BTreeMap::new();
        for key in keys {
            let path = key.strip_prefix(prefix).expect("it is below");
            if !path.starts_with("live/") {
                found.insert(path.to_owned(), self.get(key).await.bytes().await.expect("a body").to_vec());
            }
        }
        found
    }

    /// Sends its process a signal.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it was started");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, signal).expect("it was running");
    }

    /// An object's text.
    pub async fn text(&self, key: &str) -> String {
        self.get(key).await.text().await.expect("text")
    }

    /// An object's bytes and its SHA-256 as its metadata has it.
    pub async fn object(&self, key: &str) -> (Vec<u8>, String) {
        let answer = self.get(key).await;
        let sha256 = answer.headers()["x-amz-meta-sha256"].to_str().expect("text").to_owned();
        (answer.bytes().await.expect("a body").to_vec(), sha256)
    }

    async fn get(&self, key: &str) -> reqwest::Response {
        let mut url = reqwest::Url::parse(&self.url("/")).expect("an address");
        url.path_segments_mut().expect("a path").pop().push(BUCKET).extend(key.split('/'));
        // It gives out what is private to whoever names a key, and does not check the signature.
        let answer = client().get(url).header("authorization", KEY).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{key}");
        answer
    }

    /// Puts an object there.
    pub async fn put(&self, key: &str, body: &'static str) {
        let put = client().put(self.url(&format!("/{BUCKET}/{key}"))).body(body).send().await.expect("an answer");
        assert_eq!(put.status(), StatusCode::OK);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Writes a configuration with a store at `address`, and `more` before it. Nothing is sent before the end unless that says so.
pub fn configuration(folder: &Path, address: SocketAddr, more: &str) -> String {
    let file = folder.join("roombot.toml");
    let never = if more.contains("upload_every") { "" } else { "upload_every = \"never\"\n" };
    let text = format!(
        "{never}{more}\n[store]\nurl = \"s3://{BUCKET}/2026\"\n[store.options]\nendpoint = \"http://{address}\"\n\
         region = \"us-east-1\"\naccess_key_id = \"test\"\nsecret_access_key = \"test\"\n"
    );
    std::fs::write(&file, text).expect("written");
    file.display().to_string()
}

/// A line to a store that carries so many bytes there and then holds everything until it is opened.
pub struct Valve {
    pub address: SocketAddr,
    left: Arc<AtomicU64>,
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Valve {
    /// Listens on a port of its own.
    pub async fn start(target: SocketAddr, bytes: u64) -> Valve {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let left = Arc::new(AtomicU64::new(bytes));
        let (open, opened) = watch::channel(false);
        let count = left.clone();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, target, count.clone(), opened.clone()));
            }
        });
        Valve { address, left, open, task }
    }

    /// Waits until it holds.
    pub async fn holds(&self) {
        let held = async {
            while self.left.load(Ordering::SeqCst) > 0 {
                moment().await;
            }
        };
        within(60, "the line holds", held).await;
    }

    /// Carries everything from now on.
    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Valve {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(near: TcpStream, target: SocketAddr, left: Arc<AtomicU64>, mut open: watch::Receiver<bool>) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    let ((mut near_read, mut near_write), (mut far_read, mut far_write)) = (near.into_split(), far.into_split());
    let back = tokio::spawn(async move { tokio::io::copy(&mut far_read, &mut near_write).await });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = near_read.read(&mut buffer).await {
        let take = |left: u64| Some(left.saturating_sub(read as u64));
        let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).unwrap_or(0);
        if before <= read as u64 && open.wait_for(|open| *open).await.is_err() {
            break;
        }
        if far_write.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    drop(far_write);
    let _ = back.await;
}

/// The `storage` of a recording.
pub fn storage(recording: &Value) -> Value {
    recording.get("storage").cloned().unwrap_or_else(|| json!({}))
}
