//! `roombot send`: sends a message and files to participants, and reports who received them. It receives nothing.

mod progress;
mod receivers;

use super::args::duration;
use super::print::print_out;
use super::runtime::interrupted;
use super::terminal::printable;
use crate::client::{Client, ClientConfig, FileSend, Outcome, Progress, Sending, SharedFile};
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
of them received everything (verified by hash), else 3, and the message says who did not receive what, and why. Transfers resume when a connection breaks.

What is sent to everybody is offered on by a recorder that has it: to people who come later, and to those who have not accepted it when the sender \
leaves. That is then at Ctrl-C, or when --wait is over, and such files are reported (\"Recorder has it and offers it on\") and do not change the \
exit code. Without such a recorder Ctrl-C cancels.")]
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
    /// How long to wait for absent or disconnected recipients, and for a decision on a file that a recorder offers on.
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
    end: DeliveryEnd,
}

/// How a delivery ended.
enum DeliveryEnd {
    Over(Outcome),
    /// They had not received it when we left, but somebody offers it on. The transfer must not be cancelled before we have left: that
    /// would withdraw the file.
    OfferedOn {
        by: String,
        _transfer: Sending,
    },
}

/// A file on its way to all receivers.
struct Shipment {
    file: FileSend,
    /// Who has it and offers it on, once somebody does.
    offered_on_by: watch::Sender<Option<String>>,
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
    let shipments = tokio::select! {
        shipments = shipments(&args) => shipments?,
        _ = stopped.wait_for(|stopped| *stopped) => return Err(Error::user("stopped before anything was sent")),
    };
    let unreached = send_message(&client, &args, &receivers).await;
    let results = send_files(&client, &args, &shipments, &receivers, &cancelled).await;
    stopping.abort();
    client.leave().await;
    report(&args, &receivers, &unreached, &results)
}

/// What is sent to each receiver. Without names it is for everybody in the room, and may be offered on.
///
/// # Errors
/// [`Error::User`]: a file cannot be read.
async fn shipments(args: &SendArgs) -> Result<Vec<Shipment>> {
    let mut shipments = Vec::new();
    for path in &args.files {
        let mut file = FileSend { classic: args.classic, patience: args.wait, ..FileSend::new(path) };
        if args.to.is_empty() && !args.classic {
            let read = SharedFile::of(path).await;
            let shared =
                read.map_err(|e| Error::user(format!("{}: cannot be read: {e}", path.display())).because(e))?;
            file.shared = Some(shared);
        }
        shipments.push(Shipment { file, offered_on_by: watch::Sender::new(None) });
    }
    Ok(shipments)
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
    shipments: &[Shipment],
    receivers: &Receivers,
    cancelled: &watch::Receiver<bool>,
) -> Vec<Delivery> {
    let bars = Bars::new(args.json);
    let slots: Vec<Semaphore> = receivers.found.iter().map(|_| Semaphore::new(PARALLEL)).collect();
    let mut transfers = FuturesUnordered::new();
    for shipment in shipments {
        for ((id, name), slot) in receivers.found.iter().zip(&slots) {
            let (bars, mut cancelled) = (&bars, cancelled.clone());
            transfers.push(async move {
                let _slot = slot.acquire().await;
                send_file(client, id, name, shipment, bars, &mut cancelled).await
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
    shipment: &Shipment,
    bars: &Bars,
    cancelled: &mut watch::Receiver<bool>,
) -> Delivery {
    let file = shipment.file.clone();
    let title = file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let begun = Instant::now();
    let patience = file.patience;
    let mut sending = client.send_file(id, file);
    let progress = sending.progress();
    let bar = bars.follow(&title, name, progress.clone());
    let ended = tokio::select! {
        outcome = sending.outcome() => Some(outcome),
        _ = cancelled.wait_for(|cancelled| *cancelled) => None,
        () = undecided(shipment.offered_on_by.subscribe(), progress.clone(), patience) => None,
    };
    let by = shipment.offered_on_by.borrow().clone();
    let end = match (ended, by) {
        (Some(outcome), _) => DeliveryEnd::Over(outcome),
        (None, Some(by)) => DeliveryEnd::OfferedOn { by, _transfer: sending },
        (None, None) => {
            sending.cancel();
            DeliveryEnd::Over(sending.outcome().await)
        }
    };
    if let DeliveryEnd::Over(Outcome::Received { offered_on: true, .. }) = end {
        shipment.offered_on_by.send_replace(Some(name.to_owned()));
    }
    bar.done();
    let size = progress.borrow().size;
    Delivery { to: name.to_owned(), file: title, size, took: begun.elapsed(), end }
}

/// Completes if somebody offers the file on, and the receiver has not accepted it for `patience` since then.
async fn undecided(
    mut offered_on_by: watch::Receiver<Option<String>>,
    mut progress: watch::Receiver<Progress>,
    patience: Duration,
) {
    let _ = offered_on_by.wait_for(Option::is_some).await;
    if tokio::time::timeout(patience, progress.wait_for(|progress| progress.accepted)).await.is_ok() {
        std::future::pending().await
    }
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
    let counts = |result: &Delivery| !args.to.is_empty() || !takes_no_files(&result.end);
    if !results.is_empty() && !results.iter().any(counts) {
        problems.push("nobody here takes files".to_owned());
    }
    for result in results.iter().filter(|result| counts(result)) {
        if let Some(why) = result.end.failure() {
            problems.push(format!("{} did not get {}: {why}", printable(&result.to), printable(&result.file)));
        }
    }
    if args.json {
        let files: Vec<_> = results
            .iter()
            .map(|r| {
                let sha256 = match r.end {
                    DeliveryEnd::Over(Outcome::Received { sha256, .. }) => Some(sha256),
                    _ => None,
                };
                json!({
                    "to": r.to, "file": r.file, "size": r.size, "seconds": r.took.as_secs_f64(), "sha256": sha256,
                    "received": sha256.is_some(), "reason": r.end.failure(), "offered_on_by": r.end.offered_on_by(),
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
            let what = match (&result.end, result.end.failure()) {
                (DeliveryEnd::Over(Outcome::Unconfirmed), _) => "sent; not confirmed".to_owned(),
                (DeliveryEnd::OfferedOn { by, .. }, _) => {
                    format!("not received yet; {} has it and offers it on", printable(by))
                }
                (_, None) => format!("received, {} at {rate}/s", HumanBytes(result.size)),
                (_, Some(why)) => why,
            };
            print_out!("{} -> {}: {what}", printable(&result.file), printable(&result.to));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::room(problems.join("; "))) }
}

impl DeliveryEnd {
    /// Why a file was not received; `None` if it was, if that is not known, or if it can still be had.
    fn failure(&self) -> Option<String> {
        match self {
            DeliveryEnd::Over(outcome) => failure(outcome),
            DeliveryEnd::OfferedOn { .. } => None,
        }
    }

    fn offered_on_by(&self) -> Option<&str> {
        match self {
            DeliveryEnd::Over(_) => None,
            DeliveryEnd::OfferedOn { by, .. } => Some(by),
        }
    }
}

/// Whether the receiver is one that takes no files at all: a feed, say.
fn takes_no_files(end: &DeliveryEnd) -> bool {
    matches!(end, DeliveryEnd::Over(Outcome::Refused { reason, .. }) if reason == "unwanted")
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
