//! Round trips: real and generated frames through the packetizer, a shuffling network and the assembler.

use crate::rtc::media::depacketize::{AssemblerConfig, FrameAssembler, Received};
use crate::rtc::media::packetize::payload::MAX_PAYLOAD;
use crate::rtc::media::packetize::*;
use bytes::BytesMut;
use proptest::prelude::*;
use std::time::Duration;

const VIDEO: [Codec; 4] = [Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H264];

/// The frames of `fixtures/frames` (its `make` documents the format): 240x132, 22 of them, or 51 Opus packets.
pub(crate) fn fixture(codec: Codec) -> Vec<Frame> {
    let mut dump = Bytes::from_static(match codec {
        Codec::Vp8 => include_bytes!("../../../../fixtures/frames/vp8.frames"),
        Codec::Vp9 => include_bytes!("../../../../fixtures/frames/vp9.frames"),
        Codec::Av1 => include_bytes!("../../../../fixtures/frames/av1.frames"),
        Codec::H264 => include_bytes!("../../../../fixtures/frames/h264.frames"),
        Codec::Opus => include_bytes!("../../../../fixtures/frames/opus.frames"),
    });
    let arrival = Instant::now();
    let mut frames = Vec::new();
    while !dump.is_empty() {
        let header = dump.split_to(9);
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        let bytes = dump.split_to(number(0) as usize);
        frames.push(frame(number(4).into(), header[8] == 1, vec![bytes], arrival));
    }
    frames
}

fn frame(rtp_time: i64, key: bool, parts: Vec<Bytes>, arrival: Instant) -> Frame {
    Frame {
        rtp_time,
        arrival,
        parts,
        key,
        size: key.then_some((240, 132)),
        config: None,
        audio_level: None,
        packets: 0,
    }
}

/// Packets of `frames`, one frame every 10 ms.
fn packets_of(codec: Codec, ssrc: u32, frames: &[Frame]) -> Vec<RtpPacket> {
    let mut packetizer = Packetizer::new(codec, ssrc);
    let start = Instant::now();
    let at = |index: usize| start + Duration::from_millis(10 * index as u64);
    frames.iter().enumerate().flat_map(|(index, frame)| packetizer.packetize(frame, at(index))).collect()
}

fn assemble(codec: Codec, packets: impl IntoIterator<Item = RtpPacket>) -> Vec<Received> {
    let mut assembler = FrameAssembler::new(codec, AssemblerConfig::default());
    let mut out = Vec::new();
    for packet in packets {
        assembler.push(packet, &mut out);
    }
    assembler.finish(&mut out);
    out
}

/// Only frames, and they are these.
fn assert_same(out: &[Received], frames: &[Frame]) {
    assert_eq!(out.len(), frames.len());
    for (received, sent) in out.iter().zip(frames) {
        let Received::Frame(received) = received else { panic!("{received:?}") };
        assert_eq!((received.rtp_time, received.key), (sent.rtp_time, sent.key));
        assert!(joined(&received.parts) == joined(&sent.parts), "frame {} differs", sent.rtp_time);
    }
}

#[test]
fn real_frames_come_out_with_their_last_packet() {
    for codec in Codec::ALL {
        let frames = fixture(codec);
        let mut packetizer = Packetizer::new(codec, 7);
        let mut assembler = FrameAssembler::new(codec, AssemblerConfig::default());
        for sent in &frames {
            let packets = packetizer.packetize(sent, sent.arrival);
            assert!(packets.iter().all(|packet| packet.payload.len() <= MAX_PAYLOAD));
            assert!(codec == Codec::Opus || packets.len() >= sent.len().div_ceil(MAX_PAYLOAD));
            let mut out = Vec::new();
            for packet in packets {
                assert!(out.is_empty(), "{codec:?}: out before its last packet");
                assembler.push(packet, &mut out);
            }
            assert_same(&out, std::slice::from_ref(sent));
            let Some(Received::Frame(received)) = out.pop() else { panic!() };
            let picture = sent.key && codec != Codec::Opus;
            assert_eq!(received.size, picture.then_some((240, 132)), "{codec:?}");
            assert_eq!(received.config.is_some(), picture && matches!(codec, Codec::Av1 | Codec::H264), "{codec:?}");
        }
        assert_eq!(assembler.stats().frames, frames.len() as u64);
        assert_eq!(assembler.stats().key_frames, if codec == Codec::Opus { 0 } else { 3 });
    }
}

#[test]
fn parameter_sets_of_the_configuration_stand_before_a_key_frame_without_its_own() {
    let frames = fixture(Codec::H264);
    let out = assemble(Codec::H264, packets_of(Codec::H264, 1, &frames));
    let Some(Received::Frame(with_config)) = out.first() else { panic!() };
    let config = with_config.config.clone().unwrap();
    // The last unit of the access unit is the IDR slice.
    let [.., length, idr] = &with_config.parts[..] else { panic!() };
    let stripped = Frame { parts: vec![length.clone(), idr.clone()], ..with_config.clone() };
    let out = assemble(Codec::H264, packets_of(Codec::H264, 1, &[stripped]));
    let [Received::Frame(again)] = &out[..] else { panic!("{out:?}") };
    assert_eq!((again.config.as_ref(), again.size), (Some(&config), Some((240, 132))));
}

/// What Chromium's depacketizers insist on.
#[test]
fn payload_descriptors() {
    let mut ids = Vec::new();
    for (index, packets) in packets_by_frame(Codec::Vp8).iter().enumerate() {
        for (at, packet) in packets.iter().enumerate() {
            let id = u16::from_be_bytes([packet.payload[2], packet.payload[3]]);
            assert_eq!(packet.payload[..2], [if at == 0 { 0x90 } else { 0x80 }, 0x80]);
            assert_eq!(packet.marker, at + 1 == packets.len());
            ids.push((index, id));
        }
    }
    assert!(ids.iter().all(|(index, id)| *id == (ids[0].1 + *index as u16) | 0x8000), "15 bits, one more each frame");

    for (index, packets) in packets_by_frame(Codec::Vp9).iter().enumerate() {
        let key = index % 10 == 0;
        for (at, packet) in packets.iter().enumerate() {
            let last = at + 1 == packets.len();
            // I and L always; P, B, E, V where they belong.
            let flags = [
                0xa0,
                0x40 * u8::from(!key),
                0x08 * u8::from(at == 0),
                0x04 * u8::from(last),
                0x02 * u8::from(key && at == 0),
            ];
            assert_eq!(packet.payload[0], flags.iter().sum::<u8>(), "frame {index}, packet {at}");
            assert_eq!(packet.payload[3..5], [0, packet.payload[2]], "layer 0, TL0PICIDX");
        }
        if key {
            assert_eq!(packets[0].payload[5..13], [0x18, 0, 240, 0, 132, 1, 0x14, 1]);
        }
    }

    for (index, packets) in packets_by_frame(Codec::Av1).iter().enumerate() {
        for (at, packet) in packets.iter().enumerate() {
            let new_sequence = 0x08 * u8::from(index % 10 == 0 && at == 0);
            let flags = 0x80 * u8::from(at > 0) + 0x40 * u8::from(at + 1 < packets.len()) + new_sequence;
            assert_eq!(packet.payload[0], flags, "frame {index}, packet {at}");
        }
    }

    let h264 = packets_by_frame(Codec::H264);
    let kinds: Vec<u8> = h264[0].iter().map(|packet| packet.payload[0] & 0x1f).collect();
    assert_eq!((kinds[0], kinds[1]), (24, 28), "parameter sets together, then fragments");
}

fn packets_by_frame(codec: Codec) -> Vec<Vec<RtpPacket>> {
    let mut packetizer = Packetizer::new(codec, 5);
    fixture(codec).iter().map(|frame| packetizer.packetize(frame, frame.arrival)).collect()
}

#[test]
fn frames_in_a_wrong_form_give_no_packets() {
    let now = Instant::now();
    for (codec, bytes) in [(Codec::H264, &[0, 0, 0, 9, 0x65][..]), (Codec::Av1, &[0x36]), (Codec::Av1, &[0x32, 9, 1])] {
        let broken = frame(0, true, vec![Bytes::copy_from_slice(bytes)], now);
        assert!(Packetizer::new(codec, 1).packetize(&broken, now).is_empty(), "{codec:?}");
    }
    for codec in Codec::ALL {
        assert!(Packetizer::new(codec, 1).packetize(&frame(0, true, vec![], now), now).is_empty());
    }
}

/// A frame that looks like one of `codec` to the assembler, with any bytes inside; `lengths` shape its units.
fn synthetic(codec: Codec, rtp_time: i64, key: bool, lengths: &[usize], fill: u8) -> Frame {
    // Never zero: H.264 would need escaping.
    let body = |length: usize| (0..length).map(|i| (i as u8).wrapping_add(fill) | 1).collect::<Vec<u8>>();
    let mut bytes = Vec::new();
    match codec {
        Codec::Vp8 if key => bytes.extend([0x10, 0, 0, 0x9d, 0x01, 0x2a, 240, 0, 132, 0]),
        Codec::Vp8 => bytes.push(0x11),
        Codec::Vp9 if key => bytes.extend([0x82, 0x49, 0x83, 0x42, 0, 0x0e, 0xf0, 0x08, 0x30]),
        Codec::Vp9 => bytes.push(0x86),
        Codec::Av1 if key => {
            bytes.extend(&fixture(Codec::Av1)[0].parts[0][..13]);
            bytes.extend([0x32, 1, 0x10]);
        }
        Codec::Av1 => bytes.extend([0x32, 1, 0x30]),
        Codec::H264 if key => {
            bytes.extend(&fixture(Codec::H264)[0].parts[0][..4 + 25 + 4 + 4]);
            bytes.extend([0, 0, 0, 2, 0x65, 0b1111_1111]);
        }
        Codec::H264 => bytes.extend([0, 0, 0, 2, 0x41, 0xff]),
        Codec::Opus => bytes.push(0x78),
    }
    for &length in lengths {
        match codec {
            Codec::Av1 => {
                let mut unit = BytesMut::from(&[0x22][..]);
                crate::rtc::media::inspect::av1::obu::put_leb128(&mut unit, length);
                bytes.extend(unit);
            }
            Codec::H264 => {
                bytes.extend((length as u32 + 1).to_be_bytes());
                bytes.push(if key { 0x06 } else { 0x41 });
            }
            _ => {}
        }
        bytes.extend(body(length));
    }
    frame(rtp_time, key || codec == Codec::Opus, vec![bytes.into()], Instant::now())
}

fn any_codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(Codec::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever the sizes, the start of the counters, the order within a window and the repetitions.
    #[test]
    fn a_shuffling_network_changes_nothing(
        codec in any_codec(),
        ssrc: u32,
        start: u32,
        shapes in prop::collection::vec((prop::collection::vec(1usize..2600, 0..4), any::<u8>()), 1..30),
        swaps in prop::collection::vec((0usize..1000, 1usize..8), 0..60),
        repeats in prop::collection::vec((0usize..1000, 0usize..12), 0..20),
    ) {
        let frames: Vec<Frame> = shapes
            .iter()
            .enumerate()
            .map(|(i, (lengths, fill))| synthetic(codec, i64::from(start) + 3000 * i as i64, i % 10 == 0, lengths, *fill))
            .collect();
        let mut packets = packets_of(codec, ssrc, &frames);
        // The first one stays: before it nothing is known.
        for (at, far) in swaps {
            let (a, b) = (1 + at % packets.len(), 1 + at % packets.len() + far);
            if b < packets.len() {
                packets.swap(a, b);
            }
        }
        for (at, later) in repeats {
            let again = packets[at % packets.len()].clone();
            packets.insert((at % packets.len() + 1 + later).min(packets.len()), again);
        }
        for packet in &mut packets {
            packet.arrival = frames[0].arrival;
        }
        assert_same(&assemble(codec, packets), &frames);
    }

    /// Hostile packets: no panic, and what comes out is bounded by what came in.
    #[test]
    fn any_bytes_in_any_order(
        codec in any_codec(),
        packets in prop::collection::vec(
            (any::<u16>(), 0u32..4, any::<bool>(), prop::collection::vec(any::<u8>(), 0..40), 0u64..900),
            0..200,
        ),
        spread in prop::sample::select(vec![1u16, 8, 200, u16::MAX]),
    ) {
        let start = Instant::now();
        let count = packets.len();
        let packets = packets.into_iter().map(|(sequence, time, marker, payload, ms)| RtpPacket {
            ssrc: 1,
            payload_type: 0,
            format: codec.into(),
            sequence: sequence % spread,
            timestamp: time.wrapping_mul(0x4000_0001),
            marker,
            audio_level: None,
            arrival: start + Duration::from_millis(ms),
            payload: payload.into(),
        });
        let out = assemble(codec, packets);
        let frames = out.iter().filter(|received| matches!(received, Received::Frame(_))).count();
        prop_assert!(frames <= count);
        prop_assert!(out.len() <= 4 * count);
    }

    /// Real packets with bits turned, cut and lost: no panic, times go back by 2 s at most between discontinuities, and
    /// what is said to be a key frame follows every discontinuity.
    #[test]
    fn damaged_real_packets(
        codec in any_codec(),
        damage in prop::collection::vec((0usize..1000, 0usize..20, any::<u8>(), 0u8..4), 0..30),
    ) {
        let mut packets = packets_of(codec, 99, &fixture(codec));
        for (at, byte, value, how) in damage {
            let index = at % packets.len();
            let mut payload = packets[index].payload.to_vec();
            match how {
                0 => payload.truncate(byte),
                1 => if let Some(byte) = payload.get_mut(byte) { *byte ^= value },
                2 => packets[index].timestamp ^= u32::from(value) << 24,
                _ => if packets.len() > 1 { packets.remove(index); continue },
            }
            packets[index].payload = payload.into();
        }
        let back = if codec == Codec::Opus { 0 } else { 2 * i64::from(codec.clock_rate()) };
        let mut last = None;
        for received in assemble(codec, packets) {
            match received {
                Received::Frame(frame) => {
                    prop_assert!(last.is_none_or(|last| frame.rtp_time >= last - back) && (last.is_some() || frame.key));
                    last = Some(frame.rtp_time);
                }
                Received::Gap { from, to, .. } => prop_assert!(from <= to && last == Some(from)),
                Received::Codec(codec) => prop_assert!(false, "{codec:?}"),
                Received::Discontinuity => last = None,
                Received::NeedKeyFrame => prop_assert!(VIDEO.contains(&codec)),
            }
        }
    }
}
