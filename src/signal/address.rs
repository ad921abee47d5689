//! What may be shown of a room's URL, and what the room is called. Text to text.

/// The parameter of a room's URL that is shown, as it names the room; all others may be secret.
const SHOWN_PARAMETER: &str = "app";

/// The room's name for recordings: the application for rooms of the WebRTC guide, else the last part of the path.
pub fn room_name(url: &str) -> String {
    let Ok(parsed) = url::Url::parse(url) else { return "room".to_owned() };
    let app = parsed.query_pairs().find(|(key, app)| key == SHOWN_PARAMETER && !app.is_empty());
    if let Some((_, app)) = app.filter(|_| parsed.scheme().starts_with("deepstream+")) {
        return format!("guide-{app}");
    }
    let last = parsed.path_segments().and_then(|mut parts| parts.rfind(|part| !part.is_empty()));
    last.unwrap_or("room").to_owned()
}

/// The URL without what may be secret (user, password, parameters except the one that names the room), for manifests and logs.
pub fn public_url(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else { return String::new() };
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    let app = parsed.query_pairs().find(|(key, _)| key == SHOWN_PARAMETER).map(|(_, app)| app.into_owned());
    parsed.set_query(None);
    if let Some(app) = app {
        parsed.query_pairs_mut().append_pair(SHOWN_PARAMETER, &app);
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
