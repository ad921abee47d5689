//! How much a file store accepts. Values only.

use std::time::Duration;

/// How long an interrupted file can be resumed.
pub const RESUME_WITHIN: Duration = Duration::from_secs(3600);

/// How much is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file: u64,
    /// Files of one participant, incomplete ones included.
    pub files: u32,
    /// Bytes of all files; one participant may use half of them.
    pub total: u64,
    /// Files that are received at once from one participant.
    pub at_once: u32,
    /// Files that are received at once from all participants.
    pub at_once_in_all: u32,
    /// How long a sender may send nothing.
    pub idle: Duration,
    /// Bytes of the disk that must stay free, so that recordings can go on.
    pub reserve: u64,
    /// How much of what is shared with everybody is kept for others. None: the store's user offers nothing on.
    pub share: Option<ShareLimits>,
}

/// How many shared files are offered on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareLimits {
    /// As many as a page lists of one participant.
    pub files: u32,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Default for ShareLimits {
    fn default() -> Self {
        Self { files: 50, bytes: 8 << 30 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file: 2 << 30,
            files: 1000,
            total: 20 << 30,
            at_once: 16,
            at_once_in_all: 64,
            idle: Duration::from_secs(60),
            reserve: 1 << 30,
            share: None,
        }
    }
}
