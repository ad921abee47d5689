//! Session time by the clock that counts from the machine's boot. A next part on the same machine begins by it: the wall clock may have been
//! set since the part before. A hidden file in the recording's folder has it, which leaves the machine with no copy of the recording.

use crate::recording::folder::RecordingFolder;
use nix::time::{ClockId, clock_gettime};
use std::path::Path;
use std::time::Duration;

/// `{boot id} {milliseconds from the boot to session time 0, which may be before it}`.
pub(super) const FILE: &str = ".boot";

/// The session time now. None: the part before was on another machine, or before this one was booted.
pub(super) fn session_ms(folder: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(folder.join(FILE)).ok()?;
    let (boot, zero) = text.split_once(' ')?;
    let zero: i128 = zero.parse().ok()?;
    (boot == id()?).then_some(())?;
    u64::try_from(now()? - zero).ok()
}

/// Notes that it is this session time now. Without it the wall clock counts.
pub(crate) fn note(folder: &RecordingFolder, session_ms: u64) {
    let Some((boot, now)) = id().zip(now()) else { return };
    if let Err(e) = folder.put_hidden(FILE, &format!("{boot} {}", now - i128::from(session_ms))) {
        tracing::warn!("the clock of a recording cannot be noted: {e}");
    }
}

/// Another one after each boot (random(4)).
fn id() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

fn now() -> Option<i128> {
    let now: Duration = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?.into();
    i128::try_from(now.as_millis()).ok()
}
