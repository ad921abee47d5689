//! The HTTP requests of WHIP and WHEP: token, redirects, and what an answer means. Decides nothing about a session.

use crate::error::{Error, Result};
use crate::room::description::IceServer;
use crate::signal::whip_whep::link_header;
use crate::signal::whip_whep::media_types::{FRAGMENT, MAX_BODY_BYTES, SDP};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH, RETRY_AFTER};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Method, StatusCode};
use std::time::Duration;
use url::Url;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a whole answer may take: a server may wait for media before it answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Redirects of one request at most.
const MAX_REDIRECTS: usize = 5;
/// The longest `Retry-After` that is respected.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);
/// Characters of a server's message that are shown.
const MAX_MESSAGE_CHARS: usize = 120;

/// A client with the token of one room.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: Client,
    token: Option<HeaderValue>,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: StatusCode,
    /// The URL that answered, after all redirects.
    pub url: Url,
    headers: HeaderMap,
    pub body: String,
}

/// Why a request or a session failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HttpFailure {
    pub why: String,
    /// Another attempt may succeed.
    pub retry: bool,
    /// But not before this time.
    pub retry_after: Option<Duration>,
    /// The endpoint or the session does not exist (any more).
    pub missing: bool,
}

impl Http {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// The user's: a token that no header can carry. The machine's.
    pub fn new(token: Option<&str>) -> Result<Http> {
        // rustls needs a default cryptography provider; installing it twice changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let token = token.map(|token| HeaderValue::try_from(format!("Bearer {token}"))).transpose();
        let mut token = token
            .map_err(|e| Error::user("--token has characters that are not allowed in an HTTP header").because(e))?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        let client = Client::builder()
            .user_agent(concat!("roombot/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::custom(redirect))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            // Media does not pass a proxy either.
            .no_proxy()
            .build()
            .map_err(|e| Error::machine("cannot create an HTTP client").because(e))?;
        Ok(Http { client, token })
    }

    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Asks whether a session may begin.
    pub async fn probe(&self, at: &Url) -> Result<Reply, HttpFailure> {
        self.send(Method::OPTIONS, at, None, None).await
    }
    /// Begins a session with an offer.
    pub async fn begin(&self, at: &Url, offer: &str) -> Result<Reply, HttpFailure> {
        self.send(Method::POST, at, Some((SDP, offer)), None).await
    }
    /// Answers a counter-offer.
    pub async fn answer(&self, session: &Url, answer: &str) -> Result<Reply, HttpFailure> {
        self.send(Method::PATCH, session, Some((SDP, answer)), None).await
    }
    /// Restarts ICE, whatever the current ICE session is.
    pub async fn restart(&self, session: &Url, fragment: &str) -> Result<Reply, HttpFailure> {
        self.send(Method::PATCH, session, Some((FRAGMENT, fragment)), Some("*")).await
    }
    /// Ends a session.
    pub async fn end(&self, session: &Url) -> Result<Reply, HttpFailure> {
        self.send(Method::DELETE, session, None, None).await
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        body: Option<(&'static str, &str)>,
        if_match: Option<&'static str>,
    ) -> Result<Reply, HttpFailure> {
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
        let lost = |e: reqwest::Error| HttpFailure {
            why: format!("cannot reach {}: {}", shown(url), root(&e)),
            retry: true,
            retry_after: None,
            missing: false,
        };
        let mut response = request.send().await.map_err(lost)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_BODY_BYTES {
                return Err(HttpFailure::refused(format!(
                    "{} answers with too many bytes for a description",
                    shown(url)
                )));
            }
        }
        let body = String::from_utf8_lossy(&bytes).into_owned();
        let (status, headers) = (response.status(), response.headers().clone());
        tracing::debug!("{} answered {status}", shown(response.url()));
        Ok(Reply { status, url: response.url().clone(), headers, body })
    }
}

/// Follows only redirects that keep the method (RFC 9110, 15.4), and never from https to http. The token is not sent to another host.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let keeps = matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    let is_downgrade =
        attempt.previous().last().is_some_and(|last| last.scheme() == "https") && attempt.url().scheme() != "https";
    match keeps && !is_downgrade && attempt.previous().len() <= MAX_REDIRECTS {
        true => attempt.follow(),
        false => attempt.stop(),
    }
}

/// The innermost cause: the outer ones only say that a request failed.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if error.is_timeout() { "it does not answer in time".to_owned() } else { cause.to_string() }
}

/// A URL without secrets, for people.
pub(crate) fn shown(url: &Url) -> String {
    crate::signal::address::public_url(url.as_str())
}

impl HttpFailure {
    pub fn refused(why: String) -> HttpFailure {
        HttpFailure { why, retry: false, retry_after: None, missing: false }
    }
}

impl Reply {
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether this is a WHIP or WHEP endpoint (RFC 9725, 4.1): other servers answer OPTIONS in any way.
    pub fn is_of_endpoint(&self) -> bool {
        self.header(HeaderName::from_static("accept-post")).is_some_and(|types| types.contains(SDP))
    }

    /// The URL of the session resource.
    pub fn session(&self) -> Option<Url> {
        self.url.join(self.header(reqwest::header::LOCATION)?).ok()
    }

    pub fn is_description(&self) -> bool {
        self.header(CONTENT_TYPE).is_some_and(|of| of.to_ascii_lowercase().starts_with(SDP))
    }

    pub fn ice_servers(&self) -> Vec<IceServer> {
        let links = self.headers.get_all(reqwest::header::LINK).iter().filter_map(|value| value.to_str().ok());
        links.flat_map(link_header::parse).collect()
    }

    /// What an error status means: who must act, and whether to try again.
    pub fn failure(&self, has_token: bool) -> HttpFailure {
        let at = shown(&self.url);
        let words: String =
            self.body.lines().next().unwrap_or_default().trim().chars().take(MAX_MESSAGE_CHARS).collect();
        let words = if words.is_empty() || words.starts_with('<') {
            String::new()
        } else {
            format!(" ({})", words.escape_debug())
        };
        let (why, retry) = match self.status.as_u16() {
            401 if has_token => (format!("{at} refuses this token: give the right one with --token{words}"), false),
            401 => (format!("{at} requires a token: give it with --token{words}"), false),
            403 => (format!("{at} refuses access: ask its operator{words}"), false),
            404 | 410 => (format!("nothing exists at {at}: check the URL{words}"), false),
            400 | 422 => (format!("{at} does not understand our offer{words}"), false),
            406 | 415 => (format!("{at} supports nothing of our offer{words}"), false),
            405 | 501 => (format!("{at} is no WHIP or WHEP endpoint: check the URL{words}"), false),
            409 => (format!("{at} has nothing to send at present{words}"), true),
            429 => (format!("{at} reports too many requests{words}"), true),
            300..400 => (format!("{at} redirects us in a way that is not followed ({})", self.status), false),
            500.. => (format!("{at} is unavailable at present: {}{words}", self.status), true),
            _ => (format!("{at} answered {}{words}", self.status), false),
        };
        let after = self.header(RETRY_AFTER).and_then(|after| after.trim().parse().ok());
        let after = after.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER)).filter(|_| retry);
        HttpFailure { why, retry, retry_after: after, missing: matches!(self.status.as_u16(), 404 | 410) }
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
            (401, false, "requires a token", false),
            (403, true, "its operator", false),
            (404, false, "check the URL", false),
            (405, false, "no WHIP or WHEP endpoint", false),
            (406, false, "nothing of our offer", false),
            (409, false, "at present", true),
            (503, false, "503", true),
            (418, false, "418", false),
        ] {
            let no = reply(status, &[("retry-after", "7")], "so it is\nmore").failure(has_token);
            assert!(no.why.contains(says) && no.why.contains("so it is") && !no.why.contains("more"), "{no:?}");
            assert!(!no.why.contains("u:p") && !no.why.contains("token=s"), "{no:?}");
            assert_eq!((no.retry, no.retry_after), (again, again.then_some(Duration::from_secs(7))), "{no:?}");
        }
        assert!(!reply(404, &[], "<html>").failure(false).why.contains("html"));
        assert_eq!(reply(503, &[("retry-after", "999999")], "").failure(false).retry_after, Some(MAX_RETRY_AFTER));
    }

    #[test]
    fn ice_servers_are_in_every_link() {
        let links = [("link", "<stun:a>; rel=\"ice-server\"")];
        assert_eq!(reply(201, &links, "").ice_servers().len(), 1);
        assert!(reply(204, &[("accept-post", "application/sdp")], "").is_of_endpoint());
    }
}
