//! HTTP as WHIP and WHEP use it: requests with the token, redirects, and what an answer means for those who asked. Decides nothing
//! about a session.

use crate::error::{Error, Result};
use crate::room::description::IceServer;
use crate::signal::whip_whep::{FRAGMENT, MOST_BYTES, SDP, link};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH, RETRY_AFTER};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Method, StatusCode};
use std::time::Duration;
use url::Url;

/// How long a connection may take, and a whole answer: a server may wait for media before it gives one.
const CONNECTING: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(20);
/// How often one request may be sent elsewhere.
const REDIRECTS: usize = 5;
/// Longer than this nobody waits because a server says so.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Characters of a server's own words that are shown.
const WORDS: usize = 120;

/// Where requests go, and what they carry.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: Client,
    token: Option<HeaderValue>,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: StatusCode,
    /// Where the answer came from, after all redirects.
    pub url: Url,
    headers: HeaderMap,
    pub body: String,
}

/// Why there is nothing to go on with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct No {
    pub why: String,
    /// Another attempt may go better.
    pub try_again: bool,
    /// Not before so long.
    pub after: Option<Duration>,
    /// The endpoint has no such place, or the session is not there any more.
    pub missing: bool,
}

impl Http {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// The user's: a token that no header can carry. The machine's.
    pub fn new(token: Option<&str>) -> Result<Http> {
        // The library takes whatever the process has, and has none of its own; a second time changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let token = token.map(|token| HeaderValue::try_from(format!("Bearer {token}"))).transpose();
        let mut token =
            token.map_err(|e| Error::user("--token has characters that no HTTP header takes").because(e))?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        let client = Client::builder()
            .user_agent(concat!("roombot/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::custom(redirect))
            .connect_timeout(CONNECTING)
            .timeout(PATIENCE)
            // Media goes straight there, so HTTP may as well.
            .no_proxy()
            .build()
            .map_err(|e| Error::machine("no HTTP client can be had").because(e))?;
        Ok(Http { client, token })
    }

    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Asks whether a session could begin there.
    pub async fn may_begin(&self, at: &Url) -> Result<Reply, No> {
        self.send(Method::OPTIONS, at, None, None).await
    }
    /// Begins a session with an offer.
    pub async fn begin(&self, at: &Url, offer: &str) -> Result<Reply, No> {
        self.send(Method::POST, at, Some((SDP, offer)), None).await
    }
    /// Answers a counter-offer.
    pub async fn answer(&self, session: &Url, answer: &str) -> Result<Reply, No> {
        self.send(Method::PATCH, session, Some((SDP, answer)), None).await
    }
    /// Restarts ICE, whatever ICE session is in force.
    pub async fn restart(&self, session: &Url, fragment: &str) -> Result<Reply, No> {
        self.send(Method::PATCH, session, Some((FRAGMENT, fragment)), Some("*")).await
    }
    /// Ends a session.
    pub async fn end(&self, session: &Url) -> Result<Reply, No> {
        self.send(Method::DELETE, session, None, None).await
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        body: Option<(&'static str, &str)>,
        if_match: Option<&'static str>,
    ) -> Result<Reply, No> {
        let mut request = self.client.request(method, url.clone());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        if let Some((media_type, body)) = body {
            request = request.header(CONTENT_TYPE, media_type).body(body.to_owned());
        }
        if let Some(tag) = if_match {
            request = request.header(IF_MATCH, tag);
        }
        let lost = |e: reqwest::Error| No {
            why: format!("cannot reach {}: {}", shown(url), root(&e)),
            try_again: true,
            after: None,
            missing: false,
        };
        let mut response = request.send().await.map_err(lost)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MOST_BYTES {
                return Err(No::refused(format!("{} answers with more than a description", shown(url))));
            }
        }
        let body = String::from_utf8_lossy(&bytes).into_owned();
        let (status, headers) = (response.status(), response.headers().clone());
        tracing::debug!("{} answered {status}", shown(response.url()));
        Ok(Reply { status, url: response.url().clone(), headers, body })
    }
}

/// A redirect keeps the method only where the server says so; one that would not is shown as what it is. To another host the token
/// does not go along.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let keeps = matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    // From an encrypted connection nothing goes on in the open.
    let opens =
        attempt.previous().last().is_some_and(|last| last.scheme() == "https") && attempt.url().scheme() != "https";
    match keeps && !opens && attempt.previous().len() <= REDIRECTS {
        true => attempt.follow(),
        false => attempt.stop(),
    }
}

/// What went wrong at the bottom: the layers above say only that something did.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if error.is_timeout() { "it does not answer in time".to_owned() } else { cause.to_string() }
}

/// An address without what is secret in it.
pub(crate) fn shown(url: &Url) -> String {
    crate::signal::public_url(url.as_str())
}

impl No {
    pub fn refused(why: String) -> No {
        No { why, try_again: false, after: None, missing: false }
    }
}

impl Reply {
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the endpoint knows what an OPTIONS is for (RFC 9725, 4.1): others answer it in any way.
    pub fn is_of_endpoint(&self) -> bool {
        self.header(HeaderName::from_static("accept-post")).is_some_and(|types| types.contains(SDP))
    }

    /// The session's address (RFC 3986, 5).
    pub fn session(&self) -> Option<Url> {
        self.url.join(self.header(reqwest::header::LOCATION)?).ok()
    }

    pub fn is_description(&self) -> bool {
        self.header(CONTENT_TYPE).is_some_and(|of| of.to_ascii_lowercase().starts_with(SDP))
    }

    pub fn ice_servers(&self) -> Vec<IceServer> {
        let links = self.headers.get_all(reqwest::header::LINK).iter().filter_map(|value| value.to_str().ok());
        links.flat_map(link::parse).collect()
    }

    /// What a status means that is no success: who must act, and whether to come again.
    pub fn refusal(&self, has_token: bool) -> No {
        let at = shown(&self.url);
        let words: String = self.body.lines().next().unwrap_or_default().trim().chars().take(WORDS).collect();
        let words = if words.is_empty() || words.starts_with('<') {
            String::new()
        } else {
            format!(" ({})", words.escape_debug())
        };
        let (why, try_again) = match self.status.as_u16() {
            401 if has_token => {
                (format!("{at} does not take this token: give the right one with --token{words}"), false)
            }
            401 => (format!("{at} wants a token: give it with --token{words}"), false),
            403 => (format!("{at} does not let us in: ask whoever runs it{words}"), false),
            404 | 410 => (format!("there is nothing at {at}: check the address{words}"), false),
            400 | 422 => (format!("{at} does not understand our description{words}"), false),
            406 | 415 => (format!("{at} takes nothing of what we offer{words}"), false),
            405 | 501 => (format!("{at} is no WHIP or WHEP endpoint: check the address{words}"), false),
            409 => (format!("{at} has nothing for us at present{words}"), true),
            429 => (format!("{at} is asked too often{words}"), true),
            300..400 => (format!("{at} sends us elsewhere in a way that cannot be followed ({})", self.status), false),
            500.. => (format!("{at} cannot serve us at present: {}{words}", self.status), true),
            _ => (format!("{at} answered {}{words}", self.status), false),
        };
        let after = self.header(RETRY_AFTER).and_then(|after| after.trim().parse().ok());
        let after = after.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT)).filter(|_| try_again);
        No { why, try_again, after, missing: matches!(self.status.as_u16(), 404 | 410) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).expect("a status"),
            url: Url::parse("https://u:p@h/whip/a?token=s").expect("an address"),
            headers: headers.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect(),
            body: body.to_owned(),
        }
    }

    #[test]
    fn a_session_is_found_from_where_the_answer_came() {
        let at = |location| reply(201, &[("location", location)], "").session().map(|url| url.to_string());
        assert_eq!(at("/whip/a/1").as_deref(), Some("https://u:p@h/whip/a/1"));
        assert_eq!(at("1?x=2").as_deref(), Some("https://u:p@h/whip/1?x=2"));
        assert_eq!(at("https://other/1").as_deref(), Some("https://other/1"));
        assert_eq!(reply(201, &[], "").session(), None);
    }

    #[test]
    fn a_refusal_says_who_must_act_and_nothing_secret() {
        for (status, has_token, says, again) in [
            (401, true, "--token", false),
            (401, false, "wants a token", false),
            (403, true, "whoever runs it", false),
            (404, false, "check the address", false),
            (405, false, "no WHIP or WHEP endpoint", false),
            (406, false, "nothing of what we offer", false),
            (409, false, "at present", true),
            (503, false, "503", true),
            (418, false, "418", false),
        ] {
            let no = reply(status, &[("retry-after", "7")], "so it is\nmore").refusal(has_token);
            assert!(no.why.contains(says) && no.why.contains("so it is") && !no.why.contains("more"), "{no:?}");
            assert!(!no.why.contains("u:p") && !no.why.contains("token=s"), "{no:?}");
            assert_eq!((no.try_again, no.after), (again, again.then_some(Duration::from_secs(7))), "{no:?}");
        }
        assert!(!reply(404, &[], "<html>").refusal(false).why.contains("html"));
        assert_eq!(reply(503, &[("retry-after", "999999")], "").refusal(false).after, Some(LONGEST_WAIT));
    }

    #[test]
    fn ice_servers_are_in_every_link() {
        let links = [("link", "<stun:a>; rel=\"ice-server\"")];
        assert_eq!(reply(201, &links, "").ice_servers().len(), 1);
        assert!(reply(204, &[("accept-post", "application/sdp")], "").is_of_endpoint());
    }
}
