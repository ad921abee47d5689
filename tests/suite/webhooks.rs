//! Webhooks of the recorder service, as receivers get them: real processes of the program, real HTTP.

use crate::support::needs::{needed, tools};
use crate::support::receiver::{Received, Receiver, Reply, kinds};
use crate::support::service::Service;
use crate::support::{moment, within};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::NamedTempFile;

/// A service that may send to this machine.
async fn service() -> (Service, NamedTempFile) {
    let mut config = NamedTempFile::new().expect("a file");
    config.write_all(b"allow_private_webhooks = true\n").expect("written");
    let path = config.path().to_str().expect("UTF-8").to_owned();
    (Service::start(&["--config", &path]).await, config)
}

/// Makes a webhook; its id and secret.
async fn webhook(service: &Service, request: Value) -> (String, String) {
    let answer = service.post("/v1/webhooks", request).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let text = |field: &str| answer.json()[field].as_str().expect("a text").to_owned();
    (text("id"), text("secret"))
}

/// A recording that begins when nobody waits any more: it makes one event now, and one when it is cancelled.
async fn scheduled(service: &Service, webhook_url: Option<&str>) -> String {
    let mut request = json!({ "room_url": "ws://127.0.0.1:9/rooms/standup", "start_at": "2099-01-01T00:00:00Z" });
    if let Some(url) = webhook_url {
        request["webhook_url"] = url.into();
    }
    service.record(request).await
}

async fn cancel(service: &Service, id: &str) {
    let answer = service.post(&format!("/v1/recordings/{id}/cancel"), json!({})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

async fn deliveries(service: &Service, query: &str) -> Vec<Value> {
    let answer = service.get(&format!("/v1/deliveries?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()["deliveries"].as_array().expect("a list").clone()
}

/// Waits until so many deliveries are listed.
async fn until_listed(service: &Service, query: &str, count: usize, seconds: u64) -> Vec<Value> {
    let listed = async {
        loop {
            let found = deliveries(service, query).await;
            if found.len() == count {
                return found;
            }
            moment().await;
        }
    };
    within(seconds, &format!("{count} deliveries with {query}"), listed).await
}

#[tokio::test]
async fn deliveries_are_signed_and_come_in_order() {
    let (receiver, (service, _config)) = (Receiver::start().await, service().await);
    let (hook, secret) = webhook(&service, json!({ "url": receiver.url("/hook"), "description": "all" })).await;
    webhook(&service, json!({ "url": receiver.url("/some"), "events": ["recording.cancelled"] })).await;
    let id = scheduled(&service, Some(&receiver.url("/own"))).await;
    cancel(&service, &id).await;
    let both = ["recording.scheduled", "recording.cancelled"];
    let (came, own) = (receiver.until("/hook", 2, 10).await, receiver.until("/own", 2, 10).await);
    assert_eq!((kinds(&came), kinds(&own)), (both.map(str::to_owned).to_vec(), both.map(str::to_owned).to_vec()));
    assert_eq!(kinds(&receiver.until("/some", 1, 10).await), ["recording.cancelled"]);
    let body = came[0].json();
    assert_eq!((body["id"].as_str(), body["recording"]["id"].as_str()), (Some(came[0].id()), Some(id.as_str())));
    assert_eq!((&body["sequence"], &came[1].json()["sequence"]), (&json!(1), &json!(2)));
    assert_eq!((came[0].headers["content-type"].as_bytes(), own[0].id()), (&b"application/json"[..], came[0].id()));
    // Recordings' own endpoints are signed with the project's secret.
    let project = service.get("/v1/projects/default/webhook-secret").await.json();
    let project = project["secret"].as_str().expect("a secret");
    assert!(came.iter().all(|received| received.is_signed_by(&secret) && !received.is_signed_by(project)));
    assert!(own.iter().all(|received| received.is_signed_by(project) && !received.is_signed_by(&secret)));
    // While the secret rotates both are good.
    let rotated = service.post(&format!("/v1/webhooks/{hook}/rotate"), json!({ "overlap_s": 3600 })).await.json();
    let fresh = rotated["secret"].as_str().expect("a secret");
    let pinged = service.request(Method::POST, &format!("/v1/webhooks/{hook}/ping"));
    let pinged = service.send(pinged).await.json();
    assert_eq!(
        (&pinged["state"], &pinged["status"], &pinged["type"]),
        (&json!("delivered"), &json!(200), &json!("webhook.ping"))
    );
    let ping = &receiver.until("/hook", 3, 10).await[2];
    assert!(ping.is_signed_by(fresh) && ping.is_signed_by(&secret) && ping.kind() == "webhook.ping");
    service.post(&format!("/v1/webhooks/{hook}/rotate"), json!({ "overlap_s": 0 })).await;
    service.post(&format!("/v1/webhooks/{hook}/ping"), json!({})).await;
    assert!(!receiver.until("/hook", 4, 10).await[3].is_signed_by(fresh));
    // Secrets are shown when they are made only.
    for path in ["/v1/webhooks".to_owned(), format!("/v1/webhooks/{hook}"), "/v1/deliveries".to_owned()] {
        let shown = service.get(&path).await;
        assert!(shown.status == StatusCode::OK && !shown.text.contains("whsec_"), "{path}: {}", shown.text);
    }
    let figures = service.get("/v1/deliveries/figures").await.json();
    assert_eq!((&figures["delivered"], &figures["undone"]), (&json!(7), &json!(0)));
}

#[tokio::test]
async fn a_failed_delivery_is_tried_again_and_holds_up_its_recording_only() {
    let (receiver, (service, _config)) = (Receiver::start().await, service().await);
    receiver.reply("/hook", &[Reply::Status(500)]);
    webhook(&service, json!({ "url": receiver.url("/hook") })).await;
    let first = scheduled(&service, None).await;
    let failed = receiver.until("/hook", 1, 10).await.remove(0);
    cancel(&service, &first).await;
    let second = scheduled(&service, None).await;
    cancel(&service, &second).await;
    let came = receiver.until("/hook", 5, 20).await;
    let of = |id: &str| came.iter().filter(|came| came.json()["recording"]["id"] == id).cloned().collect::<Vec<_>>();
    assert_eq!(kinds(&of(&second)), ["recording.scheduled", "recording.cancelled"]);
    let of_first = of(&first);
    assert_eq!(kinds(&of_first), ["recording.scheduled", "recording.scheduled", "recording.cancelled"]);
    assert_eq!(of_first[1].id(), failed.id());
    let pause = of_first[1].at - failed.at;
    assert!(pause >= Duration::from_millis(4400), "{pause:?}");
    assert!(of(&second)[1].at < of_first[1].at, "the other recording overtakes");
    // An endpoint that asks for time gets it.
    receiver.reply("/asks", &[Reply::RetryAfter(503, 3000)]);
    let third = scheduled(&service, Some(&receiver.url("/asks"))).await;
    receiver.until("/asks", 1, 10).await;
    let asked = async {
        loop {
            let found = deliveries(&service, &format!("recording={third}&state=pending")).await;
            if let Some(delivery) = found.into_iter().find(|delivery| delivery["attempts"] == 1) {
                return delivery;
            }
            moment().await;
        }
    };
    let delivery = within(10, "the attempt is noted", asked).await;
    let time = |field: &str| delivery[field].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time");
    let pause = time("next_attempt_at").duration_since(time("created_at")).as_secs();
    assert!((2999..3060).contains(&pause), "{delivery:#}");
    assert_eq!(delivery["problem"], "it answered 503 Service Unavailable: later");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_disabled_and_can_catch_up() {
    let (receiver, (service, _config)) = (Receiver::start().await, service().await);
    receiver.reply("/hook", &[Reply::Status(410)]);
    let (hook, _) = webhook(&service, json!({ "url": receiver.url("/hook") })).await;
    let id = scheduled(&service, None).await;
    let dead = until_listed(&service, "state=dead", 1, 10).await.remove(0);
    assert_eq!((&dead["status"], &dead["problem"]), (&json!(410), &json!("it answered 410 Gone")));
    let path = format!("/v1/webhooks/{hook}");
    let shown = service.get(&path).await.json();
    assert_eq!((&shown["disabled"], &shown["disabled_reason"]), (&json!(true), &json!("it answered 410 Gone")));
    cancel(&service, &id).await;
    let delivery = dead["id"].as_str().expect("an id");
    for again in [format!("{path}/redeliver"), format!("/v1/deliveries/{delivery}/redeliver")] {
        let refused = service.post(&again, json!({})).await;
        assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::CONFLICT, &json!("wrong_state")));
    }
    let enabled = service.send(service.request(Method::PATCH, &path).json(&json!({ "disabled": false }))).await.json();
    assert_eq!((&enabled["disabled"], enabled.get("disabled_reason")), (&json!(false), None));
    let again = service.post(&format!("{path}/redeliver"), json!({})).await;
    assert_eq!((again.status, again.json()), (StatusCode::ACCEPTED, json!({ "redelivered": 1 })));
    let came = receiver.until("/hook", 2, 10).await;
    assert_eq!((kinds(&came[1..]), came[1].id()), (vec!["recording.scheduled".to_owned()], came[0].id()));
    // What arrived can be asked for again too.
    until_listed(&service, "state=delivered", 1, 10).await;
    let again = service.post(&format!("/v1/deliveries/{delivery}/redeliver"), json!({})).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.text);
    assert_eq!(receiver.until("/hook", 3, 10).await[2].id(), came[0].id());
    let whole = service.get(&format!("/v1/deliveries/{delivery}")).await.json();
    assert_eq!((&whole["body"]["id"], &whole["event"]), (&json!(came[0].id()), &json!(came[0].id())));
    let deleted = service.send(service.request(Method::DELETE, &path)).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(service.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn redirects_are_not_followed_and_what_hangs_is_given_up() {
    let (receiver, (service, _config)) = (Receiver::start().await, service().await);
    receiver.reply("/moved", &[Reply::Redirect(receiver.url("/elsewhere"))]);
    receiver.reply("/hangs", &[Reply::Hang]);
    let (moved, _) = webhook(&service, json!({ "url": receiver.url("/moved") })).await;
    let (hangs, _) = webhook(&service, json!({ "url": receiver.url("/hangs") })).await;
    let moved = service.post(&format!("/v1/webhooks/{moved}/ping"), json!({})).await.json();
    let problem = moved["problem"].as_str().expect("a problem");
    assert!(moved["state"] == "dead" && problem.contains("302") && problem.contains("not followed"), "{moved:#}");
    let hung = service.post(&format!("/v1/webhooks/{hangs}/ping"), json!({})).await.json();
    assert_eq!((&hung["state"], &hung["problem"]), (&json!("dead"), &json!("it did not answer within 15 s")));
    assert!(receiver.received("/elsewhere").is_empty());
}

#[tokio::test]
async fn private_addresses_are_refused() {
    let (receiver, service) = (Receiver::start().await, Service::start(&[]).await);
    for url in [receiver.url("/hook"), "http://[::ffff:10.0.0.1]/".into(), "http://[64:ff9b::7f00:1]/".into()] {
        let hook = service.post("/v1/webhooks", json!({ "url": url })).await;
        let recording = json!({ "room_url": "ws://127.0.0.1:9/rooms/a", "webhook_url": url });
        let recording = service.post("/v1/recordings", recording).await;
        for (answer, field) in [(hook, "url"), (recording, "webhook_url")] {
            let problem = answer.json();
            assert_eq!((answer.status, &problem["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(field)));
            assert!(
                problem["detail"].as_str().is_some_and(|text| text.contains("allow_private_webhooks")),
                "{problem}"
            );
        }
    }
    // Where a name leads to is known only when it is looked up.
    let (named, _) = webhook(&service, json!({ "url": receiver.named_url("/hook") })).await;
    let ping = service.post(&format!("/v1/webhooks/{named}/ping"), json!({})).await.json();
    let problem = ping["problem"].as_str().expect("a problem");
    assert!(
        ping["state"] == "dead" && problem.contains("localhost") && problem.contains("no public address"),
        "{ping:#}"
    );
    assert!(receiver.received("/hook").is_empty());
}

#[tokio::test]
async fn a_killed_service_loses_no_delivery() {
    const RECORDINGS: usize = 12;
    let (receiver, (mut service, _config)) = (Receiver::start().await, service().await);
    // Slow enough that it is killed while it sends; some answers are lost with it.
    receiver.reply("/hook", &vec![Reply::Slow(200, Duration::from_millis(150)); 10 * RECORDINGS]);
    let (_, secret) = webhook(&service, json!({ "url": receiver.url("/hook") })).await;
    let mut ids = Vec::new();
    for index in 0..RECORDINGS {
        let id = scheduled(&service, None).await;
        cancel(&service, &id).await;
        ids.push(id);
        if index % 4 == 3 {
            receiver.until("/hook", index / 2, 20).await;
            service.kill_and_restart().await;
        }
    }
    until_listed(&service, "state=delivered&limit=500", 2 * RECORDINGS, 40).await;
    let mut by_recording: HashMap<String, Vec<Received>> = HashMap::new();
    for received in receiver.received("/hook") {
        assert!(received.is_signed_by(&secret));
        let id = received.json()["recording"]["id"].as_str().expect("an id").to_owned();
        by_recording.entry(id).or_default().push(received);
    }
    assert_eq!(by_recording.len(), RECORDINGS);
    for id in ids {
        let mut came = kinds(&by_recording[&id]);
        // What was sent when the service was killed came again, as the same event and before what follows.
        came.dedup();
        assert_eq!(came, ["recording.scheduled", "recording.cancelled"], "{id}");
        let mut events: Vec<_> = by_recording[&id].iter().map(Received::id).collect();
        events.dedup();
        assert_eq!(events.len(), 2, "{id}");
    }
}

#[tokio::test]
async fn webhooks_belong_to_their_project_and_need_their_scope() {
    let (receiver, (service, _config)) = (Receiver::start().await, service().await);
    let (hook, _) = webhook(&service, json!({ "url": receiver.url("/hook") })).await;
    let key = async |project: &str, scope: &str| {
        let request = json!({ "name": "test", "project": project, "scopes": [scope] });
        let key = service.post("/v1/keys", request).await;
        key.json()["secret"].as_str().expect("a key").to_owned()
    };
    let (reader, other) = (key("default", "recordings:read").await, key("other", "webhooks").await);
    let http = crate::support::service::client();
    let get = async |key: &str, path: &str| {
        let answer = http.get(format!("{}{path}", service.url())).bearer_auth(key).send().await.expect("an answer");
        (answer.status(), answer.text().await.expect("a body"))
    };
    for path in ["/v1/webhooks", "/v1/deliveries"] {
        assert_eq!(get(&reader, path).await.0, StatusCode::FORBIDDEN, "{path}");
        let (status, text) = get(&other, path).await;
        assert!(status == StatusCode::OK && text.contains("[]"), "{path}: {text}");
    }
    assert_eq!(get(&other, &format!("/v1/webhooks/{hook}")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(get(&other, "/v1/projects/other/webhook-secret").await.0, StatusCode::FORBIDDEN);
    let foreign = json!({ "url": receiver.url("/x"), "project": "default" });
    let foreign = http.post(format!("{}/v1/webhooks", service.url())).bearer_auth(&other).json(&foreign);
    let foreign = foreign.send().await.expect("an answer");
    assert_eq!(foreign.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let again = service.post("/v1/webhooks", json!({ "url": receiver.url("/hook") })).await;
    assert_eq!((again.status, &again.json()["code"]), (StatusCode::CONFLICT, &json!("webhook_exists")));
    let unknown = service.post("/v1/webhooks", json!({ "url": receiver.url("/y"), "events": ["recording.x"] })).await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", unknown.text);
}

/// The code of `docs/webhooks.md` in a language.
fn documented(language: &str) -> String {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/webhooks.md")).expect("the page");
    let code = page.split(&format!("```{language}\n")).nth(1).expect("an example");
    code.split("```").next().expect("its end").to_owned()
}

/// The documented receivers take what the service sends, and nothing else.
#[tokio::test]
async fn the_documented_receivers_verify_deliveries() {
    needed!(tools(&["python3", "node"]));
    let (receiver, (service, _config)) = (Receiver::start().await, service().await);
    let (hook, secret) = webhook(&service, json!({ "url": receiver.url("/hook") })).await;
    service.post(&format!("/v1/webhooks/{hook}/ping"), json!({})).await;
    let came = receiver.until("/hook", 1, 10).await.remove(0);
    let header = |name: &str| came.headers[name].to_str().expect("ASCII").to_owned();
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: serde_json::Map<_, _> = names.map(|name| (name.to_owned(), header(name).into())).into_iter().collect();
    let body = String::from_utf8(came.body.to_vec()).expect("UTF-8");
    for (body, expected) in [(body.clone(), "true"), (body.replace("ping", "pong"), "false")] {
        let given = json!({ "secret": secret, "headers": headers, "body": body }).to_string();
        let python = documented("python")
            + "\nimport json, sys\ngiven = json.load(sys.stdin)\n\
               print(json.dumps(verify(given['secret'], given['headers'], given['body'].encode())))\n";
        let node = documented("js")
            + "\nconst given = JSON.parse(fs.readFileSync(0, 'utf8'));\n\
               console.log(verify(given.secret, given.headers, Buffer.from(given.body)));\n";
        let node = format!("const fs = require('node:fs');\n{node}");
        for (program, flag, code) in [("python3", "-c", python), ("node", "-e", node)] {
            let mut child = Command::new(program)
                .args([flag, &code])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("it starts");
            child.stdin.take().expect("a pipe").write_all(given.as_bytes()).expect("written");
            let said = child.wait_with_output().expect("it ends");
            assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), expected, "{program}");
        }
    }
}
