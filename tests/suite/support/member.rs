//! A member of a room by its signalling alone: what it is told is looked at, and what it says is said by hand.

use super::within;
use roombot::room::media::Source;
use roombot::room::participant::{ParticipantId, Role};
use roombot::room::policy::FirstOffer;
use roombot::signal::{JoinAs, Link, Signal, SignalCommand, SignalEvent, for_url};

pub struct Member(pub Link);

impl Member {
    pub async fn join(url: &str) -> Member {
        Member::join_as(url, Role::Participant).await
    }
    pub async fn join_as(url: &str, role: Role) -> Member {
        let how = JoinAs { name: "Bot".into(), role, token: None };
        Member(within(20, "joins", for_url(url).expect("a room").join(how)).await.expect("joins"))
    }
    pub async fn next(&mut self) -> SignalEvent {
        within(20, "an event", self.0.events.recv()).await.expect("the link lives")
    }
    pub async fn does(&self, command: SignalCommand) {
        self.0.commands.send(command).await.expect("the link lives");
    }
    pub async fn signals(&self, to: &ParticipantId, signal: Signal) {
        self.does(SignalCommand::Signal { to: to.clone(), signal }).await;
    }
    /// Somebody to be connected to: id, name, who offers, and whether they are known to be there.
    pub async fn meets(&mut self) -> (ParticipantId, String, FirstOffer, bool) {
        match self.next().await {
            SignalEvent::JoinedWith { who, policy } => (who.id, who.name, policy.first_offer, true),
            SignalEvent::Calling { who, policy } => (who.id, who.name, policy.first_offer, false),
            other => panic!("{other:?}"),
        }
    }
    pub async fn is_signalled(&mut self, by: &ParticipantId, what: Signal) {
        assert_eq!(self.next().await, SignalEvent::Signal { from: by.clone(), signal: what });
    }
    pub async fn sees_camera(&mut self, of: &ParticipantId) {
        match self.next().await {
            SignalEvent::Tracks { id, tracks } => {
                assert_eq!((&id, tracks.len()), (of, 1));
                assert_eq!((tracks[0].source, tracks[0].stream.as_str()), (Source::Camera, "face"));
            }
            other => panic!("{other:?}"),
        }
    }
    pub async fn loses(&mut self, who: &ParticipantId) {
        assert!(matches!(self.next().await, SignalEvent::Left { id, .. } if id == *who));
    }
    pub async fn leaves(mut self) {
        self.does(SignalCommand::Leave).await;
        within(10, "the link ends", async { while self.0.events.recv().await.is_some() {} }).await;
    }
}
