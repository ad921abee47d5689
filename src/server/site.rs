//! The pages and their files, compiled in, with security headers. Serves nothing from the disk.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The content security policy: own scripts and styles, WebSockets, nothing inline, no framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; \
                      connect-src 'self' ws: wss:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files under `/app/`.
const FILES: &[(&str, &str, &str)] = &[
    ("app.js", SCRIPT, include_str!("../../web/app.js")),
    ("hash.js", SCRIPT, include_str!("../../web/hash.js")),
    ("media.js", SCRIPT, include_str!("../../web/media.js")),
    ("panel.js", SCRIPT, include_str!("../../web/panel.js")),
    ("peer.js", SCRIPT, include_str!("../../web/peer.js")),
    ("signal.js", SCRIPT, include_str!("../../web/signal.js")),
    ("stats.js", SCRIPT, include_str!("../../web/stats.js")),
    ("talk.js", SCRIPT, include_str!("../../web/talk.js")),
    ("transfer.js", SCRIPT, include_str!("../../web/transfer.js")),
    ("view.js", SCRIPT, include_str!("../../web/view.js")),
    ("style.css", "text/css; charset=utf-8", include_str!("../../web/style.css")),
    ("icon.svg", "image/svg+xml", include_str!("../../web/icon.svg")),
];

/// The page of `/`, where a room's name is typed.
pub(super) fn start() -> Response {
    page(StatusCode::OK, include_str!("../../web/start.html"))
}

/// The page of a room. It is the same for every room: the script reads the name from the URL.
pub(super) fn room() -> Response {
    page(StatusCode::OK, include_str!("../../web/index.html"))
}

/// The page for unknown paths.
pub(super) fn missing() -> Response {
    page(StatusCode::NOT_FOUND, include_str!("../../web/missing.html"))
}

/// A file of the pages.
pub(super) fn file(name: &str) -> Response {
    match FILES.iter().find(|(known, _, _)| *known == name) {
        Some((_, kind, body)) => answer(StatusCode::OK, kind, body),
        None => missing(),
    }
}

fn page(status: StatusCode, body: &'static str) -> Response {
    answer(status, HTML, body)
}

fn answer(status: StatusCode, kind: &'static str, body: &'static str) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The URL may contain the join token.
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let devices = HeaderValue::from_static("camera=(self), microphone=(self), display-capture=(self)");
    headers.insert("permissions-policy", devices);
    (status, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_the_pages_name_is_served() {
        let pages = [
            include_str!("../../web/index.html"),
            include_str!("../../web/start.html"),
            include_str!("../../web/missing.html"),
        ];
        for page in pages {
            for name in page.split("\"/app/").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert_eq!(file(name).status(), StatusCode::OK, "{name}");
            }
        }
        let imports = FILES
            .iter()
            .flat_map(|(_, _, body)| ["from \"./", "URL(\"./"].into_iter().flat_map(|mark| body.split(mark).skip(1)));
        for name in imports.filter_map(|rest| rest.split('"').next()) {
            assert_eq!(file(name).status(), StatusCode::OK, "{name}");
        }
    }

    #[test]
    fn the_pages_keep_to_their_own_policy() {
        for page in [
            include_str!("../../web/index.html"),
            include_str!("../../web/start.html"),
            include_str!("../../web/missing.html"),
        ] {
            assert!(
                !page.contains("<style") && !page.contains(" style=") && !page.contains(" onclick="),
                "inline style or script"
            );
            assert!(
                page.split("<script").skip(1).all(|rest| rest.trim_start().starts_with("type=\"module\" src=")),
                "inline script"
            );
        }
    }
}
