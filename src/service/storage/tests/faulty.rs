//! A store in memory that does something wrong at a chosen request.

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a store does with one of the requests that write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It answers with an error and takes nothing.
    Refuse,
    /// It takes it and answers with an error.
    Forget,
    /// It keeps half of it.
    Truncate,
    /// It keeps something else.
    Corrupt,
}

/// A store in memory that does something wrong from the `from`th request that writes on, `count` times.
#[derive(Debug)]
pub struct Faulty {
    pub inner: InMemory,
    pub fault: Fault,
    pub from: usize,
    pub count: usize,
    pub writes: AtomicUsize,
    /// What was sent to it.
    pub bytes: AtomicUsize,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

impl Faulty {
    pub fn new(fault: Fault, from: usize, count: usize) -> Arc<Faulty> {
        let (writes, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Faulty { inner: InMemory::new(), fault, from, count, writes, bytes })
    }

    /// The fault of this request.
    fn next(&self) -> Option<Fault> {
        let write = self.writes.fetch_add(1, Ordering::SeqCst);
        (self.from..self.from.saturating_add(self.count)).contains(&write).then_some(self.fault)
    }

    fn payload(&self, payload: PutPayload, fault: Option<Fault>) -> PutPayload {
        self.bytes.fetch_add(payload.content_length(), Ordering::SeqCst);
        let mut bytes: Vec<u8> = payload.iter().flat_map(|part| part.to_vec()).collect();
        match fault {
            Some(Fault::Truncate) => bytes.truncate(bytes.len() / 2),
            Some(Fault::Corrupt) => bytes.iter_mut().take(1).for_each(|byte| *byte ^= 1),
            _ => {}
        }
        bytes.into()
    }

    fn answer<T>(fault: Option<Fault>, result: Result<T>) -> Result<T> {
        match fault {
            Some(Fault::Forget) => Err(broken()),
            _ => result,
        }
    }
}

fn broken() -> Error {
    Error::Generic { store: "faulty", source: "broken".into() }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, key: &Key, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.next();
        if fault == Some(Fault::Refuse) {
            return Err(broken());
        }
        Faulty::answer(fault, self.inner.put_opts(key, self.payload(payload, fault), options).await)
    }
    async fn put_multipart_opts(&self, key: &Key, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(key, options).await
    }
    async fn get_opts(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(key, options).await
    }
    fn delete_stream(&self, keys: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
        self.inner.delete_stream(keys)
    }
    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for Faulty {
    async fn create_multipart(&self, key: &Key) -> Result<String> {
        self.inner.create_multipart(key).await
    }
    async fn create_multipart_opts(&self, key: &Key, options: PutMultipartOptions) -> Result<String> {
        self.inner.create_multipart_opts(key, options).await
    }
    async fn put_part(&self, key: &Key, id: &String, index: usize, payload: PutPayload) -> Result<PartId> {
        let fault = self.next();
        if fault == Some(Fault::Refuse) {
            return Err(broken());
        }
        Faulty::answer(fault, self.inner.put_part(key, id, index, self.payload(payload, fault)).await)
    }
    async fn complete_multipart(&self, key: &Key, id: &String, parts: Vec<PartId>) -> Result<PutResult> {
        let fault = self.next();
        if fault == Some(Fault::Refuse) {
            return Err(broken());
        }
        Faulty::answer(fault, self.inner.complete_multipart(key, id, parts).await)
    }
    async fn abort_multipart(&self, key: &Key, id: &String) -> Result<()> {
        self.inner.abort_multipart(key, id).await
    }
}
