//! Errors as RFC 9457 problem details, with a code for programs and the id of the request.

use crate::service::database::DatabaseError;
use crate::service::model::Id;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use tracing::Instrument;
use tracing::field::Empty;
use utoipa::ToSchema;

/// The header that carries the id of a request, both ways.
const REQUEST_ID: &str = "x-request-id";

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: the title is that of the status.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    /// What is wrong, for people.
    detail: String,
    /// The same for programs.
    code: &'static str,
    /// The field of the request that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<Box<str>>,
    /// The id of the request, as in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<Box<str>>,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// Seconds after which to try again.
    #[serde(skip)]
    retry_after: Option<u32>,
}

impl Problem {
    /// With this status and code.
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            code,
            field: None,
            request_id: None,
            retryable: false,
            retry_after: None,
        }
    }

    /// A field of the request that cannot be used.
    pub(super) fn field(field: &str, detail: impl Into<String>) -> Problem {
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", detail);
        Problem { field: Some(field.into()), ..problem }
    }

    pub(super) fn not_found(what: &str) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    /// The recording is in a state in which that cannot be done.
    pub(super) fn wrong_state(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, "wrong_state", detail)
    }

    /// A process of ours that does not answer: it is only just starting, or it hangs.
    pub(super) fn no_answer(who: &str, e: &io::Error) -> Problem {
        match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Problem::wrong_state(format!("the {who}'s process is starting"))
            }
            _ => Problem::unavailable(format!("the {who} does not answer: {e}"), 2),
        }
    }

    /// The service cannot do it now.
    pub(super) fn unavailable(detail: impl Into<String>, seconds: u32) -> Problem {
        Problem::later(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail, seconds)
    }

    /// The same request may succeed in so many seconds.
    pub(super) fn later(status: StatusCode, code: &'static str, detail: impl Into<String>, seconds: u32) -> Problem {
        Problem { retryable: true, retry_after: Some(seconds), ..Problem::new(status, code, detail) }
    }
}

impl From<DatabaseError> for Problem {
    fn from(e: DatabaseError) -> Problem {
        tracing::error!("a request failed: {e}");
        Problem::unavailable("the service's database failed; its operator can see why in the log", 5)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives every request an id, which the answer, its problem and the log carry.
pub(super) async fn name_request(request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let is_plain = |id: &&str| id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let id = given.filter(is_plain).map_or_else(|| Id::new("req").to_string(), str::to_owned);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    // Of the highest level: the id belongs to each line of the log.
    let kind = cfg!(feature = "otlp").then_some("server");
    let span = tracing::error_span!("request", request_id = %id, %method, path, status = Empty, otel.kind = kind);
    let mut response = next.run(request).instrument(span.clone()).await;
    span.record("status", response.status().as_u16());
    span.in_scope(|| tracing::debug!("answered"));
    if let Some(mut problem) = response.extensions_mut().remove::<Problem>() {
        problem.request_id = Some(id.as_str().into());
        response = problem.into_response();
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

pub(super) async fn no_such_address() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this address; /openapi.json lists them")
}

pub(super) async fn no_such_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this address does not take that method")
}

/// A JSON body; what cannot be read is a problem that names the place.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub(super) struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Json<T>>, Problem> {
        let body = <axum::Json<T> as OptionalFromRequest<S>>::from_request(request, state).await?;
        Ok(body.map(|axum::Json(body)| Json(body)))
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Problem {
        let status = rejection.status();
        let code = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "not_json",
            _ => "invalid_body",
        };
        // Where the JSON is wrong is in the cause.
        let cause = std::error::Error::source(&rejection).map(ToString::to_string);
        Problem::new(status, code, cause.unwrap_or_else(|| rejection.body_text()))
    }
}

/// Parameters of the address.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(super) struct Query<T>(pub T);

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_parameter", rejection.body_text())
    }
}

/// Parts of the address.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(super) struct Path<T>(pub T);

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_parameter", rejection.body_text())
    }
}
