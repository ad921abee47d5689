//! A room whose members lose each other whenever the test wants: to each, everybody has left and come back.

use super::pause;
use async_trait::async_trait;
use roombot::error::Result;
use roombot::room::participant::{Participant, Role};
use roombot::signal::memory::MemoryRoom;
use roombot::signal::{JoinAs, Link, SignalEvent, Signaller};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

type Members = Vec<(Participant, mpsc::Sender<SignalEvent>)>;

/// The room, as everybody who is to be cut off sees it.
#[derive(Clone)]
pub struct Breaker {
    room: MemoryRoom,
    members: Arc<Mutex<Members>>,
}

impl Breaker {
    pub fn new(room: &MemoryRoom) -> Breaker {
        Breaker { room: room.clone(), members: Arc::default() }
    }

    /// Ends every connection between members; new ones are made at once.
    pub async fn cut(&self) {
        let mut members = self.members.lock().expect("lock").clone();
        // A recorder waits for offers, so it has to be ready for them before they come.
        members.sort_by_key(|(who, _)| who.role != Role::Recorder);
        for (who, events) in &members {
            for (other, _) in members.iter().filter(|(other, _)| other.id != who.id) {
                let left = SignalEvent::Left { id: other.id.clone(), reason: "timeout".into() };
                events.send(left).await.expect("a member");
                events.send(SignalEvent::Joined(other.clone())).await.expect("a member");
            }
            pause(std::time::Duration::from_millis(50), "members are told one after the other").await;
        }
    }
}

#[async_trait]
impl Signaller for Breaker {
    async fn join(&self, how: JoinAs) -> Result<Link> {
        let mut link = self.room.join(how).await?;
        let (heard, events) = mpsc::channel(1024);
        let me = self.room.members().into_iter().find(|who| who.id == link.me).expect("we are there");
        self.members.lock().expect("lock").push((me, heard.clone()));
        let mut inner = std::mem::replace(&mut link.events, events);
        tokio::spawn(async move {
            while let Some(event) = inner.recv().await {
                if heard.send(event).await.is_err() {
                    return;
                }
            }
        });
        Ok(link)
    }
}
