//! How much media there is, and where: the service's disk and its stores.

use super::auth::Caller;
use super::problem::Problem;
use super::state::ApiState;
use crate::service::database::keys::Scope;
use crate::service::database::usage::{self, Usage};
use crate::service::model::StoreName;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// Where media is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StorageReport {
    /// The service's own disk; absent where it cannot be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<Disk>,
    /// The configured stores, the first one first.
    stores: Vec<Store>,
    /// Recordings that have ended, by project and by how they are kept.
    usage: Vec<Usage>,
}

/// A disk, without what is reserved for root or lies over a quota.
#[derive(Debug, Serialize, ToSchema)]
struct Disk {
    free_bytes: u64,
    total_bytes: u64,
}

/// A configured store.
#[derive(Debug, Serialize, ToSchema)]
struct Store {
    name: StoreName,
    /// Without credentials.
    address: String,
}

/// See how much media is kept, and where; an administrator sees all projects.
#[utoipa::path(get, path = "/v1/storage", tag = "service", responses((status = 200, body = StorageReport)))]
pub(super) async fn usage(State(state): State<ApiState>, caller: Caller) -> Result<axum::Json<StorageReport>, Problem> {
    caller.require(Scope::RecordingsRead)?;
    let project = caller.project();
    let usage = state.database.read(move |connection| usage::usage(connection, project.as_deref())).await?;
    let disk = rustix::fs::statvfs(state.folders.recordings()).ok().map(|disk| {
        let in_use = disk.f_blocks.saturating_sub(disk.f_bfree);
        Disk {
            free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
            total_bytes: in_use.saturating_add(disk.f_bavail).saturating_mul(disk.f_frsize),
        }
    });
    let targets = state.storage.iter().flat_map(|storage| storage.targets());
    let stores = targets.map(|target| Store { name: target.name, address: target.address.clone() }).collect();
    Ok(axum::Json(StorageReport { disk, stores, usage }))
}
