//! The database: what is written together, what fails alone, what is found again.

use super::*;
use crate::error::Error;
use crate::service::model::{Id, Recording, RecordingRequest, State};
use events::after;
use jiff::Timestamp;
use recordings::{Filter, Runtime, StoredRecording};
use rusqlite::Connection;

fn stored(room: &str) -> StoredRecording {
    let mut request = RecordingRequest::new(format!("ws://127.0.0.1/rooms/{room}"));
    request.token = Some("s3cret".into());
    request.webhook_url = Some("https://example.org/hook".into());
    let recording = Recording::new(Id::new(Id::RECORDING), "default", &request, Timestamp::now());
    StoredRecording { recording, request, runtime: Runtime::default() }
}

async fn insert(database: &Database, stored: &StoredRecording) {
    let draft = crate::service::model::EventDraft::new(crate::service::model::EventType::Queued, serde_json::json!({}));
    let stored = stored.clone();
    database.write(move |connection| recordings::insert(connection, &stored, draft)).await.unwrap();
}

#[tokio::test]
async fn a_state_its_event_and_its_delivery_come_together() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("service.db")).unwrap();
    let stored = stored("standup");
    insert(&database, &stored).await;
    let id = stored.recording.id.clone();
    let advanced = database
        .update_recording(&id, |stored| {
            let event = stored.recording.advance(State::Joining, None, Timestamp::now());
            (event.is_some(), event.into_iter().collect())
        })
        .await;
    assert_eq!(advanced.unwrap(), Some(true));
    let of = id.clone();
    let (events, deliveries) = database
        .read(move |connection| {
            let events = after(connection, None, Some(&of), 0, 100)?;
            let count: i64 = connection.query_row("SELECT count(*) FROM deliveries", [], |row| row.get(0))?;
            Ok((events, count))
        })
        .await
        .unwrap();
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(deliveries, 2);
    let back = database.recording(&id).await.unwrap().unwrap();
    assert_eq!((back.recording.state, back.request.token.as_deref()), (State::Joining, Some("s3cret")));
    assert_eq!(back.recording.request.token, None);
}

#[tokio::test]
async fn a_write_that_fails_leaves_nothing_and_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("service.db")).unwrap();
    let (good, bad) = (stored("good"), stored("bad"));
    let (twice, again) = (bad.clone(), bad.clone());
    let failing = database.write(move |connection| {
        let draft =
            || crate::service::model::EventDraft::new(crate::service::model::EventType::Queued, serde_json::json!({}));
        recordings::insert(connection, &twice, draft())?;
        recordings::insert(connection, &again, draft())
    });
    let (failed, ()) = tokio::join!(failing, insert(&database, &good));
    assert!(matches!(failed, Err(DatabaseError::Sqlite(_))), "{failed:?}");
    let listed = database.read(|connection| recordings::list(connection, &Filter::default(), 10)).await.unwrap();
    assert_eq!(listed.into_iter().map(|(_, recording)| recording.id).collect::<Vec<_>>(), [good.recording.id]);
}

#[tokio::test]
async fn lists_are_filtered_and_continued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service.db");
    let database = Database::open(&path).unwrap();
    for room in ["a", "b", "a", "b", "a"] {
        insert(&database, &stored(room)).await;
    }
    let of_a = Filter { room: Some("a".into()), states: vec![State::Queued], ..Filter::default() };
    let page = move |before| {
        let (database, filter) = (database.clone(), Filter { before, ..of_a.clone() });
        async move { database.read(move |connection| recordings::list(connection, &filter, 2)).await.unwrap() }
    };
    let first = page(None).await;
    assert_eq!(first.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [5, 3]);
    let rest = page(Some(3)).await;
    assert_eq!(rest.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [1]);
    // A second process opens the same file: what was written is there.
    let again = Database::open(&path).unwrap();
    let counts = again.read(recordings::counts).await.unwrap();
    assert_eq!(counts, [(State::Queued, 5)]);
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service.db");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Database::open(&path).err().unwrap();
    assert!(matches!(error, Error::User(_)) && error.to_string().contains("newer roombot"), "{error}");
}
