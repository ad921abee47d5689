//! Handles for code that acts in a room but does not own the client. They do not keep the client alive and decide nothing.

use crate::client::command::Command;
use crate::client::transfers;
use crate::client::transfers::{FileSend, Sending};
use crate::room::participant::{ParticipantId, TrackLabel};
use crate::rtc::OutboundTrack;
use tokio::sync::{mpsc, oneshot};

/// Requests key frames of participants; does not keep the client alive.
#[derive(Clone)]
pub struct KeyFrameRequester(mpsc::WeakSender<Command>);

impl KeyFrameRequester {
    pub(super) fn of(session: &mpsc::Sender<Command>) -> KeyFrameRequester {
        KeyFrameRequester(session.downgrade())
    }
    /// Requests a key frame of one stream (PLI). Never waits; a request that does not fit into the queue is dropped, as receivers repeat theirs.
    pub fn request_key_frame(&self, id: &ParticipantId, ssrc: u32) {
        if let Some(commands) = self.0.upgrade() {
            let _ = commands.try_send(Command::KeyFrame(id.clone(), ssrc));
        }
    }
}

/// Acts in a room; does not keep the client alive. Calls wait while 256 commands are queued.
#[derive(Clone)]
pub struct Handle(mpsc::WeakSender<Command>);

impl Handle {
    pub(super) fn of(session: &mpsc::Sender<Command>) -> Handle {
        Handle(session.downgrade())
    }
    /// Sends a track to one participant only (renegotiates with them); it ends with their connection.
    pub async fn publish_to(&self, id: &ParticipantId, track: OutboundTrack) {
        self.send(Command::PublishTo(id.clone(), track)).await;
    }
    /// Sends a track to everybody.
    pub async fn publish(&self, track: OutboundTrack) {
        self.send(Command::Publish(track)).await;
    }
    /// Stops sending a track.
    pub async fn unpublish(&self, label: &TrackLabel) {
        self.send(Command::Unpublish(label.stream.clone(), Some(label.kind))).await;
    }
    /// Labels a published track as muted, or no longer: nothing comes on it for a while. No renegotiation.
    pub async fn mute(&self, label: &TrackLabel, muted: bool) {
        self.send(Command::Mute(label.stream.clone(), label.kind, muted)).await;
    }
    /// As [`crate::client::Client::say`].
    pub async fn say(&self, to: Option<&ParticipantId>, text: &str) {
        // Whether it was heard is not waited for.
        self.send(Command::Say(to.cloned(), text.to_owned(), oneshot::channel().0)).await;
    }
    /// As [`KeyFrameRequester::request_key_frame`].
    pub fn request_key_frame(&self, id: &ParticipantId, ssrc: u32) {
        KeyFrameRequester(self.0.clone()).request_key_frame(id, ssrc);
    }
    /// As [`crate::client::Client::send_file`].
    pub fn send_file(&self, to: &ParticipantId, file: FileSend) -> Sending {
        transfers::start(self.0.clone(), to.clone(), file)
    }
    async fn send(&self, command: Command) {
        if let Some(commands) = self.0.upgrade() {
            let _ = commands.send(command).await;
        }
    }
}
