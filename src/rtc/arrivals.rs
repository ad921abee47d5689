//! What of a stream of packets has arrived (one SSRC): its index over rollovers, what was there already, what is missing and when it is asked
//! for again, and what receiver reports say of it. Pure: told the time.

use crate::rtc::srtp::index::{ReplayWindow, nearest};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets that may be missing at a time; the newest are asked for.
const MAX_HOLES: usize = 1000;
/// Packets of one hole that are asked for.
const MAX_HOLE: u64 = 500;
/// Nobody waits longer for a repair.
const GIVE_UP: Duration = Duration::from_secs(1);
/// How often a packet is asked for.
const MAX_REQUESTS: u8 = 10;
/// A packet that is overtaken by less is not missing yet.
const PATIENCE: Duration = Duration::from_millis(8);
/// The first packets of a stream take the library's way, and are overtaken by the next ones.
const YOUNG: Duration = Duration::from_secs(1);
const YOUNG_PATIENCE: Duration = Duration::from_millis(100);
/// Round trip until one is measured.
const UNKNOWN_ROUND_TRIP: Duration = Duration::from_millis(100);
/// The sender's time to answer, beside the round trip.
const ANSWER: Duration = Duration::from_millis(20);

/// The round trip of a connection, from requests that were answered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RoundTrip(Option<Duration>);

impl RoundTrip {
    /// A request was answered after so long.
    pub fn on_answer(&mut self, after: Duration) {
        // As TCP smooths it (RFC 6298 2).
        self.0 = Some(self.0.map_or(after, |smoothed| (smoothed * 7 + after) / 8));
    }
    /// After so long without an answer a packet is asked for again.
    pub fn retry(self) -> Duration {
        (self.0.unwrap_or(UNKNOWN_ROUND_TRIP) * 5 / 4 + ANSWER).min(GIVE_UP)
    }
}

/// A packet that has not come.
#[derive(Debug, Clone, Copy)]
struct Hole {
    index: u64,
    since: Instant,
    requested: Option<Instant>,
    requests: u8,
}

/// One block of a receiver report (RFC 3550 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReportBlock {
    pub fraction_lost: u8,
    /// Packets lost in all; fewer than none where some came twice.
    pub total_lost: i32,
    /// The highest sequence number, extended by its cycles.
    pub highest: u32,
    /// In RTP ticks.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time; 0 before one came.
    pub last_report: u32,
    /// Time since then, in 1/65536 s.
    pub since_report: u32,
}

/// One SSRC's packets under one key.
#[derive(Debug)]
pub(crate) struct Arrivals {
    window: ReplayWindow,
    begin: Option<(u64, Instant)>,
    received: u64,
    holes: VecDeque<Hole>,
    /// RTP ticks a second.
    clock_rate: u32,
    transit: Option<(Instant, u32)>,
    jitter: f64,
    /// Expected and received packets as of the last report.
    reported: (u64, u64),
    sender_report: Option<(u32, Instant)>,
    /// The last packet that the library had as well.
    shown: Option<(u64, Instant)>,
}

/// The library gets a packet of each stream after this time and after so many others: it counts rollovers by them, and ICE sees life.
const SHOW_AFTER: Duration = Duration::from_secs(4);
const SHOW_EACH: u64 = 8192;

impl Arrivals {
    /// Of a stream whose clock ticks so often a second.
    pub fn new(clock_rate: u32) -> Arrivals {
        Arrivals {
            window: ReplayWindow::default(),
            begin: None,
            received: 0,
            holes: VecDeque::new(),
            clock_rate: clock_rate.max(1),
            transit: None,
            jitter: 0.0,
            reported: (0, 0),
            sender_report: None,
            shown: None,
        }
    }

    /// The stream's clock ticks so often a second.
    pub fn set_clock_rate(&mut self, clock_rate: u32) {
        self.clock_rate = clock_rate.max(1);
    }

    /// The stream was taken away. What is known under this key stays: a sender that takes up the SSRC again goes on with the index.
    pub fn end(&mut self) {
        self.holes.clear();
        (self.begin, self.received, self.reported) = (None, 0, (0, 0));
        (self.transit, self.jitter, self.sender_report) = (None, 0.0, None);
    }

    /// The index that a sequence number stands for; none beyond what a key may seal.
    pub fn index(&self, sequence: u16) -> Option<u64> {
        nearest(self.window.newest(), sequence)
    }
    /// Whether a packet was there already, or is too old to tell.
    pub fn is_replayed(&self, index: u64) -> bool {
        self.window.is_replayed(index)
    }
    /// Whether the library is to have the next packet.
    pub fn is_shown(&self, index: u64, now: Instant) -> bool {
        self.shown.is_none_or(|(last, at)| {
            index > last && (index - last >= SHOW_EACH || now.saturating_duration_since(at) >= SHOW_AFTER)
        })
    }
    /// The library gets this packet.
    pub fn show(&mut self, index: u64, now: Instant) {
        self.shown = Some((index, now));
    }

    /// An authentic packet. `repairs`: what is missing is asked for. Returns the time from a request for it to now.
    pub fn on_packet(&mut self, index: u64, timestamp: u32, arrival: Instant, repairs: bool) -> Option<Duration> {
        let newest = self.window.newest();
        self.window.insert(index);
        let (first, _) = *self.begin.get_or_insert((index, arrival));
        if index < first {
            self.begin = self.begin.map(|(_, at)| (index, at));
        }
        self.received += 1;
        self.on_time(timestamp, arrival);
        match newest {
            Some(newest) if index <= newest => return self.fill(index, arrival),
            Some(newest) if repairs && self.received > 1 => {
                let from = (newest + 1).max(index.saturating_sub(MAX_HOLE));
                let hole = |index| Hole { index, since: arrival, requested: None, requests: 0 };
                self.holes.extend((from..index).map(hole));
                let excess = self.holes.len().saturating_sub(MAX_HOLES);
                self.holes.drain(..excess);
            }
            _ => {}
        }
        None
    }

    /// A retransmission of this packet came, as another stream. Returns the time from the only request for it to now.
    pub fn on_repair(&mut self, sequence: u16, arrival: Instant) -> Option<Duration> {
        self.fill(self.index(sequence)?, arrival)
    }

    fn fill(&mut self, index: u64, arrival: Instant) -> Option<Duration> {
        let at = self.holes.iter().position(|hole| hole.index == index)?;
        let hole = self.holes.remove(at)?;
        // Of one that was requested twice nobody knows which request was answered (RFC 6298 3).
        let requested = hole.requested.filter(|_| hole.requests == 1)?;
        arrival.checked_duration_since(requested)
    }

    /// RFC 3550 A.8.
    fn on_time(&mut self, timestamp: u32, arrival: Instant) {
        if let Some((before, last)) = self.transit.replace((arrival, timestamp)) {
            let passed = arrival.saturating_duration_since(before).as_secs_f64() * f64::from(self.clock_rate);
            let difference = (passed - f64::from(timestamp.wrapping_sub(last) as i32)).abs();
            // A jump of the clock is no jitter.
            if difference < 10.0 * f64::from(self.clock_rate) {
                self.jitter += (difference - self.jitter) / 16.0;
            }
        }
    }

    /// The sender reported at `ntp` (32.32).
    pub fn on_sender_report(&mut self, ntp: u64, arrival: Instant) {
        self.sender_report = Some(((ntp >> 16) as u32, arrival));
    }

    /// The packets that are to be requested now, by their sequence numbers in ascending order; they count as requested.
    pub fn request_due(&mut self, now: Instant, round_trip: RoundTrip) -> Vec<u16> {
        if self.holes.is_empty() {
            return Vec::new();
        }
        let Some((_, began)) = self.begin else { return Vec::new() };
        let young = now.saturating_duration_since(began) < YOUNG;
        let (patience, retry) = (if young { YOUNG_PATIENCE } else { PATIENCE }, round_trip.retry());
        self.holes.retain(|hole| hole.requests < MAX_REQUESTS && now.saturating_duration_since(hole.since) < GIVE_UP);
        let mut due = Vec::new();
        for hole in &mut self.holes {
            let (from, wait) = hole.requested.map_or((hole.since, patience), |requested| (requested, retry));
            if now.saturating_duration_since(from) >= wait {
                hole.requested = Some(now);
                hole.requests += 1;
                due.push(hole.index as u16);
            }
        }
        due
    }

    /// When [`Arrivals::request_due`] may have something next.
    pub fn deadline(&self, round_trip: RoundTrip) -> Option<Instant> {
        let young = self.begin.map(|(_, began)| began + YOUNG);
        let due = |hole: &Hole| match hole.requested {
            Some(requested) => requested + round_trip.retry(),
            None if young.is_some_and(|until| hole.since < until) => hole.since + YOUNG_PATIENCE,
            None => hole.since + PATIENCE,
        };
        self.holes.iter().map(due).min()
    }

    /// What a receiver report says now; `is_new`: losses are counted from here on. None before the first packet.
    pub fn report(&mut self, now: Instant, is_new: bool) -> Option<ReportBlock> {
        let ((first, _), newest) = (self.begin?, self.window.newest()?);
        let expected = newest.saturating_sub(first) + 1;
        let (expected_since, received_since) =
            (expected.saturating_sub(self.reported.0), self.received.saturating_sub(self.reported.1));
        let lost_since = expected_since.saturating_sub(received_since);
        let fraction = (lost_since * 256).checked_div(expected_since).unwrap_or(0).min(255);
        if is_new {
            self.reported = (expected, self.received);
        }
        let total = i64::try_from(expected).ok()? - i64::try_from(self.received).ok()?;
        let since = |at: Instant| (now.saturating_duration_since(at).as_secs_f64() * 65_536.0) as u32;
        let (last_report, since_report) = self.sender_report.map_or((0, 0), |(ntp, at)| (ntp, since(at)));
        Some(ReportBlock {
            fraction_lost: fraction as u8,
            total_lost: total.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest: newest as u32,
            jitter: self.jitter as u32,
            last_report,
            since_report,
        })
    }
}

#[cfg(test)]
mod tests;
