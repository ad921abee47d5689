//! ICE servers as text: on the command line of a room server, and in the URLs of rooms that have none of their own. Pure.

use super::names::percent_decoded;
use crate::error::{Error, Result};
use crate::room::description::IceServer;
use url::Url;

/// The ICE servers of a room's URL: each `ice=` parameter, in the syntax of [`parse_ice_server`].
///
/// # Errors
/// The user must act.
pub(super) fn in_query(url: &Url) -> Result<Vec<IceServer>> {
    url.query_pairs().filter(|(key, _)| key == "ice").map(|(_, text)| parse_ice_server(&text)).collect()
}

/// Reads `stun:host[:port]`, `stuns:…`, `turn:[user:pass@]host[:port][?transport=udp|tcp]` or `turns:…`.
///
/// The resulting URL is that of RFC 7064 and RFC 7065; user and password (percent-encoded if they contain `@`, `:`, `/`, `?`, `#` or `%`) are
/// separate, as in `RTCIceServer`.
///
/// # Errors
/// The user must act: the message says which part is wrong, and never contains the password.
pub fn parse_ice_server(text: &str) -> Result<IceServer> {
    let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
    let is_turn = match scheme {
        "stun" | "stuns" => false,
        "turn" | "turns" => true,
        _ => return Err(Error::user("an ICE server begins with stun:, stuns:, turn: or turns:")),
    };
    // STUN and TURN URLs have no "//"; with it, the general parser reads user, password, IPv6 address and port.
    let wrong = |what: &str| Error::user(format!("ICE server {scheme}:…: {what}"));
    let parsed = Url::parse(&format!("{scheme}://{rest}")).map_err(|e| wrong(&e.to_string()))?;
    let host = parsed.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("there is no host"))?;
    if !matches!(parsed.path(), "" | "/") || parsed.fragment().is_some() {
        return Err(wrong("only ?transport= may follow the host and the port"));
    }
    let transport = match parsed.query() {
        None => "",
        Some(query @ ("transport=udp" | "transport=tcp")) if is_turn => query,
        Some(_) => return Err(wrong("only turn: and turns: take a parameter: ?transport=udp or ?transport=tcp")),
    };
    let username = percent_decoded(parsed.username()).ok_or_else(|| wrong("the user is not UTF-8"))?;
    let credential = match parsed.password() {
        Some(password) => Some(percent_decoded(password).ok_or_else(|| wrong("the password is not UTF-8"))?),
        None => None,
    };
    match (is_turn, username.is_empty(), &credential) {
        (false, false, _) | (false, _, Some(_)) => return Err(wrong("a STUN server takes no user")),
        (true, true, _) | (true, _, None) => return Err(wrong("a TURN server needs user:password@ before its host")),
        _ => {}
    }
    let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
    let query = if transport.is_empty() { String::new() } else { format!("?{transport}") };
    let urls = vec![format!("{scheme}:{host}{port}{query}")];
    Ok(IceServer { urls, username: is_turn.then_some(username), credential })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn turn(url: &str, user: &str, password: &str) -> IceServer {
        IceServer { urls: vec![url.into()], username: Some(user.into()), credential: Some(password.into()) }
    }

    #[test]
    fn ice_servers_that_people_write() {
        let stun = |url: &str| IceServer { urls: vec![url.into()], username: None, credential: None };
        for (text, server) in [
            ("stun:example.org", stun("stun:example.org")),
            ("stun:127.0.0.1:3478", stun("stun:127.0.0.1:3478")),
            ("stun:[::1]:3478", stun("stun:[::1]:3478")),
            ("turn:u:p@example.org:3478", turn("turn:example.org:3478", "u", "p")),
            ("turn:u:p@[2001:db8::1]:3478", turn("turn:[2001:db8::1]:3478", "u", "p")),
            (
                "turns:1700000000%3Abob:p%40ss%2F@h?transport=tcp",
                turn("turns:h?transport=tcp", "1700000000:bob", "p@ss/"),
            ),
        ] {
            assert_eq!(parse_ice_server(text).expect(text), server);
        }
    }

    #[test]
    fn ice_servers_that_are_wrong() {
        for text in [
            "",
            "stun",
            "stun:",
            "http://a",
            "stun:u:p@a",
            "turn:a",
            "turn:u@a",
            "turn:u:p@",
            "turn:u:p@a:99999",
            "stun:a?transport=udp",
            "turn:u:p@a?transport=sctp",
            "turn:u:p@a/x",
            "turn:u:p@a#x",
        ] {
            let error = parse_ice_server(text).expect_err(text);
            assert!(matches!(error, crate::error::Error::User(_)));
        }
        let error = parse_ice_server("turn:u:hunter2@a/x").expect_err("a path");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    proptest! {
        #[test]
        fn no_ice_server_text_panics(text in "(stun|turn|turns)?:?[a-z0-9:@%\\[\\]?=/.é]{0,40}") {
            let _ = parse_ice_server(&text);
        }
    }
}
