//! The lines of the documentation are lines of the protocol.

use super::*;
use serde_json::json;

/// The fenced lines of `docs/control.md` of this sort.
fn documented(sort: &str) -> Vec<Value> {
    let fence = format!("```json {sort}\n");
    let blocks = include_str!("../../docs/control.md").split(fence.as_str()).skip(1);
    let lines = blocks.flat_map(|rest| rest.split("```").next().unwrap_or_default().lines());
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_documented_lines_come_back_as_they_are() {
    let (requests, answers) = (documented("request"), documented("answer"));
    assert!(requests.len() >= 7 && answers.len() >= 3);
    for line in requests {
        let request: Request = serde_json::from_value(line.clone()).unwrap();
        assert_eq!(serde_json::to_value(&request).unwrap(), line);
    }
    for line in answers {
        let answer: Answer = serde_json::from_value(line.clone()).unwrap();
        assert_eq!(serde_json::to_value(&answer).unwrap(), line);
    }
}

#[test]
fn a_request_needs_a_command_and_no_id() {
    let request: Request = serde_json::from_value(json!({"command": "pause"})).unwrap();
    assert_eq!(request, Request { id: Value::Null, command: Command::Pause });
    assert!(serde_json::from_value::<Request>(json!({"id": 1})).is_err());
    assert!(serde_json::from_value::<Request>(json!({"id": 1, "command": "explode"})).is_err());
    assert!(serde_json::from_value::<Request>(json!({"id": 1, "command": "set"})).is_err());
}

#[test]
fn the_state_follows_from_the_status() {
    let state =
        |paused, empty, stopping| Report::of(&Status { paused, empty, ..Status::default() }, None, stopping).state;
    assert_eq!(state(false, false, false), State::Recording);
    assert_eq!(state(false, true, false), State::Waiting);
    assert_eq!(state(true, true, false), State::Paused);
    assert_eq!(state(true, true, true), State::Stopping);
}
