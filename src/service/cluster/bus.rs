//! The connection to NATS: buckets and streams, made where they are missing. Knows nothing of recordings.

use super::wire::{ALL_REPORTS, JOBS, REPORTS, WORKERS};
use async_nats::jetstream::kv::{Store, UpdateErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::timeout;

/// How long the server may be silent until the connection is given up, twice.
const PING: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before a lost connection is made again.
const RECONNECT: Duration = Duration::from_millis(200);
/// How long the server knows that it has had a report already.
const DUPLICATES: Duration = Duration::from_secs(300);

/// Where NATS is.
#[derive(Debug, Clone)]
pub struct BusSettings {
    /// `nats://host:4222`, several separated by commas.
    pub address: String,
    /// A file as `nsc` makes it.
    pub credentials: Option<PathBuf>,
    /// The name of this connection.
    pub name: String,
}

/// A connection with everything that is needed of it.
#[derive(Clone)]
pub struct Bus {
    pub client: Client,
    pub context: Context,
    pub workers: Store,
    pub jobs: Store,
}

/// What NATS did not do. The text is for people.
#[derive(Debug, thiserror::Error)]
#[error("NATS: {0}")]
pub struct BusError(pub String);

impl BusError {
    pub fn of(e: impl std::fmt::Display) -> BusError {
        BusError(e.to_string())
    }
}

/// Why a value was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// Another one is there.
    #[error("somebody else has changed it")]
    Other,
    /// It is not known whether it was.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl Bus {
    /// Connects and makes what is missing.
    ///
    /// # Errors
    /// The server's, or the credentials cannot be read.
    pub async fn connect(settings: &BusSettings) -> Result<Bus, BusError> {
        let mut options = ConnectOptions::new()
            .name(&settings.name)
            .ping_interval(PING)
            .connection_timeout(TIMEOUT)
            .request_timeout(Some(TIMEOUT))
            .reconnect_delay_callback(|_| RECONNECT);
        if let Some(file) = &settings.credentials {
            let said = |e: std::io::Error| BusError(format!("{}: {e}", file.display()));
            options = options.credentials_file(file).await.map_err(said)?;
        }
        let addresses: Vec<String> = settings.address.split(',').map(|one| one.trim().to_owned()).collect();
        let client = options.connect(addresses).await.map_err(BusError::of)?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(TIMEOUT);
        make_missing(&context).await?;
        let workers = context.get_key_value(WORKERS).await.map_err(BusError::of)?;
        let jobs = context.get_key_value(JOBS).await.map_err(BusError::of)?;
        Ok(Bus { client, context, workers, jobs })
    }

    /// Makes what is missing: a server may have lost what it had.
    ///
    /// # Errors
    /// The server's.
    pub async fn mend(&self) -> Result<(), BusError> {
        make_missing(&self.context).await
    }
}

async fn make_missing(context: &Context) -> Result<(), BusError> {
    for name in [WORKERS, JOBS] {
        make_bucket(context, name).await?;
    }
    let reports = Config {
        name: REPORTS.to_owned(),
        subjects: vec![ALL_REPORTS.to_owned()],
        // What was taken over is gone.
        retention: RetentionPolicy::WorkQueue,
        duplicate_window: DUPLICATES,
        ..Config::default()
    };
    context.get_or_create_stream(reports).await.map(drop).map_err(BusError::of)
}

/// A bucket, made as a stream: servers before 2.10 do not take what the library says for a bucket.
async fn make_bucket(context: &Context, name: &str) -> Result<(), BusError> {
    let config = Config {
        name: format!("KV_{name}"),
        subjects: vec![format!("$KV.{name}.>")],
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        ..Config::default()
    };
    context.get_or_create_stream(config).await.map(drop).map_err(BusError::of)
}

/// A key's value with its revision. What cannot be read is none.
pub async fn read<T: DeserializeOwned>(store: &Store, key: &str) -> Result<Option<(T, u64)>, BusError> {
    let entry = timeout(TIMEOUT, store.entry(key)).await.map_err(|_| BusError("no answer".into()))?;
    let entry = entry.map_err(BusError::of)?;
    let entry = entry.filter(|entry| entry.operation == async_nats::jetstream::kv::Operation::Put);
    Ok(entry.and_then(|entry| Some((serde_json::from_slice(&entry.value).ok()?, entry.revision))))
}

/// Replaces a value whose revision is known; 0: makes it. Returns the new revision.
pub async fn swap<T: Serialize>(
    store: &Store,
    key: &str,
    value: &T,
    revision: u64,
    within: Duration,
) -> Result<u64, SwapError> {
    let value = serde_json::to_vec(value).map_err(BusError::of)?;
    match timeout(within, store.update(key, value.into(), revision)).await {
        Ok(Ok(revision)) => Ok(revision),
        Ok(Err(e)) if e.kind() == UpdateErrorKind::WrongLastRevision => Err(SwapError::Other),
        Ok(Err(e)) => Err(BusError::of(e).into()),
        Err(_) => Err(BusError("no answer".into()).into()),
    }
}

/// Puts a value, whatever was there.
pub async fn put<T: Serialize>(store: &Store, key: &str, value: &T) -> Result<(), BusError> {
    let value = serde_json::to_vec(value).map_err(BusError::of)?;
    let put = timeout(TIMEOUT, store.put(key, value.into())).await.map_err(|_| BusError("no answer".into()))?;
    put.map(drop).map_err(BusError::of)
}
