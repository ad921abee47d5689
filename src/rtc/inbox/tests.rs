//! What an inbox keeps, hands on, drops and counts.

use super::*;

fn packet(bytes: usize) -> Inbound {
    packet_of(1, bytes)
}

fn packet_of(ssrc: u32, bytes: usize) -> Inbound {
    Inbound::Rtp(RtpPacket {
        ssrc,
        payload_type: 96,
        format: Default::default(),
        sequence: 0,
        timestamp: 0,
        marker: false,
        audio_level: None,
        arrival: Instant::now(),
        payload: vec![0; bytes].into(),
    })
}

#[test]
fn a_full_inbox_drops_the_newest_and_counts() {
    let inbox = Inbox::default();
    for _ in 0..20 {
        inbox.put(packet(1 << 20));
    }
    let mut got = Vec::new();
    let dropped = inbox.drain(&mut got);
    assert_eq!((got.len(), dropped), (16, 5));
    assert!(
        matches!(got[15], Inbound::Dropped { ssrc: 1, reason: DropReason::InboxFull, packets: 5, bytes, .. } if bytes == 5 << 20)
    );
    got.clear();
    assert_eq!(inbox.drain(&mut got), 0);
    assert!(got.is_empty());
}

#[test]
fn a_copy_gets_what_is_put_from_then_on_and_holds_up_nobody() {
    let (inbox, copy) = (Inbox::default(), Arc::new(Inbox::default()));
    inbox.put(packet(1));
    inbox.copy_to(copy.clone());
    let mut got = Vec::new();
    for _ in 0..20 {
        inbox.put(packet(1 << 20));
        inbox.drain(&mut got);
        got.clear();
    }
    assert_eq!(inbox.drain(&mut got), 0);
    // Nobody empties the copy: it is full, and only it has dropped anything.
    assert_eq!((copy.drain(&mut got), got.len()), (5, 16));
}

#[test]
fn streams_are_handed_on_with_what_came_before() {
    let (sfu, alice, bob) = (Inbox::default(), Arc::new(Inbox::default()), Arc::new(Inbox::default()));
    let count = |inbox: &Inbox| {
        let mut got = Vec::new();
        inbox.drain(&mut got);
        got.len()
    };
    sfu.put(packet_of(7, 1));
    sfu.put(packet_of(8, 1));
    sfu.hand_on(7, Some(alice.clone()));
    sfu.put(packet_of(7, 1));
    assert_eq!((count(&alice), count(&bob)), (2, 0));
    sfu.hand_on(7, None);
    sfu.put(packet_of(7, 1));
    sfu.hand_on(7, Some(bob.clone()));
    assert_eq!((count(&alice), count(&bob), count(&sfu)), (0, 1, 1));
}

/// The packets that were dropped, by SSRC and reason.
fn dropped(items: Vec<Inbound>) -> Vec<(u32, DropReason, u64)> {
    let count = |item: &Inbound| match item {
        Inbound::Dropped { ssrc, reason, packets, .. } => Some((*ssrc, *reason, *packets)),
        _ => None,
    };
    let mut all: Vec<_> = items.iter().filter_map(count).collect();
    all.sort_unstable();
    all
}

#[test]
fn what_nobody_takes_is_counted() {
    let (sfu, alice) = (Inbox::default(), Arc::new(Inbox::default()));
    let old = |ssrc| {
        let Inbound::Rtp(packet) = packet_of(ssrc, 10) else { unreachable!() };
        Inbound::Rtp(RtpPacket { arrival: packet.arrival - 2 * EARLY_FOR, ..packet })
    };
    (0..3).for_each(|_| sfu.put(old(7)));
    sfu.put(packet_of(7, 10));
    sfu.put(old(8));
    assert_eq!(dropped(sfu.unowned(false)), [(7, DropReason::Unowned, 3), (8, DropReason::Unowned, 1)]);
    // What was dropped before the owner was known is the owner's.
    sfu.put(old(7));
    sfu.hand_on(7, Some(alice.clone()));
    let mut got = Vec::new();
    alice.drain(&mut got);
    assert_eq!((got.len(), dropped(got)), (2, vec![(7, DropReason::Unowned, 1)]));
    // Nobody empties that inbox any more.
    sfu.take_back(&alice);
    sfu.put(old(7));
    sfu.put(packet_of(9, 10));
    assert_eq!(dropped(sfu.unowned(false)), [(7, DropReason::AfterEnd, 1)]);
    assert_eq!(dropped(sfu.unowned(true)), [(9, DropReason::Unowned, 1)]);
    assert_eq!(dropped(sfu.unowned(true)), []);
}

#[test]
fn packets_that_carry_nothing_are_counted_with_their_stream() {
    let (sfu, alice) = (Inbox::default(), Arc::new(Inbox::default()));
    sfu.hand_on(7, Some(alice.clone()));
    let now = Instant::now();
    (0..3).for_each(|_| sfu.count(7, DropReason::Padding, 0, now));
    let mut got = Vec::new();
    assert_eq!((alice.drain(&mut got), alice.has_heard()), (0, false));
    assert_eq!(dropped(got), [(7, DropReason::Padding, 3)]);
}
