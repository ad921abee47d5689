//! The law of the packet account: packets in = packets in frames + packets dropped, by reason + packets held (none at the end).

use super::*;
use crate::room::media::{Codec, Frame, RtpPacket};
use crate::rtc::media::packetize::Packetizer;
use crate::rtc::media::packetize::tests::fixture;
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::HashMap;

const CODECS: [Codec; 5] = [Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H264, Codec::Opus];
/// Announced streams are 1 to 5; nobody announces this one, the consumer refuses the next, and the last two are too many.
const UNANNOUNCED: u32 = 6;
const REFUSED: u32 = 7;
const TOO_MANY: [u32; 2] = [8, 9];

/// Drops some frames as if their key were missing.
struct Fails(u32);

impl FrameTransform for Fails {
    fn transform(&mut self, _: &StreamInfo, _: &mut Frame) -> Result<(), String> {
        self.0 += 1;
        if self.0.is_multiple_of(7) { Err("no key".into()) } else { Ok(()) }
    }
}

#[derive(Default)]
struct Ledger {
    /// Packets of the frames that came out, by SSRC.
    in_frames: HashMap<u32, u64>,
    closed: Vec<PacketAccount>,
}

impl MediaHandler for Ledger {
    type State = ();

    fn on_begin(&mut self, info: &StreamInfo, _: Instant) -> Option<()> {
        (info.track.ssrc != REFUSED).then_some(())
    }
    fn on_frame(&mut self, stream: &mut Stream<()>, frame: Frame, _: &SenderClock) {
        *self.in_frames.entry(stream.ssrc()).or_default() += u64::from(frame.packets);
    }
    fn on_end(&mut self, stream: Stream<()>, _: Instant, _: &SenderClock) {
        assert_eq!(stream.account().held(), 0, "{:?}", stream.account());
        self.closed.push(stream.account());
    }
    fn on_account(&mut self, account: &PacketAccount) {
        self.closed.push(account.clone());
    }
}

/// What the network does to one packet.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    Lost,
    Late(u64),
    Twice,
    Noise,
    Empty,
    Restart,
    FarAway,
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let fault = prop_oneof![
        60 => Just(Fault::None),
        3 => Just(Fault::Lost),
        5 => (1u64..900).prop_map(Fault::Late),
        3 => Just(Fault::Twice),
        2 => Just(Fault::Noise),
        2 => Just(Fault::Empty),
        1 => Just(Fault::Restart),
        1 => Just(Fault::FarAway),
    ];
    prop::collection::vec(fault, 100..400)
}

/// The packets of a fixture, from frame `from` on, as the network delivers them.
fn packets(codec: Codec, ssrc: u32, from: usize, faults: &[Fault], start: Instant) -> Vec<RtpPacket> {
    let source = fixture(codec);
    let step = source[1].rtp_time - source[0].rtp_time;
    let mut packetizer = Packetizer::new(codec, ssrc);
    let sent = (from..from + 120).flat_map(|number| {
        let frame = Frame { rtp_time: number as i64 * step, ..source[number % source.len()].clone() };
        packetizer.packetize(&frame, start + Duration::from_millis(20 * number as u64))
    });
    let (mut sequence, mut time) = (0u16, 0u32);
    let mut out = Vec::new();
    for (index, mut packet) in sent.enumerate() {
        let fault = faults[index % faults.len()];
        if let Fault::Restart = fault {
            (sequence, time) = (sequence.wrapping_add(0x6000), time.wrapping_add(0x5000_0000));
        }
        packet.sequence = packet.sequence.wrapping_add(sequence);
        packet.timestamp = packet.timestamp.wrapping_add(time);
        match fault {
            Fault::Lost => continue,
            Fault::Late(ms) => packet.arrival += Duration::from_millis(ms),
            Fault::Twice => out.push(packet.clone()),
            Fault::Noise => {
                packet.payload =
                    (0..packet.payload.len()).map(|n| (n * 37 + index * 101) as u8).collect::<Vec<_>>().into();
            }
            Fault::Empty => packet.payload = Bytes::new(),
            Fault::FarAway => packet.sequence = packet.sequence.wrapping_add(0x7fff),
            Fault::None | Fault::Restart => {}
        }
        out.push(packet);
    }
    out
}

fn check_now(subscriber: &Subscriber<()>, ledger: &Ledger, pushed: u64) {
    for stream in subscriber.streams.values() {
        assert_eq!(stream.account().held(), stream.assembler.held(), "{:?}", stream.account());
    }
    let accounts = subscriber.accounts().chain(ledger.closed.iter().cloned());
    assert_eq!(accounts.map(|account| account.packets).sum::<u64>() + subscriber.early_packets(), pushed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn packets_in_are_packets_in_frames_and_packets_dropped(
        faults in faults(),
        from in 0usize..25,
        announced_after_ms in 0u64..4000,
        removed_after_ms in 1000u64..4000,
    ) {
        let start = Instant::now();
        let config = SubscriberConfig {
            max_streams: 6,
            early: EarlyLimits { packets: 60, ..EarlyLimits::default() },
            ..SubscriberConfig::recording(start)
        };
        let mut subscriber = Subscriber::new(config, Vec::new());
        let mut ledger = Ledger::default();
        let mut all = Vec::new();
        for ssrc in 1..=TOO_MANY[1] {
            all.extend(packets(CODECS[ssrc as usize % 5], ssrc, from, &faults[ssrc as usize..], start));
        }
        all.sort_by_key(|packet| packet.arrival);
        let at = |ms| start + Duration::from_millis(ms);
        let (mut announced, mut removed, mut pushed) = (false, false, 0);
        for packet in all {
            let now = packet.arrival;
            if !announced && now >= at(announced_after_ms) {
                announced = true;
                for ssrc in [1, 2, 3, 4, 5, REFUSED, TOO_MANY[0], TOO_MANY[1]] {
                    let codec = CODECS[ssrc as usize % 5];
                    let track = RemoteTrack { ssrc, codec, stream: "s".into(), track: format!("t{ssrc}"), channels: 2, rid: None };
                    subscriber.announce(track, now, &mut ledger);
                    if let Some(stream) = subscriber.stream(2) {
                        stream.set_transform(Box::new(Fails(0)));
                    }
                }
            }
            if !removed && now >= at(removed_after_ms) {
                removed = true;
                subscriber.remove(&[3], now, &mut ledger);
            }
            pushed += 1;
            let dropped = pushed % 211 == 0;
            let (ssrc, bytes) = (packet.ssrc, packet.payload.len() as u64);
            let item = if dropped {
                Inbound::Dropped { ssrc, reason: DropReason::InboxFull, packets: 1, bytes, first: now, last: now }
            } else {
                Inbound::Rtp(packet)
            };
            subscriber.receive(item, &mut ledger);
            if pushed % 3 == 0 {
                subscriber.tick(now, &mut ledger);
            }
            if pushed % 50 == 0 {
                check_now(&subscriber, &ledger, pushed);
            }
        }
        subscriber.end(at(60_000), &mut ledger);
        let mut total = 0;
        for account in &ledger.closed {
            prop_assert_eq!(account.packets, account.counts.total(), "{:?}", account);
            prop_assert!(account.first <= account.last && account.first.is_some());
            total += account.packets;
        }
        prop_assert_eq!(total, pushed);
        let in_frames: u64 = ledger.closed.iter().map(|account| account.counts.in_frames).sum();
        prop_assert_eq!(in_frames, ledger.in_frames.values().sum::<u64>());
        let reason = |ssrc, reason| {
            let accounts = ledger.closed.iter().filter(|account| account.ssrc == ssrc);
            accounts.map(|account| account.counts.dropped(reason)).sum::<u64>()
        };
        prop_assert!(reason(UNANNOUNCED, DropReason::Unannounced) > 0);
        if announced_after_ms < 500 {
            prop_assert!(reason(REFUSED, DropReason::Refused) > 0);
            prop_assert!(reason(TOO_MANY[1], DropReason::TooManyStreams) > 0);
        }
    }
}

/// Gives the packets of one stream to a subscriber that knows it, and returns its account.
fn account_of(codec: Codec, packets: impl IntoIterator<Item = RtpPacket>) -> PacketAccount {
    let start = Instant::now();
    let config = SubscriberConfig { label_wait: Duration::ZERO, ..SubscriberConfig::recording(start) };
    let mut subscriber = Subscriber::new(config, Vec::new());
    let mut ledger = Ledger::default();
    let track = RemoteTrack { ssrc: 1, codec, stream: "s".into(), track: "t".into(), channels: 2, rid: None };
    subscriber.announce(track, start, &mut ledger);
    for packet in packets {
        subscriber.receive(Inbound::Rtp(packet), &mut ledger);
        subscriber.begin(start, &mut ledger);
    }
    subscriber.end(start + Duration::from_secs(60), &mut ledger);
    ledger.closed.pop().expect("an account")
}

#[test]
fn the_account_says_why_nothing_could_be_begun() {
    let start = Instant::now();
    let video = |codec, from| packets(codec, 1, from, &[Fault::None], start);

    let account = account_of(Codec::Vp8, video(Codec::Vp8, 0));
    assert_eq!((account.why_nothing(), account.counts.in_frames), (None, account.packets));

    let account = account_of(Codec::Vp8, video(Codec::Vp8, 1).into_iter().take(8));
    assert_eq!(account.why_nothing().as_deref(), Some("no key frame"));

    // Slices without the parameter sets that the key frames have in a packet of their own.
    let without_sets = video(Codec::H264, 0).into_iter().filter(|packet| packet.payload[0] & 0x1f != 24);
    let mut sequence = 0;
    let without_sets = without_sets.map(|packet| {
        sequence += 1;
        RtpPacket { sequence, ..packet }
    });
    assert_eq!(account_of(Codec::H264, without_sets).why_nothing().as_deref(), Some("no parameter sets"));

    for codec in [Codec::Vp8, Codec::H264, Codec::Av1] {
        let mut random = 1u32;
        let mut noise = |packet: RtpPacket| {
            let mut next = || {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (random >> 24) as u8
            };
            let payload = (0..packet.payload.len()).map(|_| next()).collect::<Vec<_>>().into();
            RtpPacket { payload, ..packet }
        };
        let account = account_of(codec, video(codec, 0).into_iter().map(&mut noise));
        let expected = format!("payload is not {} (end-to-end encrypted?)", codec.name());
        assert_eq!(account.why_nothing(), Some(expected), "{account:?}");
    }
}

#[test]
fn what_belongs_to_no_stream_is_accounted_for_by_ssrc_up_to_a_limit() {
    let start = Instant::now();
    let config = SubscriberConfig { max_accounts: 2, ..SubscriberConfig::recording(start) };
    let mut subscriber = Subscriber::new(config, Vec::new());
    let mut ledger = Ledger::default();
    for ssrc in 1..=5 {
        for mut packet in packets(Codec::Opus, ssrc, 0, &[Fault::None], start).into_iter().take(10) {
            packet.payload_type = 120;
            subscriber.receive(Inbound::Rtp(packet), &mut ledger);
        }
    }
    assert_eq!(subscriber.other_packets().count(), 0, "they may be announced yet");
    subscriber.tick(start + Duration::from_secs(4), &mut ledger);
    assert_eq!(subscriber.other_packets().map(|account| account.packets).sum::<u64>(), 50);
    subscriber.end(start + Duration::from_secs(5), &mut ledger);
    let mut packets: Vec<u64> = ledger.closed.iter().map(|account| account.packets).collect();
    packets.sort_unstable();
    assert_eq!(packets, [10, 10, 30]);
    let why = ledger.closed[0].why_nothing();
    assert_eq!(why.as_deref(), Some("stream was never announced (payload type 120)"));
}
