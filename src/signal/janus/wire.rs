//! Requests to Janus, its answers, and its errors in plain words. It decides nothing.

use crate::error::Error;
use crate::room::end::{ROOM_FULL, TOKEN_WRONG};
use serde_json::{Map, Value, json};

/// The secrets of the server.
#[derive(Debug, Clone, Default)]
pub(super) struct Secrets {
    pub token: Option<String>,
    pub api: Option<String>,
}

/// A request of a kind (`create`, `message`, …) with these members.
pub(super) fn request(kind: &str, transaction: &str, secrets: &Secrets, members: Value) -> Value {
    let mut request = Map::new();
    request.insert("janus".into(), kind.into());
    request.insert("transaction".into(), transaction.into());
    for (name, secret) in [("token", &secrets.token), ("apisecret", &secrets.api)] {
        if let Some(secret) = secret {
            request.insert(name.into(), secret.as_str().into());
        }
    }
    if let Value::Object(members) = members {
        request.extend(members);
    }
    Value::Object(request)
}

/// The error in a message of Janus or of its VideoRoom: the code and the text.
pub(super) fn error(message: &Value) -> Option<(u64, String)> {
    let (code, text) = match message["janus"].as_str() {
        Some("error") => (&message["error"]["code"], &message["error"]["reason"]),
        _ => {
            let data = &message["plugindata"]["data"];
            (&data["error_code"], &data["error"])
        }
    };
    Some((code.as_u64()?, text.as_str().unwrap_or_default().escape_debug().to_string()))
}

/// The server has no such session.
pub(super) const NO_SUCH_SESSION: u64 = 458;
/// The server has no such handle.
const NO_SUCH_HANDLE: u64 = 459;
pub(super) const ALREADY_PUBLISHED: u64 = 434;

/// True where the server no longer has our session or handle.
pub(super) fn is_gone(code: u64) -> bool {
    matches!(code, NO_SUCH_SESSION | NO_SUCH_HANDLE)
}

/// Who must act on an error while joining, and how. True where another attempt may succeed.
pub(super) fn join_error(shown: &str, room: &str, (code, text): &(u64, String)) -> (Error, bool) {
    // A wrong secret is the room's refusal, as in our own rooms.
    let by_room = |why: String| (Error::room(why), false);
    let by_token = |why: String| (Error::room(why).coded(TOKEN_WRONG), false);
    match code {
        403 => by_token(format!("the Janus at {shown} asks for its secret or token (?apisecret=…, ?token=…): {text}")),
        405 => by_token(format!("the Janus at {shown} does not let this token use its VideoRoom: {text}")),
        426 => (Error::user(format!("the Janus at {shown} has no room {room}")), false),
        429 if text.contains("pin") => by_token(format!("room {room} has a pin (?pin=…)")),
        433 if text.contains("pin") => by_token(format!("room {room} has another pin (?pin=…)")),
        433 => by_token(format!("room {room} does not let us in (?token=…): {text}")),
        432 => (Error::room(format!("room {room} has as many publishers as it takes")).coded(ROOM_FULL), false),
        460 => by_room(format!("the Janus at {shown} has no VideoRoom")),
        _ => (Error::room(format!("the Janus at {shown} refused (code {code}): {text}")), is_gone(*code)),
    }
}

/// A feed's id as text; it may be a number or a text.
pub(super) fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() && text.len() <= 128 => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A stream that somebody publishes, as the server lists it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FeedStream {
    pub mid: String,
    pub disabled: bool,
    pub screen: bool,
    /// Of video.
    pub codec: Option<String>,
}

/// The audio and video streams of a list.
pub(super) fn streams(list: &Value) -> Vec<FeedStream> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let media = list.iter().filter(|stream| matches!(stream["type"].as_str(), Some("audio" | "video")));
    media
        .filter_map(|stream| {
            let described = stream["description"].as_str().unwrap_or_default().to_ascii_lowercase();
            Some(FeedStream {
                mid: id_of(&stream["mid"])?,
                disabled: stream["disabled"].as_bool().unwrap_or(false),
                screen: described.contains("screen"),
                codec: stream["codec"].as_str().filter(|_| stream["type"] == "video").map(str::to_owned),
            })
        })
        .take(64)
        .collect()
}

/// The members of a plugin message, with a session description if there is one.
pub(super) fn body(session: u64, handle: u64, body: &Value, jsep: Option<(&str, &str)>) -> Value {
    let mut members = json!({"session_id": session, "handle_id": handle, "body": body});
    if let Some((kind, sdp)) = jsep {
        members["jsep"] = json!({"type": kind, "sdp": sdp});
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_who_must_act() {
        let of = |code: u64, words: &str| join_error("ws://h/", "7", &(code, words.to_owned()));
        for (code, words, exit_code, says) in [
            (426, "No such room (7)", 2, "no room 7"),
            (433, "Unauthorized (wrong pin)", 3, "?pin="),
            (433, "Unauthorized (not in the allowed list)", 3, "?token="),
            (403, "Unauthorized request", 3, "?apisecret="),
            (432, "Maximum number of publishers", 3, "publishers"),
            (499, "what", 3, "code 499"),
        ] {
            let (error, again) = of(code, words);
            assert!(error.exit_code() == exit_code && error.to_string().contains(says) && !again, "{error}");
        }
        assert!(of(458, "No such session").1);
    }

    #[test]
    fn errors_come_from_the_server_and_from_the_room() {
        let server = json!({"janus": "error", "error": {"code": 458, "reason": "No such session"}});
        let room = json!({"janus": "event", "plugindata": {"data": {"error_code": 426, "error": "No such room"}}});
        assert_eq!(error(&server), Some((458, "No such session".to_owned())));
        assert_eq!(error(&room), Some((426, "No such room".to_owned())));
        assert_eq!(error(&json!({"janus": "ack"})), None);
    }
}
