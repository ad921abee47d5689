//! The asynchronous runtime that verbs run on, and the signals that stop them.

use crate::error::{Error, Result};
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A runtime with one thread per core.
///
/// # Errors
/// [`Error::Machine`]: threads cannot be started.
pub(super) fn runtime() -> Result<Runtime> {
    runtime_with(std::thread::available_parallelism().map_or(1, NonZeroUsize::get))
}

/// A runtime with this many threads; at least one.
///
/// # Errors
/// [`Error::Machine`]: threads cannot be started.
pub(super) fn runtime_with(threads: usize) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    // Blocking threads, which shut pipelines down, end after a second instead of ten: a bot that many join and leave stays small.
    builder.worker_threads(threads.max(1)).thread_keep_alive(Duration::from_secs(1)).enable_all();
    builder.build().map_err(|e| Error::machine("cannot start threads").because(e))
}

/// Completes when the terminal is closed (SIGHUP), which does not end the process from this call on.
///
/// # Errors
/// [`Error::Machine`]: the signal cannot be received.
pub(super) fn hung_up() -> Result<impl Future<Output = ()> + Send + 'static> {
    let failed = |e: std::io::Error| Error::machine("cannot handle the end of the terminal").because(e);
    let mut hung_up = signal(SignalKind::hangup()).map_err(failed)?;
    Ok(async move {
        hung_up.recv().await;
    })
}

/// Requests to read the configuration again (SIGHUP), from this call on. `None` on a terminal, where the signal means that it was closed.
///
/// # Errors
/// [`Error::Machine`]: the signal cannot be received.
pub(super) fn reload_requests() -> Result<Option<Signal>> {
    if std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let failed = |e: std::io::Error| Error::machine("cannot handle SIGHUP").because(e);
    signal(SignalKind::hangup()).map(Some).map_err(failed)
}

/// Completes on SIGINT or SIGTERM. Signals count from this call on, not from the first poll.
///
/// # Errors
/// [`Error::Machine`]: the signals cannot be received.
pub(super) fn interrupted() -> Result<impl Future<Output = ()> + Send + 'static> {
    let failed = |e: std::io::Error| Error::machine("cannot handle Ctrl-C").because(e);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
