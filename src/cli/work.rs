//! Long work that Ctrl-C ends: in a thread of its own, which tidies up behind itself.

use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;

/// Whether work is to stop.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// To be asked between two steps.
    ///
    /// # Errors
    /// The user's, who wants it to stop.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(stopped()) } else { Ok(()) }
    }
}

/// Works until it is done. After Ctrl-C it is waited for: its next step undoes what is half made. Whoever presses it once more does not
/// want to wait.
///
/// # Errors
/// The work's own, or that it was stopped.
pub(super) async fn work<T: Send + 'static>(make: impl FnOnce(&Stop) -> Result<T> + Send + 'static) -> Result<T> {
    let once = super::interrupted()?;
    let stop = Stop::default();
    let (done, made) = oneshot::channel();
    let asked = stop.clone();
    // No thread of the runtime, which would wait for it at its end.
    std::thread::spawn(move || done.send(make(&asked)));
    let mut made = std::pin::pin!(made);
    let ended = tokio::select! {
        ended = &mut made => ended,
        () = once => {
            stop.0.store(true, Ordering::Relaxed);
            let again = super::interrupted()?;
            tokio::select! {
                ended = &mut made => ended,
                () = again => return Err(stopped()),
            }
        }
    };
    ended.map_err(|e| Error::us("the work ended without a result").because(e))?
}

fn stopped() -> Error {
    Error::user("stopped before it was made")
}
