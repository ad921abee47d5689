//! Traces of the service at a collector: a span of each request and of each stage of a recording, sent to the end. Only with the feature
//! `otlp`: `cargo test --features otlp --test suite traced`.

use crate::operations::Kept;
use crate::support::within;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use ulid::Ulid;

type Received = Arc<Mutex<Vec<u8>>>;

/// A collector that keeps what it gets; its address.
async fn collector() -> (Received, String) {
    let received = Received::default();
    let keep = async |State(all): State<Received>, body: Bytes| all.lock().expect("no panic").extend(body);
    let app = Router::new().route("/v1/traces", post(keep)).with_state(received.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(axum::serve(listener, app).into_future());
    (received, address)
}

fn holds(received: &Received, what: &[u8]) -> bool {
    received.lock().expect("no panic").windows(what.len()).any(|window| window == what)
}

#[tokio::test]
async fn requests_and_stages_of_recordings_are_spans() {
    let (received, address) = collector().await;
    let mut service = Kept::start_with("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &address)]).await;
    let body = json!({ "room_url": "ws://127.0.0.1:9/rooms/a" });
    let id = service.post("/v1/recordings", body).await["id"].as_str().expect("an id").to_owned();
    let in_state = async |states: &[&str]| loop {
        let recording: Value = serde_json::from_str(&service.get(&format!("/v1/recordings/{id}")).await).expect("JSON");
        if states.contains(&recording["state"].as_str().unwrap_or_default()) {
            return;
        }
        crate::support::moment().await;
    };
    within(20, "its recorder runs", in_state(&["joining"])).await;
    service.post(&format!("/v1/recordings/{id}/cancel"), json!({})).await;
    within(60, "it ends", in_state(&["cancelled", "failed"])).await;
    service.get("/version").await;
    // The library sends every 5 s; what is younger is sent at the end.
    service.stop().await;
    for name in ["roombot", "POST /v1/recordings", "GET /v1/recordings/{id}", "GET /version", "record", "recording_id"]
    {
        assert!(holds(&received, name.as_bytes()), "no span has {name}");
    }
    let ulid = Ulid::from_string(&id.trim_start_matches("rec_").to_ascii_uppercase()).expect("an id");
    assert!(holds(&received, &ulid.0.to_be_bytes()), "the trace has another id");
}
