//! `roombot fetch`: rebuilds a recording's folder from an object store: of a service, or of a machine that is lost.

use super::print::{print_err, print_out};
use crate::error::{Error, Result};
use crate::recording::recover::recover;
use crate::service::{FetchedRecording, ServiceConfig, fetch_recording};
use std::path::PathBuf;

/// Fetch a recording from an object store into a folder: whole, or as far as it was sent while it was recorded.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  roombot fetch s3://meetings/default/2026/11/29/standup/rec_01jd… standup
  roombot fetch --config /etc/roombot.toml s3://meetings/…/rec_01jd… standup

One that was cut short is finished as after a crash; `roombot compose` makes a film of it. Credentials and other options are those of [store] in \
the configuration (--config, ROOMBOT_STORE__OPTIONS__…), or come from the environment as the store's own tools have them.")]
pub struct FetchArgs {
    /// The recording's place in the store: its `storage.url` (s3://, gs://, az://, file:///).
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// The folder to make; it must not exist, or be empty.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The service's configuration file, for the options of its store.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Leave a recording that was cut short as it is.
    #[arg(long)]
    no_recover: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Fetches the recording and finishes it.
///
/// # Errors
/// [`Error::User`]: the address, the folder, nothing is there. [`Error::Room`]: the store. [`Error::Machine`]: the disk.
pub async fn run(args: FetchArgs) -> Result<()> {
    let config = ServiceConfig::load(args.config.as_deref())?;
    let fetched = fetch_recording(config.store.as_ref(), &args.address, &args.folder).await?;
    let Some(FetchedRecording { whole, files, bytes }) = fetched else {
        return Err(Error::user(format!("{}: there is no recording", args.address)));
    };
    let folder = args.folder.clone();
    let recovered = if args.no_recover {
        None
    } else {
        tokio::task::spawn_blocking(move || recover(&folder))
            .await
            .map_err(|e| Error::internal("the recovery failed").because(e))??
    };
    let folder = args.folder.display();
    if args.json {
        let folder = folder.to_string();
        let recovered = recovered.map(|recovery| recovery.to_string());
        let line = serde_json::json!({ "folder": folder, "whole": whole, "files": files, "bytes": bytes, "recovered": recovered });
        print_out!("{line}");
        return Ok(());
    }
    print_out!("{folder}: {files} files, {bytes} bytes{}", if whole { "" } else { "; what came last may be missing" });
    if let Some(recovery) = recovered {
        print_err!("{recovery}");
    }
    Ok(())
}
