//! What a bot gives back while everything is live: codecs, switching, narrow paths, slow filters, people who come and go.

use crate::support::echoes::{Person, bot, filter, plain, room};
use crate::support::{blocking_pause, moment, pause};
use crate::support::{sight, within};
use roombot::bot::Bot;
use roombot::bot::{Answer, BotSetup, Choices};
use roombot::media::{Filter, FrameFilter};
use roombot::room::media::{Codec, MediaKind, Source};
use roombot::rtc::Impairment;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const ALICE: &str = "fixtures/alice.webm";

async fn say(bot: &Bot, text: &str) -> String {
    match within(10, text, bot.commander().command(text, true)).await {
        Some(Answer::Say(answer) | Answer::Refuse(answer)) => answer,
        other => panic!("{text}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_and_picture_come_back_on_one_stream_and_one_clock() {
    let room = room();
    let bot = bot(&room, plain()).await;
    let mut alice = Person::join(&room, "Alice", Codec::Vp8, None).await;
    alice.play(ALICE);
    let enough = |kind| move |sight: &sight::Sight| sight.track(kind).is_some_and(|seen| seen.reports.len() >= 3);
    alice.sees(20, "picture and its reports", enough(MediaKind::Video)).await;
    alice.sees(20, "sound and its reports", enough(MediaKind::Audio)).await;
    {
        let sight = alice.sight.lock().expect("lock");
        let [picture, sound] = [MediaKind::Video, MediaKind::Audio].map(|kind| sight.track(kind).expect("there"));
        assert_eq!(picture.remote.stream, sound.remote.stream);
        assert!(
            sight.labels.iter().any(|label| label.source == Source::Camera && label.stream == picture.remote.stream)
        );
        // Sound follows on sound: 20 ms each, nothing left out.
        let steps = sound.frames.windows(2).filter(|pair| pair[1].rtp_time - pair[0].rtp_time != 960).count();
        assert!(steps <= 2, "{steps} of {} packets of sound do not follow", sound.frames.len());
        assert!(
            sound.frames.iter().any(|frame| frame.audio_level.is_some_and(|level| level.below_overload < 60)),
            "the voice has a level"
        );
        // When a frame was taken, by the sender reports of its track: what Alice played together comes back together.
        let offset = |seen: &sight::Seen, rate: f64| {
            let (ntp, rtp) = *seen.reports.last().expect("a report");
            ntp as f64 / 4_294_967_296.0 - rtp as f64 / rate
        };
        // Alice's file: both of her tracks begin at RTP time 0 together.
        let apart = offset(picture, 90_000.0) - offset(sound, 48_000.0);
        assert!(apart.abs() < 0.02, "picture and sound lie {apart:.4} s apart");
    }
    alice.leave().await;
    bot.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_goes_back() {
    let room = room();
    for codec in [Codec::Vp9, Codec::H264, Codec::Av1] {
        let bot = bot(&room, BotSetup { codec: Some(codec), ..plain() }).await;
        let mut alice = Person::join(&room, "Alice", Codec::Vp8, None).await;
        alice.play(ALICE);
        alice
            .sees(25, codec.name(), |sight| {
                sight.track(MediaKind::Video).is_some_and(|seen| seen.remote.codec == codec && seen.frames.len() > 20)
            })
            .await;
        alice.leave().await;
        bot.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_change_what_comes_back_without_negotiating() {
    let room = room();
    let bot = bot(&room, plain()).await;
    let mut alice = Person::join(&room, "Alice", Codec::Vp8, None).await;
    alice.play(ALICE);
    alice.sees(20, "a picture", |sight| sight.count(MediaKind::Video) > 15).await;
    let tracks = alice.sight.lock().expect("lock").tracks.len();
    assert!(say(&bot, "filter grey").await.starts_with("video grey"));
    assert!(say(&bot, "audio robot").await.contains("audio robot"));
    let more = |alice: &Person, kind| alice.sight.lock().expect("lock").count(kind);
    let now = more(&alice, MediaKind::Video);
    alice.sees(10, "grey pictures", |sight| sight.count(MediaKind::Video) > now + 15).await;

    assert!(say(&bot, "video off").await.starts_with("video off"));
    alice
        .sees(10, "the label", |sight| sight.labels.iter().any(|label| label.source == Source::Camera && label.muted))
        .await;
    pause(Duration::from_millis(500), "pictures that were on their way").await;
    let (pictures, sounds) = (more(&alice, MediaKind::Video), more(&alice, MediaKind::Audio));
    alice.sees(10, "sound", |sight| sight.count(MediaKind::Audio) > sounds + 25).await;
    assert_eq!(more(&alice, MediaKind::Video), pictures, "it is off");
    say(&bot, "video on").await;
    alice.sees(10, "pictures again", |sight| sight.count(MediaKind::Video) > pictures + 15).await;

    assert!(say(&bot, "only Bob").await.contains("Alice"), "it says who is there");
    say(&bot, "source screen").await;
    pause(Duration::from_millis(500), "sound that was on its way").await;
    let still = more(&alice, MediaKind::Audio);
    pause(Duration::from_millis(400), "nothing comes in all of it").await;
    assert_eq!(more(&alice, MediaKind::Audio), still);
    say(&bot, "source all").await;
    alice.sees(10, "all again", |sight| sight.count(MediaKind::Audio) > still + 10).await;

    for (wrong, told) in [("dance", "filter NAME"), ("filter nonsense", "grey"), ("filter grey x=1", "no parameter")] {
        assert!(say(&bot, wrong).await.contains(told), "{wrong}: {}", say(&bot, wrong).await);
    }
    assert_eq!(bot.commander().command("quit", true).await, Some(Answer::Quit));
    assert_eq!(alice.sight.lock().expect("lock").tracks.len(), tracks, "nothing was negotiated anew");
    alice.leave().await;
    bot.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_command_it_in_the_chat_but_not_its_files() {
    let room = room();
    let bot = bot(&room, plain()).await;
    let alice = Person::join(&room, "Alice", Codec::Vp8, None).await;
    // What is said to nobody is lost.
    alice.sees(15, "the bot is there", |sight| !sight.there.is_empty()).await;
    let answered = async |text: &str, with: &str| {
        let before = alice.sight.lock().expect("lock").texts.len();
        alice.session.say(None, text).await;
        alice.sees(15, &format!("an answer to {text}"), |sight| sight.texts.len() > before).await;
        let answer = alice.sight.lock().expect("lock").texts[before].clone();
        assert!(answer.contains(with), "{text}: {answer}");
    };
    answered("bot: filter edges", "video edges").await;
    answered("Bot: help", "filter NAME").await;
    answered("bot: filter /tmp/mine.gst", "only who runs the bot").await;
    answered("bot: quit", "only who runs the bot").await;
    assert!(bot.watcher().doing().starts_with("video edges"));
    assert_eq!(alice.sight.lock().expect("lock").texts.len(), 4, "each was heard once");
    alice.leave().await;
    bot.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_may_get_everything_and_bots_and_recorders_are_left_alone() {
    let room = room();
    let choices = Choices { only: vec!["Alice".into()], ..plain().choices };
    let one = bot(&room, BotSetup { to_all: true, choices, ..plain() }).await;
    let other = bot(&room, plain()).await;
    let mut alice = Person::join(&room, "Alice", Codec::Vp8, None).await;
    let mut bob = Person::join(&room, "Bob", Codec::Vp8, None).await;
    alice.play(ALICE);
    bob.play("fixtures/bob.webm");
    // From Alice herself, and from the bot.
    let shown = |sight: &sight::Sight| {
        sight.tracks.iter().filter(|seen| seen.remote.stream.ends_with("-face") && seen.frames.len() > 15).count() >= 2
    };
    bob.sees(25, "Alice, given back to Bob", shown).await;
    alice.sees(25, "Alice, given back to her", shown).await;
    let names: Vec<String> =
        one.watcher().tracks().into_iter().filter(|track| !track.idle).map(|track| track.name).collect();
    assert!(!names.is_empty() && names.iter().all(|name| name == "Alice"), "{names:?}");
    assert!(other.watcher().tracks().iter().all(|track| track.name != "Echo"), "a bot gives no bot anything back");
    alice.leave().await;
    bob.leave().await;
    one.finish().await;
    other.finish().await;
}

/// A filter for five pictures a second.
struct Slow;

impl FrameFilter for Slow {
    fn apply(&mut self, _: &mut image::RgbaImage, _: Duration) {
        blocking_pause(Duration::from_millis(200), "how slow it is");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_filter_costs_pictures_and_no_time() {
    let room = room();
    let choices = Choices::new(Filter::of("slow", || Box::new(Slow)), filter(MediaKind::Audio, "none"));
    let bot = bot(&room, BotSetup { choices, ..plain() }).await;
    let mut alice = Person::join(&room, "Alice", Codec::Vp8, None).await;
    alice.play(ALICE);
    alice.sees(25, "some pictures", |sight| sight.count(MediaKind::Video) > 30).await;
    let tracks = bot.finish().await;
    alice.leave().await;
    let camera = tracks.iter().find(|track| track.source == Source::Camera).expect("a camera");
    let mic = tracks.iter().find(|track| track.source == Source::Mic).expect("a microphone");
    println!("{camera:#?}");
    assert!(camera.frames_skipped > camera.frames_out, "{camera:?}");
    // One picture in the filter, one that waits before it: 400 ms, and what a busy machine adds.
    assert!(camera.delay_p95_ms.expect("pictures") < 900, "{camera:?}");
    assert!(mic.delay_p50_ms.expect("sound") < 200, "{mic:?}");
    assert_eq!(camera.size, Some((640, 360)), "only the rate suffers: {camera:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_path_makes_pictures_smaller_until_it_widens() {
    let room = room();
    let bot = bot(&room, plain()).await;
    let bad = Impairment { grace: Duration::ZERO, ..Impairment::seeded(5) };
    let mut alice = Person::join(&room, "Alice", Codec::Vp8, Some(bad.clone())).await;
    alice.play(ALICE);
    let camera = || bot.watcher().tracks().into_iter().find(|track| track.source == Source::Camera);
    let until = async |what: &str, holds: &dyn Fn((u32, u32), u64) -> bool| {
        let start = Instant::now();
        loop {
            if let Some(track) = camera()
                && track.size.is_some_and(|size| holds(size, track.bitrate))
            {
                println!("{what} after {:?}: {:?} at {}", start.elapsed(), track.size, track.bitrate);
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(40), "{what}: {:?}", camera());
            moment().await;
        }
    };
    until("whole", &|size, bitrate| size == (640, 360) && bitrate > 500_000).await;
    alice.sees(20, "pictures", |sight| sight.count(MediaKind::Video) > 30).await;
    bad.rate.store(280_000, Ordering::Relaxed);
    until("smaller", &|size, bitrate| size.0 < 640 && bitrate < 280_000).await;
    let pictures = alice.sight.lock().expect("lock").count(MediaKind::Video);
    alice.sees(20, "pictures all the same", |sight| sight.count(MediaKind::Video) > pictures + 20).await;
    bad.rate.store(0, Ordering::Relaxed);
    until("whole again", &|size, _| size == (640, 360)).await;
    alice.leave().await;
    bot.finish().await;
}
