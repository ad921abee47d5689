//! `roombot pipelines`: shows and checks pipeline templates. It runs filters only, on a second of generated media.

use super::args::PipelineArgs;
use super::say::{say, tell};
use crate::error::{Error, Result};
use crate::media::{Library, Param, Template, check_template};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// Show and check pipelines and filters.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot pipelines list
  roombot pipelines list filter/video          # only the filters for pictures
  roombot pipelines show filter/edges          # what it takes, and its text
  roombot pipelines check                      # every pipeline: is each element here, does each filter work?
  roombot pipelines check my/sepia.gst         # only this file")]
pub struct PipelinesArgs {
    #[command(flatten)]
    pipelines: PipelineArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Name every pipeline, with what it does and which parameters it takes.
    List {
        /// Only those whose names begin with this.
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Print a pipeline and its parameters.
    Show {
        /// As listed, for instance feed/opus; filter/edges is filter/video/edges.
        name: String,
    },
    /// Parse and build pipelines, and let a second of media through those that are filters.
    Check {
        /// Files to check; without any: all that are listed.
        files: Vec<PathBuf>,
    },
}

/// Runs the verb.
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
        return Err(Error::user(format!("no pipeline's name begins with `{prefix}`")));
    }
    let widest = chosen.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, template) in chosen {
        match template {
            Ok(template) => say!("{name:widest$}  {}{}", template.help, names(&template.params)),
            Err(e) => say!("{name:widest$}  (broken) {e}"),
        }
    }
    Ok(())
}

/// The names of the parameters, as they stand behind the help.
fn names(params: &[Param]) -> String {
    let names: Vec<_> = params.iter().map(|p| p.name.as_str()).collect();
    if names.is_empty() { String::new() } else { format!(" [{}]", names.join(", ")) }
}

fn show(template: &Template) {
    say!("{}: {}", template.file, template.help);
    for param in &template.params {
        say!("  {}: {}; {}", param.name, param.kind, param.otherwise());
    }
    say!("\n{}", template.source().trim_end());
}

fn check(all: Vec<(String, Result<Template>)>) -> Result<()> {
    let mut broken = Vec::new();
    let count = all.len();
    for (name, template) in all {
        match template.and_then(|t| check_template(&t)) {
            Ok(()) => say!("ok  {name}"),
            Err(e) => broken.push(e),
        }
    }
    match broken.len() {
        0 => Ok(()),
        1 => Err(broken.remove(0)),
        n => {
            for e in &broken {
                tell!("{e}");
            }
            Err(Error::user(format!("{n} of {count} pipelines do not work")))
        }
    }
}
