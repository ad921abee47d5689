//! The page in Chromium: two people see each other, share, drop out and come back.

use crate::support::browser::{Browser, Page};
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::proxy::Proxy;
use crate::support::server::TestServer;
use roombot::room::participant::Role;
use roombot::signal::{JoinAs, Link, SignalCommand, SignalEvent, for_url};
use std::time::Duration;

/// Two cores that are shared with other tests: what takes a second may take many.
const PATIENCE: Duration = Duration::from_secs(40);
const SMALL: &str = "auto=1&width=320&height=180&fps=15";

async fn join(browser: &Browser, server: &TestServer, name: &str, query: &str) -> Page {
    let page = browser.page(&server.page("test", &format!("name={name}&{SMALL}&{query}"))).await;
    page.wait_for("window.roombot?.state.phase === 'joined'", PATIENCE, "joined").await;
    page
}

/// A bot without media: hears what the room hears.
async fn watch(server: &TestServer) -> Link {
    let how = JoinAs { name: "Watcher".into(), role: Role::Recorder, token: None };
    for_url(&server.room("test")).expect("a room").join(how).await.expect("joined")
}

/// Frames decoded from the only peer's camera, once there are more than `than`.
async fn decodes_more_than(page: &Page, than: u64, source: &str) {
    let js = format!(
        "roombot.stats().then((all) => Object.values(all).some((peer) => peer.inbound.some((one) => one.source === '{source}' && one.framesDecoded > {than})))"
    );
    page.wait_for(&js, PATIENCE, &format!("{source}: more than {than} frames decoded")).await;
}

async fn see_each_other(codec: &str) {
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let alice = join(&browser, &server, "Alice", &format!("codec={codec}")).await;
    let bob = join(&browser, &server, "Bob", &format!("codec={codec}")).await;
    for page in [&alice, &bob] {
        decodes_more_than(page, 5, "camera").await;
        let before: u64 = page.eval("roombot.stats().then((all) => Object.values(all)[0].inbound.find((one) => one.kind === 'video').framesDecoded)").await;
        decodes_more_than(page, before + 10, "camera").await;
        let (used, chat): (Vec<String>, String) = page
            .eval(
                "roombot.stats().then((all) => { const [peer] = Object.values(all);
                    return [[...peer.inbound, ...peer.outbound].map((one) => one.codec), roombot.state.peers[0].chat]; })",
            )
            .await;
        let (mut video, mut audio) = (0, 0);
        for name in used {
            match name.to_lowercase() {
                name if name == codec => video += 1,
                name if name == "opus" => audio += 1,
                other => panic!("{other} is used where {codec} was asked for"),
            }
        }
        assert_eq!((video, audio, chat.as_str()), (2, 2, "open"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pages_see_each_other_in_vp8() {
    needed!(tools(&["chromium"]));
    see_each_other("vp8").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pages_see_each_other_in_vp9() {
    needed!(tools(&["chromium"]));
    see_each_other("vp9").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pages_see_each_other_in_h264() {
    needed!(tools(&["chromium"]));
    see_each_other("h264").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pages_see_each_other_in_av1() {
    needed!(tools(&["chromium"]));
    see_each_other("av1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_may_send_a_codec_of_its_own() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let alice = join(&browser, &server, "Alice", "codec=vp9").await;
    let bob = join(&browser, &server, "Bob", "codec=h264").await;
    for (page, inbound) in [(&alice, "H264"), (&bob, "VP9")] {
        let js = format!(
            "roombot.stats().then((all) => Object.values(all)[0].inbound.some((one) => one.codec === '{inbound}' && one.framesDecoded > 5))"
        );
        page.wait_for(&js, PATIENCE, inbound).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screen_is_shared_and_unshared_twice() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let alice = join(&browser, &server, "Alice", "").await;
    let bob = join(&browser, &server, "Bob", "").await;
    decodes_more_than(&bob, 1, "camera").await;
    for round in 1..=2 {
        alice.run("await roombot.share(true)").await;
        decodes_more_than(&bob, 3, "screen").await;
        bob.wait_for("document.querySelectorAll('.tile.screen').length === 1", PATIENCE, "the screen has a tile").await;
        alice.run("await roombot.share(false)").await;
        let gone = "!document.querySelector('.tile.screen') && roombot.state.peers[0].labels.every((one) => one.source !== 'screen')";
        bob.wait_for(gone, PATIENCE, &format!("the screen has gone, round {round}")).await;
        bob.wait_for("roombot.state.peers[0].signaling === 'stable'", PATIENCE, "negotiated").await;
    }
    let before: u64 = bob.eval("roombot.stats().then((all) => Object.values(all)[0].inbound.find((one) => one.source === 'camera').framesDecoded)").await;
    decodes_more_than(&bob, before + 5, "camera").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_marks_its_speaker_and_the_sound_of_a_screen_does_not() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let alice = join(&browser, &server, "Alice", "mic=0").await;
    let bob = join(&browser, &server, "Bob", "").await;
    bob.run("window.spoke = 0; setInterval(() => { spoke += document.querySelectorAll('.tile.speaking:not(.self)').length; }, 50)").await;
    alice.run("await roombot.share(true)").await;
    let loud = "roombot.stats().then((all) => Object.values(all)[0].inbound.some((one) => one.source === 'screen-audio' && one.level > 0.02))";
    bob.wait_for(loud, PATIENCE, "the screen is heard").await;
    pause(Duration::from_secs(2), "nobody is marked in all of it").await;
    assert_eq!(bob.eval::<u32>("spoke").await, 0, "nobody speaks");
    // Chromium's own microphone beeps shortly twice a second: who looks five times a second can miss all of it. Voices go on.
    let voice = "const context = new AudioContext(); const tone = context.createOscillator(); \
                 const out = context.createMediaStreamDestination(); tone.connect(out); tone.start(); \
                 navigator.mediaDevices.getUserMedia = async () => out.stream";
    alice.run(voice).await;
    alice.run("await roombot.mute(false)").await;
    bob.wait_for("spoke > 0", PATIENCE, "Alice speaks").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mute_and_camera_off_are_seen_and_undone() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let alice = join(&browser, &server, "Alice", "").await;
    let bob = join(&browser, &server, "Bob", "camera=0&mic=0").await;
    decodes_more_than(&bob, 1, "camera").await;
    alice
        .wait_for(
            "document.querySelectorAll('.tile.muted:not(.has-video)').length === 1",
            PATIENCE,
            "Bob is a muted card",
        )
        .await;
    alice.run("await roombot.mute(true); await roombot.camera(false)").await;
    bob.wait_for(
        "document.querySelectorAll('.tile.muted:not(.has-video)').length === 2",
        PATIENCE,
        "Alice is a muted card too",
    )
    .await;
    alice.run("await roombot.mute(false); await roombot.camera(true)").await;
    bob.wait_for("document.querySelectorAll('.tile.has-video:not(.muted)').length === 1", PATIENCE, "Alice is back")
        .await;
    let before: u64 = bob.eval("roombot.stats().then((all) => Object.values(all)[0].inbound.find((one) => one.source === 'camera').framesDecoded)").await;
    decodes_more_than(&bob, before + 5, "camera").await;
    bob.run("await roombot.camera(true)").await;
    decodes_more_than(&alice, 5, "camera").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_tab_leaves_within_a_second() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let mut watcher = watch(&server).await;
    let alice = join(&browser, &server, "Alice", "").await;
    let SignalEvent::Joined(who) = watcher.events.recv().await.expect("an event") else { panic!("Alice joins first") };
    let closing = std::time::Instant::now();
    alice.close().await;
    let left = async {
        loop {
            if let Some(SignalEvent::Left { id, reason }) = watcher.events.recv().await {
                return (id, reason);
            }
        }
    };
    let (id, reason) = crate::support::within(10, "Alice leaves", left).await;
    assert_eq!((id, reason.as_str()), (who.id, "left"));
    assert!(closing.elapsed() < Duration::from_secs(1), "after {:?}", closing.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_socket_comes_back_and_nobody_notices() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.address).await;
    let browser = Browser::launch().await;
    let mut watcher = watch(&server).await;
    let alice = join(&browser, &server, "Alice", "").await;
    let bob = browser.page(&format!("http://{}/rooms/test?name=Bob&{SMALL}", proxy.address)).await;
    bob.wait_for(
        "window.roombot?.state.peers.some((one) => one.name === 'Alice' && one.connection === 'connected')",
        PATIENCE,
        "connected",
    )
    .await;
    decodes_more_than(&bob, 1, "camera").await;
    let id: String = bob.eval("roombot.state.me.id").await;
    proxy.cut();
    bob.wait_for("!document.querySelector('#banner').hidden", PATIENCE, "the loss is shown").await;
    bob.wait_for("roombot.state.phase === 'joined'", PATIENCE, "came back").await;
    assert_eq!(bob.eval::<String>("roombot.state.me.id").await, id);
    assert_eq!(alice.eval::<String>("roombot.state.peers.find((one) => one.name === 'Bob').id").await, id);
    // Signalling works again in both directions: a renegotiation gets through.
    bob.run("await roombot.share(true)").await;
    decodes_more_than(&alice, 1, "screen").await;
    while let Ok(event) = watcher.events.try_recv() {
        assert!(!matches!(event, SignalEvent::Left { .. }), "{event:?}");
    }
}

/// A phone in a pocket: its page opens a socket and stands still before it can say who it is. The server's refusal is no verdict.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_too_slow_to_come_back_tries_again() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.address).await;
    let browser = Browser::launch().await;
    let bob = browser.page(&format!("http://{}/rooms/test?name=Bob&{SMALL}", proxy.address)).await;
    bob.wait_for("window.roombot?.state.phase === 'joined'", PATIENCE, "joined").await;
    bob.run(
        "const { send } = WebSocket.prototype;
         window.swallowed = 0;
         WebSocket.prototype.send = function (data) {
             if (window.swallowed || !data.includes('\"join\"')) return send.call(this, data);
             window.swallowed += 1;
         };",
    )
    .await;
    proxy.cut();
    bob.wait_for("window.swallowed === 1", PATIENCE, "a join that is never said").await;
    bob.wait_for("roombot.state.phase !== 'reconnecting'", PATIENCE, "no longer on its way").await;
    assert_eq!(bob.eval::<String>("roombot.state.phase").await, "joined");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chat_opens_by_a_key_that_is_not_typed_into_it() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let page = join(&browser, &server, "Alice", "camera=0&mic=0").await;
    let background = "((id) => getComputedStyle(document.getElementById(id)).backgroundColor)";
    let closed: bool = page.eval(&format!("{background}('chat') === {background}('share')")).await;
    assert!(closed, "a closed chat is as calm as the button beside it: red is for what is off and for leaving");
    let pressed =
        "document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'c', bubbles: true, cancelable: true }))";
    assert!(!page.eval::<bool>(pressed).await, "the page has taken the key, the browser types nothing");
    assert!(page.eval::<bool>("document.activeElement.id === 'say-text'").await, "one can write at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_told_in_the_lobby() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start_with(|config| config.token = Some("open sesame".into())).await;
    let browser = Browser::launch().await;
    let page = browser.page(&server.page("test", &format!("name=Eve&{SMALL}&token=guess"))).await;
    page.wait_for("window.roombot?.state.refusal", PATIENCE, "refused").await;
    let (phase, shown): (String, String) =
        page.eval("[roombot.state.phase, document.querySelector('#lobby-problem').textContent]").await;
    assert_eq!((phase.as_str(), shown.contains("token")), ("lobby", true));
    page.run("document.querySelector('#token').value = 'open sesame'; document.querySelector('#join').click()").await;
    page.wait_for("roombot.state.phase === 'joined'", PATIENCE, "let in with the right one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_records_is_shown_and_the_end_of_the_room_too() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let page = join(&browser, &server, "Alice", "").await;
    let watcher = watch(&server).await;
    page.wait_for(
        "document.querySelector('#recording').textContent.includes('Recording by Watcher')",
        PATIENCE,
        "the badge",
    )
    .await;
    assert_eq!(page.eval::<u32>("document.querySelectorAll('.tile').length").await, 1, "a recorder has no tile");
    watcher.commands.send(SignalCommand::Leave).await.expect("sent");
    page.wait_for("document.querySelector('#recording').hidden", PATIENCE, "the badge is gone").await;
    server.stop().await;
    page.wait_for("roombot.state.phase === 'over'", PATIENCE, "the page says that it is over").await;
}
