//! Recordings over HTTP, for the player's page: its data as JSON, media with ranges. Never changes a recording and decodes nothing.
//!
//! The page takes everything from addresses relative to its own ([`docs/view.md`](../docs/view.md)), so any server can offer it: [`Document`]
//! is the data, [`Media`] the files. [`Viewer`] is such a server, for one folder on this machine.

mod document;
mod listing;
mod media;
mod picture;
mod silence;

pub use document::{Document, LARGEST_INDEX, Listed, SLIDES};
pub use listing::{Listing, Listings};
pub use media::{Media, in_pieces, is_for_player, protected};
pub use picture::{Picture, Pictures};

use crate::error::{Error, Result};
use crate::pages::{self, Page};
use crate::recording::folder::MANIFEST;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How long answers that are being given may take when the server ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// A server of recordings that has its port and does not serve yet.
pub struct Viewer {
    listener: TcpListener,
    address: SocketAddr,
    folder: PathBuf,
    /// The name of the only recording; `None`: all that are in the folder.
    only: Option<String>,
}

struct Shared {
    folder: PathBuf,
    only: Option<String>,
    listings: Listings,
    media: Media,
    address: SocketAddr,
}

impl Viewer {
    /// Takes the port. `folder` is a recording, or a folder with recordings.
    ///
    /// # Errors
    /// The user's: there is no such folder, or the address cannot be used.
    pub async fn bind(listen: SocketAddr, folder: PathBuf) -> Result<Viewer> {
        let unusable =
            |e: std::io::Error| Error::user(format!("{}: cannot be opened: {e}", folder.display())).because(e);
        let real = tokio::fs::canonicalize(&folder).await.map_err(unusable)?;
        if !tokio::fs::metadata(&real).await.map_err(unusable)?.is_dir() {
            return Err(Error::user(format!("{}: is not a folder", folder.display())));
        }
        let is_recording = tokio::fs::metadata(real.join(MANIFEST)).await.is_ok();
        let (folder, only) = match (real.parent(), real.file_name().and_then(|name| name.to_str())) {
            (Some(parent), Some(name)) if is_recording => (parent.to_owned(), Some(name.to_owned())),
            _ if is_recording => {
                return Err(Error::user(format!("{}: its name cannot be an address; rename it", folder.display())));
            }
            _ => (real, None),
        };
        let failed = |e: std::io::Error| {
            Error::user(format!("cannot listen on {listen}: {e}; choose another --listen")).because(e)
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Viewer { listener, address, folder, only })
    }

    /// The server's address; with the real port where 0 was requested.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The page to begin with, as a path.
    pub fn path(&self) -> String {
        self.only.as_deref().map_or_else(|| "/".to_owned(), recording_path)
    }

    /// Serves until `shutdown` is done.
    ///
    /// # Errors
    /// The machine's, when the listening socket fails.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let shared = Arc::new(Shared {
            listings: Listings::new(self.folder.clone()),
            folder: self.folder,
            only: self.only,
            media: Media::default(),
            address: self.address,
        });
        let app = Router::new()
            .route("/", get(start))
            .route("/recordings.json", get(list))
            .route("/recordings/{name}", get(async |Path(name): Path<String>| Redirect::to(&recording_path(&name))))
            .route("/recordings/{name}/", get(player))
            .route("/recordings/{name}/view.json", get(document))
            .route("/recordings/{name}/media/{*path}", get(file))
            .route("/app/{file}", get(page_file))
            .fallback(async || Page::NoRecording.response())
            .layer(middleware::from_fn_with_state(shared.clone(), only_by_address))
            .with_state(shared);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = axum::serve(self.listener, app).with_graceful_shutdown(async move { drop(stopped.await) });
        let mut serving = tokio::spawn(serving.into_future());
        let ended = tokio::select! {
            ended = &mut serving => ended,
            () = shutdown => {
                let _ = stop.send(());
                // A browser that plays keeps its connections.
                if tokio::time::timeout(DRAIN_TIMEOUT, &mut serving).await.is_err() {
                    serving.abort();
                }
                return Ok(());
            }
        };
        match ended {
            Ok(served) => served.map_err(|e| Error::machine("the viewer lost its listening socket").because(e)),
            Err(e) => Err(Error::internal("the viewer's task failed").because(e)),
        }
    }
}

/// What is encoded in addresses: all but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The address of a recording's page.
fn recording_path(name: &str) -> String {
    format!("/recordings/{}/", utf8_percent_encode(name, RESERVED))
}

impl Shared {
    /// The folder of a recording, if this server shows it.
    async fn recording(&self, name: &str) -> Option<PathBuf> {
        let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
        let is_shown = self.only.as_deref().is_none_or(|only| only == name);
        // What the user named may be hidden, what is only found there may not.
        if !is_shown || !(is_plain || self.only.is_some()) {
            return None;
        }
        let path = self.folder.join(name);
        let is_folder = tokio::fs::symlink_metadata(&path).await.is_ok_and(|found| found.is_dir());
        let is_recording = is_folder && tokio::fs::metadata(path.join(MANIFEST)).await.is_ok();
        is_recording.then_some(path)
    }
}

/// Refuses requests by a name that leads to this machine though its owner never gave it one: a page of another site would read recordings
/// with it (DNS rebinding). Who listens for other machines has let them in.
async fn only_by_address(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let name = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
    let is_ours = |name: &str| {
        let name = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    if shared.address.ip().is_loopback() && !name.is_some_and(is_ours) {
        return protected((StatusCode::MISDIRECTED_REQUEST, "this is not the address of this server").into_response());
    }
    next.run(request).await
}

async fn start(State(shared): State<Arc<Shared>>) -> Response {
    match &shared.only {
        Some(name) => Redirect::to(&recording_path(name)).into_response(),
        None => Page::Recordings.response(),
    }
}

async fn list(State(shared): State<Arc<Shared>>) -> Response {
    if shared.only.is_some() {
        return missing();
    }
    let listed = tokio::task::spawn_blocking(move || shared.listings.list()).await;
    protected(axum::Json(listed.unwrap_or_default()).into_response())
}

async fn player(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    match shared.recording(&name).await {
        Some(_) => Page::Player.response(),
        None => Page::NoRecording.response(),
    }
}

async fn document(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    let Some(folder) = shared.recording(&name).await else { return missing() };
    let has_list = shared.only.is_none();
    match tokio::task::spawn_blocking(move || Document::load(&folder)).await {
        Ok(Ok(mut document)) => {
            document.list = has_list.then(|| "../../".to_owned());
            protected(axum::Json(document).into_response())
        }
        Ok(Err(error)) => {
            let said = serde_json::json!({ "detail": error.to_string() });
            protected((StatusCode::UNPROCESSABLE_ENTITY, axum::Json(said)).into_response())
        }
        Err(_) => protected(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
    }
}

async fn file(
    State(shared): State<Arc<Shared>>,
    Path((name, path)): Path<(String, String)>,
    request: Request,
) -> Response {
    let Some(folder) = shared.recording(&name).await else { return missing() };
    shared.media.serve(&folder, &path, request).await.unwrap_or_else(missing)
}

async fn page_file(Path(name): Path<String>) -> Response {
    pages::file(&name).unwrap_or_else(missing)
}

fn missing() -> Response {
    protected((StatusCode::NOT_FOUND, "there is no such file").into_response())
}
