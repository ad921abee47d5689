//! `roombot pipelines`: shows and checks pipeline templates. Builds them; never lets one run.

use super::args::PipelineArgs;
use crate::error::{Error, Result};
use crate::media::{Library, Pipeline, Template};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// Show and check pipelines.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot pipelines list
  roombot pipelines show feed/opus
  roombot pipelines check                      # every pipeline: is each element here?
  roombot pipelines check my/filter/blue.gst   # only this file")]
pub struct PipelinesArgs {
    #[command(flatten)]
    pipelines: PipelineArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Name every pipeline, with what it does.
    List,
    /// Print a pipeline and its parameters.
    Show {
        /// As listed, for instance feed/opus.
        name: String,
    },
    /// Parse and build pipelines without running them.
    Check {
        /// Files to check; without any: all that are listed.
        files: Vec<PathBuf>,
    },
}

/// Runs the verb.
pub fn run(args: &PipelinesArgs) -> Result<()> {
    let library = Library::new(args.pipelines.pipelines.as_deref())?;
    match &args.action {
        Action::List => list(&library),
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

fn list(library: &Library) -> Result<()> {
    let all = library.list()?;
    let widest = all.keys().map(|n| n.chars().count()).max().unwrap_or(0);
    for (name, template) in &all {
        match template {
            Ok(template) => println!("{name:widest$}  {}", template.help),
            Err(e) => println!("{name:widest$}  (broken) {e}"),
        }
    }
    Ok(())
}

fn show(template: &Template) {
    println!("{}: {}", template.file, template.help);
    for param in &template.params {
        let default = param.default.as_ref().map_or("must be given".into(), |d| format!("{d} unless given"));
        println!("  {}: {}; {default}", param.name, param.kind);
    }
    println!("\n{}", template.source().trim_end());
}

fn check(all: Vec<(String, Result<Template>)>) -> Result<()> {
    let mut broken = Vec::new();
    let count = all.len();
    for (name, template) in all {
        match template.and_then(|t| Pipeline::check(&t)) {
            Ok(()) => println!("ok  {name}"),
            Err(e) => broken.push(e),
        }
    }
    match broken.len() {
        0 => Ok(()),
        1 => Err(broken.remove(0)),
        n => {
            for e in &broken {
                eprintln!("{e}");
            }
            Err(Error::user(format!("{n} of {count} pipelines cannot be built")))
        }
    }
}
