//! RTP times that go on where a sender begins anew: for those who send on what they receive. Pure.

use std::time::Instant;

/// Maps the RTP times of a source that may begin anew to times of one stream that never does.
#[derive(Debug, Clone)]
pub struct ContinuousTime {
    clock_rate: u32,
    /// What is added; none until the first frame after a restart says.
    offset: Option<i64>,
    /// The greatest time that went out (pictures may be sent before others that are shown earlier), and when its frame arrived.
    last: Option<(i64, Instant)>,
}

impl ContinuousTime {
    /// Times of a stream whose RTP clock runs at `clock_rate` Hz; until the first restart they are the source's.
    pub fn new(clock_rate: u32) -> ContinuousTime {
        ContinuousTime { clock_rate, offset: Some(0), last: None }
    }

    /// The source begins anew: its next frame comes as much later than the last one as it arrives later.
    pub fn restart(&mut self) {
        self.offset = None;
    }

    /// The offset for a frame of the source. After a restart the first one sets it.
    pub fn offset(&mut self, rtp_time: i64, arrival: Instant) -> i64 {
        let (last, clock_rate) = (self.last, self.clock_rate);
        *self.offset.get_or_insert_with(|| {
            let (last, at) = last.unwrap_or((rtp_time, arrival));
            let passed = arrival.saturating_duration_since(at).as_secs_f64();
            let ticks = (passed * f64::from(clock_rate)) as i64;
            last.saturating_add(ticks + 1).saturating_sub(rtp_time)
        })
    }

    /// A frame went out with this time.
    pub fn sent(&mut self, rtp_time: i64, at: Instant) {
        if self.last.is_none_or(|(last, _)| rtp_time >= last) {
            self.last = Some((rtp_time, at));
        }
    }

    /// The greatest time that went out, and when.
    pub fn last(&self) -> Option<(i64, Instant)> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_go_on_by_what_has_passed_when_the_source_begins_anew() {
        let start = Instant::now();
        let mut time = ContinuousTime::new(48_000);
        assert_eq!(time.offset(960_000, start), 0);
        time.sent(960_000, start);
        time.restart();
        let later = start + Duration::from_secs(1);
        assert_eq!(5 + time.offset(5, later), 960_000 + 48_001);
        assert_eq!(965 + time.offset(965, later), 960_000 + 48_961);
    }

    #[test]
    fn a_restart_before_the_first_frame_changes_nothing_but_one_tick() {
        let mut time = ContinuousTime::new(90_000);
        time.restart();
        assert_eq!(time.offset(7, Instant::now()), 1);
    }
}
