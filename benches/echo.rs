//! How long a picture takes to come back from `roombot echo` and `roombot filter`, measured from pixels in Chromium: a canvas shows the
//! time, and the page reads it from what it gets back. Beside it in the same run: the page's own canvas, and the canvas as another tab
//! sees it without a bot in between. Nothing else should run meanwhile.
//!
//! `cargo bench --bench echo [-- --seconds 20 --slow-seconds 60]`

#[allow(dead_code)]
#[path = "../tests/suite/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};
use support::bot::Bot;
use support::browser::Browser;
use support::counter::{Readings, begin, join, read};
use support::server::TestServer;

/// A filter for five pictures a second.
const SLOW: &str = "# Takes its time.\nidentity name=in sleep-time=200000 ! identity name=out\n";
const PATIENCE: Duration = Duration::from_secs(40);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|a| a == "--test") {
        return;
    }
    let number = |name: &str, default: u64| {
        let at = args.iter().position(|a| a == name);
        Duration::from_secs(at.and_then(|at| args.get(at + 1)).and_then(|n| n.parse().ok()).unwrap_or(default))
    };
    let (length, slow) = (number("--seconds", 20), number("--slow-seconds", 60));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("slow.gst");
        std::fs::write(&file, SLOW).expect("written");
        println!("640x360 at 30 a second; milliseconds for half and for 95 in 100 of the pictures\n");
        println!(
            "what                 own canvas   other tab    comes back   a second   in the bot   decode filter encode"
        );
        for codec in ["vp8", "h264"] {
            run(&format!("echo, {codec}"), &["echo"], codec, length, true).await;
        }
        run("filter grey", &["filter", "--video", "grey"], "vp8", length, false).await;
        run("filter edges", &["filter", "--video", "edges"], "vp8", length, false).await;
        run("filter of 5 a second", &["filter", "--video", file.to_str().expect("UTF-8")], "vp8", slow, false).await;
    });
}

/// One bot, one person with a camera, and maybe one who watches her without a bot.
async fn run(what: &str, args: &[&str], codec: &str, length: Duration, watched: bool) {
    let server = TestServer::start().await;
    let browser = Browser::launch_alone().await;
    let room = server.room("bench");
    let bot = Bot::start(&[&args[..1], &[&room, "--json", "--quiet"], &args[1..]].concat());
    let page = join(&browser, &server, "bench", "Alice", &format!("codec={codec}")).await;
    let back = "document.querySelector('.tile:not(.self) video')?.videoWidth > 0";
    page.wait_for(back, PATIENCE, "a picture comes back").await;
    begin(&page).await;
    // Encoders and jitter buffers have settled by then.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let decoded = "roombot.stats().then((all) => Object.values(all)[0].inbound.find((one) => one.kind === 'video').framesDecoded)";
    let (before, since): (f64, Instant) = (page.eval(decoded).await, Instant::now());
    let (own, back) = read(&page, length).await;
    let rate = (page.eval::<f64>(decoded).await - before) / since.elapsed().as_secs_f64();
    bot.interrupt();
    let report = bot.ended(Duration::from_secs(10)).await.stdout;
    let other = if watched {
        let watcher = join(&browser, &server, "bench", "Bob", "camera=0&mic=0").await;
        watcher.wait_for("document.querySelector('.tile:not(.self) video')?.videoWidth > 0", PATIENCE, "Alice").await;
        watcher.run("read('own', document.createElement('video')); read('back', document.querySelector('.tile:not(.self) video'))").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        Some(read(&watcher, length).await.1)
    } else {
        None
    };
    let report: serde_json::Value = serde_json::from_str(&report).expect("a report");
    let camera = report["tracks"].as_array().into_iter().flatten().find(|track| track["source"] == "camera");
    let figure = |name: &str| camera.and_then(|track| track[name].as_f64()).unwrap_or(f64::NAN);
    // The edges of a number cannot be read.
    let legible = |readings: &Readings| readings.rate() > 0.0;
    let pair = |readings: &Readings| match legible(readings) {
        true => format!("{:.0}/{:.0}", readings.quantile(0.5), readings.quantile(0.95)),
        false => "-".to_owned(),
    };
    println!(
        "{what:<20} {:>10} {:>11} {:>13} {:>10.1} {:>12} {:>8.1} {:>6.1} {:>6.1}",
        pair(&own),
        other.as_ref().map_or("-".into(), pair),
        pair(&back),
        rate,
        format!("{:.0}/{:.0}", figure("delay_p50_ms"), figure("delay_p95_ms")),
        figure("decode_ms"),
        figure("filter_ms"),
        figure("encode_ms"),
    );
}
