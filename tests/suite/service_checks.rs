//! Checks of the service: a scenario goes in, a verdict and its reports come out.

use crate::support::service::Service;
use crate::support::{machine, moment, within};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Waits until a check has ended.
async fn ended(service: &Service, id: &str) -> Value {
    let over = async {
        loop {
            let check = service.get(&format!("/v1/checks/{id}")).await.json();
            if check["state"] != "open" {
                return check;
            }
            moment().await;
        }
    };
    within(120, "the check has ended", over).await
}

/// Asks for a check and returns its id.
async fn check(service: &Service, scenario: Value) -> String {
    let answer = service.post("/v1/checks", json!({ "scenario": scenario, "seed": 7 })).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    answer.json()["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_scenario_is_run_and_its_verdict_reported() {
    let _share = machine::share().await;
    let service = Service::start(&[]).await;
    // Nobody can be three people: the verdict has to be red.
    let scenario = json!({
        "name": "Two or three", "duration": "3s", "expect": ["participants == 3"],
        "people": [{ "name": "alice" }, { "name": "bob" }],
    });
    let id = check(&service, scenario).await;
    let early = service.get(&format!("/v1/checks/{id}/report")).await;
    assert_eq!(early.status, StatusCode::CONFLICT, "{}", early.text);
    let done = ended(&service, &id).await;
    assert_eq!((&done["state"], &done["verdict"]), (&json!("done"), &json!("fail")), "{done:#}\n{}", service.log(&id));
    let report = service.get(&format!("/v1/checks/{id}/report")).await;
    assert_eq!(report.headers["content-type"], "application/json");
    assert_eq!(report.json()["runs"][0]["seed"], 7, "{}", report.text);
    let junit = service.get(&format!("/v1/checks/{id}/junit")).await;
    assert!(junit.text.contains("<testsuites") && junit.text.contains("Two or three"), "{}", junit.text);
    assert_eq!(service.get("/v1/checks").await.json()["checks"][0]["id"], *id);
    let deleted = service.send(service.request(Method::DELETE, &format!("/v1/checks/{id}"))).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(service.get(&format!("/v1/checks/{id}")).await.status, StatusCode::NOT_FOUND);
    assert!(!service.data().join("checks").join(&id).exists());
}

#[tokio::test]
async fn a_scenario_that_is_none_fails_with_its_reason_and_one_that_runs_is_cancelled() {
    let service = Service::start(&[]).await;
    let wrong = check(&service, json!({ "name": "x", "flavour": "vanilla" })).await;
    let failed = ended(&service, &wrong).await;
    assert_eq!(failed["state"], "failed", "{failed:#}");
    assert!(failed["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{failed:#}");
    let null = service.post("/v1/checks", json!({ "scenario": { "name": null } })).await;
    assert_eq!((null.status, &null.json()["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("scenario")));
    let scenario =
        json!({ "name": "long", "duration": "60s", "expect": ["participants == 1"], "people": [{ "name": "alice" }] });
    let long = check(&service, scenario).await;
    let deleted = service.send(service.request(Method::DELETE, &format!("/v1/checks/{long}"))).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(ended(&service, &long).await["state"], "cancelled");
    let gone = async {
        while !service.processes(&long).is_empty() {
            moment().await;
        }
    };
    within(30, "its process ends", gone).await;
}
