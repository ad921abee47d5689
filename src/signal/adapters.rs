//! Which kind of room a URL means, by its scheme. Connects to nothing.

use super::address::public_url;
use super::signaller::Signaller;
use super::{deepstream, janus, socketio, whep, whip, ws};
use crate::error::{Error, Result};

/// An adapter's constructor; its argument is the whole URL.
type Adapter = fn(&str) -> Result<Box<dyn Signaller>>;

/// The adapters by URL scheme: one line for each kind of room.
const ADAPTERS: &[(&[&str], Adapter)] = &[
    (&["ws", "wss"], |url| Ok(Box::new(ws::WsRoom::new(url)?))),
    (&["deepstream+ws", "deepstream+wss"], |url| Ok(Box::new(deepstream::GuideRoom::new(url)?))),
    (&["janus+ws", "janus+wss"], |url| Ok(Box::new(janus::JanusRoom::new(url)?))),
    (&["socketio+http", "socketio+https"], |url| Ok(Box::new(socketio::CallRoom::new(url)?))),
    (&["whip+http", "whip+https"], |url| Ok(Box::new(whip::WhipRoom::new(url)?))),
    (&["whep+http", "whep+https"], |url| Ok(Box::new(whep::WhepRoom::new(url)?))),
];

/// The adapter for a room's URL. Connects to nothing yet.
///
/// # Errors
/// The user must act: no URL, an unknown scheme (the message names the known ones), or what the adapter says of it.
pub fn for_url(url: &str) -> Result<Box<dyn Signaller>> {
    let schemes = ADAPTERS.iter().flat_map(|(schemes, _)| schemes.iter());
    let known = || schemes.clone().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(", ");
    let Some((scheme, _)) = url.split_once("://") else {
        return Err(Error::user(format!("{url:?} is no room URL: it must begin with one of {}", known())));
    };
    match ADAPTERS.iter().find(|(known, _)| known.iter().any(|known| known.eq_ignore_ascii_case(scheme))) {
        Some((_, adapter)) => adapter(url),
        None if matches!(scheme, "http" | "https") && url.contains("/rooms/") => {
            let meant = public_url(&url.replacen("http", "ws", 1));
            Err(Error::user(format!("that is the address of the room's page: its room is {meant}")))
        }
        None => Err(Error::user(format!("no kind of room is called {scheme:?}; known are {}", known()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_chooses_the_adapter() {
        assert!(for_url("ws://127.0.0.1:1/rooms/a").is_ok());
        assert!(for_url("WSS://example.org/rooms/a").is_ok());
    }

    #[test]
    fn an_unknown_scheme_is_told_the_known_ones() {
        for url in ["gopher://a/rooms/b", "standup", ""] {
            let error = for_url(url).err().expect("refused");
            assert!(matches!(error, crate::error::Error::User(_)));
            assert!(error.to_string().contains("ws://, wss://"), "{error}");
        }
    }

    #[test]
    fn the_address_of_a_page_is_told_its_room() {
        let error = for_url("https://example.org/rooms/standup?token=s3cret").err().expect("refused").to_string();
        assert_eq!(error, "that is the address of the room's page: its room is wss://example.org/rooms/standup");
    }
}
