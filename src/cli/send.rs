//! `roombot send`: sends a message and files to participants, and reports who received them. It receives nothing.

mod progress;
mod receivers;

use super::args::duration;
use super::print::print_out;
use super::runtime::interrupted;
use super::terminal::printable;
use crate::client::{Client, ClientConfig, FileSend, Outcome};
use crate::error::{Error, Result};
use crate::room::participant::{ParticipantId, Role};
use crate::rtc::Wake;
use crate::signal::{self, JoinAs};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use indicatif::{HumanBytes, HumanDuration};
use progress::Bars;
use receivers::Receivers;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// Files in transfer to one receiver at the same time.
const PARALLEL: usize = 4;
/// How long to wait until a message is delivered.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Send a message and files to participants over data channels, and report who received them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot send ws://127.0.0.1:8080/rooms/standup slides.pdf --as Courier
  roombot send ws://127.0.0.1:8080/rooms/standup a.zip b.zip --to Alice --to Recorder --message \"for the minutes\"
  roombot send ws://127.0.0.1:8080/rooms/standup --message \"back in five minutes\"

Without --to, all people and recorders in the room are recipients; bots are not, nor is who takes no files (as feeds). The exit code is 0 if all \
of them received everything (verified by hash), else 3, and the message says who did not receive what, and why. Transfers resume when a connection breaks. Ctrl-C cancels.")]
pub struct SendArgs {
    /// The room: ws://host:port/rooms/NAME or wss://… (docs/rooms.md lists other kinds).
    #[arg(value_name = "ROOM_URL")]
    room: String,
    /// Files to send.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The sender's name in the room.
    #[arg(long = "as", value_name = "NAME", default_value = "Courier")]
    name: String,
    /// Recipient, by name; repeatable. By default everybody.
    #[arg(long, value_name = "NAME")]
    to: Vec<String>,
    /// Chat message to send before the files.
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Use the framing of the WebRTC guide. It has no acknowledgement, so whether files were received is not known.
    #[arg(long)]
    classic: bool,
    /// How long to wait for absent or disconnected recipients.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    wait: Duration,
    /// The room's join token.
    #[arg(long)]
    token: Option<String>,
    /// Print one JSON object with the result of each file instead of text.
    #[arg(long)]
    json: bool,
}

/// The result of one file for one receiver.
struct Delivery {
    to: String,
    file: String,
    size: u64,
    took: Duration,
    outcome: Outcome,
}

/// Sends everything to every receiver.
///
/// # Errors
/// [`Error::User`], before it joins: a file cannot be read. [`Error::Room`]: somebody did not receive everything.
pub async fn run(args: SendArgs) -> Result<()> {
    let stop = interrupted()?;
    if args.files.is_empty() && args.message.is_none() {
        return Err(Error::user("nothing to send: name files, or use --message"));
    }
    for path in &args.files {
        let metadata = std::fs::metadata(path)
            .map_err(|e| Error::user(format!("{}: cannot be read: {e}", path.display())).because(e))?;
        if !metadata.is_file() {
            return Err(Error::user(format!("{}: is not a file", path.display())));
        }
    }
    let room = signal::for_url(&args.room)?;
    let (observer, events) = tokio::sync::mpsc::channel(256);
    let how = JoinAs { name: args.name.clone(), role: Role::Participant, token: args.token.clone() };
    let config = ClientConfig {
        observer: Some(observer),
        only: args.to.clone(),
        wake: Wake::OnArrival,
        ..ClientConfig::default()
    };
    let mut client = Client::join(room.as_ref(), how, config).await?;
    let (cancel, cancelled) = watch::channel(false);
    let stopping = tokio::spawn(async move {
        stop.await;
        cancel.send_replace(true);
        // Keeps the sender: dropping it would look like a cancellation.
        std::future::pending::<()>().await;
    });

    let mut stopped = cancelled.clone();
    let receivers = tokio::select! {
        receivers = Receivers::find(events, &args.to, args.wait) => receivers,
        _ = stopped.wait_for(|stopped| *stopped) => return Err(Error::user("stopped before anything was sent")),
        reason = client.ended() => return Err(Error::room(reason.to_string())),
    };
    if receivers.found.is_empty() && receivers.missing.is_empty() {
        client.leave().await;
        return Err(Error::room(format!("nobody joined within {}", HumanDuration(args.wait))));
    }
    let unreached = send_message(&client, &args, &receivers).await;
    let results = send_files(&client, &args, &receivers, &cancelled).await;
    stopping.abort();
    client.leave().await;
    report(&args, &receivers, &unreached, &results)
}

/// Sends the message; returns the names of those who did not receive it.
async fn send_message(client: &Client, args: &SendArgs, receivers: &Receivers) -> Vec<String> {
    let Some(message) = &args.message else { return Vec::new() };
    let mut unreached = Vec::new();
    for (id, name) in &receivers.found {
        if client.say(Some(id), message).await.delivered(MESSAGE_TIMEOUT).await.is_empty() {
            unreached.push(name.clone());
        }
    }
    unreached
}

/// Sends every file to every receiver, [`PARALLEL`] at the same time to each.
async fn send_files(
    client: &Client,
    args: &SendArgs,
    receivers: &Receivers,
    cancelled: &watch::Receiver<bool>,
) -> Vec<Delivery> {
    let bars = Bars::new(args.json);
    let slots: Vec<Semaphore> = receivers.found.iter().map(|_| Semaphore::new(PARALLEL)).collect();
    let mut transfers = FuturesUnordered::new();
    for path in &args.files {
        for ((id, name), slot) in receivers.found.iter().zip(&slots) {
            let (bars, mut cancelled) = (&bars, cancelled.clone());
            transfers.push(async move {
                let _slot = slot.acquire().await;
                let file = FileSend { classic: args.classic, patience: args.wait, ..FileSend::new(path) };
                send_file(client, id, name, file, bars, &mut cancelled).await
            });
        }
    }
    let mut results = Vec::new();
    while let Some(result) = transfers.next().await {
        results.push(result);
    }
    results
}

async fn send_file(
    client: &Client,
    id: &ParticipantId,
    name: &str,
    file: FileSend,
    bars: &Bars,
    cancelled: &mut watch::Receiver<bool>,
) -> Delivery {
    let title = file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let begun = Instant::now();
    let mut sending = client.send_file(id, file);
    let progress = sending.progress();
    let bar = bars.follow(&title, name, progress.clone());
    let outcome = tokio::select! {
        outcome = sending.outcome() => outcome,
        _ = cancelled.wait_for(|cancelled| *cancelled) => {
            sending.cancel();
            sending.outcome().await
        }
    };
    bar.done();
    let size = progress.borrow().size;
    Delivery { to: name.to_owned(), file: title, size, took: begun.elapsed(), outcome }
}

/// Prints who received what.
///
/// # Errors
/// [`Error::Room`]: somebody did not receive something.
fn report(args: &SendArgs, receivers: &Receivers, unreached: &[String], results: &[Delivery]) -> Result<()> {
    let mut problems: Vec<String> =
        receivers.missing.iter().map(|name| format!("{} was not there", printable(name))).collect();
    problems.extend(unreached.iter().map(|name| format!("{} did not get the message", printable(name))));
    // Who takes no files is no recipient unless they were named, but somebody has to be one.
    let counts = |result: &Delivery| !args.to.is_empty() || !takes_no_files(&result.outcome);
    if !results.is_empty() && !results.iter().any(counts) {
        problems.push("nobody here takes files".to_owned());
    }
    for result in results.iter().filter(|result| counts(result)) {
        if let Some(why) = failure(&result.outcome) {
            problems.push(format!("{} did not get {}: {why}", printable(&result.to), printable(&result.file)));
        }
    }
    if args.json {
        let files: Vec<_> = results
            .iter()
            .map(|r| {
                let sha256 = if let Outcome::Received { sha256 } = r.outcome { Some(sha256) } else { None };
                json!({
                    "to": r.to, "file": r.file, "size": r.size, "seconds": r.took.as_secs_f64(), "sha256": sha256,
                    "received": sha256.is_some(), "reason": failure(&r.outcome),
                })
            })
            .collect();
        let heard: Vec<&String> =
            receivers.found.iter().map(|(_, name)| name).filter(|n| !unreached.contains(n)).collect();
        let heard = args.message.as_ref().map(|_| heard);
        print_out!("{}", json!({ "files": files, "message_heard_by": heard, "missing": receivers.missing }));
    } else {
        for result in results {
            let rate = HumanBytes((result.size as f64 / result.took.as_secs_f64().max(1e-3)) as u64);
            let what = match (&result.outcome, failure(&result.outcome)) {
                (Outcome::Unconfirmed, _) => "sent; not confirmed".to_owned(),
                (_, None) => format!("received, {} at {rate}/s", HumanBytes(result.size)),
                (_, Some(why)) => why,
            };
            print_out!("{} -> {}: {what}", printable(&result.file), printable(&result.to));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::room(problems.join("; "))) }
}

/// Whether the receiver is one that takes no files at all: a feed, say.
fn takes_no_files(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { reason, .. } if reason == "unwanted")
}

/// Why a file was not received; `None` if it was, or if that is not known.
fn failure(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Received { .. } | Outcome::Unconfirmed => None,
        Outcome::Refused { reason, text } if text.is_empty() => Some(format!("refused ({})", printable(reason))),
        Outcome::Refused { reason, text } => Some(format!("refused ({}: {})", printable(reason), printable(text))),
        Outcome::Cancelled { reason } => Some(printable(reason)),
        Outcome::Unreachable => Some("no longer reachable".to_owned()),
        Outcome::Unreadable { cause } => Some(format!("the file {}", printable(cause))),
    }
}
