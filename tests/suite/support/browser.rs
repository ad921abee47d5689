//! Headless Chromium with fake devices, for tests of the page. Each browser has its own empty profile and dies with its value;
//! no more than two run at a time, however many threads the tests have.

use super::within;
use chromiumoxide::browser::{Browser as Chromium, BrowserConfig};
use chromiumoxide::cdp::browser_protocol::emulation::SetDeviceMetricsOverrideParams;
use chromiumoxide::cdp::browser_protocol::page::CaptureScreenshotFormat;
use chromiumoxide::cdp::js_protocol::runtime::EvaluateParams;
use chromiumoxide::page::ScreenshotParams;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

/// Flags for media without devices, questions or a network; see also `page` for the rest.
const FLAGS: &[&str] = &[
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "use-fake-device-for-media-stream",
    "use-fake-ui-for-media-stream",
    "allow-loopback-in-peer-connection",
    // A hidden tab must go on as a shown one does: tests have several.
    "disable-background-timer-throttling",
    "disable-backgrounding-occluded-windows",
    "disable-renderer-backgrounding",
];

/// Seconds that one command to the browser may take.
const COMMAND: u64 = 30;

/// Browsers that may run at a time: each keeps a core busy. A test has no more than one, so that nobody waits for each other.
const AT_A_TIME: u32 = 2;
static TURNS: Semaphore = Semaphore::const_new(AT_A_TIME as usize);

/// A running Chromium; killed when dropped.
pub struct Browser {
    chromium: Chromium,
    events: JoinHandle<()>,
    profile: TempDir,
    /// Given back when all else is gone.
    _turn: SemaphorePermit<'static>,
}

/// One tab.
pub struct Page(chromiumoxide::Page);

impl Browser {
    /// Starts Chromium with the fake camera, microphone and screen.
    pub async fn launch() -> Browser {
        Browser::launch_with(&[]).await
    }

    /// Likewise with more flags, without their dashes: `use-file-for-fake-video-capture=x.y4m`.
    pub async fn launch_with(flags: &[&str]) -> Browser {
        Browser::start(flags, 1).await
    }

    /// For tests that measure time: no other browser runs meanwhile.
    pub async fn launch_alone() -> Browser {
        Browser::start(&[], AT_A_TIME).await
    }

    /// A turn for a browser that somebody else starts; over when dropped.
    pub async fn turn() -> SemaphorePermit<'static> {
        TURNS.acquire().await.expect("never closed")
    }

    async fn start(flags: &[&str], turns: u32) -> Browser {
        let turn = TURNS.acquire_many(turns).await.expect("never closed");
        let profile = tempfile::Builder::new().prefix("roombot-chromium-").tempdir().expect("a folder for the profile");
        let config = BrowserConfig::builder()
            .chrome_executable(std::env::var_os("CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".into()))
            .user_data_dir(profile.path())
            // Its lock's socket, which it would leave behind.
            .env("TMPDIR", profile.path().display().to_string())
            .new_headless_mode()
            .no_sandbox()
            .window_size(1280, 720)
            .viewport(None)
            .request_timeout(Duration::from_secs(COMMAND))
            .launch_timeout(Duration::from_secs(60))
            .args(FLAGS.iter().copied().chain(flags.iter().copied()))
            .arg(("autoplay-policy", "no-user-gesture-required"))
            .build()
            .expect("a configuration for Chromium");
        let (chromium, mut handler) = Chromium::launch(config).await.expect("Chromium starts");
        // An event that this crate does not know is an error to it; there is nothing to do about one.
        let events = tokio::spawn(async move { while handler.next().await.is_some() {} });
        Browser { chromium, events, profile, _turn: turn }
    }

    /// Opens a tab.
    pub async fn page(&self, url: &str) -> Page {
        let page = within(COMMAND, url, self.chromium.new_page(url)).await;
        Page(page.unwrap_or_else(|e| panic!("{url} opens: {e}")))
    }

    /// Likewise; `script` runs before the page's own.
    pub async fn page_with(&self, url: &str, script: &str) -> Page {
        let page = self.page("about:blank").await;
        within(COMMAND, "a script", page.0.evaluate_on_new_document(script)).await.expect("a script of ours");
        within(COMMAND, url, page.0.goto(url)).await.unwrap_or_else(|e| panic!("{url} opens: {e}"));
        page
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.events.abort();
        if let Some(child) = self.chromium.get_mut_child() {
            // At once, and not when the runtime comes round to it: the profile's folder goes next.
            let _ = child.as_mut_inner().start_kill();
            let patience = Instant::now() + Duration::from_secs(2);
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(10));
            }
            // Its children end a moment after it, and until then may write where it has been deleted.
            while std::fs::remove_dir_all(self.profile.path()).is_err()
                && self.profile.path().exists()
                && Instant::now() < patience
            {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

impl Page {
    /// The value of a JavaScript expression; a promise is waited for.
    pub async fn eval<T: DeserializeOwned>(&self, js: &str) -> T {
        let params = EvaluateParams::builder()
            .expression(js)
            .await_promise(true)
            .return_by_value(true)
            .user_gesture(true)
            .build();
        let value = within(COMMAND, js, self.0.evaluate_expression(params.expect("an expression"))).await;
        let value = value.unwrap_or_else(|e| panic!("{js}: {e}"));
        value.into_value().unwrap_or_else(|e| panic!("{js} has another type: {e}"))
    }

    /// Runs JavaScript for what it does.
    pub async fn run(&self, js: &str) {
        let _: bool = self.eval(&format!("(async () => {{ {js} }})().then(() => true)")).await;
    }

    /// Waits until an expression (or what it promises) is truthy; panics with `what` and the page's state when it is late.
    pub async fn wait_for(&self, condition: &str, deadline: Duration, what: &str) {
        let until = Instant::now() + deadline;
        let condition = format!("Promise.resolve({condition}).then(Boolean)");
        while !self.eval::<bool>(&condition).await {
            if Instant::now() > until {
                let state: serde_json::Value = self.eval("window.roombot ? roombot.state : document.title").await;
                panic!("not within {deadline:?}: {what}\n{condition}\n{state:#}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sets the size of the window's inside, in CSS pixels.
    pub async fn resize(&self, width: i64, height: i64) {
        let metrics = SetDeviceMetricsOverrideParams::new(width, height, 1.0, width < 600);
        within(COMMAND, "the size is set", self.0.execute(metrics)).await.expect("the size is set");
    }

    /// Writes a picture of the page (PNG).
    pub async fn screenshot(&self, path: &Path) {
        let params = ScreenshotParams::builder().format(CaptureScreenshotFormat::Png).build();
        within(COMMAND, "a screenshot", self.0.save_screenshot(params, path)).await.expect("a screenshot");
    }

    /// Closes the tab as its user would.
    pub async fn close(self) {
        within(COMMAND, "the tab closes", self.0.close()).await.expect("the tab closes");
    }
}
