//! A room seen through a glass: what goes in or comes out is changed, left out or noted, for tests of odd rooms and members.

use async_trait::async_trait;
use roombot::error::Result;
use roombot::room::participant::Participant;
use roombot::signal::{JoinAs, Link, SignalCommand, SignalEvent, Signaller};
use std::sync::Arc;
use tokio::sync::mpsc;

type Outgoing = Arc<dyn Fn(SignalCommand) -> Option<SignalCommand> + Send + Sync>;
type Incoming = Arc<dyn Fn(SignalEvent) -> Option<SignalEvent> + Send + Sync>;

/// A room with a filter on either way.
pub struct Glass {
    room: Box<dyn Signaller>,
    out: Outgoing,
    into: Incoming,
}

impl Glass {
    /// Changes nothing.
    pub fn clear(room: Box<dyn Signaller>) -> Glass {
        Glass { room, out: Arc::new(Some), into: Arc::new(Some) }
    }
    /// With a filter on what the member says.
    pub fn saying(mut self, f: impl Fn(SignalCommand) -> Option<SignalCommand> + Send + Sync + 'static) -> Self {
        self.out = Arc::new(f);
        self
    }
    /// With a filter on what the member hears. Those who are there already come as [`SignalEvent::Joined`], too.
    pub fn hearing(mut self, f: impl Fn(SignalEvent) -> Option<SignalEvent> + Send + Sync + 'static) -> Self {
        self.into = Arc::new(f);
        self
    }
}

#[async_trait]
impl Signaller for Glass {
    async fn join(&self, how: JoinAs) -> Result<Link> {
        let mut link = self.room.join(how).await?;
        let there = |participant: Participant| match (self.into)(SignalEvent::Joined(participant)) {
            Some(SignalEvent::Joined(participant)) => Some(participant),
            _ => None,
        };
        let peers = std::mem::take(&mut link.peers).into_iter().filter_map(there).collect();
        let (commands, mut said) = mpsc::channel(1024);
        let (heard, events) = mpsc::channel(1024);
        let (out, into) = (self.out.clone(), self.into.clone());
        let inner = link.commands.clone();
        tokio::spawn(async move {
            while let Some(command) = said.recv().await {
                if let Some(command) = out(command) {
                    let _ = inner.send(command).await;
                }
            }
        });
        tokio::spawn(async move {
            while let Some(event) = link.events.recv().await {
                if let Some(event) = into(event)
                    && heard.send(event).await.is_err()
                {
                    return;
                }
            }
        });
        Ok(Link {
            me: link.me,
            room: link.room,
            peers,
            ice_servers: link.ice_servers,
            policy: link.policy,
            events,
            commands,
        })
    }
}
