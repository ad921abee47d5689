//! End-to-end delays of observed frames: from the known start of their source, or from their sender's clock if its offset is known. It never
//! guesses an offset. Pure.

use super::observations::{DecodedFrame, ObservedStream};
use crate::verify::detections::{DelayBasis, FrameDelay};
use crate::verify::measure::statistics::percentile;
use crate::verify::stamp::FrameStamp;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Instant, SystemTime};

/// Seconds from the NTP epoch (1900) to the Unix epoch (RFC 5905, figure 4).
const NTP_UNIX: i128 = 2_208_988_800;
/// A median delay below this proves that the sender's clock has another offset; ms.
const MIN_PLAUSIBLE: f64 = -20.0;

/// What is known about the senders' clocks.
#[derive(Debug, Clone, Default)]
pub struct Clocks {
    /// Start times of sources, by participant number.
    pub sources: BTreeMap<u8, Instant>,
    /// Measured offset by participant number: how far the sender's clock is ahead of ours, ms.
    pub ahead_ms: BTreeMap<u8, f64>,
    /// There is no media server between, so a sender with an address of this machine has its clock.
    pub direct: bool,
}

/// The delays of a participant's frames.
#[derive(Debug, Clone, PartialEq)]
pub enum Delays {
    /// The delays, sorted by time, and how the capture times are known.
    Known(DelayBasis, Vec<FrameDelay>),
    /// Why they are not known.
    Unknown(String),
}

/// Delays by participant number. `start` is the zero of session time; `is_here` tells whether an address belongs to this machine.
pub fn delays(
    watched: &[ObservedStream],
    clocks: &Clocks,
    start: Instant,
    is_here: impl Fn(IpAddr) -> bool,
) -> BTreeMap<u8, Delays> {
    let mut all: BTreeMap<u8, Delays> = BTreeMap::new();
    for stream in watched {
        let here = clocks.direct && stream.from.is_some_and(&is_here);
        for frame in &stream.frames {
            let number = frame.stamp.participant;
            let age = age(frame, stream, clocks, here);
            let found = age.map(|(basis, ms)| {
                let at = frame.decoded.saturating_duration_since(start).as_secs_f64();
                (basis, FrameDelay { at, ms })
            });
            match (all.get_mut(&number), found) {
                (Some(Delays::Known(_, delays)), Ok((_, delay))) => delays.push(delay),
                (_, Ok((basis, delay))) => drop(all.insert(number, Delays::Known(basis, vec![delay]))),
                (None, Err(why)) => drop(all.insert(number, Delays::Unknown(why.to_owned()))),
                (Some(_), Err(_)) => {}
            }
        }
    }
    for delays in all.values_mut() {
        if let Delays::Known(_, known) = delays {
            known.sort_by(|a, b| a.at.total_cmp(&b.at));
            let middle = percentile(&mut known.iter().map(|delay| delay.ms).collect::<Vec<_>>(), 0.5);
            if middle.is_some_and(|ms| ms < MIN_PLAUSIBLE) {
                *delays = Delays::Unknown(
                    "frames arrived before they were captured: the sender's clock has another offset".into(),
                );
            }
        }
    }
    all
}

/// The age of a frame when it was decoded, ms, and how it is known; or why it is not known.
fn age(
    frame: &DecodedFrame,
    stream: &ObservedStream,
    clocks: &Clocks,
    here: bool,
) -> Result<(DelayBasis, f64), &'static str> {
    let FrameStamp { participant, rate, number } = frame.stamp;
    if let Some(source) = clocks.sources.get(&participant) {
        let since = match frame.decoded.checked_duration_since(*source) {
            Some(after) => after.as_secs_f64(),
            None => -source.saturating_duration_since(frame.decoded).as_secs_f64(),
        };
        return Ok((DelayBasis::Source, (since - f64::from(number) / f64::from(rate.max(1))) * 1000.0));
    }
    let ahead_ms = clocks.ahead_ms.get(&participant).copied().or(here.then_some(0.0));
    let sender_ns = stream.clock.sender_ns(frame.rtp_time).ok_or("there are no sender reports")?;
    let ahead_ms = ahead_ms.ok_or("the offset of the sender's clock is unknown")?;
    let wall = frame.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let wall_ns = i128::try_from(wall.as_nanos()).unwrap_or_default() + NTP_UNIX * 1_000_000_000;
    Ok((DelayBasis::SenderReports, (wall_ns - i128::from(sender_ns)) as f64 / 1e6 + ahead_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::clock::{SenderClock, SessionTime, TrackClock};
    use std::time::Duration;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// Thirty frames of participant 1, decoded `ms` after capture, by a sender whose clock is `ahead` ms ahead.
    fn stream(start: Instant, ms: u64, ahead: i64) -> ObservedStream {
        let unix = Duration::from_secs(1_800_000_000);
        let (mut clock, mut sender) = (TrackClock::new(90_000), SenderClock::new());
        let seconds = (u64::try_from(NTP_UNIX).unwrap() + unix.as_secs()).strict_add_signed(ahead.div_euclid(1000));
        let fraction = (ahead.rem_euclid(1000) as u64) * (1 << 32) / 1000;
        clock.on_sender_report(&mut sender, 5000, seconds << 32 | fraction, SessionTime(0));
        let frame = |n: u32| {
            let at = Duration::from_millis(ms) + Duration::from_secs_f64(f64::from(n) / 30.0);
            let stamp = FrameStamp { participant: 1, rate: 30, number: n };
            let rtp_time = 5000 + i64::from(n) * 3000;
            DecodedFrame { stamp, rtp_time, decoded: start + at, wall: SystemTime::UNIX_EPOCH + unix + at }
        };
        ObservedStream { frames: (0..30).map(frame).collect(), clock, from: Some(HERE) }
    }

    fn of(watched: ObservedStream, clocks: &Clocks, start: Instant) -> Delays {
        delays(&[watched], clocks, start, |ip| ip == HERE).remove(&1).unwrap()
    }

    fn near(delays: &Delays, basis: DelayBasis, ms: f64) {
        let Delays::Known(by, found) = delays else { panic!("{delays:?}") };
        assert!(*by == basis && found.len() == 30, "{delays:?}");
        assert!(found.iter().all(|delay| (delay.ms - ms).abs() < 1.0), "{delays:?}");
    }

    #[test]
    fn the_known_start_of_a_source_comes_first() {
        let start = Instant::now();
        let clocks = Clocks { sources: BTreeMap::from([(1, start)]), ..Clocks::default() };
        // Whatever the sender's clock says.
        near(&of(stream(start, 250, -77_000), &clocks, start), DelayBasis::Source, 250.0);
    }

    #[test]
    fn sender_reports_of_this_machine_give_the_capture_time() {
        let start = Instant::now();
        let direct = Clocks { direct: true, ..Clocks::default() };
        near(&of(stream(start, 80, 0), &direct, start), DelayBasis::SenderReports, 80.0);
        // Another offset although the address is ours, and a measured offset.
        assert!(matches!(of(stream(start, 80, 500), &direct, start), Delays::Unknown(why) if why.contains("before")));
        let known = Clocks { ahead_ms: BTreeMap::from([(1, 500.0)]), ..Clocks::default() };
        near(&of(stream(start, 80, 500), &known, start), DelayBasis::SenderReports, 80.0);
    }

    #[test]
    fn unknown_clocks_give_no_delay() {
        let start = Instant::now();
        let direct = Clocks { direct: true, ..Clocks::default() };
        let elsewhere = ObservedStream { from: Some("192.0.2.1".parse().unwrap()), ..stream(start, 80, 0) };
        let through_a_server = of(stream(start, 80, 0), &Clocks::default(), start);
        for unknown in [of(elsewhere, &direct, start), through_a_server] {
            assert!(matches!(&unknown, Delays::Unknown(why) if why.contains("clock")), "{unknown:?}");
        }
        let silent = ObservedStream { clock: TrackClock::new(90_000), ..stream(start, 80, 0) };
        assert!(matches!(of(silent, &direct, start), Delays::Unknown(why) if why.contains("report")));
    }
}
