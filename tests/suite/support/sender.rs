//! A participant in Chromium whose sending is watched: what its `getStats` said, and when.

use super::browser::{Browser, Page};
use super::server::TestServer;
use super::tape::NAME;
use serde::Deserialize;
use std::time::Duration;

/// Two cores that are shared with other tests: what takes a second may take many.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Keeps hold of the page's connections, notes when it asked to join and was welcome, and what it has sent to the recorder, many
/// times a second.
const WATCH: &str = "{
    const [Connection, Socket] = [RTCPeerConnection, WebSocket];
    window.connections = [];
    window.RTCPeerConnection = class extends Connection {
        constructor(...all) { super(...all); connections.push(this); }
    };
    window.WebSocket = class extends Socket {
        constructor(...all) {
            super(...all);
            const joining = () => { window.joined ??= [Date.now(), 0]; };
            this.addEventListener('open', joining, { once: true });
            this.addEventListener('message', () => { joined[1] = Date.now(); }, { once: true });
        }
    };
    // A screen is encoded anew for everybody: a small one leaves time for the others.
    const display = navigator.mediaDevices.getDisplayMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getDisplayMedia = (asked) =>
        display({ ...asked, video: { frameRate: 10, width: { max: 640 }, height: { max: 360 } } });
    window.samples = [];
    // One look after the other, at one connection: looks at all of them took a page half a core.
    const look = async () => {
        if (window.roombot?.state.phase === 'joined') {
            const at = Date.now();
            for (const { outbound } of Object.values(await roombot.stats(RECORDER))) {
                for (const { source, framesEncoded, keyFramesEncoded, packetsSent } of outbound) {
                    samples.push({ at, source, frames: framesEncoded ?? 0, keys: keyFramesEncoded ?? 0, packets: packetsSent });
                }
            }
        }
        setTimeout(look, 30);
    };
    look();
}";

/// What had been sent to a recorder at one moment.
#[derive(Debug, Clone, Deserialize)]
pub struct Sample {
    /// Milliseconds on the wall clock.
    pub at: i64,
    pub frames: u64,
    pub keys: u64,
    pub packets: u64,
}

/// From when until when something was done, in milliseconds on the wall clock.
pub type During = (i64, i64);

/// Somebody in a room.
pub struct Sender {
    pub page: Page,
}

impl Sender {
    /// Joins; `query` is the page's.
    pub async fn join(browser: &Browser, server: &TestServer, room: &str, name: &str, query: &str) -> Sender {
        let url = server.page(room, &format!("name={name}&auto=1&{query}"));
        let page = browser.page_with(&url, &WATCH.replace("RECORDER", &format!("'{NAME}'"))).await;
        page.wait_for("window.roombot?.state.phase === 'joined'", PATIENCE, "joined").await;
        Sender { page }
    }

    /// Does something on the page, and says when.
    pub async fn does(&self, js: &str) -> During {
        self.page
            .eval(&format!("(async () => {{ const from = Date.now(); {js}; return [from, Date.now()]; }})()"))
            .await
    }

    /// When the page joined: from its request to the room's answer.
    pub async fn joined(&self) -> During {
        self.page.eval("joined").await
    }

    /// Everything that was noted of one source.
    pub async fn samples(&self, source: &str) -> Vec<Sample> {
        self.page.eval(&format!("samples.filter((one) => one.source === '{source}')")).await
    }

    /// Stops to send anything to anybody, and waits until the counters stand still.
    pub async fn fall_silent(&self) {
        self.page
            .run("for (const pc of connections) for (const one of pc.getSenders()) await one.replaceTrack(null)")
            .await;
        let still = "(() => {
            const last = (source) => samples.filter((one) => one.source === source).at(-1);
            // Not the camera's packets: padding that measures the path is among them.
            const now = `${last('camera').frames} ${last('mic').packets}`;
            if (window.stood?.what !== now) window.stood = { what: now, since: Date.now() };
            return Date.now() - stood.since > 500;
        })()";
        self.page.wait_for(still, PATIENCE, "nothing more is sent").await;
    }
}
