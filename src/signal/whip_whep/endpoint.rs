//! The URL of a WHIP or WHEP endpoint. Connects to nothing.

use crate::error::{Error, Result};
use crate::signal::names::{display_name, percent_decoded};
use crate::signal::protocol::limits::NAME_CHARS;
use url::Url;

/// An endpoint, as its URL says.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub url: Url,
    /// The join token of the URL.
    pub token: Option<String>,
    /// The display name of the other side: the last part of the path.
    pub name: String,
}

impl Endpoint {
    /// Reads `whip+http://…`, `whep+https://…` and so on. `?token=…` is the token, which is sent in a header and removed from the URL.
    ///
    /// # Errors
    /// The user must act: that is no such URL.
    pub fn new(url: &str) -> Result<Endpoint> {
        let bad = |why: String| Error::user(format!("{url:?} is no WHIP or WHEP endpoint: {why}"));
        let plain = url.split_once('+').map_or(url, |(_, rest)| rest);
        let mut url = Url::parse(plain).map_err(|e| bad(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("after the plus sign must be http or https".to_owned()));
        }
        let last = url.path_segments().and_then(|mut parts| parts.rfind(|part| !part.is_empty())).unwrap_or_default();
        let name = percent_decoded(last)
            .and_then(|name| display_name(&name, NAME_CHARS))
            .unwrap_or_else(|| "Endpoint".to_owned());
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let token = pairs.iter().find(|(key, _)| key == "token").map(|(_, token)| token.clone());
        if token.is_some() {
            url.set_query(None);
            let rest = pairs.iter().filter(|(key, _)| key != "token");
            if rest.clone().next().is_some() {
                url.query_pairs_mut().extend_pairs(rest);
            }
        }
        url.set_fragment(None);
        Ok(Endpoint { url, token, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_out_of_the_url_and_the_rest_stays() {
        let read = |url: &str| {
            let Endpoint { url, token, name } = Endpoint::new(url).expect("an endpoint");
            (url.to_string(), token, name)
        };
        let (url, token, name) = read("whep+http://h:1/whep/a/J%C3%B6rg%20B?codec=h264&token=a%20b#x");
        assert_eq!(
            (url.as_str(), token.as_deref(), name.as_str()),
            ("http://h:1/whep/a/J%C3%B6rg%20B?codec=h264", Some("a b"), "Jörg B")
        );
        assert_eq!(
            read("whip+https://h/?token=s"),
            ("https://h/".to_owned(), Some("s".to_owned()), "Endpoint".to_owned())
        );
        // A query may be signed: it is not re-encoded.
        assert_eq!(read("whip+https://h/a?b=c%20d&e").0, "https://h/a?b=c%20d&e");
    }

    #[test]
    fn what_is_no_endpoint_is_the_users_to_mend() {
        for url in ["whip+ws://h/a", "whip+http://", "whip+", "whip"] {
            assert!(matches!(Endpoint::new(url).expect_err("refused"), crate::error::Error::User(_)), "{url}");
        }
    }
}
