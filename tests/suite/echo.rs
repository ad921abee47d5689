//! `echo` and `filter` as people run them, with Chromium as the one who looks.

use crate::support::bot::Bot;
use crate::support::browser::Browser;
use crate::support::counter::{join, read};
use crate::support::server::TestServer;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_comes_back_soon_and_whole() {
    let server = TestServer::start().await;
    let browser = Browser::launch_alone().await;
    let bot = Bot::start(&["echo", &server.room("echo"), "--json"]);
    let page = join(&browser, &server, "echo", "Alice", "").await;
    let back = "roombot.stats().then((all) => Object.values(all).some((peer) => peer.inbound.some((one) => one.source === 'camera' && one.framesDecoded > 30)))";
    page.wait_for(back, PATIENCE, "her picture comes back").await;
    let (own, back) = read(&page, Duration::from_secs(8)).await;
    println!(
        "own {:.0}/{:.0} ms at {:.1}/s; back {:.0}/{:.0} ms at {:.1}/s",
        own.quantile(0.5),
        own.quantile(0.95),
        own.rate(),
        back.quantile(0.5),
        back.quantile(0.95),
        back.rate()
    );
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pictures");
    std::fs::create_dir_all(&folder).expect("a folder");
    page.screenshot(&folder.join("echo.png")).await;
    let stats: serde_json::Value = page.eval("roombot.stats()").await;
    println!("{stats:#}");
    bot.interrupt();
    let outcome = bot.ended(Duration::from_secs(10)).await;
    println!("{outcome:#?}");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}
