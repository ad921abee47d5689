//! The room protocol, version 1: the messages of this project's own rooms, for both ends. Pure.
//!
//! JSON text frames over a WebSocket at `/rooms/NAME`. The client speaks first ([`ClientMessage::Join`]); the server answers with
//! [`ServerMessage::Welcome`] or [`ServerMessage::Error`] and closes. `docs/protocol.md` has the examples that the tests parse.
//!
//! Who makes the first offer: the member that was there before, towards the newcomer; but a recorder never does (then the
//! newcomer does), and two recorders do not connect to each other. Everything after that is perfect negotiation, the polite
//! side being the one with the larger id.

use crate::room::description::{Candidate, Description, IceServer, Signal};
use crate::room::end::{EndReason, ROOM_FULL, TOKEN_WRONG};
use crate::room::participant::{Participant, ParticipantId, Role, TrackLabel};
use serde::{Deserialize, Serialize};

/// The version that this module speaks.
pub const VERSION: u32 = 1;

/// The default limits of a server.
pub mod limits {
    /// Bytes of one message.
    pub const MESSAGE_BYTES: usize = 256 * 1024;
    /// Messages a second from one member, averaged over ten seconds.
    pub const MESSAGES_PER_SECOND: u32 = 100;
    /// Members of one room.
    pub const ROOM_MEMBERS: usize = 64;
    /// Rooms of one server.
    pub const ROOMS: usize = 1024;
    /// Characters of a display name.
    pub const NAME_CHARS: usize = 64;
    /// Track labels of one member.
    pub const TRACKS: usize = 32;
    /// Seconds between two pings.
    pub const PING_SECONDS: u64 = 5;
    /// Seconds of silence after which a socket is lost.
    pub const SILENCE_SECONDS: u64 = 15;
    /// Seconds for which a membership is kept after its socket was lost.
    pub const RESUME_SECONDS: u64 = 15;
    /// Bytes of one track label's stream id.
    pub const STREAM_BYTES: usize = 128;
    /// Messages in the queue of one member; a member whose queue is full is removed.
    pub const QUEUE_MESSAGES: usize = 1024;
    /// The same in bytes.
    pub const QUEUE_BYTES: usize = 4 * 1024 * 1024;
    /// Sockets of one address.
    pub const SOCKETS_PER_ADDRESS: usize = 256;
}

/// What a member sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ClientMessage {
    /// The first message.
    Join {
        /// [`VERSION`].
        protocol: u32,
        /// The display name.
        name: String,
        /// What the member is.
        #[serde(default)]
        role: Role,
        /// The join token, where the server requires one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
        /// To continue an earlier membership.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume: Option<Resume>,
    },
    /// Relayed unchanged to another member.
    Signal {
        /// Which member.
        to: ParticipantId,
        /// Exactly one of `description`, `candidate` (which may be null: no more candidates) and `refused`.
        #[serde(flatten)]
        body: SignalBody,
    },
    /// The member's track labels.
    Tracks {
        /// The whole list.
        tracks: Vec<TrackLabel>,
    },
    /// The member leaves.
    Leave,
    /// Answered with a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

/// What the server sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ServerMessage {
    /// Answers a join.
    Welcome {
        /// [`VERSION`].
        protocol: u32,
        /// The member's id.
        id: ParticipantId,
        /// Proves the id in a [`Resume`].
        secret: String,
        /// The display name as the room shows it (numbered if it was taken).
        name: String,
        /// The room's name.
        room: String,
        /// True when `resume` was accepted: the others never saw the member leave.
        #[serde(default)]
        resumed: bool,
        /// The other members.
        peers: Vec<Participant>,
        /// The server's ICE servers.
        ice_servers: Vec<IceServer>,
    },
    /// Another member joined.
    PeerJoined {
        /// The member.
        peer: Participant,
    },
    /// Another member left.
    PeerLeft {
        /// Which member.
        id: ParticipantId,
        /// `left`, `timeout` or `kicked`.
        reason: String,
    },
    /// A signal of another member.
    Signal {
        /// Which member.
        from: ParticipantId,
        /// As in [`ClientMessage::Signal`].
        #[serde(flatten)]
        body: SignalBody,
    },
    /// The track labels of another member changed.
    Tracks {
        /// Which member.
        from: ParticipantId,
        /// The whole list.
        tracks: Vec<TrackLabel>,
    },
    /// Answered with a pong.
    Ping,
    /// Answers a ping.
    Pong,
    /// Something failed. Fatal errors are followed by a close.
    Error {
        /// What, for programs.
        code: ErrorCode,
        /// What, for people.
        message: String,
    },
}

/// The body of a relayed signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SignalBody {
    /// An offer, answer or rollback.
    Description {
        /// The description.
        description: Description,
    },
    /// An ICE candidate.
    Candidate {
        /// The candidate; null: there are no more.
        // With a function of its own the key must be there: a signal without a body is a mistake, not "no more candidates".
        #[serde(deserialize_with = "Option::deserialize")]
        candidate: Option<Candidate>,
    },
    /// A description of the other member could not be applied, or nothing comes over the connection.
    Refused {
        /// Why, for people.
        refused: String,
        /// The connection is to be begun anew even if it is established.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        anew: bool,
    },
}

impl From<SignalBody> for Signal {
    fn from(body: SignalBody) -> Self {
        match body {
            SignalBody::Description { description } => Signal::Description(description),
            SignalBody::Candidate { candidate } => Signal::Candidate(candidate),
            SignalBody::Refused { refused, anew: false } => Signal::Refused(refused),
            SignalBody::Refused { refused, anew: true } => Signal::Anew(refused),
        }
    }
}

impl From<Signal> for SignalBody {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Description(description) => SignalBody::Description { description },
            Signal::Candidate(candidate) => SignalBody::Candidate { candidate },
            Signal::Refused(refused) => SignalBody::Refused { refused, anew: false },
            Signal::Anew(refused) => SignalBody::Refused { refused, anew: true },
        }
    }
}

/// Proof of an earlier membership.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resume {
    /// The earlier id.
    pub id: ParticipantId,
    /// The secret of its welcome.
    pub secret: String,
}

/// The kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// Not JSON, not a message of this protocol, or not allowed now. Fatal before the welcome only.
    BadMessage,
    /// Another protocol version. Fatal.
    Version,
    /// The join token is missing or wrong. Fatal.
    Token,
    /// The room or the server is full. Fatal.
    Full,
    /// A bad room or display name. Fatal.
    Name,
    /// Too many messages. Fatal.
    Rate,
    /// A signal for a member who is not in the room.
    NoSuchPeer,
    /// A signal for a member whose queue has too many: it was not relayed.
    Busy,
    /// The membership continues on another socket. Fatal for the old one.
    Replaced,
    /// The member does not read its messages. Fatal.
    Slow,
    /// The server is shutting down. Fatal.
    Closed,
}

impl ErrorCode {
    /// The code of an error that says so, if it has one.
    pub fn of_error(self) -> Option<&'static str> {
        match self {
            ErrorCode::Full => Some(ROOM_FULL),
            ErrorCode::Token => Some(TOKEN_WRONG),
            _ => None,
        }
    }

    /// How a membership ended that the server ended with this code. `detail` is the server's message.
    pub fn end_reason(self, detail: String) -> EndReason {
        match self {
            ErrorCode::Closed => EndReason::RoomClosed { detail },
            ErrorCode::Full | ErrorCode::Token | ErrorCode::Version | ErrorCode::Name => {
                EndReason::refused(self.of_error(), detail)
            }
            ErrorCode::BadMessage
            | ErrorCode::Rate
            | ErrorCode::NoSuchPeer
            | ErrorCode::Busy
            | ErrorCode::Replaced
            | ErrorCode::Slow => EndReason::Removed { detail },
        }
    }
}

/// True where the peer with id `me` is the polite side towards `other` (W3C WebRTC 10.7, perfect negotiation).
/// A fixed function of the two ids, so that both sides agree without talking.
pub fn is_polite(me: &ParticipantId, other: &ParticipantId) -> bool {
    me.0 > other.0
}

/// Whether we make the first offer to a participant: the member that was there before does, towards the newcomer
/// (`they_are_new`); but a recorder that was there waits for the newcomer's.
pub fn makes_first_offer(me: Role, other: Role, they_are_new: bool) -> bool {
    if they_are_new { me != Role::Recorder } else { other == Role::Recorder }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fenced blocks of `docs/protocol.md` that say who sends them.
    fn examples(sender: &str) -> Vec<&'static str> {
        let fence = format!("```json {sender}\n");
        include_str!("../../docs/protocol.md")
            .split(fence.as_str())
            .skip(1)
            .map(|rest| rest.split("```").next().unwrap_or_default())
            .collect()
    }

    /// Parsing and writing again must not lose or add a key: the documentation shows whole messages.
    fn assert_round_trip<T: Serialize + serde::de::DeserializeOwned>(text: &str) {
        let message: T = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let written = serde_json::to_value(&message).expect("a message is JSON");
        let example: serde_json::Value = serde_json::from_str(text).expect("parsed above");
        assert_eq!(written, example, "the example is not what we would send");
    }

    #[test]
    fn the_documented_examples_are_messages() {
        let (client, server) = (examples("client"), examples("server"));
        assert!(client.len() >= 7, "examples of every client message, found {}", client.len());
        assert!(server.len() >= 7, "examples of every server message, found {}", server.len());
        client.into_iter().for_each(assert_round_trip::<ClientMessage>);
        server.into_iter().for_each(assert_round_trip::<ServerMessage>);
    }

    #[test]
    fn a_signal_needs_a_body() {
        let parse = |text: &str| serde_json::from_str::<ClientMessage>(text);
        assert!(parse(r#"{"type":"signal","to":"a"}"#).is_err());
        assert!(matches!(
            parse(r#"{"type":"signal","to":"a","candidate":null}"#),
            Ok(ClientMessage::Signal { body: SignalBody::Candidate { candidate: None }, .. })
        ));
    }

    #[test]
    fn a_browsers_candidate_passes_untouched() {
        let text = r#"{"type":"signal","to":"a","candidate":{"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"ab"}}"#;
        assert_round_trip::<ClientMessage>(text);
    }

    #[test]
    fn politeness_is_never_mutual() {
        let (a, b) = (ParticipantId("a".into()), ParticipantId("b".into()));
        assert!(is_polite(&b, &a) && !is_polite(&a, &b));
    }

    #[test]
    fn exactly_one_side_makes_the_first_offer() {
        use Role::{Bot, Participant, Recorder};
        for (here, new) in
            [(Participant, Participant), (Participant, Recorder), (Recorder, Participant), (Bot, Recorder)]
        {
            let (first, second) = (makes_first_offer(here, new, true), makes_first_offer(new, here, false));
            assert!(first != second, "{here:?} was here, {new:?} came");
        }
    }

    #[test]
    fn the_code_says_how_a_membership_ended() {
        let code = |code: ErrorCode| code.end_reason("why".into()).code();
        assert_eq!([ErrorCode::Slow, ErrorCode::Replaced, ErrorCode::Rate].map(code), ["kicked"; 3]);
        let refused = [ErrorCode::Token, ErrorCode::Full, ErrorCode::Name].map(code);
        assert_eq!(refused, ["token_wrong", "room_full", "room_unreachable"]);
        assert_eq!(code(ErrorCode::Closed), "room_ended");
    }
}
