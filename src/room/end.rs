//! Why a client, a recording or a bot ended. Programs compare the variant; people read the text.

use std::fmt;

/// In place of a code: the process ended without being told to.
pub const CRASHED: &str = "crashed";
/// The code of an error and of an end: the room has as many as it takes.
pub const ROOM_FULL: &str = "room_full";
/// The code of an error and of an end: the join token is missing, wrong or expired.
pub const TOKEN_WRONG: &str = "token_wrong";
/// The code of an error and of an end: the room or its server is not there, or lets nobody in.
pub const ROOM_UNREACHABLE: &str = "room_unreachable";
/// The code of an error: the disk is full.
pub const DISK_FULL: &str = "disk_full";
/// The code of an error and of an end: a defect of ours, or an error that has no other code.
pub const INTERNAL: &str = "internal";

/// The code of an end: the recorder may not be in the room any more, because another machine may take its place.
pub const LEASE_LOST: &str = "lease_lost";

/// Whether an end with this code was what whoever runs it wanted, or what follows from the room's own end.
pub fn is_wanted(code: &str) -> bool {
    !matches!(
        code,
        CRASHED
            | "kicked"
            | ROOM_FULL
            | TOKEN_WRONG
            | ROOM_UNREACHABLE
            | DISK_FULL
            | INTERNAL
            | LEASE_LOST
            | "ice_failed"
    )
}

/// Why it ended. `Display` is a few words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// Whoever runs it asked for it.
    Stopped,
    /// Whoever runs it does not want it any more.
    Cancelled,
    /// The time for which it may be in the room is over, and nobody has prolonged it.
    LeaseLost,
    /// A command told it to leave.
    Quit,
    /// What it had to send is over.
    MediaOver,
    /// Every screen that it had to share was shared.
    SharesOver,
    /// It was to last so long and no longer.
    TimeUp,
    /// It has as many bytes as it was to have at most.
    TooLarge,
    /// Nobody was left in the room.
    RoomEmpty,
    /// Nobody has come.
    NobodyCame,
    /// Nobody has spoken for long enough.
    Silence,
    /// Nobody but bots was left in the room.
    OnlyBots,
    /// It left the room by itself.
    Left,
    /// The room was closed, or its server shuts down.
    RoomClosed { detail: String },
    /// The room sent us out: kicked, too slow, replaced by another.
    Removed { detail: String },
    /// The room does not let us back in: name, protocol.
    Refused { detail: String },
    /// The room does not let us back in: it is full.
    RoomFull { detail: String },
    /// The room does not let us back in: the token is wrong or has expired.
    TokenWrong { detail: String },
    /// The way to the room's server was lost and did not come back.
    ConnectionLost { detail: String },
    /// A defect of ours.
    Internal { detail: String },
}

impl EndReason {
    /// True where the room, its server or the way to it ended it: not what whoever runs it wanted.
    pub fn is_by_room(&self) -> bool {
        use EndReason::*;
        matches!(
            self,
            RoomClosed { .. }
                | Removed { .. }
                | Refused { .. }
                | RoomFull { .. }
                | TokenWrong { .. }
                | ConnectionLost { .. }
        )
    }

    /// The room does not let us back in, with the code of the error.
    pub fn refused(code: Option<&str>, detail: String) -> EndReason {
        match code {
            Some(ROOM_FULL) => EndReason::RoomFull { detail },
            Some(TOKEN_WRONG) => EndReason::TokenWrong { detail },
            _ => EndReason::Refused { detail },
        }
    }

    /// One word for programs, as in `--json`.
    pub fn code(&self) -> &'static str {
        match self {
            EndReason::Stopped => "stopped",
            EndReason::Quit => "quit",
            EndReason::Cancelled => "cancelled",
            EndReason::LeaseLost => LEASE_LOST,
            EndReason::MediaOver => "media_over",
            EndReason::SharesOver => "shares_over",
            EndReason::TimeUp => "max_duration",
            EndReason::TooLarge => "max_size",
            EndReason::RoomEmpty => "everybody_left",
            EndReason::NobodyCame => "nobody_joined",
            EndReason::Silence => "silence",
            EndReason::OnlyBots => "only_bots",
            EndReason::Left => "left",
            EndReason::RoomClosed { .. } => "room_ended",
            EndReason::Removed { .. } => "kicked",
            EndReason::RoomFull { .. } => ROOM_FULL,
            EndReason::TokenWrong { .. } => TOKEN_WRONG,
            EndReason::Refused { .. } | EndReason::ConnectionLost { .. } => ROOM_UNREACHABLE,
            EndReason::Internal { .. } => INTERNAL,
        }
    }

    /// What the room or its server said, or what happened to the way there.
    pub fn detail(&self) -> &str {
        match self {
            EndReason::Stopped
            | EndReason::Quit
            | EndReason::Cancelled
            | EndReason::LeaseLost
            | EndReason::NobodyCame
            | EndReason::Silence
            | EndReason::OnlyBots
            | EndReason::MediaOver
            | EndReason::SharesOver
            | EndReason::TimeUp
            | EndReason::TooLarge
            | EndReason::RoomEmpty
            | EndReason::Left => "",
            EndReason::RoomClosed { detail }
            | EndReason::Removed { detail }
            | EndReason::Refused { detail }
            | EndReason::RoomFull { detail }
            | EndReason::TokenWrong { detail }
            | EndReason::ConnectionLost { detail }
            | EndReason::Internal { detail } => detail,
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndReason::Stopped => f.write_str("stopped"),
            EndReason::Cancelled => f.write_str("cancelled"),
            EndReason::LeaseLost => f.write_str("its lease of the room was not renewed"),
            EndReason::NobodyCame => f.write_str("nobody came"),
            EndReason::Silence => f.write_str("nobody spoke any more"),
            EndReason::OnlyBots => f.write_str("only bots were left"),
            EndReason::Quit => f.write_str("told to quit"),
            EndReason::MediaOver => f.write_str("the file is over"),
            EndReason::SharesOver => f.write_str("every share is over"),
            EndReason::TimeUp => f.write_str("the time was up"),
            EndReason::TooLarge => f.write_str("it was as large as it may be"),
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
        assert_eq!((lost.code(), lost.detail()), ("room_unreachable", "no answer"));
    }
}
