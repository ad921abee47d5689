//! Events as server-sent events, from `Last-Event-ID` on: what was written before is sent first, then what happens.

use super::auth::Caller;
use super::problem::{Path, Problem, Query};
use super::recordings::find;
use super::state::ApiState;
use crate::service::database::keys::Scope;
use crate::service::database::{Database, events};
use crate::service::model::{Event, Id};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::Stream;
use serde::Deserialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use tokio::sync::watch;
use utoipa::IntoParams;

/// Events that are read at a time.
const BATCH: u32 = 200;

/// Where to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    /// Events after this position; the `Last-Event-ID` header goes before it.
    #[serde(default)]
    after: i64,
}

/// The events of a recording, as server-sent events. The stream ends with the recording.
#[utoipa::path(get, path = "/v1/recordings/{id}/events", tag = "recordings", params(("id" = String, Path), Since),
    responses((status = 200, body = Event, content_type = "text/event-stream"), (status = 404, body = Problem)))]
pub(super) async fn of_recording(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
    Query(since): Query<Since>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>> + use<>>, Problem> {
    caller.require(Scope::RecordingsRead)?;
    let recording = find(&state, &caller, &id).await?.recording.id;
    Ok(stream(&state, None, Some(recording), position(&headers, &since)))
}

/// All events, as server-sent events.
#[utoipa::path(get, path = "/v1/events", tag = "recordings", params(Since),
    responses((status = 200, body = Event, content_type = "text/event-stream")))]
pub(super) async fn all(
    State(state): State<ApiState>,
    caller: Caller,
    Query(since): Query<Since>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>> + use<>>, Problem> {
    caller.require(Scope::RecordingsRead)?;
    Ok(stream(&state, caller.project(), None, position(&headers, &since)))
}

fn position(headers: &HeaderMap, since: &Since) -> i64 {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    last.unwrap_or(since.after)
}

/// What a stream of events has and waits for.
struct Reader {
    database: Database,
    project: Option<String>,
    recording: Option<Id>,
    position: i64,
    ready: VecDeque<Event>,
    changes: watch::Receiver<u64>,
    leaving: watch::Receiver<bool>,
}

fn stream(
    state: &ApiState,
    project: Option<String>,
    recording: Option<Id>,
    position: i64,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>> + use<>> {
    let reader = Reader {
        database: state.database.clone(),
        project,
        recording,
        position,
        ready: VecDeque::new(),
        changes: state.database.changes(),
        leaving: state.leaving.clone(),
    };
    let events = futures_util::stream::unfold(reader, async |mut reader| {
        let event = reader.next().await?;
        let frame = sse::Event::default().id(event.position.to_string()).event(event.kind.word());
        Some((Ok(frame.json_data(&event).unwrap_or_default()), reader))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

impl Reader {
    /// The next event; none: the recording, or the service, has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.position = event.position;
                return Some(event);
            }
            self.changes.borrow_and_update();
            let (project, recording, position) = (self.project.clone(), self.recording.clone(), self.position);
            let read = self.database.read(move |connection| {
                events::after(connection, project.as_deref(), recording.as_ref(), position, BATCH)
            });
            self.ready = read.await.ok()?.into();
            if !self.ready.is_empty() {
                continue;
            }
            if let Some(id) = &self.recording {
                let stored = self.database.recording(id).await.ok()??;
                // Everything that was written before it ended has been read.
                if stored.recording.state.is_final() && !self.changes.has_changed().unwrap_or(false) {
                    return None;
                }
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                _ = self.leaving.wait_for(|leaving| *leaving) => return None,
            }
        }
    }
}
