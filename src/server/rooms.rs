//! All rooms of a server: one task a room owns its state; this finds it, or starts it. Holds its lock for a look-up only.

use super::config::RoomServerConfig;
use super::outbox::{CloseReason, Outbox};
use super::room::{Arrival, Departure, Room, Viewer};
use crate::room::participant::Participant;
use crate::signal::protocol::{ClientMessage, ErrorCode};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// Inputs that wait for a room (policy Block: its sockets stop reading, TCP pushes back).
const INBOX: usize = 256;
/// How often a room looks for members who have been away for too long.
const SWEEP: Duration = Duration::from_millis(500);

/// What sockets tell their room.
pub(super) enum Input {
    Join { arrival: Arrival, outbox: Outbox, reply: oneshot::Sender<Result<Viewer, CloseReason>> },
    Message { seat: Viewer, message: ClientMessage },
    Nonsense { seat: Viewer, why: String },
    Departed { seat: Viewer, how: Departure },
    Who { reply: oneshot::Sender<Vec<Participant>> },
}

/// What has happened since the server started; shown at `/healthz`.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) joined: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) malformed: AtomicU64,
}

/// The server's state as `/healthz` shows it: numbers, no names.
#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
    rooms: usize,
    joined: u64,
    refused: u64,
    malformed: u64,
}

/// Every open room.
pub(super) struct Rooms {
    pub(super) config: RoomServerConfig,
    pub(super) counters: Counters,
    /// Turns true when the server stops; every task that holds one is waited for.
    pub(super) stopping: watch::Receiver<bool>,
    open: Mutex<HashMap<String, mpsc::Sender<Input>>>,
}

impl Rooms {
    pub(super) fn new(config: RoomServerConfig, stopping: watch::Receiver<bool>) -> Self {
        Self { config, counters: Counters::default(), stopping, open: Mutex::default() }
    }

    /// Takes a place in a room, which opens with its first member.
    pub(super) async fn enter(
        self: &Arc<Self>,
        name: &str,
        arrival: Arrival,
        outbox: Outbox,
    ) -> Result<(Viewer, mpsc::Sender<Input>), CloseReason> {
        let (reply, answer) = oneshot::channel();
        let inbox = self.knock(name, Input::Join { arrival, outbox, reply })?;
        match answer.await {
            Ok(seat) => Ok((seat?, inbox)),
            Err(_) => Err(closing()),
        }
    }

    /// Who is in a room, in the order of arrival; nobody where there is no such room.
    pub(super) async fn people(&self, name: &str) -> Vec<Participant> {
        let Some(inbox) = self.lock().get(name).cloned() else { return Vec::new() };
        let (reply, answer) = oneshot::channel();
        // A room that closes meanwhile has nobody in it.
        let _ = inbox.send(Input::Who { reply }).await;
        answer.await.unwrap_or_default()
    }

    pub(super) fn health(&self) -> Health {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { joined, refused, malformed } = &self.counters;
        let rooms = self.lock().len();
        Health { status: "ok", rooms, joined: read(joined), refused: read(refused), malformed: read(malformed) }
    }

    /// Puts a join into a room's inbox. Done under the lock, because a room that closes looks into its inbox under it:
    /// so no join is lost between the last member of one room and the first of the next by the same name.
    fn knock(self: &Arc<Self>, name: &str, join: Input) -> Result<mpsc::Sender<Input>, CloseReason> {
        if *self.stopping.borrow() {
            return Err(closing());
        }
        let mut open = self.lock();
        let inbox = match open.get(name) {
            Some(inbox) => inbox.clone(),
            None if open.len() >= self.config.limits.rooms => {
                return Err(CloseReason::new(
                    ErrorCode::Full,
                    format!("the server is full: {} rooms are open", open.len()),
                ));
            }
            None => {
                let (inbox, messages) = mpsc::channel(INBOX);
                open.insert(name.to_owned(), inbox.clone());
                let room = Room::new(name.to_owned(), self.config.limits.clone(), self.config.ice_servers.clone());
                tokio::spawn(Arc::clone(self).keep(name.to_owned(), room, messages));
                inbox
            }
        };
        match inbox.try_send(join) {
            Ok(()) => Ok(inbox),
            Err(_) => Err(CloseReason::new(ErrorCode::Full, "the room is busy: try again in a moment")),
        }
    }

    /// A room's task: lives until the room is empty or the server stops.
    async fn keep(self: Arc<Self>, name: String, mut room: Room, mut inbox: mpsc::Receiver<Input>) {
        let mut stopping = self.stopping.clone();
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tracing::info!(room = name, "room opened");
        loop {
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => {
                    room.close(&closing());
                    self.lock().remove(&name);
                    break;
                }
                Some(input) = inbox.recv() => take(&mut room, input),
                _ = sweep.tick() => room.expire(Instant::now()),
            }
            if room.is_empty() && self.forget(&name, &inbox) {
                break;
            }
        }
        tracing::info!(room = name, "room closed");
    }

    /// Takes an empty room off the list, unless somebody is at its door.
    fn forget(&self, name: &str, inbox: &mpsc::Receiver<Input>) -> bool {
        let mut open = self.lock();
        inbox.is_empty() && open.remove(name).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Input>>> {
        // Nothing that can panic runs under the lock; a map that was poisoned all the same is still a map.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is said to everybody when the server stops.
pub(super) fn closing() -> CloseReason {
    CloseReason::new(ErrorCode::Closed, "the room server is shutting down")
}

fn take(room: &mut Room, input: Input) {
    let now = Instant::now();
    match input {
        Input::Join { arrival, outbox, reply } => {
            // A socket that is gone again already leaves a cut outbox behind, which the next sweep finds.
            let _ = reply.send(room.join(arrival, outbox));
        }
        Input::Message { seat, message } => room.hear(&seat, message, now),
        Input::Nonsense { seat, why } => room.hear_nonsense(&seat, &why),
        Input::Departed { seat, how } => room.depart(&seat, how, now),
        // Who asked may have gone.
        Input::Who { reply } => drop(reply.send(room.people())),
    }
}
