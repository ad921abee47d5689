//! Sends one file and verifies it. Where it was interrupted it continues: what stands in the database or in the store is not sent again.

use super::counters::Counters;
use super::digest::{Digests, Source, part_size};
use super::error::StorageError;
use super::target::Target;
use crate::recording::folder::MANIFEST;
use crate::service::database::Database;
use crate::service::database::uploads::{self, Upload};
use crate::service::model::Id;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, UpdateVersion,
};

/// What sending takes besides the file.
pub(super) struct Transfer<'a> {
    pub target: &'a Target,
    pub database: &'a Database,
    pub recording: &'a Id,
    pub location: &'a str,
    pub counters: &'a Counters,
    /// What was sent and is not here any more still belongs to the recording.
    pub only_there: bool,
}

/// A file that is to be sent.
pub(super) struct Outgoing {
    pub path: String,
    pub bytes: u64,
    pub modified_ns: i64,
    pub source: Source,
}

impl Transfer<'_> {
    /// Sends the file, unless it is there, and verifies it. Returns its SHA-256.
    pub(super) async fn send(&self, file: &Outgoing, earlier: Option<&Upload>) -> Result<String, StorageError> {
        let same = |upload: &&Upload| upload.bytes == file.bytes && upload.modified_ns == file.modified_ns;
        if let Some(done) = earlier.filter(same).filter(|upload| upload.verified) {
            return Ok(done.sha256.clone());
        }
        let key = self.target.key(self.location, &file.path)?;
        // The manifest is the commit mark: it appears in one step.
        let part = if file.path == MANIFEST { file.bytes.max(1) } else { part_size(file.bytes) };
        let local = |error| StorageError::Local { path: file.path.clone(), error };
        let digests = file.source.digests(file.bytes, part).await.map_err(local)?;
        let known = earlier.filter(|upload| upload.sha256 == digests.sha256 && upload.bytes == file.bytes);
        let mut upload = Upload {
            path: file.path.clone(),
            bytes: file.bytes,
            modified_ns: file.modified_ns,
            sha256: digests.sha256.clone(),
            verified: false,
            multipart: known.and_then(|upload| upload.multipart.clone()),
            parts: known.map(|upload| upload.parts.clone()).unwrap_or_default(),
            etag: earlier.and_then(|upload| upload.etag.clone()),
        };
        // It may have been sent by a service that was killed before it could note that.
        let sent = known.is_some() && self.verify(&key, file, &digests, &mut upload).await?;
        if !sent {
            self.note(&upload).await?;
            if file.path == MANIFEST {
                self.commit(&key, file, &digests, &mut upload).await?;
            } else if file.bytes <= part {
                let payload = self.payload(file, 0, file.bytes).await?;
                let options = PutOptions { attributes: self.attributes(file, &digests), ..PutOptions::default() };
                self.target.store.put_opts(&key, payload, options).await?;
                self.counters.sent(file.bytes);
            } else if self.target.multipart.is_some() {
                self.send_parts(&key, file, &digests, part, &mut upload).await?;
            } else {
                self.send_whole(&key, file, part).await?;
            }
            if !self.verify(&key, file, &digests, &mut upload).await? {
                // The next try begins anew.
                (upload.multipart, upload.parts) = (None, Vec::new());
                self.note(&upload).await?;
                return Err(StorageError::Corrupt(file.path.clone()));
            }
        }
        (upload.verified, upload.multipart, upload.parts) = (true, None, Vec::new());
        self.note(&upload).await?;
        self.counters.verified();
        Ok(digests.sha256)
    }

    /// Whether the store has it; notes the entity tag then.
    async fn verify(
        &self,
        key: &Path,
        file: &Outgoing,
        digests: &Digests,
        upload: &mut Upload,
    ) -> Result<bool, StorageError> {
        let Some(meta) = self.target.look(key).await? else { return Ok(false) };
        let holds = self.target.holds(&meta, file.bytes, digests).await?;
        if holds {
            upload.etag = meta.e_tag;
        }
        Ok(holds)
    }

    /// Sends the manifest, in place of the one that we put there and of no other. Notes the entity tag of what is there then, whatever
    /// it is: it is ours.
    async fn commit(
        &self,
        key: &Path,
        file: &Outgoing,
        digests: &Digests,
        upload: &mut Upload,
    ) -> Result<(), StorageError> {
        let payload = self.payload(file, 0, file.bytes).await?;
        let attributes = self.attributes(file, digests);
        let put = |mode| {
            let options = PutOptions { mode, attributes: attributes.clone(), ..PutOptions::default() };
            self.target.store.put_opts(key, payload.clone(), options)
        };
        let mode = match &upload.etag {
            Some(etag) => PutMode::Update(UpdateVersion { e_tag: Some(etag.clone()), version: None }),
            None => PutMode::Create,
        };
        let result = match put(mode).await {
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => match self.target.look(key).await? {
                Some(meta) if self.target.holds(&meta, file.bytes, digests).await? => return Ok(()),
                Some(_) => return Err(StorageError::Conflict(file.path.clone())),
                // Somebody deleted ours.
                None => put(PutMode::Create).await?,
            },
            // A store without conditions.
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
                if let Some(meta) = self.target.look(key).await?
                    && meta.e_tag != upload.etag
                    && !self.target.holds(&meta, file.bytes, digests).await?
                {
                    return Err(StorageError::Conflict(file.path.clone()));
                }
                put(PutMode::Overwrite).await?
            }
            result => result?,
        };
        upload.etag = result.e_tag;
        self.counters.sent(file.bytes);
        Ok(())
    }

    /// Sends a file in parts, from the first that the store does not have.
    async fn send_parts(
        &self,
        key: &Path,
        file: &Outgoing,
        digests: &Digests,
        part: u64,
        upload: &mut Upload,
    ) -> Result<(), StorageError> {
        let Some(store) = &self.target.multipart else { return Ok(()) };
        let resumed = upload.multipart.is_some();
        let sent = async {
            let id = match &upload.multipart {
                Some(id) => id.clone(),
                None => {
                    let options =
                        PutMultipartOptions { attributes: self.attributes(file, digests), ..Default::default() };
                    let id = store.create_multipart_opts(key, options).await?;
                    (upload.multipart, upload.parts) = (Some(id.clone()), Vec::new());
                    self.note(upload).await?;
                    id
                }
            };
            let count = usize::try_from(file.bytes.div_ceil(part)).unwrap_or(usize::MAX);
            for index in upload.parts.len()..count {
                let from = index as u64 * part;
                let length = part.min(file.bytes - from);
                let payload = self.payload(file, from, length).await?;
                let PartId { content_id } = store.put_part(key, &id, index, payload).await?;
                self.counters.sent(length);
                upload.parts.push(content_id);
                self.note(upload).await?;
                self.counters.step();
            }
            let parts = upload.parts.iter().map(|content_id| PartId { content_id: content_id.clone() }).collect();
            store.complete_multipart(key, &id, parts).await?;
            Ok(())
        };
        match sent.await {
            // Stores give up an upload that waits for long.
            Err(StorageError::Store(Error::NotFound { .. })) if resumed => {
                (upload.multipart, upload.parts) = (None, Vec::new());
                self.note(upload).await?;
                Err(StorageError::Changed(file.path.clone()))
            }
            result => result,
        }
    }

    /// Sends a large file to a store that cannot continue: a local folder.
    async fn send_whole(&self, key: &Path, file: &Outgoing, part: u64) -> Result<(), StorageError> {
        let mut sending = self.target.store.put_multipart(key).await?;
        let sent = async {
            let mut from = 0;
            while from < file.bytes {
                let length = part.min(file.bytes - from);
                let payload = self.payload(file, from, length).await?;
                sending.put_part(payload).await?;
                self.counters.sent(length);
                from += length;
            }
            sending.complete().await?;
            Ok(())
        };
        let result: Result<(), StorageError> = sent.await;
        if result.is_err() {
            let _ = sending.abort().await;
        }
        result
    }

    async fn payload(&self, file: &Outgoing, from: u64, length: u64) -> Result<PutPayload, StorageError> {
        let read = file.source.read(from, length).await;
        read.map(PutPayload::from_bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => StorageError::Changed(file.path.clone()),
            _ => StorageError::Local { path: file.path.clone(), error },
        })
    }

    fn attributes(&self, file: &Outgoing, digests: &Digests) -> Attributes {
        if !self.target.attributes {
            return Attributes::new();
        }
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::ContentType, content_type(&file.path).into());
        attributes.insert(Attribute::Metadata("sha256".into()), digests.sha256.clone().into());
        attributes
    }

    async fn note(&self, upload: &Upload) -> Result<(), StorageError> {
        let (id, store, upload) = (self.recording.clone(), self.target.name, upload.clone());
        Ok(self.database.write(move |connection| uploads::put(connection, &id, store, &upload)).await?)
    }
}

/// The media type of a recording's file.
pub fn content_type(path: &str) -> &'static str {
    // What participants sent stays what it is: it must not run as a page of the store.
    if path.starts_with("files/") {
        return "application/octet-stream";
    }
    match path.rsplit_once('.').map_or("", |(_, end)| end) {
        "webm" => "video/webm",
        "mkv" => "video/x-matroska",
        "mp4" => "video/mp4",
        "m4a" => "audio/mp4",
        "opus" => "audio/ogg",
        "wav" => "audio/wav",
        "json" => "application/json",
        "jsonl" => "application/x-ndjson",
        "vtt" => "text/vtt",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "txt" | "sha256" => "text/plain",
        _ => "application/octet-stream",
    }
}
