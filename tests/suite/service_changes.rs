//! What is changed of a recording that runs: its film's title, and how long it lasts. Changes at once do not undo each other.

use crate::support::bot::Bot;
use crate::support::needs::{needed, tools};
use crate::support::server::TestServer;
use crate::support::service::{Answer, Service};
use crate::support::{pause, within};
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

fn person(server: &TestServer) -> Bot {
    let media = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
    Bot::start(&["feed", &server.room("standup"), &media, "--loop"])
}

async fn patch(service: &Service, id: &str, body: Value) -> Answer {
    service.send(service.request(Method::PATCH, &format!("/v1/recordings/{id}")).json(&body)).await
}

/// The title that a player shows for a file.
pub(crate) fn title(film: &Path) -> String {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-show_entries", "format_tags=title", "-of", "default=nw=1:nk=1"]).arg(film);
    String::from_utf8_lossy(&command.output().expect("ffprobe runs").stdout).trim().to_owned()
}

/// Seconds from the first recorder's start to the end.
fn length(recording: &Value) -> f64 {
    let states = recording["states"].as_array().expect("states");
    let at = |state: &str| {
        let entry = states.iter().find(|entry| entry["state"] == state).unwrap_or_else(|| panic!("{states:#?}"));
        entry["at"].as_str().and_then(|at| at.parse::<Timestamp>().ok()).expect("a time")
    };
    at("stopping").duration_since(at("joining")).as_secs_f64()
}

#[tokio::test]
async fn a_film_gets_the_title_that_was_given_while_it_was_recorded() {
    needed!(tools(&["ffmpeg"]));
    let (server, service) = (TestServer::start().await, Service::start(&[]).await);
    let _alice = person(&server);
    let film = json!({ "layout": "grid", "size": "320x180", "fps": 5, "title": "Untitled" });
    let request = json!({ "room_url": server.room("standup"), "outputs": { "film": film } });
    let id = service.record(request).await;
    service.until(&id, &["recording"], 30).await;
    let changed = patch(&service, &id, json!({ "title": "Weekly: the \"first\"" })).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    assert_eq!(changed.json()["request"]["outputs"]["film"]["title"], "Weekly: the \"first\"");
    assert_eq!(changed.json()["request"]["outputs"]["film"]["size"], "320x180");
    for (wrong, field) in [
        (json!({ "title": "x".repeat(201) }), "outputs.film.title"),
        (json!({ "max_duration_s": u64::from(u32::MAX) }), "auto_stop.max_duration_s"),
        (json!({ "retention_days": 0 }), "retention_days"),
    ] {
        let refused = patch(&service, &id, wrong.clone()).await;
        let expected = (StatusCode::UNPROCESSABLE_ENTITY, &json!(field));
        assert_eq!((refused.status, &refused.json()["field"]), expected, "{wrong}: {}", refused.text);
    }
    pause(Duration::from_secs(2), "something is recorded").await;
    service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
    let done = service.until(&id, &["complete"], 90).await;
    assert_eq!(done["request"]["outputs"]["film"]["title"], "Weekly: the \"first\"");
    assert_eq!(title(&service.recording(&id).join("film.mp4")), "Weekly: the \"first\"");
    for late in [json!({ "title": "Later" }), json!({ "max_duration_s": 7 })] {
        assert_eq!(patch(&service, &id, late.clone()).await.status, StatusCode::CONFLICT, "{late}");
    }
    assert_eq!(patch(&service, &id, json!({ "metadata": { "a": "b" } })).await.status, StatusCode::OK);
    // Those that changed something, and no others.
    let audit = service.get(&format!("/v1/audit?object={id}&action=recording.change")).await.json();
    assert_eq!(audit["entries"].as_array().map(Vec::len), Some(2), "{audit:#}");
}

#[tokio::test]
async fn a_recording_ends_by_the_length_that_was_said_last() {
    let (server, mut service) = (TestServer::start().await, Service::start(&[]).await);
    let _alice = person(&server);
    let begun = Instant::now();
    let with = |seconds: u64| json!({ "room_url": server.room("standup"), "auto_stop": { "max_duration_s": seconds } });
    // Each waits in its own way: longer, shorter, never and then at once, through a kill of the service, through one of the recorder.
    let longer = service.record(with(8)).await;
    let shorter = service.record(with(600)).await;
    let never = service.record(with(8)).await;
    let through_a_kill = service.record(with(600)).await;
    let in_parts = service.record(with(600)).await;
    for id in [&longer, &shorter, &never, &through_a_kill, &in_parts] {
        service.until(id, &["recording"], 30).await;
    }
    for (id, seconds) in [(&longer, 20), (&shorter, 12), (&never, 0), (&in_parts, 24), (&through_a_kill, 22)] {
        let changed = patch(&service, id, json!({ "max_duration_s": seconds })).await;
        assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
        assert_eq!(changed.json()["request"]["auto_stop"]["max_duration_s"], seconds);
    }
    // The answer was given: a service that is killed now tells the recorders when it is back.
    service.kill_and_restart().await;
    for pid in service.processes(&in_parts).into_iter().filter_map(Pid::from_raw) {
        kill_process(pid, Signal::KILL).expect("it was running");
    }
    let told = patch(&service, &longer, json!({ "title": "none" })).await;
    assert_eq!(told.status, StatusCode::CONFLICT, "it has no film: {}", told.text);
    for (id, from, to, parts) in [
        (&shorter, 11.0, 17.0, 1),
        (&longer, 19.0, 25.0, 1),
        (&through_a_kill, 21.0, 27.0, 1),
        (&in_parts, 23.0, 30.0, 2),
    ] {
        let done = service.until(id, &["complete", "partial"], 60).await;
        assert_eq!((&done["sub_code"], &done["parts"]), (&json!("max_duration"), &json!(parts)), "{done:#}");
        assert!((from..to).contains(&length(&done)), "{from} to {to} s: {}\n{done:#}", length(&done));
    }
    let still = service.get(&format!("/v1/recordings/{never}")).await.json();
    assert!(begun.elapsed() > Duration::from_secs(15) && still["state"] == "recording", "{still:#}");
    // What has passed already ends it at once.
    assert_eq!(patch(&service, &never, json!({ "max_duration_s": 1 })).await.status, StatusCode::OK);
    let done = service.until(&never, &["complete"], 30).await;
    assert_eq!(done["sub_code"], "max_duration", "{done:#}");
}

#[tokio::test]
async fn changes_at_the_same_time_do_not_undo_each_other() {
    let service = Service::start(&[]).await;
    let request = json!({
        "room_url": "ws://127.0.0.1:9/rooms/a", "start_at": "2099-01-01T00:00:00Z", "outputs": { "film": {} },
    });
    let id = service.record(request).await;
    let rounds = async {
        for round in 1..=25 {
            let [title, team] = ["title", "team"].map(|word| format!("{word} {round}"));
            let answers = tokio::join!(
                patch(&service, &id, json!({ "title": title })),
                patch(&service, &id, json!({ "metadata": { "team": team } })),
                patch(&service, &id, json!({ "retention_days": round })),
                patch(&service, &id, json!({ "max_duration_s": 100 + round })),
            );
            for answer in [answers.0, answers.1, answers.2, answers.3] {
                assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
            }
            let request = service.get(&format!("/v1/recordings/{id}")).await.json()["request"].clone();
            let told = (&request["outputs"]["film"]["title"], &request["metadata"]["team"]);
            assert_eq!(told, (&json!(title), &json!(team)), "round {round}");
            let told = (&request["retention_days"], &request["auto_stop"]["max_duration_s"]);
            assert_eq!(told, (&json!(round), &json!(100 + round)), "round {round}");
        }
    };
    within(60, "the changes are made", rounds).await;
}
