//! A status that is drawn on stderr by a task, and cleared when it is closed. What is drawn belongs to the commands.

use std::future::Future;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A running display.
pub(super) struct Display {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Display {
    /// Runs `draw`, which ends when its receiver changes.
    pub fn start<F>(draw: impl FnOnce(watch::Receiver<bool>) -> F) -> Display
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        Display { stop, task: tokio::spawn(draw(stopped)) }
    }

    /// Stops the display and clears it.
    pub async fn close(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}
