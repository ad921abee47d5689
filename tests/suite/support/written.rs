//! What a [`super::writer::Writer`] describes and sends: sections of an offer, and streams of packets.

use bytes::Bytes;
use roombot::room::media::{Codec, Frame};
use roombot::rtc::media::packetize::Packetizer;
use rtc::rtp::Packet;
use rtc::rtp::header::Header;
use std::time::Instant;

/// Header extensions of every section: the section's name (MID) and the layer's (RID), RFC 9143 and RFC 8852.
pub const MID: u8 = 1;
pub const RID: u8 = 2;

/// How the writer answers an offer in which its section has something for it as well.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Answered {
    /// It sends, and receives.
    BothWays,
    /// It only receives; where there is nothing to receive it sends.
    OneWay,
    /// It sends and receives, and does not repeat what its track is called.
    Unnamed,
}

/// A section of an offer.
#[derive(Clone)]
pub struct Offered {
    pub kind: &'static str,
    pub mid: &'static str,
    /// Media stream id.
    pub stream: &'static str,
    /// Payload type, encoding and parameters of each format.
    pub formats: Vec<(u8, &'static str, String)>,
    /// Further lines.
    pub more: Vec<String>,
    pub answered: Answered,
}

impl Offered {
    /// A picture in these formats.
    pub fn picture(mid: &'static str, formats: &[(u8, &'static str)]) -> Offered {
        Offered::of("video", mid, formats)
    }
    pub fn sound(mid: &'static str, formats: &[(u8, &'static str)]) -> Offered {
        Offered::of("audio", mid, formats)
    }
    fn of(kind: &'static str, mid: &'static str, formats: &[(u8, &'static str)]) -> Offered {
        let formats = formats.iter().map(|(number, encoding)| (*number, *encoding, parameters(encoding))).collect();
        Offered { kind, mid, stream: "face", formats, more: Vec::new(), answered: Answered::BothWays }
    }
    pub fn with(mut self, line: &str) -> Offered {
        self.more.push(line.to_owned());
        self
    }

    /// Its text, with these lines on the transport.
    pub fn write(&self, transport: &str) -> String {
        let Offered { kind, mid, stream, formats, more, .. } = self;
        let numbers: Vec<String> = formats.iter().map(|(number, ..)| number.to_string()).collect();
        let mut text = format!(
            "m={kind} 9 UDP/TLS/RTP/SAVPF {}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=sendonly\r\na=rtcp-mux\r\n{transport}\
             a=msid:{stream} {mid}\r\na=extmap:{MID} urn:ietf:params:rtp-hdrext:sdes:mid\r\n",
            numbers.join(" ")
        );
        if *kind == "video" {
            text += &format!("a=extmap:{RID} urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n");
        }
        for (number, encoding, parameters) in formats {
            if !encoding.is_empty() {
                text += &format!("a=rtpmap:{number} {encoding}\r\n");
            }
            if !parameters.is_empty() {
                text += &format!("a=fmtp:{number} {parameters}\r\n");
            }
        }
        more.iter().for_each(|line| text += &format!("{line}\r\n"));
        text
    }
}

fn parameters(encoding: &str) -> String {
    match encoding {
        "H264/90000" => "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        "VP9/90000" => "profile-id=0",
        _ => "",
    }
    .to_owned()
}

/// A stream of packets: what is the same in each, and the number of the next.
pub struct Line {
    pub ssrc: u32,
    pub payload_type: u8,
    pub sequence: u16,
    /// Header extensions of each packet.
    pub extensions: Vec<(u8, Vec<u8>)>,
    packetizer: Packetizer,
    codec: Codec,
}

impl Line {
    /// A stream in a section of this name.
    pub fn new(ssrc: u32, mid: &str, (payload_type, codec): (u8, Codec)) -> Line {
        let extensions = vec![(MID, mid.as_bytes().to_vec())];
        Line { ssrc, payload_type, sequence: 1000, extensions, packetizer: Packetizer::new(codec, ssrc), codec }
    }
    /// From now on it has another codec, if it is another.
    pub fn become_codec(&mut self, (payload_type, codec): (u8, Codec)) {
        if self.codec != codec {
            (self.codec, self.packetizer) = (codec, Packetizer::new(codec, self.ssrc));
        }
        self.payload_type = payload_type;
    }
    /// The packets of a frame.
    pub fn packets(&mut self, frame: &Frame) -> Vec<Packet> {
        let packets = self.packetizer.packetize(frame, Instant::now());
        packets.into_iter().map(|one| self.packet(one.timestamp, one.marker, one.payload)).collect()
    }
    /// The next packet.
    pub fn packet(&mut self, timestamp: u32, marker: bool, payload: Bytes) -> Packet {
        let mut header = Header {
            version: 2,
            marker,
            payload_type: self.payload_type,
            sequence_number: self.sequence,
            timestamp,
            ssrc: self.ssrc,
            ..Default::default()
        };
        for (id, value) in &self.extensions {
            header.set_extension(*id, value.clone().into()).expect("an extension");
        }
        self.sequence = self.sequence.wrapping_add(1);
        Packet { header, payload }
    }
}
