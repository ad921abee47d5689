//! One published track on one connection: its SSRC, its payload type, and the task that forwards its packets.

use crate::room::media::{Codec, MediaKind, RtpPacket};
use crate::rtc::driver::engine::{library_codec, library_kind};
use crate::rtc::driver::outbound::{Outbound, OutboundStream, Way};
use crate::rtc::driver::placement::Shared;
use crate::rtc::driver::sender_report::CaptureTimes;
use crate::rtc::egress::format::SendFormat;
use crate::rtc::feedback::sender_report::CaptureTime;
use crate::rtc::publisher::OutboundTrack;
use bytes::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters};
use std::sync::Arc;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::rtp_transceiver::RtpSender;

/// Least and most playout delay, 12 bits each, in units of 10 ms.
const NO_DELAY: [u8; 3] = [0; 3];

/// What a published track is on one connection.
#[derive(Clone)]
pub(crate) struct LocalTrack {
    /// The library's object for it.
    pub library: Arc<TrackLocalStaticRTP>,
    pub ssrc: u32,
    /// SSRC of its retransmissions.
    pub repair: Option<u32>,
}

/// A published track gets its SSRCs.
pub(crate) fn local_track(track: &OutboundTrack) -> LocalTrack {
    let ssrc = rand::random_range(1..u32::MAX);
    let (kind, label) = (track.codec().kind(), track.label());
    let repair = (kind == MediaKind::Video).then(|| rand::random_range(1..u32::MAX));
    let rtx = repair.map(|ssrc| RTCRtpRtxParameters { ssrc });
    let local = TrackLocalStaticRTP::new(MediaStreamTrack::new(
        label.stream.clone(),
        format!("{}-{}", label.stream, label.source.word()),
        label.source.word().to_owned(),
        library_kind(kind),
        vec![RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), rtx, ..Default::default() },
            codec: library_codec(track.codec()),
            ..Default::default()
        }],
    ));
    LocalTrack { library: Arc::new(local), ssrc, repair }
}

/// How the tracks of a connection are sent.
#[derive(Clone)]
pub(crate) struct SendWays {
    pub outbound: Arc<Outbound>,
    /// For sender reports of the library.
    pub capture_times: Arc<CaptureTimes>,
}

/// Forwards the packets of one track while the connection is up.
pub(crate) struct TrackSender {
    pub track: OutboundTrack,
    pub sender: Arc<dyn RtpSender>,
    pub ssrc: u32,
    parameters: watch::Sender<SendParameters>,
    ways: SendWays,
    task: JoinHandle<()>,
    /// The peer does not support the codec, which was reported.
    unsupported: bool,
    /// Sections in which it had no room; and whether that was reported of the last one.
    pub moves: u32,
    pub refused: bool,
}

#[derive(Clone, Default, PartialEq)]
struct SendParameters {
    connected: bool,
    /// As negotiated; none: it is not sent.
    format: Option<SendFormat>,
    /// As the library has it.
    payload_type: u8,
    extensions: Extensions,
}

/// Header extensions by their numbers in the library (RFC 8285).
#[derive(Clone, Copy, Default, PartialEq)]
struct Extensions {
    /// RFC 6464.
    audio_level: Option<u8>,
    /// Only for tracks without playout delay.
    playout_delay: Option<u8>,
}

impl TrackSender {
    pub fn start(track: OutboundTrack, local: LocalTrack, sender: Arc<dyn RtpSender>, ways: SendWays) -> TrackSender {
        let (parameters, parameters_rx) = watch::channel(SendParameters::default());
        let ssrc = local.ssrc;
        let number = ways.outbound.next_track();
        let task = tokio::spawn(forward(track.clone(), number, local, parameters_rx, ways.clone()));
        let (unsupported, moves, refused) = Default::default();
        TrackSender { track, sender, ssrc, parameters, ways, task, unsupported, moves, refused }
    }
    /// A description has settled how it is sent. Returns a warning, once, if the peer does not support the track's codec: then it does not
    /// receive it.
    pub async fn apply_negotiated(&mut self, shared: &Shared) -> Option<String> {
        let sends = shared.lock().sends(self.ssrc, self.track.codec())?;
        // The library keeps the number that it began with; `placement` gives packets the one that is in force.
        let payload_type = match &sends.format {
            Some(format) => self.library_payload_type().await.unwrap_or(format.payload_type),
            None => 0,
        };
        let extensions = Extensions {
            audio_level: sends.audio_level,
            playout_delay: sends.playout_delay.filter(|_| self.track.has_no_playout_delay()),
        };
        let no_delay = self.track.has_no_playout_delay();
        let format = sends.format.map(|format| SendFormat {
            no_playout_delay: format.no_playout_delay.filter(|_| no_delay),
            number: format.number.filter(|_| self.ways.outbound.measures()),
            ..format
        });
        self.change(|before| SendParameters { format, payload_type, extensions, ..before });
        let first = sends.unsupported && !std::mem::replace(&mut self.unsupported, sends.unsupported);
        first.then(|| {
            let (codec, label) = (self.track.codec().name(), self.track.label());
            format!("they do not support {codec}, so they do not receive our {}", label.source.word())
        })
    }
    async fn library_payload_type(&self) -> Option<u8> {
        let parameters = self.sender.get_parameters().await.ok()?;
        let codec = self.track.codec();
        let mut codecs = parameters.rtp_parameters.codecs.iter();
        codecs.find(|known| Codec::from_mime(&known.rtp_codec.mime_type) == Some(codec)).map(|known| known.payload_type)
    }
    pub fn set_connected(&self, connected: bool) {
        self.change(|before| SendParameters { connected, ..before });
    }
    /// Informs the forwarding task, if anything changes: each change costs it its place in the queue.
    fn change(&self, to: impl FnOnce(SendParameters) -> SendParameters) {
        self.parameters.send_if_modified(|parameters| {
            let before = std::mem::replace(parameters, to(parameters.clone()));
            before != *parameters
        });
    }
    pub fn stop(self) {
        self.task.abort();
        self.ways.capture_times.remove(self.ssrc);
        self.ways.outbound.end(self.ssrc);
    }
}

async fn forward(
    track: OutboundTrack,
    number: u64,
    local: LocalTrack,
    mut parameters: watch::Receiver<SendParameters>,
    ways: SendWays,
) {
    let LocalTrack { library, ssrc, repair } = local;
    let SendWays { outbound, capture_times } = ways;
    loop {
        let ready = parameters.wait_for(|parameters| parameters.connected && parameters.format.is_some()).await;
        let Ok(ready) = ready.map(|parameters| parameters.clone()) else { return };
        let Some(format) = ready.format else { continue };
        if outbound.way(&*library).await == Way::Own {
            outbound.set_stream(ssrc, repair, track.codec().clock_rate(), format);
            let attached = track.attach(Arc::new(OutboundStream { outbound: outbound.clone(), ssrc, track: number }));
            let changed = parameters.changed().await;
            drop(attached);
            if changed.is_err() {
                return;
            }
            continue;
        }
        let payload_type = ready.payload_type;
        let mut packets = track.subscribe();
        loop {
            tokio::select! {
                changed = parameters.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    break;
                }
                batch = packets.recv() => match batch {
                    Ok(batch) => {
                        if let Some(first) = batch.first() {
                            let (timestamp, at, clock_rate) = (first.timestamp, first.arrival, track.codec().clock_rate());
                            capture_times.insert(ssrc, CaptureTime { timestamp, at, clock_rate });
                        }
                        for packet in batch.iter() {
                            if let Err(e) = library.write_rtp(library_packet(packet, ssrc, payload_type, ready.extensions)).await {
                                tracing::debug!("sending: {e}");
                            }
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        tracing::debug!("a connection was {missed} frames late and skips ahead");
                        track.request_key_frame();
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                },
            }
        }
    }
}

fn library_packet(packet: &RtpPacket, ssrc: u32, payload_type: u8, extensions: Extensions) -> rtc::rtp::Packet {
    let mut header = rtc::rtp::header::Header {
        version: 2,
        marker: packet.marker,
        payload_type,
        sequence_number: packet.sequence,
        timestamp: packet.timestamp,
        ssrc,
        ..Default::default()
    };
    let mut extend = |id: Option<u8>, value: Bytes| {
        if let Some(id) = id
            && let Err(e) = header.set_extension(id, value)
        {
            tracing::debug!("a header extension cannot be sent: {e}");
        }
    };
    if let Some(level) = packet.audio_level {
        let byte = level.below_overload & 0x7f | u8::from(level.voice) << 7;
        extend(extensions.audio_level, Bytes::copy_from_slice(&[byte]));
    }
    extend(extensions.playout_delay, Bytes::from_static(&NO_DELAY));
    rtc::rtp::Packet { header, payload: packet.payload.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::media::AudioLevel;
    use std::time::Instant;

    #[test]
    fn only_what_was_negotiated_is_in_the_header() {
        let packet = RtpPacket {
            ssrc: 1,
            payload_type: 0,
            format: Default::default(),
            sequence: 7,
            timestamp: 3000,
            marker: false,
            audio_level: Some(AudioLevel { below_overload: 30, voice: true }),
            arrival: Instant::now(),
            payload: Bytes::from_static(&[1, 2, 3]),
        };
        let none = library_packet(&packet, 1, 96, Extensions::default());
        assert!(!none.header.extension);
        let both = library_packet(&packet, 1, 96, Extensions { audio_level: Some(1), playout_delay: Some(12) });
        assert_eq!(both.header.get_extension(1).as_deref(), Some(&[30 | 0x80][..]));
        assert_eq!(both.header.get_extension(12).as_deref(), Some(&[0, 0, 0][..]));
    }
}
