//! The rules of a room, without sockets.

use super::super::outbox::{OutgoingQueue, outbox};
use super::*;
use crate::room::media::{MediaKind, Source};
use std::time::Duration;

fn room(change: impl FnOnce(&mut Limits)) -> Room {
    let mut limits = Limits::default();
    change(&mut limits);
    Room::new("standup".into(), limits, Vec::new())
}

fn request(name: &str, resume: Option<Resume>) -> JoinRequest {
    JoinRequest { name: name.into(), role: Role::Participant, resume }
}

/// A member as its socket sees it.
struct Guest {
    membership: Membership,
    secret: String,
    name: String,
    peers: Vec<Participant>,
    outgoing: OutgoingQueue,
}

impl Guest {
    fn enter(room: &mut Room, name: &str, resume: Option<Resume>) -> Result<Guest, CloseReason> {
        let (outbox, mut outgoing) = outbox(8, 10_000);
        let membership = room.join(request(name, resume), outbox, Instant::now())?;
        match read(&mut outgoing) {
            Some(ServerMessage::Welcome { id, secret, name, peers, .. }) => {
                assert_eq!(id, membership.id);
                Ok(Guest { membership, secret, name, peers, outgoing })
            }
            other => panic!("the welcome comes first, not {other:?}"),
        }
    }
    fn proof(&self) -> Option<Resume> {
        Some(Resume { id: self.membership.id.clone(), secret: self.secret.clone() })
    }
    fn next(&mut self) -> Option<ServerMessage> {
        read(&mut self.outgoing)
    }
}

fn read(outgoing: &mut OutgoingQueue) -> Option<ServerMessage> {
    let message = outgoing.queue.try_recv().ok()?;
    Some(serde_json::from_str(&message.text).expect("a server message"))
}

fn last_candidate() -> SignalBody {
    SignalBody::Candidate { candidate: None }
}

#[test]
fn a_newcomer_sees_who_is_there_and_is_seen() {
    let mut room = room(|_| {});
    let mut alice = Guest::enter(&mut room, "Alice", None).expect("in");
    let bob = Guest::enter(&mut room, "Alice", None).expect("in");
    assert_eq!((alice.name.as_str(), bob.name.as_str()), ("Alice", "Alice 2"));
    assert_eq!(bob.peers.iter().map(|p| &p.name).collect::<Vec<_>>(), ["Alice"]);
    assert!(matches!(alice.next(), Some(ServerMessage::PeerJoined { peer }) if peer.name == "Alice 2"));
    room.on_departed(&bob.membership, Departure::Left, Instant::now());
    assert!(
        matches!(alice.next(), Some(ServerMessage::PeerLeft { id, reason }) if id == bob.membership.id && reason == "left")
    );
}

#[test]
fn a_full_room_refuses() {
    let mut room = room(|limits| limits.room_members = 2);
    let _first = Guest::enter(&mut room, "A", None).expect("in");
    let _second = Guest::enter(&mut room, "B", None).expect("in");
    assert_eq!(Guest::enter(&mut room, "C", None).err().map(|f| f.code), Some(ErrorCode::Full));
}

#[test]
fn signals_go_to_one_member_only() {
    let mut room = room(|_| {});
    let now = Instant::now();
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let mut b = Guest::enter(&mut room, "B", None).expect("in");
    let mut c = Guest::enter(&mut room, "C", None).expect("in");
    while a.next().is_some() || b.next().is_some() {}
    room.on_message(&a.membership, ClientMessage::Signal { to: b.membership.id.clone(), body: last_candidate() }, now);
    assert!(matches!(b.next(), Some(ServerMessage::Signal { from, .. }) if from == a.membership.id));
    assert_eq!((a.next(), c.next()), (None, None));
    for nobody in [ParticipantId("nobody".into()), a.membership.id.clone()] {
        room.on_message(&a.membership, ClientMessage::Signal { to: nobody, body: last_candidate() }, now);
        assert!(matches!(a.next(), Some(ServerMessage::Error { code: ErrorCode::NoSuchPeer, .. })));
    }
}

#[test]
fn labels_are_told_and_remembered_and_bounded() {
    let mut room = room(|limits| limits.tracks = 1);
    let now = Instant::now();
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let mut b = Guest::enter(&mut room, "B", None).expect("in");
    while a.next().is_some() {}
    let label = TrackLabel { stream: "s".into(), kind: MediaKind::Audio, source: Source::Mic, muted: true };
    room.on_message(&a.membership, ClientMessage::Tracks { tracks: vec![label.clone()] }, now);
    assert!(matches!(b.next(), Some(ServerMessage::Tracks { tracks, .. }) if tracks == std::slice::from_ref(&label)));
    assert_eq!(a.next(), None, "nobody is told their own labels");
    let c = Guest::enter(&mut room, "C", None).expect("in");
    assert_eq!(c.peers[0].tracks, std::slice::from_ref(&label));
    while a.next().is_some() {}
    let too_long = TrackLabel { stream: "s".repeat(129), ..label.clone() };
    for tracks in [vec![label.clone(), label], vec![too_long]] {
        room.on_message(&a.membership, ClientMessage::Tracks { tracks }, now);
        assert!(matches!(a.next(), Some(ServerMessage::Error { code: ErrorCode::BadMessage, .. })));
    }
}

#[test]
fn who_comes_back_in_time_was_never_gone() {
    let mut room = room(|_| {});
    let start = Instant::now();
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let b = Guest::enter(&mut room, "B", None).expect("in");
    while a.next().is_some() {}
    room.on_departed(&b.membership, Departure::Lost, start);
    room.on_message(
        &a.membership,
        ClientMessage::Signal { to: b.membership.id.clone(), body: last_candidate() },
        start,
    );
    room.on_tick(start + Duration::from_secs(14));
    let mut back = Guest::enter(&mut room, "whatever", b.proof()).expect("in");
    assert_eq!((&back.membership.id, back.name.as_str()), (&b.membership.id, "B"));
    assert!(matches!(back.next(), Some(ServerMessage::Signal { .. })), "what was said meanwhile");
    assert_eq!(a.next(), None, "nobody noticed");
    room.on_departed(&b.membership, Departure::Left, start);
    assert_eq!(room.members.len(), 2, "the old connection is ignored");
}

#[test]
fn who_comes_back_too_late_or_without_proof_is_new() {
    let mut room = room(|_| {});
    let start = Instant::now();
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let b = Guest::enter(&mut room, "B", None).expect("in");
    while a.next().is_some() {}
    room.on_departed(&b.membership, Departure::Lost, start);
    let forged = Resume { id: b.membership.id.clone(), secret: "guess".into() };
    let other = Guest::enter(&mut room, "B", Some(forged)).expect("in");
    assert_eq!(other.name, "B 2");
    assert!(matches!(a.next(), Some(ServerMessage::PeerJoined { .. })));
    room.on_tick(start + Duration::from_secs(15));
    assert!(matches!(a.next(), Some(ServerMessage::PeerLeft { reason, .. }) if reason == "timeout"));
    let late = Guest::enter(&mut room, "B", b.proof()).expect("in");
    assert_ne!(late.membership.id, b.membership.id);
}

#[test]
fn a_second_socket_of_the_same_member_replaces_the_first() {
    let mut room = room(|_| {});
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let again = Guest::enter(&mut room, "A", a.proof()).expect("in");
    assert_eq!(again.membership.id, a.membership.id);
    assert_eq!(a.outgoing.close.try_recv().expect("told").code, ErrorCode::Replaced);
}

#[test]
fn who_does_not_read_is_dropped_and_the_others_are_told() {
    let mut room = room(|_| {});
    let now = Instant::now();
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let mut b = Guest::enter(&mut room, "B", None).expect("in");
    while a.next().is_some() {}
    for _ in 0..5 {
        let newcomer = Guest::enter(&mut room, "C", None).expect("in");
        room.on_departed(&newcomer.membership, Departure::Left, now);
        while a.next().is_some() {}
    }
    assert_eq!(b.outgoing.close.try_recv().expect("told").code, ErrorCode::Slow);
    assert!(!room.members.iter().any(|member| member.who.id == b.membership.id));
}

#[test]
fn no_burst_of_labels_puts_a_member_behind_and_the_last_ones_are_told() {
    let mut room = room(|_| {});
    let now = Instant::now();
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let mut b = Guest::enter(&mut room, "B", None).expect("in");
    while a.next().is_some() {}
    let label =
        |n: usize| TrackLabel { stream: format!("s{n}"), kind: MediaKind::Audio, source: Source::Mic, muted: false };
    for n in 0..1000 {
        room.on_message(&a.membership, ClientMessage::Tracks { tracks: vec![label(n); 32] }, now);
    }
    assert!(b.outgoing.close.try_recv().is_err() && room.members.len() == 2);
    let signal = ClientMessage::Signal { to: b.membership.id.clone(), body: last_candidate() };
    room.on_message(&a.membership, signal, now);
    let mut heard: Vec<_> = std::iter::from_fn(|| b.next()).collect();
    assert!(matches!(heard.pop(), Some(ServerMessage::Signal { .. })), "labels keep no signal away");
    assert!(heard.len() <= 2 && heard.iter().all(|one| matches!(one, ServerMessage::Tracks { .. })), "{heard:?}");
    room.on_tick(now);
    assert!(matches!(b.next(), Some(ServerMessage::Tracks { tracks, .. }) if tracks[0] == label(999)));
    room.on_tick(now);
    assert_eq!(b.next(), None, "told once");
}

#[test]
fn labels_of_who_is_not_read_at_all_and_of_who_has_left_do_not_wait_for_ever() {
    let mut room = room(|_| {});
    let now = Instant::now();
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let mut b = Guest::enter(&mut room, "B", None).expect("in");
    while a.next().is_some() {}
    for _ in 0..9 {
        room.on_message(&a.membership, ClientMessage::Tracks { tracks: Vec::new() }, now);
        room.on_tick(now);
    }
    let waits = |room: &Room| room.members.iter().map(|member| member.unheard.len()).sum::<usize>();
    assert_eq!(waits(&room), 1);
    room.on_departed(&a.membership, Departure::Left, now);
    assert_eq!(waits(&room), 0);
    while b.next().is_some() {}
    room.on_tick(now);
    assert_eq!(b.next(), None);
}

#[test]
fn who_has_lost_their_socket_holds_no_place_in_a_full_room() {
    let mut room = room(|limits| limits.room_members = 3);
    let now = Instant::now();
    let regular = Guest::enter(&mut room, "A", None).expect("in");
    let there = Guest::enter(&mut room, "B", None).expect("in");
    room.on_departed(&regular.membership, Departure::Lost, now);
    for _ in 0..3 {
        let passing = Guest::enter(&mut room, "C", None).expect("in");
        room.on_departed(&passing.membership, Departure::Lost, now);
    }
    let _last = Guest::enter(&mut room, "D", None).expect("in");
    let names: Vec<_> = room.participants().into_iter().map(|who| who.name).collect();
    assert_eq!(names, ["A", "B", "D"], "the newest of those who are away makes room");
    drop(there);
    let back = Guest::enter(&mut room, "A", regular.proof()).expect("in");
    assert_eq!(back.membership.id, regular.membership.id);
}

#[test]
fn no_burst_of_signals_puts_a_member_behind() {
    let mut room = room(|_| {});
    let now = Instant::now();
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let mut b = Guest::enter(&mut room, "B", None).expect("in");
    while a.next().is_some() {}
    for _ in 0..9 {
        room.on_message(
            &a.membership,
            ClientMessage::Signal { to: b.membership.id.clone(), body: last_candidate() },
            now,
        );
    }
    assert!(b.outgoing.close.try_recv().is_err() && room.members.len() == 2, "who is sent too much stays");
    assert_eq!(std::iter::from_fn(|| b.next()).count(), 4, "half of the queue is for what others send");
    assert!(matches!(a.next(), Some(ServerMessage::Error { code: ErrorCode::Busy, .. })), "who sends too much is told");
}

#[test]
fn what_is_kept_for_an_absent_member_is_bounded() {
    let mut room = room(|limits| limits.queue_messages = 4);
    let now = Instant::now();
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let b = Guest::enter(&mut room, "B", None).expect("in");
    room.on_departed(&b.membership, Departure::Lost, now);
    for _ in 0..4 {
        room.on_message(
            &a.membership,
            ClientMessage::Signal { to: b.membership.id.clone(), body: last_candidate() },
            now,
        );
    }
    let told = std::iter::from_fn(|| a.next());
    let busy = told.filter(|m| matches!(m, ServerMessage::Error { code: ErrorCode::Busy, .. })).count();
    assert_eq!(busy, 2, "two are kept, two are not");
}
