//! The HTTP side of the WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) endpoints: requests, statuses and headers (`docs/whip.md`). The relay
//! handles the media.

use crate::relay::{NewSession, PatchOutcome, Publication, Relay, RequestError, SessionRequest, Watched};
use crate::room::media::{MediaKind, Source};
use crate::room::participant::{Participant, Role};
use crate::server::listener::LocalAddress;
use crate::server::rooms::Rooms;
use crate::server::secret::secrets_match;
use crate::signal::names::{display_name, is_room_name};
use crate::signal::whip_whep::fragment::Fragment;
use crate::signal::whip_whep::{FRAGMENT, MAX_BODY_BYTES, SDP, link_header};
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;

/// What the handlers need.
pub(crate) struct Endpoints {
    pub rooms: Arc<Rooms>,
    pub relay: Relay,
}

const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// The routes below `/whip` and `/whep`, as far as they are enabled.
pub(crate) fn routes(endpoints: Endpoints, whip: bool, whep: bool) -> Router {
    let mut router = Router::new();
    let endpoint = || map_response(async |response: Response| ([(ACCEPT_POST, SDP)], response));
    if whip {
        router = router.route("/whip/{room}", any(publish).layer(endpoint())).route("/whip/{room}/{id}", any(session));
    }
    if whep {
        router = router
            .route("/whep/{room}", any(watch).layer(endpoint()))
            .route("/whep/{room}/{who}", any(watch).layer(endpoint()))
            .route("/whep/{room}/{who}/{id}", any(session));
    }
    router
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(map_response(add_cors_headers))
        .with_state(Arc::new(endpoints))
}

/// Pages of any origin are allowed: access depends on the token and not on a cookie.
async fn add_cors_headers(mut response: Response) -> Response {
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, PATCH, DELETE, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, If-Match"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Location, Link, ETag, Accept-Patch, Retry-After"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[derive(Deserialize)]
struct SessionQuery {
    name: Option<String>,
    source: Option<String>,
    token: Option<String>,
}

/// `POST /whip/ROOM`: a client sends.
async fn publish(
    State(endpoints): State<Arc<Endpoints>>,
    ConnectInfo(near): ConnectInfo<LocalAddress>,
    Path(room): Path<String>,
    Query(wanted): Query<SessionQuery>,
    method: Method,
    headers: HeaderMap,
    body: String,
) -> Response {
    let requested = match check_request(&endpoints, &method, &headers, &wanted, &room) {
        Ok(requested) => requested,
        Err(response) => return *response,
    };
    let chars = endpoints.rooms.config.limits.name_chars;
    let Some(name) = display_name(wanted.name.as_deref().unwrap_or("Guest"), chars) else {
        return text_response(StatusCode::BAD_REQUEST, format!("a name has 1 to {chars} visible characters"));
    };
    let source = match wanted.source.as_deref() {
        None | Some("camera") => Source::Camera,
        Some("screen") => Source::Screen,
        Some(_) => return text_response(StatusCode::BAD_REQUEST, "source is camera or screen"),
    };
    let Requested::Session { bearer } = requested else { return probe_response(&endpoints) };
    let token = endpoints.rooms.config.token.clone();
    let what = Publication { room: room.clone(), name, token, source };
    match endpoints
        .relay
        .publish(what, SessionRequest { offer: body, near: direct_address(near, &headers), bearer })
        .await
    {
        Ok(begun) => created(&endpoints, &format!("/whip/{room}"), begun),
        Err(refused) => refusal_response(refused),
    }
}

#[derive(Deserialize)]
struct WhepPath {
    room: String,
    who: Option<String>,
}

/// `POST /whep/ROOM` and `/whep/ROOM/PARTICIPANT`: a client receives.
async fn watch(
    State(endpoints): State<Arc<Endpoints>>,
    ConnectInfo(near): ConnectInfo<LocalAddress>,
    Path(WhepPath { room, who }): Path<WhepPath>,
    Query(wanted): Query<SessionQuery>,
    method: Method,
    headers: HeaderMap,
    body: String,
) -> Response {
    let requested = match check_request(&endpoints, &method, &headers, &wanted, &room) {
        Ok(requested) => requested,
        Err(response) => return *response,
    };
    let participants = endpoints.rooms.participants(&room).await;
    let Some(whom) = find_participant(&participants, who.as_deref()) else {
        let why =
            if participants.is_empty() { "nobody is in that room" } else { "nobody by that name sends anything there" };
        return text_response(StatusCode::NOT_FOUND, why);
    };
    let Requested::Session { bearer } = requested else { return probe_response(&endpoints) };
    let place = format!("/whep/{room}/{}", whom.id);
    let watched = Watched { room, name: whom.name.clone(), token: endpoints.rooms.config.token.clone() };
    match endpoints
        .relay
        .watch(watched, SessionRequest { offer: body, near: direct_address(near, &headers), bearer })
        .await
    {
        Ok(begun) => created(&endpoints, &place, begun),
        Err(refused) => refusal_response(refused),
    }
}

/// The participant with this id or name; without one, a bot with video, else a person with video.
fn find_participant<'a>(participants: &'a [Participant], who: Option<&str>) -> Option<&'a Participant> {
    let shows = |p: &&Participant| p.tracks.iter().any(|track| track.kind == MediaKind::Video);
    match who {
        Some(who) => {
            let sends = |p: &&Participant| p.role != Role::Recorder;
            let by_id = participants.iter().filter(sends).find(|p| p.id.0 == who);
            by_id.or_else(|| participants.iter().filter(sends).find(|p| p.name == who))
        }
        None => {
            let of = |role| participants.iter().filter(move |p| p.role == role);
            of(Role::Bot).find(shows).or_else(|| of(Role::Participant).find(shows))
        }
    }
}

/// What a client requests of an endpoint.
enum Requested {
    /// OPTIONS: whether a session may begin, and the ICE servers (RFC 9725, 4.6); or GET (4.1).
    Probe,
    Session {
        /// The client has a bearer token, not only one in the URL.
        bearer: bool,
    },
}

/// The checks before the description is read.
fn check_request(
    endpoints: &Endpoints,
    method: &Method,
    headers: &HeaderMap,
    wanted: &SessionQuery,
    room: &str,
) -> Result<Requested, Box<Response>> {
    let no = |response: Response| Err(Box::new(response));
    // A CORS preflight request has no credentials.
    if method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        return no(StatusCode::NO_CONTENT.into_response());
    }
    if ![Method::POST, Method::OPTIONS, Method::GET, Method::HEAD].contains(method) {
        return no((StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST, OPTIONS, GET, HEAD")]).into_response());
    }
    if !is_room_name(room) {
        return no(text_response(StatusCode::NOT_FOUND, "a room name is 1 to 64 letters, digits, '.', '_' or '-'"));
    }
    if !is_authorized(endpoints, bearer(headers).or(wanted.token.as_deref())) {
        return no(unauthorized());
    }
    match method != Method::POST {
        true => Ok(Requested::Probe),
        false if has_content_type(headers, SDP) => Ok(Requested::Session { bearer: bearer(headers).is_some() }),
        false => no(text_response(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("a description is {SDP}"))),
    }
}

/// Whether the token is right, if one is required.
fn is_authorized(endpoints: &Endpoints, token: Option<&str>) -> bool {
    let token = token.unwrap_or_default();
    endpoints.rooms.config.token.as_ref().is_none_or(|wanted| secrets_match(wanted, token))
}

fn unauthorized() -> Response {
    let why = "this room needs the right join token as a bearer token\n";
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], why).into_response()
}

/// A session may begin.
fn probe_response(endpoints: &Endpoints) -> Response {
    (StatusCode::NO_CONTENT, ice_server_links(endpoints)).into_response()
}

fn ice_server_links(endpoints: &Endpoints) -> HeaderMap {
    let links = endpoints.rooms.config.ice_servers.iter().flat_map(link_header::write);
    links.filter_map(|link| Some((header::LINK, HeaderValue::try_from(link).ok()?))).collect()
}

/// The token of an `Authorization` header (RFC 6750, 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn has_content_type(headers: &HeaderMap, media_type: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
}

/// The address that the client reached; unknown behind a proxy.
fn direct_address(near: LocalAddress, headers: &HeaderMap) -> Option<IpAddr> {
    let forwarded = ["forwarded", "x-forwarded-for"].iter().any(|name| headers.contains_key(*name));
    near.0.filter(|_| !forwarded)
}

fn created(endpoints: &Endpoints, place: &str, begun: NewSession) -> Response {
    let status = if begun.counter_offer { StatusCode::NOT_ACCEPTABLE } else { StatusCode::CREATED };
    let mut headers = ice_server_links(endpoints);
    let mut put = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.append(name, value);
        }
    };
    put(header::CONTENT_TYPE, SDP.to_owned());
    put(header::LOCATION, format!("{place}/{}", begun.id));
    put(header::ETAG, begun.etag);
    put(HeaderName::from_static("accept-patch"), FRAGMENT.to_owned());
    (status, headers, begun.sdp).into_response()
}

#[derive(Deserialize)]
struct SessionPath {
    id: String,
}

/// `PATCH` and `DELETE` of a session. Its URL is enough, unless the session was begun with a bearer token: then each request needs one (RFC
/// 9725, 4.7.1).
async fn session(
    State(endpoints): State<Arc<Endpoints>>,
    Path(SessionPath { id }): Path<SessionPath>,
    method: Method,
    headers: HeaderMap,
    body: String,
) -> Response {
    let known = endpoints.relay.knows(&id);
    match method {
        Method::OPTIONS => (StatusCode::NO_CONTENT, [("accept-patch", FRAGMENT)]).into_response(),
        _ if known == Some(true) && !is_authorized(&endpoints, bearer(&headers)) => unauthorized(),
        // Nothing to return (RFC 9725, 4.1).
        Method::GET | Method::HEAD if known.is_some() => StatusCode::NO_CONTENT.into_response(),
        Method::GET | Method::HEAD => refusal_response(RequestError::Gone),
        Method::DELETE => match endpoints.relay.end(&id).await {
            Ok(()) => StatusCode::OK.into_response(),
            Err(refused) => refusal_response(refused),
        },
        Method::PATCH if known.is_none() => refusal_response(RequestError::Gone),
        Method::PATCH if has_content_type(&headers, SDP) => match endpoints.relay.answer(&id, body).await {
            Ok(()) => StatusCode::NO_CONTENT.into_response(),
            Err(refused) => refusal_response(refused),
        },
        Method::PATCH if !has_content_type(&headers, FRAGMENT) => {
            text_response(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("a PATCH carries {FRAGMENT}"))
        }
        Method::PATCH => {
            let Some(wanted) = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok()) else {
                return text_response(StatusCode::PRECONDITION_REQUIRED, "a PATCH names its ICE session with If-Match");
            };
            let Some(fragment) = Fragment::parse(&body) else {
                return text_response(StatusCode::BAD_REQUEST, format!("the body is no {FRAGMENT}"));
            };
            patch_response(endpoints.relay.patch(&id, wanted.to_owned(), fragment).await)
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "PATCH, DELETE, OPTIONS, GET, HEAD")]).into_response(),
    }
}

fn patch_response(patched: Result<PatchOutcome, RequestError>) -> Response {
    match patched {
        Ok(PatchOutcome::Accepted) => StatusCode::NO_CONTENT.into_response(),
        Ok(PatchOutcome::Restarted { fragment, etag }) => {
            let headers = [(header::CONTENT_TYPE, FRAGMENT.to_owned()), (header::ETAG, etag)];
            (StatusCode::OK, headers, fragment).into_response()
        }
        Err(refused) => refusal_response(refused),
    }
}

fn refusal_response(refused: RequestError) -> Response {
    let again =
        |seconds: &'static str, response: Response| ([(header::RETRY_AFTER, seconds)], response).into_response();
    match refused {
        RequestError::Offer(why) => text_response(StatusCode::BAD_REQUEST, why),
        RequestError::Unsupported(why) => text_response(StatusCode::UNPROCESSABLE_ENTITY, why),
        RequestError::NothingSent => {
            again("2", text_response(StatusCode::CONFLICT, "the participant sends nothing at present"))
        }
        RequestError::Room(why) | RequestError::Full(why) | RequestError::Busy(why) => {
            again("5", text_response(StatusCode::SERVICE_UNAVAILABLE, why))
        }
        RequestError::Gone => text_response(StatusCode::NOT_FOUND, "there is no such session"),
        RequestError::Stale => text_response(StatusCode::PRECONDITION_FAILED, "that is not the ICE session in force"),
        RequestError::UnexpectedAnswer => text_response(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("no offer waits for an answer: a PATCH carries {FRAGMENT}"),
        ),
        RequestError::TooManyRequests => {
            again("2", text_response(StatusCode::TOO_MANY_REQUESTS, "one restart in two seconds"))
        }
    }
}

fn text_response(status: StatusCode, why: impl Into<String>) -> Response {
    (status, why.into() + "\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::participant::{ParticipantId, TrackLabel};

    fn person(name: &str, role: Role, video: bool) -> Participant {
        let label = TrackLabel { stream: "s".into(), kind: MediaKind::Video, source: Source::Camera, muted: false };
        Participant {
            id: ParticipantId(format!("id-{name}")),
            name: name.into(),
            role,
            tracks: video.then_some(label).into_iter().collect(),
        }
    }

    #[test]
    fn whoever_is_meant_is_found() {
        let participants = [
            person("Recorder", Role::Recorder, false),
            person("Shy", Role::Participant, false),
            person("Alice", Role::Participant, true),
            person("Bot", Role::Bot, true),
        ];
        let name = |who| find_participant(&participants, who).map(|p| p.name.as_str());
        assert_eq!(name(None), Some("Bot"));
        assert_eq!(name(Some("Alice")), Some("Alice"));
        assert_eq!(name(Some("id-Shy")), Some("Shy"));
        assert_eq!((name(Some("Recorder")), name(Some("Eve"))), (None, None));
        assert_eq!(find_participant(&participants[..3], None).map(|p| p.name.as_str()), Some("Alice"));
        assert!(find_participant(&participants[..2], None).is_none());
    }

    #[test]
    fn a_bearer_token_is_read() {
        let read = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(read("bearer  abc ").as_deref(), Some("abc"));
        assert_eq!((read("Basic abc"), read("abc"), bearer(&HeaderMap::new())), (None, None, None));
    }
}
