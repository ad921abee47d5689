//! Finds the receivers: the participants that were named, or all but bots. It sends nothing.

use crate::client::event::RoomEvent;
use crate::room::participant::{ParticipantId, Role, is_called};
use crate::rtc::PeerState;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Without names: how long to wait for the others once the first is connected.
const WAIT_FOR_OTHERS: Duration = Duration::from_secs(2);

/// Connected receivers, and names that did not appear.
pub(super) struct Receivers {
    pub found: Vec<(ParticipantId, String)>,
    pub missing: Vec<String>,
}

impl Receivers {
    /// Waits until everybody named in `to` is connected, or without names everybody in the room who is no bot, for at most `wait`.
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
                until = until.min(Instant::now() + WAIT_FOR_OTHERS);
            }
            let next = if complete { Ok(None) } else { timeout_at(until, events.recv()).await };
            match next {
                // Whoever is named is meant, and a recorder keeps what it gets.
                Ok(Some(RoomEvent::Joined(who))) if to.is_empty() && who.role == Role::Bot => {}
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
                    // The client blocks on a full event queue, so the rest is read and dropped.
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
