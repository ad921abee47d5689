//! Turns on this machine. Tests that wait run side by side, more of them than there are cores; what keeps a core busy (a browser, a film)
//! takes one of two shares, and what measures time takes both. Who holds a turn asks for no other.

use tokio::sync::{Semaphore, SemaphorePermit};

/// What may keep a core busy at a time.
const SHARES: u32 = 2;
static FREE: Semaphore = Semaphore::const_new(SHARES as usize);

/// Given back when it is dropped.
pub struct Turn(#[expect(dead_code, reason = "held for its end")] SemaphorePermit<'static>);

/// For what keeps one core busy. Served in the order of asking.
pub async fn share() -> Turn {
    Turn(FREE.acquire().await.expect("never closed"))
}

/// For what measures time: nothing else that keeps a core busy runs meanwhile.
pub async fn alone() -> Turn {
    Turn(FREE.acquire_many(SHARES).await.expect("never closed"))
}

/// [`share`] for a test that is not async.
pub fn blocking_share() -> Turn {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(share())
}
