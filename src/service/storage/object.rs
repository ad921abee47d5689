//! Objects as they are in a store: read in pieces, compared with what they should be, deleted.

use super::digest::{Digests, PART, hex};
use super::error::StorageError;
use super::target::Target;
use crate::recording::folder::MANIFEST;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::signer::Method;
use object_store::{ObjectMeta, ObjectStoreExt};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;
use url::Url;

/// Bytes that are read for a client at a time: it may stop at any time.
const PIECE: u64 = 1 << 20;
/// How long a signed address can be used.
const SIGNED_FOR: Duration = Duration::from_secs(15 * 60);

impl Target {
    /// What the store knows of an object; none: there is none.
    pub(super) async fn look(&self, key: &Path) -> Result<Option<ObjectMeta>, StorageError> {
        match self.store.head(key).await {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether the object is what was, or should have been, sent: by the store's own digest where that is an MD5, else by reading it back.
    pub(super) async fn holds(&self, meta: &ObjectMeta, bytes: u64, digests: &Digests) -> Result<bool, StorageError> {
        if meta.size != bytes {
            return Ok(false);
        }
        let etag = meta.e_tag.as_deref().map(|etag| etag.trim_matches('"'));
        if etag.is_some_and(|etag| etag.eq_ignore_ascii_case(&digests.etag)) {
            return Ok(true);
        }
        Ok(self.sha256(&meta.location, bytes).await? == digests.sha256)
    }

    /// The SHA-256 of an object of that size, in hex: reads all of it.
    pub(super) async fn sha256(&self, key: &Path, bytes: u64) -> Result<String, StorageError> {
        let (mut hash, mut offset) = (Sha256::new(), 0);
        while offset < bytes {
            let data = self.store.get_range(key, offset..bytes.min(offset + PART)).await?;
            if data.is_empty() {
                break;
            }
            offset += data.len() as u64;
            hash.update(&data);
        }
        Ok(hex(&hash.finalize()))
    }

    /// The size of a recording's file in the store; none: there is no such file.
    ///
    /// # Errors
    /// The store's.
    pub async fn size(&self, location: &str, path: &str) -> Result<Option<u64>, StorageError> {
        let key = self.key(location, path)?;
        Ok(self.look(&key).await?.map(|meta| meta.size))
    }

    /// A part of a recording's file, in pieces.
    ///
    /// # Errors
    /// A path that cannot be one.
    pub fn read(
        &self,
        location: &str,
        path: &str,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = object_store::Result<Bytes>> + Send + 'static, StorageError> {
        let (key, store) = (self.key(location, path)?, self.store.clone());
        Ok(stream::try_unfold(range.start, move |from| {
            let (key, store) = (key.clone(), store.clone());
            async move {
                if from >= range.end {
                    return Ok(None);
                }
                let data = store.get_range(&key, from..range.end.min(from + PIECE)).await?;
                let next = if data.is_empty() { range.end } else { from + data.len() as u64 };
                Ok(Some((data, next)))
            }
        }))
    }

    /// An address at which anybody can read the file for a quarter of an hour. None: the store cannot sign.
    ///
    /// # Errors
    /// The store's.
    pub async fn signed(&self, location: &str, path: &str) -> Result<Option<Url>, StorageError> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let key = self.key(location, path)?;
        Ok(Some(signer.signed_url(Method::GET, &key, SIGNED_FOR).await?))
    }

    /// The files of a recording that are in the store, with their sizes.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self, location: &str) -> Result<HashMap<String, u64>, StorageError> {
        let folder = self.key(location, "")?;
        let prefix = format!("{folder}/");
        let found: Vec<ObjectMeta> = self.store.list(Some(&folder)).try_collect().await?;
        let path = |meta: ObjectMeta| Some((meta.location.as_ref().strip_prefix(&prefix)?.to_owned(), meta.size));
        Ok(found.into_iter().filter_map(path).collect())
    }

    /// Deletes one file of a recording, and the upload of it that is not complete. What is not there is deleted.
    pub(super) async fn remove(
        &self,
        location: &str,
        path: &str,
        unfinished: Option<&str>,
    ) -> Result<(), StorageError> {
        let key = self.key(location, path)?;
        if let Some((multipart, id)) = self.multipart.as_ref().zip(unfinished) {
            match multipart.abort_multipart(&key, &id.to_owned()).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        match self.store.delete(&key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Deletes everything of a recording. The manifest goes first: what is left when this is interrupted is no whole recording.
    ///
    /// # Errors
    /// The store's.
    pub async fn delete(&self, location: &str, unfinished: &[(String, String)]) -> Result<(), StorageError> {
        if let Some(multipart) = &self.multipart {
            for (path, id) in unfinished {
                match multipart.abort_multipart(&self.key(location, path)?, id).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
        let manifest = self.key(location, MANIFEST)?;
        match self.store.delete(&manifest).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => return Err(e.into()),
        }
        let folder = self.key(location, "")?;
        let found: Vec<_> = self.store.list(Some(&folder)).map_ok(|meta| meta.location).try_collect().await?;
        let mut deleted = self.store.delete_stream(stream::iter(found).map(Ok).boxed());
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}
