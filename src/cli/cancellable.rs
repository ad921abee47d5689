//! Long blocking work that Ctrl-C cancels: on a thread of its own, which removes what it has half made.

use super::runtime::interrupted;
use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;

/// Whether the work has been cancelled.
#[derive(Debug, Clone, Default)]
pub(super) struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// To be called between two steps.
    ///
    /// # Errors
    /// [`Error::User`]: the user has cancelled.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(cancelled()) } else { Ok(()) }
    }
}

/// Runs `work` to its end. The first Ctrl-C sets the flag and still waits for the work, which cleans up at its next check; the second one
/// does not wait.
///
/// # Errors
/// The work's own, or that it was cancelled.
pub(super) async fn cancellable<T: Send + 'static>(
    work: impl FnOnce(&CancelFlag) -> Result<T> + Send + 'static,
) -> Result<T> {
    let first = interrupted()?;
    let flag = CancelFlag::default();
    let (done, result) = oneshot::channel();
    let given = flag.clone();
    // Not a thread of the runtime, which would wait for it at its end.
    std::thread::spawn(move || done.send(work(&given)));
    let mut result = std::pin::pin!(result);
    let ended = tokio::select! {
        ended = &mut result => ended,
        () = first => {
            flag.0.store(true, Ordering::Relaxed);
            let second = interrupted()?;
            tokio::select! {
                ended = &mut result => ended,
                () = second => return Err(cancelled()),
            }
        }
    };
    ended.map_err(|e| Error::internal("the work ended without a result").because(e))?
}

fn cancelled() -> Error {
    Error::user("stopped before it was finished")
}
