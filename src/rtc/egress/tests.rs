//! What goes out is what the other end can open, once, and what it is told of it.

use crate::room::media::RtpPacket;
use crate::rtc::egress::datagrams::Datagrams;
use crate::rtc::egress::format::SendFormat;
use crate::rtc::egress::streams::{Egress, Report};
use crate::rtc::srtp::index::nearest;
use crate::rtc::srtp::open::Opener;
use crate::rtc::srtp::seal::SealingKeys;
use crate::rtc::srtp::{MasterKey, Profile};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A packet of so many bytes.
pub(crate) fn packet(sequence: u16, bytes: usize) -> RtpPacket {
    RtpPacket {
        ssrc: 0,
        payload_type: 0,
        format: Default::default(),
        sequence,
        timestamp: 3000,
        marker: false,
        audio_level: None,
        arrival: Instant::now(),
        payload: vec![sequence as u8; bytes].into(),
    }
}

/// The other end of [`egress`]: SSRC, payload type, sequence number and payload of datagrams, in the order in which they came.
#[derive(Default)]
struct Receiver(HashMap<u32, u64>);

impl Receiver {
    fn read(&mut self, sent: &mut Sent) -> Vec<(u32, u8, u16, Vec<u8>)> {
        std::mem::take(&mut sent.all).into_iter().map(|datagram| self.open(datagram)).collect()
    }
    fn open(&mut self, mut datagram: Vec<u8>) -> (u32, u8, u16, Vec<u8>) {
        let extension = if datagram[0] & 0x10 != 0 { 4 + 4 * usize::from(datagram[15]) } else { 0 };
        let ssrc = u32::from_be_bytes(datagram[8..12].try_into().unwrap());
        let sequence = u16::from_be_bytes([datagram[2], datagram[3]]);
        let index = nearest(self.0.get(&ssrc).copied(), sequence).unwrap();
        assert!(self.0.insert(ssrc, index).is_none_or(|before| before < index));
        let header = 12 + extension;
        let end = Opener::new(&master(), PROFILE).unwrap().open_rtp(&mut datagram, header, ssrc, index).unwrap();
        (ssrc, datagram[1] & 0x7f, sequence, datagram[header..end].to_vec())
    }
}

const PROFILE: Profile = Profile::Gcm128;

fn master() -> MasterKey {
    MasterKey::new(&[7; 16], &[8; 12]).unwrap()
}

#[derive(Default)]
struct Sent {
    bytes: Vec<u8>,
    all: Vec<Vec<u8>>,
}

impl Datagrams for Sent {
    fn begin(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
    fn end(&mut self) {
        self.all.push(std::mem::take(&mut self.bytes));
    }
    fn cancel(&mut self) {
        self.bytes.clear();
    }
}

/// A picture with retransmissions.
fn egress() -> Egress {
    let mut egress = Egress::new(SealingKeys::new(master(), PROFILE).unwrap());
    let mid = Some((4, Bytes::from_static(b"1")));
    let format = SendFormat { payload_type: 96, repair_type: Some(97), number: Some(3), mid, ..Default::default() };
    assert!(egress.set_stream(1, Some(2), 90_000, format));
    egress
}

#[test]
fn a_frame_goes_out_and_what_is_missing_goes_again() {
    let (mut egress, mut sent, mut receiver, now) = (egress(), Sent::default(), Receiver::default(), Instant::now());
    let frame = Arc::new(vec![packet(65_535, 5), packet(0, 5), packet(1, 3)]);
    assert_eq!(egress.write(1, 1, &frame, now, &mut sent), 0);
    assert_eq!(
        receiver.read(&mut sent),
        [(1, 96, 65_535, vec![255; 5]), (1, 96, 0, vec![0; 5]), (1, 96, 1, vec![1; 3])]
    );
    egress.repeat(1, [0, 9, 0, 1], now, &mut sent);
    assert_eq!(
        receiver.read(&mut sent),
        [(2, 97, 0, vec![0, 0, 0, 0, 0, 0, 0]), (2, 97, 1, vec![0, 1, 1, 1, 1])],
        "one was never sent, and one was asked for twice"
    );
    egress.repeat(7, [0], now, &mut sent);
    egress.end(1);
    egress.repeat(1, [0], now + Duration::from_secs(1), &mut sent);
    assert!(sent.all.is_empty());
}

#[test]
fn a_number_is_not_sent_again_whatever_is_asked_for() {
    let (mut egress, mut sent, now) = (egress(), Sent::default(), Instant::now());
    let frame = Arc::new(vec![packet(5, 5), packet(6, 5)]);
    assert_eq!(egress.write(1, 1, &frame, now, &mut sent), 0);
    assert!(egress.set_stream(1, Some(2), 90_000, SendFormat::default()), "described again");
    assert_eq!(egress.write(1, 1, &frame, now, &mut sent), 2);
    assert_eq!(egress.write(7, 1, &frame, now, &mut sent), 2, "there is no such stream");
    assert!(!egress.set_stream(2, None, 90_000, SendFormat::default()), "it is the other's retransmissions");
    assert_eq!(sent.all.len(), 2);
}

#[test]
fn another_track_in_the_same_place_goes_on_where_the_first_has_ended() {
    let (mut egress, mut sent, mut receiver, now) = (egress(), Sent::default(), Receiver::default(), Instant::now());
    let frame = Arc::new(vec![packet(5, 5), packet(6, 5)]);
    for track in 1..=3 {
        assert_eq!(egress.write(1, track, &frame, now, &mut sent), 0);
        egress.end(1);
    }
    let late = Arc::new(vec![packet(7, 5)]);
    assert_eq!(egress.write(1, 2, &late, now, &mut sent), 1, "it has not heard yet that it has ended");
    assert_eq!(egress.write(1, 3, &late, now, &mut sent), 0);
    egress.repeat(1, [11], now, &mut sent);
    let numbers: Vec<(u32, u16)> =
        receiver.read(&mut sent).iter().map(|(ssrc, _, number, _)| (*ssrc, *number)).collect();
    assert_eq!(numbers, [(1, 5), (1, 6), (1, 7), (1, 8), (1, 9), (1, 10), (1, 11), (2, 0)]);
}

#[test]
fn transport_wide_numbers_count_over_streams_and_repetitions() {
    let (mut egress, mut sent, now) = (egress(), Sent::default(), Instant::now());
    egress.set_stream(5, None, 48_000, SendFormat { payload_type: 111, number: Some(3), ..Default::default() });
    egress.write(1, 1, &Arc::new(vec![packet(5, 100)]), now, &mut sent);
    egress.write(5, 1, &Arc::new(vec![packet(9, 10)]), now, &mut sent);
    egress.repeat(1, [5], now, &mut sent);
    egress.repeat(5, [9], now, &mut sent);
    let numbers: Vec<u16> = sent.all.iter().map(|datagram| u16::from_be_bytes([datagram[17], datagram[18]])).collect();
    assert_eq!(numbers, [0, 1, 2], "sound is not repeated");
    let told = (0..3).map(|number| (number, Some(Some(Duration::from_millis(1)))));
    let sizes: Vec<usize> = egress.numbers().feedback(told).iter().map(|report| report.bytes).collect();
    assert_eq!(sizes, [124, 30, 126], "with their headers");
}

#[test]
fn a_report_counts_and_says_when_media_was_captured() {
    let (mut egress, mut sent) = (egress(), Sent::default());
    assert!(egress.reports(Instant::now()).is_empty(), "nothing was sent");
    let frame = Arc::new(vec![packet(5, 100), packet(6, 20)]);
    let captured = frame[0].arrival;
    egress.write(1, 1, &frame, captured + Duration::from_millis(50), &mut sent);
    let reports = egress.reports(captured + Duration::from_millis(100));
    assert_eq!(reports, [Report { ssrc: 1, timestamp: 12_000, packets: 2, octets: 120 }]);
}
