//! A screen that is no longer shared ends wherever it went, in whatever way its sender says so.

use crate::support::bot::Bot;
use crate::support::browser::{Browser, CONNECTIONS, Page};
use crate::support::needs::{needed, tools};
use crate::support::sender::PATIENCE;
use crate::support::server::TestServer;
use std::time::Duration;

/// The echo of the screen is shown on the page, and moves.
const BACK: &str = "roombot.stats().then((all) => Object.values(all).some(({ inbound }) =>
    inbound.some((one) => one.source === 'screen' && one.framesDecoded > 5)))";
/// Nothing of theirs is labelled as a screen.
const GONE: &str = "(() => {
    const [peer] = roombot.state.peers;
    return !peer.labels.some((label) => label.source === 'screen');
})()";

async fn echoed(browser: &Browser, server: &TestServer, room: &str) -> Page {
    let url = server.page(room, "name=Alice&auto=1&width=320&height=180&fps=10");
    let page = browser.page_with(&url, CONNECTIONS).await;
    page.wait_for("window.roombot?.state.phase === 'joined'", PATIENCE, "joined").await;
    page
}

/// Remote tracks that a page shows as live video.
const LIVE: &str = "connections.flatMap((pc) => pc.getTransceivers())
    .filter((one) => ['sendrecv', 'recvonly'].includes(one.currentDirection) && one.receiver.track.kind === 'video').length";

#[tokio::test(flavor = "multi_thread")]
async fn an_echoed_screen_ends_when_it_is_no_longer_shared() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let bot = Bot::start(&["echo", &server.room("unshared"), "--json"]);
    let page = echoed(&browser, &server, "unshared").await;
    for _ in 0..2 {
        page.wait_for(&format!("{LIVE} === 1"), PATIENCE, "the camera comes back").await;
        page.run("await roombot.share(true)").await;
        page.wait_for(BACK, PATIENCE, "the screen comes back").await;
        page.wait_for(&format!("{LIVE} === 2"), PATIENCE, "two pictures come back").await;
        page.run("await roombot.share(false)").await;
        page.wait_for(&format!("{LIVE} === 1"), Duration::from_secs(3), "its echo ends").await;
        page.wait_for(GONE, Duration::from_secs(3), "its echo's label is gone").await;
    }
    bot.interrupt();
    assert_eq!(bot.ended(Duration::from_secs(10)).await.code, Some(0));
}
