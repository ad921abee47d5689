//! A sender, its network, and a lane that receives, on a clock of their own.

use crate::rtc::inbox::{Inbound, Inbox};
use crate::rtc::lane::{BoundStream, ExtensionNumbers, Lane, SlowPacket};
use crate::rtc::media::packet_counts::DropReason;
use crate::rtc::srtp::keyring::Keyring;
use crate::rtc::srtp::open::Opener;
use crate::rtc::srtp::seal::{RtcpSealer, RtpSealer, SealingKeys};
use crate::rtc::srtp::{MasterKey, Profile};
use crate::rtc::transport::outlet::Outlet;
use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) const MEDIA: u32 = 7;
pub(super) const REPAIR: u32 = 8;
pub(super) const SOUND: u32 = 9;
pub(super) const AUDIO_LEVEL: u8 = 1;
pub(super) const TRANSPORT_WIDE: u8 = 3;

/// A sender, its network, and the lane that receives.
pub(super) struct Bench {
    pub lane: Lane,
    pub inbox: Arc<Inbox>,
    pub keyring: Arc<Keyring>,
    pub outlet: Arc<Outlet>,
    /// The sender's end.
    pub socket: UdpSocket,
    pub from: SocketAddr,
    pub start: Instant,
    pub sealers: HashMap<u32, RtpSealer>,
    pub rtcp: RtcpSealer,
    /// Opens what the lane sends.
    pub opener: Opener,
}

pub(super) fn key(number: u8) -> (Vec<u8>, [u8; 14]) {
    let mut salt = [number; 14];
    salt[12..].fill(0);
    (vec![number; 16], salt)
}

pub(super) fn master(number: u8) -> MasterKey {
    let (key, salt) = key(number);
    MasterKey::new(&key, &salt).unwrap()
}

pub(super) fn see(keyring: &Keyring, ours: u8, theirs: u8) {
    for number in [ours, theirs] {
        let (key, salt) = key(number);
        let mut block = [0; 16];
        block[..14].copy_from_slice(&salt);
        keyring.on_block(&key, &block);
        keyring.on_cipher(true);
    }
}

pub(super) fn sealers(number: u8) -> (HashMap<u32, RtpSealer>, RtcpSealer) {
    let mut keys = SealingKeys::new(master(number), Profile::Gcm128).unwrap();
    let sealers = [MEDIA, REPAIR, SOUND, 1000].map(|ssrc| (ssrc, keys.rtp(ssrc).unwrap()));
    (sealers.into_iter().collect(), keys.rtcp(MEDIA).unwrap())
}

pub(super) fn packet(ssrc: u32, sequence: u16, wide: Option<u16>, payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut header = vec![0x80, 0x80 | 96];
    header.extend(sequence.to_be_bytes());
    header.extend((u32::from(sequence) * 3000).to_be_bytes());
    header.extend(ssrc.to_be_bytes());
    if let Some(wide) = wide {
        header[0] |= 0x10;
        header.extend([0xbe, 0xde, 0, 2, TRANSPORT_WIDE << 4 | 1]);
        header.extend(wide.to_be_bytes());
        header.extend([AUDIO_LEVEL << 4, 0x80 | 30, 0, 0, 0]);
    }
    (header, payload.to_vec())
}

impl Bench {
    pub fn new() -> Bench {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let own = UdpSocket::bind("127.0.0.1:0").unwrap();
        own.set_nonblocking(true).unwrap();
        let (inbox, keyring, start) = (Arc::<Inbox>::default(), Arc::<Keyring>::default(), Instant::now());
        let lane = Lane::new(inbox.clone(), keyring.clone(), Arc::default(), start);
        let (sealers, rtcp) = sealers(2);
        let from = socket.local_addr().unwrap();
        let outlet = Arc::new(Outlet::new(own, None));
        let opener = Opener::new(&master(1), Profile::Gcm128).unwrap();
        Bench { lane, inbox, keyring, outlet, socket, from, start, sealers, rtcp, opener }
    }

    /// One with keys, whose streams are announced by their first packet.
    pub fn ready() -> Bench {
        let mut bench = Bench::new();
        see(&bench.keyring, 1, 2);
        bench.bind(MEDIA, Some(REPAIR));
        bench.bind(SOUND, None);
        let extensions = ExtensionNumbers { audio_level: Some(AUDIO_LEVEL), transport_wide: Some(TRANSPORT_WIDE) };
        bench.lane.set_extensions(extensions);
        for (ssrc, sequence) in [(MEDIA, 100), (SOUND, 200)] {
            assert!(!bench.send(0, ssrc, sequence), "the library announces it first");
            assert!(!bench.slow(0, ssrc, sequence), "it was handed over, too");
        }
        bench.received(0);
        bench
    }

    pub fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }
    pub fn bind(&self, ssrc: u32, repair: Option<u32>) {
        let stream = BoundStream { ssrc, payload_type: 96, clock_rate: 90_000, repairs: true, repair };
        self.lane.bind(&stream);
    }
    pub fn seal(&mut self, ssrc: u32, sequence: u16, wide: Option<u16>, payload: &[u8]) -> Vec<u8> {
        let ((header, payload), mut out) = (packet(ssrc, sequence, wide, payload), Vec::new());
        self.sealers.get_mut(&ssrc).unwrap().seal(&header, &payload, &mut out).unwrap();
        out
    }
    pub fn take(&self, ms: u64, datagram: &[u8]) -> bool {
        let mut datagram = datagram.to_vec();
        self.lane.take(&mut datagram, self.from, self.at(ms), &self.outlet)
    }
    pub fn send(&mut self, ms: u64, ssrc: u32, sequence: u16) -> bool {
        let sealed = self.seal(ssrc, sequence, None, b"picture");
        self.take(ms, &sealed)
    }
    /// The library has delivered it.
    pub fn slow(&self, ms: u64, ssrc: u32, sequence: u16) -> bool {
        let timestamp = u32::from(sequence) * 3000;
        self.lane.on_slow(SlowPacket { ssrc, sequence, timestamp, transport_wide: None }, self.at(ms))
    }
    /// What is in the inbox: SSRC and sequence number of packets, and counts.
    pub fn received(&self, ms: u64) -> (Vec<(u32, u16)>, Vec<(u32, DropReason, u64)>) {
        self.lane.flush(self.at(ms));
        let mut items = Vec::new();
        self.inbox.drain(&mut items);
        let (mut packets, mut dropped) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                Inbound::Rtp(packet) => packets.push((packet.ssrc, packet.sequence)),
                Inbound::Dropped { ssrc, reason, packets, .. } => dropped.push((ssrc, reason, packets)),
                _ => {}
            }
        }
        (packets, dropped)
    }
    /// What the lane has sent, opened: kinds of packets with their formats.
    pub fn said(&mut self) -> Vec<Vec<u8>> {
        let mut buf = [0; 2048];
        let mut said = Vec::new();
        while let Ok((len, _)) = self.socket.recv_from(&mut buf) {
            let end = self.opener.open_rtcp(&mut buf[..len]).expect("it is sealed with our key");
            let mut rest = &buf[..end];
            while !rest.is_empty() {
                let len = 4 * (usize::from(u16::from_be_bytes([rest[2], rest[3]])) + 1);
                said.push(rest[..len].to_vec());
                rest = &rest[len..];
            }
        }
        said
    }
}

/// Kinds and formats of RTCP packets.
pub(super) fn kinds(said: &[Vec<u8>]) -> Vec<(u8, u8)> {
    said.iter().map(|packet| (packet[1], packet[0] & 31)).collect()
}
