//! Encrypted frames: what is in them is known only behind the transform.

use super::*;
use crate::room::media::{Codec, Frame, RtpPacket};
use bytes::Bytes;

/// Flips every bit, as a stand-in for decryption.
struct Flip;

impl FrameTransform for Flip {
    fn transform(&mut self, _: &StreamInfo, frame: &mut Frame) -> Result<(), String> {
        let flipped: Vec<u8> = frame.parts.concat().into_iter().map(|byte| !byte).collect();
        frame.parts = vec![flipped.into()];
        Ok(())
    }
}

#[derive(Default)]
struct Consumer {
    frames: Vec<Frame>,
    key_frame_requests: usize,
    account: Option<PacketAccount>,
}

impl MediaHandler for Consumer {
    type State = ();

    fn on_begin(&mut self, _: &StreamInfo, _: Instant) -> Option<()> {
        Some(())
    }
    fn on_frame(&mut self, _: &mut Stream<()>, frame: Frame, _: &SenderClock) {
        self.frames.push(frame);
    }
    fn request_key_frame(&mut self, _: &mut Stream<()>, _: u32, _: Instant) {
        self.key_frame_requests += 1;
    }
    fn on_end(&mut self, stream: Stream<()>, _: Instant, _: &SenderClock) {
        self.account = Some(stream.account());
    }
}

#[test]
fn a_transform_that_decrypts_needs_to_know_nothing_of_the_codec() {
    const KEY: &[u8] = &[0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01, 0, 0];
    const DELTA: &[u8] = &[0x11, 0, 0, 0, 0];
    const NOISE: &[u8] = &[0x10, 1, 2, 3];
    let start = Instant::now();
    let config = SubscriberConfig { label_wait: Duration::ZERO, ..SubscriberConfig::recording(start) };
    let mut subscriber = Subscriber::new(config, Vec::new());
    let mut consumer = Consumer::default();
    let track =
        RemoteTrack { ssrc: 1, codec: Codec::Vp8, stream: "s".into(), track: "t".into(), channels: 0, rid: None };
    subscriber.announce(track, start, &mut consumer);
    let packet = |sequence: u16, plain: &[u8]| {
        // The payload descriptor is not encrypted.
        let payload: Vec<u8> = [0x10].into_iter().chain(plain.iter().map(|byte| !byte)).collect();
        Inbound::Rtp(RtpPacket {
            ssrc: 1,
            payload_type: 96,
            format: Codec::Vp8.into(),
            sequence,
            timestamp: u32::from(sequence) * 3000,
            marker: true,
            audio_level: None,
            arrival: start + Duration::from_millis(u64::from(sequence) * 33),
            payload: Bytes::from(payload),
        })
    };
    subscriber.receive(packet(0, DELTA), &mut consumer);
    subscriber.begin(start, &mut consumer);
    subscriber.stream(1).expect("a stream").set_transform(Box::new(Flip));
    // 4 is lost: nothing can be decoded before the next key frame.
    for (sequence, plain) in [(1, DELTA), (2, KEY), (3, DELTA), (5, DELTA), (6, NOISE), (7, KEY), (8, DELTA)] {
        let packet = packet(sequence, plain);
        let at = packet.arrival();
        subscriber.receive(packet, &mut consumer);
        subscriber.tick(at, &mut consumer);
    }
    subscriber.tick(start + Duration::from_secs(1), &mut consumer);
    subscriber.end(start + Duration::from_secs(2), &mut consumer);
    let told: Vec<_> = consumer.frames.iter().map(|frame| (frame.rtp_time / 3000, frame.key, frame.size)).collect();
    assert_eq!(told, [(2, true, Some((640, 480))), (3, false, None), (7, true, Some((640, 480))), (8, false, None)]);
    assert!(consumer.key_frame_requests > 0);
    let counts = consumer.account.expect("an account").counts;
    let dropped = [DropReason::NoKeyFrame, DropReason::Undecodable, DropReason::Transform];
    assert_eq!((counts.in_frames, dropped.map(|reason| counts.dropped(reason)), counts.total()), (4, [1, 1, 1], 8));
}
