//! Sound in two channels, from a browser that was asked for it to the file and the film.

use crate::support::bot::Bot;
use crate::support::browser::Browser;
use crate::support::needs::{needed, tools};
use crate::support::pause;
use crate::support::sender::PATIENCE;
use crate::support::server::TestServer;
use crate::support::tape::Tape;
use roombot::room::media::Source;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What the left and the right channel of the page's microphone sound like, in Hz.
const TONES: [f64; 2] = [300.0, 1200.0];

/// The page's microphone is two tones, one a channel.
fn tones() -> String {
    format!(
        "{{
            const original = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            navigator.mediaDevices.getUserMedia = async (constraints) => {{
                const media = await original(constraints);
                if (!constraints.audio) return media;
                const context = new AudioContext({{ sampleRate: 48000 }});
                const [merger, out] = [context.createChannelMerger(2), context.createMediaStreamDestination()];
                {TONES:?}.forEach((frequency, channel) => {{
                    const tone = new OscillatorNode(context, {{ frequency }});
                    tone.connect(merger, 0, channel);
                    tone.start();
                }});
                merger.connect(out);
                await context.resume();
                return new MediaStream([...media.getVideoTracks(), ...out.stream.getAudioTracks()]);
            }};
        }}"
    )
}

/// The tone of each channel near the end of a file, in Hz, by its zero crossings: a film begins with the session, and sound comes only when
/// somebody has joined.
fn heard(path: &Path) -> Vec<f64> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-sseof", "-2.5", "-i"]).arg(path);
    let output =
        ffmpeg.args(["-t", "1", "-map", "0:a:0", "-f", "s16le", "-ar", "48000", "-"]).output().expect("ffmpeg");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let (samples, _) = output.stdout.as_chunks::<2>();
    let samples: Vec<i16> = samples.iter().map(|sample| i16::from_le_bytes(*sample)).collect();
    let channels = channels(path);
    let tone = |channel: usize| {
        let own: Vec<i16> = samples.iter().skip(channel).step_by(channels).copied().collect();
        let crossings = own.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
        crossings as f64 * 48_000.0 / own.len() as f64
    };
    (0..channels).map(tone).collect()
}

/// Channels that a file says it has.
fn channels(path: &Path) -> usize {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-select_streams", "a:0", "-show_entries", "stream=channels", "-of", "csv=p=0"]);
    let output = ffprobe.arg(path).output().expect("ffprobe");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

fn has_two_channels(path: &Path) {
    let heard = heard(path);
    assert_eq!(heard.len(), 2, "{}", path.display());
    for (tone, wanted) in heard.iter().zip(TONES) {
        // On a machine with other tests on it there are gaps, in both channels.
        assert!((wanted * 0.6..wanted * 1.05).contains(tone), "{heard:?} Hz in {}", path.display());
    }
}

fn compose(recording: &Path, args: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roombot"));
    let output = command.arg("compose").arg(recording).args(args).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_sends_stereo_and_every_output_keeps_it() {
    needed!(tools(&["chromium", "ffmpeg"]));
    let server = TestServer::start().await;
    let browser = Browser::launch().await;
    let tape = Tape::start(&server.room("stereo"));
    let url = server.page("stereo", "name=Alice&auto=1&width=320&height=180&fps=10");
    let page = browser.page_with(&url, &tones()).await;
    page.wait_for("window.roombot?.state.phase === 'joined'", PATIENCE, "joined").await;
    crate::recorded::records(&tape, "alice").await;
    pause(Duration::from_secs(4), "sound of some length").await;
    let recorded = tape.finish().await;
    has_two_channels(&recorded.path(recorded.track("alice", Source::Mic)));

    let out = tempfile::tempdir().expect("a folder");
    let named = |name: &str| -> PathBuf { out.path().join(name) };
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let film = named("film.webm");
    compose(
        &recorded.folder,
        &["--size", "320x180", "--fps", "5", "--codec", "vp8", "--no-stills", "--out", &text(&film)],
    );
    has_two_channels(&film);
    let sound = named("sound.wav");
    compose(&recorded.folder, &["--audio-only", "--no-stills", "--out", &text(&sound)]);
    has_two_channels(&sound);
    compose(&recorded.folder, &["--each"]);
    let each = std::fs::read_dir(recorded.folder.join("participants")).expect("the folder");
    let each = each.map(|entry| entry.expect("an entry").path());
    let each: Vec<PathBuf> = each.filter(|path| path.file_stem().is_some_and(|stem| stem == "alice")).collect();
    assert_eq!(each.len(), 1, "{each:?}");
    has_two_channels(&each[0]);
}

/// A file with a tone in each channel.
fn tones_in_a_file(folder: &Path) -> PathBuf {
    let path = folder.join("tones.webm");
    let [left, right] = TONES.map(|tone| format!("0.3*sin(2*PI*{tone}*t)"));
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args([
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        &format!("aevalsrc={left}|{right}:s=48000:d=10"),
        "-c:a",
        "libopus",
    ]);
    assert!(ffmpeg.arg(&path).status().expect("ffmpeg").success());
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_in_stereo_and_what_a_bot_gives_back_of_it_have_two_channels() {
    needed!(tools(&["ffmpeg"]));
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = tones_in_a_file(folder.path());
    let tape = Tape::start(&server.room("stereo"));
    let echo = Bot::start(&["echo", &server.room("stereo"), "--as", "Echo", "--to", "all", "--quiet"]);
    let feed = Bot::start(&["feed", &server.room("stereo"), file.to_str().expect("UTF-8"), "--as", "Alice", "--loop"]);
    for who in ["alice", "echo"] {
        tape.until(who, crate::recorded::track_on(who, Source::Mic)).await;
    }
    pause(Duration::from_secs(4), "sound of some length").await;
    let recorded = tape.finish().await;
    for who in ["alice", "echo"] {
        has_two_channels(&recorded.path(recorded.track(who, Source::Mic)));
    }
    drop((echo, feed));
}
