//! The command line: one file a verb, from flags to a validated configuration to a run. Holds no state of its own.

mod args;
#[cfg(all(feature = "film", feature = "server"))]
mod check;
#[cfg(feature = "film")]
mod compose;
#[cfg(all(feature = "film", feature = "server"))]
mod demo;
#[cfg(feature = "filters")]
mod echo;
#[cfg(feature = "media")]
mod feed;
#[cfg(feature = "filters")]
mod filter;
#[cfg(feature = "filters")]
mod give_back;
mod live;
#[cfg(feature = "media")]
mod pipelines;
mod record;
#[cfg(feature = "server")]
mod room;
mod say;
mod send;
mod show;
#[cfg(feature = "media")]
mod stamp;
#[cfg(feature = "media")]
mod verify;
#[cfg(feature = "media")]
mod work;

use crate::error::{Error, Result};
use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use std::io::IsTerminal;
use std::time::Duration;

/// What every verb has stands behind its own flags.
const LAST: usize = 900;

/// A headless participant of WebRTC rooms: records what is said and shown in them, and puts media into them.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Say more on stderr: once what happens, twice every detail. ROOMBOT_LOG takes a filter (roombot::rtc=trace).
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = LAST)]
    pub verbose: u8,
    /// Colour in what is printed.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN", display_order = LAST)]
    pub color: Colour,
    #[command(subcommand)]
    verb: Verb,
}

/// When to print in colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[cfg(all(feature = "film", feature = "server"))]
    Demo(demo::DemoArgs),
    Record(record::RecordArgs),
    Show(show::ShowArgs),
    #[cfg(feature = "film")]
    Compose(compose::ComposeArgs),
    #[cfg(feature = "server")]
    Room(room::RoomArgs),
    #[cfg(feature = "media")]
    Feed(feed::FeedArgs),
    #[cfg(feature = "filters")]
    Echo(echo::EchoArgs),
    #[cfg(feature = "filters")]
    Filter(filter::FilterArgs),
    Send(send::SendArgs),
    #[cfg(feature = "media")]
    Stamp(stamp::StampArgs),
    #[cfg(feature = "media")]
    Verify(verify::VerifyArgs),
    #[cfg(all(feature = "film", feature = "server"))]
    Check(check::CheckArgs),
    #[cfg(feature = "media")]
    Pipelines(pipelines::PipelinesArgs),
}

impl Cli {
    /// Runs the one verb that was asked for.
    ///
    /// # Errors
    /// Whatever stopped it, and who must act.
    pub fn run(self) -> Result<()> {
        self.prepare_output();
        match self.verb {
            #[cfg(all(feature = "film", feature = "server"))]
            Verb::Demo(args) => runtime()?.block_on(demo::run(args)),
            Verb::Record(args) => runtime_of(args.threads())?.block_on(record::run(args)),
            Verb::Show(args) => show::run(args),
            #[cfg(feature = "film")]
            Verb::Compose(args) => runtime()?.block_on(compose::run(args)),
            #[cfg(feature = "server")]
            Verb::Room(args) => runtime()?.block_on(room::run(args)),
            Verb::Send(args) => runtime()?.block_on(send::run(args)),
            #[cfg(feature = "media")]
            Verb::Feed(args) => runtime()?.block_on(feed::run(args)),
            #[cfg(feature = "filters")]
            Verb::Echo(args) => runtime()?.block_on(echo::run(args)),
            #[cfg(feature = "filters")]
            Verb::Filter(args) => runtime()?.block_on(filter::run(args)),
            #[cfg(feature = "media")]
            Verb::Stamp(args) => runtime()?.block_on(stamp::run(args)),
            #[cfg(feature = "media")]
            Verb::Verify(args) => verify::run(args),
            #[cfg(all(feature = "film", feature = "server"))]
            Verb::Check(args) => runtime()?.block_on(check::run(args)),
            #[cfg(feature = "media")]
            Verb::Pipelines(args) => pipelines::run(&args),
        }
    }

    /// Colours and the log. The log goes to stderr: stdout is for results.
    fn prepare_output(&self) {
        let colours = match self.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => std::env::var_os("NO_COLOR").is_none() && std::io::stdout().is_terminal(),
        };
        console::set_colors_enabled(colours);
        let default = match self.verbose {
            // What the libraries call an error is often only what a peer did: nobody at a terminal can act on it.
            0 => "off,roombot=warn",
            1 => "warn,roombot=info",
            _ => "info,roombot=debug",
        };
        let filter = tracing_subscriber::EnvFilter::try_from_env("ROOMBOT_LOG");
        let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
        let on_stderr = match self.color {
            Colour::Auto => std::env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal(),
            always_or_never => always_or_never == Colour::Always,
        };
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(on_stderr);
        // Whoever reads may have gone; that it says so there would be a panic.
        let log = log.log_internal_errors(false);
        // Only a test that runs several verbs in one process has a log already.
        let _ = log.with_target(self.verbose > 1).try_init();
    }
}

/// The asynchronous runtime that a verb with a network runs on, with a thread for each core.
fn runtime() -> Result<tokio::runtime::Runtime> {
    runtime_of(std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get))
}

/// The same with so many threads.
fn runtime_of(threads: usize) -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // A thread that took a pipeline down is gone a second later, not ten: a bot among many comers and goers stays small.
    builder.worker_threads(threads.max(1)).thread_keep_alive(Duration::from_secs(1)).enable_all();
    builder.build().map_err(|e| Error::machine("cannot start threads").because(e))
}

/// What a person reads of an error: one line, and its causes below where they are asked for.
pub fn explain(error: &Error, causes: bool) -> String {
    let mut text = format!("error: {error}");
    let mut next = std::error::Error::source(error).filter(|_| causes);
    while let Some(cause) = next {
        text.push_str(&format!("\n  because: {cause}"));
        next = cause.source();
    }
    text
}

/// Done when the user or the system asks us to stop. Listens from now on, not from the first poll.
fn interrupted() -> Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let deaf = |e: std::io::Error| Error::machine("cannot listen for Ctrl-C").because(e);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(deaf)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(deaf)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
