//! An ffmpeg that speaks WHIP: the system's, or the one of `imageio-ffmpeg` from PyPI, kept under `target/`.

use super::moment;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What carries such an ffmpeg (9.0.2).
const PACKAGE: &str = "imageio-ffmpeg==0.8.1";
/// How long fetching it may take.
const FETCHING: Duration = Duration::from_secs(180);

/// Where one is, or why there is none.
pub async fn with_whip() -> Result<PathBuf, String> {
    let system = PathBuf::from("ffmpeg");
    if speaks(&system) {
        return Ok(system);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(PACKAGE.replace("==", "-"));
    if let Some(kept) = kept(&folder) {
        return Ok(kept);
    }
    // A folder of its own, as a whole or not at all: another run may do the same.
    let fresh = folder.with_extension(format!("{}.part", std::process::id()));
    let pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--target"];
    let child = Command::new("python3")
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .args(pip)
        .arg(&fresh)
        .arg(PACKAGE)
        .stdin(Stdio::null())
        .spawn();
    let child = child.map_err(|e| format!("no ffmpeg here speaks WHIP, and python3 cannot fetch one: {e}"))?;
    let fetched = ended(child, FETCHING).await == Some(0);
    let _ = std::fs::rename(&fresh, &folder);
    let _ = std::fs::remove_dir_all(&fresh);
    let found = if fetched { kept(&folder) } else { None };
    found.ok_or_else(|| format!("no ffmpeg here speaks WHIP, and pip cannot fetch {PACKAGE}"))
}

fn kept(folder: &Path) -> Option<PathBuf> {
    let binaries = std::fs::read_dir(folder.join("imageio_ffmpeg/binaries")).ok()?;
    binaries.flatten().map(|entry| entry.path()).find(|path| speaks(path))
}

fn speaks(ffmpeg: &Path) -> bool {
    let muxers = Command::new(ffmpeg).args(["-hide_banner", "-muxers"]).output();
    muxers.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).lines().any(|line| line.contains(" whip ")))
}

/// Waits for the end of a program, and kills it where that does not come: its exit code. FFmpeg has been seen to ignore SIGTERM when
/// it was through.
pub async fn ended(mut child: Child, within: Duration) -> Option<i32> {
    let until = Instant::now() + within;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().expect("a child") {
            return status.code();
        }
        moment().await;
    }
    child.kill().expect("it was running");
    let _ = child.wait();
    None
}
