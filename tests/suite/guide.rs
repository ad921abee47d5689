//! Rooms of the WebRTC guide with pages in Chromium: each lesson as it is on the wire, on simple-peer 8.1 over deepstream's own server, the
//! bot on the other side in either role.

use crate::support::bot::{Bot, run};
use crate::support::browser::{Browser, Page};
use crate::support::cargo::{file, sha256};
use crate::support::echoes::Person;
use crate::support::needs::{needed, tools};
use crate::support::others::Others;
use crate::support::recorder::{PATIENCE, begun, has_file, has_track, recorded};
use crate::support::{moment, pause};
use roombot::room::media::Source;
use std::time::{Duration, Instant};

/// Opens a page, and waits until it can be talked to.
async fn open(browser: &Browser, url: &str) -> Page {
    let page = browser.page(url).await;
    page.wait_for("window.page && page.phase !== 'starting'", PATIENCE, "the page is there").await;
    page
}

/// Opens a page that calls once, again and again until somebody is there to answer.
async fn call(browser: &Browser, url: &str) -> Page {
    let until = Instant::now() + PATIENCE;
    loop {
        let page = open(browser, url).await;
        let given_up = Instant::now() + Duration::from_secs(6);
        while Instant::now() < given_up {
            if page.eval::<bool>("page.phase === 'connected'").await {
                return page;
            }
            moment().await;
        }
        assert!(Instant::now() < until, "nobody answers {url}");
        page.close().await;
    }
}

async fn connected(page: &Page) {
    page.wait_for("page.phase === 'connected'", PATIENCE, "the page is connected").await;
}

/// Nothing that we sent has hurt it.
async fn unhurt(page: &Page) {
    assert_eq!(page.eval::<Vec<String>>("page.errors").await, [""; 0]);
}

/// More pictures of ours come to the page, until they are what they should be.
async fn sees(page: &Page, frames: u32, colour: &str) {
    let js = format!("page.received().then(({{ frames }}) => frames >= {frames} && page.colour() {colour})");
    page.wait_for(&js, PATIENCE, &format!("pictures whose colour is {colour}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lesson_one_two_chat_in_either_role() {
    needed!(tools(&["chromium"]));
    let others = needed!(Others::start(&[]).await);
    let browser = Browser::launch().await;
    // The page calls; then the bot does, and says so until the page is there.
    for (page_is, bot_is) in [("#initiator", ""), ("", "#initiator")] {
        let bot = Person::at(&others.guide("data", bot_is), "Bot").await.expect("joins");
        if page_is.is_empty() {
            pause(Duration::from_millis(1300), "it calls again and again, and nobody comes of that").await;
            assert_eq!(bot.people(), [""; 0], "nobody is there yet");
        }
        let page = open(&browser, &others.pair("data", page_is)).await;
        connected(&page).await;
        let me: String = page.eval("page.me").await;
        bot.hears(&format!("Hello from user {me}")).await;
        bot.session.say(None, "good day").await;
        page.wait_for("page.said.includes('good day')", PATIENCE, "the page hears").await;
        assert_eq!(bot.people(), [me.trim_start_matches("user/")]);
        unhurt(&page).await;
        page.close().await;
        if bot_is.is_empty() {
            bot.sees(40, "the page has gone", |sight| sight.there.is_empty()).await;
        }
        bot.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lesson_two_a_mesh_with_ghosts_and_evictions() {
    needed!(tools(&["chromium"]));
    let others = needed!(Others::start(&[]).await);
    let browser = Browser::launch().await;
    let one = open(&browser, &others.mesh()).await;
    one.run("page.users.addEntry('zz-ghost'); page.users.addEntry('AA-ghost')").await;
    // Names of pages begin with a small letter: they call the first bot, and the second one calls them.
    let small = Person::at(&others.guide("full-mesh", ""), "Bot").await.expect("joins");
    let large = Person::at(&others.guide("full-mesh", ""), "zed").await.expect("joins");
    let two = open(&browser, &others.mesh()).await;
    for page in [&one, &two] {
        page.wait_for("page.connected().length === 3", PATIENCE, "everybody is connected").await;
    }
    let names: Vec<String> = vec![one.eval("page.me").await, two.eval("page.me").await];
    for bot in [&small, &large] {
        for name in &names {
            bot.hears(&format!("Hello from {name}")).await;
        }
        assert_eq!(bot.people().len(), 3, "no ghosts: {:?}", bot.people());
        bot.session.say(None, &format!("good day from {}", bot.session.me())).await;
    }
    for page in [&one, &two] {
        page.wait_for("page.said.filter((text) => text.startsWith('good day')).length === 2", PATIENCE, "they hear")
            .await;
    }
    // Who is taken out of the list comes back.
    for bot in [&small, &large] {
        let me = bot.session.me().to_string();
        one.run(&format!("page.evict('{me}')")).await;
        for page in [&one, &two] {
            let again = format!("page.said.length > 2 && page.connected().includes('{me}')");
            page.wait_for(&again, PATIENCE, "the bot is back").await;
        }
    }
    for page in [&one, &two] {
        page.wait_for("page.connected().length === 3", PATIENCE, "everybody is connected again").await;
    }
    two.close().await;
    for bot in [&small, &large] {
        bot.sees(40, "a page has gone", |sight| sight.there.len() == 2).await;
    }
    large.leave().await;
    one.wait_for("page.connected().length === 1", PATIENCE, "one bot is left").await;
    small.leave().await;
    one.wait_for("!page.users.getEntries().some((name) => /^(Bot|zed)/.test(name))", PATIENCE, "bots are no ghosts")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lessons_three_to_five_media_in_either_role() {
    needed!(tools(&["ffmpeg", "chromium"]));
    let others = needed!(Others::start(&[]).await);
    let browser = Browser::launch().await;
    let dir = tempfile::tempdir().expect("a folder");

    // The page calls a recorder, and shares its screen later; or the recorder calls.
    for (page_is, bot_is) in [("#initiator", ""), ("", "#initiator")] {
        let out = dir.path().join(format!("three{bot_is}"));
        let recorder = Bot::record(&others.guide("audio-video", bot_is), &out, &["--quiet"]);
        begun(&out).await;
        let page = open(&browser, &others.pair("audio-video", page_is)).await;
        connected(&page).await;
        pause(Duration::from_secs(2), "a camera of some length").await;
        page.run("await page.share()").await;
        pause(Duration::from_secs(3), "a screen of some length").await;
        unhurt(&page).await;
        let me: String = page.eval("page.me").await;
        page.close().await;
        let (folder, manifest) = recorded(recorder).await;
        assert!(manifest.room.starts_with("guide-audio-video"), "{}", manifest.room);
        assert_eq!(manifest.participants.len(), 1, "{:#?}", manifest.participants);
        assert_eq!(manifest.participants[0].name, me.trim_start_matches("user/"));
        for (source, least) in [(Source::Camera, 30), (Source::Mic, 100), (Source::Screen, 5)] {
            has_track(&folder, &manifest, source, least);
        }
    }

    // A filter is called, one calls, and so does a feed.
    let filter = Bot::start(&["filter", &others.guide("audio-video", ""), "--video", "grey-average"]);
    let page = call(&browser, &others.pair("audio-video", "#initiator")).await;
    sees(&page, 15, "< 12 && page.colour() >= 0").await;
    page.wait_for("page.received().then(({ packets }) => packets > 30)", PATIENCE, "sound comes back").await;
    unhurt(&page).await;
    page.close().await;
    drop(filter);
    let page = open(&browser, &others.pair("audio-video", "")).await;
    let url = others.guide("audio-video", "#initiator");
    let feed = Bot::start(&["feed", &url, "fixtures/alice.webm", "--loop"]);
    sees(&page, 15, "> 12").await;
    page.wait_for("page.received().then(({ packets }) => packets > 30)", PATIENCE, "sound comes").await;
    unhurt(&page).await;
    page.close().await;
    drop(feed);
    // A screen of ours, in mid-call.
    for (page_is, bot_is) in [("#initiator", ""), ("", "#initiator")] {
        let mut person = Person::at(&others.guide("audio-video", bot_is), "Bot").await.expect("joins");
        person.play("fixtures/alice.webm");
        let page = call(&browser, &others.pair("audio-video", page_is)).await;
        sees(&page, 5, "> 12").await;
        person.share("fixtures/slides.webm").await;
        page.wait_for("page.streams === 2", PATIENCE, "another stream").await;
        let shown = "[...document.querySelectorAll('video')].some((video) => video.videoWidth === 1280)";
        page.wait_for(shown, PATIENCE, "the screen is seen").await;
        unhurt(&page).await;
        page.close().await;
        person.leave().await;
    }

    // Lesson 4: pictures only, of an odd size, grey.
    let out = dir.path().join("four");
    let recorder = Bot::record(&others.guide("video", ""), &out, &["--quiet"]);
    begun(&out).await;
    let page = open(&browser, &others.pair("video", "#initiator")).await;
    connected(&page).await;
    pause(Duration::from_secs(2), "a camera of some length").await;
    unhurt(&page).await;
    page.close().await;
    let (folder, manifest) = recorded(recorder).await;
    assert_eq!(manifest.tracks.len(), 1, "{:#?}", manifest.tracks);
    has_track(&folder, &manifest, Source::Camera, 15);
    let page = open(&browser, &others.pair("video", "&colour")).await;
    let filter = Bot::start(&["filter", &others.guide("video", "#initiator"), "--video", "grey-average"]);
    sees(&page, 15, "< 12 && page.colour() >= 0").await;
    unhurt(&page).await;
    drop(filter);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lesson_six_files_both_ways() {
    needed!(tools(&["chromium"]));
    let others = needed!(Others::start(&[]).await);
    let browser = Browser::launch().await;
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("six");
    let recorder = Bot::record(&others.guide("files", ""), &out, &["--quiet"]);
    begun(&out).await;
    let page = open(&browser, &others.pair("files", "#initiator")).await;
    connected(&page).await;
    let mut sent = Vec::new();
    // Whole pieces, a part of one, and the last one exactly full.
    for (name, size) in [("slides.bin", 1_000_001), ("note.bin", 7), ("even.bin", 2400)] {
        let hash: String = page.eval(&format!("page.sendFile(page.peer, '{name}', {size})")).await;
        sent.push((name, hash));
    }
    has_file(&out, "even.bin").await;
    unhurt(&page).await;
    page.close().await;
    let (folder, manifest) = recorded(recorder).await;
    for (name, hash) in sent {
        let entry = manifest.files.iter().find(|entry| entry.name == name).unwrap_or_else(|| panic!("{manifest:#?}"));
        assert_eq!(entry.sha256.as_ref(), Some(&hash), "{entry:?}");
        assert_eq!(sha256(&folder.join(&entry.file)), hash, "{name}");
    }

    let (large, small) = (file(dir.path(), "large.bin", 1_500_000, 6), file(dir.path(), "small.bin", 3, 7));
    for (page_is, bot_is) in [("", "#initiator"), ("#initiator", "")] {
        let url = others.guide("files", bot_is);
        let sending =
            async { run(&["send", &url, large.to_str().expect("UTF-8"), small.to_str().expect("UTF-8")]).await };
        let taking = async {
            let url = others.pair("files", page_is);
            let page = if bot_is.is_empty() { call(&browser, &url).await } else { open(&browser, &url).await };
            page.wait_for("page.files.length === 2", PATIENCE, "both files").await;
            page
        };
        let (outcome, page) = tokio::join!(sending, taking);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        let got: Vec<String> = page.eval("page.files.map(({ sha256 }) => sha256)").await;
        let mut wanted = vec![sha256(&large), sha256(&small)];
        wanted.sort();
        let mut sorted = got.clone();
        sorted.sort();
        assert_eq!(sorted, wanted);
        assert_eq!(page.eval::<Vec<String>>("page.said").await, [""; 0], "nothing else was said");
        page.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_call_with_what_simple_peer_nine_asks_for() {
    needed!(tools(&["ffmpeg", "chromium"]));
    let others = needed!(Others::start(&[]).await);
    let browser = Browser::launch().await;
    let dir = tempfile::tempdir().expect("a folder");
    // Alice is called by everybody, Bob calls everybody.
    let alice = open(&browser, &others.caller("r1", "")).await;
    let out = dir.path().join("call");
    let recorder = Bot::record(&others.call("r1"), &out, &["--quiet"]);
    begun(&out).await;
    connected(&alice).await;
    let filter = Bot::start(&["filter", &others.call("r1"), "--video", "grey-average"]);
    alice.wait_for("page.peers.size === 2", PATIENCE, "the filter calls").await;
    let bob = open(&browser, &others.caller("r1", "")).await;
    for page in [&alice, &bob] {
        page.wait_for(
            "[...page.peers.values()].filter((peer) => peer.connected).length === 3",
            PATIENCE,
            "all are connected",
        )
        .await;
    }
    // The caller offers again; who was called asks for it, and for a place.
    bob.run("await page.share()").await;
    alice.run("await page.share()").await;
    pause(Duration::from_secs(3), "screens of some length").await;
    let asked: Vec<String> = alice.eval("page.asked").await;
    for word in ["renegotiate", "transceiverRequest"] {
        assert!(asked.iter().any(|asked| asked == word), "{word} is not among {asked:?}");
    }
    for page in [&alice, &bob] {
        let grey = "Promise.all([...page.peers.values()].map(({ _pc }) => page.counts(_pc)))
            .then((all) => all.every(({ frames }) => frames > 10) || all.filter(({ frames }) => frames > 10).length >= 2)";
        page.wait_for(grey, PATIENCE, "pictures of the filter and of the other").await;
        unhurt(page).await;
    }
    bob.close().await;
    drop(filter);
    let (folder, manifest) = recorded(recorder).await;
    assert_eq!(manifest.room, "r1");
    for source in [Source::Camera, Source::Screen] {
        let tracks = manifest.tracks.iter().filter(|track| track.source == source && track.frames > 5);
        assert!(tracks.count() >= 2, "{source:?}: {:#?}", manifest.tracks);
    }
    has_track(&folder, &manifest, Source::Mic, 100);

    // Chat and files, to who is still there.
    alice.wait_for("page.peers.size === 0", PATIENCE, "the others have gone").await;
    let large = file(dir.path(), "large.bin", 500_000, 8);
    let outcome =
        run(&["send", &others.call("r1"), large.to_str().expect("UTF-8"), "--message", "for the minutes"]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    alice.wait_for("page.files.length === 1", PATIENCE, "the file").await;
    assert_eq!(alice.eval::<String>("page.files[0].sha256").await, sha256(&large));
    assert_eq!(alice.eval::<Vec<String>>("page.said").await, ["for the minutes"]);
}
