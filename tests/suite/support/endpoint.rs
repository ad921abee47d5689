//! An HTTP endpoint that answers one request after the other as it is told to, and keeps what it was asked.

use super::pause;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A description of sound that is sent.
pub const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
                         a=ice-ufrag:aaaa\r\na=ice-pwd:aaaaaaaaaaaaaaaaaaaaaa\r\na=setup:actpass\r\na=rtpmap:111 opus/48000/2\r\n";

/// What was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// With its query.
    pub path: String,
    headers: HeaderMap,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Says {
    status: u16,
    headers: HeaderMap,
    body: String,
    after: Duration,
}

pub fn says(status: u16) -> Says {
    Says { status, headers: HeaderMap::new(), body: String::new(), after: Duration::ZERO }
}

impl Says {
    pub fn with(mut self, name: &'static str, value: &str) -> Says {
        self.headers.append(HeaderName::from_static(name), HeaderValue::try_from(value).expect("a value"));
        self
    }
    pub fn body(mut self, body: &str) -> Says {
        body.clone_into(&mut self.body);
        self
    }
    pub fn after(mut self, after: Duration) -> Says {
        self.after = after;
        self
    }
}

/// Ends with its value.
pub struct Endpoint {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Endpoint {
    /// On a port of its own. After its last answer it says 500.
    pub async fn start(script: Vec<Says>) -> Endpoint {
        let script = Arc::new(Mutex::new(VecDeque::from(script)));
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let seen = asked.clone();
        let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let (method, path) = (method.to_string(), uri.to_string());
            let body = String::from_utf8_lossy(&body).into_owned();
            seen.lock().expect("lock").push(Asked { method, path, headers, body });
            let says = script.lock().expect("lock").pop_front().unwrap_or_else(|| says(500));
            async move {
                pause(says.after, "how late it answers").await;
                let status = StatusCode::from_u16(says.status).expect("a status");
                let response: Response = (status, says.headers, says.body).into_response();
                response
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let app = Router::new().fallback(answer);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("it serves") });
        Endpoint { address, asked, task }
    }

    pub fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.address)
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("lock").clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}
