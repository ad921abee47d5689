//! The codec changes at packets of the same SSRC: a stream for each codec, and no picture lost.

use super::*;
use crate::room::media::{Codec, Frame, RtpPacket};
use crate::rtc::media::packetize::Packetizer;
use crate::rtc::media::packetize::tests::fixture;
use rand::seq::SliceRandom;
use rand::{SeedableRng, rngs::StdRng};

const ERAS: [Codec; 4] = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Vp8];
const FRAMES: usize = 40;

#[derive(Default)]
struct Consumer {
    /// Each stream that began, and its frames: time and whether it is a key frame.
    streams: Vec<(Codec, Vec<(i64, bool)>)>,
    accounts: Vec<PacketAccount>,
    gaps: usize,
    refuses: Option<Codec>,
}

impl MediaHandler for Consumer {
    type State = usize;

    fn on_begin(&mut self, info: &StreamInfo, _: Instant) -> Option<usize> {
        if self.refuses == Some(info.track.codec) {
            return None;
        }
        assert_eq!(self.accounts.len(), self.streams.len(), "the stream before has ended");
        self.streams.push((info.track.codec, Vec::new()));
        Some(self.streams.len() - 1)
    }
    fn on_frame(&mut self, stream: &mut Stream<usize>, frame: Frame, _: &SenderClock) {
        self.streams[stream.state].1.push((frame.rtp_time, frame.key));
    }
    fn on_gap(&mut self, _: &mut Stream<usize>, _: Gap, _: &SenderClock) {
        self.gaps += 1;
    }
    fn on_end(&mut self, stream: Stream<usize>, _: Instant, _: &SenderClock) {
        assert_eq!(stream.account().held(), 0, "{:?}", stream.account());
        self.accounts.push(stream.account());
    }
    fn on_account(&mut self, account: &PacketAccount) {
        self.accounts.push(account.clone());
    }
}

/// One SSRC that sends in one codec after the other, 40 frames each, 33 ms apart.
fn packets(start: Instant) -> Vec<RtpPacket> {
    packets_with(start, FRAMES)
}

/// The same; from frame `keys_from` of each codec on it sends key frames only, which take several packets.
fn packets_with(start: Instant, keys_from: usize) -> Vec<RtpPacket> {
    let mut out: Vec<RtpPacket> = Vec::new();
    for (era, codec) in ERAS.into_iter().enumerate() {
        let (source, mut packetizer) = (fixture(codec), Packetizer::new(codec, 1));
        for number in 0..FRAMES {
            let at = era * FRAMES + number;
            let like = if number < keys_from { number % source.len() } else { 0 };
            let frame = Frame { rtp_time: at as i64 * 3000, ..source[like].clone() };
            out.extend(packetizer.packetize(&frame, start + Duration::from_millis(33 * at as u64)));
        }
    }
    for (sequence, packet) in out.iter_mut().enumerate() {
        packet.sequence = 65_000u16.wrapping_add(sequence as u16);
    }
    out
}

fn receive(packets: &[RtpPacket], refuses: Option<Codec>) -> Consumer {
    let start = packets[0].arrival;
    let config = SubscriberConfig { label_wait: Duration::ZERO, ..SubscriberConfig::recording(start) };
    let mut subscriber = Subscriber::new(config, Vec::new());
    let mut consumer = Consumer { refuses, ..Consumer::default() };
    // What a connection announces is what it knew first.
    let track =
        RemoteTrack { ssrc: 1, codec: Codec::Av1, stream: "s".into(), track: "t".into(), channels: 0, rid: None };
    subscriber.announce(track.clone(), start, &mut consumer);
    for (index, packet) in packets.iter().enumerate() {
        let now = packet.arrival;
        subscriber.receive(Inbound::Rtp(packet.clone()), &mut consumer);
        subscriber.tick(now, &mut consumer);
        if index == packets.len() / 2 {
            subscriber.announce(track.clone(), now, &mut consumer);
        }
    }
    subscriber.end(start + Duration::from_secs(60), &mut consumer);
    consumer
}

#[test]
fn a_sender_that_changes_its_codec_loses_no_picture() {
    for seed in 0..40 {
        let mut packets = packets(Instant::now());
        if seed > 0 {
            // The network shuffles packets that are sent within 100 ms, around the changes too.
            let mut dice = StdRng::seed_from_u64(seed);
            let arrivals: Vec<Instant> = packets.iter().map(|packet| packet.arrival).collect();
            packets[1..].chunks_mut(12).for_each(|chunk| chunk.shuffle(&mut dice));
            packets.iter_mut().zip(arrivals).for_each(|(packet, arrival)| packet.arrival = arrival);
        }
        let consumer = receive(&packets, None);
        let codecs: Vec<Codec> = consumer.streams.iter().map(|(codec, _)| *codec).collect();
        assert_eq!(codecs, ERAS, "seed {seed}");
        for (era, (_, frames)) in consumer.streams.iter().enumerate() {
            assert!(frames[0].1, "each begins with a key frame");
            let times: Vec<i64> = frames.iter().map(|(time, _)| time / 3000).collect();
            let expected: Vec<i64> = (0..FRAMES).map(|number| (era * FRAMES + number) as i64).collect();
            assert_eq!(times, expected, "seed {seed}");
        }
        let sums = consumer
            .accounts
            .iter()
            .fold((0, 0), |(packets, frames), account| (packets + account.packets, frames + account.counts.in_frames));
        assert_eq!(sums, (packets.len() as u64, packets.len() as u64), "seed {seed}");
    }
}

#[test]
fn a_codec_that_the_consumer_does_not_take_is_counted() {
    let packets = packets(Instant::now());
    let consumer = receive(&packets, Some(Codec::H264));
    assert_eq!(consumer.streams.iter().map(|(_, frames)| frames.len()).collect::<Vec<_>>(), [FRAMES, FRAMES]);
    let refused: u64 = consumer.accounts.iter().map(|account| account.counts.dropped(DropReason::Refused)).sum();
    let arrived: u64 = consumer.accounts.iter().map(|account| account.packets).sum();
    let counted: u64 = consumer.accounts.iter().map(|account| account.counts.total()).sum();
    assert!(refused > 0);
    assert_eq!((arrived, counted), (packets.len() as u64, packets.len() as u64));
}

#[test]
fn what_is_lost_where_the_codec_changes_costs_only_itself() {
    let mut packets = packets(Instant::now());
    // The first packet in VP9 is lost: nothing of that codec can be decoded before its next key frame.
    let first = packets.iter().position(|packet| packet.codec() == Some(Codec::Vp9)).expect("VP9");
    packets.remove(first);
    let consumer = receive(&packets, None);
    let lengths: Vec<usize> = consumer.streams.iter().map(|(_, frames)| frames.len()).collect();
    assert_eq!((lengths[0], lengths[2], lengths[3]), (FRAMES, FRAMES, FRAMES));
    assert!(consumer.streams[1].1[0].1, "it begins with a key frame");
}

#[test]
fn payload_types_that_were_not_negotiated_are_counted_and_said() {
    let mut packets = packets(Instant::now());
    packets.truncate(20);
    for packet in &mut packets {
        (packet.payload_type, packet.format) = (120, PacketFormat::Unknown);
    }
    let consumer = receive(&packets, None);
    let account = consumer.accounts.first().expect("an account");
    assert_eq!(account.counts.dropped(DropReason::PayloadType), 20);
    assert_eq!(account.why_nothing().as_deref(), Some("payload type 120 not negotiated"));
}

#[test]
fn a_frame_that_its_sender_cuts_off_when_it_changes_the_codec_is_no_loss() {
    let start = Instant::now();
    let mut packets = packets_with(start, FRAMES - 1);
    // The last packet of every codec but the last one is never sent: numbers go on as if it had never been.
    let era = |packet: &RtpPacket| packet.timestamp / 3000 / FRAMES as u32;
    let cut: Vec<usize> =
        (1..packets.len()).map(|at| at - 1).filter(|at| era(&packets[*at]) != era(&packets[at + 1])).collect();
    let others = |at: &usize| packets.iter().filter(|one| one.timestamp == packets[*at].timestamp).count() as u64 - 1;
    let unfinished: u64 = cut.iter().map(others).sum();
    assert!(unfinished > 0, "no last frame has several packets");
    for at in cut.iter().rev() {
        packets.remove(*at);
    }
    for (sequence, packet) in packets.iter_mut().enumerate() {
        packet.sequence = 65_000u16.wrapping_add(sequence as u16);
    }
    let consumer = receive(&packets, None);
    let frames: Vec<usize> = consumer.streams.iter().map(|(_, frames)| frames.len()).collect();
    assert_eq!((&frames[..], consumer.gaps), (&[FRAMES - 1, FRAMES - 1, FRAMES - 1, FRAMES][..], 0));
    let counted = |reason| consumer.accounts.iter().map(|account| account.counts.dropped(reason)).sum::<u64>();
    assert_eq!((counted(DropReason::Unfinished), counted(DropReason::Malformed)), (unfinished, 0));
    assert!(consumer.accounts.iter().all(|account| account.counts.lost_media() == 0), "{:#?}", consumer.accounts);
}
