//! A camera of an odd size in Chromium: recorded, given back and filmed in it.

use crate::support::bot::{Bot, run};
use crate::support::browser::Browser;
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::probe::{probe, sizes};
use crate::support::server::TestServer;
use roombot::recording::manifest::{Manifest, Status};
use roombot::room::media::Source;
use std::time::Duration;

/// Two cores that are shared with other tests: what takes a second may take many.
const PATIENCE: Duration = Duration::from_secs(40);
const SIZE: (u32, u32) = (301, 225);

/// Instead of a camera a canvas that moves.
const CAMERA: &str = "{
    const canvas = Object.assign(document.createElement('canvas'), { width: 301, height: 225 });
    const context = canvas.getContext('2d', { alpha: false });
    let at = 0;
    setInterval(() => {
        at = (at + 3) % 301;
        context.fillStyle = 'seagreen';
        context.fillRect(0, 0, 301, 225);
        context.fillStyle = 'gold';
        context.fillRect(at, 40, 60, 60);
    }, 50);
    navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(20);
}";

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_of_an_odd_size_keeps_it() {
    needed!(tools(&["ffmpeg", "chromium"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("recording");
    let bot = Bot::start(&["filter", &server.room("odd"), "--video", "mirror", "--to", "all", "--json", "--quiet"]);
    let recorder = Bot::start(&["record", &server.room("odd"), "--folder", out.to_str().expect("UTF-8"), "--json"]);
    let page = browser.page_with(&server.page("odd", "name=Alice&auto=1&mic=0"), CAMERA).await;
    let back = format!(
        "[...document.querySelectorAll('.tile:not(.self) video')].some((one) => one.videoWidth === {} && one.videoHeight === {})",
        SIZE.0, SIZE.1
    );
    page.wait_for(&back, PATIENCE, "the picture comes back in its size").await;
    pause(Duration::from_secs(2), "pictures").await;
    bot.interrupt();
    assert_eq!(bot.ended(Duration::from_secs(20)).await.code, Some(0));
    recorder.interrupt();
    let outcome = recorder.ended(Duration::from_secs(30)).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let manifest = Manifest::load(&out).expect("a recording");
    assert_eq!(manifest.status, Status::Complete);
    let cameras: Vec<_> = manifest.tracks.iter().filter(|track| track.source == Source::Camera).collect();
    assert!(cameras.len() >= 2, "hers and what the bot gives back: {:#?}", manifest.tracks);
    for camera in cameras {
        let last = camera.resolutions.last().expect("a size");
        assert_eq!((last.width, last.height), SIZE, "{}", camera.file);
        let path = out.join("tracks").join(&camera.file);
        let seen = probe(&path);
        assert_eq!((seen.frames, seen.complaints.as_str()), (camera.frames, ""), "{}", camera.file);
        assert_eq!(sizes(&path).last(), Some(&(SIZE.0.into(), SIZE.1.into())), "{}", camera.file);
    }
    let film = run(&["compose", out.to_str().expect("UTF-8"), "--size", "640x360"]).await;
    assert_eq!(film.code, Some(0), "{film:?}");
}
