//! What may be shown of a room's URL, and what the room is called. Text to text.

/// The parameters of a room's URL that say which room it is; all others may be secret.
const TELLING: &str = "app";

/// What a recording of the room at `url` is called: the application of the guide's rooms, the last part of the path elsewhere.
pub fn room_name(url: &str) -> String {
    let Ok(parsed) = url::Url::parse(url) else { return "room".to_owned() };
    let app = parsed.query_pairs().find(|(key, app)| key == TELLING && !app.is_empty());
    if let Some((_, app)) = app.filter(|_| parsed.scheme().starts_with("deepstream+")) {
        return format!("guide-{app}");
    }
    let last = parsed.path_segments().and_then(|mut parts| parts.rfind(|part| !part.is_empty()));
    last.unwrap_or("room").to_owned()
}

/// The URL without what may be secret in it (user, password, parameters but those that name the room), for manifests and logs.
pub fn public_url(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else { return String::new() };
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    let app = parsed.query_pairs().find(|(key, _)| key == TELLING).map(|(_, app)| app.into_owned());
    parsed.set_query(None);
    if let Some(app) = app {
        parsed.query_pairs_mut().append_pair(TELLING, &app);
    }
    parsed.set_fragment(None);
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        assert_eq!(public_url("ws://u:p@h:1/rooms/a?token=s#x"), "ws://h:1/rooms/a");
        assert_eq!(room_name("wss://h/rooms/stand-up?token=s"), "stand-up");
        assert_eq!(room_name("nonsense"), "room");
        let guide = "deepstream+ws://u:p@h:1/deepstream?token=s&app=full-mesh&ice=turn:u:p@h#initiator";
        assert_eq!(public_url(guide), "deepstream+ws://h:1/deepstream?app=full-mesh");
        assert_eq!(room_name(guide), "guide-full-mesh");
        assert_eq!(room_name("socketio+http://h:1/calls/r1?token=s"), "r1");
    }
}
