//! Puts packets into sequence: holds back what is ahead of a hole until the hole is filled or given up. Looks at sequence
//! numbers and arrival times only, never into a payload.
//!
//! A packet that is next in sequence while nothing is held back passes straight through. What is held back lies in a
//! ring whose index is the distance from the next expected sequence number; its size is bounded in packets and bytes.

use crate::room::media::RtpPacket;
use crate::rtc::media::depacketize::received::{AssemblerConfig, ReceiveStats};
use crate::rtc::media::depacketize::sequence_history::SequenceHistory;
use crate::rtc::media::packet_counts::DropReason;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What comes out, in sequence.
#[derive(Debug)]
pub(crate) enum Reordered {
    Packet(RtpPacket),
    /// So many packets will not come any more.
    Lost(u32),
    /// The next packet's sequence number is somewhere else: so far ahead of what was expected, or (`None`) behind it.
    SequenceJump(Option<u32>),
}

/// Packets so far behind what is expected, and with a timestamp so far (RTP ticks: 30 s of picture) behind the newest,
/// are late or repeated: Chromium repeats packets of the last seconds as bandwidth probes. Others are out of range.
const MAX_BEHIND: u16 = 10_000;
const MAX_BEHIND_TICKS: u32 = 2_700_000;
/// Consecutive packets out of range that prove a new beginning.
const RESTART_PACKETS: usize = 2;
/// How far apart in sequence two packets out of range may be and still support each other.
const MAX_RESTART_DISTANCE: u16 = 100;

pub(crate) struct ReorderBuffer {
    pub hold: Duration,
    max_packets: usize,
    max_bytes: usize,
    /// The sequence number that is expected; none before the first packet.
    next: Option<u16>,
    /// Timestamp of the last packet in sequence.
    timestamp: u32,
    /// Index 0 is `next` and is empty (the hole) whenever anything is held back.
    held: VecDeque<Option<RtpPacket>>,
    held_bytes: usize,
    /// When the hole at `next` showed.
    hole_since: Option<Instant>,
    /// Packets out of range, on probation.
    out_of_range: Vec<RtpPacket>,
    /// Filled by the rare cases, emptied by `pop`.
    ready: VecDeque<Reordered>,
    history: SequenceHistory,
}

impl ReorderBuffer {
    pub fn new(config: &AssemblerConfig) -> Self {
        Self {
            hold: config.hold,
            max_packets: config.max_packets.clamp(16, 16_384),
            max_bytes: config.max_bytes,
            next: None,
            timestamp: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            hole_since: None,
            out_of_range: Vec::new(),
            ready: VecDeque::new(),
            history: SequenceHistory::new(),
        }
    }

    /// Takes a packet; gives it back if it is the next in sequence. Then, if [`ReorderBuffer::is_waiting`], more may be due from `pop`.
    #[inline]
    pub fn push(&mut self, packet: RtpPacket, stats: &mut ReceiveStats) -> Option<RtpPacket> {
        let next = *self.next.get_or_insert(packet.sequence);
        if packet.sequence != next {
            self.push_other(packet, next, stats);
            return None;
        }
        self.drop_out_of_range(stats);
        self.timestamp = packet.timestamp;
        self.advance(true);
        if self.held.pop_front().is_some() {
            stats.repaired += 1;
            stats.reordered += 1;
            self.look_at_hole();
        }
        Some(packet)
    }

    /// Whether `pop` may have something, now or after `expire`.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        !self.held.is_empty() || !self.ready.is_empty()
    }

    /// When the oldest hole is given up.
    pub fn deadline(&self) -> Option<Instant> {
        self.hole_since.map(|since| since + self.hold)
    }

    /// Gives up the holes that are too old, and those that hold back too much.
    pub fn expire(&mut self, now: Instant) {
        while self.held_bytes > self.max_bytes
            || self.hole_since.is_some_and(|since| now.saturating_duration_since(since) >= self.hold)
        {
            self.give_up();
        }
    }

    #[cfg(test)]
    pub fn held(&self) -> u64 {
        let ready = self.ready.iter().filter(|ordered| matches!(ordered, Reordered::Packet(_)));
        (self.held.iter().flatten().count() + ready.count() + self.out_of_range.len()) as u64
    }

    /// Gives up every hole, and what is out of range.
    pub fn finish(&mut self, stats: &mut ReceiveStats) {
        self.flush();
        self.drop_out_of_range(stats);
    }

    fn flush(&mut self) {
        while self.hole_since.is_some() {
            self.give_up();
        }
    }

    /// The next in sequence of what was held back.
    pub fn pop(&mut self) -> Option<Reordered> {
        if let Some(ready) = self.ready.pop_front() {
            return Some(ready);
        }
        let packet = self.pop_held()?;
        self.look_at_hole();
        Some(Reordered::Packet(packet))
    }

    fn pop_held(&mut self) -> Option<RtpPacket> {
        if !matches!(self.held.front(), Some(Some(_))) {
            return None;
        }
        let packet = self.held.pop_front()??;
        self.held_bytes = self.held_bytes.saturating_sub(weight(&packet));
        self.timestamp = packet.timestamp;
        self.advance(true);
        Some(packet)
    }

    fn push_other(&mut self, packet: RtpPacket, next: u16, stats: &mut ReceiveStats) {
        let ahead = packet.sequence.wrapping_sub(next);
        let behind = next.wrapping_sub(packet.sequence);
        if usize::from(ahead) <= self.max_packets {
            self.drop_out_of_range(stats);
            self.hold_back(packet, ahead.into(), stats);
        } else if behind <= MAX_BEHIND && self.timestamp.wrapping_sub(packet.timestamp) <= MAX_BEHIND_TICKS {
            if self.history.contains(packet.sequence, behind) {
                stats.duplicates += 1;
                stats.counts.drop(DropReason::Duplicate, 1);
            } else {
                stats.late += 1;
                stats.counts.drop(DropReason::Late, 1);
                stats.reordered += 1;
            }
        } else {
            self.on_out_of_range(packet, stats);
        }
    }

    fn hold_back(&mut self, packet: RtpPacket, index: usize, stats: &mut ReceiveStats) {
        match self.held.get(index) {
            Some(Some(_)) => {
                stats.duplicates += 1;
                stats.counts.drop(DropReason::Duplicate, 1);
                return;
            }
            Some(None) => {
                stats.reordered += 1;
                stats.repaired += 1;
            }
            None => self.held.resize_with(index + 1, || None),
        }
        self.hole_since.get_or_insert(packet.arrival);
        self.held_bytes += weight(&packet);
        if let Some(slot) = self.held.get_mut(index) {
            *slot = Some(packet);
        }
    }

    /// Counts one more sequence number as done.
    #[inline]
    fn advance(&mut self, arrived: bool) {
        if let Some(next) = &mut self.next {
            self.history.set(*next, arrived);
            *next = next.wrapping_add(1);
        }
    }

    /// The hole at `next`, if there is one, showed with the first packet that came from beyond it.
    fn look_at_hole(&mut self) {
        self.hole_since = match self.held.front() {
            Some(None) => self.held.iter().flatten().map(|packet| packet.arrival).min(),
            _ => None,
        };
    }

    /// Gives up the hole at `next` and makes ready what it held back.
    fn give_up(&mut self) {
        let mut lost = 0;
        while matches!(self.held.front(), Some(None)) {
            self.held.pop_front();
            self.advance(false);
            lost += 1;
        }
        if lost > 0 {
            self.ready.push_back(Reordered::Lost(lost));
        }
        while let Some(packet) = self.pop_held() {
            self.ready.push_back(Reordered::Packet(packet));
        }
        if self.held.is_empty() {
            self.held_bytes = 0;
        }
        self.look_at_hole();
    }

    /// A packet out of range. Enough of them, near each other and nothing else between: the sender has begun anew there.
    fn on_out_of_range(&mut self, packet: RtpPacket, stats: &mut ReceiveStats) {
        let near = |other: &RtpPacket| {
            let ahead = packet.sequence.wrapping_sub(other.sequence);
            ahead != 0 && (ahead <= MAX_RESTART_DISTANCE || ahead.wrapping_neg() <= MAX_RESTART_DISTANCE)
        };
        if !self.out_of_range.last().is_some_and(near) {
            self.drop_out_of_range(stats);
        }
        self.out_of_range.push(packet);
        if self.out_of_range.len() >= RESTART_PACKETS {
            self.restart(stats);
        }
    }

    /// Packets out of range were not a new beginning.
    fn drop_out_of_range(&mut self, stats: &mut ReceiveStats) {
        stats.counts.drop(DropReason::OutOfRange, self.out_of_range.len() as u64);
        self.out_of_range.clear();
    }

    fn restart(&mut self, stats: &mut ReceiveStats) {
        self.flush();
        let mut packets = std::mem::take(&mut self.out_of_range);
        let Some(first) = packets.first().map(|packet| packet.sequence) else { return };
        packets.sort_by_key(|packet| packet.sequence.wrapping_sub(first.wrapping_sub(0x8000)));
        let Some(start) = packets.first().map(|packet| packet.sequence) else { return };
        let ahead = self.next.map_or(0, |next| start.wrapping_sub(next));
        self.ready.push_back(Reordered::SequenceJump((ahead < 0x8000).then_some(ahead.into())));
        self.next = Some(start);
        self.history = SequenceHistory::new();
        let mut uncounted = ReceiveStats::default();
        for packet in packets {
            if let Some(packet) = self.push(packet, &mut uncounted) {
                self.ready.push_back(Reordered::Packet(packet));
            }
        }
        stats.counts.add(&uncounted.counts);
    }
}

/// What a packet holds in memory while it waits.
fn weight(packet: &RtpPacket) -> usize {
    packet.payload.len() + size_of::<RtpPacket>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const NOTHING: [i32; 0] = [];

    struct Bench {
        reorder: ReorderBuffer,
        stats: ReceiveStats,
        start: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let config = AssemblerConfig::default();
            Self { reorder: ReorderBuffer::new(&config), stats: ReceiveStats::default(), start: Instant::now() }
        }
        /// Pushes at `ms` and tells what comes out: a sequence number, `-n` for n lost, 100,000 or more for a jump.
        fn push(&mut self, sequence: u16, ms: u64) -> Vec<i32> {
            self.push_timed(sequence, 0, ms)
        }
        fn push_timed(&mut self, sequence: u16, timestamp: u32, ms: u64) -> Vec<i32> {
            let arrival = self.start + Duration::from_millis(ms);
            let packet = RtpPacket {
                ssrc: 1,
                payload_type: 96,
                format: Default::default(),
                sequence,
                timestamp,
                marker: false,
                audio_level: None,
                arrival,
                payload: Bytes::from_static(b"x"),
            };
            let next = self.reorder.push(packet, &mut self.stats);
            let mut out: Vec<i32> = next.map(|packet| packet.sequence.into()).into_iter().collect();
            self.reorder.expire(arrival);
            out.extend(self.drain());
            out
        }
        fn drain(&mut self) -> Vec<i32> {
            std::iter::from_fn(|| self.reorder.pop())
                .map(|ordered| match ordered {
                    Reordered::Packet(packet) => packet.sequence.into(),
                    Reordered::Lost(count) => -(count as i32),
                    Reordered::SequenceJump(ahead) => 100_000 + ahead.map_or(0, |n| n as i32),
                })
                .collect()
        }
    }

    #[test]
    fn in_order_over_the_wrap() {
        let mut bench = Bench::new();
        for sequence in [65_534, 65_535, 0, 1] {
            assert_eq!(bench.push(sequence, 0), [i32::from(sequence)]);
        }
        assert_eq!(bench.stats, ReceiveStats::default());
    }

    #[test]
    fn a_repair_fills_its_hole_once() {
        let mut bench = Bench::new();
        bench.push(10, 0);
        assert_eq!(bench.push(12, 10), NOTHING);
        assert_eq!(bench.push(13, 20), NOTHING);
        assert_eq!(bench.push(13, 20), NOTHING);
        assert_eq!(bench.push(11, 300), [11, 12, 13]);
        assert_eq!(bench.push(11, 310), NOTHING);
        assert_eq!((bench.stats.repaired, bench.stats.duplicates, bench.stats.late), (1, 2, 0));
    }

    #[test]
    fn each_hole_has_its_own_time() {
        let mut bench = Bench::new();
        bench.push(0, 0);
        bench.push(2, 10);
        bench.push(4, 200);
        assert_eq!(bench.push(5, 409), NOTHING);
        assert_eq!(bench.push(6, 410), [-1, 2]);
        assert_eq!(bench.push(7, 599), NOTHING);
        assert_eq!(bench.push(8, 600), [-1, 4, 5, 6, 7, 8]);
        assert_eq!(bench.push(3, 610), NOTHING);
        assert_eq!(bench.stats.late, 1);
    }

    #[test]
    fn a_jump_loses_nothing_that_follows() {
        for (from, to, jump) in [(100, 40_000, 100_000), (100, 10_000, 109_899), (20_000, 15_000, 100_000)] {
            let mut bench = Bench::new();
            bench.push(from, 0);
            assert_eq!(bench.push_timed(to + 1, 1 << 30, 1), NOTHING);
            assert_eq!(bench.push_timed(to, 1 << 30, 2), [jump, i32::from(to), i32::from(to) + 1]);
            assert_eq!(bench.push_timed(to + 2, 1 << 30, 3), [i32::from(to) + 2]);
        }
    }

    #[test]
    fn a_burst_of_late_packets_is_no_jump() {
        let mut bench = Bench::new();
        bench.push_timed(1000, 5_000_000, 0);
        for sequence in 500..600 {
            assert_eq!(bench.push_timed(sequence, 4_000_000, 1), NOTHING);
        }
        assert_eq!((bench.stats.late, bench.push_timed(1001, 5_003_000, 2)), (100, vec![1001]));
    }

    #[test]
    fn stray_packets_change_nothing() {
        let mut bench = Bench::new();
        for sequence in 0..200 {
            assert_eq!(bench.push(sequence, 0), [i32::from(sequence)]);
            assert_eq!(bench.push(40_000 + sequence, 0), NOTHING);
            assert_eq!(bench.push(sequence, 0), NOTHING);
        }
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let mut bench = Bench::new();
        bench.reorder.max_bytes = 10 * (1 + size_of::<RtpPacket>());
        bench.push(0, 0);
        for sequence in 2..12 {
            assert_eq!(bench.push(sequence, 0), NOTHING);
        }
        assert_eq!(bench.push(12, 0).len(), 12);
        assert_eq!(bench.reorder.held_bytes, 0);
    }
}
