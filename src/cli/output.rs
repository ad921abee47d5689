//! What all verbs print besides their results: the flags about it, colours and the log.

use crate::error::{Error, Result};
use crate::log::{self, LogFormat, LogSettings};
use clap::{ArgAction, ValueEnum};
use std::io::IsTerminal;

/// The position in `--help` of the flags that every verb has: after its own.
const LAST: usize = 900;

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

/// Flags of every verb about what it prints.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct OutputArgs {
    /// Log to stderr: -v events, -vv details. ROOMBOT_LOG sets a filter instead (roombot::rtc=trace).
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = LAST)]
    pub verbose: u8,
    /// Form of what is printed on stderr: text, or json with one object a line [default: text].
    #[arg(long, global = true, env = log::FORMAT, hide_env = true, value_enum, hide_possible_values = true, value_name = "FORM", display_order = LAST)]
    pub log_format: Option<LogFormat>,
    /// When to print in colour.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN", display_order = LAST)]
    pub color: Colour,
}

impl OutputArgs {
    /// Sets up colours and the log. The log goes to stderr: stdout is for results. Flags go before what a configuration says: the format
    /// and the filter. `traced`: the verb's spans are exported, if the environment says where to.
    ///
    /// # Errors
    /// [`Error::User`]: the filter of the log, or the address for traces.
    pub(super) fn prepare(self, format: Option<LogFormat>, filter: Option<&str>, traced: bool) -> Result<()> {
        console::set_colors_enabled(self.is_coloured(&std::io::stdout()));
        log::start(&self.log(format, filter), traced)
    }

    fn log(self, format: Option<LogFormat>, filter: Option<&str>) -> LogSettings {
        LogSettings {
            format: self.log_format.or(format).unwrap_or_default(),
            filter: self.filter(filter),
            ansi: self.is_coloured(&std::io::stderr()),
            targets: self.verbose > 1,
        }
    }

    /// Which lines are logged; `configured` goes before -v.
    pub(super) fn filter(self, configured: Option<&str>) -> String {
        let default = match self.verbose {
            // The libraries log as errors what peers do wrong, on which a user cannot act.
            0 => "off,roombot=warn",
            1 => "warn,roombot=info",
            _ => "info,roombot=debug",
        };
        configured.unwrap_or(default).to_owned()
    }

    fn is_coloured(self, stream: &impl IsTerminal) -> bool {
        match self.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => std::env::var_os("NO_COLOR").is_none() && stream.is_terminal(),
        }
    }
}

/// The filter that the environment sets; one that cannot be read is none.
pub(super) fn filter_of_environment() -> Option<String> {
    std::env::var(log::FILTER).ok().filter(|filter| !filter.is_empty() && log::parse(filter).is_ok())
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
