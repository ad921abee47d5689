//! What all requests share.

use super::link_key::LinkKey;
use super::rates::RateLimits;
use super::request_metrics::RequestMetrics;
use super::sign_in::SignInCodes;
use super::token_keys::TokenKeys;
use crate::service::cluster::Cluster;
use crate::service::database::Database;
use crate::service::jobs::{Capacity, Folders};
use crate::service::storage::StorageService;
use crate::viewer::{Media, Pictures};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// What requests are answered from.
#[derive(Clone)]
pub struct ApiState {
    pub database: Database,
    pub folders: Arc<Folders>,
    pub storage: Option<Arc<StorageService>>,
    pub capacity: Arc<Mutex<Capacity>>,
    /// The folder of what bots may send.
    pub bot_media: Option<PathBuf>,
    /// Signs links.
    pub links: LinkKey,
    /// Whose tokens are taken.
    pub tokens: watch::Receiver<TokenKeys>,
    pub rates: RateLimits,
    /// Codes that sign a browser in.
    pub sign_in: SignInCodes,
    pub metrics: RequestMetrics,
    pub media: Media,
    pub pictures: Pictures,
    /// Whether webhooks may go to addresses that are not public.
    pub allow_private_webhooks: bool,
    /// The workers, on an API node of many machines.
    pub cluster: Option<Arc<Cluster>>,
    /// This machine's labels.
    pub labels: BTreeMap<String, String>,
    /// True when the service takes no new recordings any more.
    pub leaving: watch::Receiver<bool>,
}
