//! Files played in Chromium, from an HTTP server that knows byte ranges as every web server does.

use super::browser::Browser;
use axum::Router;
use axum::extract::{Path as Name, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// How it went.
#[derive(Debug, Deserialize)]
pub struct Played {
    /// What the browser's MediaError says.
    pub error: Option<String>,
    pub ended: bool,
    /// Seconds.
    pub duration: f64,
    pub at: f64,
    /// Pictures decoded while it played.
    pub frames: u64,
    /// After the end, a jump to the middle worked.
    pub sought: bool,
}

/// Plays a file to its end at eight times its speed, then seeks to its middle.
const PLAY: &str = "(async () => {
    const video = document.querySelector('video');
    const happens = (event) => new Promise((done) => {
        video.addEventListener(event, () => done(true), { once: true });
        video.addEventListener('error', () => done(false), { once: true });
        setTimeout(() => done(false), 20_000);
    });
    video.muted = true;
    video.src = name;
    video.playbackRate = video.defaultPlaybackRate = 8;
    const over = happens('ended');
    video.play().catch(() => {});
    const ended = await over;
    const [at, frames] = [video.currentTime, video.getVideoPlaybackQuality().totalVideoFrames];
    const sought = happens('seeked');
    video.currentTime = video.duration / 2;
    const error = video.error && `${video.error.code}: ${video.error.message}`;
    return { error, ended, duration: video.duration || 0, at, frames, sought: ended && await sought };
})()";

/// Plays a media file.
pub async fn play(browser: &Browser, file: &Path) -> Played {
    let folder = file.parent().expect("a file in a folder").to_owned();
    let name = file.file_name().and_then(|name| name.to_str()).expect("a plain name");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let app = Router::new()
        .route("/", get(|| async { Html("<!doctype html><title>player</title><video></video>") }))
        .route("/{name}", get(serve))
        .with_state(folder);
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let page = browser.page(&format!("http://{address}/")).await;
    let played = page.eval(&PLAY.replace("src = name", &format!("src = '/{name}'"))).await;
    page.close().await;
    server.abort();
    played
}

async fn serve(State(folder): State<PathBuf>, Name(name): Name<String>, headers: HeaderMap) -> Response {
    let Ok(data) = std::fs::read(folder.join(&name)) else { return StatusCode::NOT_FOUND.into_response() };
    let kind = match name.rsplit_once('.') {
        Some((_, "mkv")) => "video/x-matroska",
        Some((_, "mp4")) => "video/mp4",
        _ => "video/webm",
    };
    let range =
        headers.get(header::RANGE).and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
    let Some((from, to)) = range else {
        return ([(header::CONTENT_TYPE, kind), (header::ACCEPT_RANGES, "bytes")], data).into_response();
    };
    let from = from.parse().unwrap_or(0).min(data.len());
    let to = to.parse().map_or(data.len(), |last: usize| (last + 1).min(data.len())).max(from);
    let range = format!("bytes {from}-{}/{}", to.saturating_sub(1), data.len());
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_RANGE, range.as_str())];
    (StatusCode::PARTIAL_CONTENT, headers, data[from..to].to_vec()).into_response()
}
