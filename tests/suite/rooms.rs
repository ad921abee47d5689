//! The room server and its client, over real sockets: joining, limits, bad input, loss and return.

use crate::support::proxy::Proxy;
use crate::support::raw::Raw;
use crate::support::server::TestServer;
use crate::support::within;
use crate::support::{moment, pause};
use futures_util::SinkExt;
use roombot::client::{Client, ClientConfig};
use roombot::room::media::{MediaKind, Source};
use roombot::room::participant::{Role, TrackLabel};
use roombot::server::{RoomServer, RoomServerConfig, parse_ice_server};
use roombot::signal::protocol::{ErrorCode, ServerMessage};
use roombot::signal::{Candidate, Description, JoinAs, Link, Signal, SignalCommand, SignalEvent, for_url};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

fn named(name: &str) -> JoinAs {
    JoinAs { name: name.into(), role: Role::Participant, token: None }
}

async fn try_join(url: &str, how: JoinAs) -> roombot::error::Result<Link> {
    within(15, "an answer to the join", for_url(url).expect("a room").join(how)).await
}

async fn join(url: &str, name: &str) -> Link {
    try_join(url, named(name)).await.expect("joined")
}

async fn next(link: &mut Link) -> SignalEvent {
    within(20, "an event", link.events.recv()).await.expect("the link lives")
}

async fn until(link: &mut Link, wanted: impl Fn(&SignalEvent) -> bool) -> SignalEvent {
    loop {
        let event = next(link).await;
        if wanted(&event) {
            return event;
        }
    }
}

/// A program may end as soon as it has left, and then nobody is left to say goodbye for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_left_is_gone() {
    let server = TestServer::start().await;
    for _ in 0..50 {
        let url = server.room("a");
        let program = tokio::task::spawn_blocking(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let room = for_url(&url).expect("a room");
                let session = Client::join(room.as_ref(), named("Alice"), ClientConfig::default()).await;
                session.expect("joined").leave().await;
            });
        });
        within(20, "it ends", program).await.expect("it ran");
        let link = join(&server.room("a"), "Bob").await;
        assert_eq!(link.peers, []);
        link.commands.send(SignalCommand::Leave).await.expect("the link lives");
        while !link.commands.is_closed() {
            moment().await;
        }
    }
}

#[tokio::test]
async fn two_members_meet_exchange_signals_and_part() {
    let server = TestServer::start_with(|config| {
        config.ice_servers = vec![parse_ice_server("turn:u:p@127.0.0.1:3478").expect("a server")];
    })
    .await;
    let mut alice = join(&server.room("a"), "Alice").await;
    let mut other = join(&server.room("a"), "Alice").await;
    assert_eq!(alice.room, "a");
    assert_eq!(other.ice_servers[0].urls, ["turn:127.0.0.1:3478"]);
    assert_eq!(other.peers.iter().map(|p| (&p.id, p.name.as_str())).collect::<Vec<_>>(), [(&alice.me, "Alice")]);
    assert!(matches!(next(&mut alice).await, SignalEvent::Joined(p) if p.id == other.me && p.name == "Alice 2"));

    let offer = Signal::Description(Description { kind: "offer".into(), sdp: "v=0\r\n".into() });
    let candidate = Signal::Candidate(Some(Candidate {
        candidate: "candidate:1 1 udp 1 127.0.0.1 9 typ host".into(),
        sdp_mid: Some("0".into()),
        sdp_m_line_index: Some(0),
        username_fragment: None,
    }));
    for signal in [offer, candidate, Signal::Candidate(None)] {
        alice
            .commands
            .send(SignalCommand::Signal { to: other.me.clone(), signal: signal.clone() })
            .await
            .expect("sent");
        assert_eq!(next(&mut other).await, SignalEvent::Signal { from: alice.me.clone(), signal });
    }

    let label = TrackLabel { stream: "s".into(), kind: MediaKind::Video, source: Source::Screen, muted: true };
    other.commands.send(SignalCommand::Tracks(vec![label.clone()])).await.expect("sent");
    assert_eq!(next(&mut alice).await, SignalEvent::Tracks { id: other.me.clone(), tracks: vec![label.clone()] });
    assert_eq!(join(&server.room("a"), "Late").await.peers[1].tracks, [label]);

    other.commands.send(SignalCommand::Leave).await.expect("sent");
    let left = until(&mut alice, |e| matches!(e, SignalEvent::Left { id, .. } if *id == other.me)).await;
    assert_eq!(left, SignalEvent::Left { id: other.me.clone(), reason: "left".into() });
    assert!(join(&server.room("b"), "Alice").await.peers.is_empty(), "rooms know nothing of each other");
}

#[tokio::test]
async fn the_wrong_token_a_full_room_and_bad_names_are_refused() {
    let server = TestServer::start_with(|config| {
        config.token = Some("open sesame".into());
        config.limits.rooms = 1;
    })
    .await;
    for token in [None, Some("guess")] {
        let how = JoinAs { token: token.map(Into::into), ..named("Eve") };
        let error = try_join(&server.room("a"), how).await.err().expect("refused");
        assert!(matches!(error, roombot::Error::Room(_)));
        assert!(error.to_string().contains("token"), "{error}");
    }
    let how = |name: &str| JoinAs { token: Some("open sesame".into()), ..named(name) };
    let by_url = format!("{}?token=open%20sesame", server.room("a"));
    let _alice = try_join(&by_url, named("Alice")).await.expect("let in");
    let full = try_join(&server.room("b"), how("Bob")).await.err().expect("one room only");
    assert!(full.to_string().contains("full"), "{full}");
    let nameless = try_join(&server.room("a"), how(" \u{200b} ")).await.err().expect("no visible name");
    assert!(nameless.to_string().contains("name"), "{nameless}");
    Raw::connect(&format!("ws://{}/rooms/a%20b", server.address)).await.ends_with(ErrorCode::Name).await;
}

#[tokio::test]
async fn the_sixty_fifth_member_is_refused() {
    let server = TestServer::start().await;
    let mut members = Vec::new();
    for number in 0..64 {
        members.push(join(&server.room("a"), &format!("Member {number}")).await);
    }
    let error = try_join(&server.room("a"), named("One more")).await.err().expect("refused");
    assert!(error.to_string().contains("full"), "{error}");
    members.pop();
    until(&mut members[0], |e| matches!(e, SignalEvent::Left { .. })).await;
    join(&server.room("a"), "One more").await;
}

#[tokio::test]
async fn before_the_welcome_nonsense_ends_the_socket() {
    let server = TestServer::start().await;
    for (first, code) in [
        ("{", ErrorCode::BadMessage),
        (r#"{"type":"leave"}"#, ErrorCode::BadMessage),
        (r#"{"type":"join"}"#, ErrorCode::BadMessage),
        (r#"{"type":"join","protocol":99,"name":"A"}"#, ErrorCode::Version),
    ] {
        let mut raw = Raw::connect(&server.room("a")).await;
        raw.say(first).await;
        raw.ends_with(code).await;
    }
}

#[tokio::test]
async fn after_the_welcome_nonsense_is_told_and_counted() {
    let server = TestServer::start().await;
    let mut raw = Raw::join(&server.room("a"), "A").await;
    let nobody = r#"{"type":"signal","to":"nobody","candidate":null}"#;
    for (text, code) in [
        ("{", ErrorCode::BadMessage),
        ("[]", ErrorCode::BadMessage),
        (r#"{"type":"dance"}"#, ErrorCode::BadMessage),
        (r#"{"type":"signal","to":"x"}"#, ErrorCode::BadMessage),
        (r#"{"type":"tracks","tracks":[{"stream":"","kind":"audio","source":"mic"}]}"#, ErrorCode::BadMessage),
        (nobody, ErrorCode::NoSuchPeer),
    ] {
        raw.say(text).await;
        assert_eq!(raw.error().await, Some(code), "{text}");
    }
    raw.0.send(Message::binary(vec![0; 10])).await.expect("sent");
    assert_eq!(raw.error().await, Some(ErrorCode::BadMessage));
    raw.say(r#"{"type":"ping"}"#).await;
    assert_eq!(raw.hear().await, Some(ServerMessage::Pong), "and the member is still there");
    let health = get(&server, "/healthz").await;
    assert!(health.contains(r#""malformed":5"#), "{health}");
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_socket() {
    let server = TestServer::start().await;
    let mut raw = Raw::join(&server.room("a"), "A").await;
    raw.say(&"x".repeat(256 * 1024 + 1)).await;
    raw.ends_with(ErrorCode::BadMessage).await;
}

#[tokio::test]
async fn a_flood_is_cut_and_the_others_are_told() {
    let server = TestServer::start_with(|config| config.limits.messages_per_second = 20).await;
    let mut alice = join(&server.room("a"), "Alice").await;
    let mut flood = Raw::join(&server.room("a"), "Flood").await;
    let mut sent = 0;
    while sent < 5_000 && flood.0.send(Message::text(r#"{"type":"pong"}"#)).await.is_ok() {
        sent += 1;
    }
    flood.ends_with(ErrorCode::Rate).await;
    let left = until(&mut alice, |e| matches!(e, SignalEvent::Left { .. })).await;
    assert!(matches!(left, SignalEvent::Left { reason, .. } if reason == "kicked"));
}

#[tokio::test]
async fn who_does_not_read_costs_nobody_else_anything() {
    let server = TestServer::start_with(|config| {
        config.limits.messages_per_second = 10_000;
        config.limits.ping = Duration::from_millis(300);
        config.limits.silence = Duration::from_secs(6);
        config.limits.resume = Duration::from_millis(400);
    })
    .await;
    let lazy = Raw::join(&server.room("a"), "Lazy").await;
    let mut alice = join(&server.room("a"), "Alice").await;
    let to = alice.peers[0].id.clone();
    // More than the kernel's buffers and the queue hold together; Lazy never reads.
    let signal = Signal::Description(Description { kind: "offer".into(), sdp: "x".repeat(200_000) });
    let commands = alice.commands.clone();
    let sending = tokio::spawn(async move {
        for _ in 0..200 {
            if commands.send(SignalCommand::Signal { to: to.clone(), signal: signal.clone() }).await.is_err() {
                return;
            }
        }
    });
    let left = until(&mut alice, |e| matches!(e, SignalEvent::Left { .. })).await;
    assert!(matches!(left, SignalEvent::Left { reason, .. } if reason == "timeout"));
    within(10, "all is sent", sending).await.expect("the sender ran");
    drop(lazy);
}

#[tokio::test]
async fn silence_loses_the_place_after_its_time() {
    let server = TestServer::start_with(|config| {
        config.limits.ping = Duration::from_millis(200);
        config.limits.silence = Duration::from_millis(600);
        config.limits.resume = Duration::from_millis(400);
    })
    .await;
    let mut alice = join(&server.room("a"), "Alice").await;
    let start = Instant::now();
    // Answers no ping, and does not even read.
    let _silent = Raw::join(&server.room("a"), "Silent").await;
    let left = until(&mut alice, |e| matches!(e, SignalEvent::Left { .. })).await;
    assert!(matches!(left, SignalEvent::Left { reason, .. } if reason == "timeout"));
    assert!(start.elapsed() >= Duration::from_secs(1), "silence and the time to come back: {:?}", start.elapsed());
}

#[tokio::test]
async fn a_cut_connection_comes_back_as_the_same_member() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.address).await;
    let mut alice = join(&server.room("a"), "Alice").await;
    let mut bob = join(&format!("ws://{}/rooms/a", proxy.address), "Bob").await;
    until(&mut alice, |e| matches!(e, SignalEvent::Joined(_))).await;
    proxy.cut();
    assert!(matches!(next(&mut bob).await, SignalEvent::Reconnecting { attempt: 1, .. }));
    // What either says meanwhile arrives in the end.
    let signal = |sdp: &str| Signal::Description(Description { kind: "offer".into(), sdp: sdp.into() });
    bob.commands.send(SignalCommand::Signal { to: alice.me.clone(), signal: signal("from bob") }).await.expect("kept");
    alice
        .commands
        .send(SignalCommand::Signal { to: bob.me.clone(), signal: signal("from alice") })
        .await
        .expect("sent");
    match until(&mut bob, |e| !matches!(e, SignalEvent::Reconnecting { .. })).await {
        SignalEvent::Resumed { me, peers } => {
            assert_eq!((me, peers.len()), (bob.me.clone(), 1));
        }
        other => panic!("the return comes first, not {other:?}"),
    }
    assert_eq!(next(&mut bob).await, SignalEvent::Signal { from: alice.me.clone(), signal: signal("from alice") });
    assert_eq!(
        next(&mut alice).await,
        SignalEvent::Signal { from: bob.me.clone(), signal: signal("from bob") },
        "and nothing of the loss"
    );
}

#[tokio::test]
async fn who_is_away_for_too_long_comes_back_as_somebody_new() {
    let server = TestServer::start_with(|config| config.limits.resume = Duration::ZERO).await;
    let proxy = Proxy::start(server.address).await;
    let mut alice = join(&server.room("a"), "Alice").await;
    let mut bob = join(&format!("ws://{}/rooms/a", proxy.address), "Bob").await;
    let label = TrackLabel { stream: "s".into(), kind: MediaKind::Audio, source: Source::Mic, muted: false };
    bob.commands.send(SignalCommand::Tracks(vec![label.clone()])).await.expect("sent");
    until(&mut alice, |e| matches!(e, SignalEvent::Tracks { .. })).await;
    // Two cuts: the second catches a return that was quicker than the sweep.
    let me = loop {
        proxy.cut();
        pause(Duration::from_millis(700), "longer than a member takes to come back").await;
        match until(&mut bob, |e| matches!(e, SignalEvent::Resumed { .. })).await {
            SignalEvent::Resumed { me, .. } if me != bob.me => break me,
            _ => {}
        }
    };
    until(&mut alice, |e| matches!(e, SignalEvent::Left { reason, .. } if reason == "timeout")).await;
    let told = until(&mut alice, |e| matches!(e, SignalEvent::Tracks { id, .. } if *id == me)).await;
    assert_eq!(told, SignalEvent::Tracks { id: me, tracks: vec![label] }, "labels are told anew");
}

#[tokio::test]
async fn a_server_that_stops_says_so() {
    let server = TestServer::start().await;
    let mut alice = join(&server.room("a"), "Alice").await;
    server.stop().await;
    match next(&mut alice).await {
        SignalEvent::Closed(reason) => assert!(reason.detail().contains("shutting down"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(within(5, "the link ends", alice.events.recv()).await.is_none());
}

#[tokio::test]
async fn a_port_in_use_is_the_users_to_mend() {
    let server = TestServer::start().await;
    let error = RoomServer::bind(RoomServerConfig::new(server.address)).await.err().expect("in use");
    assert!(matches!(error, roombot::Error::User(_)));
    assert!(error.to_string().contains("--listen"), "{error}");
}

/// A plain HTTP request by hand: head and body.
async fn get(server: &TestServer, path: &str) -> String {
    let mut socket = TcpStream::connect(server.address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address);
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    within(10, path, socket.read_to_string(&mut answer)).await.expect("UTF-8");
    answer
}

#[tokio::test]
async fn pages_and_files_have_their_types_and_safe_headers() {
    let server = TestServer::start().await;
    for (path, status, kind) in [
        ("/", 200, "text/html"),
        ("/rooms/standup", 200, "text/html"),
        ("/app/app.js", 200, "text/javascript"),
        ("/app/style.css", 200, "text/css"),
        ("/app/icon.svg", 200, "image/svg+xml"),
        ("/app/..%2fCargo.toml", 404, "text/html"),
        ("/rooms/%3Cscript%3E", 404, "text/html"),
        ("/nowhere", 404, "text/html"),
    ] {
        let answer = get(&server, path).await.to_lowercase();
        let head = answer.split("\r\n\r\n").next().unwrap_or_default();
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{path}: {head}");
        assert!(head.contains(&format!("content-type: {kind}")), "{path}: {head}");
        for header in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "cache-control: no-cache",
        ] {
            assert!(head.contains(header), "{path} lacks {header}");
        }
    }
    let found = get(&server, "/rooms?room=standup").await.to_lowercase();
    assert!(found.contains("location: /rooms/standup\r\n"), "{found}");
    let not_found = get(&server, "/rooms?room=%2F%2Fevil.example").await.to_lowercase();
    assert!(not_found.contains("location: /\r\n"), "{not_found}");
    assert!(get(&server, "/healthz").await.contains(r#""status":"ok""#));
}
