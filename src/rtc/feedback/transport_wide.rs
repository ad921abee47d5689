//! Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 3.1): which numbered packets arrived when, so that the sender
//! can estimate its bandwidth. Pure: told the time.

use crate::rtc::feedback::rtcp::{begin_transport_feedback, finish};
use std::time::{Duration, Instant};

/// Numbers that one feedback packet is about: it stays below the size of a datagram.
const MAX_NUMBERS: u64 = 300;
/// A sender that jumps further has begun to count anew.
const MAX_GAP: u64 = 3000;
/// Packets that wait to be told of.
const MAX_WAITING: usize = 4000;
const REFERENCE: i64 = 64_000;
const DELTA: i64 = 250;

/// What was not told of yet.
#[derive(Debug)]
pub(crate) struct TransportWide {
    zero: Instant,
    /// Unwrapped number, and arrival.
    arrived: Vec<(u64, Instant)>,
    newest: Option<u64>,
    /// The first number that was never told of.
    next: Option<u64>,
    count: u8,
    /// The stream that was heard last.
    media: u32,
}

impl TransportWide {
    /// Times count from `zero`.
    pub fn new(zero: Instant) -> TransportWide {
        TransportWide { zero, arrived: Vec::new(), newest: None, next: None, count: 0, media: 0 }
    }

    /// A packet of this number came.
    pub fn on_packet(&mut self, number: u16, media: u32, arrival: Instant) {
        let unwrapped = match self.newest {
            None => u64::from(number) + 0x1_0000,
            Some(newest) => newest.saturating_add_signed(i64::from(number.wrapping_sub(newest as u16) as i16)),
        };
        self.newest = self.newest.max(Some(unwrapped));
        self.media = media;
        if self.arrived.len() < MAX_WAITING {
            self.arrived.push((unwrapped, arrival));
        }
    }

    /// Whether there is something to tell.
    pub fn is_due(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// Appends feedback on all that has arrived since the last time; each packet separately to `out`.
    pub fn write(&mut self, own: u32, out: &mut Vec<Vec<u8>>) {
        let mut arrived = std::mem::take(&mut self.arrived);
        arrived.sort_unstable();
        arrived.dedup_by_key(|(number, _)| *number);
        let mut rest = &arrived[..];
        while let Some(&(first, _)) = rest.first() {
            // What is missing since the last time is told, unless there was no last time, or the sender has jumped.
            let base = self.next.filter(|next| *next <= first && first - next < MAX_GAP).unwrap_or(first);
            // A hole as long as a packet's numbers has one to itself.
            let base = if first - base >= MAX_NUMBERS { first - (MAX_NUMBERS - 1) } else { base };
            let mut packet = Vec::new();
            let told = self.packet(own, base, rest, &mut packet);
            let Some(&(last, _)) = told.checked_sub(1).and_then(|last| rest.get(last)) else { return };
            self.next = self.next.max(Some(last + 1));
            out.push(packet);
            rest = &rest[told..];
        }
    }

    /// Writes one packet; returns how many of `arrived` it is about.
    fn packet(&mut self, own: u32, base: u64, arrived: &[(u64, Instant)], out: &mut Vec<u8>) -> usize {
        let micros = |at: Instant| i64::try_from(at.saturating_duration_since(self.zero).as_micros()).unwrap_or(0);
        let Some(&(_, first)) = arrived.first() else { return 0 };
        let reference = micros(first) / REFERENCE;
        let (mut before, mut told) = (reference * REFERENCE, 0);
        let (mut symbols, mut deltas): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
        for (number, at) in arrived {
            let place = number - base;
            let delta = (micros(*at) - before).div_euclid(DELTA);
            let Ok(short) = i16::try_from(delta) else { break };
            if place >= MAX_NUMBERS {
                break;
            }
            symbols.resize(place as usize, 0);
            before += delta * DELTA;
            if let Ok(small) = u8::try_from(delta) {
                symbols.push(1);
                deltas.push(small);
            } else {
                symbols.push(2);
                deltas.extend_from_slice(&short.to_be_bytes());
            }
            told += 1;
        }
        let at = begin_transport_feedback(out, 15, own, self.media);
        out.extend_from_slice(&(base as u16).to_be_bytes());
        out.extend_from_slice(&(symbols.len() as u16).to_be_bytes());
        out.extend_from_slice(&(reference as u32).to_be_bytes()[1..]);
        out.push(self.count);
        self.count = self.count.wrapping_add(1);
        for seven in symbols.chunks(7) {
            // Vectors of seven symbols of two bits.
            let vector = (0..7).fold(0b11, |vector, n| vector << 2 | u16::from(seven.get(n).copied().unwrap_or(0)));
            out.extend_from_slice(&vector.to_be_bytes());
        }
        out.extend_from_slice(&deltas);
        finish(out, at);
        told
    }
}

/// How long feedback waits to be sent together: as long as libwebrtc's.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads what the draft says, independently of how it is written here: numbers, and the arrival in microseconds of those that came.
    fn read(packet: &[u8]) -> Vec<(u16, Option<i64>)> {
        assert_eq!((packet[0], packet[1], packet.len() % 4), (0x8f, 205, 0));
        assert_eq!(4 * (usize::from(u16::from_be_bytes([packet[2], packet[3]])) + 1), packet.len());
        assert!(packet.len() < 1100, "{} bytes", packet.len());
        let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        let (base, count) = (word(12), usize::from(word(14)));
        let reference = i64::from(u32::from_be_bytes([0, packet[16], packet[17], packet[18]]));
        let mut symbols = Vec::new();
        let mut at = 20;
        while symbols.len() < count {
            let chunk = word(at);
            at += 2;
            assert_eq!(chunk >> 14, 0b11, "only vectors of two bits are written");
            symbols.extend((0..7).rev().map(|n| chunk >> (2 * n) & 3));
        }
        symbols.truncate(count);
        let mut time = reference * 64_000;
        let mut found = Vec::new();
        for (n, symbol) in symbols.into_iter().enumerate() {
            let delta = match symbol {
                0 => None,
                1 => Some((i64::from(packet[at]), 1)),
                2 => Some((i64::from(i16::from_be_bytes([packet[at], packet[at + 1]])), 2)),
                _ => panic!("a symbol that is not written"),
            };
            let arrival = delta.map(|(delta, len)| {
                at += len;
                time += delta * 250;
                time
            });
            found.push((base.wrapping_add(n as u16), arrival));
        }
        assert!(packet.len() - at < 4 && packet[at..].iter().all(|byte| *byte == 0));
        found
    }

    fn written(wide: &mut TransportWide) -> Vec<(u16, Option<i64>)> {
        let mut out = Vec::new();
        wide.write(1, &mut out);
        out.iter().flat_map(|packet| read(packet)).collect()
    }

    #[test]
    fn what_is_missing_between_two_packets_of_feedback_is_told() {
        let zero = Instant::now();
        let mut wide = TransportWide::new(zero);
        let at = |ms: u64| zero + Duration::from_millis(ms);
        wide.on_packet(65_534, 7, at(100));
        wide.on_packet(0, 7, at(90));
        assert_eq!(written(&mut wide), [(65_534, Some(100_000)), (65_535, None), (0, Some(90_000))]);
        wide.on_packet(2, 7, at(20_000));
        assert_eq!(written(&mut wide), [(1, None), (2, Some(20_000_000))]);
        wide.on_packet(1, 7, at(20_001));
        assert_eq!(written(&mut wide), [(1, Some(20_001_000))], "it came late");
        wide.on_packet(30_000, 7, at(20_002));
        assert_eq!(written(&mut wide), [(30_000, Some(20_002_000))], "the sender has jumped");
        assert!(!wide.is_due());
    }

    proptest! {
        #[test]
        fn all_that_arrived_is_told_once_and_as_it_came(
            start in any::<u16>(),
            steps in prop::collection::vec((1u64..400, 0u64..30_000_000), 1..300),
        ) {
            let zero = Instant::now();
            let mut wide = TransportWide::new(zero);
            let (mut number, mut expected) = (u64::from(start), Vec::new());
            for (step, micros) in steps {
                number += step;
                wide.on_packet(number as u16, 7, zero + Duration::from_micros(micros));
                expected.push((number as u16, micros));
            }
            let told = written(&mut wide);
            let arrived: Vec<(u16, i64)> = told.iter().filter_map(|(number, at)| Some((*number, (*at)?))).collect();
            prop_assert_eq!(arrived.len(), expected.len());
            for ((number, at), (expected, micros)) in arrived.into_iter().zip(expected) {
                prop_assert_eq!(number, expected);
                prop_assert!((0..250).contains(&(micros as i64 - at)), "{} for {}", at, micros);
            }
        }
    }
}
