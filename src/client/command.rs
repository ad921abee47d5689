//! What handles ask of the client's actor. Values only.

use crate::room::media::MediaKind;
use crate::room::participant::ParticipantId;
use crate::rtc::{ChannelRequest, ChannelSpec, OutboundTrack};
use std::time::Duration;
use tokio::sync::oneshot;

/// A command to the client's actor.
pub(crate) enum Command {
    Publish(OutboundTrack),
    PublishTo(ParticipantId, OutboundTrack),
    Mute(String, MediaKind, bool),
    Unpublish(String, Option<MediaKind>),
    KeyFrame(ParticipantId, u32),
    RestartIce(Option<ParticipantId>),
    Say(Option<ParticipantId>, String, oneshot::Sender<ChatDelivery>),
    OpenChannel(OpenChannel),
    Leave,
}

/// A chat message on its way to everybody who was in the room.
#[derive(Default)]
pub struct ChatDelivery(pub(crate) Vec<(ParticipantId, oneshot::Receiver<()>)>);

impl ChatDelivery {
    /// Waits until it was delivered to everybody, at most `patience`; returns to whom it was.
    pub async fn delivered(self, patience: Duration) -> Vec<ParticipantId> {
        let until = tokio::time::Instant::now() + patience;
        let mut heard = Vec::new();
        for (id, arrived) in self.0 {
            if let Ok(Ok(())) = tokio::time::timeout_at(until, arrived).await {
                heard.push(id);
            }
        }
        heard
    }
}

/// Asks the room's actor for a channel to a participant, by their id or, for who came back with another, by their name.
pub(crate) struct OpenChannel {
    pub to: ParticipantId,
    pub name: Option<String>,
    pub spec: ChannelSpec,
    /// None: they are not there. No request: there are no files in their kind of room.
    pub reply: oneshot::Sender<Option<(Option<ChannelRequest>, String)>>,
}
