//! What a look at a picture comes to: how long ago it was made. By what is known of its source, or by its sender's clock where that is
//! known to be ours. It guesses nothing. Pure.

use super::{Look, Watched};
use crate::verify::evidence::Delay;
use crate::verify::measure::percentile;
use crate::verify::stamp::FrameStamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Instant, SystemTime};

/// From 1900, when NTP time begins, to 1970, seconds (RFC 5905, figure 4).
const NTP_UNIX: i128 = 2_208_988_800;
/// A picture that was made later than it was seen, by more than this, was made by another clock; ms.
const EARLY: f64 = -20.0;

/// What the moment stands on at which a picture was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The source's beginning, the picture's number and the source's rate: when it was due.
    Source,
    /// The sender's reports (RFC 3550, 6.4.1): when it was taken, by the sender's clock.
    SenderReports,
}

/// When a source began, on this machine's clock.
pub type Source = Instant;

/// What is known of clocks.
#[derive(Debug, Clone, Default)]
pub struct Clocks {
    /// By participant's number: sources of which the beginning is known.
    pub sources: BTreeMap<u8, Source>,
    /// By participant's number: how far their clock is ahead of ours, ms, as somebody has measured it.
    pub ahead_ms: BTreeMap<u8, f64>,
    /// Packets come from the senders themselves, so a sender whose address is ours has our clock.
    pub direct: bool,
}

/// How long pictures of a participant took, or why nobody can say.
#[derive(Debug, Clone, PartialEq)]
pub enum Delays {
    Known(Basis, Vec<Delay>),
    Unknown(String),
}

/// By participants' numbers. `start` is the zero of session time; `is_here` says of an address whether it is this machine's.
pub fn delays(
    watched: &[Watched],
    clocks: &Clocks,
    start: Instant,
    is_here: impl Fn(IpAddr) -> bool,
) -> BTreeMap<u8, Delays> {
    let mut all: BTreeMap<u8, Delays> = BTreeMap::new();
    for stream in watched {
        let here = clocks.direct && stream.from.is_some_and(&is_here);
        for look in &stream.looks {
            let number = look.stamp.participant;
            let made = made(look, stream, clocks, here);
            let found = made.map(|(basis, ms)| {
                let at = look.decoded.saturating_duration_since(start).as_secs_f64();
                (basis, Delay { at, ms })
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
            if middle.is_some_and(|ms| ms < EARLY) {
                *delays =
                    Delays::Unknown("pictures were seen before they were made: the sender's clock is not ours".into());
            }
        }
    }
    all
}

/// How long ago a picture was made when it was seen, ms, and by what; or why that is not known.
fn made(look: &Look, stream: &Watched, clocks: &Clocks, here: bool) -> Result<(Basis, f64), &'static str> {
    let FrameStamp { participant, rate, number } = look.stamp;
    if let Some(source) = clocks.sources.get(&participant) {
        let since = match look.decoded.checked_duration_since(*source) {
            Some(after) => after.as_secs_f64(),
            None => -source.saturating_duration_since(look.decoded).as_secs_f64(),
        };
        return Ok((Basis::Source, (since - f64::from(number) / f64::from(rate.max(1))) * 1000.0));
    }
    let ahead_ms = clocks.ahead_ms.get(&participant).copied().or(here.then_some(0.0));
    let sender_ns = stream.clock.sender_ns(look.rtp_time).ok_or("no sender report says when pictures were made")?;
    let ahead_ms = ahead_ms.ok_or("their clock may be another one than ours")?;
    let wall = look.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let wall_ns = i128::try_from(wall.as_nanos()).unwrap_or_default() + NTP_UNIX * 1_000_000_000;
    Ok((Basis::SenderReports, (wall_ns - i128::from(sender_ns)) as f64 / 1e6 + ahead_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::clock::{SenderClock, SessionTime, TrackClock};
    use std::time::Duration;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// Thirty pictures of participant 1 that were seen `ms` after they were made, by a sender whose clock is `ahead` ms ahead.
    fn stream(start: Instant, ms: u64, ahead: i64) -> Watched {
        let unix = Duration::from_secs(1_800_000_000);
        let (mut clock, mut sender) = (TrackClock::new(90_000), SenderClock::new());
        let seconds = (u64::try_from(NTP_UNIX).unwrap() + unix.as_secs()).strict_add_signed(ahead.div_euclid(1000));
        let fraction = (ahead.rem_euclid(1000) as u64) * (1 << 32) / 1000;
        clock.on_sender_report(&mut sender, 5000, seconds << 32 | fraction, SessionTime(0));
        let look = |n: u32| {
            let at = Duration::from_millis(ms) + Duration::from_secs_f64(f64::from(n) / 30.0);
            let stamp = FrameStamp { participant: 1, rate: 30, number: n };
            let rtp_time = 5000 + i64::from(n) * 3000;
            Look { stamp, rtp_time, decoded: start + at, wall: SystemTime::UNIX_EPOCH + unix + at }
        };
        Watched { looks: (0..30).map(look).collect(), clock, from: Some(HERE) }
    }

    fn of(watched: Watched, clocks: &Clocks, start: Instant) -> Delays {
        delays(&[watched], clocks, start, |ip| ip == HERE).remove(&1).unwrap()
    }

    fn near(delays: &Delays, basis: Basis, ms: f64) {
        let Delays::Known(by, found) = delays else { panic!("{delays:?}") };
        assert!(*by == basis && found.len() == 30, "{delays:?}");
        assert!(found.iter().all(|delay| (delay.ms - ms).abs() < 1.0), "{delays:?}");
    }

    #[test]
    fn a_source_whose_beginning_is_known_is_held_against_that() {
        let start = Instant::now();
        let clocks = Clocks { sources: BTreeMap::from([(1, start)]), ..Clocks::default() };
        // Whatever the sender's clock says.
        near(&of(stream(start, 250, -77_000), &clocks, start), Basis::Source, 250.0);
    }

    #[test]
    fn a_sender_on_this_machine_says_itself_when_a_picture_was_made() {
        let start = Instant::now();
        let direct = Clocks { direct: true, ..Clocks::default() };
        near(&of(stream(start, 80, 0), &direct, start), Basis::SenderReports, 80.0);
        // Another clock although the address is ours, and a clock that is known.
        assert!(matches!(of(stream(start, 80, 500), &direct, start), Delays::Unknown(why) if why.contains("before")));
        let known = Clocks { ahead_ms: BTreeMap::from([(1, 500.0)]), ..Clocks::default() };
        near(&of(stream(start, 80, 500), &known, start), Basis::SenderReports, 80.0);
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        let start = Instant::now();
        let direct = Clocks { direct: true, ..Clocks::default() };
        let elsewhere = Watched { from: Some("192.0.2.1".parse().unwrap()), ..stream(start, 80, 0) };
        let through_a_server = of(stream(start, 80, 0), &Clocks::default(), start);
        for unknown in [of(elsewhere, &direct, start), through_a_server] {
            assert!(matches!(&unknown, Delays::Unknown(why) if why.contains("clock")), "{unknown:?}");
        }
        let silent = Watched { clock: TrackClock::new(90_000), ..stream(start, 80, 0) };
        assert!(matches!(of(silent, &direct, start), Delays::Unknown(why) if why.contains("report")));
    }
}
