//! Chat: texts between members, in order, in the recording and its subtitles.

use crate::support::studio::Studio;
use crate::support::within;
use roombot::record::happening::Happening;
use roombot::room::people::{ParticipantId, Role};
use roombot::rtc::PeerEvent;
use roombot::session::{Session, SessionConfig};
use roombot::signal::JoinAs;
use tokio::sync::mpsc;

/// A member who hears what is said.
struct Listener {
    session: Session,
    happenings: mpsc::Receiver<Happening>,
}

impl Listener {
    async fn join(studio: &Studio, name: &str) -> Listener {
        let (observer, happenings) = mpsc::channel(1024);
        let how = JoinAs { name: name.into(), role: Role::Participant, token: None };
        let config = SessionConfig { observer: Some(observer), ..SessionConfig::default() };
        let session = within(5, "joins", Session::join(&studio.room, how, config)).await.expect("joins");
        Listener { session, happenings }
    }

    /// The next text, and who said it.
    async fn hears(&mut self) -> (ParticipantId, String) {
        let text = async {
            loop {
                match self.happenings.recv().await.expect("still there") {
                    Happening::Peer { id, event: PeerEvent::Text { text, .. } } => return (id, text),
                    _ => continue,
                }
            }
        };
        within(15, "a text", text).await
    }
}

#[tokio::test]
async fn texts_go_to_all_or_to_one_in_their_order() {
    let studio = Studio::new();
    let mut alice = Listener::join(&studio, "Alice").await;
    let mut bob = Listener::join(&studio, "Bob").await;
    let carol = Listener::join(&studio, "Carol").await;
    // Said before any connection is up: they wait.
    for n in 0..20 {
        carol.session.say(None, &format!("{n} äöü 🙂")).await;
    }
    carol.session.say(Some(bob.session.me()), "only for Bob").await;
    for listener in [&mut alice, &mut bob] {
        for n in 0..20 {
            assert_eq!(listener.hears().await, (carol.session.me().clone(), format!("{n} äöü 🙂")));
        }
    }
    assert_eq!(bob.hears().await.1, "only for Bob");
    bob.session.say(None, "and back").await;
    assert_eq!(alice.hears().await, (bob.session.me().clone(), "and back".to_owned()));
}
