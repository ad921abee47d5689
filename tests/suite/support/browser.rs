//! Headless Chromium with fake devices, for tests of the page. Each browser has its own empty profile and dies with its value.
//! It takes a turn on the machine (`machine.rs`), so a test has no more than one.

use super::machine::{self, Turn};
use super::moment;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use roombot::harness::chromium::Chromium;
use roombot::harness::devtools::{DevTools, Tab};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Flags beside those of every browser that the harness starts; see also `page` for the rest.
const FLAGS: &[&str] = &["use-fake-ui-for-media-stream", "force-color-profile=srgb", "lang=en_US"];

/// A script for a page that keeps hold of its connections, in `connections`.
pub const CONNECTIONS: &str = "{
    const Connection = RTCPeerConnection;
    window.connections = [];
    window.RTCPeerConnection = class extends Connection {
        constructor(...all) { super(...all); connections.push(this); }
    };
}";

/// A running Chromium; killed when dropped.
pub struct Browser {
    devtools: DevTools,
    _chromium: Chromium,
    /// Given back when all else is gone.
    _turn: Turn,
}

/// One tab.
pub struct Page {
    devtools: DevTools,
    tab: Tab,
}

impl Browser {
    /// Starts Chromium with the fake camera, microphone and screen.
    pub async fn launch() -> Browser {
        Browser::launch_with(&[]).await
    }

    /// Likewise with more flags, without their dashes: `use-file-for-fake-video-capture=x.y4m`.
    pub async fn launch_with(flags: &[&str]) -> Browser {
        Browser::start(flags, machine::share().await).await
    }

    /// For tests that measure time: no other browser runs meanwhile.
    pub async fn launch_alone() -> Browser {
        Browser::start(&[], machine::alone().await).await
    }

    async fn start(flags: &[&str], turn: Turn) -> Browser {
        let flags = FLAGS.iter().chain(flags).map(|flag| format!("--{flag}").into());
        let chromium = Chromium::start(flags, None).expect("Chromium starts");
        let devtools = chromium.devtools().await.expect("Chromium listens");
        Browser { devtools, _chromium: chromium, _turn: turn }
    }

    /// Opens a tab.
    pub async fn page(&self, url: &str) -> Page {
        let page = self.blank().await;
        page.navigate(url).await;
        page
    }

    /// Likewise; `script` runs before the page's own.
    pub async fn page_with(&self, url: &str, script: &str) -> Page {
        let page = self.blank().await;
        // Without the domain Page the script does not run.
        page.command("Page.enable", json!({})).await;
        page.command("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
        page.navigate(url).await;
        page
    }

    async fn blank(&self) -> Page {
        let tab = self.devtools.open("about:blank").await.expect("a tab opens");
        Page { devtools: self.devtools.clone(), tab }
    }
}

impl Page {
    /// Goes to another page, as a click on a link does, and waits until it is loaded.
    pub async fn navigate(&self, url: &str) {
        self.devtools.navigate(&self.tab, url).await.unwrap_or_else(|e| panic!("{url} opens: {e}"));
    }

    async fn command(&self, method: &str, params: Value) -> Value {
        self.devtools.command(Some(&self.tab), method, params).await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// The value of a JavaScript expression; a promise is waited for.
    pub async fn eval<T: DeserializeOwned>(&self, js: &str) -> T {
        let value = self.devtools.eval(&self.tab, js).await.unwrap_or_else(|e| panic!("{e}"));
        serde_json::from_value(value).unwrap_or_else(|e| panic!("{js} has another type: {e}"))
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
            moment().await;
        }
    }

    /// Sets the size of the window's inside, in CSS pixels.
    pub async fn resize(&self, width: i64, height: i64) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.command("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Writes a picture of the page (PNG).
    pub async fn screenshot(&self, path: &Path) {
        let shot = self.command("Page.captureScreenshot", json!({ "format": "png" })).await;
        let png = BASE64_STANDARD.decode(shot["data"].as_str().expect("Base64")).expect("Base64");
        std::fs::write(path, png).expect("a file for the screenshot");
    }

    /// Closes the tab as its user would.
    pub async fn close(self) {
        self.devtools.close(self.tab).await.expect("the tab closes");
    }
}
