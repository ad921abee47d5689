//! One member's WebSocket, from the upgrade to the close: join, read, write, heartbeat, close. Owns no room state.

use super::outbox::{CloseReason, OutgoingQueue, encode, outbox};
use super::rate::RateLimit;
use super::room::{Departure, JoinRequest, Membership};
use super::rooms::{RoomInput, Rooms, shutting_down};
use super::secret::secrets_match;
use crate::signal::names::{display_name, is_room_name};
use crate::signal::protocol::{ClientMessage, ErrorCode, ServerMessage, VERSION};
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error as WsError, error::ProtocolError};

type Sink = SplitSink<WebSocket, Message>;
type Stream = SplitStream<WebSocket>;

/// How long a new socket may take to send its join.
const JOIN_DEADLINE: Duration = Duration::from_secs(10);
/// How long closing may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How a socket ended.
enum Ending {
    /// The member left.
    Left,
    /// It was lost.
    Lost,
    /// It broke a rule.
    Kicked(CloseReason),
    /// The room closed it.
    Closed(CloseReason),
}

/// Serves one socket until it ends; the room is told how.
pub(super) async fn serve(socket: WebSocket, room: String, rooms: Arc<Rooms>) {
    let (mut sink, mut stream) = socket.split();
    let (membership, inbox, outgoing) = match receive_join(&mut stream, &room, &rooms).await {
        Ok(Some(joined)) => joined,
        Ok(None) => return,
        Err(reason) => {
            rooms.counters.refused.fetch_add(1, Ordering::Relaxed);
            tracing::info!(room, code = ?reason.code, "refused: {}", reason.message);
            return close(&mut sink, &mut stream, Some(reason)).await;
        }
    };
    rooms.counters.joined.fetch_add(1, Ordering::Relaxed);
    let ending = tokio::select! {
        ending = read(&mut stream, &membership, &inbox, &rooms) => ending,
        ending = write(&mut sink, outgoing, &rooms) => ending,
    };
    let (how, reason) = match ending {
        Ending::Left => (Some(Departure::Left), None),
        Ending::Lost => (Some(Departure::Lost), None),
        Ending::Kicked(reason) => (Some(Departure::Kicked), Some(reason)),
        Ending::Closed(reason) => (None, Some(reason)),
    };
    tracing::debug!(room, id = %membership.id, ?how, ?reason, "socket ended");
    if let Some(how) = how {
        // A room that is gone need not be told.
        let _ = inbox.send(RoomInput::Departed { membership, how }).await;
    }
    if how != Some(Departure::Lost) {
        close(&mut sink, &mut stream, reason).await;
    }
}

type Joined = (Membership, mpsc::Sender<RoomInput>, OutgoingQueue);

/// Waits for the join and joins the room. `None` when the socket ended before it sent anything.
async fn receive_join(stream: &mut Stream, room: &str, rooms: &Arc<Rooms>) -> Result<Option<Joined>, CloseReason> {
    if !is_room_name(room) {
        return Err(CloseReason::new(ErrorCode::Name, "a room name is 1 to 64 outgoing, digits, '.', '_' or '-'"));
    }
    let mut stopping = rooms.stopping.clone();
    let first = tokio::select! {
        first = timeout(JOIN_DEADLINE, stream.next()) => first,
        _ = stopping.wait_for(|stop| *stop) => return Err(shutting_down()),
    };
    let bad = |why: &str| CloseReason::new(ErrorCode::BadMessage, why);
    let text = match first {
        Ok(Some(Ok(Message::Text(text)))) => text,
        Ok(Some(Ok(_))) => return Err(bad("the first message must be a join")),
        Ok(Some(Err(error))) => return protocol_error(error).map_or(Ok(None), Err),
        Ok(None) => return Ok(None),
        Err(_) => return Err(bad("no join within ten seconds")),
    };
    let join = serde_json::from_str(&text).map_err(|e| bad(&format!("the first message must be a join: {e}")))?;
    let ClientMessage::Join { protocol, name, role, token, resume } = join else {
        return Err(bad("the first message must be a join"));
    };
    if protocol != VERSION {
        let message = format!("this server speaks version {VERSION} of the protocol, not {protocol}");
        return Err(CloseReason::new(ErrorCode::Version, message));
    }
    let config = &rooms.config;
    if config.token.as_ref().is_some_and(|wanted| !secrets_match(wanted, token.as_deref().unwrap_or_default())) {
        return Err(CloseReason::new(ErrorCode::Token, "this room needs the right join token"));
    }
    let Some(name) = display_name(&name, config.limits.name_chars) else {
        let message = format!("a display name has 1 to {} visible characters", config.limits.name_chars);
        return Err(CloseReason::new(ErrorCode::Name, message));
    };
    let (outbox, outgoing) = outbox(config.limits.queue_messages, config.limits.queue_bytes);
    let (membership, inbox) = rooms.join(room, JoinRequest { name, role, resume }, outbox).await?;
    Ok(Some((membership, inbox, outgoing)))
}

/// Passes the member's messages to the room, until the socket ends, breaks a rule or is silent for too long.
async fn read(stream: &mut Stream, membership: &Membership, inbox: &mpsc::Sender<RoomInput>, rooms: &Rooms) -> Ending {
    let limits = &rooms.config.limits;
    let mut rate_limit = RateLimit::new(limits.messages_per_second, Instant::now());
    loop {
        let message = match timeout(limits.silence, stream.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return protocol_error(error).map_or(Ending::Lost, Ending::Kicked),
            Ok(None) | Err(_) => return Ending::Lost,
        };
        if !rate_limit.allow(Instant::now()) {
            let message = format!("more than {} messages a second", limits.messages_per_second);
            return Ending::Kicked(CloseReason::new(ErrorCode::Rate, message));
        }
        let parsed = match message {
            Message::Text(text) => {
                serde_json::from_str(&text).map_err(|e| format!("not a message of this protocol: {e}"))
            }
            Message::Binary(_) => Err("messages are text".to_owned()),
            // Answered by the WebSocket layer; here only signs of life.
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(frame) => return if is_intended(frame) { Ending::Left } else { Ending::Lost },
        };
        let membership = membership.clone();
        let input = match parsed {
            Ok(ClientMessage::Leave) => return Ending::Left,
            Ok(message) => RoomInput::Message { membership, message },
            Err(why) => {
                rooms.counters.malformed.fetch_add(1, Ordering::Relaxed);
                RoomInput::Malformed { membership, why }
            }
        };
        if inbox.send(input).await.is_err() {
            return Ending::Closed(shutting_down());
        }
    }
}

/// Writes the room's messages and pings, until the room or the socket ends.
async fn write(sink: &mut Sink, mut outgoing: OutgoingQueue, rooms: &Rooms) -> Ending {
    let limits = &rooms.config.limits;
    let ping = encode(&ServerMessage::Ping);
    let mut pings = tokio::time::interval(limits.ping);
    pings.reset();
    loop {
        let send = tokio::select! {
            biased;
            reason = &mut outgoing.close => return Ending::Closed(reason.unwrap_or_else(|_| shutting_down())),
            Some(message) = outgoing.queue.recv() => send(sink, message.text),
            _ = pings.tick() => send(sink, ping.clone()),
        };
        // The room can also close a socket whose other end does not read.
        let sent = tokio::select! {
            biased;
            reason = &mut outgoing.close => return Ending::Closed(reason.unwrap_or_else(|_| shutting_down())),
            sent = timeout(limits.silence, send) => sent,
        };
        if !matches!(sent, Ok(Ok(()))) {
            return Ending::Lost;
        }
    }
}

fn send(sink: &mut Sink, text: Utf8Bytes) -> impl Future<Output = Result<(), axum::Error>> + '_ {
    sink.send(Message::Text(text))
}

/// Sends the reason and a close frame, and waits a moment for the other end: with an immediate close, a TCP reset could overtake the reason.
async fn close(sink: &mut Sink, stream: &mut Stream, reason: Option<CloseReason>) {
    let code = match reason.as_ref().map(|f| f.code) {
        None => close_code::NORMAL,
        Some(ErrorCode::Closed) => close_code::AWAY,
        Some(_) => close_code::POLICY,
    };
    let goodbye = async {
        if let Some(CloseReason { code, message }) = reason {
            sink.send(Message::Text(encode(&ServerMessage::Error { code, message }))).await?;
        }
        sink.send(Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static("") }))).await?;
        while let Some(Ok(_)) = stream.next().await {}
        Ok::<(), axum::Error>(())
    };
    // The socket is dropped in any case.
    let _ = timeout(CLOSE_TIMEOUT, goodbye).await;
}

/// Whether the member left on purpose: 1000 (normal), 1001 (going away: a closed tab) or no code (RFC 6455, 7.4.1).
fn is_intended(frame: Option<CloseFrame>) -> bool {
    frame.is_none_or(|frame| matches!(frame.code, close_code::NORMAL | close_code::AWAY | close_code::STATUS))
}

/// The reason to close a socket that broke the WebSocket protocol; `None` for an error of the network.
fn protocol_error(error: axum::Error) -> Option<CloseReason> {
    let error = error.into_inner();
    let why = match error.downcast_ref::<WsError>()? {
        WsError::Capacity(error) => error.to_string(),
        WsError::Utf8(error) => error.to_string(),
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return None,
        WsError::Protocol(error) => error.to_string(),
        _ => return None,
    };
    Some(CloseReason::new(ErrorCode::BadMessage, why))
}
