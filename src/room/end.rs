//! Why a client, a recording or a bot ended. Programs compare the variant; people read the text.

use std::fmt;

/// Why it ended. `Display` is a few words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// Whoever runs it asked for it.
    Stopped,
    /// A command told it to leave.
    Quit,
    /// What it had to send is over.
    MediaOver,
    /// Every screen that it had to share was shared.
    SharesOver,
    /// It was to last so long and no longer.
    TimeUp,
    /// Nobody was left in the room.
    RoomEmpty,
    /// It left the room by itself.
    Left,
    /// The room was closed, or its server shuts down.
    RoomClosed { detail: String },
    /// The room sent us out: kicked, too slow, replaced by another.
    Removed { detail: String },
    /// The room does not let us back in: full, token, protocol.
    Refused { detail: String },
    /// The way to the room's server was lost and did not come back.
    ConnectionLost { detail: String },
    /// A defect of ours.
    Internal { detail: String },
}

impl EndReason {
    /// True where the room, its server or the way to it ended it: not what whoever runs it wanted.
    pub fn is_by_room(&self) -> bool {
        use EndReason::*;
        matches!(self, RoomClosed { .. } | Removed { .. } | Refused { .. } | ConnectionLost { .. })
    }

    /// One word for programs, as in `--json`.
    pub fn code(&self) -> &'static str {
        match self {
            EndReason::Stopped => "stopped",
            EndReason::Quit => "quit",
            EndReason::MediaOver => "media-over",
            EndReason::SharesOver => "shares-over",
            EndReason::TimeUp => "time-up",
            EndReason::RoomEmpty => "room-empty",
            EndReason::Left => "left",
            EndReason::RoomClosed { .. } => "room-closed",
            EndReason::Removed { .. } => "removed",
            EndReason::Refused { .. } => "refused",
            EndReason::ConnectionLost { .. } => "connection-lost",
            EndReason::Internal { .. } => "internal",
        }
    }

    /// What the room or its server said, or what happened to the way there.
    pub fn detail(&self) -> &str {
        match self {
            EndReason::Stopped
            | EndReason::Quit
            | EndReason::MediaOver
            | EndReason::SharesOver
            | EndReason::TimeUp
            | EndReason::RoomEmpty
            | EndReason::Left => "",
            EndReason::RoomClosed { detail }
            | EndReason::Removed { detail }
            | EndReason::Refused { detail }
            | EndReason::ConnectionLost { detail }
            | EndReason::Internal { detail } => detail,
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndReason::Stopped => f.write_str("stopped"),
            EndReason::Quit => f.write_str("told to quit"),
            EndReason::MediaOver => f.write_str("the file is over"),
            EndReason::SharesOver => f.write_str("every share is over"),
            EndReason::TimeUp => f.write_str("the time was up"),
            EndReason::RoomEmpty => f.write_str("the room was empty"),
            EndReason::Left => f.write_str("left"),
            EndReason::Internal { detail } => write!(f, "internal error: {detail}"),
            by_room => write!(f, "the room ended: {}", by_room.detail()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_ended_it_is_told_from_the_variant() {
        let lost = EndReason::ConnectionLost { detail: "no answer".into() };
        assert!(lost.is_by_room() && !EndReason::Stopped.is_by_room() && !EndReason::TimeUp.is_by_room());
        assert_eq!(lost.to_string(), "the room ended: no answer");
        assert_eq!((lost.code(), lost.detail()), ("connection-lost", "no answer"));
    }
}
