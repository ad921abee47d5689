//! `roombot ctl start`, `ls`, `stop` and the other verbs of recordings.

use super::body::Body;
use super::service::{Service, encoded, is_final};
use super::text::{print_table, word};
use crate::cli::print::{print_err, print_out};
use crate::error::{Error, Result};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// How often a recording that is waited for is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What is recorded, and how.
#[derive(Debug, Args)]
pub(super) struct RequestArgs {
    /// The room, as in `roombot record`.
    #[arg(value_name = "ROOM_URL")]
    pub room: String,
    /// The room's join token.
    #[arg(long, env = "ROOMBOT_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The recorder's name in the room.
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Make a film: auto, grid, speaker, presentation or single.
    #[arg(long, value_name = "LAYOUT", num_args = 0..=1, default_missing_value = "auto")]
    film: Option<String>,
    /// The whole request as JSON, or @FILE; flags go before it.
    #[arg(long, value_name = "JSON")]
    request: Option<String>,
}

impl RequestArgs {
    /// The request.
    pub fn body(&self) -> Result<Value> {
        let mut body = Body::given(self.request.as_deref())?;
        body.set("room_url", Some(self.room.clone()))?;
        body.set("token", self.token.clone())?;
        body.set("bot_name", self.name.clone())?;
        body.set("outputs.film.layout", self.film.clone())?;
        Ok(body.value())
    }
}

#[derive(Debug, Args)]
pub(super) struct StartArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// The same key and request give the same recording for 24 hours.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait until it has ended.
    #[arg(long)]
    wait: bool,
}

impl StartArgs {
    pub async fn run(&self, service: &Service) -> Result<()> {
        let key = self.idempotency_key.as_deref();
        let recording = service.make("/v1/recordings", &self.request.body()?, key).await?;
        ended_or_shown(service, recording, self.wait).await
    }
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only in these states, separated by commas.
    #[arg(long, value_name = "STATES")]
    state: Option<String>,
    /// Only of this room.
    #[arg(long, value_name = "NAME")]
    room: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
}

impl ListArgs {
    pub async fn run(&self, service: &Service) -> Result<()> {
        let only = [("state", self.state.as_ref()), ("room", self.room.as_ref())];
        let page = service.list("/v1/recordings", self.limit, &only).await?;
        service.print(&page, |page| {
            print_table(["ID", "STATE", "ROOM", "CREATED", "WHY"], &page["recordings"], |recording| {
                ["id", "state", "room", "created_at", "sub_code"].map(|key| word(&recording[key]))
            });
        });
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// The recording's id.
    #[arg(value_name = "RECORDING")]
    id: String,
}

impl OneArgs {
    pub async fn show(&self, service: &Service) -> Result<()> {
        let recording = service.get(&path(&self.id, "")).await?;
        ended_or_shown(service, recording, false).await
    }

    /// `pause` or `resume`.
    pub async fn act(&self, service: &Service, action: &str) -> Result<()> {
        let recording = service.post(&path(&self.id, action), &json!({})).await?;
        ended_or_shown(service, recording, false).await
    }

    pub async fn logs(&self, service: &Service) -> Result<()> {
        let text = service.text(service.request(Method::GET, &path(&self.id, "/logs"))).await?;
        print_out!("{}", text.trim_end());
        Ok(())
    }

    pub async fn delete(&self, service: &Service) -> Result<()> {
        service.delete(&path(&self.id, "")).await?;
        print_err!("Deleted {}.", self.id);
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct EndArgs {
    /// The recording's id.
    #[arg(value_name = "RECORDING")]
    id: String,
    /// Wait until it has ended.
    #[arg(long)]
    wait: bool,
}

impl EndArgs {
    /// `stop` or `cancel`.
    pub async fn act(&self, service: &Service, action: &str) -> Result<()> {
        let recording = service.post(&path(&self.id, action), &json!({})).await?;
        ended_or_shown(service, recording, self.wait).await
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot ctl purge rec_01jdzq4h8v0t3k5m7n9p1r3s5t alice
  roombot ctl events rec_01jdzq4h8v0t3k5m7n9p1r3s5t     # recording.participant_purged: it is done

Tracks, files, texts and stills of theirs go, here and in the stores, and all films, which show them. This cannot be undone.")]
pub(super) struct PurgeArgs {
    /// The recording's id.
    #[arg(value_name = "RECORDING")]
    id: String,
    /// The participant's `key` in the recording's manifest.
    #[arg(value_name = "PARTICIPANT")]
    participant: String,
}

impl PurgeArgs {
    pub async fn run(&self, service: &Service) -> Result<()> {
        let place = path(&self.id, &format!("/participants/{}/purge", encoded(&self.participant)));
        let recording = service.post(&place, &json!({})).await?;
        service.print(&recording, |_| {
            let (who, id) = (self.participant.escape_debug(), &self.id);
            print_err!("Removing {who} from {id}; `roombot ctl events {id}` tells when it is done.");
        });
        Ok(())
    }
}

fn path(id: &str, rest: &str) -> String {
    format!("/v1/recordings/{}{rest}", encoded(id))
}

/// Prints a recording; with `wait` when it has ended, and then fails where it did.
async fn ended_or_shown(service: &Service, mut recording: Value, wait: bool) -> Result<()> {
    let id = recording["id"].as_str().unwrap_or_default().to_owned();
    if wait && !service.json {
        print_err!("{id} is {}; waiting for its end", word(&recording["state"]));
    }
    while wait && !is_final(&recording) {
        tokio::time::sleep(LOOK).await;
        recording = service.get(&path(&id, "")).await?;
    }
    service.print(&recording, show);
    let reason = || format!("the recording is {}: {}", word(&recording["state"]), word(&recording["reason"]));
    match recording["state"].as_str() {
        Some("failed") if wait => Err(Error::failed(reason())),
        Some("partial") if wait => Err(Error::partial(reason())),
        _ => Ok(()),
    }
}

fn show(recording: &Value) {
    print_out!("{} {} {}", word(&recording["id"]), word(&recording["state"]), word(&recording["room"]));
    let reason = word(&recording["reason"]);
    if !reason.is_empty() {
        print_out!("  {} ({reason})", word(&recording["sub_code"]));
    }
    for change in recording["states"].as_array().into_iter().flatten() {
        print_out!("  {} {}", word(&change["at"]), word(&change["state"]));
    }
    let outcome = &recording["outcome"];
    for loss in outcome["losses"].as_array().into_iter().flatten() {
        print_out!("  lost: {}", word(loss));
    }
    for media in outcome["media"].as_array().into_iter().flatten() {
        print_out!("  {:>12} {}", word(&media["bytes"]), word(&media["path"]));
    }
}
