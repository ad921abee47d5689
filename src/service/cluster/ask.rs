//! Questions of an API node to a worker, and their answers: requests over NATS.

use super::bus::{Bus, BusError};
use super::tidy::forget;
use super::timing::ASK_TIMEOUT;
use super::wire::{Answer, Ask, Piece, RemotePicture, ask_subject};
use crate::recording::folder::{MANIFEST, TIMELINE};
use crate::service::jobs::{JobContext, live_status, upload_again};
use crate::viewer::{Document, Media, Pictures};
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderName, StatusCode, header};
use futures_util::StreamExt;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Bytes of a file that are given out, its end: a message has at most 1 MiB, and JSON makes texts longer.
const LONGEST: u64 = 400 << 10;
/// Bytes of media in an answer; as a text they are a third more.
const LARGEST_PIECE: u64 = 512 << 10;

/// Asks a worker.
///
/// # Errors
/// It does not answer.
pub async fn ask(bus: &Bus, worker: &str, ask: &Ask) -> Result<Answer, BusError> {
    let body = serde_json::to_vec(ask).map_err(BusError::of)?;
    let asked = bus.client.request(ask_subject(worker), body.into());
    let message = timeout(ASK_TIMEOUT, asked).await.map_err(|_| BusError("no answer".into()))?;
    let message = message.map_err(BusError::of)?;
    serde_json::from_slice(&message.payload).map_err(BusError::of)
}

/// What a worker answers from. Its clones share it.
#[derive(Clone)]
pub struct Answers {
    pub context: JobContext,
    /// The worker takes nothing new.
    pub draining: Arc<AtomicBool>,
    pub media: Media,
    pub pictures: Pictures,
}

impl Answers {
    /// Answers what the worker is asked, until it is dropped.
    pub async fn answer(self, bus: &Bus, worker: &str) {
        loop {
            match bus.client.subscribe(ask_subject(worker)).await {
                Ok(mut asked) => {
                    while let Some(message) = asked.next().await {
                        let Some(reply) = message.reply else { continue };
                        let (answers, client) = (self.clone(), bus.client.clone());
                        tokio::spawn(async move {
                            let answer = match serde_json::from_slice(&message.payload) {
                                Ok(ask) => answers.one(ask).await,
                                Err(e) => Answer::Problem(format!("not understood: {e}")),
                            };
                            let body = serde_json::to_vec(&answer).unwrap_or_default();
                            let _ = client.publish(reply, body.into()).await;
                        });
                    }
                }
                Err(e) => tracing::warn!("questions cannot be heard: {e}"),
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn one(&self, ask: Ask) -> Answer {
        let folders = &self.context.folders;
        match ask {
            Ask::Live { recording } => match live_status(folders, &recording).await {
                Ok(status) => Answer::Text(status.to_string()),
                Err(e) => Answer::Problem(format!("the recorder does not answer: {e}")),
            },
            Ask::Logs { recording } => end_of(folders.log(&recording)).await,
            Ask::Timeline { recording } => end_of(folders.recording(&recording).join(TIMELINE)).await,
            Ask::Manifest { recording } => end_of(folders.recording(&recording).join(MANIFEST)).await,
            Ask::Document { recording } => document(folders.recording(&recording)).await,
            Ask::Picture { recording } => self.picture(folders.recording(&recording)).await,
            Ask::Media { recording, path, query, first, last } => {
                let last = last.min(first.saturating_add(LARGEST_PIECE - 1));
                self.media(&folders.recording(&recording), &path, &query, (first, last)).await
            }
            Ask::Upload { recording } => done(upload_again(&self.context, &recording).await),
            Ask::Forget { recording } => done(forget(&self.context, &recording).await),
            Ask::Drain => {
                self.draining.store(true, Ordering::Relaxed);
                Answer::Text(String::new())
            }
        }
    }

    async fn picture(&self, folder: PathBuf) -> Answer {
        let pictures = self.pictures.clone();
        let found = tokio::task::spawn_blocking(move || pictures.last(&folder)).await.ok().flatten();
        let Some(picture) = found.filter(|picture| picture.body.len() as u64 <= LARGEST_PIECE) else {
            return Answer::Missing;
        };
        Answer::Picture(RemotePicture {
            participant: picture.participant,
            source: picture.source,
            at: picture.at,
            tag: picture.tag,
            content_type: picture.content_type.to_owned(),
            data: picture.body.to_vec(),
        })
    }

    async fn media(&self, folder: &Path, path: &str, query: &str, (first, last): (u64, u64)) -> Answer {
        let request =
            Request::builder().uri(format!("/?{query}")).header(header::RANGE, format!("bytes={first}-{last}"));
        let Ok(request) = request.body(Body::empty()) else { return Answer::Missing };
        let Some(response) = self.media.serve(folder, path, request).await else { return Answer::Missing };
        let (parts, body) = response.into_parts();
        let text = |name: &HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let total = text(&header::CONTENT_RANGE).and_then(|range| range.rsplit_once('/')?.1.parse().ok());
        let kept = [header::CONTENT_TYPE, header::CONTENT_DISPOSITION];
        let headers = kept.iter().filter_map(|name| Some((name.to_string(), text(name)?.to_owned()))).collect();
        let data = match parts.status {
            StatusCode::PARTIAL_CONTENT => axum::body::to_bytes(body, LARGEST_PIECE as usize).await.ok(),
            // It begins behind the end.
            StatusCode::RANGE_NOT_SATISFIABLE => Some(Bytes::new()),
            _ => None,
        };
        match total.zip(data) {
            Some((total, data)) => Answer::Piece(Piece { total, headers, data: data.to_vec() }),
            None => Answer::Problem(format!("the file cannot be read: {}", parts.status)),
        }
    }
}

fn done(result: Result<(), String>) -> Answer {
    match result {
        Ok(()) => Answer::Text(String::new()),
        Err(problem) => Answer::Problem(problem),
    }
}

/// What a player shows; a problem where a message cannot take it.
async fn document(folder: PathBuf) -> Answer {
    let loaded = tokio::task::spawn_blocking(move || Document::load(&folder)).await;
    let text = loaded.ok().and_then(Result::ok).and_then(|document| serde_json::to_string(&document).ok());
    match text {
        Some(text) if text.len() as u64 <= LARGEST_PIECE => Answer::Text(text),
        Some(_) => Answer::Problem("it is too long".to_owned()),
        None => Answer::Missing,
    }
}

/// The end of a file as text.
async fn end_of(path: PathBuf) -> Answer {
    let read = move || -> std::io::Result<String> {
        let mut file = std::fs::File::open(path)?;
        let from = file.metadata()?.len().saturating_sub(LONGEST);
        file.seek(SeekFrom::Start(from))?;
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let first = if from == 0 { Some(0) } else { text.find('\n').map(|at| at + 1) };
        Ok(first.map_or_else(String::new, |first| text[first..].to_owned()))
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(text)) => Answer::Text(text),
        Ok(Err(e)) => Answer::Problem(e.to_string()),
        Err(e) => Answer::Problem(e.to_string()),
    }
}
