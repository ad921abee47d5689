//! Both machines against each other on bad connections, and the receiver against whatever comes.

use super::*;
use proptest::prelude::*;

fn offer(size: u64) -> Offer {
    Offer { id: "12345678".into(), name: "x".into(), size, ..Offer::default() }
}
fn words(steps: &[ReceiveAction]) -> Vec<String> {
    let word = |step: &ReceiveAction| match step {
        ReceiveAction::Send(message) => serde_json::to_value(message).unwrap()["type"].as_str().unwrap().to_owned(),
        ReceiveAction::Stop(ReceiveEnd::Refused(refusal)) => refusal.reason.word().to_owned(),
        step => format!("{step:?}").split(['(', ' ']).next().unwrap().to_lowercase(),
    };
    steps.iter().map(word).collect()
}
/// A receiver that has accepted a file of so many bytes.
fn receiving(ordered: bool, size: u64, window: u64) -> Incoming {
    let mut machine = Incoming::new(ordered, None);
    assert_eq!(words(&machine.text(&Message::Offer(offer(size)).to_text())), ["decide"]);
    assert_eq!(words(&machine.accepted(0, window)), ["send"].map(|_| "accept"));
    machine
}
fn end(data: &[u8]) -> String {
    Message::End { sha256: Digest::of(data) }.to_text()
}
fn at(position: u64, data: &[u8]) -> Bytes {
    [&position.to_be_bytes()[..], data].concat().into()
}

#[test]
fn a_file_comes_through() {
    let mut machine = receiving(true, 5, 3);
    assert_eq!(machine.chunk(Bytes::from_static(b"abc")), [ReceiveAction::Write(Bytes::from_static(b"abc"))]);
    assert_eq!(machine.written(3, 3), [ReceiveAction::Send(Message::More { until: 5 })]);
    assert_eq!(words(&machine.chunk(Bytes::from_static(b"de"))), ["write"]);
    assert_eq!(machine.text(&end(b"abcde")), [ReceiveAction::Keep(Digest::of(b"abcde"))]);
    assert_eq!(words(&machine.kept(false)), ["ack", "stop"]);
    assert_eq!(machine.chunk(Bytes::from_static(b"late")), []);
}

#[test]
fn an_empty_file_has_no_chunk() {
    for ordered in [true, false] {
        let mut machine = receiving(ordered, 0, 3);
        assert_eq!(words(&machine.text(&end(b""))), ["keep"]);
    }
}

#[test]
fn without_order_chunks_and_end_may_overtake_each_other() {
    let mut machine = receiving(false, 6, 10);
    assert_eq!(machine.chunk(at(4, b"ef")), []);
    assert_eq!(machine.text(&end(b"abcdef")), []);
    assert_eq!(machine.chunk(at(2, b"cd")), []);
    assert_eq!(words(&machine.chunk(at(0, b"ab"))), ["write", "write", "write", "keep"]);
}

#[test]
fn every_breach_has_its_name() {
    let refused = |machine: &mut Incoming, steps: Vec<ReceiveAction>, reason: &str| {
        assert_eq!(words(&steps), ["refuse", reason]);
        assert_eq!(machine.text(&end(b"")), [], "it is over");
    };
    let data = || Bytes::from_static(b"abcd");
    let mut machine = Incoming::new(true, None);
    let steps = machine.text("hello");
    refused(&mut machine, steps, "bad-offer");
    let mut machine = Incoming::new(true, None);
    let steps = machine.chunk(data());
    refused(&mut machine, steps, "bad-offer");
    let mut machine = receiving(true, 5, 10);
    let steps = machine.text(&Message::Offer(offer(5)).to_text());
    refused(&mut machine, steps, "bad-message");
    for (ordered, size, window, chunk, reason) in [
        (true, 3, 10, data(), "flood"),
        (true, 10, 3, data(), "flood"),
        (true, 10, 10, Bytes::new(), "bad-message"),
        (false, 10, 10, Bytes::from_static(b"short"), "bad-message"),
        (false, 10, 10, at(0, b""), "bad-message"),
        (false, 10, 10, at(7, b"abcd"), "flood"),
        (false, 10, 10, at(u64::MAX, b"abcd"), "flood"),
    ] {
        let mut machine = receiving(ordered, size, window);
        let steps = machine.chunk(chunk);
        refused(&mut machine, steps, reason);
    }
    for (one, other) in [(at(4, b"ef"), at(4, b"ef")), (at(4, b"ef"), at(3, b"xy")), (at(4, b"ef"), at(5, b"xy"))] {
        let mut machine = receiving(false, 10, 10);
        assert_eq!(machine.chunk(one), []);
        let steps = machine.chunk(other);
        refused(&mut machine, steps, "bad-message");
    }
    let mut machine = receiving(false, 10, 10);
    machine.chunk(at(0, b"ab"));
    let steps = machine.chunk(at(1, b"b"));
    refused(&mut machine, steps, "bad-message");
    // The end before all bytes, on a channel that keeps their order: sent again, twice.
    let mut machine = receiving(true, 5, 10);
    for _ in 0..2 {
        assert_eq!(words(&machine.text(&end(b""))), ["restart"]);
        assert_eq!(words(&machine.accepted(0, 10)), ["again"]);
    }
    let steps = machine.text(&end(b""));
    refused(&mut machine, steps, "mismatch");
}

#[test]
fn small_pieces_out_of_order_are_bounded() {
    let mut machine = receiving(false, 1 << 30, 1 << 30);
    let mut steps = Vec::new();
    for n in 1..=MAX_PIECES as u64 + 1 {
        assert_eq!(steps, []);
        steps = machine.chunk(at(2 * n, b"x"));
    }
    assert_eq!(words(&steps), ["refuse", "flood"]);
}

#[test]
fn what_was_promised_in_the_offer_holds_at_the_end() {
    let mut machine = Incoming::new(true, None);
    machine.text(&Message::Offer(Offer { sha256: Some(Digest::of(b"other")), ..offer(2) }).to_text());
    machine.accepted(0, 9);
    machine.chunk(Bytes::from_static(b"ab"));
    assert_eq!(words(&machine.text(&end(b"ab"))), ["restart"]);
}

/// One side's disk: what it holds, as the vault would.
#[derive(Default)]
struct Disk(Vec<u8>);

/// What is sent, and how.
struct Way<'a> {
    data: &'a [u8],
    ordered: bool,
    chunk: usize,
    window: u64,
}

/// A connection from a sender's machine to a receiver's, on which `lie` may change what is sent. It breaks after `budget` messages:
/// then there is no outcome.
fn connection(
    Way { data, ordered, chunk, window }: Way<'_>,
    disk: &mut Disk,
    mut budget: usize,
    mut lie: impl FnMut(&mut Vec<u8>),
    sent_bytes: &mut u64,
    mut shuffle: impl FnMut(usize) -> usize,
) -> Option<SendEnd> {
    let (mut sender, first) = Outgoing::new(offer(data.len() as u64));
    let mut receiver = Incoming::new(ordered, None);
    let (mut up, mut down) = (vec![(true, first.to_text().into_bytes())], Vec::<String>::new());
    loop {
        if budget == 0 {
            return None;
        }
        budget -= 1;
        if !down.is_empty() {
            match sender.text(&down.remove(0)) {
                Some(SendAction::Stop(sent)) => return Some(sent),
                Some(SendAction::Seek(_)) | None => {}
            }
        } else if let Some(length) = sender.next(chunk).filter(|_| up.len() < 8) {
            let from = usize::try_from(sender.position()).unwrap();
            let mut bytes = data[from..from + length].to_vec();
            lie(&mut bytes);
            *sent_bytes += length as u64;
            let message = if ordered { bytes } else { [&sender.position().to_be_bytes()[..], &bytes].concat() };
            up.push((false, message));
            sender.sent(length);
        } else if sender.is_at_end() && up.len() < 8 {
            up.push((true, sender.end(Digest::of(data)).to_text().into_bytes()));
        } else if up.is_empty() {
            panic!("a standstill at {} of {}", sender.position(), data.len());
        } else {
            let next = if ordered { 0 } else { shuffle(up.len()) };
            let (text, message) = up.remove(next);
            let mut steps = VecDeque::from(match text {
                true => receiver.text(std::str::from_utf8(&message).unwrap()),
                false => receiver.chunk(message.into()),
            });
            while let Some(step) = steps.pop_front() {
                steps.extend(match step {
                    ReceiveAction::Decide(_) => receiver.accepted(disk.0.len() as u64, window),
                    ReceiveAction::Send(message) => {
                        down.push(message.to_text());
                        Vec::new()
                    }
                    ReceiveAction::Write(bytes) => {
                        disk.0.extend_from_slice(&bytes);
                        receiver.written(disk.0.len() as u64, window)
                    }
                    ReceiveAction::Keep(expected) if expected == Digest::of(&disk.0) => receiver.kept(false),
                    ReceiveAction::Keep(_) => receiver.mismatched(),
                    ReceiveAction::Restart => {
                        disk.0.clear();
                        receiver.accepted(0, window)
                    }
                    ReceiveAction::Stop(_) => Vec::new(),
                });
            }
        }
    }
}

use std::collections::VecDeque;

proptest! {
    #[test]
    fn a_file_survives_any_breaks(
        data in prop::collection::vec(any::<u8>(), 0..4000),
        ordered: bool,
        breaks in prop::collection::vec(1usize..60, 0..6),
        chunk in 1usize..700,
        window in 500u64..3000,
        order in prop::collection::vec(any::<u8>(), 64),
    ) {
        let (mut disk, mut sent_bytes, mut turn) = (Disk::default(), 0, 0usize);
        let mut shuffle = |n: usize| { turn += 1; usize::from(order[turn % order.len()]) % n };
        let mut outcome = None;
        // Small chunks within a wide window come one by one; what is left needs no more than this.
        for budget in breaks.iter().copied().chain([usize::MAX]) {
            let way = Way { data: &data, ordered, chunk, window };
            outcome = connection(way, &mut disk, budget, |_| {}, &mut sent_bytes, &mut shuffle);
            if outcome.is_some() {
                break;
            }
        }
        prop_assert_eq!(outcome, Some(SendEnd::Received { sha256: Digest::of(&data), shared: false }));
        prop_assert_eq!(&disk.0, &data);
        // Nothing twice beyond what was in flight when a connection broke.
        let out_of_order = if ordered { 0 } else { window };
        let in_flight = (8 * chunk as u64 + out_of_order) * breaks.len() as u64;
        prop_assert!(sent_bytes <= data.len() as u64 + in_flight, "{sent_bytes} of {}", data.len());
    }

    #[test]
    fn damage_is_found_and_sent_again(data in prop::collection::vec(any::<u8>(), 1..2000), times in 1usize..5) {
        let (mut disk, mut sent_bytes, mut left) = (Disk::default(), 0, times);
        let size = data.len() as u64;
        let mut so_far = 0;
        let lie = |bytes: &mut Vec<u8>| {
            so_far += bytes.len() as u64;
            if so_far % size == 0 && left > 0 {
                left -= 1;
                bytes[0] ^= 1;
            }
        };
        let way = Way { data: &data, ordered: true, chunk: 300, window: 900 };
        let outcome = connection(way, &mut disk, usize::MAX, lie, &mut sent_bytes, |_| 0);
        match times {
            1 | 2 => prop_assert_eq!(outcome, Some(SendEnd::Received { sha256: Digest::of(&data), shared: false })),
            _ => {
                let refused = matches!(&outcome, Some(SendEnd::Refused { reason, .. }) if reason == "mismatch");
                prop_assert!(refused, "{:?}", outcome);
            }
        }
    }

    #[test]
    fn a_receiver_takes_anything_and_writes_only_what_it_asked_for(
        ordered: bool,
        size in 0u64..100,
        window in 0u64..50,
        events in prop::collection::vec((0u8..7, prop::collection::vec(any::<u8>(), 0..30), 0u64..120), 0..40),
    ) {
        let mut machine = receiving(ordered, size, window);
        let (mut written, mut stops) = (0, 0);
        for (what, bytes, number) in events {
            let steps = match what {
                0 => machine.chunk(bytes.into()),
                1 => machine.chunk(at(number, &bytes)),
                2 => machine.text(&end(&bytes)),
                3 => machine.text(&String::from_utf8_lossy(&bytes)),
                4 => machine.written(number.min(written), window),
                5 => machine.mismatched(),
                _ => machine.accepted(0, window),
            };
            for step in steps {
                match step {
                    ReceiveAction::Write(bytes) => written += bytes.len() as u64,
                    ReceiveAction::Restart => written = 0,
                    ReceiveAction::Stop(_) => stops += 1,
                    _ => {}
                }
            }
            prop_assert!(written <= size && stops <= 1);
        }
    }
}

#[test]
fn a_receiver_says_what_its_socket_holds() {
    for (buffer, roomy) in [(None, false), (Some(212_992), false), (Some(4 << 20), true)] {
        let mut receiver = Incoming::new(true, buffer);
        let (mut sender, first) = Outgoing::new(offer(5));
        receiver.text(&first.to_text());
        let steps = receiver.accepted(0, 100);
        let [ReceiveAction::Send(accept)] = steps.as_slice() else { panic!("{steps:?}") };
        assert_eq!(sender.text(&accept.to_text()), Some(SendAction::Seek(0)));
        assert_eq!(sender.has_large_buffer(), roomy, "{buffer:?}");
    }
}

#[test]
fn what_is_there_already_is_acknowledged_at_once() {
    let sha256 = Digest::of(b"abc");
    let shared = Offer { shared: true, sha256: Some(sha256), ..offer(3) };
    for (offer, understood) in [(shared.clone(), true), (Offer { shared: false, ..shared }, false)] {
        let mut receiver = Incoming::new(true, None);
        let (mut sender, first) = Outgoing::new(offer);
        receiver.text(&first.to_text());
        let steps = receiver.present(sha256, true);
        let [ReceiveAction::Send(ack), ReceiveAction::Stop(ReceiveEnd::Kept)] = steps.as_slice() else {
            panic!("{steps:?}")
        };
        let end = sender.text(&ack.to_text());
        let received = Some(SendAction::Stop(SendEnd::Received { sha256, shared: true }));
        assert_eq!(end == received, understood, "{end:?}");
        assert_eq!(receiver.present(sha256, true), [], "it is over");
    }
    // Another file's hash is no answer to this offer.
    let (mut sender, _) = Outgoing::new(Offer { shared: true, sha256: Some(sha256), ..offer(3) });
    let ack = Message::Ack { sha256: Digest::of(b"other"), shared: true };
    assert!(matches!(sender.text(&ack.to_text()), Some(SendAction::Stop(SendEnd::ProtocolError(_)))));
}

#[test]
fn a_receiver_says_that_it_offers_a_file_on() {
    let (mut sender, first) = Outgoing::new(offer(0));
    let mut receiver = Incoming::new(true, None);
    receiver.text(&first.to_text());
    let [ReceiveAction::Send(accept)] = &receiver.accepted(0, 9)[..] else { panic!("no answer") };
    sender.text(&accept.to_text());
    receiver.text(&sender.end(Digest::of(b"")).to_text());
    let [ReceiveAction::Send(ack), _] = &receiver.kept(true)[..] else { panic!("not kept") };
    let received = SendEnd::Received { sha256: Digest::of(b""), shared: true };
    assert_eq!(sender.text(&ack.to_text()), Some(SendAction::Stop(received)));
}
