//! ICE servers in `Link` headers (RFC 8288; RFC 9725, 4.6): reads and writes them.

use crate::room::description::IceServer;

/// Servers that are read of one answer.
const MAX_SERVERS: usize = 16;

/// One header value for each URL of a server.
pub fn write(server: &IceServer) -> Vec<String> {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let one = |url: &String| {
        let mut link = format!("<{url}>; rel=\"ice-server\"");
        if let Some(user) = &server.username {
            link += &format!("; username=\"{}\"", quoted(user));
        }
        if let Some(password) = &server.credential {
            link += &format!("; credential=\"{}\"; credential-type=\"password\"", quoted(password));
        }
        link
    };
    server.urls.iter().map(one).collect()
}

/// The ICE servers of a header value, which may have several links; other links are ignored.
pub fn parse(value: &str) -> Vec<IceServer> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some((_, link)) = rest.split_once('<')
        && let Some((url, after)) = link.split_once('>')
        && found.len() < MAX_SERVERS
    {
        let (parameters, next) = parameters(after);
        rest = next;
        let get = |key: &str| parameters.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v.clone());
        let is_ice = get("rel").is_some_and(|rel| rel.split_ascii_whitespace().any(|rel| rel == "ice-server"));
        if is_ice && ["stun:", "stuns:", "turn:", "turns:"].iter().any(|scheme| url.starts_with(scheme)) {
            found.push(IceServer {
                urls: vec![url.to_owned()],
                username: get("username"),
                credential: get("credential"),
            });
        }
    }
    found
}

/// The parameters up to the comma that ends a link, and what follows it.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    let (mut key, mut value) = (String::new(), String::new());
    let (mut in_value, mut quoted, mut escaped) = (false, false, false);
    let mut end = text.len();
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => value.push(c),
            ',' => {
                end = at;
                break;
            }
            ';' => {
                found.push((std::mem::take(&mut key), std::mem::take(&mut value)));
                in_value = false;
            }
            '=' if !in_value => in_value = true,
            _ if in_value => value.push(c),
            _ => key.push(c),
        }
    }
    found.push((key, value));
    let trim = |(key, value): (String, String)| (key.trim().to_owned(), value.trim().to_owned());
    (found.into_iter().map(trim).collect(), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_links_are_read() {
        let header = r#"<stun:stun.example.net>; rel="ice-server", <turn:turn.example.net?transport=udp>; rel="ice-server"; username="user"; credential="my,\"Password"; credential-type="password", <https://example.net/x>; rel="urn:ietf:params:whep:ext:core:layer""#;
        let servers = parse(header);
        assert_eq!(servers.len(), 2, "{servers:?}");
        assert_eq!(
            servers[0],
            IceServer { urls: vec!["stun:stun.example.net".into()], username: None, credential: None }
        );
        assert_eq!(servers[1].username.as_deref(), Some("user"));
        assert_eq!(servers[1].credential.as_deref(), Some("my,\"Password"));
        let again: Vec<IceServer> = servers.iter().flat_map(write).flat_map(|link| parse(&link)).collect();
        assert_eq!(again, servers);
    }

    #[test]
    fn nonsense_gives_none() {
        for text in ["", "<", "<stun:a", "<http://a>; rel=\"ice-server\"", "<stun:a>", ",,;;\"<stun:b>\""] {
            assert!(parse(text).is_empty(), "{text}");
        }
        assert_eq!(parse(&"<stun:a>; rel=ice-server,".repeat(100)).len(), MAX_SERVERS);
    }
}
