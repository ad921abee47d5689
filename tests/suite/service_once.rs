//! `Idempotency-Key`: whatever a POST makes is made once, however often and from how many clients it is sent, also after a kill.

use crate::support::service::{Answer, Service, client};
use crate::support::{moment, within};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const ROOM: &str = "ws://127.0.0.1:9/rooms/a";

/// Everything that is made by a POST: the address, a request, the list's name.
fn kinds() -> [(&'static str, Value, &'static str, StatusCode); 4] {
    let schedule =
        json!({ "name": "a", "cron": "0 9 * * *", "duration_s": 60, "recording": { "room_url": ROOM, "token": "t" } });
    let scenario =
        json!({ "name": "long", "duration": "60s", "expect": ["participants == 1"], "people": [{ "name": "a" }] });
    [
        (
            "/v1/recordings",
            json!({ "room_url": ROOM, "start_at": "2099-01-01T00:00:00Z" }),
            "recordings",
            StatusCode::CREATED,
        ),
        ("/v1/schedules", schedule, "schedules", StatusCode::CREATED),
        ("/v1/bots", json!({ "kind": "echo", "room_url": ROOM, "token": "t" }), "bots", StatusCode::CREATED),
        ("/v1/checks", json!({ "scenario": scenario, "seed": 7 }), "checks", StatusCode::ACCEPTED),
    ]
}

async fn post(service: &Service, path: &str, key: &str, body: &Value) -> Answer {
    service.send(service.request(Method::POST, path).header("idempotency-key", key).json(body)).await
}

async fn count(service: &Service, path: &str, name: &str) -> usize {
    service.get(path).await.json()[name].as_array().map_or(0, Vec::len)
}

/// Ends what was made, whatever it is, and deletes it.
async fn delete(service: &Service, path: &str) {
    let deleted = async {
        loop {
            for command in ["stop", "cancel"] {
                service.post(&format!("{path}/{command}"), json!({})).await;
            }
            service.send(service.request(Method::DELETE, path)).await;
            if service.get(path).await.status == StatusCode::NOT_FOUND {
                return;
            }
            moment().await;
        }
    };
    within(60, &format!("{path} is deleted"), deleted).await;
}

#[tokio::test]
async fn what_is_sent_again_makes_nothing_new() {
    let mut service = Service::start(&[]).await;
    let mut places = Vec::new();
    for (path, body, name, created) in kinds() {
        let key = format!("key of {name}");
        let first = post(&service, path, &key, &body).await;
        assert_eq!(first.status, created, "{path}: {}", first.text);
        let id = first.json()["id"].as_str().expect("an id").to_owned();
        assert_eq!(first.headers["location"], format!("{path}/{id}"));
        // The same in another order, and with what is the default written out.
        let again = post(&service, path, &key, &body).await;
        assert_eq!((again.status, &again.json()["id"]), (StatusCode::OK, &json!(id)), "{path}: {}", again.text);
        assert_eq!(again.headers["location"], first.headers["location"]);
        assert!(!again.text.contains("\"token\""), "{}", again.text);

        let mut other = body.clone();
        match path {
            "/v1/checks" => other["seed"] = 8.into(),
            "/v1/schedules" => other["recording"]["token"] = "another".into(),
            _ => other["room_url"] = "ws://127.0.0.1:9/rooms/b".into(),
        }
        let refused = post(&service, path, &key, &other).await;
        let told = (refused.status, refused.json()["code"].clone());
        assert_eq!(told, (StatusCode::CONFLICT, json!("idempotency_key_reused")), "{path}: {}", refused.text);
        for wrong in ["", &"k".repeat(256)] {
            let refused = post(&service, path, wrong, &body).await;
            let told = (refused.status, refused.json()["field"].clone());
            assert_eq!(told, (StatusCode::UNPROCESSABLE_ENTITY, json!("idempotency-key")), "{path}: {}", refused.text);
        }
        assert_eq!(count(&service, path, name).await, 1, "{path}");
        let audit = service.get(&format!("/v1/audit?object={id}")).await.json();
        let of = |entry: &&Value| entry["action"].as_str().is_some_and(|action| action.ends_with(".create"));
        assert_eq!(audit["entries"].as_array().expect("entries").iter().filter(of).count(), 1, "{audit:#}");
        places.push((path, name, key, body, id));
    }
    // A key is the project's, whatever it was for; others have their own.
    let refused = post(&service, "/v1/bots", "key of schedules", &kinds()[2].1).await;
    assert_eq!(refused.json()["code"], "idempotency_key_reused", "{}", refused.text);
    let request = json!({ "name": "b", "project": "blue", "scopes": ["recordings:write", "bots", "checks"] });
    let blue = service.post("/v1/keys", request).await.json()["secret"].as_str().expect("a key").to_owned();
    for (path, _, key, body, id) in &places {
        let request = client().post(format!("{}{path}", service.url())).bearer_auth(&blue);
        let answer = service.send(request.header("idempotency-key", key).json(body)).await;
        assert!(answer.status.is_success() && answer.status != StatusCode::OK, "{path}: {}", answer.text);
        assert_ne!(answer.json()["id"], **id, "{path}");
    }

    service.kill_and_restart().await;
    for (path, _, key, body, id) in &places {
        let again = post(&service, path, key, body).await;
        assert_eq!((again.status, &again.json()["id"]), (StatusCode::OK, &json!(id)), "{path}: {}", again.text);
    }
    // What was deleted does not come back by a request that was late.
    for (path, name, key, body, id) in &places {
        let before = count(&service, path, name).await;
        delete(&service, &format!("{path}/{id}")).await;
        let late = post(&service, path, key, body).await;
        assert_eq!(late.status, StatusCode::CONFLICT, "{path}: {}", late.text);
        assert!(late.json()["detail"].as_str().is_some_and(|detail| detail.contains("deleted")), "{}", late.text);
        assert_eq!(count(&service, path, name).await, before - 1, "{path}");
    }
}

#[tokio::test]
async fn many_at_once_with_one_key_make_one() {
    let service = Service::start(&[]).await;
    for (path, body, name, created) in kinds() {
        let one = || post(&service, path, "together", &body);
        // The first kind takes the key; the others are told so. Then each has a key of its own.
        if path != "/v1/recordings" {
            assert_eq!(one().await.status, StatusCode::CONFLICT, "{path}");
        }
        let key = format!("together {name}");
        let one = || post(&service, path, &key, &body);
        let answers = tokio::join!(one(), one(), one(), one(), one(), one(), one(), one());
        let answers: [Answer; 8] = answers.into();
        let made = answers.iter().filter(|answer| answer.status == created).count();
        let found = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
        assert_eq!((made, found), (1, 7), "{path}: {answers:#?}");
        assert!(answers.iter().all(|answer| answer.json()["id"] == answers[0].json()["id"]), "{path}");
        assert_eq!(count(&service, path, name).await, 1, "{path}");
        if path == "/v1/recordings" {
            assert_eq!(post(&service, path, "together", &body).await.status, StatusCode::CREATED);
        }
    }
}
