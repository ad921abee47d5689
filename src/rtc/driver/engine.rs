//! What we offer and accept: codecs, their feedback, header extensions, and the interceptor chain.

use crate::room::media::{Codec, MediaKind, RemoteTrack};
use crate::rtc::congestion::BandwidthEstimate;
use crate::rtc::driver::bandwidth::Estimator;
use crate::rtc::driver::compound::CompoundKeyFrameRequests;
use crate::rtc::driver::nack_generator::BindOnce;
use crate::rtc::driver::placement::{Placement, Shared};
use crate::rtc::driver::rtx::RtxUnwrapper;
use crate::rtc::driver::sender_report::{CaptureTimes, SenderReportRewriter};
use crate::rtc::driver::tap::{AUDIO_LEVEL_URI, PLAYOUT_DELAY_URI, StreamCodecs, Tap};
use crate::rtc::inbox::Inbox;
use rtc::interceptor::{CongestionControlBuilder, NackGeneratorBuilder, NackResponderBuilder, Slot, TwccSenderBuilder};
use rtc::peer_connection::configuration::interceptor_registry::{configure_rtcp_reports, configure_twcc_receiver_only};
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use rtc::sdp::extmap::{SDES_MID_URI, SDES_REPAIR_RTP_STREAM_ID_URI, SDES_RTP_STREAM_ID_URI, TRANSPORT_CC_URI};
use rtc::shared::error::Result;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use webrtc::peer_connection::Registry;

/// One codec as SDP describes it: its payload type, that of its retransmissions, and format parameters.
pub(crate) struct Entry {
    pub codec: Codec,
    pub payload_type: u8,
    pub rtx: Option<u8>,
    pub fmtp: &'static str,
}

/// The codecs that a track file can hold, and no others: what is not negotiated cannot arrive. (The library's default set
/// gives one payload type to two codecs.)
pub(crate) const CODECS: &[Entry] = &[
    Entry { codec: Codec::Opus, payload_type: 111, rtx: None, fmtp: "minptime=10;useinbandfec=1" },
    Entry { codec: Codec::Vp8, payload_type: 96, rtx: Some(97), fmtp: "" },
    Entry { codec: Codec::Vp9, payload_type: 98, rtx: Some(99), fmtp: "profile-id=0" },
    Entry {
        codec: Codec::H264,
        payload_type: 102,
        rtx: Some(103),
        fmtp: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
    },
    Entry {
        codec: Codec::H264,
        payload_type: 106,
        rtx: Some(107),
        fmtp: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    },
    Entry {
        codec: Codec::H264,
        payload_type: 112,
        rtx: Some(113),
        fmtp: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f",
    },
    Entry {
        codec: Codec::H264,
        payload_type: 116,
        rtx: Some(117),
        fmtp: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f",
    },
    Entry { codec: Codec::Av1, payload_type: 45, rtx: Some(46), fmtp: "profile=0;level-idx=5;tier=0" },
    Entry { codec: Codec::Vp9, payload_type: 100, rtx: Some(101), fmtp: "profile-id=2" },
];

/// A header extension that we send or read, with the kinds of media that have it; its place here is the number under which we offer it
/// where nothing else has that number.
pub(crate) struct KnownExtension {
    pub uri: &'static str,
    audio: bool,
    video: bool,
    /// The library only looks for it in packets: its number may be one that needs two-byte headers.
    pub only_read: bool,
}

impl KnownExtension {
    pub fn is_for(&self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Audio => self.audio,
            MediaKind::Video => self.video,
        }
    }
}

/// Layers of a picture are told apart by these alone: descriptions do not name their SSRCs (RFC 8852, RFC 8853); nor need they name
/// those of other streams (RFC 9143 15).
pub(crate) const EXTENSIONS: &[KnownExtension] = &[
    KnownExtension { uri: AUDIO_LEVEL_URI, audio: true, video: false, only_read: false },
    KnownExtension { uri: PLAYOUT_DELAY_URI, audio: false, video: true, only_read: false },
    KnownExtension { uri: SDES_MID_URI, audio: true, video: true, only_read: true },
    KnownExtension { uri: SDES_RTP_STREAM_ID_URI, audio: false, video: true, only_read: true },
    KnownExtension { uri: SDES_REPAIR_RTP_STREAM_ID_URI, audio: false, video: true, only_read: true },
    KnownExtension { uri: TRANSPORT_CC_URI, audio: true, video: true, only_read: false },
];

pub(crate) fn library_kind(kind: MediaKind) -> RtpCodecKind {
    match kind {
        MediaKind::Audio => RtpCodecKind::Audio,
        MediaKind::Video => RtpCodecKind::Video,
    }
}

/// The codec as the library describes it, with the first payload type under which we offer it.
pub(crate) fn library_codec(codec: Codec) -> RTCRtpCodec {
    let fmtp = CODECS.iter().find(|e| e.codec == codec).map_or("", |e| e.fmtp);
    describe(codec, fmtp)
}

pub(crate) fn describe(codec: Codec, fmtp: &str) -> RTCRtpCodec {
    let feedback: &[(&str, &str)] = match codec.kind() {
        MediaKind::Audio => &[],
        MediaKind::Video => &[("ccm", "fir"), ("nack", ""), ("nack", "pli"), ("goog-remb", "")],
    };
    RTCRtpCodec {
        mime_type: codec.mime().to_owned(),
        clock_rate: codec.clock_rate(),
        channels: if codec == Codec::Opus { 2 } else { 0 },
        sdp_fmtp_line: fmtp.to_owned(),
        rtcp_feedback: feedback
            .iter()
            .map(|(typ, parameter)| RTCPFeedback { typ: (*typ).to_owned(), parameter: (*parameter).to_owned() })
            .collect(),
    }
}

pub(crate) fn media_engine() -> Result<MediaEngine> {
    let mut engine = MediaEngine::default();
    for entry in CODECS {
        let kind = library_kind(entry.codec.kind());
        let codec = describe(entry.codec, entry.fmtp);
        let clock_rate = codec.clock_rate;
        engine.register_codec(RTCRtpCodecParameters { rtp_codec: codec, payload_type: entry.payload_type }, kind)?;
        if let Some(rtx) = entry.rtx {
            let codec = RTCRtpCodec {
                mime_type: "video/rtx".to_owned(),
                clock_rate,
                channels: 0,
                sdp_fmtp_line: format!("apt={}", entry.payload_type),
                rtcp_feedback: vec![],
            };
            engine.register_codec(RTCRtpCodecParameters { rtp_codec: codec, payload_type: rtx }, kind)?;
        }
    }
    for extension in EXTENSIONS {
        for kind in [MediaKind::Audio, MediaKind::Video].into_iter().filter(|kind| extension.is_for(*kind)) {
            let capability = RTCRtpHeaderExtensionCapability { uri: extension.uri.to_owned() };
            engine.register_header_extension(capability, library_kind(kind), None)?;
        }
    }
    Ok(engine)
}

/// Our ends of the interceptor chain: what it fills and reads.
pub(crate) struct ChainEnds {
    pub inbox: Arc<Inbox>,
    /// SSRCs of ours for which the peer requests a key frame.
    pub key_frame_requests: mpsc::UnboundedSender<u32>,
    pub codecs: Arc<StreamCodecs>,
    pub capture_times: Arc<CaptureTimes>,
    pub estimate: watch::Sender<BandwidthEstimate>,
    pub shared: Arc<Shared>,
    /// Streams that no description names.
    pub placed: mpsc::UnboundedSender<RemoteTrack>,
}

/// NACK both ways, sender and receiver reports, transport-wide feedback both ways, and our own interceptors. `measure`: whether what we
/// send is numbered for the other side's feedback, and a bitrate made of it. There is no pacer: it would hold pictures back, and
/// each of ours is a few packets.
pub(crate) fn interceptors(engine: &mut MediaEngine, ends: ChainEnds, measure: bool) -> Result<Registry> {
    // As the library's `configure_nack` does it, but with state that survives negotiations.
    for parameter in ["", "pli"] {
        let feedback = RTCPFeedback { typ: "nack".to_owned(), parameter: parameter.to_owned() };
        engine.register_feedback(feedback, RtpCodecKind::Video);
    }
    let registry = Registry::new()
        .with(Slot::NackResponder, NackResponderBuilder::new().build())
        .with(Slot::NackGenerator, BindOnce::new(NackGeneratorBuilder::new().build()));
    let registry = configure_rtcp_reports(registry);
    let mut registry = configure_twcc_receiver_only(registry, engine)?;
    if measure {
        let estimator = Estimator::new(ends.estimate.clone());
        registry = registry
            .with(Slot::CongestionControl, CongestionControlBuilder::new(estimator).build())
            .with(Slot::TwccSender, TwccSenderBuilder::new().build());
    }
    let registry = registry
        .with(Slot::from(3_500), SenderReportRewriter::new(ends.capture_times))
        .with(Slot::from(6_500), RtxUnwrapper::new(Arc::clone(&ends.codecs), Arc::clone(&ends.inbox)))
        .with(Slot::from(9_500), CompoundKeyFrameRequests::default())
        .with(Slot::from(14_000), Tap::new(ends.inbox, ends.key_frame_requests, ends.codecs, ends.estimate));
    Ok(Registry::new().with(Slot::from(0), Placement::new(registry.build(), ends.shared, ends.placed)))
}
