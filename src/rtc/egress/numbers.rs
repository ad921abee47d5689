//! Transport-wide sequence numbers (draft-holmer-rmcat-transport-wide-cc-extensions): one count over all streams of a connection, and what left
//! under each, until feedback speaks of it.

use crate::rtc::congestion::rate_control::PacketFeedback;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets that wait for feedback: some seconds of what a connection sends. Of older ones nothing will be heard.
const KEPT: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Departure {
    at: Instant,
    bytes: usize,
    /// As it was reported; none: nothing was said.
    arrival: Option<Option<Duration>>,
}

/// The numbers of a connection.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// The number of the first of `waiting`, counted without wrapping.
    first: u64,
    waiting: VecDeque<Departure>,
}

impl Numbers {
    /// The number of the packet that leaves next.
    pub fn next(&self) -> u16 {
        (self.first + self.waiting.len() as u64) as u16
    }

    /// It has left, with so many bytes.
    pub fn departed(&mut self, bytes: usize, at: Instant) {
        if self.waiting.len() == KEPT {
            self.waiting.pop_front();
            self.first += 1;
        }
        self.waiting.push_back(Departure { at, bytes, arrival: None });
    }

    /// A receiver says of these packets whether they arrived, and when on its clock (none: it does not say). Returns what is to be learned:
    /// every packet up to the last that arrived, once, in the order in which they left. Those that nothing was said of, or that they are
    /// missing, are lost.
    pub fn feedback(&mut self, told: impl IntoIterator<Item = (u16, Option<Option<Duration>>)>) -> Vec<PacketFeedback> {
        let mut end = 0;
        for (number, arrival) in told {
            let at = usize::from(number.wrapping_sub(self.first as u16));
            let Some(departure) = self.waiting.get_mut(at) else { continue };
            departure.arrival = arrival.or(departure.arrival);
            if arrival.is_some() {
                end = end.max(at + 1);
            }
        }
        self.first += end as u64;
        let feedback = |departure: Departure| PacketFeedback {
            departure: departure.at,
            arrival: departure.arrival.flatten(),
            lost: departure.arrival.is_none(),
            bytes: departure.bytes,
        };
        self.waiting.drain(..end).map(feedback).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What arrived, by its time in milliseconds; none: lost.
    fn learned(reports: &[PacketFeedback]) -> Vec<Option<u128>> {
        assert!(reports.iter().all(|report| report.lost == report.arrival.is_none()));
        reports.iter().map(|report| report.arrival.map(|at| at.as_millis())).collect()
    }

    fn at(ms: u64) -> Option<Option<Duration>> {
        Some(Some(Duration::from_millis(ms)))
    }

    #[test]
    fn each_packet_is_reported_once_in_its_order() {
        let (mut numbers, start) = (Numbers::default(), Instant::now());
        for n in 0..6 {
            assert_eq!(numbers.next(), n);
            numbers.departed(1000 + usize::from(n), start + Duration::from_millis(n.into()));
        }
        let reports = numbers.feedback([(0, at(5)), (1, None), (2, at(9)), (3, None)]);
        assert_eq!(learned(&reports), [Some(5), None, Some(9)], "of the fourth there may be more to hear");
        assert_eq!(reports.iter().map(|report| report.bytes).collect::<Vec<_>>(), [1000, 1001, 1002]);
        assert_eq!(learned(&numbers.feedback([(1, at(7)), (3, at(8)), (5, at(9))])), [Some(8), None, Some(9)]);
        assert!(numbers.feedback([(5, at(9)), (6, at(9)), (60_000, at(9))]).is_empty(), "none of these waits");
    }

    #[test]
    fn numbers_wrap_and_old_packets_are_given_up() {
        let (mut numbers, start) = (Numbers::default(), Instant::now());
        for _ in 0..65_536 + 10 {
            numbers.departed(1, start);
        }
        assert_eq!((numbers.next(), numbers.waiting.len()), (10, KEPT));
        assert!(numbers.feedback([(65_536_u32.wrapping_sub(5000) as u16, at(1))]).is_empty());
        assert_eq!(numbers.feedback([(9, at(1))]).len(), KEPT);
    }

    #[test]
    fn a_packet_that_arrived_without_a_time_is_not_lost() {
        let mut numbers = Numbers::default();
        numbers.departed(1, Instant::now());
        let reports = numbers.feedback([(0, Some(None))]);
        assert!(matches!(reports[..], [PacketFeedback { arrival: None, lost: false, .. }]));
    }
}
