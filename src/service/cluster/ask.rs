//! Questions of an API node to a worker, and their answers: requests over NATS.

use super::bus::{Bus, BusError};
use super::timing::ASK_TIMEOUT;
use super::wire::{Answer, Ask, ask_subject};
use crate::recording::folder::{MANIFEST, TIMELINE};
use crate::service::jobs::{Folders, live_status};
use futures_util::StreamExt;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Bytes of a file that are given out, its end: a message has at most 1 MiB, and JSON makes texts longer.
const LONGEST: u64 = 400 << 10;

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

/// Answers what a worker is asked, until it is dropped.
pub async fn answer(bus: &Bus, worker: &str, folders: &Arc<Folders>, draining: &Arc<AtomicBool>) {
    loop {
        match bus.client.subscribe(ask_subject(worker)).await {
            Ok(mut asked) => {
                while let Some(message) = asked.next().await {
                    let Some(reply) = message.reply else { continue };
                    let (folders, draining, client) = (folders.clone(), draining.clone(), bus.client.clone());
                    tokio::spawn(async move {
                        let answer = match serde_json::from_slice(&message.payload) {
                            Ok(ask) => answer_one(&folders, &draining, ask).await,
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

async fn answer_one(folders: &Folders, draining: &AtomicBool, ask: Ask) -> Answer {
    match ask {
        Ask::Live { recording } => match live_status(folders, &recording).await {
            Ok(status) => Answer::Text(status.to_string()),
            Err(e) => Answer::Problem(format!("the recorder does not answer: {e}")),
        },
        Ask::Logs { recording } => end_of(folders.log(&recording)).await,
        Ask::Timeline { recording } => end_of(folders.recording(&recording).join(TIMELINE)).await,
        Ask::Manifest { recording } => end_of(folders.recording(&recording).join(MANIFEST)).await,
        Ask::Drain => {
            draining.store(true, Ordering::Relaxed);
            Answer::Text(String::new())
        }
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
