//! Ends that nobody announces: a goodbye (RTCP BYE), a label that comes late and goes.

use super::tests::{AUDIO, Bench, Told, VIDEO};
use super::*;
use crate::room::media::Codec;

impl Bench {
    fn goodbye(&mut self, ssrc: u32, ms: u64) -> &mut Bench {
        let goodbye = Inbound::Goodbye { ssrc, arrival: self.at(ms) };
        self.act(|subscriber, consumer| subscriber.receive(goodbye, consumer))
    }
}

fn opened() -> Bench {
    let mut bench = Bench::new(|config| SubscriberConfig { label_wait: Duration::ZERO, ..config });
    bench.announce(AUDIO, Codec::Opus, 0).sound(1, 0).tick(0);
    bench.told();
    bench
}

#[test]
fn a_stream_that_its_sender_says_goodbye_of_ends_soon() {
    let mut bench = opened();
    bench.goodbye(AUDIO, 100).sound(2, 150).tick(599);
    assert_eq!(bench.told(), [Told::Frame(AUDIO, 1920)]);
    bench.tick(600);
    assert_eq!(bench.told(), [Told::End(AUDIO)]);
    // It was not taken away: what comes later is a new beginning.
    bench.sound(50, 2000).tick(2000);
    assert_eq!(bench.told(), [Told::Begin(AUDIO, Source::Mic), Told::Frame(AUDIO, 50 * 960)]);
}

#[test]
fn a_sender_that_goes_on_after_its_goodbye_is_not_ended() {
    let mut bench = opened();
    bench.goodbye(AUDIO, 100);
    for n in 2..60 {
        bench.sound(n, u64::from(n) * 20 + 80).tick(u64::from(n) * 20 + 80);
    }
    bench.tick(5000);
    assert!(!bench.told().contains(&Told::End(AUDIO)));
}

#[test]
fn a_goodbye_of_a_stream_that_has_not_begun_is_of_no_use() {
    let mut bench = Bench::new(|config| config);
    bench.goodbye(AUDIO, 0).announce(AUDIO, Codec::Opus, 10).sound(1, 20).tick(600);
    assert_eq!(bench.told(), [Told::Begin(AUDIO, Source::Mic), Told::Frame(AUDIO, 960)]);
}

#[test]
fn a_label_that_comes_after_the_stream_has_begun_ends_it_when_it_goes() {
    let mut bench = opened();
    bench.labels(&[(AUDIO, Source::Mic)], 100).tick(200);
    assert_eq!(bench.told(), []);
    bench.labels(&[(VIDEO, Source::Camera)], 300).tick(500);
    assert_eq!(bench.told(), [Told::End(AUDIO)]);
    bench.sound(9, 600).tick(5000);
    assert!(!bench.told().iter().any(|told| matches!(told, Told::Begin(..))), "it is gone, not nameless");
}
