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
            // Nobody may be reading; the exit code says it as well.
            let _ = writeln!(std::io::stderr(), "{}", explain(&e, verbose));
            ExitCode::from(e.blame().exit_code())
        }
    }
}
