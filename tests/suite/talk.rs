//! Chat and files between pages in Chromium: said, sent, taken, cancelled, lost and resumed.

use crate::support::browser::{Browser, Page};
use crate::support::server::TestServer;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(40);

/// Without picture and sound, so that the machine has time for the rest.
async fn join(browser: &Browser, server: &TestServer, name: &str) -> Page {
    let query = format!("name={name}&auto=1&camera=0&mic=0");
    let page = browser.page(&server.page("test", &query)).await;
    page.wait_for("window.roombot?.state.phase === 'joined'", PATIENCE, "joined").await;
    page
}

/// So many others, each connected, with an open chat.
async fn meets(page: &Page, others: usize) {
    let js = format!("roombot.state.peers.filter((one) => one.chat === 'open').length === {others}");
    page.wait_for(&js, PATIENCE, "the chats open").await;
}

/// JavaScript for a file of so many bytes that differ.
fn file(name: &str, bytes: usize) -> String {
    format!("new File([Uint8Array.from({{ length: {bytes} }}, (_, i) => (i * 7 + (i >> 8) * 13) % 251)], {name:?})")
}

/// JavaScript that is true once the last line's file has come with these bytes.
fn came(bytes: usize) -> String {
    format!(
        "(async () => {{
            const last = roombot.talk.at(-1);
            if (last?.incoming?.state === 'offered') roombot.take(last.key);
            if (last?.incoming?.state !== 'done') return false;
            const bytes = new Uint8Array(await roombot.blob(last.key).arrayBuffer());
            return bytes.length === {bytes} && bytes.every((byte, i) => byte === (i * 7 + (i >> 8) * 13) % 251);
        }})()"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn people_talk_to_all_and_to_one() {
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let alice = join(&browser, &server, "Alice").await;
    let bob = join(&browser, &server, "Bob").await;
    let carol = join(&browser, &server, "Carol").await;
    for page in [&alice, &bob, &carol] {
        meets(page, 2).await;
    }
    alice.run("roombot.say('Good morning, see https://example.org/a?b=1. 你好 שלום')").await;
    bob.run("roombot.say('only for Alice', roombot.state.peers.find((one) => one.name === 'Alice').id)").await;
    alice
        .wait_for("roombot.talk.some((one) => one.name === 'Bob' && one.text === 'only for Alice')", PATIENCE, "Bob's")
        .await;
    for page in [&bob, &carol] {
        let all = "roombot.talk.some((one) => one.name === 'Alice' && one.text.endsWith('你好 שלום'))";
        page.wait_for(all, PATIENCE, "Alice's").await;
    }
    carol.run("roombot.say('after all that')").await;
    bob.wait_for("roombot.talk.at(-1).text === 'after all that'", PATIENCE, "Carol's").await;
    assert!(!carol.eval::<bool>("roombot.talk.some((one) => one.text === 'only for Alice')").await, "told everybody");
    // What is drawn is what was said; an address is a link, and ends before the full stop.
    bob.run("document.getElementById('chat').click()").await;
    let link: String = bob.eval("document.querySelector('#talk a').href").await;
    assert_eq!(link, "https://example.org/a?b=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_to_all_and_comes_back_whole() {
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let alice = join(&browser, &server, "Alice").await;
    let bob = join(&browser, &server, "Bob").await;
    let carol = join(&browser, &server, "Carol").await;
    meets(&alice, 2).await;
    const BYTES: usize = 9_000_001;
    alice.run(&format!("roombot.send([{}])", file("holiday \u{202e}fdp.exe", BYTES))).await;
    for page in [&bob, &carol] {
        page.wait_for(&came(BYTES), PATIENCE, "the file").await;
        let shown: String = {
            page.run("document.getElementById('chat').click()").await;
            page.eval("document.querySelector('.file-name bdi').textContent").await
        };
        assert_eq!(shown, "holiday \u{fffd}fdp.exe", "a name must not turn the text around");
    }
    let done = "roombot.talk.at(-1).outgoing.every((one) => one.state === 'done') && roombot.talk.at(-1).outgoing.length === 2";
    alice.wait_for(done, PATIENCE, "both have it").await;
    bob.run(&format!(
        "roombot.send([{}], roombot.state.peers.find((one) => one.name === 'Alice').id)",
        file("empty", 0)
    ))
    .await;
    alice.wait_for(&came(0), PATIENCE, "the empty file").await;
    alice.run("document.getElementById('chat').click()").await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pictures");
    std::fs::create_dir_all(&folder).expect("a folder for pictures");
    alice.resize(1280, 720).await;
    alice.screenshot(&folder.join("talk.png")).await;
    alice.resize(390, 800).await;
    alice.screenshot(&folder.join("talk-phone.png")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_declined_or_cancelled_and_the_next_one_comes() {
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let alice = join(&browser, &server, "Alice").await;
    let bob = join(&browser, &server, "Bob").await;
    meets(&alice, 1).await;
    alice.run(&format!("roombot.send([{}])", file("unwanted", 1000))).await;
    bob.wait_for("roombot.talk.at(-1)?.incoming?.state === 'offered'", PATIENCE, "the offer").await;
    bob.run("roombot.cancel(roombot.talk.at(-1).key)").await;
    alice.wait_for("roombot.talk.at(-1).outgoing[0].reason === 'unwanted'", PATIENCE, "declined").await;
    alice.run(&format!("roombot.send([{}])", file("regretted", 1000))).await;
    bob.wait_for("roombot.talk.at(-1).text === 'regretted'", PATIENCE, "the second offer").await;
    alice.run("roombot.cancel(roombot.talk.at(-1).key)").await;
    bob.wait_for("roombot.talk.at(-1).incoming.reason === 'cancelled'", PATIENCE, "cancelled").await;
    alice.run(&format!("roombot.send([{}])", file("good", 1000))).await;
    bob.wait_for(&came(1000), PATIENCE, "the third").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_goes_on_where_its_channel_was_lost() {
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let alice = join(&browser, &server, "Alice").await;
    // Bob drops the channel in the middle, as a failing connection would.
    let drops = "
        window.offsets = [];
        const send = RTCDataChannel.prototype.send;
        RTCDataChannel.prototype.send = function (data) {
            const message = typeof data === 'string' && data.startsWith('{') ? JSON.parse(data) : {};
            if (message.type === 'accept') window.offsets.push(message.offset);
            if (message.type === 'more' && !window.dropped) { window.dropped = true; return this.close(); }
            return send.call(this, data);
        };";
    let query = "name=Bob&auto=1&camera=0&mic=0";
    let bob = browser.page_with(&server.page("test", query), drops).await;
    bob.wait_for("window.roombot?.state.phase === 'joined'", PATIENCE, "joined").await;
    meets(&alice, 1).await;
    const BYTES: usize = 12_000_000;
    alice.run(&format!("roombot.send([{}])", file("long", BYTES))).await;
    bob.wait_for(&came(BYTES), PATIENCE, "the file").await;
    let offsets: Vec<u64> = bob.eval("offsets").await;
    assert_eq!(offsets.len(), 2, "{offsets:?}");
    assert!(offsets[0] == 0 && offsets[1] > 1_000_000, "begun anew: {offsets:?}");
    alice.wait_for("roombot.talk.at(-1).outgoing[0].state === 'done'", PATIENCE, "told").await;
}
