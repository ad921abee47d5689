//! The account of packets: for each stream of packets (SSRC), what came and what became of it. Packets in = packets in frames + packets
//! dropped, by reason + packets that are still held.

use crate::room::media::{Codec, MediaKind, RtpPacket};
use crate::rtc::media::packet_counts::{DropReason, PacketCounts};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

/// The packets of one SSRC that a stream took, or that belonged to no stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketAccount {
    /// The packets' SSRC (RFC 3550). 0 in the account of all for whom no account of their own is kept.
    pub ssrc: u32,
    /// The codec of the stream; none for packets that belonged to no stream.
    pub codec: Option<Codec>,
    /// Packets that arrived.
    pub packets: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// When the first one arrived.
    pub first: Option<Instant>,
    /// When the last one arrived.
    pub last: Option<Instant>,
    /// Where they went.
    pub counts: PacketCounts,
    /// Bit n: packets of payload type n came.
    payload_types: u128,
    /// Bit n of the whole: payloads whose first byte is n came.
    first_bytes: [u128; 2],
}

/// A payload format's first byte is a header of few values. From so many packets on it can be told from noise.
const LEAST_FOR_NOISE: u64 = 24;
/// More packets tell no more.
const MOST_FOR_NOISE: u64 = 96;

impl PacketAccount {
    pub(super) fn new(ssrc: u32, codec: Option<Codec>) -> PacketAccount {
        PacketAccount {
            ssrc,
            codec,
            packets: 0,
            bytes: 0,
            first: None,
            last: None,
            counts: PacketCounts::default(),
            payload_types: 0,
            first_bytes: [0; 2],
        }
    }

    /// Packets that wait: for their stream, for those before them, or for the rest of their frame. 0 once the stream has ended.
    pub fn held(&self) -> u64 {
        self.packets.saturating_sub(self.counts.total())
    }

    /// From the first packet to the last.
    pub fn duration(&self) -> Duration {
        match (self.first, self.last) {
            (Some(first), Some(last)) => last.saturating_duration_since(first),
            _ => Duration::ZERO,
        }
    }

    /// The payload types that came, in ascending order.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> + '_ {
        (0..128).filter(|number| self.payload_types >> number & 1 == 1)
    }

    /// Why nothing of the stream could be used, for people; none if something was, or nothing came.
    pub fn why_nothing(&self) -> Option<String> {
        if self.counts.in_frames > 0 {
            return None;
        }
        let count = |reason| self.counts.dropped(reason);
        let most = self.counts.reasons().filter(|(reason, _)| reason.loses_media()).max_by_key(|(_, count)| *count);
        // Key frames without their parameter sets are few among many frames.
        if let Some(codec) = self.codec
            && self.looks_random()
        {
            return Some(format!("payload is not {} (end-to-end encrypted?)", codec.name()));
        }
        let reason = if count(DropReason::Malformed) * 32 >= self.packets.max(1) {
            DropReason::Malformed
        } else if count(DropReason::NoParameterSets) > 0 {
            DropReason::NoParameterSets
        } else {
            most?.0
        };
        Some(self.explain(reason))
    }

    fn explain(&self, reason: DropReason) -> String {
        let numbers: Vec<String> = self.payload_types().map(|number| number.to_string()).collect();
        let (types, numbers) = (if numbers.len() == 1 { "type" } else { "types" }, numbers.join(", "));
        match reason {
            DropReason::PayloadType => format!("payload {types} {numbers} not negotiated"),
            DropReason::NoKeyFrame => "no key frame".into(),
            DropReason::NoParameterSets if self.codec == Some(Codec::Av1) => "no sequence header".into(),
            DropReason::NoParameterSets => "no parameter sets".into(),
            DropReason::Malformed => match self.codec {
                Some(codec) => format!("payload is not {}", codec.name()),
                None => "payload is malformed".into(),
            },
            DropReason::Retransmission => "only retransmissions came".into(),
            DropReason::Unannounced => format!("stream was never announced (payload {types} {numbers})"),
            DropReason::EarlyOverflow => "more came before the stream was announced than is kept".into(),
            DropReason::TooManyStreams => "too many streams".into(),
            DropReason::Refused => "not wanted".into(),
            DropReason::Transform => "could not be decrypted".into(),
            DropReason::InboxFull => "more arrived than could be taken".into(),
            DropReason::TooLarge => "frames are too large".into(),
            DropReason::Incomplete => "packets of every frame were lost".into(),
            DropReason::Undecodable => "every frame depends on a lost one".into(),
            DropReason::Duplicate => "packets were repeated only".into(),
            DropReason::Late | DropReason::OutOfRange => "packets are out of sequence".into(),
            DropReason::NoPicture | DropReason::Padding => "packets carry no media".into(),
            DropReason::AfterEnd => "stream had ended".into(),
            DropReason::OtherLayer => "another simulcast layer is recorded".into(),
            DropReason::Unfinished => "the rest of the frame was never sent".into(),
            DropReason::Unowned => "no participant owns it".into(),
        }
    }

    /// A packet arrived. Where it goes is counted elsewhere.
    pub(super) fn arrive(&mut self, packet: &RtpPacket) {
        self.payload_types |= 1 << (packet.payload_type & 0x7f);
        if let Some(first) = packet.payload.first() {
            self.first_bytes[usize::from(first >> 7)] |= 1 << (first & 0x7f);
        }
        self.arrived(1, packet.payload.len() as u64, packet.arrival, packet.arrival);
    }

    /// Whether payloads begin with any bytes at all, as those do that are encrypted from end to end. Sound's begin with a byte of any value.
    fn looks_random(&self) -> bool {
        let distinct: u32 = self.first_bytes.iter().map(|half| half.count_ones()).sum();
        let is_picture = self.codec.is_some_and(|codec| codec.kind() == MediaKind::Video);
        is_picture && self.packets >= LEAST_FOR_NOISE && u64::from(distinct) * 2 > self.packets.min(MOST_FOR_NOISE)
    }

    /// Packets arrived of which no more is known.
    pub(super) fn arrived(&mut self, packets: u64, bytes: u64, first: Instant, last: Instant) {
        self.packets += packets;
        self.bytes += bytes;
        self.first = Some(self.first.map_or(first, |before| before.min(first)));
        self.last = Some(self.last.map_or(last, |before| before.max(last)));
    }
}

/// The accounts of packets that belonged to no stream.
pub(super) struct OtherPackets {
    /// Accounts that are kept; the packets of further SSRCs share one.
    limit: usize,
    accounts: HashMap<u32, OtherAccount>,
    rest: PacketAccount,
}

struct OtherAccount {
    account: PacketAccount,
    /// Why further packets are dropped without waiting for their stream.
    standing: Option<DropReason>,
    ended: bool,
}

impl OtherPackets {
    pub fn new(limit: usize) -> OtherPackets {
        OtherPackets { limit, accounts: HashMap::new(), rest: PacketAccount::new(0, None) }
    }

    /// The entry of an SSRC; none for one too many.
    fn entry(&mut self, ssrc: u32) -> Option<&mut OtherAccount> {
        let has_room = self.accounts.len() < self.limit;
        match self.accounts.entry(ssrc) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(place) => has_room.then(|| {
                place.insert(OtherAccount { account: PacketAccount::new(ssrc, None), standing: None, ended: false })
            }),
        }
    }

    /// Packets of an SSRC arrived and are dropped.
    pub fn drop(&mut self, ssrc: u32, reason: DropReason, arrive: impl FnOnce(&mut PacketAccount)) {
        let account = match self.entry(ssrc) {
            Some(entry) => &mut entry.account,
            None => &mut self.rest,
        };
        let before = account.packets;
        arrive(account);
        account.counts.drop(reason, account.packets - before);
    }

    /// Adds what an account counts to that of its SSRC.
    pub fn add(&mut self, other: &PacketAccount) {
        let account = match self.entry(other.ssrc) {
            Some(entry) => &mut entry.account,
            None => &mut self.rest,
        };
        if let (Some(first), Some(last)) = (other.first, other.last) {
            account.arrived(other.packets, other.bytes, first, last);
            account.counts.add(&other.counts);
        }
    }

    /// From now on packets of this SSRC are dropped for this reason; none: they wait for their stream again.
    pub fn set_standing(&mut self, ssrc: u32, reason: Option<DropReason>) {
        let entry = if reason.is_some() { self.entry(ssrc) } else { self.accounts.get_mut(&ssrc) };
        if let Some(entry) = entry {
            entry.standing = reason;
        }
    }

    /// Why packets of this SSRC are dropped without waiting.
    pub fn standing(&self, ssrc: u32) -> Option<DropReason> {
        self.accounts.get(&ssrc).and_then(|entry| entry.standing)
    }

    /// A stream of this SSRC has ended.
    pub fn ended(&mut self, ssrc: u32) {
        if let Some(entry) = self.entry(ssrc) {
            entry.ended = true;
        }
    }

    /// Why packets that waited for their stream in vain are dropped.
    pub fn waited_in_vain(&self, ssrc: u32) -> DropReason {
        match self.accounts.get(&ssrc) {
            Some(entry) if entry.ended => DropReason::AfterEnd,
            _ => DropReason::Unannounced,
        }
    }

    /// The accounts that have packets; last, under SSRC 0, that of all others together.
    pub fn iter(&self) -> impl Iterator<Item = &PacketAccount> {
        let own = self.accounts.values().map(|entry| &entry.account);
        own.chain(std::iter::once(&self.rest)).filter(|account| account.packets > 0)
    }
}
