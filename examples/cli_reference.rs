//! Prints `docs/cli.md`, the help of every verb: `cargo run --example cli_reference > docs/cli.md`

use clap::{Arg, Command, CommandFactory};
use roombot::cli::Cli;

/// Columns of the page.
const WIDTH: usize = 100;

const INTRODUCTION: &str = "# Command line reference

Made by `cargo run --example cli_reference > docs/cli.md` from what `--help` prints.

Exit codes: 0 success, 1 a bug in roombot, 2 usage error, 3 the room is unreachable or refused, 4 local resource problem (disk, memory,
codec), 5 an expectation failed (`verify`, `check`), 6 inconclusive (`verify`, `check`), 7 recorded with losses (`record`).
";

fn main() {
    print!("{}", page());
}

fn page() -> String {
    let mut root = Cli::command().term_width(WIDTH);
    root.build();
    let mut page = INTRODUCTION.to_owned();
    add(&root, false, &mut page);
    page
}

/// The options of every verb: only the first section has them.
const COMMON: [&str; 5] = ["color", "log_format", "verbose", "help", "version"];

/// Adds the help of a command and of those below it.
fn add(command: &Command, below_root: bool, page: &mut String) {
    let hide_common = |arg: Arg| if COMMON.contains(&arg.get_id().as_str()) { arg.hide(true) } else { arg };
    let mut shown = command.clone().term_width(WIDTH);
    if below_root {
        shown = shown.mut_args(hide_common);
    }
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let help = shown.render_long_help().to_string();
    let help: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    page.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", help.join("\n")));
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        add(verb, true, page);
    }
}

#[test]
fn the_page_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
    let current = std::fs::read_to_string(path).expect("docs/cli.md");
    assert!(current == page(), "run `cargo run --example cli_reference > docs/cli.md`");
}
