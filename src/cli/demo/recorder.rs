//! The recorder service of the demo: the real one on a free port of this machine, and its API as everybody uses it.

use crate::cli::ctl::service::Service as Client;
use crate::error::{Error, Result};
use crate::record::control::Report;
use crate::service::{Service, ServiceConfig, SignIn};
use serde_json::{Value, json};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The file of the administrator's key in the data folder.
const KEY_FILE: &str = "admin-key";

/// A service that runs in this process.
pub(super) struct DemoService {
    client: Client,
    data: PathBuf,
    key: String,
    sign_in: SignIn,
    end: oneshot::Sender<()>,
    serving: JoinHandle<Result<()>>,
}

impl DemoService {
    /// Starts it, with what an earlier demo has left in `data`.
    ///
    /// # Errors
    /// The user's: the folder cannot be used, or another service runs there.
    pub async fn start(data: &Path) -> Result<DemoService> {
        let key = key(data)?;
        let config = ServiceConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data: data.to_owned(),
            admin_key: Some(key.clone()),
            ..ServiceConfig::default()
        };
        // Whoever tries it on a full disk is to see something, too.
        let config = config.without_disk_marks();
        let service = Service::bind(config).await?;
        let sign_in = service.sign_in().ok_or_else(|| Error::internal("the service does not know its own key"))?;
        let client = Client::new(&format!("http://{}", service.local_addr()), Some(&key), None, true)?;
        let (end, ended) = oneshot::channel::<()>();
        let serving = tokio::spawn(service.run(async move { drop(ended.await) }));
        Ok(DemoService { client, data: data.to_owned(), key, sign_in, end, serving })
    }

    /// Its dashboard.
    pub fn url(&self) -> String {
        format!("{}/", self.client.url())
    }

    /// The administrator's key, and the file that has it.
    pub fn key(&self) -> (&str, PathBuf) {
        (&self.key, self.data.join(KEY_FILE))
    }

    /// An address that shows a recording to whoever opens it first.
    pub fn link(&self, id: &str) -> String {
        self.sign_in.link(&format!("/recordings/{id}"))
    }

    /// Has a room recorded for so long; returns the recording's id.
    pub async fn record(&self, room: &str, length: Duration, has_film: bool) -> Result<String> {
        // Only the time ends it.
        let stop = json!({
            "max_duration_s": length.as_secs().max(1), "nobody_joined_s": 0, "empty_s": 0, "silence_s": 0, "only_bots_s": 0,
        });
        let outputs = if has_film { json!({ "film": {} }) } else { json!({}) };
        let request = json!({ "room_url": room, "external_id": "demo", "auto_stop": stop, "outputs": outputs });
        let made = self.client.post("/v1/recordings", &request).await?;
        made["id"].as_str().map(str::to_owned).ok_or_else(|| Error::internal("a recording without an id"))
    }

    /// The recording as it is now.
    pub async fn recording(&self, id: &str) -> Result<Value> {
        self.client.get(&format!("/v1/recordings/{id}")).await
    }

    /// How its recorder stands, if that says.
    pub async fn live(&self, id: &str) -> Option<Report> {
        let status = self.client.get(&format!("/v1/recordings/{id}/live")).await.ok()?;
        serde_json::from_value(status).ok()
    }

    /// Ends the recording without its film.
    pub async fn cancel(&self, id: &str) -> Result<()> {
        self.client.post(&format!("/v1/recordings/{id}/cancel"), &json!({})).await.map(drop)
    }

    /// The folder of a recording.
    pub fn folder(&self, id: &str) -> PathBuf {
        self.data.join("recordings").join(id)
    }

    /// Ends the service.
    ///
    /// # Errors
    /// Its own.
    pub async fn end(self) -> Result<()> {
        let _ = self.end.send(());
        self.serving.await.unwrap_or_else(|e| Err(Error::internal("the recorder service failed").because(e)))
    }
}

/// The key of the administrator of this folder; made at the first start, readable by its owner only.
fn key(data: &Path) -> Result<String> {
    let path = data.join(KEY_FILE);
    let failed = |e: std::io::Error| {
        Error::user(format!("{}: cannot be used; choose another --data: {e}", path.display())).because(e)
    };
    match std::fs::read_to_string(&path) {
        Ok(key) => return Ok(key.trim().to_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(failed(e)),
    }
    std::fs::create_dir_all(data).map_err(failed)?;
    let key = crate::service::new_key();
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    writeln!(file, "{key}").map_err(failed)?;
    Ok(key)
}
