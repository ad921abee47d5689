//! `roombot completions` and `roombot man`: what a package installs beside the program. Hidden verbs: their readers are packagers.

use super::print::print_out;
use crate::error::{Error, Result};
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Print what completes commands and flags in a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot completions bash > /usr/share/bash-completion/completions/roombot
  roombot completions fish > ~/.config/fish/completions/roombot.fish
  roombot completions zsh > ~/.zfunc/_roombot              # with fpath+=~/.zfunc before compinit")]
pub struct CompletionsArgs {
    /// bash, zsh, fish, elvish or powershell.
    #[arg(value_enum, hide_possible_values = true)]
    shell: Shell,
}

/// Print the manual page, or write those of all commands.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot man | man -l -
  roombot man --to /usr/local/share/man/man1")]
pub struct ManArgs {
    /// Folder for a page of each command: roombot.1, roombot-record.1 and so on. It is made if it is missing.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Prints the completions of `program`.
///
/// # Errors
/// [`Error::Machine`]: they cannot be printed.
pub fn completions(args: &CompletionsArgs, mut program: Command) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut program, "roombot", &mut text);
    print(&text)
}

/// Prints the manual of `program`, or writes its pages.
///
/// # Errors
/// [`Error::User`]: the folder cannot be written. [`Error::Machine`]: the page cannot be printed.
pub fn man(args: &ManArgs, program: Command) -> Result<()> {
    let Some(folder) = &args.to else {
        return print(page(&Man::new(program))?.as_bytes());
    };
    std::fs::create_dir_all(folder).map_err(|e| unwritable(folder, e))?;
    let mut program = program.disable_help_subcommand(true);
    program.build();
    write_pages(program, folder)?;
    print_out!("The pages are in {}", folder.display());
    Ok(())
}

fn write_pages(command: Command, folder: &Path) -> Result<()> {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        write_pages(command.clone(), folder)?;
    }
    let man = Man::new(command);
    std::fs::write(folder.join(man.get_filename()), page(&man)?).map_err(|e| unwritable(folder, e))
}

fn unwritable(folder: &Path, e: std::io::Error) -> Error {
    Error::user(format!("{}: {e}", folder.display())).because(e)
}

/// The page, with examples as they are written: `clap_mangen` would wrap and justify them.
fn page(man: &Man) -> Result<String> {
    let mut text = Vec::new();
    man.render(&mut text).map_err(|e| Error::internal("the manual cannot be made").because(e))?;
    let mut page = String::new();
    let (mut in_notes, mut as_written) = (false, false);
    for line in String::from_utf8_lossy(&text).lines() {
        if line.starts_with(".SH") {
            in_notes = line == ".SH EXTRA";
        }
        if as_written != (in_notes && line.starts_with("  ")) {
            as_written = !as_written;
            page.push_str(if as_written { ".nf\n" } else { ".fi\n" });
        }
        page.push_str(if line == ".SH EXTRA" { ".SH NOTES" } else { line });
        page.push('\n');
    }
    Ok(page)
}

fn print(text: &[u8]) -> Result<()> {
    match std::io::stdout().lock().write_all(text) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::machine("cannot print").because(e)),
        _ => Ok(()),
    }
}
