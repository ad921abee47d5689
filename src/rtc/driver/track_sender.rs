//! One published track on one connection: its SSRC, its payload type, and the task that forwards its packets.

use crate::room::media::{Codec, MediaKind, RtpPacket};
use crate::rtc::driver::engine::{library_codec, library_kind};
use crate::rtc::driver::placement::Shared;
use crate::rtc::driver::sender_report::CaptureTimes;
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

/// The library's object for a published track on one connection, and the SSRC that it gets there.
pub(crate) fn local_track(track: &OutboundTrack) -> (Arc<TrackLocalStaticRTP>, u32) {
    let ssrc = rand::random_range(1..u32::MAX);
    let (kind, label) = (track.codec().kind(), track.label());
    let rtx = (kind == MediaKind::Video).then(|| RTCRtpRtxParameters { ssrc: rand::random_range(1..u32::MAX) });
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
    (Arc::new(local), ssrc)
}

/// Forwards the packets of one track while the connection is up.
pub(crate) struct TrackSender {
    pub track: OutboundTrack,
    pub sender: Arc<dyn RtpSender>,
    pub ssrc: u32,
    parameters: watch::Sender<SendParameters>,
    capture_times: Arc<CaptureTimes>,
    task: JoinHandle<()>,
    /// The peer does not support the codec, which was reported.
    unsupported: bool,
    /// Sections in which it had no room; and whether that was reported of the last one.
    pub moves: u32,
    pub refused: bool,
}

#[derive(Clone, Copy, Default, PartialEq)]
struct SendParameters {
    connected: bool,
    /// As negotiated.
    payload_type: Option<u8>,
    extensions: Extensions,
}

/// Header extensions by their negotiated ids (RFC 8285).
#[derive(Clone, Copy, Default, PartialEq)]
struct Extensions {
    /// RFC 6464.
    audio_level: Option<u8>,
    /// Only for tracks without playout delay.
    playout_delay: Option<u8>,
}

impl TrackSender {
    pub fn start(
        track: OutboundTrack,
        local: Arc<TrackLocalStaticRTP>,
        sender: Arc<dyn RtpSender>,
        ssrc: u32,
        capture_times: Arc<CaptureTimes>,
    ) -> TrackSender {
        let (parameters, parameters_rx) = watch::channel(SendParameters::default());
        let task = tokio::spawn(forward(track.clone(), local, ssrc, parameters_rx, capture_times.clone()));
        let (unsupported, moves, refused) = Default::default();
        TrackSender { track, sender, ssrc, parameters, capture_times, task, unsupported, moves, refused }
    }
    /// A description has settled how it is sent. Returns a warning, once, if the peer does not support the track's codec: then it does not
    /// receive it.
    pub async fn apply_negotiated(&mut self, shared: &Shared) -> Option<String> {
        let sends = shared.lock().sends(self.ssrc, self.track.codec())?;
        // The library keeps the number that it began with; `placement` gives packets the one that is in force.
        let payload_type = match sends.payload_type {
            Some(number) => Some(self.library_payload_type().await.unwrap_or(number)),
            None => None,
        };
        let extensions = Extensions {
            audio_level: sends.audio_level,
            playout_delay: sends.playout_delay.filter(|_| self.track.has_no_playout_delay()),
        };
        self.change(|before| SendParameters { payload_type, extensions, ..before });
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
            let before = std::mem::replace(parameters, to(*parameters));
            before != *parameters
        });
    }
    pub fn stop(self) {
        self.task.abort();
        self.capture_times.remove(self.ssrc);
    }
}

async fn forward(
    track: OutboundTrack,
    local: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    mut parameters: watch::Receiver<SendParameters>,
    capture_times: Arc<CaptureTimes>,
) {
    loop {
        let ready = parameters.wait_for(|parameters| parameters.connected && parameters.payload_type.is_some()).await;
        let Ok(ready) = ready.map(|parameters| *parameters) else { return };
        let Some(payload_type) = ready.payload_type else { continue };
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
                            if let Err(e) = local.write_rtp(library_packet(packet, ssrc, payload_type, ready.extensions)).await {
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
