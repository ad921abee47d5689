//! Codecs, track sources, RTP packets and encoded frames, as every other room understands them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;

/// Sound or picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    Audio,
    Video,
}

/// The direction of media in a section or transceiver, as the describing side sees it (W3C WebRTC `RTCRtpTransceiverDirection`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// From the describing side only.
    SendOnly,
    /// To the describing side only.
    RecvOnly,
    /// Neither way.
    Inactive,
}

impl Direction {
    const ALL: [Direction; 4] = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];

    /// Its word in SDP (RFC 8866 6.7) and in W3C WebRTC.
    pub fn word(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }
    /// The direction of such a word.
    pub fn from_word(word: &str) -> Option<Direction> {
        Direction::ALL.into_iter().find(|direction| direction.word() == word)
    }
    /// The direction in which the describing side may send, or receive, or both.
    pub fn of(sends: bool, receives: bool) -> Direction {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }
    /// Whether the describing side may send.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }
    /// Whether the describing side may receive.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }
}

/// The codecs that are recorded and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    Vp8,
    Vp9,
    Av1,
    H264,
    Opus,
}

impl Codec {
    /// Every codec, best supported first.
    pub const ALL: [Codec; 5] = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1, Codec::Opus];

    /// Sound or picture.
    pub fn kind(self) -> MediaKind {
        match self {
            Codec::Opus => MediaKind::Audio,
            _ => MediaKind::Video,
        }
    }
    /// RTP clock rate in Hz: 48,000 for Opus (RFC 7587), 90,000 for video (RFC 3551).
    pub fn clock_rate(self) -> u32 {
        match self {
            Codec::Opus => 48_000,
            _ => 90_000,
        }
    }
    /// The MIME type used in SDP (`video/VP8`).
    pub fn mime(self) -> &'static str {
        match self {
            Codec::Vp8 => "video/VP8",
            Codec::Vp9 => "video/VP9",
            Codec::Av1 => "video/AV1",
            Codec::H264 => "video/H264",
            Codec::Opus => "audio/opus",
        }
    }
    /// The codec of a MIME type, whatever its case.
    pub fn from_mime(mime: &str) -> Option<Codec> {
        Codec::ALL.into_iter().find(|c| c.mime().eq_ignore_ascii_case(mime))
    }
    /// The name that people use (`VP8`).
    pub fn name(self) -> &'static str {
        self.mime().split_once('/').map_or("", |(_, name)| name)
    }
}

/// What a track shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    Camera,
    Mic,
    Screen,
    ScreenAudio,
}

impl Source {
    /// The word in file names and on the wire (`screen-audio`).
    pub fn word(self) -> &'static str {
        match self {
            Source::Camera => "camera",
            Source::Mic => "mic",
            Source::Screen => "screen",
            Source::ScreenAudio => "screen-audio",
        }
    }
    /// What an unlabelled track of this kind is taken for.
    pub fn default_for(kind: MediaKind) -> Source {
        match kind {
            MediaKind::Audio => Source::Mic,
            MediaKind::Video => Source::Camera,
        }
    }
}

/// Loudness of a packet's sound (RFC 6464).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    /// Level below overload: 0 (loudest) to 127 (silence), in -dBov.
    pub below_overload: u8,
    /// The sender's voice activity flag.
    pub voice: bool,
}

/// What a payload type stands for in the descriptions of its connection: a fact of each packet, since a sender may change it at any one.
#[derive(Debug, Clone, Default)]
pub enum PacketFormat {
    /// Nothing: it was not negotiated.
    #[default]
    Unknown,
    /// Retransmissions (RFC 4588) of packets of a stream that is not known.
    Retransmission,
    /// Media.
    Media(Arc<MediaFormat>),
}

/// The media of a payload type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaFormat {
    pub codec: Codec,
    /// Parameter sets of the description (H.264 `sprop-parameter-sets`, RFC 6184, 8.1), each with its NAL header.
    pub parameter_sets: Vec<Bytes>,
}

impl From<Codec> for PacketFormat {
    /// A codec of which the description says nothing more.
    fn from(codec: Codec) -> PacketFormat {
        PacketFormat::Media(Arc::new(MediaFormat { codec, parameter_sets: Vec::new() }))
    }
}

/// One RTP packet (RFC 3550), after decryption; retransmissions are already unwrapped to the original (RFC 4588).
#[derive(Debug, Clone)]
pub struct RtpPacket {
    pub ssrc: u32,
    pub payload_type: u8,
    pub format: PacketFormat,
    pub sequence: u16,
    /// In units of the codec's clock rate; wraps.
    pub timestamp: u32,
    pub marker: bool,
    pub audio_level: Option<AudioLevel>,
    /// When the kernel received it.
    pub arrival: Instant,
    /// Payload without padding; empty for padding-only packets (bandwidth probes), which still use a sequence number.
    pub payload: Bytes,
}

impl RtpPacket {
    /// Its codec, if its payload type stands for one.
    pub fn codec(&self) -> Option<Codec> {
        match &self.format {
            PacketFormat::Media(format) => Some(format.codec),
            _ => None,
        }
    }
}

/// A stream of packets that the participant sends: known from its first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteTrack {
    pub ssrc: u32,
    pub codec: Codec,
    /// Media stream id (`a=msid`).
    pub stream: String,
    /// Track id (`a=msid`).
    pub track: String,
    pub channels: u16,
    /// Which layer of the track it is (RID, RFC 8851), where the track comes in several at once (simulcast, RFC 8853).
    pub rid: Option<String>,
}

impl RemoteTrack {
    pub fn kind(&self) -> MediaKind {
        self.codec.kind()
    }
}

/// One encoded frame (video: a whole picture or temporal unit; audio: one packet), as it goes into a file.
#[derive(Debug, Clone)]
pub struct Frame {
    /// RTP timestamp unwrapped to 64 bits, in units of the clock rate. Where pictures are sent before others that are shown earlier
    /// (B-frames) it goes back.
    pub rtp_time: i64,
    /// Arrival of its earliest packet: what follows was delayed by the sender's pacing (a first key frame by 200 ms) or by repair,
    /// which says nothing of when the frame was taken.
    pub arrival: Instant,
    /// The frame's bytes, in order, not joined: VP8/VP9 raw frame; AV1 temporal unit of OBUs with size fields and
    /// without temporal delimiters; H.264 NAL units each behind a 4-byte big-endian length (AVC form); Opus packet.
    pub parts: Vec<Bytes>,
    /// Decoding can start here. Always true for audio.
    pub key: bool,
    /// Width and height in pixels, where this frame says so (key frames).
    pub size: Option<(u32, u32)>,
    /// Decoder configuration, where this frame brings one: H.264 `avcC` (ISO 14496-15), AV1 `av1C`.
    pub config: Option<Bytes>,
    pub audio_level: Option<AudioLevel>,
    /// RTP packets that it came in; 0 where it came otherwise.
    pub packets: u32,
}

impl Frame {
    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }
    /// True when there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
