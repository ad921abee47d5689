//! A room in this process, with the rules of the real one and without sockets, for tests. Never reconnects.

use super::names::{display_name, is_room_name, numbered};
use super::protocol::limits;
use super::signaller::{JoinAs, Link, SignalCommand, SignalEvent, Signaller};
use crate::error::{Error, Result};
use crate::room::end::{EndReason, ROOM_FULL};
use crate::room::participant::{Participant, ParticipantId};
use crate::room::policy::NegotiationPolicy;
use async_trait::async_trait;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Events and commands that wait for one member. A member whose queue is full is removed, as by the room server.
const QUEUE: usize = 1024;

/// A room in memory. Clones are the same room.
#[derive(Clone)]
pub struct MemoryRoom {
    name: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    members: Vec<Member>,
    joins: u64,
}

struct Member {
    who: Participant,
    events: mpsc::Sender<SignalEvent>,
}

impl MemoryRoom {
    /// An empty room.
    ///
    /// # Errors
    /// The user must act: the name breaks the rules of room names.
    pub fn new(name: &str) -> Result<MemoryRoom> {
        if !is_room_name(name) {
            return Err(Error::user(format!("{name:?} is no room name")));
        }
        Ok(MemoryRoom { name: name.to_owned(), state: Arc::default() })
    }

    /// The members, in the order of joining.
    pub fn members(&self) -> Vec<Participant> {
        self.lock().members.iter().map(|m| m.who.clone()).collect()
    }

    /// Removes a member as if its socket had been silent for too long; false when it is not there.
    pub fn lose(&self, id: &ParticipantId) -> bool {
        self.lock().remove(id, "timeout").is_some()
    }

    /// Closes the room: every member gets [`SignalEvent::Closed`].
    pub fn close(&self, cause: &str) {
        for member in self.lock().members.drain(..) {
            // A member that has dropped its link does not need it.
            let _ = member.events.try_send(SignalEvent::Closed(EndReason::RoomClosed { detail: cause.to_owned() }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Signaller for MemoryRoom {
    async fn join(&self, how: JoinAs) -> Result<Link> {
        let name = display_name(&how.name, limits::NAME_CHARS);
        let name = name.ok_or_else(|| Error::room(format!("the room refused the name {:?}", how.name)))?;
        let (events, link_events) = mpsc::channel(QUEUE);
        let (link_commands, mut commands) = mpsc::channel(QUEUE);
        let (me, peers) = {
            let mut state = self.lock();
            if state.members.len() >= limits::ROOM_MEMBERS {
                let full = Error::room(format!("the room is full: {} are there", state.members.len()));
                return Err(full.coded(ROOM_FULL));
            }
            let name = numbered(&name, limits::NAME_CHARS, |name| state.members.iter().any(|m| m.who.name == name));
            state.joins += 1;
            // Ids sort in the order of joining, so that tests know who is polite.
            let id = ParticipantId(format!("m{:04}", state.joins));
            let who = Participant { id: id.clone(), name, role: how.role, tracks: Vec::new() };
            let peers = state.members.iter().map(|m| m.who.clone()).collect();
            state.broadcast(None, &SignalEvent::Joined(who.clone()));
            state.members.push(Member { who, events });
            (id, peers)
        };
        let (room, id) = (self.clone(), me.clone());
        tokio::spawn(async move {
            while let Some(command) = commands.recv().await {
                if !room.lock().on_command(&id, command) {
                    break;
                }
            }
            room.lock().remove(&id, "left");
        });
        let room = self.name.clone();
        Ok(Link {
            me,
            room,
            peers,
            ice_servers: Vec::new(),
            policy: NegotiationPolicy::default(),
            events: link_events,
            commands: link_commands,
        })
    }
}

impl State {
    /// Carries a command out; false when the member has left by it.
    fn on_command(&mut self, from: &ParticipantId, command: SignalCommand) -> bool {
        match command {
            SignalCommand::Signal { to, signal } => {
                let target = self.members.iter().find(|m| m.who.id == to && m.who.id != *from);
                let event = SignalEvent::Signal { from: from.clone(), signal };
                if target.is_some_and(|target| target.events.try_send(event).is_err()) {
                    self.remove(&to, "kicked");
                }
            }
            SignalCommand::Tracks(tracks) => {
                if let Some(member) = self.members.iter_mut().find(|m| m.who.id == *from) {
                    member.who.tracks.clone_from(&tracks);
                    self.broadcast(Some(from), &SignalEvent::Tracks { id: from.clone(), tracks });
                }
            }
            SignalCommand::RequestOffer { .. } | SignalCommand::Chat { .. } | SignalCommand::Peer { .. } => {}
            SignalCommand::Leave => return false,
        }
        true
    }

    fn broadcast(&mut self, except: Option<&ParticipantId>, event: &SignalEvent) {
        let recipients = self.members.iter().filter(|m| Some(&m.who.id) != except);
        let overloaded: Vec<_> =
            recipients.filter(|m| m.events.try_send(event.clone()).is_err()).map(|m| m.who.id.clone()).collect();
        for id in overloaded {
            self.remove(&id, "kicked");
        }
    }

    fn remove(&mut self, id: &ParticipantId, reason: &str) -> Option<Member> {
        let index = self.members.iter().position(|m| m.who.id == *id)?;
        let member = self.members.remove(index);
        self.broadcast(None, &SignalEvent::Left { id: id.clone(), reason: reason.to_owned() });
        Some(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::media::{MediaKind, Source};
    use crate::room::participant::{Role, TrackLabel};
    use crate::signal::Signal;
    use std::time::Duration;

    async fn enter(room: &MemoryRoom, name: &str) -> Link {
        room.join(JoinAs { name: name.into(), role: Role::Participant, token: None }).await.expect("in")
    }

    async fn next(link: &mut Link) -> SignalEvent {
        tokio::time::timeout(Duration::from_secs(5), link.events.recv()).await.expect("in time").expect("an event")
    }

    #[tokio::test]
    async fn people_meet_talk_and_leave() {
        let room = MemoryRoom::new("test").expect("a room");
        let mut alice = enter(&room, "Alice").await;
        let mut other = enter(&room, "Alice").await;
        assert!(matches!(next(&mut alice).await, SignalEvent::Joined(p) if p.name == "Alice 2" && p.id == other.me));
        assert_eq!(other.peers.iter().map(|p| &p.id).collect::<Vec<_>>(), [&alice.me]);

        let label = TrackLabel { stream: "s".into(), kind: MediaKind::Video, source: Source::Screen, muted: false };
        other.commands.send(SignalCommand::Tracks(vec![label.clone()])).await.expect("sent");
        assert_eq!(next(&mut alice).await, SignalEvent::Tracks { id: other.me.clone(), tracks: vec![label.clone()] });
        assert_eq!(enter(&room, "Carol").await.peers[1].tracks, [label]);

        let signal = Signal::Candidate(None);
        alice
            .commands
            .send(SignalCommand::Signal { to: other.me.clone(), signal: signal.clone() })
            .await
            .expect("sent");
        while !matches!(next(&mut other).await, SignalEvent::Signal { from, .. } if from == alice.me) {}

        other.commands.send(SignalCommand::Leave).await.expect("sent");
        loop {
            if let SignalEvent::Left { id, reason } = next(&mut alice).await
                && id == other.me
            {
                assert_eq!(reason, "left");
                break;
            }
        }
    }

    #[tokio::test]
    async fn dropping_the_link_leaves_and_closing_tells_everybody() {
        let room = MemoryRoom::new("test").expect("a room");
        let mut alice = enter(&room, "Alice").await;
        drop(enter(&room, "Bob").await);
        assert!(matches!(next(&mut alice).await, SignalEvent::Joined(_)));
        assert!(matches!(next(&mut alice).await, SignalEvent::Left { .. }));
        room.close("over");
        assert_eq!(next(&mut alice).await, SignalEvent::Closed(EndReason::RoomClosed { detail: "over".into() }));
        assert!(room.members().is_empty());
    }
}
