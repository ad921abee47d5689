//! A recording by its address, for those who have no service: its machine is lost.

use super::fetch::Fetched;
use super::service::StorageService;
use super::settings::StoreConfig;
use crate::error::{Error, Result};
use std::path::Path;
use std::time::Duration;

/// Rebuilds the recording at `address` in `folder`, which must not exist, or be empty. `options`: those of the store, as configured.
/// None: nothing is there.
///
/// # Errors
/// The user's: the address or an option cannot be used, or the folder has something. The room's: the store does not give it.
pub async fn fetch_recording(options: Option<&StoreConfig>, address: &str, folder: &Path) -> Result<Option<Fetched>> {
    let options = options.map(|store| store.options.clone()).unwrap_or_default();
    let store = StoreConfig { url: address.trim_end_matches('/').to_owned(), options, redirect: false };
    let storage = StorageService::open(&store, None, Duration::ZERO)?;
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::user(format!("{}: is not empty; choose another folder", folder.display())));
    }
    storage.fetch("", folder).await.map_err(Error::room)
}
