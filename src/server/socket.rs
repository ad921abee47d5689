//! One member's WebSocket, from the upgrade to the close: join, read, write, heartbeat, goodbye. Owns no room state.

use super::outbox::{CloseReason, OutgoingQueue, outbox, written};
use super::rate::Allowance;
use super::room::{Arrival, Departure, Viewer, same_secret};
use super::rooms::{Input, Rooms, closing};
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

/// How long a new socket may take to say who it is.
const JOIN_DEADLINE: Duration = Duration::from_secs(10);
/// How long the last words may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// How one socket came to its end.
enum Ending {
    /// The member said goodbye.
    Left,
    /// It vanished.
    Lost,
    /// It broke a rule.
    Kicked(CloseReason),
    /// The room ended it.
    Ended(CloseReason),
}

/// Serves one socket until it ends; the room is told how.
pub(super) async fn serve(socket: WebSocket, room: String, rooms: Arc<Rooms>) {
    let (mut sink, mut stream) = socket.split();
    let (seat, inbox, letters) = match arrive(&mut stream, &room, &rooms).await {
        Ok(Some(arrived)) => arrived,
        Ok(None) => return,
        Err(farewell) => {
            rooms.counters.refused.fetch_add(1, Ordering::Relaxed);
            tracing::info!(room, code = ?farewell.code, "refused: {}", farewell.message);
            return say_goodbye(&mut sink, &mut stream, Some(farewell)).await;
        }
    };
    rooms.counters.joined.fetch_add(1, Ordering::Relaxed);
    let ending = tokio::select! {
        ending = read(&mut stream, &seat, &inbox, &rooms) => ending,
        ending = write(&mut sink, letters, &rooms) => ending,
    };
    let (how, farewell) = match ending {
        Ending::Left => (Some(Departure::Left), None),
        Ending::Lost => (Some(Departure::Lost), None),
        Ending::Kicked(farewell) => (Some(Departure::Kicked), Some(farewell)),
        Ending::Ended(farewell) => (None, Some(farewell)),
    };
    tracing::debug!(room, id = %seat.id, ?how, ?farewell, "socket ended");
    if let Some(how) = how {
        // A room that is gone needs no word.
        let _ = inbox.send(Input::Departed { seat, how }).await;
    }
    if how != Some(Departure::Lost) {
        say_goodbye(&mut sink, &mut stream, farewell).await;
    }
}

type Arrived = (Viewer, mpsc::Sender<Input>, OutgoingQueue);

/// Waits for the join and takes a place. `None` when the socket went away before it said anything.
async fn arrive(stream: &mut Stream, room: &str, rooms: &Arc<Rooms>) -> Result<Option<Arrived>, CloseReason> {
    if !is_room_name(room) {
        return Err(CloseReason::new(ErrorCode::Name, "a room name is 1 to 64 letters, digits, '.', '_' or '-'"));
    }
    let mut stopping = rooms.stopping.clone();
    let first = tokio::select! {
        first = timeout(JOIN_DEADLINE, stream.next()) => first,
        _ = stopping.wait_for(|stop| *stop) => return Err(closing()),
    };
    let bad = |why: &str| CloseReason::new(ErrorCode::BadMessage, why);
    let text = match first {
        Ok(Some(Ok(Message::Text(text)))) => text,
        Ok(Some(Ok(_))) => return Err(bad("the first message must be a join")),
        Ok(Some(Err(error))) => return broken(error).map_or(Ok(None), Err),
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
    if config.token.as_ref().is_some_and(|wanted| !same_secret(wanted, token.as_deref().unwrap_or_default())) {
        return Err(CloseReason::new(ErrorCode::Token, "this room needs the right join token"));
    }
    let Some(name) = display_name(&name, config.limits.name_chars) else {
        let message = format!("a display name has 1 to {} visible characters", config.limits.name_chars);
        return Err(CloseReason::new(ErrorCode::Name, message));
    };
    let (outbox, letters) = outbox(config.limits.queue_messages, config.limits.queue_bytes);
    let (seat, inbox) = rooms.enter(room, Arrival { name, role, resume }, outbox).await?;
    Ok(Some((seat, inbox, letters)))
}

/// Takes what the member says to the room, until the socket ends, breaks a rule or is silent for too long.
async fn read(stream: &mut Stream, seat: &Viewer, inbox: &mpsc::Sender<Input>, rooms: &Rooms) -> Ending {
    let limits = &rooms.config.limits;
    let mut allowance = Allowance::new(limits.messages_per_second, Instant::now());
    loop {
        let message = match timeout(limits.silence, stream.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return broken(error).map_or(Ending::Lost, Ending::Kicked),
            Ok(None) | Err(_) => return Ending::Lost,
        };
        if !allowance.take(Instant::now()) {
            let message = format!("more than {} messages a second", limits.messages_per_second);
            return Ending::Kicked(CloseReason::new(ErrorCode::Rate, message));
        }
        let heard = match message {
            Message::Text(text) => {
                serde_json::from_str(&text).map_err(|e| format!("not a message of this protocol: {e}"))
            }
            Message::Binary(_) => Err("messages are text".to_owned()),
            // Answered by the WebSocket layer; for us they are signs of life.
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(frame) => return if is_polite(frame) { Ending::Left } else { Ending::Lost },
        };
        let seat = seat.clone();
        let input = match heard {
            Ok(ClientMessage::Leave) => return Ending::Left,
            Ok(message) => Input::Message { seat, message },
            Err(why) => {
                rooms.counters.malformed.fetch_add(1, Ordering::Relaxed);
                Input::Nonsense { seat, why }
            }
        };
        if inbox.send(input).await.is_err() {
            return Ending::Ended(closing());
        }
    }
}

/// Writes what the room has for the member, and a ping in between, until the room or the socket ends.
async fn write(sink: &mut Sink, mut letters: OutgoingQueue, rooms: &Rooms) -> Ending {
    let limits = &rooms.config.limits;
    let ping = written(&ServerMessage::Ping);
    let mut pings = tokio::time::interval(limits.ping);
    pings.reset();
    loop {
        let send = tokio::select! {
            biased;
            end = &mut letters.end => return Ending::Ended(end.unwrap_or_else(|_| closing())),
            Some(letter) = letters.queue.recv() => send(sink, letter.text),
            _ = pings.tick() => send(sink, ping.clone()),
        };
        // The room can end a socket whose other end has stopped reading, too.
        let sent = tokio::select! {
            biased;
            end = &mut letters.end => return Ending::Ended(end.unwrap_or_else(|_| closing())),
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

/// Tells why, closes, and waits a moment for the other end: closing at once could cost it the reason (a TCP reset
/// overtakes what it has not read yet).
async fn say_goodbye(sink: &mut Sink, stream: &mut Stream, farewell: Option<CloseReason>) {
    let code = match farewell.as_ref().map(|f| f.code) {
        None => close_code::NORMAL,
        Some(ErrorCode::Closed) => close_code::AWAY,
        Some(_) => close_code::POLICY,
    };
    let last_words = async {
        if let Some(CloseReason { code, message }) = farewell {
            sink.send(Message::Text(written(&ServerMessage::Error { code, message }))).await?;
        }
        sink.send(Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static("") }))).await?;
        while let Some(Ok(_)) = stream.next().await {}
        Ok::<(), axum::Error>(())
    };
    // Whether they were heard changes nothing any more.
    let _ = timeout(GOODBYE, last_words).await;
}

/// 1000 (normal), 1001 (going away: a closed tab) and a close without a code are goodbyes; anything else is an accident.
fn is_polite(frame: Option<CloseFrame>) -> bool {
    frame.is_none_or(|frame| matches!(frame.code, close_code::NORMAL | close_code::AWAY | close_code::STATUS))
}

/// What to tell a member whose bytes made no sense; `None` where the network failed it, which is no fault of its own.
fn broken(error: axum::Error) -> Option<CloseReason> {
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
