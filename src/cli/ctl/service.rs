//! The service that `roombot ctl` talks to.

use crate::cli::print::print_out;
use crate::error::{Error, Result};
use reqwest::{Method, Response};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// How long the service may take to answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// A service and how to talk to it.
pub(in crate::cli) struct Service {
    url: String,
    key: String,
    http: reqwest::Client,
    /// Whether its answers are printed as they are.
    pub json: bool,
}

impl Service {
    /// # Errors
    /// [`Error::User`]: no key.
    pub fn new(url: &str, key: Option<&str>, key_file: Option<&Path>, json: bool) -> Result<Service> {
        let read = |file: &Path| {
            std::fs::read_to_string(file)
                .map_err(|e| Error::user(format!("{} cannot be read: {e}", file.display())).because(e))
        };
        let key = match (key, key_file) {
            (Some(key), _) => key.to_owned(),
            (None, Some(file)) => read(file)?.trim().to_owned(),
            (None, None) => {
                return Err(Error::user(
                    "no API key: set ROOMBOT_KEY; `roombot serve` prints a first one when it starts",
                ));
            }
        };
        // rustls needs a default cryptography provider; installing it twice changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(TIMEOUT)
            .build()
            .map_err(|e| Error::machine("cannot make HTTP requests").because(e))?;
        Ok(Service { url: url.trim_end_matches('/').to_owned(), key, http, json })
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A request with the key; `path` begins with a slash.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    /// The answer, where it is a success; else the service's own words.
    ///
    /// # Errors
    /// [`Error::User`]: the key or the request. [`Error::Room`]: the service, or there is none.
    pub async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|e| {
            Error::room(format!("{} does not answer: is `roombot serve` running there?", self.url)).because(e)
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let problem: Value = serde_json::from_str(&response.text().await.unwrap_or_default()).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or(status.canonical_reason().unwrap_or("refused"));
        let field = problem["field"].as_str().map(|field| format!("{field}: ")).unwrap_or_default();
        let text = format!("{field}{}", detail.escape_debug());
        Err(if status.is_server_error() { Error::room(text) } else { Error::user(text) })
    }

    /// The answer as text.
    pub async fn text(&self, request: reqwest::RequestBuilder) -> Result<String> {
        self.answer(request.timeout(TIMEOUT)).await?.text().await.map_err(unanswered)
    }

    /// The answer as JSON.
    pub async fn json(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let text = self.text(request).await?;
        serde_json::from_str(&text).map_err(|e| Error::room(format!("{} is no recorder service", self.url)).because(e))
    }

    /// Asks for something.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.json(self.request(Method::GET, path)).await
    }

    /// Asks for a page of a list; pairs without a value are left out.
    pub async fn list(&self, path: &str, limit: u32, more: &[(&str, Option<&String>)]) -> Result<Value> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &limit.to_string());
        query.extend_pairs(more.iter().filter_map(|(key, value)| Some((key, (*value)?))));
        self.get(&format!("{path}?{}", query.finish())).await
    }

    /// Has something done.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    /// Has something made; with a key it is made once, however often this is sent.
    pub async fn make(&self, path: &str, body: &Value, once: Option<&str>) -> Result<Value> {
        let request = self.request(Method::POST, path).json(body);
        let request = once.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
        self.json(request).await
    }

    /// Deletes something.
    pub async fn delete(&self, path: &str) -> Result<()> {
        self.answer(self.request(Method::DELETE, path).timeout(TIMEOUT)).await.map(drop)
    }

    /// Prints an answer: as it is with `--json`, else as `show` does.
    pub fn print(&self, answer: &Value, show: impl FnOnce(&Value)) {
        if self.json {
            print_out!("{answer}");
        } else {
            show(answer);
        }
    }
}

/// An id as a part of an address.
pub(super) fn encoded(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string().replace("%5F", "_")
}

/// The error for an answer that has no end.
pub(super) fn unanswered(e: reqwest::Error) -> Error {
    Error::room("the service's answer broke off").because(e)
}

/// Whether a recording has ended.
pub(in crate::cli) fn is_final(recording: &Value) -> bool {
    ["complete", "partial", "failed", "cancelled", "expired"].iter().any(|state| recording["state"] == *state)
}
