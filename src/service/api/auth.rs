//! Who asks: an API key or a token in `authorization: Bearer …`, or the cookie of a session that was begun with one.

use super::problem::Problem;
pub use super::secret::{digest, new_secret};
use super::state::ApiState;
use super::token_keys::TokenKeys;
use crate::service::database::keys::{self, ApiKey, Scope};
use crate::service::model::Recording;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;

/// The cookie of a session.
pub(super) const SESSION: &str = "roombot_session";
/// What a page of ours sends with every request that changes something.
const FROM_PAGE: &str = "x-requested-with";

/// The key of a request. Taking it as an argument makes a handler require one.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub ApiKey);

impl Caller {
    /// Whether the key may do this.
    pub(super) fn require(&self, scope: Scope) -> Result<(), Problem> {
        let scopes = &self.0.scopes;
        if scopes.contains(&scope) || scopes.contains(&Scope::Admin) {
            return Ok(());
        }
        let name = serde_json::to_value(scope).ok().and_then(|name| name.as_str().map(str::to_owned));
        let detail = format!("this key lacks the scope {}", name.unwrap_or_default());
        Err(Problem::new(StatusCode::FORBIDDEN, "scope_missing", detail))
    }

    /// Whether it sees this recording: one of its project, or any for an administrator.
    pub(super) fn sees(&self, recording: &Recording) -> bool {
        self.sees_project(&recording.project)
    }

    /// Whether it sees what belongs to this project.
    pub(super) fn sees_project(&self, project: &str) -> bool {
        self.0.project == project || self.0.scopes.contains(&Scope::Admin)
    }

    /// The project whose recordings it lists; none: all.
    pub(super) fn project(&self) -> Option<String> {
        (!self.0.scopes.contains(&Scope::Admin)).then(|| self.0.project.clone())
    }
}

/// The cookie of a session, if the request carries one.
pub(super) fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(SESSION)?.strip_prefix('='))
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Caller, Problem> {
        let unauthorized = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, "key_wrong", detail);
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some(value) = header {
            let secret = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            let (_, secret) = secret.ok_or_else(|| unauthorized("send an API key: authorization: Bearer rb_…"))?;
            let secret = secret.trim();
            if TokenKeys::is_token(secret) {
                let key = state.tokens.borrow().key(secret, Timestamp::now()).map_err(unauthorized)?;
                return state.rates.count(&key).map(|()| Caller(key));
            }
            let digest = digest(secret);
            let key = state.database.read(move |connection| keys::by_digest(connection, &digest)).await?;
            let key = key.ok_or_else(|| unauthorized("this API key is unknown or revoked"))?;
            return state.rates.count(&key).map(|()| Caller(key));
        }
        let Some(session) = session_cookie(&parts.headers) else {
            return Err(unauthorized("send an API key: authorization: Bearer rb_…"));
        };
        // A page of another origin can make a browser send the cookie, but not this header.
        if !parts.method.is_safe() && !parts.headers.contains_key(FROM_PAGE) {
            let detail = "requests with a session need the header x-requested-with";
            return Err(Problem::new(StatusCode::FORBIDDEN, "cross_site", detail));
        }
        let digest = digest(session);
        let now = Timestamp::now();
        let key = state.database.read(move |connection| keys::by_session(connection, &digest, now)).await?;
        let key = key.ok_or_else(|| unauthorized("the session is over"))?;
        state.rates.count(&key).map(|()| Caller(key))
    }
}
