//! One attempt of a delivery over HTTP. Follows no redirects, and reads no more of an answer than a problem's text needs.

use super::address::{PublicResolver, check_url};
use super::retry::retry_after;
use super::signature::sign;
use crate::error::{Error, Result};
use crate::service::model::Secrets;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use std::time::Duration;
use tokio::time::timeout;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long everything may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read at most, and for how long after its status.
const LONGEST_ANSWER: usize = 4096;
const BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// Characters of an answer that are shown.
const SHOWN: usize = 120;
/// Connections to one endpoint that are kept for the next delivery, and for how long.
const IDLE_CONNECTIONS: usize = 2;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends deliveries.
#[derive(Clone)]
pub(super) struct Sender {
    client: Client,
    allow_private: bool,
}

/// A delivery as it is sent.
pub(super) struct Message<'a> {
    pub url: &'a str,
    /// The event's id.
    pub id: &'a str,
    pub body: String,
    pub secrets: &'a Secrets,
}

/// What came of an attempt.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub status: Option<u16>,
    /// None: it was delivered.
    pub problem: Option<String>,
    pub retry_after: Option<SignedDuration>,
    /// The endpoint wants no more of them.
    pub gone: bool,
}

impl Sender {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// The machine's: TLS cannot be used.
    pub(super) fn new(allow_private: bool) -> Result<Sender> {
        // rustls needs a default cryptography provider; installing it twice changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("roombot/", env!("CARGO_PKG_VERSION"), " (webhooks)"))
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE_TIMEOUT)
            // A proxy would look the name up by itself, unchecked.
            .no_proxy()
            .dns_resolver(PublicResolver { allow_private })
            .build()
            .map_err(|e| Error::machine("cannot create an HTTP client").because(e))?;
        Ok(Sender { client, allow_private })
    }

    /// Sends one, signed at `now`.
    pub(super) async fn send(&self, message: Message<'_>, now: Timestamp) -> Answer {
        let failed = |problem: String| Answer { problem: Some(problem), ..Answer::default() };
        let url = match check_url(message.url, self.allow_private) {
            Ok(url) => url,
            Err(problem) => return failed(format!("the URL {problem}")),
        };
        let signature = match sign(message.secrets, message.id, now, &message.body) {
            Ok(signature) => signature,
            Err(e) => return failed(format!("it cannot be signed: {e}")),
        };
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(standardwebhooks::HEADER_WEBHOOK_ID, message.id)
            .header(standardwebhooks::HEADER_WEBHOOK_TIMESTAMP, now.as_second())
            .header(standardwebhooks::HEADER_WEBHOOK_SIGNATURE, signature)
            .body(message.body);
        match request.send().await {
            Ok(response) => read(response).await,
            Err(e) => failed(root(&e)),
        }
    }
}

/// What an answer means.
async fn read(mut response: Response) -> Answer {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (location, asked) = (header(LOCATION), header(RETRY_AFTER));
    let mut text = Vec::new();
    // A short answer that is read leaves a connection that can be used again.
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            text.extend(chunk.iter().take(LONGEST_ANSWER - text.len()));
            if text.len() == LONGEST_ANSWER {
                break;
            }
        }
    };
    let _ = timeout(BODY_TIMEOUT, reading).await;
    let problem = match status {
        _ if status.is_success() => None,
        _ if status.is_redirection() => {
            let to = location.map(|location| format!(" to {}", plain(&location))).unwrap_or_default();
            Some(format!("it answered {status}{to}: redirects are not followed"))
        }
        _ => {
            let text = plain(&String::from_utf8_lossy(&text));
            Some(format!("it answered {status}{}{text}", if text.is_empty() { "" } else { ": " }))
        }
    };
    Answer {
        status: Some(status.as_u16()),
        problem,
        retry_after: asked.and_then(|asked| retry_after(&asked, Timestamp::now())),
        gone: status == StatusCode::GONE,
    }
}

/// The start of a text from outside, in one line.
fn plain(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect()
}

/// The innermost cause: the outer ones only say that a request failed.
fn root(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("it did not answer within {} s", ANSWER_TIMEOUT.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("it cannot be reached: {cause}")
}
