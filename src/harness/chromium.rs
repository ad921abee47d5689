//! A headless Chromium process with a temporary profile. It knows no page and no scenario; `devtools` controls it.

use super::devtools::DevTools;
use crate::error::{Error, Result};
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The program, unless the environment variable `CHROMIUM` names another.
const PROGRAM: &str = "chromium";
/// Time for the children of a killed browser to release its profile.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);
/// Interval between two attempts to remove the profile.
const RELEASE_POLL: Duration = Duration::from_millis(20);

/// Fake media devices, no permission questions, no background network, no throttling of hidden tabs.
const FLAGS: &[&str] = &[
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream",
    "--remote-debugging-port=0",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--window-size=1280,720",
];

/// A running Chromium. Dropping it kills the browser and all its children and removes the profile, which may block for some seconds.
#[derive(Debug)]
pub struct Chromium {
    child: Child,
    profile: tempfile::TempDir,
}

impl Chromium {
    /// Starts a browser with an empty profile and these flags (`--name` or `--name=value`) added to the defaults. Its output goes to the file
    /// `log`, if given. The fake camera works, but its use still needs a permission.
    ///
    /// # Errors
    /// The user's: there is no Chromium, `log` cannot be written. The machine's: no temporary folder.
    pub fn start(flags: impl IntoIterator<Item = OsString>, log: Option<&Path>) -> Result<Chromium> {
        let program = std::env::var_os("CHROMIUM").unwrap_or_else(|| PROGRAM.into());
        let no_profile = |e: std::io::Error| Error::machine("cannot create a Chromium profile").because(e);
        let profile = tempfile::Builder::new().prefix("roombot-chromium-").tempdir().map_err(no_profile)?;
        let mut command = Command::new(&program);
        command.args(FLAGS);
        if rustix::process::geteuid().is_root() {
            // Chromium refuses to run its sandbox as root. It loads nothing but our own pages.
            command.arg("--no-sandbox");
        }
        let mut data_dir = OsString::from("--user-data-dir=");
        data_dir.push(profile.path());
        command.arg(data_dir).args(flags).arg("about:blank");
        let output = || -> Result<Stdio> {
            let Some(log) = log else { return Ok(Stdio::null()) };
            let cannot = |e| Error::user(format!("cannot write {}", log.display())).because(e);
            Ok(File::options().create(true).append(true).open(log).map_err(cannot)?.into())
        };
        if let Some(log) = log {
            // An old log of another run would mislead.
            let cannot = |e| Error::user(format!("cannot write {}", log.display())).because(e);
            File::create(log).map_err(cannot)?;
        }
        command.stdin(Stdio::null()).stdout(output()?).stderr(output()?);
        // Temporary files of the browser are removed with its profile.
        command.env("TMPDIR", profile.path());
        // A process group of its own: the children are killed with it, and it does not receive our Ctrl-C.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(|e| {
            let shown = program.to_string_lossy();
            Error::user(format!("cannot start {shown}: run `apt install chromium`, or set CHROMIUM to its path"))
                .because(e)
        })?;
        Ok(Chromium { child, profile })
    }

    /// The profile folder.
    pub fn profile(&self) -> &Path {
        self.profile.path()
    }

    /// Connects to the browser's DevTools as soon as it listens.
    ///
    /// # Errors
    /// The machine's: it does not start in time.
    pub async fn devtools(&self) -> Result<DevTools> {
        DevTools::connect(self.profile.path()).await
    }

    /// The exit status if the browser has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            // Fails if it has ended already.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
        // The children end a moment later, and may recreate files in the profile until then.
        let until = Instant::now() + RELEASE_TIMEOUT;
        while std::fs::remove_dir_all(self.profile.path()).is_err()
            && self.profile.path().exists()
            && Instant::now() < until
        {
            std::thread::sleep(RELEASE_POLL);
        }
    }
}
