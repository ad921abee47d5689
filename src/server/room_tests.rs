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

fn arrival(name: &str, resume: Option<Resume>) -> Arrival {
    Arrival { name: name.into(), role: Role::Participant, resume }
}

/// A member as its socket sees it.
struct Guest {
    seat: Viewer,
    secret: String,
    name: String,
    peers: Vec<Participant>,
    letters: OutgoingQueue,
}

impl Guest {
    fn enter(room: &mut Room, name: &str, resume: Option<Resume>) -> Result<Guest, CloseReason> {
        let (outbox, mut letters) = outbox(8, 10_000);
        let seat = room.join(arrival(name, resume), outbox)?;
        match read(&mut letters) {
            Some(ServerMessage::Welcome { id, secret, name, peers, .. }) => {
                assert_eq!(id, seat.id);
                Ok(Guest { seat, secret, name, peers, letters })
            }
            other => panic!("the welcome comes first, not {other:?}"),
        }
    }
    fn proof(&self) -> Option<Resume> {
        Some(Resume { id: self.seat.id.clone(), secret: self.secret.clone() })
    }
    fn hears(&mut self) -> Option<ServerMessage> {
        read(&mut self.letters)
    }
}

fn read(letters: &mut OutgoingQueue) -> Option<ServerMessage> {
    let letter = letters.queue.try_recv().ok()?;
    Some(serde_json::from_str(&letter.text).expect("a server message"))
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
    assert!(matches!(alice.hears(), Some(ServerMessage::PeerJoined { peer }) if peer.name == "Alice 2"));
    room.depart(&bob.seat, Departure::Left, Instant::now());
    assert!(
        matches!(alice.hears(), Some(ServerMessage::PeerLeft { id, reason }) if id == bob.seat.id && reason == "left")
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
    while a.hears().is_some() || b.hears().is_some() {}
    room.hear(&a.seat, ClientMessage::Signal { to: b.seat.id.clone(), body: last_candidate() }, now);
    assert!(matches!(b.hears(), Some(ServerMessage::Signal { from, .. }) if from == a.seat.id));
    assert_eq!((a.hears(), c.hears()), (None, None));
    for nobody in [ParticipantId("nobody".into()), a.seat.id.clone()] {
        room.hear(&a.seat, ClientMessage::Signal { to: nobody, body: last_candidate() }, now);
        assert!(matches!(a.hears(), Some(ServerMessage::Error { code: ErrorCode::NoSuchPeer, .. })));
    }
}

#[test]
fn labels_are_told_and_remembered_and_bounded() {
    let mut room = room(|limits| limits.tracks = 1);
    let now = Instant::now();
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let mut b = Guest::enter(&mut room, "B", None).expect("in");
    while a.hears().is_some() {}
    let label = TrackLabel { stream: "s".into(), kind: MediaKind::Audio, source: Source::Mic, muted: true };
    room.hear(&a.seat, ClientMessage::Tracks { tracks: vec![label.clone()] }, now);
    assert!(matches!(b.hears(), Some(ServerMessage::Tracks { tracks, .. }) if tracks == std::slice::from_ref(&label)));
    assert_eq!(a.hears(), None, "nobody is told their own labels");
    let c = Guest::enter(&mut room, "C", None).expect("in");
    assert_eq!(c.peers[0].tracks, std::slice::from_ref(&label));
    while a.hears().is_some() {}
    let too_long = TrackLabel { stream: "s".repeat(129), ..label.clone() };
    for tracks in [vec![label.clone(), label], vec![too_long]] {
        room.hear(&a.seat, ClientMessage::Tracks { tracks }, now);
        assert!(matches!(a.hears(), Some(ServerMessage::Error { code: ErrorCode::BadMessage, .. })));
    }
}

#[test]
fn who_comes_back_in_time_was_never_gone() {
    let mut room = room(|_| {});
    let start = Instant::now();
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let b = Guest::enter(&mut room, "B", None).expect("in");
    while a.hears().is_some() {}
    room.depart(&b.seat, Departure::Lost, start);
    room.hear(&a.seat, ClientMessage::Signal { to: b.seat.id.clone(), body: last_candidate() }, start);
    room.expire(start + Duration::from_secs(14));
    let mut back = Guest::enter(&mut room, "whatever", b.proof()).expect("in");
    assert_eq!((&back.seat.id, back.name.as_str()), (&b.seat.id, "B"));
    assert!(matches!(back.hears(), Some(ServerMessage::Signal { .. })), "what was said meanwhile");
    assert_eq!(a.hears(), None, "nobody noticed");
    room.depart(&b.seat, Departure::Left, start);
    assert_eq!(room.members.len(), 2, "the old seat is stale");
}

#[test]
fn who_comes_back_too_late_or_without_proof_is_new() {
    let mut room = room(|_| {});
    let start = Instant::now();
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let b = Guest::enter(&mut room, "B", None).expect("in");
    while a.hears().is_some() {}
    room.depart(&b.seat, Departure::Lost, start);
    let forged = Resume { id: b.seat.id.clone(), secret: "guess".into() };
    let other = Guest::enter(&mut room, "B", Some(forged)).expect("in");
    assert_eq!(other.name, "B 2");
    assert!(matches!(a.hears(), Some(ServerMessage::PeerJoined { .. })));
    room.expire(start + Duration::from_secs(15));
    assert!(matches!(a.hears(), Some(ServerMessage::PeerLeft { reason, .. }) if reason == "timeout"));
    let late = Guest::enter(&mut room, "B", b.proof()).expect("in");
    assert_ne!(late.seat.id, b.seat.id);
}

#[test]
fn a_second_socket_of_the_same_member_replaces_the_first() {
    let mut room = room(|_| {});
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let again = Guest::enter(&mut room, "A", a.proof()).expect("in");
    assert_eq!(again.seat.id, a.seat.id);
    assert_eq!(a.letters.end.try_recv().expect("told").code, ErrorCode::Replaced);
}

#[test]
fn who_does_not_read_is_dropped_and_the_others_are_told() {
    let mut room = room(|_| {});
    let now = Instant::now();
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let mut b = Guest::enter(&mut room, "B", None).expect("in");
    while a.hears().is_some() {}
    for _ in 0..9 {
        room.hear(&a.seat, ClientMessage::Tracks { tracks: Vec::new() }, now);
    }
    assert_eq!(b.letters.end.try_recv().expect("told").code, ErrorCode::Slow);
    assert!(matches!(a.hears(), Some(ServerMessage::PeerLeft { reason, .. }) if reason == "kicked"));
    assert_eq!(room.members.len(), 1);
}

#[test]
fn no_burst_of_signals_puts_a_member_behind() {
    let mut room = room(|_| {});
    let now = Instant::now();
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let mut b = Guest::enter(&mut room, "B", None).expect("in");
    while a.hears().is_some() {}
    for _ in 0..9 {
        room.hear(&a.seat, ClientMessage::Signal { to: b.seat.id.clone(), body: last_candidate() }, now);
    }
    assert!(b.letters.end.try_recv().is_err() && room.members.len() == 2, "who is sent too much stays");
    assert_eq!(std::iter::from_fn(|| b.hears()).count(), 4, "half of the queue is for what others send");
    assert!(
        matches!(a.hears(), Some(ServerMessage::Error { code: ErrorCode::Busy, .. })),
        "who sends too much is told"
    );
}

#[test]
fn what_is_kept_for_an_absent_member_is_bounded() {
    let mut room = room(|limits| limits.queue_messages = 4);
    let now = Instant::now();
    let mut a = Guest::enter(&mut room, "A", None).expect("in");
    let b = Guest::enter(&mut room, "B", None).expect("in");
    room.depart(&b.seat, Departure::Lost, now);
    for _ in 0..4 {
        room.hear(&a.seat, ClientMessage::Signal { to: b.seat.id.clone(), body: last_candidate() }, now);
    }
    let told = std::iter::from_fn(|| a.hears());
    let busy = told.filter(|m| matches!(m, ServerMessage::Error { code: ErrorCode::Busy, .. })).count();
    assert_eq!(busy, 2, "two are kept, two are not");
}

#[test]
fn secrets_are_compared_whole() {
    assert!(same_secret("abc", "abc"));
    assert!(!same_secret("abc", "abd") && !same_secret("abc", "ab") && !same_secret("", "a"));
}
