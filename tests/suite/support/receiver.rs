//! A receiver of webhooks: an HTTP server that notes what it gets and answers as it is told.

use super::{moment, within};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use standardwebhooks::Webhook;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request that came.
#[derive(Debug, Clone)]
pub struct Received {
    pub at: Instant,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An answer to be given.
#[derive(Debug, Clone)]
pub enum Reply {
    Status(u16),
    /// A status with a `Retry-After` of so many seconds.
    RetryAfter(u16, u64),
    /// 503 for the next event that comes for the first time. Of a second failure the next attempt is minutes later.
    RefuseOnce,
    /// 302 to another address.
    Redirect(String),
    /// A status after this time.
    Slow(u16, Duration),
    /// None, ever.
    Hang,
}

#[derive(Clone, Default)]
struct Shared {
    received: Arc<Mutex<Vec<Received>>>,
    replies: Arc<Mutex<HashMap<String, VecDeque<Reply>>>>,
}

/// A running receiver; it ends with its value.
pub struct Receiver {
    port: u16,
    shared: Shared,
    task: JoinHandle<()>,
}

impl Receiver {
    /// One that answers 200 to everything.
    pub async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Shared::default();
        let router = Router::new().fallback(take).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Receiver { port, shared, task }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
    /// The same by a name.
    pub fn named_url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// The next answers on a path; then it is 200.
    pub fn reply(&self, path: &str, replies: &[Reply]) {
        self.shared
            .replies
            .lock()
            .expect("no panic")
            .entry(path.to_owned())
            .or_default()
            .extend(replies.iter().cloned());
    }

    /// What came on a path so far.
    pub fn received(&self, path: &str) -> Vec<Received> {
        let received = self.shared.received.lock().expect("no panic");
        received.iter().filter(|received| received.path == path).cloned().collect()
    }

    /// Waits until so many requests came on a path.
    pub async fn until(&self, path: &str, count: usize, seconds: u64) -> Vec<Received> {
        let there = async {
            while self.received(path).len() < count {
                moment().await;
            }
        };
        within(seconds, &format!("{count} requests on {path}"), there).await;
        self.received(path)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let id = |headers: &HeaderMap| headers.get("webhook-id").cloned();
    let known = |one: &Received| one.path == path && id(&one.headers) == id(&headers);
    let comes_again = shared.received.lock().expect("no panic").iter().any(known);
    let reply = shared.replies.lock().expect("no panic").get_mut(&path).and_then(|replies| match replies.front() {
        Some(Reply::RefuseOnce) if comes_again => None,
        _ => replies.pop_front(),
    });
    shared.received.lock().expect("no panic").push(Received { at: Instant::now(), path, headers, body });
    let status = |code| StatusCode::from_u16(code).expect("a status");
    match reply.unwrap_or(Reply::Status(200)) {
        Reply::Status(code) => status(code).into_response(),
        Reply::RetryAfter(code, seconds) => {
            (status(code), [(header::RETRY_AFTER, seconds.to_string())], "later").into_response()
        }
        Reply::RefuseOnce => (status(503), [(header::RETRY_AFTER, "1")], "later").into_response(),
        Reply::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Reply::Slow(code, time) => {
            super::pause(time, "the receiver is slow").await;
            status(code).into_response()
        }
        Reply::Hang => std::future::pending().await,
    }
}

impl Received {
    /// The `webhook-id`.
    pub fn id(&self) -> &str {
        self.headers["webhook-id"].to_str().expect("ASCII")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The event's type.
    pub fn kind(&self) -> String {
        self.json()["type"].as_str().expect("a type").to_owned()
    }

    /// Whether its signature is of this secret.
    pub fn is_signed_by(&self, secret: &str) -> bool {
        Webhook::new(secret).expect("a secret").verify(&self.body, &self.headers).is_ok()
    }
}

/// The types of events in the order in which they came.
pub fn kinds(received: &[Received]) -> Vec<String> {
    received.iter().map(Received::kind).collect()
}
