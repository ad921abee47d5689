//! `roombot send`: says something and sends files to people in a room, and tells who got what. It receives nothing.

mod bars;
mod receivers;

use super::args::duration;
use super::say::say;
use crate::client::{Client, ClientConfig, FileSend, Outcome};
use crate::error::{Error, Result};
use crate::room::participant::{ParticipantId, Role};
use crate::rtc::Wake;
use crate::signal::{self, JoinAs};
use bars::Bars;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use indicatif::{HumanBytes, HumanDuration};
use receivers::Receivers;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// Files that go to one receiver at once.
const AT_ONCE: usize = 4;
/// How long a text may take to arrive.
const HEARD: Duration = Duration::from_secs(5);

/// Send files and a message to people in a room, over data channels.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot send ws://127.0.0.1:8080/rooms/standup slides.pdf --as Courier
  roombot send ws://127.0.0.1:8080/rooms/standup a.zip b.zip --to Alice --to Recorder --message \"for the minutes\"
  roombot send ws://127.0.0.1:8080/rooms/standup --message \"back in five minutes\"

Without --to everybody gets it who is there. The exit code is 0 when all of them have everything, verified; otherwise 3, and the \
message says who lacks what, and why. A transfer goes on where it stopped when a connection breaks. Ctrl-C cancels.")]
pub struct SendArgs {
    /// The room: ws://host:port/rooms/NAME, or wss://…
    #[arg(value_name = "ROOM_URL")]
    room: String,
    /// The files to send.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The name under which the room sees us.
    #[arg(long = "as", value_name = "NAME", default_value = "Courier")]
    name: String,
    /// Whom to send to, by name; again for each further one.
    #[arg(long, value_name = "NAME")]
    to: Vec<String>,
    /// Say this first.
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Speak the framing of the WebRTC guide, which has no answer: that a file was received is not known then.
    #[arg(long)]
    classic: bool,
    /// How long to wait for who is not there, or was lost.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    wait: Duration,
    /// The room's join token.
    #[arg(long)]
    token: Option<String>,
    /// Print one JSON object with what became of each file instead of text.
    #[arg(long)]
    json: bool,
}

/// What became of one file for one receiver.
struct Delivery {
    to: String,
    file: String,
    size: u64,
    took: Duration,
    outcome: Outcome,
}

/// Sends everything to everybody.
///
/// # Errors
/// The user's for a file that cannot be read, before anything is joined; the room's where somebody did not get everything.
pub async fn run(args: SendArgs) -> Result<()> {
    let stop = super::interrupted()?;
    if args.files.is_empty() && args.message.is_none() {
        return Err(Error::user("there is nothing to send: name files, or give a --message"));
    }
    for path in &args.files {
        let metadata = std::fs::metadata(path)
            .map_err(|e| Error::user(format!("{}: cannot be sent: {e}", path.display())).because(e))?;
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
    let mut session = Client::join(room.as_ref(), how, config).await?;
    let (cancel, cancelled) = watch::channel(false);
    let stopping = tokio::spawn(async move {
        stop.await;
        cancel.send_replace(true);
        // Held, so that nobody takes the end of this task for a cancellation.
        std::future::pending::<()>().await;
    });

    let mut gone = cancelled.clone();
    let receivers = tokio::select! {
        receivers = Receivers::find(events, &args.to, args.wait) => receivers,
        _ = gone.wait_for(|gone| *gone) => return Err(Error::user("stopped before anything was sent")),
        reason = session.ended() => return Err(Error::room(reason.to_string())),
    };
    if receivers.found.is_empty() && receivers.missing.is_empty() {
        session.leave().await;
        return Err(Error::room(format!("nobody came within {}", HumanDuration(args.wait))));
    }
    let deaf = say(&session, &args, &receivers).await;
    let results = give(&session, &args, &receivers, &cancelled).await;
    stopping.abort();
    session.leave().await;
    report(&args, &receivers, &deaf, &results)
}

/// Says the message; who did not hear it.
async fn say(session: &Client, args: &SendArgs, receivers: &Receivers) -> Vec<String> {
    let Some(message) = &args.message else { return Vec::new() };
    let mut deaf = Vec::new();
    for (id, name) in &receivers.found {
        if session.say(Some(id), message).await.heard(HEARD).await.is_empty() {
            deaf.push(name.clone());
        }
    }
    deaf
}

/// Sends every file to every receiver, a few at once to each.
async fn give(
    session: &Client,
    args: &SendArgs,
    receivers: &Receivers,
    cancelled: &watch::Receiver<bool>,
) -> Vec<Delivery> {
    let bars = Bars::new(args.json);
    let slots: Vec<Semaphore> = receivers.found.iter().map(|_| Semaphore::new(AT_ONCE)).collect();
    let mut under_way = FuturesUnordered::new();
    for path in &args.files {
        for ((id, name), slot) in receivers.found.iter().zip(&slots) {
            let (bars, mut cancelled) = (&bars, cancelled.clone());
            under_way.push(async move {
                let _slot = slot.acquire().await;
                let file = FileSend { classic: args.classic, patience: args.wait, ..FileSend::new(path) };
                one(session, id, name, file, bars, &mut cancelled).await
            });
        }
    }
    let mut results = Vec::new();
    while let Some(result) = under_way.next().await {
        results.push(result);
    }
    results
}

async fn one(
    session: &Client,
    id: &ParticipantId,
    name: &str,
    file: FileSend,
    bars: &Bars,
    cancelled: &mut watch::Receiver<bool>,
) -> Delivery {
    let title = file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let begun = Instant::now();
    let mut sending = session.send_file(id, file);
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

/// Says who got what.
///
/// # Errors
/// The room's, where somebody lacks something.
fn report(args: &SendArgs, receivers: &Receivers, deaf: &[String], results: &[Delivery]) -> Result<()> {
    let mut lacking: Vec<String> =
        receivers.missing.iter().map(|name| format!("{} was not there", plain(name))).collect();
    lacking.extend(deaf.iter().map(|name| format!("{} did not hear it", plain(name))));
    for result in results {
        if let Some(why) = why_not(&result.outcome) {
            lacking.push(format!("{} did not get {}: {why}", plain(&result.to), plain(&result.file)));
        }
    }
    if args.json {
        let files: Vec<_> = results
            .iter()
            .map(|r| {
                let sha256 = if let Outcome::Received { sha256 } = r.outcome { Some(sha256) } else { None };
                json!({
                    "to": r.to, "file": r.file, "size": r.size, "seconds": r.took.as_secs_f64(), "sha256": sha256,
                    "received": sha256.is_some(), "reason": why_not(&r.outcome),
                })
            })
            .collect();
        let heard: Vec<&String> = receivers.found.iter().map(|(_, name)| name).filter(|n| !deaf.contains(n)).collect();
        let heard = args.message.as_ref().map(|_| heard);
        say!("{}", json!({ "files": files, "message_heard_by": heard, "missing": receivers.missing }));
    } else {
        for result in results {
            let rate = HumanBytes((result.size as f64 / result.took.as_secs_f64().max(1e-3)) as u64);
            let what = match (&result.outcome, why_not(&result.outcome)) {
                (Outcome::Unconfirmed, _) => "sent; they do not say whether they have it".to_owned(),
                (_, None) => format!("received, {} at {rate}/s", HumanBytes(result.size)),
                (_, Some(why)) => why,
            };
            say!("{} -> {}: {what}", plain(&result.file), plain(&result.to));
        }
    }
    if lacking.is_empty() { Ok(()) } else { Err(Error::room(lacking.join("; "))) }
}

/// Why they do not have it; nothing where they do.
fn why_not(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Received { .. } | Outcome::Unconfirmed => None,
        Outcome::Refused { reason, text } if text.is_empty() => Some(format!("refused ({})", plain(reason))),
        Outcome::Refused { reason, text } => Some(format!("refused ({}: {})", plain(reason), plain(text))),
        Outcome::Cancelled { reason } => Some(plain(reason)),
        Outcome::Unreachable => Some("they could not be reached any more".to_owned()),
        Outcome::Unreadable { cause } => Some(format!("the file {}", plain(cause))),
    }
}

/// What came from elsewhere, without what could steer a terminal.
fn plain(text: &str) -> String {
    super::live::printable(text)
}
