//! The connector over sockets in memory, on a clock that stands still unless everybody waits.

use super::super::websocket::testing;
use super::*;
use crate::error::Error;
use crate::room::description::Signal;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use std::sync::{Arc, Mutex};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;

type Server = WebSocketStream<DuplexStream>;

/// What the next attempts to connect give; when there is none left, the server is unreachable.
type Attempts = Arc<Mutex<VecDeque<Result<Socket, ConnectError>>>>;

/// A protocol whose messages are the texts of chat messages, and binary messages are said back.
struct Chat {
    attempts: Attempts,
    tries: Arc<Mutex<u32>>,
    end: Option<EndReason>,
}

fn id(name: &str) -> ParticipantId {
    ParticipantId(name.to_owned())
}

impl RoomProtocol for Chat {
    async fn connect(&mut self) -> Result<Socket, ConnectError> {
        *self.tries.lock().unwrap() += 1;
        let next = self.attempts.lock().unwrap().pop_front();
        next.unwrap_or_else(|| Err(ConnectError { error: Error::room("unreachable"), retry: true }))
    }

    fn on_connected(&mut self, reconnected: bool, _: StdInstant) -> Vec<Action> {
        vec![Action::send(if reconnected { "again" } else { "hello" })]
    }

    fn on_message(&mut self, message: &Message, _: StdInstant) -> Vec<Action> {
        match message {
            Message::Text(text) if text == "kick" => {
                vec![Action::End(EndReason::Removed { detail: "kicked".into() })]
            }
            Message::Text(text) => vec![Action::Emit(SignalEvent::Chat { from: id("server"), text: text.clone() })],
            Message::Binary(bytes) => vec![Action::Send(Message::Binary(bytes.clone()))],
        }
    }

    fn on_command(&mut self, command: SignalCommand, _: StdInstant) -> Vec<Action> {
        match command {
            SignalCommand::Chat { text, .. } => vec![Action::send(text)],
            _ => Vec::new(),
        }
    }

    fn on_disconnect(&mut self, _: &Disconnect) -> Option<EndReason> {
        self.end.take()
    }

    fn is_queued(command: &SignalCommand) -> bool {
        matches!(command, SignalCommand::Chat { .. })
    }

    fn is_still_valid(&self, command: &SignalCommand) -> bool {
        !matches!(command, SignalCommand::Chat { text, .. } if text == "stale")
    }

    fn goodbye(&mut self) -> Vec<Message> {
        vec![Message::Text("bye".to_owned())]
    }

    fn present(&self) -> (ParticipantId, Vec<Participant>) {
        (id("me"), Vec::new())
    }
}

struct Room {
    link: Link,
    server: Server,
    attempts: Attempts,
    tries: Arc<Mutex<u32>>,
}

impl Room {
    async fn join() -> Room {
        Room::join_with(Keepalive::default(), None).await
    }

    async fn join_with(keepalive: Keepalive, end: Option<EndReason>) -> Room {
        let (socket, mut server) = testing::pair().await;
        let (attempts, tries) = (Attempts::default(), Arc::default());
        let chat = Chat { attempts: Arc::clone(&attempts), tries: Arc::clone(&tries), end };
        let info = RoomInfo { room: "room".into(), ice_servers: Vec::new(), policy: NegotiationPolicy::default() };
        let link = start(socket, chat, info, keepalive);
        assert_eq!(text(&mut server).await.as_deref(), Some("hello"));
        Room { link, server, attempts, tries }
    }

    /// Lets the next attempt succeed.
    async fn accept(&self) -> Server {
        let (socket, server) = testing::pair().await;
        self.attempts.lock().unwrap().push_back(Ok(socket));
        server
    }

    async fn event(&mut self) -> SignalEvent {
        self.link.events.recv().await.expect("an event")
    }

    /// The reason of the end, after the attempts to reconnect.
    async fn end(&mut self) -> EndReason {
        loop {
            match self.event().await {
                SignalEvent::Closed(reason) => return reason,
                SignalEvent::Reconnecting { .. } => {}
                event => panic!("{event:?}"),
            }
        }
    }

    async fn say(&self, text: &str) {
        self.link.commands.send(SignalCommand::Chat { to: None, text: text.to_owned() }).await.expect("sent");
    }
}

/// The next text; none when the client is gone. Pings are answered, as a server does.
async fn text(server: &mut Server) -> Option<String> {
    loop {
        match server.next().await? {
            Ok(Frame::Text(text)) => return Some(text.as_str().to_owned()),
            Ok(Frame::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn text_and_binary_messages_go_both_ways() {
    let mut room = Room::join().await;
    room.server.send(Frame::text("hi")).await.expect("sent");
    assert_eq!(room.event().await, SignalEvent::Chat { from: id("server"), text: "hi".into() });
    room.server.send(Frame::Binary(Bytes::from_static(&[0, 255]))).await.expect("sent");
    let back = loop {
        match room.server.next().await.expect("open").expect("a frame") {
            Frame::Binary(bytes) => break bytes,
            other => assert!(other.is_ping(), "{other:?}"),
        }
    };
    assert_eq!(back, [0, 255][..]);
    room.say("yes").await;
    assert_eq!(text(&mut room.server).await.as_deref(), Some("yes"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_noticed_and_joined_again() {
    let mut room = Room::join().await;
    let start = Instant::now();
    // It neither sends nor answers pings, as nobody reads its end.
    let SignalEvent::Reconnecting { attempt, cause } = room.event().await else { panic!("not reconnecting") };
    assert_eq!((attempt, cause.as_str()), (1, "nothing was received for 20 seconds"));
    let silence = start.elapsed();
    assert!((20.0..20.2).contains(&silence.as_secs_f64()), "{silence:?}");
    let mut server = room.accept().await;
    assert_eq!(room.event().await, SignalEvent::Resumed { me: id("me"), peers: Vec::new() });
    assert_eq!(text(&mut server).await.as_deref(), Some("again"));
}

#[tokio::test(start_paused = true)]
async fn pings_keep_a_quiet_connection_alive() {
    let mut room = Room::join().await;
    // The WebSocket layer answers pings while it is read.
    let mut pings = 0;
    let server = &mut room.server;
    let read = async {
        while let Some(Ok(frame)) = server.next().await {
            pings += u32::from(frame.is_ping());
        }
    };
    let _ = timeout(Duration::from_secs(61), read).await;
    assert!((12..=13).contains(&pings), "{pings}");
    assert!(room.link.events.try_recv().is_err(), "nothing happened");
}

#[tokio::test(start_paused = true)]
async fn without_pings_only_silence_counts() {
    let keepalive = Keepalive { ping: None, silence: Duration::from_secs(15), tick: None, close_code: Some(1000) };
    let mut room = Room::join_with(keepalive, None).await;
    let start = Instant::now();
    sleep(Duration::from_secs(10)).await;
    room.server.send(Frame::text("here")).await.expect("sent");
    assert!(matches!(room.event().await, SignalEvent::Chat { .. }));
    assert!(matches!(room.event().await, SignalEvent::Reconnecting { attempt: 1, .. }));
    assert_eq!(start.elapsed().as_secs(), 25);
}

#[tokio::test(start_paused = true)]
async fn the_attempts_end_after_about_two_minutes() {
    let mut room = Room::join().await;
    let start = Instant::now();
    drop(room.server);
    let mut attempts = 0;
    let reason = loop {
        match room.link.events.recv().await.expect("an event") {
            SignalEvent::Reconnecting { attempt, .. } => attempts = attempt,
            SignalEvent::Closed(reason) => break reason,
            event => panic!("{event:?}"),
        }
    };
    assert_eq!((attempts, *room.tries.lock().unwrap(), reason.code()), (28, 28, "room_unreachable"));
    assert!(reason.detail().ends_with("unreachable"), "{reason}");
    // 23 attempts at 5 s, and jitter of at most as much again.
    let waited = start.elapsed().as_secs();
    assert!((110..=260).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_attempts() {
    let mut room = Room::join().await;
    room.attempts.lock().unwrap().extend([
        Err(ConnectError { error: Error::room("busy"), retry: true }),
        Err(ConnectError::refused("another token")),
    ]);
    room.server.close(None).await.expect("closed");
    assert_eq!(room.end().await, EndReason::Refused { detail: "another token".into() });
    assert_eq!(*room.tries.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_protocol_can_end_the_membership() {
    let mut room = Room::join().await;
    room.server.send(Frame::text("kick")).await.expect("sent");
    assert_eq!(room.end().await, EndReason::Removed { detail: "kicked".into() });

    let over = EndReason::RoomClosed { detail: "over".into() };
    let mut room = Room::join_with(Keepalive::default(), Some(over.clone())).await;
    drop(room.server.close(None).await);
    assert_eq!(room.end().await, over);
    assert_eq!(*room.tries.lock().unwrap(), 0, "nobody tries to reconnect");
}

#[tokio::test(start_paused = true)]
async fn commands_wait_for_the_next_socket() {
    let mut room = Room::join().await;
    room.server.close(None).await.expect("closed");
    assert!(matches!(room.event().await, SignalEvent::Reconnecting { .. }));
    for text in ["one", "stale", "two"] {
        room.say(text).await;
    }
    room.link.commands.send(SignalCommand::Tracks(Vec::new())).await.expect("sent");
    sleep(Duration::from_millis(1)).await;
    let mut server = room.accept().await;
    for expected in ["again", "one", "two"] {
        assert_eq!(text(&mut server).await.as_deref(), Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_events_stops_the_reading_only() {
    let mut room = Room::join().await;
    for n in 0..QUEUE + 2 {
        room.server.send(Frame::text(n.to_string())).await.expect("sent");
    }
    // The queue is full and one event waits: commands are carried out all the same, and the silence is not the server's.
    sleep(Duration::from_secs(60)).await;
    room.say("still here").await;
    assert_eq!(text(&mut room.server).await.as_deref(), Some("still here"));
    for n in 0..QUEUE + 2 {
        assert_eq!(room.event().await, SignalEvent::Chat { from: id("server"), text: n.to_string() });
    }
}

#[tokio::test(start_paused = true)]
async fn leaving_says_goodbye_and_closes() {
    let keepalive = Keepalive { close_code: Some(1000), ..Keepalive::default() };
    let mut room = Room::join_with(keepalive, None).await;
    room.link.commands.send(SignalCommand::Leave).await.expect("sent");
    assert_eq!(text(&mut room.server).await.as_deref(), Some("bye"));
    let close = loop {
        match room.server.next().await {
            Some(Ok(Frame::Close(frame))) => break frame,
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(close.map(|frame| u16::from(frame.code)), Some(1000));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_link_leaves_even_while_reconnecting() {
    let Room { link, mut server, .. } = Room::join().await;
    drop(link);
    assert_eq!(text(&mut server).await.as_deref(), Some("bye"));

    let mut room = Room::join().await;
    room.server.close(None).await.expect("closed");
    assert!(matches!(room.event().await, SignalEvent::Reconnecting { .. }));
    let tries = Arc::clone(&room.tries);
    let signal = Signal::Candidate(None);
    room.link.commands.send(SignalCommand::Signal { to: id("x"), signal }).await.expect("sent");
    drop(room.link.commands);
    assert!(room.link.events.recv().await.is_none(), "nothing more is told");
    assert!(*tries.lock().unwrap() <= 1);
}
