//! `roombot pipelines`: shows and checks pipeline templates. It runs filters only, on a second of generated media.

use super::args::PipelineArgs;
use super::print::{print_err, print_out};
use crate::error::{Error, Result};
use crate::media::{Library, Param, Template, check_template};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// List, show and check pipelines and filters.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot pipelines list
  roombot pipelines list filter/video          # only the video filters
  roombot pipelines show filter/edges          # its parameters and its text
  roombot pipelines check                      # all pipelines: build each, run each filter
  roombot pipelines check my/sepia.gst         # only this file")]
pub struct PipelinesArgs {
    #[command(flatten)]
    pipelines: PipelineArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List pipelines with their description and parameters.
    List {
        /// Only names that start with this.
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Print a pipeline and its parameters.
    Show {
        /// A name as listed, for instance feed/opus; filter/edges stands for filter/video/edges.
        name: String,
    },
    /// Parse and build pipelines; run filters on a second of media.
    Check {
        /// Files to check; by default all listed pipelines.
        files: Vec<PathBuf>,
    },
}

/// Runs the verb.
///
/// # Errors
/// [`Error::User`]: no such pipeline, or some do not work.
pub fn run(args: &PipelinesArgs) -> Result<()> {
    let library = Library::new(args.pipelines.pipelines.as_deref())?;
    match &args.action {
        Action::List { prefix } => list(&library, prefix),
        Action::Show { name } => {
            show(&library.get(name)?);
            Ok(())
        }
        Action::Check { files } if files.is_empty() => check(library.list()?.into_iter().collect()),
        Action::Check { files } => check(files.iter().map(|f| (f.display().to_string(), read(f))).collect()),
    }
}

fn read(file: &Path) -> Result<Template> {
    Library::read(file, &file.with_extension("").display().to_string())
}

fn list(library: &Library, prefix: &str) -> Result<()> {
    let all = library.list()?;
    let chosen: Vec<_> = all.iter().filter(|(name, _)| name.starts_with(prefix)).collect();
    if chosen.is_empty() {
        return Err(Error::user(format!("no pipeline's name starts with `{prefix}`")));
    }
    let widest = chosen.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, template) in chosen {
        match template {
            Ok(template) => print_out!("{name:widest$}  {}{}", template.help, names(&template.params)),
            Err(e) => print_out!("{name:widest$}  (broken) {e}"),
        }
    }
    Ok(())
}

/// The names of the parameters, in brackets.
fn names(params: &[Param]) -> String {
    let names: Vec<_> = params.iter().map(|p| p.name.as_str()).collect();
    if names.is_empty() { String::new() } else { format!(" [{}]", names.join(", ")) }
}

fn show(template: &Template) {
    print_out!("{}: {}", template.file, template.help);
    for param in &template.params {
        print_out!("  {}: {}; {}", param.name, param.kind, param.otherwise());
    }
    print_out!("\n{}", template.source().trim_end());
}

fn check(all: Vec<(String, Result<Template>)>) -> Result<()> {
    let mut broken = Vec::new();
    let count = all.len();
    for (name, template) in all {
        match template.and_then(|t| check_template(&t)) {
            Ok(()) => print_out!("ok  {name}"),
            Err(e) => broken.push(e),
        }
    }
    match broken.len() {
        0 => Ok(()),
        1 => Err(broken.remove(0)),
        n => {
            for e in &broken {
                print_err!("{e}");
            }
            Err(Error::user(format!("{n} of {count} pipelines do not work")))
        }
    }
}
