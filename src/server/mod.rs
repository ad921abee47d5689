//! The room server: rooms over WebSocket, the page that joins them, a health check, WHIP and WHEP endpoints. Knows nothing of media: the
//! relay, an ordinary member of the room, connects WHIP and WHEP clients with it.
//!
//! [`RoomServer::bind`] takes the port, [`RoomServer::run`] serves until it is told to stop. Each room is a task that owns its state (`rooms`,
//! `room`), each member's socket another (`socket`), with a bounded queue between them (`outbox`).

#![deny(missing_docs)]

mod config;
mod listener;
mod outbox;
mod rate;
mod room;
mod rooms;
mod secret;
mod socket;
mod whip_whep;

pub use crate::signal::parse_ice_server;
pub use config::{Limits, RoomServerConfig};

use crate::error::{Error, Result};
use crate::pages::{self, Page};
use crate::relay::{Relay, RoomFactory};
use crate::signal;
use crate::signal::names::is_room_name;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use listener::LimitedListener;
use rooms::Rooms;
use serde::Deserialize;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long stopping may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// A room server that has its port and does not serve yet.
pub struct RoomServer {
    listener: TcpListener,
    address: SocketAddr,
    config: RoomServerConfig,
}

impl RoomServer {
    /// Takes the port.
    ///
    /// # Errors
    /// The user must act where the address cannot be used (in use, not of this machine, a privileged port).
    pub async fn bind(config: RoomServerConfig) -> Result<RoomServer> {
        let failed = |e: std::io::Error| {
            Error::user(format!("cannot listen on {}: {e}; choose another --listen", config.listen)).because(e)
        };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(RoomServer { listener, address, config })
    }

    /// The server's address; with the real port where 0 was requested.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is done, then tells every member and waits at most 3 seconds for their sockets to close.
    ///
    /// # Errors
    /// The machine, when the listening socket fails.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let (stop, stopping) = watch::channel(false);
        let (whip, whep) = (self.config.whip, self.config.whep);
        let sockets_per_address = self.config.limits.sockets_per_address;
        let rooms = Arc::new(Rooms::new(self.config, stopping.clone()));
        let address = reachable(self.address);
        let room_factory: RoomFactory = Arc::new(move |room| signal::for_url(&format!("ws://{address}/rooms/{room}")));
        let relay = Relay::new(room_factory, rooms.config.ice_servers.clone(), crate::relay::Limits::default());
        let endpoints = whip_whep::routes(whip_whep::Endpoints { rooms: rooms.clone(), relay }, whip, whep);
        let app = Router::new()
            .route("/", get(async || Page::Start.response()))
            .route("/healthz", get(async |State(rooms): State<Arc<Rooms>>| Json(rooms.health())))
            .route("/rooms", get(find_room))
            .route("/rooms/{name}", get(enter_room))
            .route("/app/{file}", get(page_file))
            .fallback(async || Page::NoRoom.response())
            .with_state(rooms)
            .merge(endpoints)
            .into_make_service_with_connect_info::<listener::LocalAddress>();
        let listener = LimitedListener::new(self.listener, sockets_per_address);
        let mut drained = stopping.clone();
        drop(stopping);
        let serving = async move {
            // `axum` waits for plain requests only; upgraded sockets are counted by their clones of `stopping`.
            axum::serve(listener, app)
                .with_graceful_shutdown(async move { drop(drained.wait_for(|stop| *stop).await) })
                .await
        };
        let mut serving = tokio::spawn(serving);
        tokio::select! {
            ended = &mut serving => return serve_result(ended),
            () = shutdown => {}
        }
        stop.send_replace(true);
        let drain = async {
            stop.closed().await;
            serve_result((&mut serving).await)
        };
        match tokio::time::timeout(DRAIN_TIMEOUT, drain).await {
            Ok(result) => result,
            Err(_) => {
                tracing::warn!(
                    "some connections did not end within {} seconds and are closed",
                    DRAIN_TIMEOUT.as_secs()
                );
                serving.abort();
                Ok(())
            }
        }
    }
}

/// The address at which this machine reaches the server: the loopback address where it listens on a wildcard.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}

/// The result of the serving task.
fn serve_result(ended: Result<std::io::Result<()>, tokio::task::JoinError>) -> Result<()> {
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) => Err(Error::machine("the room server lost its listening socket").because(e)),
        Err(e) => Err(Error::internal("the room server's task failed").because(e)),
    }
}

/// `/rooms/NAME`: the WebSocket where an upgrade is requested, the page otherwise.
async fn enter_room(
    Path(name): Path<String>,
    State(rooms): State<Arc<Rooms>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    headers: HeaderMap,
) -> Response {
    match upgrade {
        // Pages of any origin may join: access depends on the token, not on a cookie that another page could misuse.
        Ok(upgrade) => {
            let bytes = rooms.config.limits.message_bytes;
            let serve = move |socket: WebSocket| socket::serve(socket, name, rooms);
            upgrade.max_message_size(bytes).max_frame_size(bytes).on_upgrade(serve)
        }
        Err(rejection) if headers.contains_key(header::UPGRADE) => rejection.into_response(),
        Err(_) if is_room_name(&name) => Page::Room.response(),
        Err(_) => Page::NoRoom.response(),
    }
}

/// `/app/FILE`: a file of the pages.
async fn page_file(Path(file): Path<String>) -> Response {
    pages::file(&file).unwrap_or_else(|| Page::NoRoom.response())
}

#[derive(Deserialize)]
struct FindRoom {
    #[serde(default)]
    room: String,
}

/// `/rooms?room=NAME`: the target of the start page's form.
async fn find_room(Query(FindRoom { room }): Query<FindRoom>) -> Redirect {
    let room = room.trim();
    Redirect::to(&if is_room_name(room) { format!("/rooms/{room}") } else { "/".to_owned() })
}
