//! The URL of a Janus room: which server and room it means, and what opens them. Connects to nothing.

use super::wire::Secrets;
use crate::error::{Error, Result};
use crate::room::description::IceServer;
use crate::signal::ice;
use serde_json::Value;
use url::Url;

/// Which room on which server, and its pin.
#[derive(Debug, Clone)]
pub(super) struct RoomAddress {
    /// Of the server's WebSocket, without parameters.
    pub url: Url,
    /// The room's id as the server wants it: a number, or a text.
    pub room: Value,
    /// The same as text.
    pub name: String,
    pub pin: Option<String>,
}

/// What a room's URL says.
#[derive(Debug, Clone)]
pub(super) struct ParsedUrl {
    pub address: RoomAddress,
    pub secrets: Secrets,
    /// Which of a sender's simulcast layers is received: 0 is the smallest, 2 the best.
    pub substream: u64,
    pub ice_servers: Vec<IceServer>,
}

impl ParsedUrl {
    /// Reads a URL as `JanusRoom::new` documents it.
    pub fn parse(url: &str) -> Result<ParsedUrl> {
        let plain = url.split_once('+').map_or(url, |(_, rest)| rest);
        let bad = |why: &str| Error::user(format!("{url:?} is no Janus room: {why}"));
        let mut parsed = Url::parse(plain).map_err(|e| bad(&e.to_string()))?;
        if !matches!(parsed.scheme(), "ws" | "wss") {
            return Err(bad("its scheme is janus+ws or janus+wss"));
        }
        let path = parsed.path().trim_end_matches('/').to_owned();
        let (above, name) = path
            .rsplit_once('/')
            .filter(|(_, name)| !name.is_empty())
            .ok_or_else(|| bad("it must end with /ROOM, the room's number"))?;
        let parameter =
            |wanted: &str| parsed.query_pairs().find(|(key, _)| key == wanted).map(|(_, value)| value.into_owned());
        let substream = match parameter("substream").as_deref() {
            None => 2,
            Some(text) => text.parse().ok().filter(|n| *n <= 2).ok_or_else(|| bad("substream is 0, 1 or 2"))?,
        };
        let secrets = Secrets { token: parameter("token"), api: parameter("apisecret") };
        // Rooms are numbers, unless the server was told that they are texts.
        let room = name.parse::<u64>().map_or_else(|_| Value::from(name), Value::from);
        let (name, pin) = (name.to_owned(), parameter("pin"));
        parsed.set_path(if above.is_empty() { "/" } else { above });
        let ice_servers = ice::in_query(&parsed)?;
        parsed.set_query(None);
        parsed.set_fragment(None);
        let address = RoomAddress { url: parsed, room, name, pin };
        Ok(ParsedUrl { address, secrets, substream, ice_servers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_which_server_and_which_room() {
        let read = |url: &str| ParsedUrl::parse(url).expect("a room");
        let ParsedUrl { address, secrets, .. } = read("janus+ws://127.0.0.1:8188/1234?pin=a%20b&token=t");
        assert_eq!((address.url.as_str(), &address.room), ("ws://127.0.0.1:8188/", &Value::from(1234)));
        assert_eq!((address.pin.as_deref(), secrets.token.as_deref()), (Some("a b"), Some("t")));
        let ParsedUrl { address, substream, .. } = read("janus+wss://example.org/janus/ws/standup?substream=0");
        assert_eq!((address.url.as_str(), address.name.as_str()), ("wss://example.org/janus/ws", "standup"));
        assert_eq!(substream, 0);
        for bad in ["janus+ws://a", "janus+http://a/1", "janus+ws://a/1?substream=3", "janus+ws://"] {
            assert!(matches!(ParsedUrl::parse(bad).expect_err(bad), crate::error::Error::User(_)), "{bad}");
        }
    }
}
