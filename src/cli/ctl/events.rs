//! `roombot ctl events`: what happens, while it happens.

use super::service::{Service, encoded, unanswered};
use super::text::word;
use crate::cli::print::print_out;
use crate::error::Result;
use clap::Args;
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::Value;

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// The recording's id; all recordings if absent.
    #[arg(value_name = "RECORDING")]
    id: Option<String>,
    /// Only events after this position.
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    after: i64,
}

impl EventsArgs {
    pub async fn run(&self, service: &Service) -> Result<()> {
        let place = self
            .id
            .as_deref()
            .map_or_else(|| "/v1/events".to_owned(), |id| format!("/v1/recordings/{}/events", encoded(id)));
        follow(service, &format!("{place}?after={}", self.after)).await
    }
}

/// Prints events until the stream or the program ends.
async fn follow(service: &Service, path: &str) -> Result<()> {
    let mut bytes = service.answer(service.request(Method::GET, path)).await?.bytes_stream();
    let mut text = Vec::new();
    while let Some(chunk) = bytes.next().await {
        text.extend_from_slice(&chunk.map_err(unanswered)?);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let Some(data) = line.trim_end().strip_prefix("data: ") else { continue };
            let event: Value = serde_json::from_str(data).unwrap_or_default();
            if service.json {
                print_out!("{data}");
            } else {
                let (at, kind, of) = (word(&event["at"]), word(&event["type"]), word(&event["recording"]));
                print_out!("{at} {of} {kind} {}", event["data"]);
            }
        }
    }
    Ok(())
}
