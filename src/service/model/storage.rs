//! Where the media of a recording is kept besides the service's own disk.

use crate::recording::utc_ms;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A recording's copy in an object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Storage {
    pub state: StorageState,
    /// Which of the configured stores has it, or is to have it.
    pub store: StoreName,
    /// Its place below the store's address: `default/2026/11/29/standup/rec_…`.
    pub path: String,
    /// The whole address, without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Objects in the store.
    pub files: u32,
    /// Bytes in the store.
    pub bytes: u64,
    /// When the last object was verified.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, with = "utc_ms::option", skip_serializing_if = "Option::is_none")]
    pub stored_at: Option<Timestamp>,
    /// Whether the media is on the service's own disk too.
    pub local: bool,
    /// Why it could not be stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How far the copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StorageState {
    /// It is being made.
    Uploading,
    /// Everything is there and was verified.
    Stored,
    /// The store took not everything; all of it is on the service's own disk.
    Failed,
    /// It was deleted.
    Deleted,
}

/// One of the stores of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum StoreName {
    #[serde(rename = "store")]
    Main,
    #[serde(rename = "backup_store")]
    Backup,
}

impl StoreName {
    /// As in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            StoreName::Main => "store",
            StoreName::Backup => "backup_store",
        }
    }
}

impl Storage {
    /// A copy that is to be made at `path`.
    pub fn wanted(path: String) -> Storage {
        Storage {
            state: StorageState::Uploading,
            store: StoreName::Main,
            path,
            url: None,
            files: 0,
            bytes: 0,
            stored_at: None,
            local: true,
            problem: None,
        }
    }
}
