//! RTP timestamps in 64 bits, and whether their sender began anew.

use crate::room::clock::unwrap_rtp;
use crate::room::media::RtpPacket;
use std::time::Instant;

/// After a jump in sequence, how far (in seconds) timestamp and arrival may disagree before it counts as a restart.
const RESTART_SECONDS: i64 = 5;
/// How much further (in seconds) a timestamp may jump ahead than time has passed, without a jump in sequence, before it counts as a restart:
/// no clock runs so fast. Somebody who was muted may come back at the time that has passed, or at one that is some seconds off.
const AHEAD_SECONDS: i64 = 120;
/// How far (in seconds) a timestamp may lie behind the greatest one before it counts as a restart: pictures that are sent
/// before others that are shown earlier (B-frames) go back by a few frames, which may be five a second.
const REORDER_SECONDS: i64 = 2;

/// Unwraps the timestamps of packets in sequence.
pub(crate) struct Timestamps {
    clock_rate: i64,
    /// The greatest timestamp, unwrapped, and the arrival of its newest packet.
    newest: Option<(i64, Instant)>,
    /// A jump in sequence just happened, over so many packets if that is known; the next timestamp tells a long loss from a restart.
    jumped: Option<Option<u32>>,
}

/// What a packet's timestamp says.
pub(crate) enum Unwrapped {
    /// The sender goes on; so many packets are lost that nobody counted.
    Continued { time: i64, lost: u32 },
    /// The sender began anew; `last` is the greatest time before.
    Restarted { time: i64, last: i64 },
}

impl Timestamps {
    pub fn new(clock_rate: u32) -> Timestamps {
        Timestamps { clock_rate: clock_rate.into(), newest: None, jumped: None }
    }

    /// The greatest time so far.
    pub fn newest(&self) -> Option<i64> {
        self.newest.map(|(time, _)| time)
    }

    /// The next packet's sequence number is somewhere else.
    pub fn on_sequence_jump(&mut self, ahead: Option<u32>) {
        self.jumped = Some(ahead);
    }

    pub fn unwrap(&mut self, packet: &RtpPacket) -> Unwrapped {
        let fresh = i64::from(packet.timestamp);
        let jumped = self.jumped.take();
        let Some((newest, arrival)) = self.newest else {
            self.newest = Some((fresh, packet.arrival));
            return Unwrapped::Continued { time: fresh, lost: 0 };
        };
        let time = unwrap_rtp(newest, packet.timestamp);
        let elapsed = packet.arrival.saturating_duration_since(arrival).as_millis() as i64 * self.clock_rate / 1000;
        let ahead = (time - newest).saturating_sub(elapsed);
        let time_jumped = ahead.abs() > RESTART_SECONDS * self.clock_rate;
        if time < newest - REORDER_SECONDS * self.clock_rate
            || ahead > AHEAD_SECONDS * self.clock_rate
            || (jumped.is_some() && time_jumped)
        {
            self.newest = Some((fresh, packet.arrival));
            return Unwrapped::Restarted { time: fresh, last: newest };
        }
        if time >= newest {
            self.newest = Some((time, packet.arrival));
        }
        Unwrapped::Continued { time, lost: jumped.flatten().unwrap_or(0) }
    }
}
