//! The dashboard's pages and files, compiled in. They use the API as any client does.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Own scripts, styles and media, nothing inline, no framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// The files under `/app/`.
const FILES: &[(&str, &str, &str)] = &[
    ("dashboard.js", SCRIPT, include_str!("../../web/dashboard.js")),
    ("dashboard-api.js", SCRIPT, include_str!("../../web/dashboard-api.js")),
    ("dashboard-keys.js", SCRIPT, include_str!("../../web/dashboard-keys.js")),
    ("dashboard-live.js", SCRIPT, include_str!("../../web/dashboard-live.js")),
    ("dashboard-recordings.js", SCRIPT, include_str!("../../web/dashboard-recordings.js")),
    ("dashboard.css", STYLE, include_str!("../../web/dashboard.css")),
    ("style.css", STYLE, include_str!("../../web/style.css")),
    ("icon.svg", "image/svg+xml", include_str!("../../web/icon.svg")),
];

/// The page at `/` and its files.
pub fn router() -> Router {
    Router::new()
        .route("/", get(async || answer("text/html; charset=utf-8", include_str!("../../web/dashboard.html"))))
        .route("/app/{file}", get(async |Path(file): Path<String>| self::file(&file)))
}

fn file(name: &str) -> Response {
    match FILES.iter().find(|(known, _, _)| *known == name) {
        Some((_, kind, body)) => answer(kind, body),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn answer(kind: &'static str, body: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers.map(|(name, value)| (name, HeaderValue::from_static(value))), body).into_response()
}
