//! Our own way out for the media that a connection sends: packets are sealed here, with the keys that the library's handshake has made, and
//! go to the kernel on the thread that has made them. Everything else, RTCP included, is the library's to send.
//!
//! A stream goes one way for all its life: two that seal under one SSRC would use a nonce twice. So the way is chosen once for a
//! connection, before its first packet of media; and ours only if a packet of the library could be opened with the key that we hold.

use crate::room::media::RtpPacket;
use crate::rtc::congestion::rate_control::PacketFeedback;
use crate::rtc::egress::datagrams::Datagrams;
use crate::rtc::egress::format::SendFormat;
use crate::rtc::egress::streams::{Egress, Report};
use crate::rtc::publisher::PacketSink;
use crate::rtc::srtp::Profile;
use crate::rtc::srtp::keyring::{KeyPair, Keyring};
use crate::rtc::srtp::open::Opener;
use crate::rtc::srtp::seal::SealingKeys;
use crate::rtc::transport::batch::{Batch, BatchSocket};
use crate::rtc::transport::route::{Route, content};
use rtc::rtcp::receiver_report::ReceiverReport;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::timeout;
use webrtc::media_stream::track_local::TrackLocal;

/// How long a proof of our key may take, on a busy machine, and how often it is asked for; then the library sends.
const PROOF: Duration = Duration::from_millis(200);
const PROOFS: u32 = 5;

/// Says that we seal the media that is sent, where that is possible: `own`. Otherwise the library does.
const SENDING: &str = "ROOMBOT_SENDING";

/// Whether we seal the media that is sent in this process, where that is possible.
pub(crate) fn is_enabled() -> bool {
    static ENABLED: OnceLock<bool> = OnceLock::new();
    *ENABLED.get_or_init(|| std::env::var_os(SENDING).is_some_and(|who| who == "own"))
}

/// Who seals the media of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// We do.
    Own,
    Library,
}

/// What a connection sends past the library.
pub(crate) struct Outbound {
    route: Route,
    /// None: the library sends.
    keyring: Option<Arc<Keyring>>,
    /// What is sent is numbered for the other side's feedback.
    measures: bool,
    way: watch::Sender<Option<Way>>,
    /// Short critical sections, never held across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// As the handshake has it.
    profile: Option<Profile>,
    /// Until the key is proven.
    pair: Option<KeyPair>,
    egress: Option<Egress>,
    /// Tracks that were ever published.
    tracks: u64,
    batch: Batch,
    /// Packets that were lost on this machine.
    dropped: u64,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("way", &*self.way.borrow()).finish_non_exhaustive()
    }
}

impl Outbound {
    /// `keyring`: where the keys of this connection will be; none: the library sends. `measures`: whether what is sent is numbered for the
    /// other side's feedback.
    pub(crate) fn new(keyring: Option<Arc<Keyring>>, measures: bool) -> Outbound {
        let way = watch::Sender::new(keyring.is_none().then_some(Way::Library));
        Outbound { route: Route::default(), keyring, measures, way, state: Mutex::default() }
    }

    /// Whether what is sent is numbered for the other side's feedback.
    pub(crate) fn measures(&self) -> bool {
        self.measures
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handshake is over; packets are protected so.
    pub(crate) fn set_profile(&self, profile: Option<Profile>) {
        self.lock().profile = profile;
    }

    /// The library sends this datagram.
    pub(crate) fn observe(&self, socket: &Arc<impl BatchSocket + 'static>, datagram: &[u8], to: SocketAddr) {
        if self.keyring.is_none() {
            return;
        }
        self.route.observe(socket, datagram, to);
        if self.way.borrow().is_none()
            && let Some(packet) = content(datagram)
            && is_rtcp(packet)
        {
            self.prove(packet);
        }
    }

    /// The library has sealed this RTCP packet: if our key opens it, it is the right one.
    fn prove(&self, packet: &[u8]) {
        let mut state = self.lock();
        let Some(profile) = state.profile else { return };
        let Some(pair) = state.pair.take().or_else(|| self.keyring.as_ref()?.take()) else { return };
        let opener = Opener::new(&pair.first, profile);
        if opener.is_none_or(|mut opener| opener.open_rtcp(&mut packet.to_vec()).is_err()) {
            state.pair = Some(pair);
            return;
        }
        let Some(keys) = SealingKeys::new(pair.first, profile) else { return };
        self.way.send_if_modified(|way| {
            let first = way.is_none();
            if first {
                state.egress = Some(Egress::new(keys));
                *way = Some(Way::Own);
            }
            first
        });
    }

    /// Who seals the media of this connection, from now on. It is up.
    pub(crate) async fn way(&self, track: &dyn TrackLocal) -> Way {
        let mut way = self.way.subscribe();
        if let Some(way) = *way.borrow() {
            return way;
        }
        // Has the library send a packet: nobody's report, on nothing.
        let report = ReceiverReport { ssrc: rand::random_range(1..u32::MAX), ..Default::default() };
        for _ in 0..PROOFS {
            if let Err(e) = track.write_rtcp(vec![Box::new(report.clone())]).await {
                tracing::debug!("asking for a proof: {e}");
            }
            if timeout(PROOF, way.wait_for(Option::is_some)).await.is_ok() {
                break;
            }
        }
        self.way.send_if_modified(|way| {
            let late = way.is_none();
            if late {
                tracing::info!("media is sent by the library: our key could not be proven");
                *way = Some(Way::Library);
            }
            late
        });
        self.way.borrow().unwrap_or(Way::Library)
    }

    /// Whether media goes our way.
    pub(crate) fn is_own(&self) -> bool {
        *self.way.borrow() == Some(Way::Own)
    }

    /// A stream begins, or its packets look different from now on.
    pub(crate) fn set_stream(&self, ssrc: u32, repair: Option<u32>, clock_rate: u32, format: SendFormat) {
        let mut state = self.lock();
        let set = state.egress.as_mut().is_some_and(|egress| egress.set_stream(ssrc, repair, clock_rate, format));
        if !set {
            tracing::warn!("SSRC {ssrc} is somebody else's, and is not sent");
        }
    }

    /// The number of a track that begins.
    pub(crate) fn next_track(&self) -> u64 {
        let mut state = self.lock();
        state.tracks += 1;
        state.tracks
    }

    /// The track of a stream has ended.
    pub(crate) fn end(&self, ssrc: u32) {
        if let Some(egress) = &mut self.lock().egress {
            egress.end(ssrc);
        }
    }

    /// Sends the packets of a frame.
    fn send(&self, ssrc: u32, track: u64, packets: &Arc<Vec<RtpPacket>>) {
        self.write(packets.len(), |egress, out| egress.write(ssrc, track, packets, Instant::now(), out));
    }

    /// A receiver misses packets.
    pub(crate) fn repeat(&self, ssrc: u32, sequences: impl IntoIterator<Item = u16>, now: Instant) {
        self.write(0, |egress, out| {
            egress.repeat(ssrc, sequences, now, out);
            0
        });
    }

    /// Sends what `fill` writes; it returns how many packets it could not. `count`: how many are lost where there is no path.
    fn write(&self, count: usize, fill: impl FnOnce(&mut Egress, &mut Batch) -> usize) {
        let state = &mut *self.lock();
        let Some(egress) = &mut state.egress else { return };
        let mut refused = 0;
        let written = self.route.send(&mut state.batch, |batch| refused = fill(egress, batch));
        let dropped = written.map_or(count, |written| written.dropped + refused);
        if dropped > 0 {
            state.dropped += dropped as u64;
            tracing::debug!("{dropped} packets of media are lost on this machine, {} in all", state.dropped);
        }
    }

    /// What is to be said of the streams.
    pub(crate) fn reports(&self, now: Instant) -> Vec<Report> {
        self.lock().egress.as_ref().map(|egress| egress.reports(now)).unwrap_or_default()
    }

    /// What receivers say of packets, by their transport-wide numbers; returns what is to be learned.
    pub(crate) fn feedback(
        &self,
        told: impl IntoIterator<Item = (u16, Option<Option<Duration>>)>,
    ) -> Vec<PacketFeedback> {
        self.lock().egress.as_mut().map(|egress| egress.numbers().feedback(told)).unwrap_or_default()
    }
}

/// RFC 5761 4.
fn is_rtcp(packet: &[u8]) -> bool {
    matches!(packet, [128..=191, 192..=223, ..])
}

/// A stream of a connection, for its track.
pub(crate) struct OutboundStream {
    pub outbound: Arc<Outbound>,
    pub ssrc: u32,
    /// Its number ([`Outbound::next_track`]).
    pub track: u64,
}

impl PacketSink for OutboundStream {
    fn take(&self, packets: &Arc<Vec<RtpPacket>>) {
        self.outbound.send(self.ssrc, self.track, packets);
    }
}

impl Datagrams for Batch {
    fn begin(&mut self) -> &mut Vec<u8> {
        Batch::begin(self)
    }
    fn end(&mut self) {
        Batch::end(self);
    }
    fn cancel(&mut self) {
        Batch::cancel(self);
    }
}

#[cfg(test)]
mod tests;
