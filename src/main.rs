//! Parses the command line, runs one verb, and turns its error into an exit code.

use clap::Parser;
use roombot::cli::{Cli, explain};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let verbose = cli.verbose > 0;
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // stderr may be closed.
            let _ = writeln!(std::io::stderr(), "{}", explain(&e, verbose));
            ExitCode::from(e.exit_code())
        }
    }
}
