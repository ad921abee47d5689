//! Pages of people that talk and share files, in Chromium.

use crate::support::browser::{Browser, Page};
use crate::support::server::TestServer;
use std::time::Duration;

pub const PATIENCE: Duration = Duration::from_secs(40);

/// Without picture and sound, so that the machine has time for the rest.
pub async fn join(browser: &Browser, server: &TestServer, name: &str) -> Page {
    let query = format!("name={name}&auto=1&camera=0&mic=0");
    let page = browser.page(&server.page("test", &query)).await;
    page.wait_for("window.roombot?.state.phase === 'joined'", PATIENCE, "joined").await;
    page
}

/// So many others, each connected, with an open chat.
pub async fn meets(page: &Page, others: usize) {
    let js = format!("roombot.state.peers.filter((one) => one.chat === 'open').length === {others}");
    page.wait_for(&js, PATIENCE, "the chats open").await;
}

/// JavaScript for a file of so many bytes that differ.
pub fn file(name: &str, bytes: usize) -> String {
    format!("new File([Uint8Array.from({{ length: {bytes} }}, (_, i) => (i * 7 + (i >> 8) * 13) % 251)], {name:?})")
}
