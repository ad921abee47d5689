//! Who is to get it: those who were named, or everybody who is there. It listens to what happens in the room, and sends nothing.

use crate::client::event::RoomEvent;
use crate::room::participant::{ParticipantId, is_called};
use crate::rtc::PeerState;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// How long everybody else is waited for once the first is connected, where nobody is named.
const OTHERS: Duration = Duration::from_secs(2);

/// Those who can be sent to, and those who did not come.
pub(super) struct Receivers {
    pub found: Vec<(ParticipantId, String)>,
    pub missing: Vec<String>,
}

impl Receivers {
    /// Waits until everybody named in `to` is connected, or for so long; without names, until everybody is who is there.
    pub async fn find(mut events: mpsc::Receiver<RoomEvent>, to: &[String], wait: Duration) -> Self {
        let mut there: HashMap<ParticipantId, (String, bool)> = HashMap::new();
        let mut until = Instant::now() + wait;
        loop {
            let connected: Vec<(ParticipantId, String)> = there
                .iter()
                .filter(|(_, (name, up))| *up && (to.is_empty() || to.iter().any(|to| is_called(name, to))))
                .map(|(id, (name, _))| (id.clone(), name.clone()))
                .collect();
            let complete = match to.is_empty() {
                true => !connected.is_empty() && connected.len() == there.len(),
                false => to.iter().all(|name| connected.iter().any(|(_, there)| is_called(there, name))),
            };
            if to.is_empty() && !connected.is_empty() {
                until = until.min(Instant::now() + OTHERS);
            }
            let next = if complete { Ok(None) } else { timeout_at(until, events.recv()).await };
            match next {
                Ok(Some(RoomEvent::Joined(who))) => {
                    there.insert(who.id, (who.name, false));
                }
                Ok(Some(RoomEvent::Left { id, .. })) => {
                    there.remove(&id);
                }
                Ok(Some(RoomEvent::ConnectionState { id, state })) => {
                    if let Some((_, up)) = there.get_mut(&id) {
                        *up = state == PeerState::Connected;
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    // Nobody looks on; but the room must not wait for that.
                    tokio::spawn(async move { while events.recv().await.is_some() {} });
                    let is_missing = |name: &&String| !connected.iter().any(|(_, there)| is_called(there, name));
                    let missing = to.iter().filter(is_missing).cloned().collect();
                    let mut found = connected;
                    found.sort_by(|(_, one), (_, other)| one.cmp(other));
                    return Self { found, missing };
                }
            }
        }
    }
}
