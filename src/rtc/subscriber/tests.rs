//! The receive path on a virtual clock: one behaviour a test. Packets are Opus (each one a frame) or VP8 (key or not).

use super::*;
use crate::room::media::{Codec, Frame, MediaKind, RtpPacket};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(super) const AUDIO: u32 = 7;
pub(super) const VIDEO: u32 = 8;

/// What a consumer was told, in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    Begin(u32, Source),
    Frame(u32, i64),
    Gap(u32),
    Waited(u32, u64),
    Restart(u32),
    Report(u32),
    End(u32),
    KeyFrame(u32),
    Problem(Problem),
}

pub(super) struct Consumer {
    told: Vec<Told>,
    refuses: Option<u32>,
}

impl MediaHandler for Consumer {
    type State = ();

    fn on_begin(&mut self, info: &StreamInfo, _: Instant) -> Option<()> {
        if self.refuses == Some(info.track.ssrc) {
            return None;
        }
        self.told.push(Told::Begin(info.track.ssrc, info.source));
        Some(())
    }
    fn on_frame(&mut self, stream: &mut Stream<()>, frame: Frame, _: &SenderClock) {
        self.told.push(Told::Frame(stream.ssrc(), frame.rtp_time));
    }
    fn on_key_frame_wait_over(&mut self, stream: &mut Stream<()>, waited: Duration, _: Instant) {
        self.told.push(Told::Waited(stream.ssrc(), waited.as_millis() as u64));
    }
    fn on_gap(&mut self, stream: &mut Stream<()>, _: Gap, _: &SenderClock) {
        self.told.push(Told::Gap(stream.ssrc()));
    }
    fn on_restart(&mut self, stream: &mut Stream<()>, _: &SenderClock) {
        self.told.push(Told::Restart(stream.ssrc()));
    }
    fn on_report(&mut self, stream: &mut Stream<()>, _: &Report, _: &SenderClock) {
        self.told.push(Told::Report(stream.ssrc()));
    }
    fn on_end(&mut self, stream: Stream<()>, _: Instant, _: &SenderClock) {
        self.told.push(Told::End(stream.ssrc()));
    }
    fn request_key_frame(&mut self, _: &mut Stream<()>, ssrc: u32, _: Instant) {
        self.told.push(Told::KeyFrame(ssrc));
    }
    fn on_problem(&mut self, problem: Problem) {
        self.told.push(Told::Problem(problem));
    }
}

/// A subscriber on a clock of its own.
pub(super) struct Bench {
    start: Instant,
    subscriber: Option<Subscriber<()>>,
    consumer: Consumer,
}

impl Bench {
    pub(super) fn new(change: impl FnOnce(SubscriberConfig) -> SubscriberConfig) -> Bench {
        let start = Instant::now();
        let config = change(SubscriberConfig::recording(start));
        let consumer = Consumer { told: Vec::new(), refuses: None };
        Bench { start, subscriber: Some(Subscriber::new(config, Vec::new())), consumer }
    }

    pub(super) fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    pub(super) fn act(&mut self, act: impl FnOnce(&mut Subscriber<()>, &mut Consumer)) -> &mut Bench {
        act(self.subscriber.as_mut().expect("not ended"), &mut self.consumer);
        self
    }

    pub(super) fn announce(&mut self, ssrc: u32, codec: Codec, ms: u64) -> &mut Bench {
        let now = self.at(ms);
        let track = RemoteTrack { ssrc, codec, stream: format!("s{ssrc}"), track: "t".into(), channels: 2, rid: None };
        self.act(|subscriber, consumer| subscriber.announce(track, now, consumer))
    }

    pub(super) fn labels(&mut self, labels: &[(u32, Source)], ms: u64) -> &mut Bench {
        let now = self.at(ms);
        let label = |(ssrc, source): &(u32, Source)| TrackLabel {
            stream: format!("s{ssrc}"),
            kind: if *ssrc == VIDEO { MediaKind::Video } else { MediaKind::Audio },
            source: *source,
            muted: false,
        };
        let labels = labels.iter().map(label).collect();
        self.act(|subscriber, consumer| subscriber.set_labels(labels, now, consumer))
    }

    fn packet(&mut self, ssrc: u32, sequence: u16, timestamp: u32, ms: u64, payload: &'static [u8]) -> &mut Bench {
        let packet = RtpPacket {
            ssrc,
            payload_type: 96,
            format: (if ssrc == AUDIO { Codec::Opus } else { Codec::Vp8 }).into(),
            sequence,
            timestamp,
            marker: true,
            audio_level: None,
            arrival: self.at(ms),
            payload: payload.into(),
        };
        self.act(|subscriber, consumer| subscriber.receive(Inbound::Rtp(packet), consumer))
    }

    /// One packet of sound, 20 ms after the one before.
    pub(super) fn sound(&mut self, sequence: u16, ms: u64) -> &mut Bench {
        self.packet(AUDIO, sequence, u32::from(sequence) * 960, ms, &[0xf8, 0xff, 0xfe])
    }

    /// One picture in one packet (RFC 7741: start of partition 0; RFC 6386, 9.1: a key frame of 16x16, or not one).
    fn picture(&mut self, sequence: u16, key: bool, ms: u64) -> &mut Bench {
        const KEY: &[u8] = &[0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 16, 0, 16, 0, 0];
        const DELTA: &[u8] = &[0x10, 0x11, 0, 0, 0, 0];
        self.packet(VIDEO, sequence, u32::from(sequence) * 3000, ms, if key { KEY } else { DELTA })
    }

    fn report(&mut self, ssrc: u32, rtp: u32, ms: u64) -> &mut Bench {
        let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
        let report =
            Inbound::SenderReport { ssrc, ntp: (1 << 32) + (ms << 32) / 1000, rtp, arrival: self.at(ms), from };
        self.act(|subscriber, consumer| subscriber.receive(report, consumer))
    }

    pub(super) fn tick(&mut self, ms: u64) -> &mut Bench {
        let now = self.at(ms);
        self.act(|subscriber, consumer| subscriber.tick(now, consumer))
    }

    fn remove(&mut self, ssrc: u32, ms: u64) -> &mut Bench {
        let now = self.at(ms);
        self.act(|subscriber, consumer| subscriber.remove(&[ssrc], now, consumer))
    }

    fn end(&mut self, ms: u64) -> &mut Bench {
        let now = self.at(ms);
        self.subscriber.take().expect("not ended").end(now, &mut self.consumer);
        self
    }

    /// What was told since the last look.
    pub(super) fn told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.consumer.told)
    }

    fn frames(&mut self) -> Vec<i64> {
        let frame = |told| if let Told::Frame(_, time) = told { Some(time / 960) } else { None };
        self.told().into_iter().filter_map(frame).collect()
    }
}

#[test]
fn packets_before_the_announcement_are_not_lost() {
    let mut bench = Bench::new(|config| config);
    bench.sound(1, 0).sound(2, 20).labels(&[(AUDIO, Source::Mic)], 25);
    assert_eq!(bench.told(), []);
    bench.announce(AUDIO, Codec::Opus, 30).sound(3, 40);
    let frame = |n: i64| Told::Frame(AUDIO, n * 960);
    assert_eq!(bench.told(), [Told::Begin(AUDIO, Source::Mic), frame(1), frame(2), frame(3)]);
}

#[test]
fn a_stream_waits_for_its_label_and_no_longer_than_it_should() {
    let mut bench = Bench::new(|config| config);
    bench.announce(AUDIO, Codec::Opus, 0).sound(1, 0).tick(400);
    bench.labels(&[(AUDIO, Source::ScreenAudio)], 450);
    assert_eq!(bench.told()[0], Told::Begin(AUDIO, Source::ScreenAudio));

    let mut bench = Bench::new(|config| config);
    bench.announce(AUDIO, Codec::Opus, 0).sound(1, 0).tick(499);
    assert_eq!(bench.told(), []);
    bench.tick(500);
    assert_eq!(bench.told(), [Told::Begin(AUDIO, Source::Mic), Told::Frame(AUDIO, 960)]);
}

#[test]
fn a_labelled_stream_ends_when_its_label_goes_after_what_was_under_way() {
    let mut bench = Bench::new(|config| config);
    bench.labels(&[(AUDIO, Source::Mic)], 0).announce(AUDIO, Codec::Opus, 0).sound(1, 0).tick(10);
    bench.told();
    bench.labels(&[], 100).sound(2, 150).tick(299);
    assert_eq!(bench.told(), [Told::Frame(AUDIO, 1920)]);
    bench.tick(300);
    assert_eq!(bench.told(), [Told::End(AUDIO)]);
}

#[test]
fn a_nameless_stream_is_not_ended_by_labels_of_others() {
    let mut bench = Bench::new(|config| config);
    bench.announce(AUDIO, Codec::Opus, 0).sound(1, 0).tick(500);
    bench.labels(&[(VIDEO, Source::Screen)], 600).tick(2000).sound(2, 2000);
    assert!(!bench.told().contains(&Told::End(AUDIO)));
}

#[test]
fn a_hole_waits_for_its_repair_and_is_told_when_it_is_given_up() {
    let mut bench = Bench::new(|config| SubscriberConfig { label_wait: Duration::ZERO, ..config });
    bench.announce(AUDIO, Codec::Opus, 0).sound(1, 0).tick(0).sound(3, 20);
    assert_eq!(bench.frames(), [1]);
    bench.sound(2, 300);
    assert_eq!(bench.frames(), [2, 3]);
    bench.sound(5, 320).tick(700);
    assert_eq!(bench.told(), []);
    assert_eq!(bench.subscriber.as_ref().and_then(Subscriber::deadline), Some(bench.at(720)));
    bench.tick(720);
    assert_eq!(bench.told(), [Told::Gap(AUDIO), Told::Frame(AUDIO, 5 * 960)]);
}

#[test]
fn a_key_frame_is_asked_for_until_it_comes() {
    let mut bench = Bench::new(|config| SubscriberConfig { label_wait: Duration::ZERO, ..config });
    bench.announce(VIDEO, Codec::Vp8, 0).picture(1, false, 0).tick(0).tick(20);
    assert_eq!(bench.told(), [Told::Begin(VIDEO, Source::Camera), Told::KeyFrame(VIDEO)]);
    bench.tick(999);
    assert_eq!(bench.told(), []);
    bench.tick(1020).picture(2, true, 1100);
    assert_eq!(bench.told(), [Told::KeyFrame(VIDEO), Told::Waited(VIDEO, 1100), Told::Frame(VIDEO, 6000)]);
    bench.tick(3000);
    assert_eq!(bench.told(), []);
}

#[test]
fn a_recorder_asks_for_a_key_frame_every_four_seconds() {
    let mut bench = Bench::new(|config| SubscriberConfig { label_wait: Duration::ZERO, ..config });
    bench.announce(VIDEO, Codec::Vp8, 0).picture(1, true, 0).tick(0).picture(2, false, 33).tick(4000);
    assert!(!bench.told().contains(&Told::KeyFrame(VIDEO)));
    bench.tick(4100);
    assert_eq!(bench.told(), [Told::KeyFrame(VIDEO)]);
}

#[test]
fn an_announcement_with_another_codec_ends_nothing_for_packets_tell_theirs() {
    let mut bench = Bench::new(|config| SubscriberConfig { label_wait: Duration::ZERO, ..config });
    bench.announce(VIDEO, Codec::Vp8, 0).picture(1, true, 0).tick(0);
    bench.told();
    bench.announce(VIDEO, Codec::Vp9, 100).tick(300).picture(2, false, 310);
    assert_eq!(bench.told(), [Told::Frame(VIDEO, 6000)]);
}

#[test]
fn a_sender_that_begins_anew_is_told_of_before_its_frame() {
    let mut bench = Bench::new(|config| SubscriberConfig { label_wait: Duration::ZERO, ..config });
    bench.announce(AUDIO, Codec::Opus, 0).sound(1, 0).tick(0);
    bench.told();
    bench.packet(AUDIO, 40_000, 900_000_000, 20, &[1]).packet(AUDIO, 40_001, 900_000_960, 40, &[1]);
    let told = bench.told();
    assert_eq!(told[0], Told::Restart(AUDIO));
    assert_eq!(told[1..], [Told::Frame(AUDIO, 900_000_000), Told::Frame(AUDIO, 900_000_960)]);
}

#[test]
fn sender_reports_are_taken_once_there_is_a_frame() {
    let mut bench = Bench::new(|config| SubscriberConfig { label_wait: Duration::ZERO, ..config });
    bench.announce(AUDIO, Codec::Opus, 0).report(AUDIO, 960, 0).sound(1, 0).tick(0);
    assert!(!bench.told().contains(&Told::Report(AUDIO)), "nothing to unwrap its RTP time near");
    bench.report(AUDIO, 1920, 20);
    assert_eq!(bench.told(), [Told::Report(AUDIO)]);
    let stream = bench.subscriber.as_mut().and_then(|subscriber| subscriber.stream(AUDIO)).expect("a stream");
    assert!(stream.reported_mapping().is_some());
}

#[test]
fn a_refused_stream_costs_nothing_and_others_go_on() {
    let mut bench = Bench::new(|config| SubscriberConfig { label_wait: Duration::ZERO, ..config });
    bench.consumer.refuses = Some(AUDIO);
    bench.announce(AUDIO, Codec::Opus, 0).sound(1, 0).tick(0).sound(2, 20);
    bench.announce(VIDEO, Codec::Vp8, 20).picture(1, true, 30).tick(40).tick(5000);
    assert_eq!(bench.told(), [Told::Begin(VIDEO, Source::Camera), Told::Frame(VIDEO, 3000)]);
}

#[test]
fn what_waits_too_long_or_is_too_much_is_dropped_and_told() {
    let early = EarlyLimits { streams: 1, packets: 2, age: Duration::from_secs(3) };
    let mut bench = Bench::new(|config| SubscriberConfig { early, ..config });
    bench.sound(1, 0).sound(2, 20).sound(3, 40).sound(4, 60).picture(1, true, 60);
    assert_eq!(
        bench.told(),
        [
            Told::Problem(Problem::EarlyOverflow { ssrc: AUDIO, packets: 1 }),
            Told::Problem(Problem::Unannounced { ssrc: VIDEO, packets: 1 })
        ]
    );
    bench.tick(2999);
    assert_eq!(bench.told(), []);
    bench.tick(3000);
    assert_eq!(bench.told(), [Told::Problem(Problem::Unannounced { ssrc: AUDIO, packets: 4 })]);
}

#[test]
fn streams_beyond_the_limit_are_told_of() {
    let mut bench = Bench::new(|config| SubscriberConfig { max_streams: 1, ..config });
    bench.announce(AUDIO, Codec::Opus, 0).announce(VIDEO, Codec::Vp8, 0);
    assert_eq!(bench.told(), [Told::Problem(Problem::TooManyStreams { ssrc: VIDEO })]);
}

#[test]
fn a_connection_that_ends_gives_out_all_that_came() {
    let mut bench = Bench::new(|config| config);
    bench.announce(AUDIO, Codec::Opus, 0).sound(1, 0).sound(3, 20).end(30);
    assert_eq!(
        bench.told(),
        [
            Told::Begin(AUDIO, Source::Mic),
            Told::Frame(AUDIO, 960),
            Told::Gap(AUDIO),
            Told::Frame(AUDIO, 3 * 960),
            Told::End(AUDIO)
        ]
    );
}

#[test]
fn removed_and_announced_again_within_the_linger_it_goes_on() {
    let mut bench = Bench::new(|config| SubscriberConfig { label_wait: Duration::ZERO, ..config });
    bench.announce(AUDIO, Codec::Opus, 0).sound(1, 0).tick(0).remove(AUDIO, 100).announce(AUDIO, Codec::Opus, 200);
    bench.tick(1000).sound(2, 1000);
    assert!(!bench.told().contains(&Told::End(AUDIO)));
}

#[test]
fn events_that_are_handled_late_end_nothing_before_its_packets_are_taken() {
    let mut bench = Bench::new(|config| SubscriberConfig { label_wait: Duration::ZERO, ..config });
    bench.announce(AUDIO, Codec::Opus, 0).sound(1, 0).tick(0).remove(AUDIO, 100);
    bench.told();
    bench.labels(&[(VIDEO, Source::Screen)], 400).sound(2, 150).tick(410);
    assert_eq!(bench.told(), [Told::Frame(AUDIO, 1920), Told::End(AUDIO)]);
}

/// Halves each frame, and cannot do so with the third.
struct Halve(u32);

impl FrameTransform for Halve {
    fn transform(&mut self, _: &StreamInfo, frame: &mut Frame) -> Result<(), String> {
        self.0 += 1;
        if self.0 == 3 {
            return Err("no key".into());
        }
        frame.parts.iter_mut().for_each(|part| part.truncate(part.len() / 2));
        Ok(())
    }
}

#[test]
fn frames_pass_the_transform_and_what_cannot_is_told() {
    let mut bench = Bench::new(|config| SubscriberConfig { label_wait: Duration::ZERO, ..config });
    bench.announce(AUDIO, Codec::Opus, 0).sound(1, 0).tick(0);
    let stream = bench.subscriber.as_mut().and_then(|subscriber| subscriber.stream(AUDIO)).expect("a stream");
    stream.set_transform(Box::new(Halve(0)));
    bench.told();
    bench.sound(2, 20).sound(3, 40).sound(4, 60).sound(5, 80);
    let problem = Told::Problem(Problem::Transform { ssrc: AUDIO, why: "no key".into() });
    let frame = |n: i64| Told::Frame(AUDIO, n * 960);
    assert_eq!(bench.told(), [frame(2), frame(3), problem, frame(5)]);
}

#[test]
fn any_order_loss_and_delay_give_every_frame_once_and_in_order() {
    use rand::{Rng, SeedableRng, rngs::StdRng};
    for seed in 0..200 {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut bench = Bench::new(|config| SubscriberConfig { label_wait: Duration::ZERO, ..config });
        bench.announce(AUDIO, Codec::Opus, 0).sound(0, 0).tick(0);
        // An emulated network: one in twenty lost for good, the rest up to 300 ms late.
        let mut arrivals: Vec<(u64, u16)> = Vec::new();
        let mut lost = 0;
        for sequence in 1..200u16 {
            if sequence < 199 && dice.random_range(0..20) == 0 {
                lost += 1;
                continue;
            }
            arrivals.push((u64::from(sequence) * 20 + dice.random_range(0..300), sequence));
        }
        arrivals.sort_unstable();
        for (ms, sequence) in arrivals {
            bench.sound(sequence, ms).tick(ms);
        }
        bench.tick(10_000);
        let frames = bench.frames();
        assert!(frames.is_sorted_by(|one, next| one < next), "seed {seed}: {frames:?}");
        assert_eq!(frames.len(), 200 - lost, "seed {seed}");
    }
}
