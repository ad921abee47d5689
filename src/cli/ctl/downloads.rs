//! `roombot ctl archive` and `link`: what was recorded, as a file, or for somebody without a key.

use super::service::{Service, TIMEOUT, encoded, unanswered};
use super::text::word;
use crate::cli::args::duration;
use crate::cli::print::print_out;
use crate::cli::runtime::interrupted;
use crate::error::{Error, Result, write_failed};
use clap::Args;
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::{Method, Response};
use serde_json::json;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot ctl archive rec_01jdzq4h8v0t3k5m7n9p1r3s5t
  roombot ctl archive rec_01jdzq4h8v0t3k5m7n9p1r3s5t -o standup.zip

The file is there when all of it has arrived. An existing one is not overwritten.")]
pub(super) struct ArchiveArgs {
    /// The recording's id.
    #[arg(value_name = "RECORDING")]
    id: String,
    /// The file to make; RECORDING.zip if absent.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl ArchiveArgs {
    pub async fn run(&self, service: &Service) -> Result<()> {
        let mut stop = std::pin::pin!(interrupted()?);
        let out = self.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.zip", encoded(&self.id))));
        // Before all of it was sent for nothing; what comes into being meanwhile is not overwritten either.
        if out.symlink_metadata().is_ok() {
            return Err(exists(&out));
        }
        let download = async {
            let path = format!("/v1/recordings/{}/archive.zip", encoded(&self.id));
            keep(service.answer(service.request(Method::GET, &path)).await?, &out).await
        };
        let bytes = tokio::select! {
            bytes = download => bytes?,
            () = &mut stop => return Err(Error::user("stopped before all of it had arrived")),
        };
        service
            .print(&json!({ "file": out.display().to_string(), "bytes": bytes }), |_| print_out!("{}", out.display()));
        Ok(())
    }
}

/// Writes an answer to a file that does not exist yet, and only if it is whole. Returns its bytes.
async fn keep(answer: Response, out: &Path) -> Result<u64> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // What a file has that anybody makes; the user's umask takes its part.
    let usual = Permissions::from_mode(0o666);
    let file = tempfile::Builder::new().prefix(".roombot-").suffix(".part").permissions(usual).tempfile_in(folder);
    let mut file = file.map_err(|e| write_failed(out, e))?;
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{spinner} {bytes}  {bytes_per_sec}");
    bar.set_style(style.map_err(|e| Error::internal("bad template of the progress bar").because(e))?);
    let mut pieces = answer.bytes_stream();
    let silent = || Error::room("the service sends nothing any more");
    while let Some(piece) = tokio::time::timeout(TIMEOUT, pieces.next()).await.map_err(|_| silent())? {
        let piece = piece.map_err(unanswered)?;
        file.write_all(&piece).map_err(|e| write_failed(out, e))?;
        bar.inc(piece.len() as u64);
    }
    bar.finish_and_clear();
    file.as_file().sync_all().map_err(|e| write_failed(out, e))?;
    file.persist_noclobber(out).map_err(|e| match e.error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(out),
        _ => write_failed(out, e.error),
    })?;
    Ok(bar.position())
}

fn exists(out: &Path) -> Error {
    Error::user(format!("{} exists; name another file with -o", out.display()))
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  roombot ctl link rec_01jdzq4h8v0t3k5m7n9p1r3s5t film.mp4 --for 24h
  roombot ctl link rec_01jdzq4h8v0t3k5m7n9p1r3s5t              # all of it, as a ZIP file

Whoever has the link can download until it expires. It cannot be taken back; it ends with the recording.")]
pub(super) struct LinkArgs {
    /// The recording's id.
    #[arg(value_name = "RECORDING")]
    id: String,
    /// A file of it, as `roombot ctl show` lists them; all of it if absent.
    #[arg(value_name = "PATH")]
    path: Option<String>,
    /// How long it works, at most a week: 30m, 24h.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, default_value = "1h")]
    duration: Duration,
}

impl LinkArgs {
    pub async fn run(&self, service: &Service) -> Result<()> {
        let mut body = json!({ "expires_in_s": self.duration.as_secs() });
        if let Some(path) = &self.path {
            body["path"] = path.clone().into();
        }
        let link = service.post(&format!("/v1/recordings/{}/links", encoded(&self.id)), &body).await?;
        service.print(&link, |link| print_out!("{}{}", service.url(), word(&link["url"])));
        Ok(())
    }
}
