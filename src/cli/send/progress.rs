//! Progress bars of transfers, on a terminal only.

use crate::cli::terminal::printable;
use crate::client::Progress;
use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// All bars.
pub(super) struct Bars(MultiProgress);

/// The bar of one file.
pub(super) struct Bar {
    bar: ProgressBar,
    task: JoinHandle<()>,
}

impl Bars {
    /// Bars on stderr, if that is a terminal and not `hidden`.
    pub fn new(hidden: bool) -> Self {
        let show = Term::stderr().is_term() && !hidden;
        let target = if show { ProgressDrawTarget::stderr_with_hz(8) } else { ProgressDrawTarget::hidden() };
        Self(MultiProgress::with_draw_target(target))
    }

    /// Adds a bar for a file.
    pub fn follow(&self, file: &str, to: &str, mut progress: watch::Receiver<Progress>) -> Bar {
        let bar = self.0.add(ProgressBar::new(0));
        let template = "{msg:30!} [{bar:24}] {bytes}/{total_bytes}  {binary_bytes_per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(format!("{} -> {}", printable(file), printable(to)));
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            loop {
                let now = *progress.borrow_and_update();
                shown.set_length(now.size);
                shown.set_position(now.sent);
                if progress.changed().await.is_err() {
                    break;
                }
            }
        });
        Bar { bar, task }
    }
}

impl Bar {
    /// Removes the bar.
    pub fn done(self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}
