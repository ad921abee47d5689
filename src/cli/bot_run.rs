//! Runs a bot for `echo` and `filter`: flags, commands from stdin, status, report. It joins after every pipeline was built and tested.

mod status_line;

use super::args::{PipelineArgs, duration};
use super::bot_session::{Attached, BotSession};
use super::control_socket::ControlSocket;
use super::print::{print_err, print_out};
use super::runtime::interrupted;
use crate::bot::{Answer, Bot, Commander, TrackStatus};
use crate::error::{Error, Result};
use crate::media::{Filter, Library};
use crate::room::end::EndReason;
use crate::room::media::{Codec, MediaKind};
use crate::signal;
use serde_json::json;
use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Bytes of one command that are read.
const LONGEST_COMMAND: u64 = 4096;

/// Flags of both verbs.
#[derive(Debug, clap::Args)]
pub struct BotArgs {
    /// The room: ws://host:port/rooms/NAME or wss://… (docs/rooms.md lists other kinds).
    #[arg(value_name = "ROOM_URL")]
    room: String,
    /// Codec of the returned video; by default the one it was received in.
    #[arg(long, value_enum, value_name = "CODEC")]
    codec: Option<VideoCodec>,
    /// Who receives a filtered track: its sender, or everybody.
    #[arg(long, value_enum, default_value_t = To::Sender, value_name = "WHO")]
    to: To,
    /// Only participants with this name; repeatable.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Leave after this long: 30s, 5m, 1h30m.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// The room's join token.
    #[arg(long, env = "ROOMBOT_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Listen here for commands: do, say, stop, status (docs/control.md). A Unix socket that only you can connect to.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Print one JSON object at the end, with the statistics of each track.
    #[arg(long)]
    json: bool,
    /// No status while running.
    #[arg(long, short)]
    quiet: bool,
    /// Use TURN servers only.
    #[arg(long)]
    relay_only: bool,
    #[command(flatten)]
    pipelines: PipelineArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum VideoCodec {
    Vp8,
    Vp9,
    H264,
    Av1,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum To {
    Sender,
    All,
}

impl From<VideoCodec> for Codec {
    fn from(codec: VideoCodec) -> Codec {
        match codec {
            VideoCodec::Vp8 => Codec::Vp8,
            VideoCodec::Vp9 => Codec::Vp9,
            VideoCodec::H264 => Codec::H264,
            VideoCodec::Av1 => Codec::Av1,
        }
    }
}

/// A filter by name, with its parameters as typed.
pub(super) struct FilterChoice<'a> {
    pub name: &'a str,
    pub values: &'a [(String, String)],
}

/// Runs the bot to its end. `returns`: chat and files are sent back, too.
///
/// # Errors
/// [`Error::User`], before it joins: flags, filters, missing packages. [`Error::Room`]: the room refused or closed.
pub(super) async fn run(
    name: &str,
    args: &BotArgs,
    video: Option<FilterChoice<'_>>,
    audio: Option<FilterChoice<'_>>,
    returns: bool,
) -> Result<()> {
    let interrupted = interrupted()?;
    let session = Arc::new(BotSession::default());
    let _control = match &args.control {
        Some(path) => Some(ControlSocket::listen(path, session.clone()).await?),
        None => None,
    };
    // A wrong URL is told before filters are built.
    signal::for_url(&args.room)?;
    let library = Library::new(args.pipelines.pipelines.as_deref())?;
    let mut builder = Bot::builder(&args.room)
        .name(name)
        .token(args.token.clone())
        .codec(args.codec.map(Codec::from))
        .to_all(args.to == To::All)
        .only(args.only.clone())
        .return_messages(returns)
        .relay_only(args.relay_only);
    for (kind, choice) in [(MediaKind::Video, video), (MediaKind::Audio, audio)] {
        if let Some(FilterChoice { name, values }) = choice {
            builder = builder.filter(Filter::resolve(&library, kind, name, values)?);
        }
    }
    let start = Instant::now();
    let mut bot = tokio::select! {
        bot = builder.library(library).start() => bot?,
        reason = session.stopped() => return Err(Error::room(format!("{reason} before the room was joined"))),
    };
    session.attach(attached(&bot));
    tracing::info!("{name} has joined: {}", bot.watcher().doing());
    let display = status_line::show(bot.watcher(), args.quiet);
    let quit = run_commands(bot.commander());
    let stop = async {
        tokio::select! {
            () = interrupted => EndReason::Stopped,
            () = quit => EndReason::Quit,
            reason = session.stopped() => reason,
        }
    };
    let reason = bot.until(args.duration, stop).await;
    session.detach();
    display.close().await;
    let doing = bot.watcher().doing();
    let tracks = bot.finish().await;
    report(args, name, &doing, &reason, start.elapsed(), &tracks);
    if reason.is_by_room() { Err(Error::room(reason.to_string())) } else { Ok(()) }
}

/// What clients of the control socket may ask of the bot: what somebody in the room may.
fn attached(bot: &Bot) -> Attached {
    let (watcher, commander) = (bot.watcher(), bot.commander());
    let command = move |text: String| {
        let commander = commander.clone();
        let answer = async move {
            match commander.command(&text, false).await {
                Some(Answer::Say(answer)) => Ok(answer),
                Some(Answer::Refuse(why)) => Err(why),
                Some(Answer::Quit) => Err("send `stop`".to_owned()),
                None => Err("the bot has left".to_owned()),
            }
        };
        Box::pin(answer) as futures_util::future::BoxFuture<'static, _>
    };
    Attached {
        rooms: vec![bot.room()],
        status: Box::new(move || json!({ "doing": watcher.doing(), "tracks": watcher.tracks() })),
        command: Some(Box::new(command)),
    }
}

/// Runs commands from stdin; returns on `quit`.
async fn run_commands(bot: Commander) {
    let (sender, mut lines) = mpsc::channel(16);
    // A blocking read cannot be interrupted: the thread ends with the process.
    let read = move || {
        let mut stdin = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = std::io::Read::take(&mut stdin, LONGEST_COMMAND).read_until(b'\n', &mut line);
            if !matches!(read, Ok(1..)) || sender.blocking_send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    };
    let started = std::thread::Builder::new().name("stdin".into()).spawn(read);
    if started.is_err() {
        tracing::warn!("cannot start a thread: commands on stdin are not read");
    }
    while let Some(text) = lines.recv().await {
        if text.trim().is_empty() {
            continue;
        }
        match bot.command(&text, true).await {
            Some(Answer::Say(answer) | Answer::Refuse(answer)) => print_err!("{answer}"),
            Some(Answer::Quit) | None => return,
        }
    }
    // The end of the input does not stop the bot.
    std::future::pending().await
}

fn report(args: &BotArgs, name: &str, doing: &str, reason: &EndReason, lasted: Duration, tracks: &[TrackStatus]) {
    let seconds = lasted.as_secs_f64();
    if args.json {
        let exit_code = if reason.is_by_room() { 3 } else { 0 };
        let object = json!({
            "name": name, "doing": doing, "reason": reason.to_string(), "reason_code": reason.code(), "exit_code": exit_code,
            "seconds": seconds, "tracks": tracks,
        });
        print_out!("{object}");
        return;
    }
    print_out!("{name} was in the room for {seconds:.1} s; {reason}.");
    for track in tracks {
        print_out!("  {}", status_line::track(track));
    }
}
