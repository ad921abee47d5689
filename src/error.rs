//! What went wrong and who must act. The only place that maps errors to exit codes.

use std::fmt;
use std::io;
use std::path::Path;

/// Who has to do something about an error; each has its own exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// A defect of ours. Exit code 1.
    Us,
    /// A flag, a URL, a missing plugin. Exit code 2.
    User,
    /// The room or its server refused or went away. Exit code 3.
    Room,
    /// Disk, memory, codec, sockets. Exit code 4.
    Machine,
    /// Whoever made what was judged: it is not as expected. Exit code 5.
    Judged,
    /// Nobody knows: the judge could not find out. Exit code 6.
    Open,
}

impl Blame {
    /// The process exit code for this blame.
    pub fn exit_code(self) -> u8 {
        match self {
            Blame::Us => 1,
            Blame::User => 2,
            Blame::Room => 3,
            Blame::Machine => 4,
            Blame::Judged => 5,
            Blame::Open => 6,
        }
    }
}

/// An error with one line for the person who must act, and its causes behind `source()`.
#[derive(Debug)]
pub struct Error {
    blame: Blame,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Result of anything that a verb does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error for which `blame` must act; `message` says what to do, in one line.
    pub fn new(blame: Blame, message: impl Into<String>) -> Self {
        Self { blame, message: message.into(), source: None }
    }
    /// The user must act: a flag, a URL, a file they named, a package to install.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(Blame::User, message)
    }
    /// The room or its server must act.
    pub fn room(message: impl Into<String>) -> Self {
        Self::new(Blame::Room, message)
    }
    /// The machine fell short: disk, memory, sockets, codecs.
    pub fn machine(message: impl Into<String>) -> Self {
        Self::new(Blame::Machine, message)
    }
    /// A defect of ours.
    pub fn us(message: impl Into<String>) -> Self {
        Self::new(Blame::Us, message)
    }
    /// Adds the cause that `-v` shows.
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
    /// Who must act.
    pub fn blame(&self) -> Blame {
        self.blame
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

/// The machine's (or, where access is missing, the user's) error for a file operation, in words.
pub(crate) fn io_failed(doing: &str, error: io::Error) -> Error {
    use io::ErrorKind::*;
    let said = match error.kind() {
        StorageFull | QuotaExceeded => Error::machine(format!("cannot {doing}: the disk is full")),
        PermissionDenied => Error::user(format!("cannot {doing}: no permission")),
        ReadOnlyFilesystem => Error::user(format!("cannot {doing}: the file system is read-only")),
        NotFound => Error::user(format!("cannot {doing}: it is not there")),
        AlreadyExists => Error::us(format!("cannot {doing}: it is there already")),
        _ => Error::machine(format!("cannot {doing}: {error}")),
    };
    said.because(error)
}

/// The error for a file operation, in words.
pub(crate) fn write_failed(path: &Path, error: io::Error) -> Error {
    let shown = path.display();
    let said = match error.kind() {
        io::ErrorKind::NotFound => Error::user(format!("{shown}: the folder is not there")),
        io::ErrorKind::PermissionDenied => Error::user(format!("{shown}: no permission to write there")),
        io::ErrorKind::StorageFull => Error::machine(format!("{shown}: the disk is full")),
        _ => Error::machine(format!("{shown}: cannot be written: {error}")),
    };
    said.because(error)
}
