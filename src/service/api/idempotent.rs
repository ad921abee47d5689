//! `Idempotency-Key`: a request that is sent again makes nothing new. One place for everything that is made by a POST.

use super::auth::digest;
use super::problem::Problem;
use crate::service::database::DatabaseError;
use crate::service::database::idempotency::{self, Earlier};
use crate::service::model::Id;
use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use rusqlite::Connection;
use serde::Serialize;

/// Characters of a key.
const LONGEST_KEY: usize = 255;

/// The key of a request, with what tells the request from others. Keys are a project's own, whatever they are for: no two kinds of request
/// have the same body, so a key of another kind is a key of another request.
pub(super) struct Once {
    key: Option<String>,
    project: String,
    digest: String,
}

/// What came of a request.
pub(super) enum Made<T> {
    New(T),
    /// The same request was made before.
    Before(T),
    /// The same request was made before; what it made was deleted since.
    Gone,
    /// The key belongs to another request.
    Other,
    /// There is no room for it.
    TooMany,
}

impl Once {
    /// Reads the key. `request`: as it is understood, so that the order of its fields and defaults do not matter.
    pub(super) fn new(headers: &HeaderMap, project: &str, request: &impl Serialize) -> Result<Once, Problem> {
        let key = match headers.get("idempotency-key").map(|key| key.to_str()) {
            Some(Ok(key)) if (1..=LONGEST_KEY).contains(&key.len()) => Some(key.to_owned()),
            None => None,
            _ => return Err(Problem::field("idempotency-key", "must have 1 to 255 visible characters")),
        };
        let written = serde_json::to_string(request).map_err(DatabaseError::from)?;
        Ok(Once { key, project: project.to_owned(), digest: digest(&written) })
    }

    /// Finds what the request made before, or makes it and remembers that, as one write. `make`: None where there is no room.
    pub(super) fn make<T>(
        &self,
        connection: &Connection,
        now: Timestamp,
        find: impl FnOnce(&Id) -> Result<Option<T>, DatabaseError>,
        make: impl FnOnce() -> Result<Option<(Id, T)>, DatabaseError>,
    ) -> Result<Made<T>, DatabaseError> {
        let Once { key, project, digest } = self;
        if let Some(key) = key {
            match idempotency::find(connection, project, key, digest, now)? {
                Earlier::None => {}
                Earlier::Other => return Ok(Made::Other),
                Earlier::Same(id) => return Ok(find(&id)?.map_or(Made::Gone, Made::Before)),
            }
        }
        let Some((id, made)) = make()? else { return Ok(Made::TooMany) };
        if let Some(key) = key {
            idempotency::remember(connection, project, key, digest, &id, now)?;
        }
        Ok(Made::New(made))
    }
}

impl<T: Serialize> Made<T> {
    /// The answer: `created` for what is new, 200 for what was there. `too_many`: why there is no room.
    pub(super) fn answer(
        self,
        created: StatusCode,
        location: impl FnOnce(&T) -> String,
        too_many: impl FnOnce() -> String,
    ) -> Result<Response, Problem> {
        let conflict = |code, detail: String| Err(Problem::new(StatusCode::CONFLICT, code, detail));
        let (status, made) = match self {
            Made::New(made) => (created, made),
            Made::Before(made) => (StatusCode::OK, made),
            Made::Gone => {
                return conflict("idempotency_key_reused", "what this idempotency key made was deleted".to_owned());
            }
            Made::Other => {
                return conflict(
                    "idempotency_key_reused",
                    "this idempotency key was used for another request".to_owned(),
                );
            }
            Made::TooMany => return conflict("too_many", too_many()),
        };
        Ok((status, [(header::LOCATION, location(&made))], Json(made)).into_response())
    }
}
