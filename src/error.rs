//! What went wrong and who must act. The only place that maps errors to exit codes.

#![deny(missing_docs)]

use std::fmt;
use std::io;
use std::path::Path;

/// Result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by who must act on it. `Display` is one line that says what to do; the cause is behind `source()`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The user: a flag, a URL, a file that they named, a package to install.
    User(Details),
    /// The room or its server, which refused or went away.
    Room(Details),
    /// Whoever runs the machine: disk, memory, sockets, codecs.
    Machine(Details),
    /// We: a bug in this crate.
    Internal(Details),
    /// Whoever made what was judged: an expectation failed.
    Failed(Details),
    /// Nobody yet: it could not be judged.
    Inconclusive(Details),
    /// Whoever sent it, or runs the machine: what was recorded lacks something.
    Partial(Details),
}

/// The message and the cause of an [`Error`].
#[derive(Debug)]
pub struct Details {
    message: String,
    /// A word for programs.
    code: Option<&'static str>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Details {
    fn new(message: impl Into<String>) -> Details {
        Details { message: message.into(), code: None, source: None }
    }
}

impl Error {
    /// [`Error::User`] with this message.
    pub fn user(message: impl Into<String>) -> Error {
        Error::User(Details::new(message))
    }
    /// [`Error::Room`] with this message.
    pub fn room(message: impl Into<String>) -> Error {
        Error::Room(Details::new(message))
    }
    /// [`Error::Machine`] with this message.
    pub fn machine(message: impl Into<String>) -> Error {
        Error::Machine(Details::new(message))
    }
    /// [`Error::Internal`] with this message.
    pub fn internal(message: impl Into<String>) -> Error {
        Error::Internal(Details::new(message))
    }
    /// [`Error::Failed`] with this message.
    pub fn failed(message: impl Into<String>) -> Error {
        Error::Failed(Details::new(message))
    }
    /// [`Error::Inconclusive`] with this message.
    pub fn inconclusive(message: impl Into<String>) -> Error {
        Error::Inconclusive(Details::new(message))
    }

    /// [`Error::Partial`] with this message.
    pub fn partial(message: impl Into<String>) -> Error {
        Error::Partial(Details::new(message))
    }

    /// Adds the cause, which `-v` shows.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.details_mut().source = Some(source.into());
        self
    }

    /// Adds a word for programs: one of the codes of `room::end`.
    #[must_use]
    pub fn coded(mut self, code: &'static str) -> Error {
        self.details_mut().code = Some(code);
        self
    }

    /// The word for programs, if there is one.
    pub fn code(&self) -> Option<&'static str> {
        self.details().code
    }

    /// Puts `context` (a file's name, say) before the message. The same party must act.
    #[must_use]
    pub fn within(mut self, context: impl fmt::Display) -> Error {
        let details = self.details_mut();
        details.message = format!("{context}: {}", details.message);
        self
    }

    /// The process's exit code: 1 for a bug in this crate, 2 for a usage error, 3 for the room, 4 for the machine, 5 where an
    /// expectation failed, 6 where there is no verdict and 7 for a recording with losses.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Internal(_) => 1,
            Error::User(_) => 2,
            Error::Room(_) => 3,
            Error::Machine(_) => 4,
            Error::Failed(_) => 5,
            Error::Inconclusive(_) => 6,
            Error::Partial(_) => 7,
        }
    }

    fn details(&self) -> &Details {
        match self {
            Error::User(details)
            | Error::Room(details)
            | Error::Machine(details)
            | Error::Internal(details)
            | Error::Failed(details)
            | Error::Inconclusive(details)
            | Error::Partial(details) => details,
        }
    }

    fn details_mut(&mut self) -> &mut Details {
        match self {
            Error::User(details)
            | Error::Room(details)
            | Error::Machine(details)
            | Error::Internal(details)
            | Error::Failed(details)
            | Error::Inconclusive(details)
            | Error::Partial(details) => details,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.details().message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.details().source.as_deref().map(|e| e as _)
    }
}

/// The error for a file operation: `doing` follows "cannot".
pub(crate) fn io_failed(doing: &str, error: io::Error) -> Error {
    use io::ErrorKind::*;
    let said = match error.kind() {
        StorageFull | QuotaExceeded => Error::machine(format!("cannot {doing}: the disk is full")).coded("disk_full"),
        PermissionDenied => Error::user(format!("cannot {doing}: permission denied")),
        ReadOnlyFilesystem => Error::user(format!("cannot {doing}: the file system is read-only")),
        NotFound => Error::user(format!("cannot {doing}: not found")),
        AlreadyExists => Error::internal(format!("cannot {doing}: it already exists")),
        _ => Error::machine(format!("cannot {doing}: {error}")),
    };
    said.because(error)
}

/// The error for writing `path`.
pub(crate) fn write_failed(path: &Path, error: io::Error) -> Error {
    let shown = path.display();
    let said = match error.kind() {
        io::ErrorKind::NotFound => Error::user(format!("{shown}: the folder does not exist")),
        io::ErrorKind::PermissionDenied => Error::user(format!("{shown}: no permission to write there")),
        io::ErrorKind::StorageFull => Error::machine(format!("{shown}: the disk is full")).coded("disk_full"),
        _ => Error::machine(format!("{shown}: cannot be written: {error}")),
    };
    said.because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_and_cause_leave_the_party_and_the_message() {
        let error = Error::room("the room is full").because("HTTP 503").within("standup");
        assert!(matches!(error, Error::Room(_)));
        assert_eq!((error.to_string().as_str(), error.exit_code()), ("standup: the room is full", 3));
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "HTTP 503");
    }
}
