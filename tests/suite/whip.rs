//! WHIP and WHEP clients: against an endpoint that says what it is told to, for what is asked and answered; and against our own server,
//! for the media.

use crate::support::bot::{Bot, run};
use crate::support::cargo::only;
use crate::support::echoes::Person;
use crate::support::endpoint::{Asked, Endpoint, OFFER, says};
use crate::support::moment;
use crate::support::server::TestServer;
use crate::support::{log, within};
use roombot::recording::folder::TIMELINE;
use roombot::recording::manifest::Manifest;
use roombot::recording::timeline::{Event, TimelineReader};
use roombot::room::media::{Codec, MediaKind, Source};
use roombot::room::participant::Role;
use roombot::room::policy::{FirstOffer, OfferRequest, PeerState};
use roombot::server::{RoomServer, RoomServerConfig};
use roombot::signal::{Description, JoinAs, Link, Signal, SignalCommand, SignalEvent, for_url};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(40);

async fn visit(url: &str, token: Option<&str>) -> Link {
    let how = JoinAs { name: "Alice".into(), role: Role::Participant, token: token.map(str::to_owned) };
    within(10, "an answer", for_url(url).expect("a URL").join(how)).await.expect("it may begin")
}

async fn next(link: &mut Link) -> SignalEvent {
    within(20, "an event", link.events.recv()).await.expect("the link lives")
}

async fn describe(link: &Link, kind: &str, number: u32, sdp: &str) {
    let signal = Signal::Description(Description { kind: kind.into(), sdp: sdp.into() });
    let to = roombot::room::participant::ParticipantId(format!("endpoint-{number}"));
    link.commands.send(SignalCommand::Signal { to, signal }).await.expect("it listens");
}

fn description(event: SignalEvent) -> (String, Description) {
    match event {
        SignalEvent::Signal { from, signal: Signal::Description(description) } => (from.0, description),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_session_begins_elsewhere_restarts_and_ends() {
    let answer = OFFER.replace("ufrag:aaaa", "ufrag:bbbb").replace("actpass", "passive");
    let fragment = "a=ice-ufrag:dddd\r\na=ice-pwd:dddddddddddddddddddddd\r\nm=audio 9 X 111\r\na=mid:0\r\n\
                    a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n";
    let stun = "<stun:127.0.0.1:1>; rel=\"ice-server\"";
    let endpoint = Endpoint::start(vec![
        says(204).with("accept-post", "application/sdp").with("link", stun),
        says(503).with("retry-after", "0"),
        says(307).with("location", "/other/door"),
        says(201)
            .with("location", "session/1")
            .with("etag", "\"b\"")
            .with("content-type", "application/sdp")
            .body(&answer),
        says(200).with("content-type", "application/trickle-ice-sdpfrag").with("etag", "\"d\"").body(fragment),
        says(200),
    ])
    .await;
    let mut link = visit(&endpoint.url("whip+http", "/door"), Some("s3cret")).await;
    assert_eq!(link.ice_servers[0].urls, ["stun:127.0.0.1:1"]);
    describe(&link, "offer", 1, OFFER).await;
    assert_eq!(
        description(next(&mut link).await),
        ("endpoint-1".into(), Description { kind: "answer".into(), sdp: answer })
    );
    // A connection that does not come back by itself looks for other paths.
    for state in [PeerState::Connected, PeerState::Disconnected] {
        let id = link.peers[0].id.clone();
        link.commands.send(SignalCommand::Peer { id, state }).await.expect("it listens");
    }
    assert!(matches!(next(&mut link).await, SignalEvent::OfferRequested { request: OfferRequest::IceRestart, .. }));
    let candidate = "a=candidate:2 1 udp 1 127.0.0.1 7 typ host\r\n";
    describe(&link, "offer", 1, &(OFFER.replace("aaaa", "cccc") + candidate)).await;
    let (_, restarted) = description(next(&mut link).await);
    assert!(restarted.sdp.contains("ufrag:dddd") && restarted.sdp.contains("127.0.0.1 9 typ host"), "{restarted:?}");
    link.commands.send(SignalCommand::Leave).await.expect("it listens");
    within(10, "it has left", async { while link.events.recv().await.is_some() {} }).await;

    let asked = endpoint.asked();
    let lines: Vec<String> = asked.iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect();
    // Without a query of its own, the address takes the name.
    let begin = "POST /door?name=Alice";
    assert_eq!(
        lines,
        [
            "OPTIONS /door?name=Alice",
            begin,
            begin,
            "POST /other/door",
            "PATCH /other/session/1",
            "DELETE /other/session/1"
        ]
    );
    assert!(asked.iter().all(|asked| asked.header("authorization") == "Bearer s3cret"), "{asked:#?}");
    assert!(asked[1..4].iter().all(|a| a.body == OFFER && a.header("content-type") == "application/sdp"), "{asked:#?}");
    let Asked { body, .. } = &asked[4];
    assert_eq!(
        (asked[4].header("if-match"), asked[4].header("content-type")),
        ("*", "application/trickle-ice-sdpfrag")
    );
    assert!(body.contains("ufrag:cccc") && body.contains("127.0.0.1 7 typ host") && !body.contains("v=0"), "{body}");
}

#[tokio::test]
async fn a_refusal_says_who_must_act() {
    for (status, words) in [
        (400, "does not understand our offer"),
        (401, "--token"),
        (403, "its operator"),
        (404, "check the URL"),
        (405, "no WHIP or WHEP endpoint"),
        (406, "nothing of our offer"),
        (302, "redirects us"),
    ] {
        // Others than WHIP endpoints answer OPTIONS in any way: that alone is no reason.
        let endpoint = Endpoint::start(vec![says(404), says(status).with("location", "/x")]).await;
        let mut link = visit(&endpoint.url("whip+http", "/door?a=b"), None).await;
        describe(&link, "offer", 1, OFFER).await;
        match next(&mut link).await {
            SignalEvent::Closed(reason) => assert!(reason.detail().contains(words), "{status}: {reason}"),
            other => panic!("{status}: {other:?}"),
        }
        assert_eq!(link.events.recv().await, None);
        assert_eq!(endpoint.asked().len(), 2, "{status}");
    }
    // An endpoint that says so at once is believed at once.
    let endpoint = Endpoint::start(vec![says(401).with("accept-post", "application/sdp")]).await;
    let room = for_url(&endpoint.url("whep+http", "/door")).expect("a URL");
    let how = JoinAs { name: "Alice".into(), role: Role::Recorder, token: None };
    let refused = room.join(how).await.err().expect("refused").to_string();
    assert!(refused.contains("requires a token") && refused.contains("--token"), "{refused}");
}

#[tokio::test]
async fn a_counter_offer_is_answered_by_another_connection() {
    let theirs = OFFER.replace("aaaa", "bbbb");
    let endpoint = Endpoint::start(vec![
        says(405),
        says(406).with("location", "/s/1").with("content-type", "application/sdp").body(&theirs),
        says(204),
        says(200),
    ])
    .await;
    let mut link = visit(&endpoint.url("whep+http", "/door"), None).await;
    describe(&link, "offer", 1, OFFER).await;
    assert!(matches!(next(&mut link).await, SignalEvent::Left { .. }));
    let SignalEvent::JoinedWith { who, policy } = next(&mut link).await else { panic!("nobody was met") };
    assert_eq!((who.id.0.as_str(), policy.first_offer), ("endpoint-2", FirstOffer::Them));
    assert_eq!(
        description(next(&mut link).await),
        ("endpoint-2".into(), Description { kind: "offer".into(), sdp: theirs })
    );
    let answer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
    describe(&link, "answer", 2, answer).await;
    link.commands.send(SignalCommand::Leave).await.expect("it listens");
    within(10, "it has left", async { while link.events.recv().await.is_some() {} }).await;
    let asked = endpoint.asked();
    let lines: Vec<String> = asked.iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect();
    assert_eq!(lines, ["OPTIONS /door", "POST /door", "PATCH /s/1", "DELETE /s/1"]);
    assert_eq!((asked[2].header("content-type"), asked[2].body.as_str()), ("application/sdp", answer));
}

/// Who is stopped while the answer to a POST is under way may have begun a session.
#[tokio::test]
async fn what_begins_while_we_leave_is_ended() {
    let answer = OFFER.replace("aaaa", "bbbb");
    let slow = says(201).with("location", "/s/1").body(&answer).after(Duration::from_millis(200));
    let endpoint = Endpoint::start(vec![says(204), slow, says(200)]).await;
    let link = visit(&endpoint.url("whip+http", "/door"), None).await;
    describe(&link, "offer", 1, OFFER).await;
    within(10, "it is asked", async {
        while endpoint.asked().len() < 2 {
            moment().await;
        }
    })
    .await;
    link.commands.send(SignalCommand::Leave).await.expect("it listens");
    within(10, "the session is ended", async {
        while endpoint.asked().last().is_none_or(|asked| asked.method != "DELETE") {
            moment().await;
        }
    })
    .await;
}

fn manifest(stdout: &str) -> (PathBuf, Manifest) {
    let folder = PathBuf::from(stdout.trim());
    let manifest = Manifest::load(&folder).expect("a manifest");
    (folder, manifest)
}

/// Both people sent sound and picture, and nothing of it is lost.
fn is_whole(manifest: &Manifest, name: &str) {
    let person = manifest.participants.iter().find(|p| p.name == name);
    let person = person.unwrap_or_else(|| panic!("no {name}: {:#?}", manifest.participants));
    for (source, least) in [(Source::Camera, 30), (Source::Mic, 50)] {
        let track = manifest.tracks.iter().find(|t| t.source == source && t.participant == person.key);
        let track = track.unwrap_or_else(|| panic!("no {source:?}: {:#?}", manifest.tracks));
        assert!(track.frames >= least && track.lost == 0, "{track:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_fed_by_whip_is_recorded_in_the_room_and_by_whep() {
    let server = TestServer::start_with(|config| {
        (config.whip, config.whep, config.token) = (true, true, Some("s3cret".into()));
    })
    .await;
    let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let recorder = Bot::record(&server.room("studio"), here.path(), &["--quiet", "--token", "s3cret"]);
    let recording = async {
        while std::fs::read_dir(here.path()).expect("the folder").next().is_none() {
            moment().await;
        }
        only(here.path())
    };
    let recording = within(20, "the recorder is there", recording).await;
    let whip = format!("whip+http://{}/whip/studio", server.address);
    let whep = format!("whep+http://{}/whep/studio/Alice", server.address);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/alice.webm");
    let file = file.to_str().expect("UTF-8");
    let feeder = Bot::start(&["feed", &whip, file, "--as", "Alice", "--loop", "--token", "s3cret"]);
    let joined = async {
        loop {
            if let Ok(mut timeline) = TimelineReader::open(&recording.join(TIMELINE))
                && timeline
                    .any(|entry| matches!(entry.event, Event::Joined { participant, .. } if participant == "alice"))
            {
                return;
            }
            moment().await;
        }
    };
    within(30, "Alice has joined", joined).await;
    let out = there.path().to_str().expect("UTF-8");
    for wrong in [run(&["record", &whep, "--out", out, "--token", "wrong"]).await, run(&["feed", &whip, file]).await] {
        assert_eq!(wrong.code, Some(3), "{wrong:?}");
        assert!(wrong.stderr.contains("--token"), "{wrong:?}");
    }
    let nobody = whep.replace("Alice", "Eve");
    let nobody = run(&["record", &nobody, "--out", out, "--token", "s3cret"]).await;
    assert!(nobody.code == Some(3) && nobody.stderr.contains("nobody by that name"), "{nobody:?}");

    let watcher = Bot::record(&format!("{whep}?token=s3cret"), there.path(), &["--quiet", "--for", "4s"]);
    let watched = watcher.ended(PATIENCE).await;
    assert_eq!(watched.code, Some(0), "{watched:?}");
    is_whole(&manifest(&watched.stdout).1, "Alice");
    feeder.interrupt();
    assert_eq!(feeder.ended(PATIENCE).await.code, Some(0));
    recorder.interrupt();
    let recorded = recorder.ended(PATIENCE).await;
    let (folder, manifest) = manifest(&recorded.stdout);
    is_whole(&manifest, "Alice");
    // Who says goodbye is gone at once.
    let left = TimelineReader::open(&folder.join(TIMELINE)).expect("a timeline").find_map(|entry| match entry.event {
        Event::Left { participant, reason } if participant == "alice" => Some(reason),
        _ => None,
    });
    assert_eq!(left.as_deref(), Some("left"));
}

/// The server goes away and comes back; the participant goes, and comes back with another codec.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_come_back_and_viewers_follow_into_another_codec() {
    log();
    let start = |address| async move {
        let mut config = RoomServerConfig::new(address);
        (config.whip, config.whep) = (true, true);
        let server = RoomServer::bind(config).await.expect("the port");
        let address = server.local_addr();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        (address, stop, tokio::spawn(server.run(async { drop(stopped.await) })))
    };
    let (address, stop, serving) = start(([127, 0, 0, 1], 0).into()).await;
    let room = |scheme: &str, path: &str| for_url(&format!("{scheme}://{address}/{path}")).expect("a URL");
    let mut alice = Person::join(room("whip+http", "whip/studio").as_ref(), "Alice", Codec::Vp8, None).await;
    alice.play("fixtures/alice.webm");
    let viewer = async {
        loop {
            let how = JoinAs { name: "Viewer".into(), role: Role::Participant, token: None };
            if room("whep+http", "whep/studio/Alice").join(how).await.is_ok() {
                return Person::join(room("whep+http", "whep/studio/Alice").as_ref(), "Viewer", Codec::Vp8, None).await;
            }
            moment().await;
        }
    };
    let viewer = within(30, "Alice is there", viewer).await;
    let pictures = |codec: Codec, least: usize| {
        move |sight: &crate::support::sight::Sight| {
            sight.track(MediaKind::Video).is_some_and(|seen| seen.remote.codec == codec && seen.frames.len() >= least)
        }
    };
    viewer.sees(40, "Alice's pictures", pictures(Codec::Vp8, 20)).await;
    // New paths, on both ways: it is the same session, so the same streams.
    let (so_far, tracks) = {
        let sight = viewer.sight.lock().expect("lock");
        (sight.count(MediaKind::Video), sight.tracks.len())
    };
    alice.session.restart_ice(None).await;
    viewer.session.restart_ice(None).await;
    viewer.sees(40, "pictures over new paths", pictures(Codec::Vp8, so_far + 60)).await;
    assert_eq!(viewer.sight.lock().expect("lock").tracks.len(), tracks);

    drop(stop);
    within(20, "the server ends", serving).await.expect("it ran").expect("a clean end");
    let (_, _stop, _serving) = start(address).await;
    viewer
        .sees(60, "pictures of the new server", |sight| sight.tracks.len() > tracks && pictures(Codec::Vp8, 20)(sight))
        .await;

    alice.leave().await;
    let mut alice = Person::join(room("ws", "rooms/studio").as_ref(), "Alice", Codec::H264, None).await;
    alice.play("fixtures/carol.mkv");
    viewer.sees(60, "her pictures in another codec", pictures(Codec::H264, 20)).await;
    viewer.leave().await;
    alice.leave().await;
}
