//! The demo's participants: a process for each, as elsewhere they would be on machines of their own.

use crate::error::{Error, Result};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// How long each may take to leave.
const LEAVE: Duration = Duration::from_secs(3);

/// The participants' processes. Killed when dropped.
#[derive(Default)]
pub(super) struct Participants(Vec<Child>);

impl Participants {
    pub fn add(&mut self, url: &str, name: &str, media: &Path, more: &[&OsStr]) -> Result<()> {
        let failed = |e: std::io::Error| Error::machine(format!("{name} cannot be started")).because(e);
        let child = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["feed", url, "--as", name, "--loop"])
            .arg(media)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Not stopped by Ctrl-C on the terminal, but by `leave`.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        self.0.push(child);
        Ok(())
    }

    /// Asks all processes to leave, and waits a few seconds for each.
    pub async fn leave(&mut self) {
        let mut children = std::mem::take(&mut self.0);
        for child in &children {
            let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        for child in &mut children {
            let _ = tokio::time::timeout(LEAVE, child.wait()).await;
        }
    }
}
