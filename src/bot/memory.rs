//! Hands memory that the pipelines of those who left have freed back to the system. It frees nothing itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Pipelines need a moment to end.
const AFTER: Duration = Duration::from_secs(1);

/// Soon, and once for all who leave meanwhile. glibc keeps what was freed in its arenas, of which each thread may have one, and
/// pipelines have many threads: after two hundred visitors that were up to 40 MB for nobody.
pub(crate) fn trim_soon() {
    static DUE: AtomicBool = AtomicBool::new(false);
    if DUE.swap(true, Ordering::AcqRel) {
        return;
    }
    tokio::spawn(async {
        tokio::time::sleep(AFTER).await;
        DUE.store(false, Ordering::Release);
        // A thread of its own, that ends at once: it may take some milliseconds, and those of the runtime stay for ten seconds. Where
        // there is none, the memory stays a while longer.
        let _ = std::thread::Builder::new().name("memory".into()).spawn(give_back);
    });
}

#[cfg(target_env = "gnu")]
fn give_back() {
    // SAFETY: malloc_trim takes no pointer, may be called from any thread (malloc_trim(3): MT-Safe), and returns only pages that
    // no allocation uses.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

#[cfg(not(target_env = "gnu"))]
fn give_back() {}
