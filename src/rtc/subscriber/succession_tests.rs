//! Sources of one track that follow each other without a word.

use super::*;
use crate::room::media::{Codec, Frame};
use bytes::Bytes;

/// Notes what begins, ends and comes, by SSRC.
#[derive(Default)]
struct Log {
    begun: Vec<u32>,
    ended: Vec<u32>,
    frames: Vec<u32>,
    /// Streams that are open at the same time, at most.
    open: usize,
    most: usize,
}

impl MediaHandler for Log {
    type State = ();

    fn on_begin(&mut self, info: &StreamInfo, _: Instant) -> Option<()> {
        self.begun.push(info.track.ssrc);
        self.open += 1;
        self.most = self.most.max(self.open);
        Some(())
    }
    fn on_frame(&mut self, stream: &mut Stream<()>, _: Frame, _: &SenderClock) {
        self.frames.push(stream.ssrc());
    }
    fn on_end(&mut self, stream: Stream<()>, _: Instant, _: &SenderClock) {
        self.ended.push(stream.ssrc());
        self.open -= 1;
    }
}

struct Sender {
    start: Instant,
    subscriber: Subscriber<()>,
    log: Log,
}

impl Sender {
    fn new(max_streams: usize) -> Sender {
        let start = Instant::now();
        let config = SubscriberConfig {
            label_wait: Duration::ZERO,
            max_streams,
            ..SubscriberConfig::live(start, Duration::ZERO)
        };
        Sender { start, subscriber: Subscriber::new(config, Vec::new()), log: Log::default() }
    }

    /// Sound of these sources, every 20 ms.
    fn sends(&mut self, packets: std::ops::Range<u64>, ssrcs: &[u32]) {
        for n in packets {
            let now = self.start + Duration::from_millis(n * 20);
            for ssrc in ssrcs {
                let track = RemoteTrack {
                    ssrc: *ssrc,
                    codec: Codec::Opus,
                    stream: "s".into(),
                    track: "t".into(),
                    channels: 2,
                    rid: None,
                };
                if !self.subscriber.announced.contains_key(ssrc) {
                    self.subscriber.announce(track, now, &mut self.log);
                }
                let packet = RtpPacket {
                    ssrc: *ssrc,
                    payload_type: 111,
                    format: Codec::Opus.into(),
                    sequence: n as u16,
                    timestamp: n as u32 * 960,
                    marker: false,
                    audio_level: None,
                    arrival: now,
                    payload: Bytes::from_static(&[0xf8, 0xff, 0xfe]),
                };
                self.subscriber.receive(Inbound::Rtp(packet), &mut self.log);
            }
            self.subscriber.tick(now + Duration::from_millis(1), &mut self.log);
        }
    }
}

#[test]
fn one_source_follows_another_and_nothing_is_lost() {
    // More of them than there may be at a time.
    let mut sender = Sender::new(3);
    for ssrc in 1..=10 {
        sender.sends(u64::from(ssrc) * 50..(u64::from(ssrc) + 1) * 50, &[ssrc]);
    }
    let Sender { mut log, subscriber, start, .. } = sender;
    subscriber.end(start + Duration::from_secs(20), &mut log);
    assert_eq!(log.begun, (1..=10).collect::<Vec<u32>>());
    assert_eq!((log.ended, log.most), ((1..=10).collect::<Vec<u32>>(), 1));
    assert_eq!(log.frames.len(), 500);
    assert!(log.frames.is_sorted());
}

#[test]
fn sources_that_go_on_side_by_side_are_two_streams() {
    let mut sender = Sender::new(8);
    sender.sends(0..50, &[1]);
    sender.sends(50..200, &[1, 2]);
    assert_eq!((&sender.log.begun[..], &sender.log.ended[..]), (&[1, 2][..], &[][..]));
    assert_eq!(sender.log.frames.iter().filter(|ssrc| **ssrc == 2).count(), 150);
}

#[test]
fn a_source_that_comes_back_is_taken_again() {
    let mut sender = Sender::new(8);
    sender.sends(0..50, &[1]);
    sender.sends(50..100, &[2]);
    sender.sends(100..150, &[1]);
    assert_eq!((&sender.log.begun[..], &sender.log.ended[..]), (&[1, 2, 1][..], &[1, 2][..]));
    assert_eq!(sender.log.frames.len(), 150);
}
