//! Parses the command line, runs one verb, and turns its error into an exit code.

use clap::Parser;
use roombot::cli::{Cli, explain};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{}", explain(&e, cli.verbose > 0));
            ExitCode::from(e.blame().exit_code())
        }
    }
}
