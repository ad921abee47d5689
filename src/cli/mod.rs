//! The command line: one file per verb, which turns flags into a checked configuration and runs it. Keeps no state between runs.

#![deny(missing_docs)]

mod args;
#[cfg(feature = "filters")]
mod bot_run;
#[cfg(feature = "media")]
mod bot_session;
#[cfg(feature = "server")]
mod browser;
#[cfg(feature = "media")]
mod cancellable;
#[cfg(all(feature = "film", feature = "server"))]
mod check;
#[cfg(feature = "film")]
mod compose;
mod control_socket;
#[cfg(feature = "service")]
mod ctl;
#[cfg(feature = "service")]
mod demo;
mod descriptors;
mod display;
#[cfg(feature = "filters")]
mod echo;
#[cfg(feature = "media")]
mod feed;
#[cfg(feature = "service")]
mod fetch;
#[cfg(feature = "filters")]
mod filter;
mod manual;
mod output;
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

pub use output::{Colour, OutputArgs, explain};

use crate::error::Result;
use clap::{CommandFactory, Parser, Subcommand};
use runtime::{runtime, runtime_with};

/// A headless WebRTC participant: records rooms, filters what people send, sends media, and measures what arrives.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Flags of every verb.
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[cfg(feature = "service")]
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
    #[cfg(feature = "service")]
    Fetch(fetch::FetchArgs),
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
    #[command(hide = true)]
    Completions(manual::CompletionsArgs),
    #[command(hide = true)]
    Man(manual::ManArgs),
}

impl Cli {
    /// Runs the verb to its end.
    ///
    /// # Errors
    /// The verb's own.
    pub fn run(self) -> Result<()> {
        // The configuration of the service says how it logs.
        #[cfg(feature = "service")]
        let configures = matches!(self.verb, Verb::Serve(_));
        #[cfg(not(feature = "service"))]
        let configures = false;
        if !configures {
            self.output.prepare(None, output::filter_of_environment().as_deref(), false)?;
        }
        descriptors::raise();
        match self.verb {
            #[cfg(feature = "service")]
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
            Verb::Serve(args) => serve::start(args, self.output),
            #[cfg(feature = "service")]
            Verb::Ctl(args) => runtime()?.block_on(ctl::run(args)),
            #[cfg(feature = "service")]
            Verb::Fetch(args) => runtime()?.block_on(fetch::run(args)),
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
            Verb::Completions(args) => manual::completions(&args, Cli::command()),
            Verb::Man(args) => manual::man(&args, Cli::command()),
        }
    }
}
