//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) over HTTP: reads requests, and says what became of them. Who sends and who watches
//! is the relay's business; this knows only of statuses and headers. `docs/whip.md` lists them.

use crate::relay::{Begun, Call, Patched, Publication, Refused, Relay, Watched};
use crate::room::media::{MediaKind, Source};
use crate::room::participant::{Participant, Role};
use crate::server::room::same_secret;
use crate::server::rooms::Rooms;
use crate::signal::names::{display_name, is_room_name};
use crate::signal::whip_whep::fragment::Fragment;
use crate::signal::whip_whep::{FRAGMENT, MAX_BODY_BYTES, SDP, link_header};
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::serve::{IncomingStream, Listener};
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

/// What these addresses need.
pub(crate) struct Outside {
    pub rooms: Arc<Rooms>,
    pub relay: Relay,
}

const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// Our own address, as a client reached it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Near(Option<IpAddr>);

impl Connected<IncomingStream<'_, Quick>> for Near {
    fn connect_info(stream: IncomingStream<'_, Quick>) -> Self {
        Near(stream.io().local_addr().ok().map(|address| address.ip().to_canonical()))
    }
}

/// The listening socket; what it accepts delays no small messages.
pub(crate) struct Quick(pub TcpListener);

impl Listener for Quick {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (socket, address) = Listener::accept(&mut self.0).await;
        // Signalling is many small messages; a failure costs some milliseconds, no more.
        let _ = socket.set_nodelay(true);
        (socket, address)
    }
    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// The addresses below `/whip` and `/whep`, as far as they are switched on.
pub(crate) fn routes(outside: Outside, whip: bool, whep: bool) -> Router {
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
    router.layer(DefaultBodyLimit::max(MAX_BODY_BYTES)).layer(map_response(open_to_pages)).with_state(Arc::new(outside))
}

/// A page of any origin may come: what lets people in is the token and not a cookie.
async fn open_to_pages(mut response: Response) -> Response {
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
struct Wanted {
    name: Option<String>,
    source: Option<String>,
    token: Option<String>,
}

/// `POST /whip/ROOM`: somebody sends.
async fn publish(
    State(outside): State<Arc<Outside>>,
    ConnectInfo(near): ConnectInfo<Near>,
    Path(room): Path<String>,
    Query(wanted): Query<Wanted>,
    method: Method,
    headers: HeaderMap,
    body: String,
) -> Response {
    let asked = match endpoint(&outside, &method, &headers, &wanted, &room) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let chars = outside.rooms.config.limits.name_chars;
    let Some(name) = display_name(wanted.name.as_deref().unwrap_or("Guest"), chars) else {
        return plain(StatusCode::BAD_REQUEST, format!("a name has 1 to {chars} visible characters"));
    };
    let source = match wanted.source.as_deref() {
        None | Some("camera") => Source::Camera,
        Some("screen") => Source::Screen,
        Some(_) => return plain(StatusCode::BAD_REQUEST, "source is camera or screen"),
    };
    let Asked::ToBegin { bearer } = asked else { return may_begin(&outside) };
    let token = outside.rooms.config.token.clone();
    let what = Publication { room: room.clone(), name, token, source };
    match outside.relay.publish(what, Call { offer: body, near: trusted(near, &headers), bearer }).await {
        Ok(begun) => begin(&outside, &format!("/whip/{room}"), begun),
        Err(refused) => refusal(refused),
    }
}

#[derive(Deserialize)]
struct Whom {
    room: String,
    who: Option<String>,
}

/// `POST /whep/ROOM` and `/whep/ROOM/PARTICIPANT`: somebody watches.
async fn watch(
    State(outside): State<Arc<Outside>>,
    ConnectInfo(near): ConnectInfo<Near>,
    Path(Whom { room, who }): Path<Whom>,
    Query(wanted): Query<Wanted>,
    method: Method,
    headers: HeaderMap,
    body: String,
) -> Response {
    let asked = match endpoint(&outside, &method, &headers, &wanted, &room) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let people = outside.rooms.people(&room).await;
    let Some(whom) = find(&people, who.as_deref()) else {
        let why = if people.is_empty() { "nobody is in that room" } else { "nobody by that name sends anything there" };
        return plain(StatusCode::NOT_FOUND, why);
    };
    let Asked::ToBegin { bearer } = asked else { return may_begin(&outside) };
    let place = format!("/whep/{room}/{}", whom.id);
    let watched = Watched { room, name: whom.name.clone(), token: outside.rooms.config.token.clone() };
    match outside.relay.watch(watched, Call { offer: body, near: trusted(near, &headers), bearer }).await {
        Ok(begun) => begin(&outside, &place, begun),
        Err(refused) => refusal(refused),
    }
}

/// The participant of that id or name; without one, a bot that shows something before a person who does.
fn find<'a>(people: &'a [Participant], who: Option<&str>) -> Option<&'a Participant> {
    let shows = |p: &&Participant| p.tracks.iter().any(|track| track.kind == MediaKind::Video);
    match who {
        Some(who) => {
            let sends = |p: &&Participant| p.role != Role::Recorder;
            let by_id = people.iter().filter(sends).find(|p| p.id.0 == who);
            by_id.or_else(|| people.iter().filter(sends).find(|p| p.name == who))
        }
        None => {
            let of = |role| people.iter().filter(move |p| p.role == role);
            of(Role::Bot).find(shows).or_else(|| of(Role::Participant).find(shows))
        }
    }
}

/// What somebody asks of an endpoint.
enum Asked {
    /// Whether they could begin, and with which ICE servers (RFC 9725, 4.6); or nothing at all, by GET (4.1).
    Whether,
    ToBegin {
        /// They have a bearer token, and not only an address.
        bearer: bool,
    },
}

/// What comes before a description is looked at.
fn endpoint(
    outside: &Outside,
    method: &Method,
    headers: &HeaderMap,
    wanted: &Wanted,
    room: &str,
) -> Result<Asked, Box<Response>> {
    let no = |response: Response| Err(Box::new(response));
    // A browser asks before it asks, and cannot prove anything (CORS).
    if method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        return no(StatusCode::NO_CONTENT.into_response());
    }
    if ![Method::POST, Method::OPTIONS, Method::GET, Method::HEAD].contains(method) {
        return no((StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST, OPTIONS, GET, HEAD")]).into_response());
    }
    if !is_room_name(room) {
        return no(plain(StatusCode::NOT_FOUND, "a room name is 1 to 64 letters, digits, '.', '_' or '-'"));
    }
    if !may(outside, bearer(headers).or(wanted.token.as_deref())) {
        return no(unproven());
    }
    match method != Method::POST {
        true => Ok(Asked::Whether),
        false if is(headers, SDP) => Ok(Asked::ToBegin { bearer: bearer(headers).is_some() }),
        false => no(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("a description is {SDP}"))),
    }
}

/// Whether that token, if any is needed, is the rooms'.
fn may(outside: &Outside, token: Option<&str>) -> bool {
    let token = token.unwrap_or_default();
    outside.rooms.config.token.as_ref().is_none_or(|wanted| same_secret(wanted, token))
}

fn unproven() -> Response {
    let why = "this room needs the right join token as a bearer token\n";
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], why).into_response()
}

/// They could begin.
fn may_begin(outside: &Outside) -> Response {
    (StatusCode::NO_CONTENT, links(outside)).into_response()
}

fn links(outside: &Outside) -> HeaderMap {
    let links = outside.rooms.config.ice_servers.iter().flat_map(link_header::write);
    links.filter_map(|link| Some((header::LINK, HeaderValue::try_from(link).ok()?))).collect()
}

/// The token of an `Authorization` header (RFC 6750, 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn is(headers: &HeaderMap, media_type: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
}

/// Behind a proxy, the address that was reached is the proxy's business.
fn trusted(near: Near, headers: &HeaderMap) -> Option<IpAddr> {
    let forwarded = ["forwarded", "x-forwarded-for"].iter().any(|name| headers.contains_key(*name));
    near.0.filter(|_| !forwarded)
}

fn begin(outside: &Outside, place: &str, begun: Begun) -> Response {
    let status = if begun.counter_offer { StatusCode::NOT_ACCEPTABLE } else { StatusCode::CREATED };
    let mut headers = links(outside);
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
struct Which {
    id: String,
}

/// `PATCH` and `DELETE` of a session. Who knows its address may, unless it was begun with a bearer token: then each request has to have
/// one (RFC 9725, 4.7.1).
async fn session(
    State(outside): State<Arc<Outside>>,
    Path(Which { id }): Path<Which>,
    method: Method,
    headers: HeaderMap,
    body: String,
) -> Response {
    let known = outside.relay.knows(&id);
    match method {
        Method::OPTIONS => (StatusCode::NO_CONTENT, [("accept-patch", FRAGMENT)]).into_response(),
        _ if known == Some(true) && !may(&outside, bearer(&headers)) => unproven(),
        // There is nothing to be had (RFC 9725, 4.1).
        Method::GET | Method::HEAD if known.is_some() => StatusCode::NO_CONTENT.into_response(),
        Method::GET | Method::HEAD => refusal(Refused::Gone),
        Method::DELETE => match outside.relay.end(&id).await {
            Ok(()) => StatusCode::OK.into_response(),
            Err(refused) => refusal(refused),
        },
        Method::PATCH if known.is_none() => refusal(Refused::Gone),
        Method::PATCH if is(&headers, SDP) => match outside.relay.answer(&id, body).await {
            Ok(()) => StatusCode::NO_CONTENT.into_response(),
            Err(refused) => refusal(refused),
        },
        Method::PATCH if !is(&headers, FRAGMENT) => {
            plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("a PATCH carries {FRAGMENT}"))
        }
        Method::PATCH => {
            let Some(wanted) = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok()) else {
                return plain(StatusCode::PRECONDITION_REQUIRED, "a PATCH names its ICE session with If-Match");
            };
            let Some(fragment) = Fragment::parse(&body) else {
                return plain(StatusCode::BAD_REQUEST, format!("the body is no {FRAGMENT}"));
            };
            patched(outside.relay.patch(&id, wanted.to_owned(), fragment).await)
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "PATCH, DELETE, OPTIONS, GET, HEAD")]).into_response(),
    }
}

fn patched(patched: Result<Patched, Refused>) -> Response {
    match patched {
        Ok(Patched::Taken) => StatusCode::NO_CONTENT.into_response(),
        Ok(Patched::Restarted { fragment, etag }) => {
            let headers = [(header::CONTENT_TYPE, FRAGMENT.to_owned()), (header::ETAG, etag)];
            (StatusCode::OK, headers, fragment).into_response()
        }
        Err(refused) => refusal(refused),
    }
}

fn refusal(refused: Refused) -> Response {
    let again =
        |seconds: &'static str, response: Response| ([(header::RETRY_AFTER, seconds)], response).into_response();
    match refused {
        Refused::Offer(why) => plain(StatusCode::BAD_REQUEST, why),
        Refused::Unfit(why) => plain(StatusCode::UNPROCESSABLE_ENTITY, why),
        Refused::NothingSent => again("2", plain(StatusCode::CONFLICT, "they send nothing at present")),
        Refused::Room(why) | Refused::Full(why) | Refused::Busy(why) => {
            again("5", plain(StatusCode::SERVICE_UNAVAILABLE, why))
        }
        Refused::Gone => plain(StatusCode::NOT_FOUND, "there is no such session"),
        Refused::Stale => plain(StatusCode::PRECONDITION_FAILED, "that is not the ICE session in force"),
        Refused::Unasked => plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("no offer waits for an answer: a PATCH carries {FRAGMENT}"),
        ),
        Refused::TooFast => again("2", plain(StatusCode::TOO_MANY_REQUESTS, "one restart in two seconds")),
    }
}

fn plain(status: StatusCode, why: impl Into<String>) -> Response {
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
        let people = [
            person("Recorder", Role::Recorder, false),
            person("Shy", Role::Participant, false),
            person("Alice", Role::Participant, true),
            person("Bot", Role::Bot, true),
        ];
        let name = |who| find(&people, who).map(|p| p.name.as_str());
        assert_eq!(name(None), Some("Bot"));
        assert_eq!(name(Some("Alice")), Some("Alice"));
        assert_eq!(name(Some("id-Shy")), Some("Shy"));
        assert_eq!((name(Some("Recorder")), name(Some("Eve"))), (None, None));
        assert_eq!(find(&people[..3], None).map(|p| p.name.as_str()), Some("Alice"));
        assert!(find(&people[..2], None).is_none());
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
