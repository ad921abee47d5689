//! Recordings in object stores (S3, Google Cloud Storage, Azure, a folder): sent, verified, read, deleted. Decides nothing about when, and
//! never deletes anything local.
//!
//! `settings` is the configuration, `target` an opened store, `transfer` sends one file, `folder` a whole recording, `live` one that grows, in
//! packs (`pack`) that `fetch` puts together again (`rebuild`); `service` has both stores with retries. How far each file is stands in the
//! database, so what was verified is not sent again.

mod counters;
mod digest;
mod error;
mod fetch;
mod fetch_recording;
mod files;
mod folder;
mod layout;
mod live;
mod object;
mod pack;
mod purge;
mod rebuild;
mod service;
mod settings;
mod target;
#[cfg(test)]
mod tests;
mod transfer;

pub use error::StorageError;
pub use fetch::Fetched;
pub use fetch_recording::fetch_recording;
pub use files::{LocalFile, walk};
pub use layout::{LATE, location};
pub use service::{StorageService, Stored};
pub use settings::{KeepLocal, StoreConfig, UploadEvery, span};
pub use target::Target;
pub use transfer::content_type;
