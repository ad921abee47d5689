//! `record --lease FILE`: ends the recording when the time in the file is over.

use super::session::Session;
use crate::error::{Error, Result};
use crate::record::lease::{LeaseFile, now};
use crate::room::end::EndReason;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often the file is read.
const LOOK: Duration = Duration::from_millis(50);

/// Watches the file, on a thread of its own: it may be on a disk that hangs.
///
/// # Errors
/// The machine's: no thread can be started.
pub(super) fn watch(file: &Path, session: Arc<Session>) -> Result<()> {
    let lease = LeaseFile::at(file);
    let watch = move || {
        while lease.holds(now()) {
            std::thread::sleep(LOOK);
        }
        session.stop(EndReason::LeaseLost);
    };
    let started = std::thread::Builder::new().name("lease".into()).spawn(watch);
    started.map(drop).map_err(|e| Error::machine("cannot start a thread").because(e))
}
