//! The outbox: order, limits, what is given up and sent again.

use super::connection::Database;
use super::deliveries::{Attempt, Due, Filter, clean, due, figures, list, next_due, note, redeliver, redeliver_dead};
use super::events;
use super::recordings::{self, Runtime, StoredRecording};
use super::webhooks::{self, StoredWebhook, Written};
use crate::service::model::{DeliveryState, EventDraft, EventType, Id, Recording, RecordingRequest, Secrets, Webhook};
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use serde_json::json;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn webhook(url: &str, events: Vec<EventType>) -> StoredWebhook {
    let webhook = Webhook {
        id: Id::new(Id::WEBHOOK),
        project: "default".into(),
        url: url.into(),
        events,
        description: String::new(),
        disabled: false,
        disabled_reason: None,
        created_at: at(0),
        rotating_until: None,
    };
    StoredWebhook { webhook, secrets: Secrets::new("whsec_AAAA".into()) }
}

fn recording(connection: &Connection, own: Option<&str>) -> Recording {
    let mut request = RecordingRequest::new("ws://127.0.0.1/rooms/a");
    request.webhook_url = own.map(str::to_owned);
    let recording = Recording::new(Id::new(Id::RECORDING), "default", &request, at(0));
    let stored = StoredRecording { recording: recording.clone(), request, runtime: Runtime::default() };
    recordings::insert(connection, &stored, EventDraft::new(EventType::Queued, json!({}))).unwrap();
    recording
}

fn happens(connection: &Connection, recording: &Recording, kind: EventType) {
    events::append(connection, recording, at(0), vec![EventDraft::new(kind, json!({}))]).unwrap();
}

fn attempt(problem: Option<&str>, next: Option<Timestamp>) -> Attempt {
    Attempt { at: at(1), status: Some(500), problem: problem.map(str::to_owned), next }
}

fn all_due(connection: &Connection, now: Timestamp) -> Vec<Due> {
    due(connection, now, 8, 100).unwrap()
}

fn kinds(due: &[Due]) -> Vec<EventType> {
    due.iter().map(|due| due.kind).collect()
}

fn states(connection: &Connection) -> Vec<DeliveryState> {
    let mut states: Vec<_> =
        list(connection, &Filter::default(), 100).unwrap().into_iter().map(|(_, delivery)| delivery.state).collect();
    states.reverse();
    states
}

/// Runs a test on the writing connection.
async fn on_database(test: impl FnOnce(&Connection) + Send + 'static) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("service.db")).unwrap();
    let done = database.write(move |connection| {
        test(connection);
        Ok(())
    });
    done.await.unwrap();
}

#[tokio::test]
async fn one_delivery_of_a_recording_and_endpoint_is_due_at_a_time() {
    use DeliveryState::{Dead, Delivered, Pending, Waiting};
    on_database(|connection| {
        webhooks::insert(connection, &webhook("https://one.example/", vec![])).unwrap();
        let first = recording(connection, None);
        happens(connection, &first, EventType::Joining);
        happens(connection, &first, EventType::Failed);
        assert_eq!(states(connection), [Pending, Waiting, Waiting]);
        let now = all_due(connection, at(0));
        assert_eq!(kinds(&now), [EventType::Queued]);
        assert_eq!(now[0].secrets, Some(Secrets::new("whsec_AAAA".into())));
        // It fails: nothing is due before its time, and nothing overtakes it.
        note(connection, now[0].position, &attempt(Some("500"), Some(at(10))), at(1)).unwrap();
        assert!(all_due(connection, at(9)).is_empty());
        assert_eq!(next_due(connection, at(9)).unwrap(), Some(at(10)));
        // Another recording is not held up.
        let second = recording(connection, None);
        assert_eq!(kinds(&all_due(connection, at(9))), [EventType::Queued]);
        let again = all_due(connection, at(10));
        assert_eq!(again.len(), 2);
        let held = again.iter().find(|due| due.position == now[0].position).unwrap();
        assert_eq!((held.attempts, held.first), (1, Some(at(1))));
        note(connection, held.position, &attempt(None, None), at(10)).unwrap();
        assert_eq!(states(connection), [Delivered, Pending, Waiting, Pending]);
        // One that is given up holds up nothing either.
        let joining = all_due(connection, at(10)).into_iter().find(|due| due.kind == EventType::Joining).unwrap();
        note(connection, joining.position, &attempt(Some("500"), None), at(11)).unwrap();
        assert_eq!(states(connection), [Delivered, Dead, Pending, Pending]);
        assert_ne!(first.id, second.id);
    })
    .await;
}

#[tokio::test]
async fn one_target_does_not_fill_all_places() {
    on_database(|connection| {
        webhooks::insert(connection, &webhook("https://one.example/", vec![])).unwrap();
        for _ in 0..20 {
            recording(connection, None);
        }
        webhooks::insert(connection, &webhook("https://two.example/", vec![])).unwrap();
        recording(connection, Some("https://own.example/hook"));
        let due = due(connection, at(0), 3, 100).unwrap();
        let urls = |url: &str| due.iter().filter(|due| due.url.contains(url)).count();
        assert_eq!((urls("one"), urls("two"), urls("own")), (3, 1, 1));
        assert_eq!(due.iter().find(|due| due.url.contains("own")).unwrap().target, "https://own.example");
    })
    .await;
}

#[tokio::test]
async fn endpoints_get_what_they_ask_for() {
    on_database(|connection| {
        webhooks::insert(connection, &webhook("https://one.example/", vec![EventType::Failed])).unwrap();
        let first = recording(connection, None);
        happens(connection, &first, EventType::Failed);
        assert_eq!(kinds(&all_due(connection, at(0))), [EventType::Failed]);
        let taken = webhook("https://one.example/", vec![]);
        assert_eq!(webhooks::insert(connection, &taken).unwrap(), Written::Exists);
        for number in 1..webhooks::MOST {
            let more = webhook(&format!("https://{number}.example/"), vec![EventType::Expired]);
            assert_eq!(webhooks::insert(connection, &more).unwrap(), Written::Done);
        }
        let last = webhook("https://last.example/", vec![]);
        assert_eq!(webhooks::insert(connection, &last).unwrap(), Written::TooMany);
    })
    .await;
}

#[tokio::test]
async fn what_a_disabled_endpoint_missed_can_be_redelivered_in_order() {
    use DeliveryState::{Dead, Delivered, Pending, Waiting};
    on_database(|connection| {
        let mut stored = webhook("https://one.example/", vec![]);
        webhooks::insert(connection, &stored).unwrap();
        let first = recording(connection, None);
        happens(connection, &first, EventType::Joining);
        let in_flight = all_due(connection, at(0)).remove(0);
        stored.webhook.disabled = true;
        webhooks::update(connection, &stored, at(1)).unwrap();
        assert_eq!(states(connection), [Dead, Dead]);
        // Nothing is made for it while it is disabled.
        happens(connection, &first, EventType::Failed);
        assert_eq!(states(connection), [Dead, Dead]);
        // An answer that comes too late does not bring it back; one that says it arrived counts.
        note(connection, in_flight.position, &attempt(Some("500"), Some(at(9))), at(2)).unwrap();
        assert_eq!(states(connection), [Dead, Dead]);
        note(connection, in_flight.position, &attempt(None, None), at(2)).unwrap();
        assert_eq!(states(connection), [Delivered, Dead]);
        stored.webhook.disabled = false;
        webhooks::update(connection, &stored, at(3)).unwrap();
        happens(connection, &first, EventType::Expired);
        assert_eq!(states(connection), [Delivered, Dead, Pending]);
        let deliveries = list(connection, &Filter::default(), 10).unwrap();
        let oldest = &deliveries.last().unwrap().1.id;
        assert!(redeliver(connection, oldest, at(4)).unwrap() && !redeliver(connection, oldest, at(4)).unwrap());
        assert_eq!(redeliver_dead(connection, &stored.webhook.id, at(4)).unwrap(), 1);
        assert_eq!(states(connection), [Waiting, Waiting, Pending]);
        for expected in [EventType::Expired, EventType::Queued, EventType::Joining] {
            let due = all_due(connection, at(5));
            assert_eq!((kinds(&due), due[0].attempts), (vec![expected], 0));
            note(connection, due[0].position, &attempt(None, None), at(5)).unwrap();
        }
        webhooks::delete(connection, &stored.webhook.id, at(6)).unwrap();
        assert_eq!(webhooks::list(connection, None, at(6)).unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn figures_outlive_the_rows_and_old_rows_are_removed() {
    on_database(|connection| {
        webhooks::insert(connection, &webhook("https://one.example/", vec![])).unwrap();
        let first = recording(connection, None);
        happens(connection, &first, EventType::Joining);
        let before = figures(connection, at(60)).unwrap();
        assert_eq!((before.undone, before.lag_ms, before.delivered), (2, 60_000, 0));
        let arrived = all_due(connection, at(0)).remove(0);
        note(connection, arrived.position, &attempt(Some("500"), Some(at(1))), at(0)).unwrap();
        note(connection, arrived.position, &attempt(None, None), at(1)).unwrap();
        let lost = all_due(connection, at(1)).remove(0);
        let long = "ä".repeat(1000);
        note(connection, lost.position, &attempt(Some(&long), None), at(2)).unwrap();
        let days = |days: i64| at(0) + SignedDuration::from_hours(24 * days);
        assert_eq!(clean(connection, at(1), at(2)).unwrap(), 0);
        assert_eq!(clean(connection, days(1), at(2)).unwrap(), 1);
        assert_eq!(states(connection), [DeliveryState::Dead]);
        let kept = &list(connection, &Filter::default(), 10).unwrap()[0].1;
        assert_eq!(kept.problem.as_deref(), Some("ä".repeat(250).as_str()));
        assert_eq!(clean(connection, days(1), days(1)).unwrap(), 1);
        let after = figures(connection, at(60)).unwrap();
        assert_eq!((after.delivered, after.failed, after.dead, after.undone, after.lag_ms), (1, 2, 1, 0, 0));
    })
    .await;
}
