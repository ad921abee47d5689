//! What receiver reports said last (RFC 3550 6.4.2), so that it can be said again before a key-frame request. Pure.

use std::collections::HashMap;

/// A report block without what makes it news: said again, it tells of no loss since, and no round trip is measured by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RepeatedBlock {
    /// The stream that is reported on.
    pub ssrc: u32,
    /// Packets lost in all.
    pub total_lost: u32,
    /// The highest sequence number, extended by its cycles.
    pub last_sequence_number: u32,
    /// Interarrival jitter in RTP ticks.
    pub jitter: u32,
}

/// The last report of one inbound stream.
#[derive(Debug, Clone, Copy)]
struct LastReport {
    /// Our SSRC in it.
    own_ssrc: u32,
    block: RepeatedBlock,
    /// A report was sent; until then only the newest packet is known.
    reported: bool,
}

/// The last reports of all inbound streams of a connection.
#[derive(Debug, Default)]
pub(crate) struct LastReports {
    streams: HashMap<u32, LastReport>,
}

impl LastReports {
    /// A stream begins; `own_ssrc` is our SSRC in reports on it until one is sent. Does nothing for a known stream.
    pub fn add(&mut self, ssrc: u32, own_ssrc: u32) {
        let block = RepeatedBlock { ssrc, ..RepeatedBlock::default() };
        self.streams.entry(ssrc).or_insert(LastReport { own_ssrc, block, reported: false });
    }

    /// A stream ends.
    pub fn remove(&mut self, ssrc: u32) {
        self.streams.remove(&ssrc);
    }

    /// A packet of a stream arrived.
    pub fn on_packet(&mut self, ssrc: u32, sequence_number: u16) {
        if let Some(last) = self.streams.get_mut(&ssrc)
            && !last.reported
        {
            last.block.last_sequence_number = sequence_number.into();
        }
    }

    /// A report is sent.
    pub fn on_report(&mut self, own_ssrc: u32, block: RepeatedBlock) {
        if let Some(last) = self.streams.get_mut(&block.ssrc) {
            *last = LastReport { own_ssrc, block, reported: true };
        }
    }

    /// Our SSRC and the block to repeat for a stream; none for an unknown one.
    pub fn repeat(&self, ssrc: u32) -> Option<(u32, RepeatedBlock)> {
        self.streams.get(&ssrc).map(|last| (last.own_ssrc, last.block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_packet_is_repeated_until_there_is_a_report() {
        let mut reports = LastReports::default();
        reports.on_packet(7, 1);
        assert_eq!(reports.repeat(7), None);
        reports.add(7, 99);
        reports.on_packet(7, 500);
        let newest = RepeatedBlock { ssrc: 7, last_sequence_number: 500, ..Default::default() };
        assert_eq!(reports.repeat(7), Some((99, newest)));
        let block = RepeatedBlock { ssrc: 7, last_sequence_number: 501, total_lost: 3, jitter: 4 };
        reports.on_report(5, block);
        reports.on_packet(7, 502);
        reports.add(7, 98);
        assert_eq!(reports.repeat(7), Some((5, block)), "a stream that is described again is the same");
        reports.remove(7);
        assert_eq!(reports.repeat(7), None);
    }
}
