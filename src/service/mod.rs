//! The recorder service: an HTTP API over supervised recorder processes, with a database that a crash cannot damage. Never joins a room
//! and never handles media itself.
//!
//! `model` has what is kept and its rules, `database` keeps it, `storage` sends it to object stores, `jobs` does the work, `deliveries`
//! sends webhooks, `api` answers requests, and the dashboard's pages (`pages`) are a client of it. With `cluster`
//! many machines do this together.

mod api;
mod cluster;
mod config;
mod database;
mod deliveries;
mod jobs;
mod machines;
mod model;
mod reload;
mod sign_in;
mod storage;

pub use api::new_secret as new_key;
pub use config::{Role, ServiceConfig};
pub use reload::Reload;
pub use sign_in::SignIn;
pub use storage::{Fetched as FetchedRecording, StoreConfig, fetch_recording};

use crate::error::{Error, Result};
use crate::pages::{self, Page};
use crate::server::reachable;
use crate::viewer::{Media, Pictures};
use api::{ApiState, LinkKey, RateLimits, SignInCodes, TokenKeys};
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use database::keys::{self, ApiKey, Scope};
use database::{Database, secrets};
use deliveries::Courier;
use jiff::Timestamp;
use jobs::{Capacity, Folders, JobContext, Lease, Quota, Retention, Sweeper, run_schedules};
use model::Id;
use std::fs::File;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::StorageService;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long requests that are being answered may take when the service ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A service that has its port, its database and its lock, and does nothing yet.
pub struct Service {
    listener: TcpListener,
    address: SocketAddr,
    config: ServiceConfig,
    folders: Arc<Folders>,
    database: Database,
    storage: Option<Arc<StorageService>>,
    capacity: Arc<Mutex<Capacity>>,
    retention: watch::Sender<Retention>,
    first_key: Option<String>,
    sign_in: SignInCodes,
    tokens: watch::Sender<TokenKeys>,
    rates: RateLimits,
    quota: watch::Sender<Quota>,
    /// Held while the service runs: two must not drive the same recordings.
    _lock: File,
}

impl Service {
    /// Looks for what is wrong in a configuration. Starts nothing, asks nothing of the network.
    ///
    /// # Errors
    /// The user's: the first value that cannot be used.
    pub fn check(config: &ServiceConfig) -> Result<()> {
        config.check()?;
        TokenKeys::new(config.jwt.as_ref()).map(drop)
    }

    /// Takes the port, opens the database, makes the first key.
    ///
    /// # Errors
    /// The user's: the address or the folder cannot be used, or another service runs there.
    pub async fn bind(config: ServiceConfig) -> Result<Service> {
        config.check()?;
        let tokens = watch::Sender::new(TokenKeys::new(config.jwt.as_ref())?);
        let storage = config.storage()?.map(Arc::new);
        let folders = Folders::create(&config.data)?;
        folders.set_marks(config.disk_marks());
        let lock = lock(&folders)?;
        let failed = |e: std::io::Error| {
            Error::user(format!("cannot listen on {}: {e}; choose another --listen", config.listen)).because(e)
        };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let database = Database::open(&folders.database())?;
        let first_key = match config.is_worker() {
            // Nobody asks it for anything.
            true => None,
            false => first_key(&database, config.admin_key.clone()).await?,
        };
        let capacity = Arc::new(Mutex::new(Capacity::new(config.cores())));
        let retention = watch::Sender::new(config.retention());
        let quota = watch::Sender::new(config.quota());
        let rates = RateLimits::new(config.requests_per_minute);
        let folders = Arc::new(folders);
        Ok(Service {
            listener,
            address,
            config,
            folders,
            database,
            storage,
            capacity,
            retention,
            first_key,
            sign_in: SignInCodes::default(),
            tokens,
            rates,
            quota,
            _lock: lock,
        })
    }

    /// The service's address; with the real port where 0 was requested.
    pub fn local_addr(&self) -> SocketAddr {
        reachable(self.address)
    }

    /// The administrator's key that was made just now. It cannot be shown again.
    pub fn first_key(&self) -> Option<&str> {
        self.first_key.as_deref()
    }

    /// What signs its owner's browser in while it runs. None: it knows no administrator's key.
    pub fn sign_in(&self) -> Option<SignIn> {
        let key = self.config.admin_key.as_deref().or(self.first_key())?;
        Some(SignIn { address: self.local_addr(), of_key: api::digest(key), codes: self.sign_in.clone() })
    }

    /// What changes its settings while it runs.
    pub fn reload(&self) -> Reload {
        Reload {
            running: self.config.clone(),
            capacity: self.capacity.clone(),
            retention: self.retention.clone(),
            quota: self.quota.clone(),
            rates: self.rates.clone(),
            tokens: self.tokens.clone(),
            folders: self.folders.clone(),
            database: self.database.clone(),
        }
    }

    /// Serves until `shutdown` is done. Recorders that run then go on, and are found again by the next service with this data.
    ///
    /// # Errors
    /// The machine's: the listening socket failed, or this program cannot be started again.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let secret = api::new_secret();
        let secret =
            self.database.write(move |connection| secrets::get_or_insert(connection, "links", &secret)).await?;
        let links = LinkKey::new(&secret).ok_or_else(|| Error::machine("the database has no secret for links"))?;
        let program =
            std::env::current_exe().map_err(|e| Error::machine("cannot find this program's file").because(e))?;
        let (leave, leaving) = watch::channel(false);
        let capacity = self.capacity.clone();
        let context = JobContext {
            database: self.database.clone(),
            folders: self.folders.clone(),
            storage: self.storage.clone(),
            media: self.config.media.clone(),
            quota: self.quota.subscribe(),
            program,
            part: self.config.part(),
            lease: self.config.is_worker().then(|| Arc::new(Lease::new(&self.folders.run()))),
            leaving: leaving.clone(),
        };
        let sweeper = tokio::spawn(Sweeper::new(context.clone(), self.retention.subscribe()).run());
        let schedules = tokio::spawn(run_schedules(context.clone()));
        let (dispatcher, cluster) = machines::start(&self.config, context, capacity.clone());
        let settings = deliveries::Settings {
            allow_private: self.config.allow_private_webhooks,
            delivered_days: self.config.webhook_delivered_days,
            dead_days: self.config.webhook_dead_days,
        };
        let courier = tokio::spawn(Courier::new(self.database.clone(), settings, leaving.clone())?.run());
        let state = ApiState {
            allow_private_webhooks: self.config.allow_private_webhooks,
            database: self.database.clone(),
            folders: self.folders.clone(),
            storage: self.storage.clone(),
            capacity,
            links,
            tokens: self.tokens.subscribe(),
            rates: self.rates,
            sign_in: self.sign_in,
            bot_media: self.config.media.clone(),
            metrics: api::RequestMetrics::default(),
            media: Media::default(),
            pictures: Pictures::default(),
            cluster,
            labels: self.config.labels.clone(),
            leaving: leaving.clone(),
        };
        let mut drained = leaving.clone();
        let router =
            if self.config.is_worker() { api::worker_router(state) } else { dashboard().merge(api::router(state)) };
        let serving = axum::serve(self.listener, router)
            .with_graceful_shutdown(async move { drop(drained.wait_for(|leaving| *leaving).await) });
        let mut serving = tokio::spawn(serving.into_future());
        let lost = |e| Error::machine("the service lost its listening socket").because(e);
        let early = tokio::select! {
            ended = &mut serving => Some(ended),
            () = shutdown => None,
        };
        leave.send_replace(true);
        let result = match early {
            Some(Ok(ended)) => ended.map_err(lost),
            Some(Err(e)) => Err(Error::internal("the service's task failed").because(e)),
            None => {
                // Streams of events end with `leaving`; what hangs is cut off.
                let _ = tokio::time::timeout(DRAIN_TIMEOUT, &mut serving).await;
                serving.abort();
                Ok(())
            }
        };
        let _ = dispatcher.await;
        let _ = courier.await;
        let _ = schedules.await;
        let _ = sweeper.await;
        let database = self.database;
        let _ = tokio::task::spawn_blocking(move || database.close()).await;
        result
    }
}

/// The dashboard's page and its files.
fn dashboard() -> Router {
    let file = async |Path(name): Path<String>| pages::file(&name).ok_or(StatusCode::NOT_FOUND);
    Router::new()
        .route("/", get(async || Page::Dashboard.response()))
        .route("/api", get(async || Page::Api.response()))
        .route("/app/{file}", get(file))
}

/// Takes the data folder for this process.
fn lock(folders: &Folders) -> Result<File> {
    let path = folders.lock();
    let failed = |e: std::io::Error| Error::machine(format!("{}: {e}", path.display())).because(e);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::user(format!(
            "{}: another `roombot serve` runs with this --data",
            path.parent().unwrap_or(&path).display()
        ))),
        Err(e) => Err(failed(e.into())),
    }
}

/// Makes the first administrator's key if there is none, or the configured one; returns one that was made.
async fn first_key(database: &Database, configured: Option<String>) -> Result<Option<String>> {
    let made = configured.is_none();
    let secret = configured.unwrap_or_else(api::new_secret);
    let digest = api::digest(&secret);
    let inserted = database
        .write(move |connection| {
            let known = keys::by_digest(connection, &digest)?.is_some();
            if known || made && keys::has_admin(connection)? {
                return Ok(false);
            }
            let now = Timestamp::now();
            let key = ApiKey {
                id: Id::new(Id::KEY),
                name: if made { "first" } else { "configured" }.to_owned(),
                project: "default".to_owned(),
                scopes: vec![Scope::Admin],
                rate_limit: None,
                created_at: now,
                revoked_at: None,
            };
            keys::insert(connection, &key, &digest)?;
            keys::audit(connection, &key.project, None, "key.create", key.id.as_str(), now)?;
            Ok(true)
        })
        .await?;
    Ok((made && inserted).then_some(secret))
}
