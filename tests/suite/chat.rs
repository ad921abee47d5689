//! Chat: texts between members, in order, in the recording and its subtitles.

use crate::support::studio::{Studio, finish};
use crate::support::within;
use roombot::client::event::RoomEvent;
use roombot::client::{Client, ClientConfig};
use roombot::room::participant::{ParticipantId, Role};
use roombot::signal::JoinAs;
use std::time::Duration;
use tokio::sync::mpsc;

/// A member who hears what is said.
struct Listener {
    session: Client,
    events: mpsc::Receiver<RoomEvent>,
}

impl Listener {
    async fn join(studio: &Studio, name: &str) -> Listener {
        let (observer, events) = mpsc::channel(1024);
        let how = JoinAs { name: name.into(), role: Role::Participant, token: None };
        let config = ClientConfig { observer: Some(observer), ..ClientConfig::default() };
        let session = within(5, "joins", Client::join(&studio.room, how, config)).await.expect("joins");
        Listener { session, events }
    }

    /// The next text, and who said it.
    async fn hears(&mut self) -> (ParticipantId, String) {
        let text = async {
            loop {
                match self.events.recv().await.expect("still there") {
                    RoomEvent::Chat { id, text } => return (id, text),
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

#[tokio::test]
async fn a_recording_keeps_what_was_said() {
    let studio = Studio::new();
    let alice = studio.sender("Alice <b>", vec![]).await;
    let recording = studio.recorder(None).await;
    let text = "one --> two\n\n& three";
    let heard = async {
        // Nobody hears what is said before they are seen in the room.
        while alice.say(None, text).await.delivered(Duration::from_secs(15)).await != [recording.me().clone()] {}
    };
    within(20, "the recorder hears", heard).await;
    alice.say(None, &"x".repeat(70_000)).await;
    let said = alice.say(None, "bye").await;
    assert_eq!(said.delivered(Duration::from_secs(15)).await.len(), 1);
    // Gone before the recorder has it in its account: it is in it all the same.
    alice.leave().await;
    let summary = finish(recording).await;
    let vtt = std::fs::read_to_string(summary.folder.join("chat.vtt")).expect("subtitles");
    assert!(vtt.starts_with("WEBVTT\n\n1\n00:00:0"), "{vtt}");
    assert!(vtt.contains("\n<v Alice &lt;b&gt;>one --&gt; two\n&amp; three\n\n2\n"), "{vtt}");
    assert!(vtt.ends_with("\n<v Alice &lt;b&gt;>bye\n"), "what is too long is no chat: {vtt}");
}
