//! Where a WHIP or WHEP client goes: the URL, and the way in. What happens there is the visit's.

use crate::error::{Error, Result};
use crate::room::participant::ParticipantId;
use crate::room::policy::NegotiationPolicy;
use crate::signal::Link;
use crate::signal::names::{display_name, percent_decoded};
use crate::signal::protocol::limits::NAME_CHARS;
use crate::signal::whip_whep::http::Http;
use crate::signal::whip_whep::session::{HttpSession, QUEUE};
use tokio::sync::mpsc;
use url::Url;

/// Whom to visit, and how.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub url: Url,
    /// The join token of the URL.
    pub token: Option<String>,
    /// What the other side is called: the last part of the path.
    pub name: String,
}

impl Endpoint {
    /// Reads `whip+http://…` and its like. `?token=…` is the token, which goes into a header and not into addresses.
    ///
    /// # Errors
    /// The user must act: that is no such URL.
    pub fn new(url: &str) -> Result<Endpoint> {
        let bad = |why: String| Error::user(format!("{url:?} is no WHIP or WHEP endpoint: {why}"));
        let plain = url.split_once('+').map_or(url, |(_, rest)| rest);
        let mut url = Url::parse(plain).map_err(|e| bad(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("behind the plus sign stands http or https".to_owned()));
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

    /// Asks whether we may begin, then waits for the connection's offer.
    ///
    /// # Errors
    /// The room's: it cannot be reached, or says already that it does not want us.
    pub async fn visit(&self, token: Option<&str>, room: String, policy: NegotiationPolicy) -> Result<Link> {
        let http = Http::new(token.or(self.token.as_deref()))?;
        let (events, link_events) = mpsc::channel(QUEUE);
        let (link_commands, commands) = mpsc::channel(QUEUE);
        let mut visit = HttpSession::new(self.clone(), http, policy.clone(), events, commands);
        visit.knock().await.map_err(|no| Error::room(no.why))?;
        let link = Link {
            me: ParticipantId("me".to_owned()),
            room,
            peers: vec![visit.other_side()],
            ice_servers: visit.ice_servers.clone(),
            policy,
            events: link_events,
            commands: link_commands,
        };
        tokio::spawn(visit.run());
        Ok(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Blame;

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
        // What may be signed is not written anew.
        assert_eq!(read("whip+https://h/a?b=c%20d&e").0, "https://h/a?b=c%20d&e");
    }

    #[test]
    fn what_is_no_endpoint_is_the_users_to_mend() {
        for url in ["whip+ws://h/a", "whip+http://", "whip+", "whip"] {
            assert_eq!(Endpoint::new(url).expect_err("refused").blame(), Blame::User, "{url}");
        }
    }
}
