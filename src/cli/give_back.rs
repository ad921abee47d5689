//! What `echo` and `filter` share: flags to a bot, its commands from stdin, its status line, its report. It joins only after
//! every pipeline was built and tried.

mod line;

use super::args::{PipelineArgs, duration};
use super::say::{say, tell};
use crate::bot::{Answer, Choices, LiveSetup, TrackStatus};
use crate::bot::{Bot, BotConfig, Commander};
use crate::error::{Error, Result};
use crate::media::{Encoder, Filter, Library, check_filter};
use crate::room::end::EndReason;
use crate::room::media::{Codec, MediaKind};
use crate::room::participant::Role;
use crate::signal::{self, JoinAs};
use std::io::BufRead;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Bytes of one typed line that are read.
const LINE: u64 = 4096;

/// Flags of both verbs.
#[derive(Debug, clap::Args)]
pub struct GiveBack {
    /// The room: ws://host:port/rooms/NAME, or wss://…
    #[arg(value_name = "ROOM_URL")]
    room: String,
    /// Codec of the pictures that go back. Without: the one they come in.
    #[arg(long, value_enum, value_name = "CODEC")]
    codec: Option<PictureCodec>,
    /// Who gets a track back: its sender, or everybody.
    #[arg(long, value_enum, default_value_t = To::Sender, value_name = "WHO")]
    to: To,
    /// Only tracks of participants of this name; repeatable.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Leave after this long: 30s, 5m, 1h30m.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// The room's join token.
    #[arg(long)]
    token: Option<String>,
    /// Print one JSON object at the end with what became of each track.
    #[arg(long)]
    json: bool,
    /// Print nothing while it runs.
    #[arg(long, short)]
    quiet: bool,
    /// Use no network path but those over TURN servers.
    #[arg(long)]
    relay_only: bool,
    #[command(flatten)]
    pipelines: PipelineArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PictureCodec {
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

impl From<PictureCodec> for Codec {
    fn from(codec: PictureCodec) -> Codec {
        match codec {
            PictureCodec::Vp8 => Codec::Vp8,
            PictureCodec::Vp9 => Codec::Vp9,
            PictureCodec::H264 => Codec::H264,
            PictureCodec::Av1 => Codec::Av1,
        }
    }
}

/// A filter that was asked for, with its parameters as typed.
pub(super) struct Wanted<'a> {
    pub name: &'a str,
    pub values: &'a [(String, String)],
}

/// Gives back until the end.
///
/// # Errors
/// The user's before anything is joined; the room's where it refuses or goes away.
pub(super) async fn run(
    name: &str,
    args: &GiveBack,
    video: Option<Wanted<'_>>,
    audio: Option<Wanted<'_>>,
    returns: bool,
) -> Result<()> {
    let interrupted = super::interrupted()?;
    let room = signal::for_url(&args.room)?;
    let library = Library::new(args.pipelines.pipelines.as_deref())?;
    let video = filter(&library, MediaKind::Video, video)?;
    let audio = filter(&library, MediaKind::Audio, audio)?;
    // Whatever comes must find its encoder.
    let codec = args.codec.map(Codec::from);
    for codec in
        Codec::ALL.into_iter().filter(|c| c.kind() == MediaKind::Audio || codec.is_none_or(|codec| codec == *c))
    {
        Encoder::build(&library, codec, 64_000)?;
    }
    let choices = Choices { only: args.only.clone(), ..Choices::new(video, audio) };
    let config = BotConfig {
        how: JoinAs { name: name.to_owned(), role: Role::Bot, token: args.token.clone() },
        live: LiveSetup { library, codec, to_all: args.to == To::All, choices },
        returns,
        relay_only: args.relay_only,
        impairment: None,
    };
    let start = Instant::now();
    let mut bot = Bot::start(room.as_ref(), config).await?;
    tracing::info!("{name} has joined: {}", bot.watcher().doing());
    let line = line::show(bot.watcher(), args.quiet);
    let typed = typed(bot.commander());
    let stop = async {
        tokio::select! {
            () = interrupted => EndReason::Stopped,
            () = typed => EndReason::Quit,
        }
    };
    let reason = bot.until(args.duration, stop).await;
    line.close().await;
    let doing = bot.watcher().doing();
    let tracks = bot.finish().await;
    report(args, name, &doing, &reason.to_string(), start.elapsed(), &tracks);
    if reason.is_by_room() { Err(Error::room(reason.to_string())) } else { Ok(()) }
}

fn filter(library: &Library, kind: MediaKind, wanted: Option<Wanted<'_>>) -> Result<Filter> {
    let Some(wanted) = wanted else { return Filter::resolve(library, kind, "none", &[]) };
    let filter = Filter::resolve(library, kind, wanted.name, wanted.values)?;
    check_filter(&filter)?;
    Ok(filter)
}

/// Carries out what is typed; done when the bot is told to quit.
async fn typed(bot: Commander) {
    let (sender, mut lines) = mpsc::channel(16);
    // Reading a terminal cannot be interrupted: the thread ends with the process.
    let read = move || {
        let mut stdin = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = std::io::Read::take(&mut stdin, LINE).read_until(b'\n', &mut line);
            if !matches!(read, Ok(1..)) || sender.blocking_send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    };
    let started = std::thread::Builder::new().name("stdin".into()).spawn(read);
    if started.is_err() {
        tracing::warn!("no thread is left to read commands with");
    }
    while let Some(text) = lines.recv().await {
        if text.trim().is_empty() {
            continue;
        }
        match bot.command(&text).await {
            Some(Answer::Say(answer)) => tell!("{answer}"),
            Some(Answer::Quit) | None => return,
        }
    }
    // The end of a pipe is no wish to leave.
    std::future::pending().await
}

fn report(args: &GiveBack, name: &str, doing: &str, reason: &str, lasted: Duration, tracks: &[TrackStatus]) {
    let seconds = lasted.as_secs_f64();
    if args.json {
        let object = serde_json::json!({
            "name": name, "doing": doing, "reason": reason, "seconds": seconds, "tracks": tracks,
        });
        say!("{object}");
        return;
    }
    say!("{name} was there for {seconds:.1} s; {reason}.");
    for track in tracks {
        say!("  {}", line::track(track));
    }
}
