//! A process of ours that outlives the service: started in a session of its own, watched by a pidfd, found again by its number and start.

use crate::service::database::recordings::ProcessId;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};

/// A running process, started by us or by an earlier service.
pub(super) struct Process {
    id: ProcessId,
    pidfd: AsyncFd<OwnedFd>,
    /// Ours to reap, where this service started it.
    child: Option<Child>,
}

impl Process {
    /// Starts `command` with its output in `result`, which is emptied, and its messages at the end of `log`: the file that has the
    /// recording's id for its name. It logs as the service does.
    pub(super) fn start(mut command: Command, result: &Path, log: &Path) -> io::Result<Process> {
        let recording = log.file_stem().unwrap_or_default().to_string_lossy();
        command.envs(crate::log::for_child("recording_id", &recording));
        let log = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(File::create(result)?).stderr(log);
        // Signals to the service's group (Ctrl-C on a terminal) are not meant for it.
        command.process_group(0);
        let child = command.spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("the process has no number"))?;
        let mut process = Process::find(i32::try_from(pid).map_err(io::Error::other)?)?;
        process.child = Some(child);
        Ok(process)
    }

    /// The process of that number.
    pub(super) fn find(pid: i32) -> io::Result<Process> {
        let known = Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
        let pidfd = pidfd_open(known, PidfdFlags::NONBLOCK)?;
        // SAFETY: an `OwnedFd` is an open descriptor, always the same, and nothing else closes it: it is dropped with the `AsyncFd`.
        let pidfd = unsafe { AsyncFd::register(pidfd) }?;
        Ok(Process { id: ProcessId { pid, start_ticks: start_ticks(pid)? }, pidfd, child: None })
    }

    /// The process of an earlier service, if it still runs and its command line names `what`.
    pub(super) fn adopt(id: ProcessId, what: &str) -> Option<Process> {
        let process = Process::find(id.pid).ok().filter(|process| process.id == id)?;
        let command = std::fs::read(format!("/proc/{}/cmdline", id.pid)).ok()?;
        String::from_utf8_lossy(&command).contains(what).then_some(process)
    }

    pub(super) fn id(&self) -> ProcessId {
        self.id
    }

    /// Waits for its end; returns its exit code, if this service started it and nothing killed it.
    pub(super) async fn ended(&mut self) -> Option<i32> {
        match &mut self.child {
            Some(child) => child.wait().await.ok()?.code(),
            None => {
                // An error means that there is nothing to wait for any more.
                drop(self.pidfd.readable().await);
                None
            }
        }
    }

    /// Sends it a signal; one that has ended gets none.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(self.pidfd.get_ref(), signal);
    }
}

/// When a process started, in clock ticks since boot (proc(5)). Its name may hold anything but ends at the last parenthesis.
fn start_ticks(pid: i32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = after_name.split_ascii_whitespace().nth(19).and_then(|ticks| ticks.parse().ok());
    field.ok_or_else(|| io::Error::other("/proc is not readable"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_process_is_found_again_and_its_end_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (result, log) = (folder.path().join("result"), folder.path().join("log"));
        let mut command = Command::new("sleep");
        command.arg("1000.25");
        let mut started = Process::start(command, &result, &log).unwrap();
        // For a moment after its start a process has no command line yet.
        let adopted = async {
            loop {
                match Process::adopt(started.id(), "1000.25") {
                    Some(found) => return found,
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let mut found = tokio::time::timeout(Duration::from_secs(5), adopted).await.unwrap();
        assert!(Process::adopt(started.id(), "something else").is_none());
        let other = ProcessId { start_ticks: 1, ..started.id() };
        assert!(Process::adopt(other, "1000.25").is_none());
        assert!(tokio::time::timeout(Duration::from_millis(50), found.ended()).await.is_err());
        found.signal(Signal::KILL);
        let ended = async { tokio::join!(started.ended(), found.ended()) };
        tokio::time::timeout(Duration::from_secs(5), ended).await.unwrap();
        assert!(Process::adopt(started.id(), "1000.25").is_none());
    }
}
