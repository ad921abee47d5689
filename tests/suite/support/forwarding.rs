//! A room in memory that a recorder takes for one with a server: whoever joins it is the server, and forwards what somebody else sends.

use async_trait::async_trait;
use roombot::error::Result;
use roombot::room::participant::{Participant, ParticipantId, Role, TrackLabel};
use roombot::room::policy::NegotiationPolicy;
use roombot::signal::memory::MemoryRoom;
use roombot::signal::{JoinAs, Link, SignalEvent, Signaller};
use tokio::sync::mpsc;

pub struct Forwarding {
    room: MemoryRoom,
    /// Who is behind the server.
    behind: Participant,
}

impl Forwarding {
    /// The server forwards one track of somebody with this name.
    pub fn of(room: MemoryRoom, name: &str, track: TrackLabel) -> Forwarding {
        let (id, role) = (ParticipantId(format!("behind-{name}")), Role::Participant);
        Forwarding { room, behind: Participant { id, name: name.to_owned(), role, tracks: vec![track] } }
    }
}

/// What the recorder hears of it.
fn translated(event: SignalEvent, behind: &Participant) -> Vec<SignalEvent> {
    match event {
        SignalEvent::Joined(server) => {
            let policy = NegotiationPolicy { sfu: Some(server.id.clone()), ..NegotiationPolicy::default() };
            vec![
                SignalEvent::SfuConnection { id: server.id, policy: NegotiationPolicy::default() },
                SignalEvent::JoinedWith { who: behind.clone(), policy },
            ]
        }
        SignalEvent::Left { id, reason } => {
            let gone = |id: ParticipantId| SignalEvent::Left { id, reason: reason.clone() };
            vec![gone(behind.id.clone()), gone(id)]
        }
        SignalEvent::Tracks { .. } => vec![],
        other => vec![other],
    }
}

#[async_trait]
impl Signaller for Forwarding {
    async fn join(&self, how: JoinAs) -> Result<Link> {
        let mut link = self.room.join(how).await?;
        let (heard, events) = mpsc::channel(1024);
        let behind = self.behind.clone();
        let mut inner = std::mem::replace(&mut link.events, events);
        tokio::spawn(async move {
            while let Some(event) = inner.recv().await {
                for event in translated(event, &behind) {
                    if heard.send(event).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(link)
    }
}
