//! The adapter for Janus against a transcript of a real one, as `twins.rs` has it for others. Whoever publishes there has to have a
//! connection that stands, so the others are people of ours, while the transcript is made.

use crate::support::echoes::Person;
use crate::support::janus::Janus;
use crate::support::member::Member;
use crate::support::pause;
use crate::support::twin::{Scribe, Twin};
use crate::support::within;
use roombot::room::description::Candidate;
use roombot::room::media::{MediaKind, Source};
use roombot::room::participant::{ParticipantId, Role, TrackLabel};
use roombot::room::policy::FirstOffer;
use roombot::signal::{JoinAs, OfferRequest, Signal, SignalCommand, SignalEvent, for_url};
use std::time::Duration;

const ROOMS: &str = "room-7: { pin = \"open sesame\"\n publishers = 6\n audiocodec = \"opus\"\n videocodec = \"vp8\" }";
/// What is ours in descriptions: nobody ever connects by it.
const OURS: &str = "a=ice-ufrag:twin\r\na=ice-pwd:twintwintwintwintwintwin\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n";

/// Others in the room, where the server is a real one. A twin says what comes of them itself.
struct Others<'a>(Option<&'a Janus>);

impl Others<'_> {
    async fn enter(&self, name: &str) -> Option<Person> {
        let url = self.0?.room("7?pin=open%20sesame");
        let mut person = Person::at(&url, name).await.expect("joins");
        person.play("fixtures/alice.webm");
        Some(person)
    }
    /// Time for what they do to be done.
    async fn settle(&self) {
        if self.0.is_some() {
            pause(Duration::from_secs(3), "the real one does what it was asked").await;
        }
    }
}

/// What an offer is answered with: everything that it sends is received.
fn answer(offer: &str) -> String {
    let (mut out, mut in_section) = (String::new(), false);
    for line in offer.lines() {
        in_section |= line.starts_with("m=");
        let theirs =
            ["a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=ssrc", "a=msid", "a=candidate", "a=end-of-candidates"];
        match line {
            line if theirs.iter().any(|begin| line.starts_with(begin)) => {}
            "a=sendonly" => out.push_str("a=recvonly\r\n"),
            "a=setup:actpass" => out.push_str(&format!("a=setup:active\r\n{OURS}")),
            line => out.push_str(&format!("{line}\r\n")),
        }
    }
    assert!(in_section, "{offer}");
    out
}

/// An offer of sound and picture.
fn offer() -> String {
    let section = |mid: u8, line: &str, codec: &str, track: &str| {
        format!(
            "m={line}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=sendonly\r\na=msid:face {track}\r\na=rtcp-mux\r\na=setup:actpass\r\n{OURS}{codec}\r\n"
        )
    };
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n".to_owned()
        + &section(0, "audio 9 UDP/TLS/RTP/SAVPF 111", "a=rtpmap:111 opus/48000/2", "sound")
        + &section(1, "video 9 UDP/TLS/RTP/SAVPF 96", "a=rtpmap:96 VP8/90000", "picture")
}

/// The next event that is no candidate of the server's.
async fn next(member: &mut Member) -> SignalEvent {
    loop {
        match member.next().await {
            SignalEvent::Signal { signal: Signal::Candidate(_), .. } => {}
            event => return event,
        }
    }
}

/// A connection is to be made to the server; who makes the offer.
async fn carrier(member: &mut Member, first: FirstOffer) -> ParticipantId {
    match next(member).await {
        SignalEvent::SfuConnection { id, policy } => {
            assert_eq!(policy.first_offer, first);
            id
        }
        other => panic!("{other:?}"),
    }
}

async fn joined(member: &mut Member, name: &str) -> ParticipantId {
    match next(member).await {
        SignalEvent::Joined(who) => {
            assert_eq!(who.name, name);
            who.id
        }
        other => panic!("{other:?}"),
    }
}

/// Somebody has sound and picture now, or nothing any more; in which sections.
async fn labelled(member: &mut Member, who: &ParticipantId) -> Vec<String> {
    match next(member).await {
        SignalEvent::Tracks { id, tracks } => {
            assert_eq!(&id, who);
            let mut sources: Vec<Source> = tracks.iter().map(|track| track.source).collect();
            sources.sort_by_key(|source| source.word());
            assert_eq!(sources, [Source::Camera, Source::Mic]);
            tracks.into_iter().map(|track| track.stream).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The server offers, and is answered.
async fn offered(member: &mut Member, listening: &ParticipantId, sections: usize) {
    let offer = next(member).await;
    answered(member, offer, listening, sections).await;
}

/// An offer of so many sections, each called as its stream is, is answered.
async fn answered(member: &Member, offer: SignalEvent, listening: &ParticipantId, sections: usize) {
    let SignalEvent::Signal { from, signal: Signal::Description(offer) } = offer else { panic!("{offer:?}") };
    assert_eq!((&from, offer.kind.as_str()), (listening, "offer"));
    assert_eq!(offer.sdp.matches("\nm=").count(), sections, "{}", offer.sdp);
    for mid in 0..sections {
        assert!(offer.sdp.contains(&format!("a=msid:{mid} {mid}\r\n")), "{}", offer.sdp);
    }
    assert_eq!(offer.sdp.matches("a=sendonly").count(), sections, "a place never closes: {}", offer.sdp);
    member.signals(listening, Signal::description("answer", answer(&offer.sdp))).await;
}

/// Somebody takes away what they send, and goes.
async fn goes(member: &mut Member, who: ParticipantId) {
    assert_eq!(next(member).await, SignalEvent::Tracks { id: who.clone(), tracks: Vec::new() });
    assert_eq!(next(member).await, SignalEvent::Left { id: who, reason: "left".into() });
}

async fn candidates(member: &Member, of: &ParticipantId) {
    let one = Candidate {
        candidate: "candidate:1 1 udp 2122260223 127.0.0.1 9 typ host".into(),
        sdp_mid: Some("0".into()),
        sdp_m_line_index: Some(0),
        username_fragment: Some("twin".into()),
    };
    for candidate in [Some(one), None] {
        member.signals(of, Signal::Candidate(candidate)).await;
    }
}

async fn a_stay(url: &str, others: Others<'_>) {
    let alice_herself = others.enter("Alice").await;
    others.settle().await;
    let mut bot = Member::join_as(&format!("{url}/7?pin=open%20sesame"), Role::Bot).await;
    let speaking = carrier(&mut bot, FirstOffer::Us).await;
    let alice = joined(&mut bot, "Alice").await;
    let listening = carrier(&mut bot, FirstOffer::Them).await;
    let hers = labelled(&mut bot, &alice).await;
    offered(&mut bot, &listening, 2).await;
    others.settle().await;

    // What is ours is offered, described, and taken.
    let label = |kind: MediaKind, source| TrackLabel { stream: "face".into(), kind, source, muted: false };
    let labels = vec![label(MediaKind::Audio, Source::Mic), label(MediaKind::Video, Source::Camera)];
    bot.does(SignalCommand::Tracks(labels)).await;
    bot.signals(&speaking, Signal::description("offer", offer())).await;
    let SignalEvent::Signal { from, signal: Signal::Description(taken) } = next(&mut bot).await else {
        panic!("no description")
    };
    assert_eq!((&from, taken.kind.as_str(), taken.sdp.matches("\na=recvonly").count()), (&speaking, "answer", 2));
    others.settle().await;

    // A late joiner has sections of his own; who comes after somebody has left, stands in theirs.
    let bob_himself = others.enter("Bob").await;
    let bob = joined(&mut bot, "Bob").await;
    let his = labelled(&mut bot, &bob).await;
    assert!(his.iter().all(|section| !hers.contains(section)), "{hers:?} {his:?}");
    offered(&mut bot, &listening, 4).await;
    others.settle().await;
    if let Some(alice) = alice_herself {
        alice.leave().await;
    }
    goes(&mut bot, alice).await;
    let carol_herself = others.enter("Carol").await;
    let carol = joined(&mut bot, "Carol").await;
    let mut in_hers = labelled(&mut bot, &carol).await;
    in_hers.sort();
    assert_eq!(in_hers, hers);
    offered(&mut bot, &listening, 4).await;
    others.settle().await;

    // Other paths are asked for: the server offers once more. As long as something else is under way, asking does nothing.
    let offer = loop {
        bot.does(SignalCommand::RequestOffer { to: listening.clone(), request: OfferRequest::IceRestart }).await;
        if let Ok(event) = tokio::time::timeout(Duration::from_millis(200), next(&mut bot)).await {
            break event;
        }
    };
    answered(&bot, offer, &listening, 4).await;
    others.settle().await;
    for (person, id) in [(bob_himself, bob), (carol_herself, carol)] {
        if let Some(person) = person {
            person.leave().await;
        }
        goes(&mut bot, id).await;
    }
    // Last, as nobody answers there: soon after the first one Janus gives a connection up.
    for of in [&listening, &speaking] {
        candidates(&bot, of).await;
    }
    if others.0.is_some() {
        pause(Duration::from_millis(300), "the real one does what it was asked").await;
    }
    bot.leaves().await;
}

async fn real() -> Option<Janus> {
    std::env::var_os("ROOMBOT_TRANSCRIBE")?;
    Some(Janus::start(ROOMS).await.expect("Janus is there"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stay_in_a_room_of_janus() {
    if let Some(janus) = real().await {
        let scribe = Scribe::start(janus.address().port()).await;
        a_stay(&format!("janus+ws://{}", scribe.address), Others(Some(&janus))).await;
        scribe.write("janus-room").await;
    }
    let twin = Twin::start("janus-room").await;
    a_stay(&format!("janus+ws://{}", twin.address), Others(None)).await;
    twin.done().await;
}

async fn is_refused(url: &str) {
    let how = JoinAs { name: "Bot".into(), role: Role::Bot, token: None };
    let room = for_url(&format!("{url}/7?pin=guess")).expect("a room");
    let refused = within(20, "an answer", room.join(how)).await.err().expect("refused");
    assert!(matches!(refused, roombot::Error::Room(_)) && refused.to_string().contains("another pin"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_pin_at_a_room_of_janus() {
    if let Some(janus) = real().await {
        let scribe = Scribe::start(janus.address().port()).await;
        is_refused(&format!("janus+ws://{}", scribe.address)).await;
        scribe.write("janus-pin").await;
    }
    let twin = Twin::start("janus-pin").await;
    is_refused(&format!("janus+ws://{}", twin.address)).await;
    twin.done().await;
}
