//! A camera that shows the time, and a reader of it: how long a picture takes from the canvas that it is drawn on to the screen that
//! it is seen on, measured from pixels in the page. The microphone is a tone.

use super::browser::{Browser, Page};
use super::pause;
use super::server::TestServer;
use serde::Deserialize;
use std::time::Duration;

/// Instead of a camera a canvas of 640x360 that says in 16 blocks of black and white what time it is in milliseconds (modulo
/// 65,536), thirty times a second, over a picture that moves; instead of a microphone 440 Hz.
const CAMERA: &str = r#"{
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [640, 360];
    const context = canvas.getContext('2d', { alpha: false });
    // The same in all tabs.
    const time = () => performance.timeOrigin + performance.now();
    const draw = () => {
        const now = Math.round(time());
        const bits = now % 65536;
        context.fillStyle = `hsl(${now / 40 % 360} 40% 50%)`;
        context.fillRect(0, 0, 640, 360);
        context.fillStyle = 'white';
        context.beginPath();
        context.arc(320 + 200 * Math.sin(now / 700), 210 + 80 * Math.cos(now / 900), 50, 0, 7);
        context.fill();
        for (let bit = 0; bit < 16; bit += 1) {
            context.fillStyle = bits >> bit & 1 ? 'white' : 'black';
            context.fillRect(bit * 40, 0, 40, 80);
        }
    };
    navigator.mediaDevices.getUserMedia = async ({ audio, video }) => {
        const stream = new MediaStream();
        if (video) {
            draw();
            setInterval(draw, 1000 / 30);
            const [track] = canvas.captureStream(30).getVideoTracks();
            stream.addTrack(track);
        }
        if (audio) {
            const sound = new AudioContext();
            const tone = new OscillatorNode(sound, { frequency: 440 });
            const gain = new GainNode(sound, { gain: 0.3 });
            const out = sound.createMediaStreamDestination();
            tone.connect(gain).connect(out);
            tone.start();
            stream.addTrack(out.stream.getAudioTracks()[0]);
        }
        return stream;
    };
    // Reads what a video shows, with each new picture.
    window.readings = {};
    window.read = (name, video) => {
        const eye = document.createElement('canvas');
        [eye.width, eye.height] = [640, 80];
        const context = eye.getContext('2d', { alpha: false, willReadFrequently: true });
        const list = readings[name] = [];
        let last = null;
        const look = () => {
            video.requestVideoFrameCallback(look);
            const now = time();
            if (!video.videoWidth) return;
            context.drawImage(video, 0, 0, video.videoWidth, video.videoHeight * 80 / 360, 0, 0, 640, 80);
            const pixels = context.getImageData(0, 40, 640, 1).data;
            let value = 0;
            for (let bit = 0; bit < 16; bit += 1) value |= (pixels[(bit * 40 + 20) * 4] > 127) << bit;
            if (value === last) return;
            last = value;
            list.push([now, (Math.round(now) % 65536 - value + 65536) % 65536]);
        };
        video.requestVideoFrameCallback(look);
    };
}"#;

/// How long pictures took, in milliseconds.
#[derive(Debug, Clone, Deserialize)]
pub struct Readings(pub Vec<(f64, f64)>);

impl Readings {
    /// The delay that this share of all pictures did not exceed.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut delays: Vec<f64> = self.0.iter().map(|(_, delay)| *delay).collect();
        delays.sort_by(f64::total_cmp);
        let rank = (delays.len() as f64 * share).ceil() as usize;
        delays.get(rank.clamp(1, delays.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
    }
    /// Pictures a second.
    pub fn rate(&self) -> f64 {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else { return 0.0 };
        (self.0.len() - 1) as f64 * 1000.0 / (last.0 - first.0)
    }
}

/// Joins as somebody whose camera shows the time.
pub async fn join(browser: &Browser, server: &TestServer, room: &str, name: &str, query: &str) -> Page {
    let url = server.page(room, &format!("name={name}&auto=1&width=640&height=360&fps=30&{query}"));
    let page = browser.page_with(&url, CAMERA).await;
    page.wait_for("window.roombot?.state.phase === 'joined'", Duration::from_secs(40), "joined").await;
    page
}

/// Begins to read the page's own picture and the one that comes back.
pub async fn begin(page: &Page) {
    page.run(
        "read('own', document.querySelector('.tile.self video'));
         read('back', document.querySelector('.tile:not(.self) video'));",
    )
    .await;
}

/// What was read of the page's own picture and of the one that comes back in the next so long.
pub async fn read(page: &Page, length: Duration) -> (Readings, Readings) {
    page.run("readings.own.length = readings.back.length = 0").await;
    pause(length, "how long it is looked").await;
    (page.eval("readings.own").await, page.eval("readings.back").await)
}

/// The loudest frequency in what comes back, in Hz.
pub async fn hears(page: &Page) -> f64 {
    page.eval(
        "(async () => {
            const video = document.querySelector('.tile:not(.self) video');
            const sound = new AudioContext({ sampleRate: 48000 });
            const ear = new AnalyserNode(sound, { fftSize: 16384, smoothingTimeConstant: 0 });
            sound.createMediaStreamSource(video.srcObject).connect(ear);
            const bins = new Float32Array(ear.frequencyBinCount);
            let loudest = 0;
            for (let wait = 0; wait < 40 && bins[loudest] < -60 || wait < 2; wait += 1) {
                await new Promise((resolve) => setTimeout(resolve, 500));
                ear.getFloatFrequencyData(bins);
                loudest = bins.indexOf(Math.max(...bins));
            }
            await sound.close();
            return loudest * 48000 / 16384;
        })()",
    )
    .await
}
