//! Blocking work of a scenario, off the async threads.

use crate::error::{Error, Result};

/// Runs blocking work on tokio's blocking threads.
///
/// # Errors
/// Those of `work`; ours if it panics.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal("a step of a scenario panicked").because(e))?
}
