//! How an assembler behaves over loss, gating, wraps and restarts, on the real frames of `fixtures/frames`.

use crate::room::media::{Codec, RtpPacket};
use crate::rtc::media::depacketize::*;
use crate::rtc::media::inspect::h264::nal;
use crate::rtc::media::packetize::Packetizer;
use crate::rtc::media::packetize::tests::fixture;
use bytes::Bytes;
use std::time::{Duration, Instant};

const VIDEO: [Codec; 4] = [Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H264];

/// What came out, in short: frames by their number in the fixture.
#[derive(Debug, PartialEq)]
enum Short {
    Frame(usize),
    Gap { lost: u32, dropped: u32 },
    NeedKey,
    Discontinuity,
}
use Short::{Discontinuity, NeedKey};

const NOTHING: [Short; 0] = [];

struct Bench {
    codec: Codec,
    start: Instant,
    packetizer: Packetizer,
    assembler: FrameAssembler,
}

impl Bench {
    fn new(codec: Codec) -> Self {
        let start = Instant::now();
        let assembler = FrameAssembler::new(codec, AssemblerConfig::default());
        Self { codec, start, packetizer: Packetizer::new(codec, 42), assembler }
    }
    /// The packets of the fixture's frames in a range, a frame arriving every 20 ms; frame numbers go on counting beyond the fixture.
    fn packets(&mut self, frames: std::ops::Range<usize>) -> Vec<Vec<RtpPacket>> {
        let source = fixture(self.codec);
        let step = source[1].rtp_time - source[0].rtp_time;
        frames
            .map(|number| {
                let mut frame = source[number % source.len()].clone();
                frame.rtp_time = number as i64 * step;
                self.packetizer.packetize(&frame, self.start + Duration::from_millis(20 * number as u64))
            })
            .collect()
    }
    fn push(&mut self, packets: impl IntoIterator<Item = RtpPacket>) -> Vec<Short> {
        let mut out = Vec::new();
        for packet in packets {
            self.assembler.push(packet, &mut out);
        }
        self.short(out)
    }
    fn tick(&mut self, ms: u64) -> Vec<Short> {
        let mut out = Vec::new();
        self.assembler.tick(self.start + Duration::from_millis(ms), &mut out);
        self.short(out)
    }
    fn short(&self, out: Vec<Received>) -> Vec<Short> {
        let source = fixture(self.codec);
        let step = source[1].rtp_time - source[0].rtp_time;
        out.into_iter()
            .map(|received| match received {
                Received::Frame(frame) => Short::Frame((frame.rtp_time / step) as usize),
                Received::Gap { lost_packets: lost, dropped_frames: dropped, .. } => Short::Gap { lost, dropped },
                Received::NeedKeyFrame => NeedKey,
                Received::Discontinuity => Discontinuity,
                Received::Codec(codec) => panic!("{codec:?}"),
            })
            .collect()
    }
}

fn frames(range: std::ops::Range<usize>) -> Vec<Short> {
    range.map(Short::Frame).collect()
}

#[test]
fn whoever_joins_in_the_middle_waits_for_a_key_frame_and_asks_once() {
    for codec in VIDEO {
        let mut bench = Bench::new(codec);
        let packets = bench.packets(3..13).concat();
        let mut expected = vec![NeedKey];
        expected.extend(frames(10..13));
        assert_eq!(bench.push(packets), expected, "{codec:?}");
        assert_eq!(bench.assembler.stats().dropped_frames, 7);
        assert_eq!(bench.assembler.stats().key_frames, 1);
    }
}

#[test]
fn a_lost_packet_costs_the_frames_up_to_the_next_key_frame() {
    for codec in VIDEO {
        let mut bench = Bench::new(codec);
        let mut packets = bench.packets(0..45);
        packets[4].remove(0);
        let out = bench.push(packets.into_iter().flatten());
        let mut expected = frames(0..4);
        expected.extend([NeedKey]);
        let dropped = out.iter().find_map(|short| match short {
            Short::Gap { lost: 1, dropped } => Some(*dropped),
            _ => None,
        });
        // Frame 4 itself counts if it had more packets than the lost one.
        assert!(matches!(dropped, Some(5 | 6)), "{codec:?}: {out:?}");
        expected.extend([Short::Gap { lost: 1, dropped: dropped.unwrap() }]);
        expected.extend(frames(10..45));
        assert_eq!(out, expected, "{codec:?}");
        assert_eq!(bench.assembler.stats().lost, 1);
    }
}

#[test]
fn a_retransmission_in_time_costs_nothing_and_a_late_one_is_counted() {
    for codec in Codec::ALL {
        let mut bench = Bench::new(codec);
        let mut packets = bench.packets(0..40).concat();
        let missing = packets.remove(5);
        let place = packets.partition_point(|packet| packet.arrival <= missing.arrival + Duration::from_millis(300));
        let arrival = missing.arrival + Duration::from_millis(300);
        packets.insert(place, RtpPacket { arrival, ..missing.clone() });
        packets.insert(place + 1, RtpPacket { arrival, ..missing });
        assert_eq!(bench.push(packets), frames(0..40), "{codec:?}");
        let stats = bench.assembler.stats();
        assert_eq!((stats.repaired, stats.duplicates, stats.lost, stats.late), (1, 1, 0, 0));
    }
}

#[test]
fn a_hole_is_given_up_by_time_alone() {
    let mut bench = Bench::new(Codec::Opus);
    let mut packets = bench.packets(0..5).concat();
    let missing = packets.remove(2);
    assert_eq!(bench.push(packets), frames(0..2));
    assert_eq!(bench.tick(459), NOTHING);
    assert_eq!(bench.assembler.deadline(), Some(bench.start + Duration::from_millis(460)));
    let mut expected = vec![Short::Gap { lost: 1, dropped: 0 }];
    expected.extend(frames(3..5));
    assert_eq!(bench.tick(460), expected);
    assert_eq!(bench.assembler.deadline(), None);
    assert_eq!(bench.push([missing]), NOTHING);
    assert_eq!(bench.assembler.stats().late, 1);
}

#[test]
fn padding_takes_sequence_numbers_and_nothing_else() {
    for codec in Codec::ALL {
        let mut bench = Bench::new(codec);
        let mut packets = bench.packets(0..10).concat();
        let mut at = 2;
        while at < packets.len() {
            let padding = RtpPacket { payload: Bytes::new(), marker: false, ..packets[at - 1].clone() };
            packets.insert(at, padding);
            at += 4;
        }
        let first = packets[0].sequence;
        for (index, packet) in packets.iter_mut().enumerate() {
            packet.sequence = first.wrapping_add(index as u16);
        }
        assert_eq!(bench.push(packets), frames(0..10), "{codec:?}");
    }
}

#[test]
fn lost_padding_is_no_gap_where_picture_ids_prove_it() {
    for codec in [Codec::Vp8, Codec::Vp9] {
        let mut bench = Bench::new(codec);
        let mut packets = bench.packets(0..40).concat();
        let cut = packets.iter().position(|packet| packet.marker).unwrap() + 1;
        for packet in &mut packets[cut..] {
            packet.sequence = packet.sequence.wrapping_add(1);
        }
        assert_eq!(bench.push(packets), frames(0..40), "{codec:?}");
        assert_eq!(bench.assembler.stats().lost, 1);
    }
}

#[test]
fn without_marker_bits_a_frame_ends_where_the_next_begins() {
    for codec in VIDEO {
        let mut bench = Bench::new(codec);
        let mut packets = bench.packets(0..10).concat();
        packets.iter_mut().for_each(|packet| packet.marker = false);
        let out = bench.push(packets);
        assert_eq!(out, frames(0..9), "{codec:?}");
    }
}

#[test]
fn a_pause_is_a_pause() {
    for codec in Codec::ALL {
        let mut bench = Bench::new(codec);
        let mut packets = bench.packets(0..10).concat();
        packets.extend(bench.packets(1110..1120).concat());
        let mut expected = frames(0..10);
        expected.extend(frames(1110..1120));
        assert_eq!(bench.push(packets), expected, "{codec:?}");
    }
}

#[test]
fn a_sender_that_begins_anew_is_a_discontinuity() {
    for codec in Codec::ALL {
        let mut bench = Bench::new(codec);
        let mut packets = bench.packets(0..10).concat();
        let begin = packets.len();
        packets.extend(bench.packets(220..225).concat());
        for packet in &mut packets[..begin] {
            packet.timestamp = packet.timestamp.wrapping_add(0x7000_0000);
        }
        for packet in &mut packets[begin..] {
            packet.sequence = packet.sequence.wrapping_add(0x5678);
        }
        let out = bench.push(packets);
        let at = out.iter().position(|short| *short == Discontinuity).unwrap_or_else(|| panic!("{codec:?}: {out:?}"));
        assert_eq!(at, 10, "{codec:?}: {out:?}");
        assert_eq!(out[at + 1..], frames(220..225), "{codec:?}: nothing of the new beginning is lost");
        assert_eq!(bench.assembler.stats().lost, 0);
    }
}

#[test]
fn a_long_outage_is_a_loss_and_no_restart() {
    let mut bench = Bench::new(Codec::Opus);
    let mut packets = bench.packets(0..5).concat();
    bench.packets(5..3005);
    packets.extend(bench.packets(3005..3010).concat());
    let mut expected = frames(0..5);
    expected.push(Short::Gap { lost: 3000, dropped: 0 });
    expected.extend(frames(3005..3010));
    assert_eq!(bench.push(packets), expected);
}

#[test]
fn timestamps_go_on_over_the_wrap() {
    let mut bench = Bench::new(Codec::Opus);
    let mut packets = bench.packets(0..10).concat();
    packets.iter_mut().for_each(|packet| packet.timestamp = packet.timestamp.wrapping_sub(3 * 960));
    let mut out = Vec::new();
    packets.into_iter().for_each(|packet| bench.assembler.push(packet, &mut out));
    let times: Vec<i64> = out
        .iter()
        .map(|received| match received {
            Received::Frame(frame) => frame.rtp_time,
            other => panic!("{other:?}"),
        })
        .collect();
    let first = i64::from(u32::MAX) + 1 - 3 * 960;
    assert_eq!(times, (0..10).map(|n| first + n * 960).collect::<Vec<_>>());
}

#[test]
fn an_idr_without_parameter_sets_uses_the_remembered_ones() {
    let mut bench = Bench::new(Codec::H264);
    let mut packets = bench.packets(0..12);
    // The sets stand in a packet of their own before the slices; of the second key frame it is left out, with no hole.
    let sets = packets[10].remove(0);
    assert_eq!(sets.payload[0] & 0x1f, nal::STAP_A);
    let mut packets = packets.concat();
    let first = packets[0].sequence;
    packets.iter_mut().enumerate().for_each(|(i, packet)| packet.sequence = first.wrapping_add(i as u16));
    let mut out = Vec::new();
    packets.into_iter().for_each(|packet| bench.assembler.push(packet, &mut out));
    let Received::Frame(frame) = &out[10] else { panic!("{out:?}") };
    assert_eq!((frame.key, frame.size, frame.config.is_some()), (true, Some((240, 132)), true));
}

#[test]
fn a_frame_that_never_ends_is_bounded() {
    for codec in VIDEO {
        let mut bench = Bench::new(codec);
        let mut first = bench.packets(0..1).concat().swap_remove(0);
        first.marker = false;
        let mut out = Vec::new();
        for number in 0..60_000u16 {
            let mut next = first.clone();
            next.sequence = first.sequence.wrapping_add(number);
            bench.assembler.push(next, &mut out);
        }
        assert!(bench.assembler.stats().malformed > 0, "{codec:?}");
    }
}
