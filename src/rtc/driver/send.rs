//! A track that we publish: made once, sent to every peer that subscribes.

use crate::room::media::{Codec, Frame, RtpPacket};
use crate::room::participant::TrackLabel;
use crate::rtc::driver::engine::{library_codec, library_kind};
use crate::rtc::driver::sender_report::SenderReportRewriter;
use crate::rtc::driver::tap::{AUDIO_LEVEL_URI, PLAYOUT_DELAY_URI};
use crate::rtc::media::packetize::Packetizer;
use bytes::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::rtp_transceiver::RtpSender;

/// Least and most delay, 12 bits each, in units of 10 ms.
const NO_DELAY: [u8; 3] = [0; 3];

/// A published track. Frames go in once; each connection takes the packets and gives them its own SSRC and payload type.
///
/// The queue to each connection holds 512 frames (10 s of sound, 17 s of picture; policy DropOldest: a connection that is so
/// late skips ahead and asks for a key frame).
#[derive(Clone)]
pub struct OutboundTrack {
    label: TrackLabel,
    codec: Codec,
    packets: broadcast::Sender<Arc<Vec<RtpPacket>>>,
    key_frame: watch::Sender<u64>,
    packetizer: Arc<Mutex<Packetizer>>,
    /// Receivers are asked to show pictures as they come.
    at_once: bool,
}

/// One connection's view of an [`OutboundTrack`].
pub type Subscription = broadcast::Receiver<Arc<Vec<RtpPacket>>>;

impl OutboundTrack {
    /// A track that sends `codec` under `label` (the label's stream id must be unique among our streams, and its kind the
    /// codec's).
    pub fn new(label: TrackLabel, codec: Codec) -> Self {
        Self {
            label,
            codec,
            packets: broadcast::channel(512).0,
            key_frame: watch::channel(0).0,
            packetizer: Arc::new(Mutex::new(Packetizer::new(codec, 0))),
            at_once: false,
        }
    }
    /// Asks receivers to show its pictures as soon as they come instead of evening out their pace first (the header extension
    /// `playout-delay` of libwebrtc, both limits 0). For what was delayed on its way here and must not be delayed again.
    pub fn shown_at_once(self) -> Self {
        Self { at_once: true, ..self }
    }
    pub fn label(&self) -> &TrackLabel {
        &self.label
    }
    pub fn codec(&self) -> Codec {
        self.codec
    }
    /// Sends one frame now: splits it into packets of at most 1,200 bytes and hands them to every connection.
    /// `frame.rtp_time` must not decrease. Never waits.
    pub fn send(&self, frame: &Frame) {
        self.send_taken(frame, Instant::now());
    }
    /// The same for a frame that was taken at another time: sender reports say so (RFC 3550, 6.4.1), and receivers lay the sound
    /// and the picture of one stream together by it, whatever each went through meanwhile.
    pub fn send_taken(&self, frame: &Frame, taken: Instant) {
        let packets = self.packetizer.lock().unwrap_or_else(PoisonError::into_inner).packetize(frame, taken);
        self.send_packets(packets);
    }
    /// Sends packets as they are (sequence numbers and timestamps included), for tests of bad senders.
    pub fn send_packets(&self, packets: Vec<RtpPacket>) {
        let _ = self.packets.send(Arc::new(packets));
    }
    /// How many key frames have been asked for so far (PLI, FIR, a new subscriber). The source waits on a change and answers
    /// with one.
    pub fn key_frame_requests(&self) -> watch::Receiver<u64> {
        self.key_frame.subscribe()
    }
    pub(crate) fn ask_key_frame(&self) {
        self.key_frame.send_modify(|asked| *asked += 1);
    }
}

/// The library's end of a published track on one connection, and the SSRC that it got there.
pub(crate) fn local_track(track: &OutboundTrack) -> (Arc<TrackLocalStaticRTP>, u32) {
    let ssrc = rand::random_range(1..u32::MAX);
    let kind = track.codec.kind();
    let rtx = (kind == crate::room::media::MediaKind::Video)
        .then(|| RTCRtpRtxParameters { ssrc: rand::random_range(1..u32::MAX) });
    let local = TrackLocalStaticRTP::new(MediaStreamTrack::new(
        track.label.stream.clone(),
        format!("{}-{}", track.label.stream, track.label.source.word()),
        track.label.source.word().to_owned(),
        library_kind(kind),
        vec![RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), rtx, ..Default::default() },
            codec: library_codec(track.codec),
            ..Default::default()
        }],
    ));
    (Arc::new(local), ssrc)
}

/// One published track on one connection: a task that forwards packets while the connection is up.
pub(crate) struct Sending {
    pub track: OutboundTrack,
    pub sender: Arc<dyn RtpSender>,
    pub ssrc: u32,
    /// The negotiated payload type while packets may go out.
    route: watch::Sender<Route>,
    taken: Arc<SenderReportRewriter>,
    task: JoinHandle<()>,
    /// The peer does not take the codec, which was told.
    refused: bool,
}

#[derive(Clone, Copy, Default, PartialEq)]
struct Route {
    connected: bool,
    payload_type: Option<u8>,
    extensions: Extensions,
}

/// Header extensions by their negotiated ids (RFC 8285).
#[derive(Clone, Copy, Default, PartialEq)]
struct Extensions {
    /// The sound's loudness.
    audio_level: Option<u8>,
    /// How long a picture may wait to be shown; only where we ask for that.
    playout_delay: Option<u8>,
}

impl Sending {
    pub fn start(
        track: OutboundTrack,
        local: Arc<TrackLocalStaticRTP>,
        sender: Arc<dyn RtpSender>,
        ssrc: u32,
        taken: Arc<SenderReportRewriter>,
    ) -> Sending {
        let (route, route_rx) = watch::channel(Route::default());
        let task = tokio::spawn(forward(track.clone(), local, ssrc, route_rx, taken.clone()));
        Sending { track, sender, ssrc, route, taken, task, refused: false }
    }
    /// Looks up the payload type that a description settled. Says so, once, if the peer does not take the track's codec: then
    /// it does not receive it.
    pub async fn settle(&mut self) -> Option<String> {
        let parameters = self.sender.get_parameters().await.ok()?;
        let mime = self.track.codec.mime();
        let found = parameters.rtp_parameters.codecs.iter().find(|c| c.rtp_codec.mime_type.eq_ignore_ascii_case(mime));
        match found {
            Some(codec) => {
                let id = |uri: &str| {
                    let found = parameters.rtp_parameters.header_extensions.iter().find(|e| e.uri == uri);
                    found.and_then(|e| u8::try_from(e.id).ok())
                };
                let extensions = Extensions {
                    audio_level: id(AUDIO_LEVEL_URI),
                    playout_delay: id(PLAYOUT_DELAY_URI).filter(|_| self.track.at_once),
                };
                self.change(|route| Route { payload_type: Some(codec.payload_type), extensions, ..route });
                None
            }
            None if self.refused || parameters.rtp_parameters.codecs.is_empty() => None,
            None => {
                self.refused = true;
                let (codec, label) = (self.track.codec.name(), self.track.label());
                Some(format!("they take no {codec}, so they do not receive our {}", label.source.word()))
            }
        }
    }
    pub fn set_connected(&self, connected: bool) {
        self.change(|route| Route { connected, ..route });
    }
    /// Tells the forwarding task, if anything is new: each change costs it its place in the queue.
    fn change(&self, to: impl FnOnce(Route) -> Route) {
        self.route.send_if_modified(|route| {
            let before = std::mem::replace(route, to(*route));
            before != *route
        });
    }
    pub fn stop(self) {
        self.task.abort();
        self.taken.forget(self.ssrc);
    }
}

async fn forward(
    track: OutboundTrack,
    local: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    mut route: watch::Receiver<Route>,
    taken: Arc<SenderReportRewriter>,
) {
    loop {
        let Ok(ready) = route.wait_for(|r| r.connected && r.payload_type.is_some()).await.map(|r| *r) else { return };
        let Some(payload_type) = ready.payload_type else { continue };
        let mut packets = track.packets.subscribe();
        track.ask_key_frame();
        loop {
            tokio::select! {
                changed = route.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    break;
                }
                batch = packets.recv() => match batch {
                    Ok(batch) => {
                        if let Some(first) = batch.first() {
                            taken.note(ssrc, first.timestamp, first.arrival, track.codec.clock_rate());
                        }
                        for packet in batch.iter() {
                            if let Err(e) = local.write_rtp(library_packet(packet, ssrc, payload_type, ready.extensions)).await {
                                tracing::debug!("sending: {e}");
                            }
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        tracing::debug!("a connection was {missed} frames late and skips ahead");
                        track.ask_key_frame();
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

    #[test]
    fn only_what_was_negotiated_is_in_the_header() {
        let packet = RtpPacket {
            ssrc: 1,
            payload_type: 0,
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
