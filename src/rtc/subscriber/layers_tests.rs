//! Simulcast on a virtual clock: a camera at 25 pictures a second in three layers, each with an RTP clock that begins anywhere.

use super::*;
use crate::room::media::{Codec, Frame, RtpPacket};
use bytes::Bytes;
use std::net::{Ipv4Addr, SocketAddr};

/// SSRC, RID, side of the square picture in pixels, and RTP time of the first one.
const LAYERS: [(u32, &str, u8, u32); 3] =
    [(10, "q", 16, 900_000), (11, "h", 32, u32::MAX - 90_000), (12, "f", 64, 4_000)];
const PACKETS: u64 = 2;

#[derive(Default)]
struct Consumer {
    begun: Vec<u32>,
    /// RTP time in ms since the first frame, side of the picture where it is told, and arrival.
    frames: Vec<(i64, Option<u32>, Instant)>,
    packets: u64,
    asked: Vec<u32>,
    restarts: usize,
    account: Option<PacketAccount>,
    /// Session times of the first and the last frame, in ms.
    span: Option<(u64, u64)>,
}

impl MediaHandler for Consumer {
    type State = ();

    fn on_begin(&mut self, info: &StreamInfo, _: Instant) -> Option<()> {
        self.begun.push(info.track.ssrc);
        Some(())
    }
    fn on_frame(&mut self, stream: &mut Stream<()>, frame: Frame, sender: &SenderClock) {
        self.frames.push((frame.rtp_time, frame.size.map(|(width, _)| width), frame.arrival));
        self.packets += u64::from(frame.packets);
        let at = stream.mapping(sender).map_or(0, |mapping| mapping.to_session(frame.rtp_time).as_ms());
        self.span = Some((self.span.map_or(at, |(first, _)| first), at));
    }
    fn on_restart(&mut self, _: &mut Stream<()>, _: &SenderClock) {
        self.restarts += 1;
    }
    fn on_end(&mut self, stream: Stream<()>, _: Instant, _: &SenderClock) {
        assert_eq!(stream.account().held(), 0, "{:?}", stream.account());
        assert_eq!(stream.stats().lost, 0);
        self.account = Some(stream.account());
    }
    fn request_key_frame(&mut self, _: &mut Stream<()>, ssrc: u32, _: Instant) {
        self.asked.push(ssrc);
    }
}

struct Camera {
    start: Instant,
    subscriber: Subscriber<()>,
    consumer: Consumer,
    sequences: [u16; 3],
    announced: [bool; 3],
    reports: bool,
    /// Layers that get a key frame with their next picture.
    keys: [bool; 3],
    sent: u64,
}

impl Camera {
    fn new(reports: bool) -> Camera {
        let start = Instant::now();
        let config = SubscriberConfig { label_wait: Duration::ZERO, ..SubscriberConfig::recording(start) };
        Camera {
            start,
            subscriber: Subscriber::new(config, Vec::new()),
            consumer: Consumer::default(),
            sequences: [7, 65_530, 900],
            announced: [false; 3],
            reports,
            keys: [true; 3],
            sent: 0,
        }
    }

    /// Sends from picture to picture those layers that are on; the sender gives key frames to `answers` it is asked for.
    fn run(&mut self, pictures: std::ops::Range<u64>, on: [bool; 3], answers: bool) {
        for picture in pictures {
            let now = self.start + Duration::from_millis(picture * 40 + 20);
            for (index, (ssrc, rid, side, base)) in LAYERS.into_iter().enumerate() {
                if !on[index] {
                    continue;
                }
                let timestamp = base.wrapping_add(picture as u32 * 3600);
                if self.reports && picture % 25 == 5 {
                    let (ntp, from) =
                        ((1 << 32) + ((picture * 40) << 32) / 1000, SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
                    let report = Inbound::SenderReport { ssrc, ntp, rtp: timestamp, arrival: now, from };
                    self.subscriber.receive(report, &mut self.consumer);
                }
                let key = std::mem::take(&mut self.keys[index]);
                for part in 0..PACKETS {
                    let payload: &[u8] = match (part, key) {
                        (0, true) => &[0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, side, 0, side, 0, 0],
                        (0, false) => &[0x10, 0x11, 0, 0, 0, 0],
                        _ => &[0, 1, 2, 3],
                    };
                    let packet = RtpPacket {
                        ssrc,
                        payload_type: 96,
                        format: Codec::Vp8.into(),
                        sequence: self.sequences[index],
                        timestamp,
                        marker: part + 1 == PACKETS,
                        audio_level: None,
                        arrival: now + Duration::from_millis(index as u64),
                        payload: Bytes::copy_from_slice(payload),
                    };
                    self.sequences[index] = self.sequences[index].wrapping_add(1);
                    self.sent += 1;
                    self.subscriber.receive(Inbound::Rtp(packet), &mut self.consumer);
                }
                if !std::mem::replace(&mut self.announced[index], true) {
                    let track = RemoteTrack {
                        ssrc,
                        codec: Codec::Vp8,
                        stream: "s".into(),
                        track: "t".into(),
                        channels: 0,
                        rid: Some(rid.into()),
                    };
                    self.subscriber.announce(track, now, &mut self.consumer);
                }
            }
            let asked = self.consumer.asked.len();
            self.subscriber.tick(now + Duration::from_millis(10), &mut self.consumer);
            for ssrc in &self.consumer.asked[asked..] {
                self.keys[(ssrc - 10) as usize] |= answers;
            }
        }
    }

    fn end(self, pictures: u64) -> (Consumer, u64) {
        let Camera { start, subscriber, mut consumer, sent, .. } = self;
        subscriber.end(start + Duration::from_millis(pictures * 40 + 100), &mut consumer);
        (consumer, sent)
    }
}

/// What holds of every camera: one stream; times that go on in steps of a picture; every packet accounted for.
fn holds(consumer: &Consumer, sent: u64, longest_ms: i64) {
    assert_eq!((consumer.begun.len(), consumer.restarts), (1, 0));
    let times: Vec<i64> = consumer.frames.iter().map(|(rtp, ..)| rtp / 90).collect();
    let steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.iter().all(|step| (1..=longest_ms).contains(step)), "{steps:?}");
    let account = consumer.account.as_ref().expect("it ended");
    assert_eq!((account.packets, account.counts.in_frames), (sent, consumer.packets));
    assert_eq!(account.counts.lost_media(), 0, "{account:?}");
    assert_eq!(account.counts.dropped(DropReason::OtherLayer), sent - consumer.packets);
}

fn sides(consumer: &Consumer) -> Vec<u32> {
    let mut sides: Vec<u32> = consumer.frames.iter().filter_map(|(_, side, _)| *side).collect();
    sides.dedup();
    sides
}

#[test]
fn of_three_layers_the_best_is_given_out_as_one_stream() {
    for reports in [true, false] {
        let mut camera = Camera::new(reports);
        camera.run(0..100, [true; 3], false);
        let (consumer, sent) = camera.end(100);
        // The others' first key frames came before it.
        assert_eq!(sides(&consumer), [16, 32, 64]);
        holds(&consumer, sent, 41);
        assert_eq!(consumer.frames.len(), 102);
    }
}

#[test]
fn a_better_layer_that_begins_later_goes_on_where_the_other_ended() {
    for reports in [true, false] {
        let mut camera = Camera::new(reports);
        camera.run(0..60, [true, false, false], false);
        camera.run(60..150, [true, false, true], false);
        let (consumer, sent) = camera.end(150);
        assert_eq!(sides(&consumer), [16, 64]);
        holds(&consumer, sent, 41);
        let (first, last) = consumer.span.expect("frames");
        assert!((last - first).abs_diff(149 * 40) <= 2, "{first} to {last}");
    }
}

#[test]
fn when_the_best_layer_stops_the_next_one_is_asked_for_a_key_frame_and_goes_on() {
    for reports in [true, false] {
        let mut camera = Camera::new(reports);
        camera.run(0..60, [true; 3], true);
        assert_eq!(camera.consumer.asked, Vec::<u32>::new());
        camera.run(60..120, [true, true, false], true);
        // Both that are left are asked; the better one stays.
        camera.consumer.asked.sort_unstable();
        assert_eq!(camera.consumer.asked, [10, 11]);
        camera.keys[2] = true;
        camera.run(120..200, [true; 3], true);
        let (consumer, sent) = camera.end(200);
        let sides = sides(&consumer);
        assert_eq!(sides[sides.len() - 2..], [32, 64], "{sides:?}");
        holds(&consumer, sent, 40 * 20);
        let (first, last) = consumer.span.expect("frames");
        assert!((last - first).abs_diff(199 * 40) <= 2, "{first} to {last}");
    }
}

#[test]
fn a_better_layer_without_a_key_frame_is_asked_for_one() {
    let mut camera = Camera::new(true);
    camera.keys[2] = false;
    camera.run(0..100, [false, true, true], true);
    assert_eq!(camera.consumer.asked[0], 12);
    let (consumer, sent) = camera.end(100);
    assert_eq!(sides(&consumer), [32, 64]);
    holds(&consumer, sent, 41);
}

#[test]
fn a_layer_too_many_or_in_another_codec_is_no_track_of_its_own() {
    let mut camera = Camera::new(true);
    camera.run(0..5, [true, false, false], true);
    let track = |ssrc, codec, rid: String| {
        let (stream, track, channels) = ("s".into(), "t".into(), 0);
        RemoteTrack { ssrc, codec, stream, track, channels, rid: Some(rid) }
    };
    let now = camera.start + Duration::from_millis(200);
    camera.subscriber.announce(track(50, Codec::Vp9, "x".into()), now, &mut camera.consumer);
    for ssrc in 60..80 {
        camera.subscriber.announce(track(ssrc, Codec::Vp8, format!("r{ssrc}")), now, &mut camera.consumer);
    }
    for ssrc in [50, 79] {
        let packet = RtpPacket {
            ssrc,
            payload_type: 98,
            format: Codec::Vp9.into(),
            sequence: 1,
            timestamp: 0,
            marker: true,
            audio_level: None,
            arrival: now,
            payload: Bytes::from_static(&[0x10, 0x11, 0]),
        };
        camera.subscriber.receive(Inbound::Rtp(packet), &mut camera.consumer);
    }
    camera.subscriber.tick(now + Duration::from_secs(5), &mut camera.consumer);
    let others: Vec<PacketAccount> = camera.subscriber.other_packets().cloned().collect();
    // The one too many; that in another codec is a layer like others, and not the one that is given out.
    assert!(
        matches!(&others[..], [one] if one.ssrc == 79 && one.counts.dropped(DropReason::OtherLayer) == 1),
        "{others:?}"
    );
    assert_eq!(camera.consumer.begun, [10]);
    let (consumer, sent) = camera.end(130);
    let account = consumer.account.expect("it ended");
    assert_eq!((account.packets, account.counts.lost_media()), (sent + 1, 0), "{account:?}");
}
