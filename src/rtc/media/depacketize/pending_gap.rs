//! What is missing since the last frame that was given out.

use crate::rtc::media::depacketize::received::Received;

/// Losses that have not been told.
#[derive(Default)]
pub(crate) struct PendingGap {
    /// The greatest time that was given out.
    pub last_out: Option<i64>,
    lost_packets: u32,
    dropped_frames: u32,
}

impl PendingGap {
    pub fn lose(&mut self, packets: u32) {
        self.lost_packets = self.lost_packets.saturating_add(packets);
    }

    pub fn drop_frame(&mut self) {
        self.dropped_frames = self.dropped_frames.saturating_add(1);
    }

    /// What was lost turned out to be padding, if no frame was dropped.
    pub fn was_harmless(&mut self) {
        if self.dropped_frames == 0 {
            self.lost_packets = 0;
        }
    }

    /// Tells of what is missing between the last frame given out and the one of time `to`.
    pub fn report(&mut self, to: Option<i64>, out: &mut Vec<Received>) {
        let lost_packets = std::mem::take(&mut self.lost_packets);
        let dropped_frames = std::mem::take(&mut self.dropped_frames);
        if let (Some(from), Some(to)) = (self.last_out, to)
            && (lost_packets, dropped_frames) != (0, 0)
        {
            out.push(Received::Gap { from, to: to.max(from), lost_packets, dropped_frames });
        }
    }
}
