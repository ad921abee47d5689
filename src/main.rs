//! Parses the command line, runs one verb, and turns its error into an exit code.

use clap::Parser;
use roombot::cli::{Cli, explain};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let verbose = cli.output.verbose > 0;
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            roombot::log::tell_error(&explain(&e, verbose));
            ExitCode::from(e.exit_code())
        }
    }
}
