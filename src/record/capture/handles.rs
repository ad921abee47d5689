//! What others hold of a recorder's thread: to hand it events, to pause it. They never wait for it.

use crate::client::event::RoomEvent;
use crate::room::end::EndReason;
use std::sync::mpsc::Sender;
use std::time::Instant;

/// What a recorder's thread is told.
pub(super) enum Command {
    Event(Instant, RoomEvent),
    Pause(bool),
    Finish(EndReason),
}

/// Hands the room's events to a recorder.
#[derive(Clone)]
pub struct EventSender(Sender<Command>);

impl EventSender {
    pub(super) fn new(commands: Sender<Command>) -> EventSender {
        EventSender(commands)
    }
    /// Something happened just now. Never waits.
    pub fn send(&self, event: RoomEvent) {
        let _ = self.0.send(Command::Event(Instant::now(), event));
    }
}

/// Pauses and resumes a recorder.
#[derive(Clone)]
pub struct Pauser(Sender<Command>);

impl Pauser {
    pub(super) fn new(commands: Sender<Command>) -> Pauser {
        Pauser(commands)
    }
    /// Pauses or resumes. Never waits.
    pub fn pause(&self, paused: bool) {
        let _ = self.0.send(Command::Pause(paused));
    }
}
