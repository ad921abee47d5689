//! All rooms of a server. Each room's state belongs to a task, which is found or started here. The lock is held for a look-up only.

use super::config::RoomServerConfig;
use super::outbox::{CloseReason, Outbox};
use super::room::{Departure, JoinRequest, Membership, Room};
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
/// How often a room does what has to wait, and looks for members whose socket has been lost for too long.
const TICK: Duration = Duration::from_millis(500);

/// What sockets send to their room.
pub(super) enum RoomInput {
    Join { request: JoinRequest, outbox: Outbox, reply: oneshot::Sender<Result<Membership, CloseReason>> },
    Message { membership: Membership, message: ClientMessage },
    Malformed { membership: Membership, why: String },
    Departed { membership: Membership, how: Departure },
    ListParticipants { reply: oneshot::Sender<Vec<Participant>> },
}

/// Counts since the server started, for `/healthz`.
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
    /// Becomes true when the server stops, which waits for every task that holds a clone.
    pub(super) stopping: watch::Receiver<bool>,
    open: Mutex<HashMap<String, mpsc::Sender<RoomInput>>>,
}

impl Rooms {
    pub(super) fn new(config: RoomServerConfig, stopping: watch::Receiver<bool>) -> Self {
        Self { config, counters: Counters::default(), stopping, open: Mutex::default() }
    }

    /// Joins a room, which opens with its first member.
    pub(super) async fn join(
        self: &Arc<Self>,
        name: &str,
        request: JoinRequest,
        outbox: Outbox,
    ) -> Result<(Membership, mpsc::Sender<RoomInput>), CloseReason> {
        let (reply, answer) = oneshot::channel();
        let inbox = self.send_join(name, RoomInput::Join { request, outbox, reply })?;
        match answer.await {
            Ok(membership) => Ok((membership?, inbox)),
            Err(_) => Err(shutting_down()),
        }
    }

    /// Who is in a room, in the order of request; nobody where there is no such room.
    pub(super) async fn participants(&self, name: &str) -> Vec<Participant> {
        let Some(inbox) = self.lock().get(name).cloned() else { return Vec::new() };
        let (reply, answer) = oneshot::channel();
        // A room that closes meanwhile is empty.
        let _ = inbox.send(RoomInput::ListParticipants { reply }).await;
        answer.await.unwrap_or_default()
    }

    pub(super) fn health(&self) -> Health {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { joined, refused, malformed } = &self.counters;
        let rooms = self.lock().len();
        Health { status: "ok", rooms, joined: read(joined), refused: read(refused), malformed: read(malformed) }
    }

    /// Puts a join into a room's inbox. Under the lock, because a closing room checks its inbox under it: so no join is lost between the last
    /// member of one room and the first of the next one with the same name.
    fn send_join(self: &Arc<Self>, name: &str, join: RoomInput) -> Result<mpsc::Sender<RoomInput>, CloseReason> {
        if *self.stopping.borrow() {
            return Err(shutting_down());
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
                tokio::spawn(Arc::clone(self).run_room(name.to_owned(), room, messages));
                inbox
            }
        };
        match inbox.try_send(join) {
            Ok(()) => Ok(inbox),
            Err(_) => Err(CloseReason::new(ErrorCode::Full, "the room is busy: try again in a moment")),
        }
    }

    /// A room's task: lives until the room is empty or the server stops.
    async fn run_room(self: Arc<Self>, name: String, mut room: Room, mut inbox: mpsc::Receiver<RoomInput>) {
        let mut stopping = self.stopping.clone();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tracing::info!(room = name, "room opened");
        loop {
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => {
                    room.close(&shutting_down());
                    self.lock().remove(&name);
                    break;
                }
                Some(input) = inbox.recv() => handle(&mut room, input),
                _ = tick.tick() => room.on_tick(Instant::now()),
            }
            if room.is_empty() && self.remove_if_unused(&name, &inbox) {
                break;
            }
        }
        tracing::info!(room = name, "room closed");
    }

    /// Removes an empty room, unless a join waits in its inbox.
    fn remove_if_unused(&self, name: &str, inbox: &mpsc::Receiver<RoomInput>) -> bool {
        let mut open = self.lock();
        inbox.is_empty() && open.remove(name).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<RoomInput>>> {
        // A panic under the lock would leave the map usable.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reason for every socket when the server stops.
pub(super) fn shutting_down() -> CloseReason {
    CloseReason::new(ErrorCode::Closed, "the room server is shutting down")
}

fn handle(room: &mut Room, input: RoomInput) {
    let now = Instant::now();
    match input {
        RoomInput::Join { request, outbox, reply } => {
            // If the socket has ended meanwhile, the next tick finds that.
            let _ = reply.send(room.join(request, outbox, now));
        }
        RoomInput::Message { membership, message } => room.on_message(&membership, message, now),
        RoomInput::Malformed { membership, why } => room.on_malformed(&membership, &why),
        RoomInput::Departed { membership, how } => room.on_departed(&membership, how, now),
        // The caller may have gone.
        RoomInput::ListParticipants { reply } => drop(reply.send(room.participants())),
    }
}
