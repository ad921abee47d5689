//! `roombot ctl`: the API of a recorder service from a shell.

mod workers;

use super::print::{print_err, print_out};
use crate::error::{Error, Result};
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use futures_util::StreamExt;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// How often a recording that is waited for is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long the service may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Control a recorder service: start, list, watch and stop recordings.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  export ROOMBOT_KEY=rb_…                              # `roombot serve` prints a first one
  roombot ctl start ws://127.0.0.1:8080/rooms/standup --film grid
  roombot ctl ls --state recording
  roombot ctl stop rec_01jdzq4h8v0t3k5m7n9p1r3s5t --wait
  roombot ctl events                                   # what happens, until Ctrl-C

--json prints the service's own answers.")]
pub struct CtlArgs {
    /// The service's address.
    #[arg(long, global = true, env = "ROOMBOT_URL", default_value = "http://127.0.0.1:9000", value_name = "URL")]
    url: String,
    /// The API key.
    #[arg(long, global = true, env = "ROOMBOT_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
    /// Read the API key from a file.
    #[arg(long, global = true, conflicts_with = "key", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record a room.
    Start(StartArgs),
    /// List recordings, the newest first.
    Ls(ListArgs),
    /// Show a recording.
    Show(OneArgs),
    /// Stop a recording; its outputs are made.
    Stop(EndArgs),
    /// Cancel a recording; no output is made.
    Cancel(EndArgs),
    /// Pause a recording.
    Pause(OneArgs),
    /// Go on with a paused recording.
    Resume(OneArgs),
    /// Print what the processes of a recording said.
    Logs(OneArgs),
    /// Print events as they happen: of a recording, or of all.
    Events(EventsArgs),
    /// Delete a recording that has ended, with its media.
    Rm(OneArgs),
    /// List the workers of a service on many machines.
    Workers,
    /// Have a worker take nothing new; what it records goes on.
    Drain {
        /// The worker's name.
        #[arg(value_name = "WORKER")]
        id: String,
    },
}

#[derive(Debug, Args)]
struct StartArgs {
    /// The room, as in `roombot record`.
    #[arg(value_name = "ROOM_URL")]
    room: String,
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
    /// The same key and request give the same recording for 24 hours.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait until it has ended.
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Args)]
struct ListArgs {
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

#[derive(Debug, Args)]
struct OneArgs {
    /// The recording's id.
    #[arg(value_name = "RECORDING")]
    id: String,
}

#[derive(Debug, Args)]
struct EndArgs {
    /// The recording's id.
    #[arg(value_name = "RECORDING")]
    id: String,
    /// Wait until it has ended.
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Args)]
struct EventsArgs {
    /// The recording's id; all recordings if absent.
    #[arg(value_name = "RECORDING")]
    id: Option<String>,
    /// Only events after this position.
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    after: i64,
}

/// Sends one request and prints its answer.
///
/// # Errors
/// [`Error::User`]: the key or the request. [`Error::Room`]: the service does not answer. With `--wait` [`Error::Failed`] where the recording
/// failed, and [`Error::Partial`] where it lacks something.
pub async fn run(args: CtlArgs) -> Result<()> {
    let service = Service::new(&args)?;
    let path = |id: &str, rest: &str| format!("/v1/recordings/{}{rest}", encoded(id));
    match &args.command {
        Command::Start(start) => {
            let mut request = service.request(Method::POST, "/v1/recordings").json(&start.request()?);
            if let Some(key) = &start.idempotency_key {
                request = request.header("idempotency-key", key);
            }
            let recording = service.json(request).await?;
            service.ended_or_shown(recording, start.wait).await
        }
        Command::Ls(list) => {
            let mut query = vec![("limit", list.limit.to_string())];
            query.extend(list.state.clone().map(|state| ("state", state)));
            query.extend(list.room.clone().map(|room| ("room", room)));
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
            let page = service.json(service.request(Method::GET, &format!("/v1/recordings?{query}"))).await?;
            if args.json {
                print_out!("{page}");
            } else {
                print_out!("{}", table(page["recordings"].as_array().map_or(&[][..], Vec::as_slice)));
            }
            Ok(())
        }
        Command::Show(one) => {
            let recording = service.json(service.request(Method::GET, &path(&one.id, ""))).await?;
            service.ended_or_shown(recording, false).await
        }
        Command::Stop(end) => {
            let recording = service.json(service.request(Method::POST, &path(&end.id, "/stop"))).await?;
            service.ended_or_shown(recording, end.wait).await
        }
        Command::Cancel(end) => {
            let recording = service.json(service.request(Method::POST, &path(&end.id, "/cancel"))).await?;
            service.ended_or_shown(recording, end.wait).await
        }
        Command::Pause(one) => {
            let recording = service.json(service.request(Method::POST, &path(&one.id, "/pause"))).await?;
            service.ended_or_shown(recording, false).await
        }
        Command::Resume(one) => {
            let recording = service.json(service.request(Method::POST, &path(&one.id, "/resume"))).await?;
            service.ended_or_shown(recording, false).await
        }
        Command::Logs(one) => {
            let text = service.answer(service.request(Method::GET, &path(&one.id, "/logs"))).await?.text().await;
            print_out!("{}", text.map_err(unanswered)?.trim_end());
            Ok(())
        }
        Command::Events(events) => {
            let place = events.id.as_ref().map_or_else(|| "/v1/events".to_owned(), |id| path(id, "/events"));
            service.follow(&format!("{place}?after={}", events.after)).await
        }
        Command::Rm(one) => {
            service.answer(service.request(Method::DELETE, &path(&one.id, ""))).await?;
            print_err!("Deleted {}.", one.id);
            Ok(())
        }
        Command::Workers => service.workers().await,
        Command::Drain { id } => service.drain(id).await,
    }
}

/// An id as a part of an address.
fn encoded(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string().replace("%5F", "_")
}

impl StartArgs {
    /// The body of the request.
    fn request(&self) -> Result<Value> {
        let given = match self.request.as_deref().map(|text| text.strip_prefix('@').ok_or(text)) {
            None => json!({}),
            Some(Err(text)) => {
                serde_json::from_str(text).map_err(|e| Error::user(format!("--request is no JSON: {e}")).because(e))?
            }
            Some(Ok(file)) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|e| Error::user(format!("{file} cannot be read: {e}")).because(e))?;
                serde_json::from_str(&text).map_err(|e| Error::user(format!("{file} is no JSON: {e}")).because(e))?
            }
        };
        let Value::Object(mut request) = given else { return Err(Error::user("--request must be a JSON object")) };
        request.insert("room_url".into(), self.room.clone().into());
        if let Some(token) = &self.token {
            request.insert("token".into(), token.clone().into());
        }
        if let Some(name) = &self.name {
            request.insert("bot_name".into(), name.clone().into());
        }
        if let Some(layout) = &self.film {
            let outputs = request.entry("outputs").or_insert_with(|| json!({}));
            outputs["film"]["layout"] = layout.clone().into();
        }
        Ok(Value::Object(request))
    }
}

/// The service and how to talk to it.
struct Service {
    url: String,
    key: String,
    http: reqwest::Client,
    json: bool,
}

impl Service {
    fn new(args: &CtlArgs) -> Result<Service> {
        let read = |file: &PathBuf| {
            std::fs::read_to_string(file)
                .map_err(|e| Error::user(format!("{} cannot be read: {e}", file.display())).because(e))
        };
        let key = match (&args.key, &args.key_file) {
            (Some(key), _) => key.clone(),
            (None, Some(file)) => read(file)?.trim().to_owned(),
            (None, None) => {
                return Err(Error::user(
                    "no API key: set ROOMBOT_KEY; `roombot serve` prints a first one when it starts",
                ));
            }
        };
        // rustls needs a default cryptography provider; installing it twice changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(TIMEOUT)
            .build()
            .map_err(|e| Error::machine("cannot make HTTP requests").because(e))?;
        Ok(Service { url: args.url.trim_end_matches('/').to_owned(), key, http, json: args.json })
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    /// The answer, where it is a success; else the service's own words.
    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|e| {
            Error::room(format!("{} does not answer: is `roombot serve` running there?", self.url)).because(e)
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let problem: Value = serde_json::from_str(&response.text().await.unwrap_or_default()).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or(status.canonical_reason().unwrap_or("refused"));
        let field = problem["field"].as_str().map(|field| format!("{field}: ")).unwrap_or_default();
        let text = format!("{field}{}", detail.escape_debug());
        Err(if status.is_server_error() { Error::room(text) } else { Error::user(text) })
    }

    async fn json(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let text = self.answer(request.timeout(TIMEOUT)).await?.text().await.map_err(unanswered)?;
        serde_json::from_str(&text).map_err(|e| Error::room(format!("{} is no recorder service", self.url)).because(e))
    }

    /// Prints a recording; with `wait` when it has ended, and then fails where it did.
    async fn ended_or_shown(&self, mut recording: Value, wait: bool) -> Result<()> {
        let id = recording["id"].as_str().unwrap_or_default().to_owned();
        let is_final = |recording: &Value| {
            ["complete", "partial", "failed", "cancelled", "expired"].iter().any(|state| recording["state"] == *state)
        };
        if wait && !self.json {
            print_err!("{id} is {}; waiting for its end", word(&recording["state"]));
        }
        while wait && !is_final(&recording) {
            tokio::time::sleep(LOOK).await;
            recording = self.json(self.request(Method::GET, &format!("/v1/recordings/{}", encoded(&id)))).await?;
        }
        if self.json {
            print_out!("{recording}");
        } else {
            show(&recording);
        }
        let reason = || format!("the recording is {}: {}", word(&recording["state"]), word(&recording["reason"]));
        match recording["state"].as_str() {
            Some("failed") if wait => Err(Error::failed(reason())),
            Some("partial") if wait => Err(Error::partial(reason())),
            _ => Ok(()),
        }
    }

    /// Prints events until the stream or the program ends.
    async fn follow(&self, path: &str) -> Result<()> {
        let mut bytes = self.answer(self.request(Method::GET, path)).await?.bytes_stream();
        let mut text = Vec::new();
        while let Some(chunk) = bytes.next().await {
            text.extend_from_slice(&chunk.map_err(unanswered)?);
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                let Some(data) = line.trim_end().strip_prefix("data: ") else { continue };
                let event: Value = serde_json::from_str(data).unwrap_or_default();
                if self.json {
                    print_out!("{data}");
                } else {
                    let (at, kind, of) = (word(&event["at"]), word(&event["type"]), word(&event["recording"]));
                    print_out!("{at} {of} {kind} {}", event["data"]);
                }
            }
        }
        Ok(())
    }
}

fn unanswered(e: reqwest::Error) -> Error {
    Error::room("the service's answer broke off").because(e)
}

/// A value as a word: what peers chose has no control characters.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.escape_debug().to_string(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn table(recordings: &[Value]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["ID", "STATE", "ROOM", "CREATED", "WHY"]);
    for recording in recordings {
        let why = word(&recording["sub_code"]);
        let cells = ["id", "state", "room", "created_at"].map(|key| word(&recording[key]));
        table.add_row(cells.into_iter().chain([why]));
    }
    table
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
