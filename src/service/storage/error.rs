//! Why something could not be stored.

use crate::service::database::DatabaseError;

/// Why a recording could not be stored, read or deleted.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("{0}")]
    Store(#[from] object_store::Error),
    #[error("{path} cannot be read: {error}")]
    Local { path: String, error: std::io::Error },
    #[error("{0} changed while it was sent")]
    Changed(String),
    #[error("{0} is not in the store as it was sent")]
    Corrupt(String),
    #[error("{0} is in the store already, with other contents than ours")]
    Conflict(String),
    #[error("{0} has a name that cannot be used in a store")]
    Name(String),
    #[error("the recording has no manifest")]
    NoManifest,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl StorageError {
    /// Whether another try would end the same way.
    pub fn is_final(&self) -> bool {
        matches!(self, StorageError::Conflict(_) | StorageError::Name(_) | StorageError::NoManifest)
    }
}
