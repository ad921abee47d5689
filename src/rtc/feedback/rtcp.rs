//! RTCP packets of a receiver, written as bytes: receiver reports (RFC 3550 6.4.2), requests for packets (RFC 4585 6.2.1) and for key frames
//! (6.3.1); and reading of what a sender says of itself. Pure.

use crate::rtc::arrivals::ReportBlock;

/// Blocks of one report.
pub(crate) const MAX_BLOCKS: usize = 31;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;

/// Begins a packet; `finish` writes its length.
pub(super) fn begin(out: &mut Vec<u8>, count: u8, kind: u8) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0x80 | count, kind, 0, 0]);
    at
}

/// Fills up a packet that begins at `at` to whole words, and writes its length.
pub(super) fn finish(out: &mut Vec<u8>, at: usize) {
    while !(out.len() - at).is_multiple_of(4) {
        out.push(0);
    }
    let words = ((out.len() - at) / 4 - 1) as u16;
    if let Some(length) = out.get_mut(at + 2..at + 4) {
        length.copy_from_slice(&words.to_be_bytes());
    }
}

/// Begins transport feedback of this format.
pub(super) fn begin_transport_feedback(out: &mut Vec<u8>, format: u8, own: u32, media: u32) -> usize {
    let at = begin(out, format, TRANSPORT_FEEDBACK);
    out.extend_from_slice(&own.to_be_bytes());
    out.extend_from_slice(&media.to_be_bytes());
    at
}

/// Appends a receiver report with at most [`MAX_BLOCKS`] blocks, each with the SSRC it is about.
pub(crate) fn receiver_report(out: &mut Vec<u8>, own: u32, blocks: &[(u32, ReportBlock)]) {
    let blocks = &blocks[..blocks.len().min(MAX_BLOCKS)];
    let at = begin(out, blocks.len() as u8, RECEIVER_REPORT);
    out.extend_from_slice(&own.to_be_bytes());
    for (ssrc, block) in blocks {
        out.extend_from_slice(&ssrc.to_be_bytes());
        out.push(block.fraction_lost);
        out.extend_from_slice(&block.total_lost.to_be_bytes()[1..]);
        for word in [block.highest, block.jitter, block.last_report, block.since_report] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }
    finish(out, at);
}

/// Appends a request for packets, by their sequence numbers in ascending order.
pub(crate) fn nack(out: &mut Vec<u8>, own: u32, media: u32, sequences: &[u16]) {
    let mut pairs: Vec<(u16, u16)> = Vec::new();
    for sequence in sequences {
        match pairs.last_mut() {
            Some((first, mask)) if (1..=16).contains(&sequence.wrapping_sub(*first)) => {
                *mask |= 1 << (sequence.wrapping_sub(*first) - 1);
            }
            _ => pairs.push((*sequence, 0)),
        }
    }
    // As many as fit into a datagram with a report before them.
    for pairs in pairs.chunks(200) {
        let at = begin_transport_feedback(out, 1, own, media);
        for (first, mask) in pairs {
            out.extend_from_slice(&first.to_be_bytes());
            out.extend_from_slice(&mask.to_be_bytes());
        }
        finish(out, at);
    }
}

/// Appends a request for a key frame (PLI).
pub(crate) fn picture_loss(out: &mut Vec<u8>, own: u32, media: u32) {
    let at = begin(out, 1, PAYLOAD_FEEDBACK);
    out.extend_from_slice(&own.to_be_bytes());
    out.extend_from_slice(&media.to_be_bytes());
    finish(out, at);
}

/// What a sender says of one of its streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SenderReport {
    pub ssrc: u32,
    /// Its clock, in 32.32 since 1900.
    pub ntp: u64,
    /// The stream's clock at that time.
    pub rtp: u32,
}

/// The sender reports of a compound packet, if it says nothing else: no reports on what we send, no requests, no goodbye.
pub(crate) fn only_sender_reports(mut compound: &[u8]) -> Option<Vec<SenderReport>> {
    let mut reports = Vec::new();
    while !compound.is_empty() {
        let (head, _) = compound.split_first_chunk::<4>()?;
        let len = 4 * (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1);
        let (packet, rest) = compound.split_at_checked(len)?;
        let word = |at: usize| packet.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        match (head[1], head[0] & 0x1f) {
            (SENDER_REPORT, 0) => {
                let ntp = u64::from(word(8)?) << 32 | u64::from(word(12)?);
                reports.push(SenderReport { ssrc: word(4)?, ntp, rtp: word(16)? });
            }
            (RECEIVER_REPORT, 0) | (SOURCE_DESCRIPTION, _) => {}
            _ => return None,
        }
        compound = rest;
    }
    Some(reports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_written_as_pairs() {
        let mut out = Vec::new();
        nack(&mut out, 1, 2, &[65_530, 65_535, 10, 11, 300]);
        let expected = [
            0x81, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, // two more: 65,530 with 65,535 and 10; 11; 300
            0xff, 0xfa, 0x80, 0x10, 0, 11, 0, 0, 1, 0x2c, 0, 0,
        ];
        assert_eq!(out, expected);
        out.clear();
        picture_loss(&mut out, 1, 2);
        assert_eq!(out, [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    }

    #[test]
    fn a_report_has_a_block_for_each_stream_up_to_its_limit() {
        let block = ReportBlock {
            fraction_lost: 5,
            total_lost: -2,
            highest: 0x0001_0002,
            jitter: 3,
            last_report: 4,
            since_report: 5,
        };
        let mut out = Vec::new();
        receiver_report(&mut out, 9, &[(7, block)]);
        let expected = [
            0x81, 201, 0, 7, 0, 0, 0, 9, 0, 0, 0, 7, 5, 0xff, 0xff, 0xfe, 0, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0,
            5,
        ];
        assert_eq!(out, expected);
        out.clear();
        receiver_report(&mut out, 9, &[(7, block); 40]);
        assert_eq!((out[0], out.len()), (0x80 | 31, 8 + 31 * 24));
    }

    #[test]
    fn reports_of_senders_are_read_and_whatever_says_more_is_not() {
        let mut compound = vec![0x80, 200, 0, 6, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        compound.extend([0; 8]);
        compound.extend([0x81, 202, 0, 2, 0, 0, 0, 7, 1, 0, 0, 0]);
        let report = SenderReport { ssrc: 7, ntp: 1 << 32 | 2, rtp: 3 };
        assert_eq!(only_sender_reports(&compound), Some(vec![report]));
        for more in [
            vec![0x81, 203, 0, 1, 0, 0, 0, 7],
            vec![0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2],
            vec![0x81, 200, 0, 1, 0, 0, 0, 7],
            vec![0x80, 200, 0, 1, 0, 0, 0, 7],
            vec![0x80, 201, 0, 9, 0, 0, 0, 7],
            vec![0x80, 201],
        ] {
            assert_eq!(only_sender_reports(&[&compound[..], &more].concat()), None, "{more:?}");
        }
    }
}
