//! The pages and their files, compiled in, with security headers. Serves nothing from the disk.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The content security policy: own scripts and styles, WebSockets, nothing inline, no framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; \
                      connect-src 'self' ws: wss:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// The same for pages that need nothing but their own server.
const OWN_SERVER_ONLY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; \
                               connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// The files under `/app/`.
const FILES: &[(&str, &str, &str)] = &[
    ("api.css", STYLE, include_str!("../web/api.css")),
    ("api.js", SCRIPT, include_str!("../web/api.js")),
    ("app.js", SCRIPT, include_str!("../web/app.js")),
    ("dashboard.js", SCRIPT, include_str!("../web/dashboard.js")),
    ("dashboard-api.js", SCRIPT, include_str!("../web/dashboard-api.js")),
    ("dashboard-bots.js", SCRIPT, include_str!("../web/dashboard-bots.js")),
    ("dashboard-failures.js", SCRIPT, include_str!("../web/dashboard-failures.js")),
    ("dashboard-keys.js", SCRIPT, include_str!("../web/dashboard-keys.js")),
    ("dashboard-live.js", SCRIPT, include_str!("../web/dashboard-live.js")),
    ("dashboard-recording.js", SCRIPT, include_str!("../web/dashboard-recording.js")),
    ("dashboard-recordings.js", SCRIPT, include_str!("../web/dashboard-recordings.js")),
    ("dashboard-schedules.js", SCRIPT, include_str!("../web/dashboard-schedules.js")),
    ("dashboard-storage.js", SCRIPT, include_str!("../web/dashboard-storage.js")),
    ("dashboard-system.js", SCRIPT, include_str!("../web/dashboard-system.js")),
    ("dashboard-webhooks.js", SCRIPT, include_str!("../web/dashboard-webhooks.js")),
    ("dashboard.css", STYLE, include_str!("../web/dashboard.css")),
    ("hash.js", SCRIPT, include_str!("../web/hash.js")),
    ("media.js", SCRIPT, include_str!("../web/media.js")),
    ("panel.js", SCRIPT, include_str!("../web/panel.js")),
    ("peer.js", SCRIPT, include_str!("../web/peer.js")),
    ("player.js", SCRIPT, include_str!("../web/player.js")),
    ("player-bars.js", SCRIPT, include_str!("../web/player-bars.js")),
    ("player-lists.js", SCRIPT, include_str!("../web/player-lists.js")),
    ("player-sources.js", SCRIPT, include_str!("../web/player-sources.js")),
    ("player-track.js", SCRIPT, include_str!("../web/player-track.js")),
    ("player-words.js", SCRIPT, include_str!("../web/player-words.js")),
    ("player.css", STYLE, include_str!("../web/player.css")),
    ("recordings.js", SCRIPT, include_str!("../web/recordings.js")),
    ("signal.js", SCRIPT, include_str!("../web/signal.js")),
    ("stats.js", SCRIPT, include_str!("../web/stats.js")),
    ("talk.js", SCRIPT, include_str!("../web/talk.js")),
    ("transfer.js", SCRIPT, include_str!("../web/transfer.js")),
    ("theme.css", STYLE, include_str!("../web/theme.css")),
    ("view.js", SCRIPT, include_str!("../web/view.js")),
    ("style.css", STYLE, include_str!("../web/style.css")),
    ("icon.svg", "image/svg+xml", include_str!("../web/icon.svg")),
];

/// A page of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Where a room's name is typed.
    Start,
    /// A room. It is the same for every room: the script reads the name from the URL.
    Room,
    /// There is no such room.
    NoRoom,
    /// The player of a recording. It takes all data from addresses relative to its own.
    Player,
    /// The list of recordings.
    Recordings,
    /// There is no such recording.
    NoRecording,
    /// The recorder service: sign-in, recordings, deliveries, keys. A client of its API.
    Dashboard,
    /// The reference of the service's API, made of its description.
    Api,
}

impl Page {
    fn html(self) -> &'static str {
        match self {
            Page::Start => include_str!("../web/start.html"),
            Page::Room => include_str!("../web/index.html"),
            Page::NoRoom => include_str!("../web/missing.html"),
            Page::Player => include_str!("../web/player.html"),
            Page::Recordings => include_str!("../web/recordings.html"),
            Page::NoRecording => include_str!("../web/no-recording.html"),
            Page::Dashboard => include_str!("../web/dashboard.html"),
            Page::Api => include_str!("../web/api.html"),
        }
    }

    fn policy(self) -> &'static str {
        match self {
            Page::Start | Page::Room | Page::NoRoom => POLICY,
            Page::Player | Page::Recordings | Page::NoRecording | Page::Dashboard | Page::Api => OWN_SERVER_ONLY,
        }
    }

    /// What the page may use of the machine.
    fn permissions(self) -> &'static str {
        match self {
            Page::Start | Page::Room | Page::NoRoom => "camera=(self), microphone=(self), display-capture=(self)",
            Page::Player | Page::Recordings | Page::NoRecording | Page::Dashboard | Page::Api => {
                "camera=(), microphone=(), display-capture=()"
            }
        }
    }

    /// The page as an answer.
    pub fn response(self) -> Response {
        let status = match self {
            Page::NoRoom | Page::NoRecording => StatusCode::NOT_FOUND,
            _ => StatusCode::OK,
        };
        let mut response = answer(status, HTML, self.policy(), self.html());
        response.headers_mut().insert("permissions-policy", HeaderValue::from_static(self.permissions()));
        response
    }
}

/// A file of the pages; `None` where there is none of that name.
pub fn file(name: &str) -> Option<Response> {
    let (_, kind, body) = FILES.iter().find(|(known, _, _)| *known == name)?;
    Some(answer(StatusCode::OK, kind, POLICY, body))
}

fn answer(status: StatusCode, kind: &'static str, policy: &'static str, body: &'static str) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The URL may contain the join token.
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    (status, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: [Page; 8] = [
        Page::Start,
        Page::Room,
        Page::NoRoom,
        Page::Player,
        Page::Recordings,
        Page::NoRecording,
        Page::Dashboard,
        Page::Api,
    ];

    #[test]
    fn every_file_that_the_pages_name_is_served() {
        for page in PAGES {
            for name in page.html().split("\"/app/").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(file(name).is_some(), "{page:?}: {name}");
            }
        }
        let marks = ["from \"./", "from './", "URL(\"./"];
        let imports = FILES.iter().flat_map(|(_, _, body)| marks.into_iter().flat_map(|mark| body.split(mark).skip(1)));
        for name in imports.filter_map(|rest| rest.split(['"', '\'']).next()) {
            assert!(file(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_pages_keep_to_their_own_policy() {
        for html in PAGES.map(Page::html) {
            assert!(
                !html.contains("<style") && !html.contains(" style=") && !html.contains(" onclick="),
                "inline style or script"
            );
            assert!(
                html.split("<script").skip(1).all(|rest| rest.trim_start().starts_with("type=\"module\" src=")),
                "inline script"
            );
        }
    }
}
