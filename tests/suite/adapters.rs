//! One behaviour in every kind of room: whoever writes an adapter implements [`Venue`] for it and adds a line to the table.

use crate::support::echoes::Person;
use crate::support::moment;
use crate::support::needs::needed;
use crate::support::sight::Sight;
use crate::support::venue::{Call, Guide, Outside, Own, Venue, VideoRoom};
use crate::support::within;
use roombot::client::{Client, ClientConfig};
use roombot::room::media::{MediaKind, Source};
use roombot::room::participant::Role;
use roombot::signal::{JoinAs, for_url};

/// The table: a test's name, and the kind of room.
macro_rules! adapters {
    ($($name:ident: $venue:ty;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                behaves::<$venue>().await;
            }
        )*
    };
}

adapters! {
    our_own_rooms: Own;
    the_guides_mesh: Guide<true>;
    the_guides_rooms_for_two: Guide<false>;
    group_calls_of_socket_io: Call;
    video_rooms_of_janus: VideoRoom;
    who_sends_by_whip: Outside<true>;
    who_watches_by_whep: Outside<false>;
}

/// Seconds for anything to happen, on a machine that has other things to do.
const PATIENCE: u64 = 40;
const FILM: &str = "fixtures/alice.webm";

async fn enter<V: Venue>(venue: &V, number: usize, name: &str) -> Person {
    let mut person =
        Person::with_role(&venue.url(number), name, V::ROLE).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    if V::HAS.media {
        person.play(FILM);
    }
    person
}

/// So many others are there, and what they say and send arrives from now on, as far as the member with this number hears anything.
async fn meets<V: Venue>(person: &Person, number: usize, others: usize) {
    let others = V::heard(number, others);
    if others == 0 {
        return;
    }
    person.sees(PATIENCE, "the others are there", |sight| sight.there.len() == others).await;
    if V::HAS.media {
        let before = {
            let sight = person.sight.lock().expect("lock");
            (sight.count(MediaKind::Video), sight.count(MediaKind::Audio))
        };
        let more = |sight: &Sight| {
            sight.count(MediaKind::Video) > before.0 + 10 && sight.count(MediaKind::Audio) > before.1 + 20
        };
        person.sees(PATIENCE, "sound and picture come", more).await;
    }
}

/// Everybody hears what one of them says, once: it is said once, whatever becomes of the way there.
async fn chat<V: Venue>(from: &Person, to: &[&Person], text: &str) {
    if !V::HAS.chat {
        return;
    }
    from.session.say(None, text).await;
    for person in to {
        person.sees(PATIENCE, text, |sight| heard(sight, text) > 0).await;
    }
}

fn heard(sight: &Sight, text: &str) -> usize {
    sight.texts.iter().filter(|heard| *heard == text).count()
}

/// What is said once is not heard twice, not even over a way that broke meanwhile.
fn never_twice(person: &Person) {
    let sight = person.sight.lock().expect("lock");
    let twice: Vec<&String> = sight.texts.iter().filter(|text| heard(&sight, text) > 1).collect();
    assert!(twice.is_empty(), "heard more than once: {twice:?}");
}

async fn behaves<V: Venue>() {
    let mut venue = needed!(V::open().await);
    let refused = refusal(&venue.wrong()).await;
    assert!(matches!(refused, roombot::Error::Room(_)), "{refused}");

    // Two join; each sees the other.
    let mut alice = enter(&venue, 0, "Alice").await;
    let bob = enter(&venue, 1, "Bob").await;
    meets::<V>(&alice, 0, 1).await;
    meets::<V>(&bob, 1, 1).await;
    chat::<V>(&alice, &[&bob], "good day").await;
    chat::<V>(&bob, &[&alice], "and to you").await;

    // A late joiner sees both, and leaves again.
    if V::HAS.many {
        let carol = enter(&venue, 2, "Carol").await;
        meets::<V>(&carol, 2, 2).await;
        meets::<V>(&alice, 0, 2).await;
        chat::<V>(&carol, &[&alice, &bob], "sorry, I am late").await;
        carol.leave().await;
        for (number, person) in [&alice, &bob].into_iter().enumerate() {
            let others = V::heard(number, 1);
            person.sees(PATIENCE, "Carol has left", |sight| others == 0 || sight.there.len() == others).await;
        }
    }

    if V::HAS.mute {
        for muted in [true, false] {
            let (handle, mic) = (alice.session.handle(), alice.mic.label().clone());
            handle.mute(&mic, muted).await;
            let told =
                |sight: &Sight| sight.labels.iter().any(|label| label.source == Source::Mic && label.muted == muted);
            bob.sees(PATIENCE, "mute is told", told).await;
        }
    }

    if V::HAS.screen {
        alice.share(FILM).await;
        let shown = |sight: &Sight| {
            let mut labels = sight.labels.iter().filter(|label| label.source == Source::Screen);
            labels.any(|label| {
                sight.tracks.iter().any(|seen| seen.remote.stream == label.stream && seen.frames.len() > 5)
            })
        };
        bob.sees(PATIENCE, "the screen is seen, as one", shown).await;
    }

    // The way to the room breaks; both come back, and nothing is lost for good.
    venue.cut().await;
    for person in [&alice, &bob] {
        person.sees(PATIENCE, "back in the room", |sight| sight.lost > 0 && sight.resumed > 0).await;
    }
    meets::<V>(&alice, 0, 1).await;
    meets::<V>(&bob, 1, 1).await;
    chat::<V>(&alice, &[&bob], "still there?").await;
    never_twice(&alice);
    never_twice(&bob);

    bob.leave().await;
    alice.sees(PATIENCE, "Bob has left", |sight| sight.there.is_empty()).await;
    let bob = enter(&venue, 1, "Bob").await;
    meets::<V>(&alice, 0, 1).await;
    meets::<V>(&bob, 1, 1).await;
    let before = [&alice, &bob].map(|person| person.sight.lock().expect("lock").lost);
    venue.stop().await;
    for (person, lost) in [alice, bob].into_iter().zip(before) {
        within(PATIENCE, "the end of the room is noticed", notices(person, lost)).await;
    }
}

/// Somebody goes on to look for the room, or has been told that there is none.
async fn notices(person: Person, lost: usize) {
    let sight = person.sight.clone();
    let mut session = person.session;
    tokio::select! {
        _ = session.ended() => {}
        () = async { while sight.lock().expect("lock").lost == lost {
            moment().await;
        } } => {}
    }
}

async fn refusal(url: &str) -> roombot::error::Error {
    let how = JoinAs { name: "Eve".into(), role: Role::Participant, token: None };
    let room = for_url(url).expect("a room");
    let refused = within(PATIENCE, "an answer", Client::join(room.as_ref(), how, ClientConfig::default())).await;
    refused.err().unwrap_or_else(|| panic!("{url} let us in"))
}
