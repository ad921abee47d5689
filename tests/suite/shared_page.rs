//! Files that a page or `send` shares with everybody: in Chromium they are saved after their sharer has left.

use crate::support::bot::Bot;
use crate::support::browser::{Browser, Page};
use crate::support::cargo::sha256;
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::server::TestServer;
use crate::support::talkers::{PATIENCE, file, join, meets};
use serde_json::Value;
use std::time::Duration;

/// JavaScript that is true once the only file has come with these bytes.
fn came(bytes: usize) -> String {
    format!(
        "(async () => {{
            const [line, more] = roombot.talk;
            if (more || line?.incoming?.state !== 'done') return false;
            const bytes = new Uint8Array(await roombot.blob(line.key).arrayBuffer());
            return bytes.length === {bytes} && bytes.every((byte, i) => byte === (i * 7 + (i >> 8) * 13) % 251);
        }})()"
    )
}

/// Presses the button that people press.
async fn press(page: &Page, button: &str) {
    let js = format!(
        "const button = [...document.querySelectorAll('.actions button')].find((one) => !one.hidden && one.textContent === {button:?});
         if (!button) throw new Error('no button');
         button.click();"
    );
    page.run(&js).await;
}

const OFFERED: &str = "roombot.talk[0]?.incoming?.state === 'offered'";
const OFFERED_ON: &str = "roombot.talk[0]?.incoming?.state === 'offered' && roombot.talk[0].via === 'Recorder'";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_saved_after_its_sharers_tab_was_closed() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let out = tempfile::tempdir().expect("a folder");
    let recorder = Bot::record(&server.room("test"), out.path(), &["--json"]);
    let alice = join(&browser, &server, "Alice").await;
    meets(&alice, 1).await;
    let bob = join(&browser, &server, "Bob").await;
    let carol = join(&browser, &server, "Carol").await;
    meets(&alice, 3).await;
    meets(&bob, 3).await;
    const BYTES: usize = 2_000_001;
    alice.run(&format!("roombot.send([{}])", file("holiday.bin", BYTES))).await;
    for page in [&bob, &carol] {
        page.wait_for(OFFERED, PATIENCE, "the offer").await;
        page.run("document.getElementById('chat').click()").await;
    }
    press(&carol, "Decline").await;
    let done = "roombot.talk[0].outgoing.find((one) => one.name === 'Recorder').state === 'done'";
    alice.wait_for(done, PATIENCE, "the recorder has it").await;
    // What is for the recorder only stays there.
    alice
        .run(&format!(
            "roombot.send([{}], roombot.state.peers.find((one) => one.name === 'Recorder').id)",
            file("private.bin", 10)
        ))
        .await;
    alice.wait_for("roombot.talk[1].outgoing[0].state === 'done'", PATIENCE, "the recorder has it").await;
    alice.close().await;
    bob.wait_for(OFFERED_ON, PATIENCE, "it is offered on").await;
    let words: String = bob.eval("document.querySelector('#talk li').innerText").await;
    assert!(words.contains("Alice") && words.contains("offered by Recorder"), "{words}");
    press(&bob, "Save").await;
    bob.wait_for(&came(BYTES), PATIENCE, "the file").await;
    let late = join(&browser, &server, "Late").await;
    late.wait_for(OFFERED_ON, PATIENCE, "who comes later is offered it").await;
    late.run("document.getElementById('chat').click()").await;
    press(&late, "Save").await;
    late.wait_for(&came(BYTES), PATIENCE, "the file").await;
    let declined: (usize, String) = carol.eval("[roombot.talk.length, roombot.talk[0].incoming.state]").await;
    assert_eq!(declined, (1, "ended".into()), "who declined is asked again");
    recorder.interrupt();
    assert_eq!(recorder.ended(Duration::from_secs(20)).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_goes_on_with_a_transfer_from_another_source() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let out = tempfile::tempdir().expect("a folder");
    let recorder = Bot::record(&server.room("test"), out.path(), &["--json"]);
    let alice = join(&browser, &server, "Alice").await;
    meets(&alice, 1).await;
    // Bob's page grants no more than half, so that the transfer stays there until Alice has left.
    const BYTES: usize = 12_000_000;
    let holds = format!(
        "window.accepted = [];
        const send = RTCDataChannel.prototype.send;
        RTCDataChannel.prototype.send = function (data) {{
            const message = typeof data === 'string' && data.startsWith('{{') ? JSON.parse(data) : {{}};
            if (message.type === 'accept') window.accepted.push(message.offset);
            if (message.type === 'more' && message.until > {} && window.accepted.length === 1) return;
            return send.call(this, data);
        }};",
        BYTES / 2
    );
    let bob = browser.page_with(&server.page("test", "name=Bob&auto=1&camera=0&mic=0"), &holds).await;
    meets(&alice, 2).await;
    alice.run(&format!("roombot.send([{}])", file("long.bin", BYTES))).await;
    bob.wait_for(OFFERED, PATIENCE, "the offer").await;
    bob.run("roombot.take(roombot.talk[0].key)").await;
    let done = "roombot.talk[0].outgoing.find((one) => one.name === 'Recorder').state === 'done'";
    alice.wait_for(done, PATIENCE, "the recorder has it").await;
    bob.wait_for("roombot.talk[0].incoming.bytes > 3000000", PATIENCE, "a part of it").await;
    alice.close().await;
    bob.wait_for(&came(BYTES), PATIENCE, "the rest").await;
    let accepted: Vec<u64> = bob.eval("accepted").await;
    assert!(matches!(accepted[..], [0, offset] if offset > 3_000_000), "begun anew: {accepted:?}");
    recorder.interrupt();
    assert_eq!(recorder.ended(Duration::from_secs(20)).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_takes_no_other_file_for_the_one_that_was_shared() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let bob = join(&browser, &server, "Bob").await;
    // Alice's offers are seen, and Mallory makes some of his own.
    let alice = join(&browser, &server, "Alice").await;
    let mallory = browser
        .page_with(
            &server.page("test", "name=Mallory&auto=1&camera=0&mic=0"),
            "window.offers = [];
             window.replaced = null;
             const send = RTCDataChannel.prototype.send;
             RTCDataChannel.prototype.send = function (data) {
                 const message = typeof data === 'string' && data.startsWith('{') ? JSON.parse(data) : {};
                 if (message.type === 'offer' && window.replaced) data = JSON.stringify({ ...message, ...window.replaced });
                 return send.call(this, data);
             };",
        )
        .await;
    for page in [&bob, &alice, &mallory] {
        meets(page, 2).await;
    }
    alice.run("const send = RTCDataChannel.prototype.send; RTCDataChannel.prototype.send = function (data) { if (typeof data === 'string' && data.includes('\"offer\"')) window.offer = JSON.parse(data); return send.call(this, data); }").await;
    alice.run(&format!("roombot.send([{}])", file("good.bin", 1000))).await;
    bob.wait_for(OFFERED, PATIENCE, "the offer").await;
    let offer: Value = alice.eval("offer").await;
    alice.close().await;
    bob.wait_for("roombot.talk[0].incoming.state === 'absent'", PATIENCE, "nobody offers it").await;
    // The same id and another hash: it is another file, and says whose it is.
    let bytes: String = "new File([new Uint8Array(1000)], 'good.bin')".into();
    mallory.run(&format!("replaced = {{ id: {}, from: 'Alice' }}; roombot.send([{bytes}])", offer["id"])).await;
    bob.wait_for("roombot.talk.length === 2 && roombot.talk[1].via === 'Mallory'", PATIENCE, "another file").await;
    let first: String = bob.eval("roombot.talk[0].incoming.state").await;
    assert_eq!(first, "absent", "it passes for Alice's");
    // The hash that was promised, and other bytes: they are not taken.
    mallory
        .run(&format!(
            "replaced = {{ id: {}, sha256: {}, from: 'Alice' }}; roombot.send([{bytes}])",
            offer["id"], offer["sha256"]
        ))
        .await;
    let offered = "roombot.talk[0].incoming.state === 'offered' && roombot.talk[0].via === 'Mallory'";
    bob.wait_for(offered, PATIENCE, "Mallory offers it").await;
    bob.run("roombot.take(roombot.talk[0].key)").await;
    bob.wait_for("roombot.talk[0].incoming.reason === 'mismatch'", PATIENCE, "other bytes are refused").await;
    assert!(bob.eval::<bool>("roombot.blob(roombot.talk[0].key) === null").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_to_all_may_leave_what_the_recorder_has() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let out = tempfile::tempdir().expect("a folder");
    let path = crate::support::cargo::file(out.path(), "report.bin", 3_000_001, 7);
    let file = path.to_str().expect("UTF-8");
    let room = server.room("test");
    let bob = join(&browser, &server, "Bob").await;
    // Nobody offers it on: what Bob has not saved is cancelled.
    let recorder = Bot::record(&room, &out.path().join("off"), &["--no-share-files"]);
    meets(&bob, 1).await;
    let courier = Bot::start(&["send", &room, file, "--wait", "2s"]);
    bob.wait_for(OFFERED, PATIENCE, "the offer").await;
    pause(Duration::from_secs(3), "the sender waits for Bob").await;
    courier.interrupt();
    let ended = courier.ended(PATIENCE).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("Bob did not get report.bin: cancelled"), "{ended:?}");
    recorder.interrupt();
    recorder.ended(Duration::from_secs(20)).await;
    // By itself once it has waited, and at Ctrl-C.
    let recorder = Bot::record(&room, &out.path().join("on"), &["--json"]);
    meets(&bob, 1).await;
    let waiting = Bot::start(&["send", &room, file, "--wait", "2s", "--json"]).ended(PATIENCE).await;
    assert_eq!(waiting.code, Some(0), "{waiting:?}");
    let said: Value = serde_json::from_str(&waiting.stdout).expect("JSON");
    let to_bob = said["files"].as_array().into_iter().flatten().find(|file| file["to"] == "Bob").expect("Bob's");
    assert_eq!((&to_bob["received"], &to_bob["offered_on_by"]), (&false.into(), &"Recorder".into()), "{said}");
    let courier = Bot::start(&["send", &room, file, "--as", "Second"]);
    let second =
        "roombot.talk.filter((one) => one.name === 'Second' && one.incoming?.state === 'offered').length === 1";
    bob.wait_for(second, PATIENCE, "the offer").await;
    let taken = async {
        let taken = |folder: &std::path::Path| folder.join("files/second/report.bin").exists();
        while !std::fs::read_dir(out.path().join("on")).into_iter().flatten().flatten().any(|one| taken(&one.path())) {
            crate::support::moment().await;
        }
    };
    crate::support::within(20, "the recorder has it", taken).await;
    pause(Duration::from_millis(500), "the sender is told").await;
    courier.interrupt();
    let ended = courier.ended(PATIENCE).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.stdout.contains("report.bin -> Bob: not received yet; Recorder has it and offers it on"),
        "{ended:?}"
    );
    for name in ["Courier", "Second"] {
        let line = format!("roombot.talk.find((one) => one.name === '{name}' && one.via === 'Recorder')");
        bob.wait_for(&format!("{line}?.incoming.state === 'offered'"), PATIENCE, "it is offered on").await;
        bob.run(&format!("roombot.take({line}.key)")).await;
        bob.wait_for(&format!("{line}.incoming.state === 'done'"), PATIENCE, "saved").await;
        let hash = format!(
            "(async () => {{
                const bytes = await roombot.blob({line}.key).arrayBuffer();
                const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
                return [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('');
            }})()"
        );
        assert_eq!(bob.eval::<String>(&hash).await, sha256(&path), "{name}");
    }
    recorder.interrupt();
    assert_eq!(recorder.ended(Duration::from_secs(20)).await.code, Some(0));
}
