//! Chat and files between pages in Chromium: said, sent, taken, cancelled, lost and resumed.

use crate::support::bot::Bot;
use crate::support::browser::Browser;
use crate::support::cargo::{below, sha256};
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::server::TestServer;
use crate::support::talkers::{PATIENCE, file, join, meets};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

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
    needed!(tools(&["chromium"]));
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
    needed!(tools(&["chromium"]));
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
    needed!(tools(&["chromium"]));
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
    needed!(tools(&["chromium"]));
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

/// Every byte of a page's file of this many bytes, as the recorder has it.
fn is_whole(path: &Path, bytes: usize) {
    let data = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(data.len(), bytes, "{}", path.display());
    let right = |(i, byte): (usize, &u8)| usize::from(*byte) == (i * 7 + (i >> 8) * 13) % 251;
    assert!(data.iter().enumerate().all(right), "{} has other bytes", path.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_and_sent_in_the_page_is_recorded() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let out = tempfile::tempdir().expect("a folder");
    let alice = join(&browser, &server, "Alice").await;
    let recorder = Bot::record(&server.room("test"), out.path(), &["--json"]);
    meets(&alice, 1).await;
    const SIZES: [usize; 3] = [20_000_000, 0, 65_537];
    let files: Vec<String> = SIZES.iter().map(|bytes| file(&format!("../file of {bytes}.bin"), *bytes)).collect();
    alice.run(&format!("roombot.say('Here come the <files> & more'); roombot.send([{}])", files.join(","))).await;
    let done = "roombot.talk.filter((one) => one.outgoing?.[0]?.state === 'done').length === 3";
    alice.wait_for(done, PATIENCE, "the recorder has them").await;
    recorder.interrupt();
    let ended = recorder.ended(Duration::from_secs(20)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let summary: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let folder = Path::new(summary["folder"].as_str().expect("a folder"));
    let names: Vec<String> = SIZES.iter().map(|bytes| format!("alice/file of {bytes}.bin")).collect();
    for (name, bytes) in names.iter().zip(SIZES) {
        is_whole(&folder.join("files").join(name), bytes);
    }
    assert_eq!(below(&folder.join("files")).len(), 3);
    let chat = std::fs::read_to_string(folder.join("chat.vtt")).expect("the chat");
    assert!(chat.starts_with("WEBVTT") && chat.contains("<v Alice>Here come the &lt;files&gt; &amp; more"), "{chat}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sent_file_reaches_the_page() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let out = tempfile::tempdir().expect("a folder");
    let path = crate::support::cargo::file(out.path(), "report.bin", 30_000_001, 7);
    let alice = join(&browser, &server, "Alice").await;
    let to = path.to_str().expect("UTF-8");
    let room = server.room("test");
    let courier =
        Bot::start(&["send", &room, to, "--as", "Courier", "--to", "alice", "--message", "For you", "--json"]);
    let offered = "roombot.talk.at(-1)?.incoming?.state === 'offered'";
    alice.wait_for(offered, PATIENCE, "the offer").await;
    alice.run("roombot.take(roombot.talk.at(-1).key)").await;
    let ended = courier.ended(PATIENCE).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let (said, hash): (bool, String) = alice
        .eval(
            "(async () => {
                const bytes = await roombot.blob(roombot.talk.find((one) => one.incoming).key).arrayBuffer();
                const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
                const said = roombot.talk.some((one) => one.name === 'Courier' && one.text === 'For you');
                return [said, [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('')];
            })()",
        )
        .await;
    assert!(said, "the message is not in the chat");
    assert_eq!(hash, sha256(&path));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_gives_chat_and_files_back() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let alice = join(&browser, &server, "Alice").await;
    let bot = Bot::start(&["echo", &server.room("test"), "--quiet"]);
    let other = Bot::start(&["echo", &server.room("test"), "--quiet", "--as", "Other"]);
    meets(&alice, 2).await;
    alice.run(&format!("roombot.say('is anybody there?'); roombot.send([{}])", file("back.bin", 1_000_001))).await;
    let heard = "roombot.talk.filter((one) => !one.mine && one.text === 'is anybody there?').length === 2";
    alice.wait_for(heard, PATIENCE, "both echoes").await;
    let offered =
        "roombot.talk.filter((one) => one.incoming?.state === 'offered' && one.text === 'back.bin').length === 2";
    alice.wait_for(offered, PATIENCE, "both offers").await;
    alice.wait_for(&came(1_000_001), PATIENCE, "the file comes back").await;
    // Two echoes do not answer each other: what was said comes back once from each, and no more.
    pause(Duration::from_secs(1), "nothing more comes in all of it").await;
    let lines: u64 = alice.eval("roombot.talk.length").await;
    assert_eq!(lines, 6, "a text and a file, and each of them twice back");
    for bot in [bot, other] {
        bot.interrupt();
        assert_eq!(bot.ended(Duration::from_secs(20)).await.code, Some(0));
    }
}

/// What the issue names: a hundred megabytes each way, while three people's pictures are recorded.
#[tokio::test(flavor = "multi_thread")]
async fn large_files_cost_no_frame_of_a_recording() {
    needed!(tools(&["chromium"]));
    const LARGE: usize = 100_000_000;
    const LONG: Duration = Duration::from_secs(150);
    let server = TestServer::start().await;
    let browser = Browser::launch_alone().await;
    let out = tempfile::tempdir().expect("a folder");
    let room = server.room("test");
    let recorder = Bot::record(&room, out.path(), &["--json"]);
    let alice = join(&browser, &server, "Alice").await;
    meets(&alice, 1).await;
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bob.webm");
    let people = Bot::start(&["feed", &room, fixture, "--as", "Bob", "--copies", "3", "--only", "Recorder", "--loop"]);
    meets(&alice, 1).await;
    alice.run(&format!("roombot.send([{}])", file("large.bin", LARGE))).await;
    alice.wait_for("roombot.talk[0].outgoing[0].state === 'done'", LONG, "the recorder has it").await;
    let path = crate::support::cargo::file(out.path(), "report.bin", LARGE, 7);
    let courier = Bot::start(&["send", &room, path.to_str().expect("UTF-8"), "--to", "Alice", "--json"]);
    alice.wait_for("roombot.talk.at(-1)?.incoming?.state === 'offered'", PATIENCE, "the offer").await;
    alice.run("roombot.take(roombot.talk.at(-1).key)").await;
    let sent = courier.ended(LONG).await;
    assert_eq!(sent.code, Some(0), "{}{}", sent.stdout, sent.stderr);
    // The page computes the hash and compares it with the sender's; so does the recorder.
    alice.wait_for("roombot.talk.at(-1).incoming.state === 'done'", PATIENCE, "verified").await;
    people.interrupt();
    people.ended(Duration::from_secs(20)).await;
    recorder.interrupt();
    let ended = recorder.ended(Duration::from_secs(30)).await;
    let summary: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let folder = Path::new(summary["folder"].as_str().expect("a folder"));
    is_whole(&folder.join("files/alice/large.bin"), LARGE);
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    let tracks = manifest["tracks"].as_array().expect("tracks");
    assert_eq!(tracks.len(), 6, "{tracks:#?}");
    for track in tracks {
        assert!(track["frames"].as_u64() > Some(100), "{track:#}");
        assert_eq!((&track["lost"], &track["gaps"]), (&0.into(), &Value::Array(vec![])), "{track:#}");
    }
}
