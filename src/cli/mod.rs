//! The command line: one file per verb, which turns flags into a checked configuration and runs it. Keeps no state between runs.

#![deny(missing_docs)]

mod args;
#[cfg(feature = "filters")]
mod bot_run;
#[cfg(feature = "server")]
mod browser;
#[cfg(feature = "media")]
mod cancellable;
#[cfg(all(feature = "film", feature = "server"))]
mod check;
#[cfg(feature = "film")]
mod compose;
#[cfg(feature = "service")]
mod ctl;
#[cfg(all(feature = "film", feature = "server"))]
mod demo;
mod display;
#[cfg(feature = "filters")]
mod echo;
#[cfg(feature = "media")]
mod feed;
#[cfg(feature = "filters")]
mod filter;
#[cfg(feature = "media")]
mod pipelines;
mod print;
mod record;
#[cfg(feature = "server")]
mod room;
mod runtime;
mod send;
#[cfg(feature = "service")]
mod serve;
mod show;
#[cfg(feature = "media")]
mod stamp;
mod status_display;
mod terminal;
#[cfg(feature = "media")]
mod verify;
#[cfg(feature = "server")]
mod view;

use crate::error::{Error, Result};
use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use runtime::{runtime, runtime_with};
use std::io::IsTerminal;

/// The position in `--help` of the flags that every verb has: after its own.
const LAST: usize = 900;

/// A headless WebRTC participant: records rooms, filters what people send, sends media, and measures what arrives.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Log to stderr: -v events, -vv details. ROOMBOT_LOG sets a filter instead (roombot::rtc=trace).
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = LAST)]
    pub verbose: u8,
    /// When to print in colour.
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
    /// Also into files and pipes.
    Always,
    /// Nowhere.
    Never,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[cfg(all(feature = "film", feature = "server"))]
    Demo(demo::DemoArgs),
    Record(record::RecordArgs),
    Show(show::ShowArgs),
    #[cfg(feature = "server")]
    View(view::ViewArgs),
    #[cfg(feature = "film")]
    Compose(compose::ComposeArgs),
    #[cfg(feature = "server")]
    Room(room::RoomArgs),
    #[cfg(feature = "service")]
    Serve(serve::ServeArgs),
    #[cfg(feature = "service")]
    Ctl(ctl::CtlArgs),
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
    /// Runs the verb to its end.
    ///
    /// # Errors
    /// The verb's own.
    pub fn run(self) -> Result<()> {
        self.prepare_output();
        match self.verb {
            #[cfg(all(feature = "film", feature = "server"))]
            Verb::Demo(args) => runtime()?.block_on(demo::run(args)),
            Verb::Record(args) => runtime_with(args.threads())?.block_on(record::run(args)),
            Verb::Show(args) => show::run(args),
            #[cfg(feature = "server")]
            Verb::View(args) => runtime()?.block_on(view::run(args)),
            #[cfg(feature = "film")]
            Verb::Compose(args) => runtime()?.block_on(compose::run(args)),
            #[cfg(feature = "server")]
            Verb::Room(args) => runtime()?.block_on(room::run(args)),
            #[cfg(feature = "service")]
            Verb::Serve(args) => runtime()?.block_on(serve::run(args)),
            #[cfg(feature = "service")]
            Verb::Ctl(args) => runtime()?.block_on(ctl::run(args)),
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

    /// Sets up colours and the log. The log goes to stderr: stdout is for results.
    fn prepare_output(&self) {
        let colours = match self.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => std::env::var_os("NO_COLOR").is_none() && std::io::stdout().is_terminal(),
        };
        console::set_colors_enabled(colours);
        let default = match self.verbose {
            // The libraries log as errors what peers do wrong, on which a user cannot act.
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
        // If stderr is closed, reporting that there would panic.
        let log = log.log_internal_errors(false);
        // A log is set already only in tests that run several verbs in one process.
        let _ = log.with_target(self.verbose > 1).try_init();
    }
}

/// An error as text for a terminal: one line, and with `causes` one more for each cause.
pub fn explain(error: &Error, causes: bool) -> String {
    let mut text = format!("error: {error}");
    let mut next = std::error::Error::source(error).filter(|_| causes);
    while let Some(cause) = next {
        text.push_str(&format!("\n  because: {cause}"));
        next = cause.source();
    }
    text
}
