//! The time until which recorders may be in their rooms, in a file: written by whoever holds the lease, read by the recorders. A recorder
//! whose writer was killed, stopped or cut off reads an old time and leaves by itself.
//!
//! The clock is the machine's since its boot, the same for all processes; nobody sets it, and it goes on while the machine sleeps.

use nix::time::{ClockId, clock_gettime};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The time since the machine's boot.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::MAX, Duration::from)
}

/// A file with such a time, in milliseconds.
#[derive(Debug, Clone)]
pub struct LeaseFile {
    path: PathBuf,
}

impl LeaseFile {
    /// The one at `path`, which need not be there.
    pub fn at(path: impl Into<PathBuf>) -> LeaseFile {
        LeaseFile { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the time. Readers see the old or the new one.
    ///
    /// # Errors
    /// The disk's; the old time is there then.
    pub fn write(&self, until: Duration) -> io::Result<()> {
        let part = self.path.with_extension("part");
        let mut file = std::fs::File::create(&part)?;
        file.write_all(until.as_millis().to_string().as_bytes())?;
        drop(file);
        std::fs::rename(part, &self.path)
    }

    /// Whether recorders may be in their rooms at this time. Not if the file cannot be read.
    pub fn holds(&self, now: Duration) -> bool {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        text.parse().is_ok_and(|until| now.as_millis() < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_holds_until_its_time_and_never_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let lease = LeaseFile::at(folder.path().join("lease"));
        assert!(!lease.holds(Duration::ZERO));
        lease.write(Duration::from_millis(1500)).unwrap();
        assert!(lease.holds(Duration::from_millis(1499)) && !lease.holds(Duration::from_millis(1500)));
        lease.write(Duration::from_millis(2000)).unwrap();
        assert!(lease.holds(Duration::from_millis(1500)));
        std::fs::write(lease.path(), "soon").unwrap();
        assert!(!lease.holds(Duration::ZERO));
        assert!(now() > Duration::ZERO && now() < Duration::MAX);
    }
}
