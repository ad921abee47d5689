//! Adapters against transcripts of the real servers (`fixtures/rooms`), where those cannot run. The same steps, with a partner by hand
//! and the real server, make the transcripts: `ROOMBOT_TRANSCRIBE=1 cargo test --test suite -- twins::`.

use crate::support::member::Member;
use crate::support::others::Others;
use crate::support::pause;
use crate::support::raw::Raw;
use crate::support::twin::{Scribe, Twin};
use crate::support::within;
use roombot::room::media::MediaKind;
use roombot::room::policy::{FirstOffer, PeerState};
use roombot::signal::{Description, OfferRequest, Signal, SignalCommand, SignalEvent, parse_ice_server};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// A description of the session with this number.
fn sdp(session: u32) -> String {
    format!(
        "v=0\r\no=- {session} 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=sendrecv\r\n\
         a=msid:face picture\r\n"
    )
}

fn description(kind: &str, session: u32) -> Signal {
    Signal::Description(Description { kind: kind.into(), sdp: sdp(session) })
}

fn offered(kind: &str, session: u32) -> Value {
    json!({"type": kind, "sdp": sdp(session)})
}

/// The other members, by hand, where the server is a real one. A twin says their part itself.
struct Partner(Option<Raw>);

impl Partner {
    /// Says something; for deepstream `|` ends a field and `+` a message.
    async fn says(&mut self, text: &str) {
        let Some(raw) = &mut self.0 else { return };
        raw.say(text).await;
        pause(Duration::from_millis(150), "the real one reads one message at a time").await;
    }
    async fn publishes(&mut self, event: &str, body: Value) {
        let text = format!("E|EVT|{event}|O").replace('|', "\u{1f}") + &body.to_string() + "\u{1e}";
        self.says(&text).await;
    }
    async fn writes(&mut self, lists: &[(u32, &[&str])]) {
        let one = |(version, names): &(u32, &[&str])| {
            format!("R|U|users|{version}|").replace('|', "\u{1f}") + &json!(names).to_string() + "\u{1e}"
        };
        let text: String = lists.iter().map(one).collect();
        self.says(&text).await;
    }
    async fn hears(&mut self, begin: &str) -> String {
        let Some(raw) = &mut self.0 else { return String::new() };
        loop {
            let text =
                within(10, begin, futures_util::StreamExt::next(&mut raw.0)).await.expect("there").expect("text");
            let text = text.to_text().expect("text").to_owned();
            if text.starts_with(begin) {
                return text;
            }
        }
    }

    /// At a deepstream server.
    async fn deepstream(others: &Others) -> Partner {
        let url = format!("ws://127.0.0.1:{}/deepstream", others.ports().0);
        let mut partner = Partner(Some(Raw::connect(&url).await));
        partner.hears("C\u{1f}CH").await;
        partner.says(&format!("C\u{1f}CHR\u{1f}{url}\u{1e}")).await;
        partner.hears("C\u{1f}A").await;
        partner.says("A\u{1f}REQ\u{1f}{}\u{1e}").await;
        partner.hears("A\u{1f}A").await;
        partner
    }

    /// In a group call; with its id there.
    async fn call(others: &Others) -> (Partner, String) {
        let url = format!("ws://127.0.0.1:{}/socket.io/?EIO=4&transport=websocket", others.ports().1);
        let mut partner = Partner(Some(Raw::connect(&url).await));
        partner.hears("0").await;
        partner.says("40").await;
        let opened: Value = serde_json::from_str(&partner.hears("40").await[2..]).expect("JSON");
        partner.says(r#"42["join room","r1"]"#).await;
        (partner, opened["sid"].as_str().expect("an id").to_owned())
    }
}

/// Where the transcripts are made: the real server, if that is what is asked for.
async fn real() -> Option<Others> {
    std::env::var_os("ROOMBOT_TRANSCRIBE")?;
    Some(Others::start(&[]).await.expect("node and a registry are there"))
}

async fn two_in_a_room(url: &str, mut page: Partner) {
    let mut bot = Member::join(&url.replace("APP", "audio-video&ice=turn:u:p@127.0.0.1:9")).await;
    assert_eq!(bot.0.ice_servers, [parse_ice_server("turn:u:p@127.0.0.1:9").expect("a server")]);
    pause(Duration::from_millis(300), "the bot subscribes").await;
    let say = |sender: &str, signal: Value| ("rtc-signal-03", json!({"sender": sender, "signal": signal}));
    let (event, body) = say("user/page", offered("offer", 1));
    page.publishes(event, body).await;
    let (id, name, first, there) = bot.meets().await;
    assert_eq!((name.as_str(), first, there), ("page", FirstOffer::Them, true));
    bot.sees_camera(&id).await;
    bot.is_signalled(&id, description("offer", 1)).await;
    bot.signals(&id, description("answer", 9)).await;
    page.hears("E\u{1f}EVT").await;
    let candidate = json!({"candidate": "candidate:1 1 udp 1 10.0.0.1 9 typ host", "sdpMLineIndex": 0, "sdpMid": "0"});
    page.publishes(event, say("user/page", json!({"candidate": candidate})).1).await;
    assert!(matches!(bot.next().await, SignalEvent::Signal { signal: Signal::Candidate(Some(_)), .. }));
    // The same offer once more means nothing; a third one is told of; a page that was loaded again is somebody new.
    page.publishes(event, say("user/page", offered("offer", 1)).1).await;
    page.publishes(event, say("user/third", offered("offer", 3)).1).await;
    assert!(matches!(bot.next().await, SignalEvent::Warning { text, .. } if text.contains("user/third")));
    page.publishes(event, say("user/page", offered("offer", 2)).1).await;
    bot.loses(&id).await;
    let (id, ..) = bot.meets().await;
    bot.sees_camera(&id).await;
    bot.is_signalled(&id, description("offer", 2)).await;
    bot.does(SignalCommand::Peer { id: id.clone(), state: PeerState::Failed }).await;
    bot.loses(&id).await;
    bot.leaves().await;
}

#[tokio::test]
async fn a_room_of_two_of_the_guide() {
    if let Some(others) = real().await {
        let scribe = Scribe::start(others.ports().0).await;
        let mut page = Partner::deepstream(&others).await;
        page.says("E\u{1f}S\u{1f}rtc-signal-03\u{1e}").await;
        two_in_a_room(&format!("deepstream+ws://{}/deepstream?app=APP", scribe.address), page).await;
        scribe.write("guide-pair").await;
    }
    let twin = Twin::start("guide-pair").await;
    two_in_a_room(&format!("deepstream+ws://{}/deepstream?app=APP", twin.address), Partner(None)).await;
    twin.done().await;
}

async fn many_in_a_mesh(url: &str, mut pages: Partner) {
    let mut bot = Member::join(&url.replace("APP", "full-mesh")).await;
    let me = bot.0.me.to_string();
    let event = format!("rtc-signal/{me}");
    let say = |user: &str, signal: Value| json!({"user": user, "signal": signal});
    pause(Duration::from_millis(400), "the bot subscribes").await;
    pages.writes(&[(2, &[&me, "zed", "AA"])]).await;
    // The larger name calls; nobody is known to be there.
    let (zed, name, first, there) = bot.meets().await;
    assert_eq!((name.as_str(), first, there), ("zed", FirstOffer::Them, false));
    let (aa, name, first, there) = bot.meets().await;
    assert_eq!((name.as_str(), first, there), ("AA", FirstOffer::Us, false));
    bot.signals(&aa, description("offer", 5)).await;
    pause(Duration::from_millis(300), "the description is written").await;
    pages.publishes(&event, say("AA", offered("answer", 6))).await;
    assert_eq!(bot.next().await, SignalEvent::Answered { id: aa.clone(), name: "AA".into() });
    bot.is_signalled(&aa, description("answer", 6)).await;
    // A second answer means nothing.
    pages.publishes(&event, say("AA", offered("answer", 6))).await;
    pages.publishes(&event, say("zed", offered("offer", 7))).await;
    assert_eq!(bot.next().await, SignalEvent::Answered { id: zed.clone(), name: "zed".into() });
    bot.is_signalled(&zed, description("offer", 7)).await;
    bot.signals(&zed, description("answer", 8)).await;
    pause(Duration::from_millis(100), "the list is written").await;
    // One who is faster than the list.
    pages.publishes(&event, say("yan", offered("offer", 9))).await;
    let (yan, name, _, there) = bot.meets().await;
    assert_eq!((name.as_str(), there), ("yan", true));
    bot.is_signalled(&yan, description("offer", 9)).await;
    // Taken out of the list, while another writes it too: everybody has dropped us, and meets us again.
    pages.writes(&[(3, &["zed", "AA"]), (4, &["zed"])]).await;
    let mut lost = BTreeSet::new();
    let again = loop {
        match bot.next().await {
            SignalEvent::Left { id, .. } => lost.insert(id),
            SignalEvent::Calling { who, .. } if who.name == "AA" => true,
            SignalEvent::Calling { who, .. } if lost.len() >= 3 && who.name == "zed" => break who.id,
            other => panic!("{other:?}"),
        };
    };
    assert!([&aa, &zed, &yan].iter().all(|id| lost.contains(id)) && again != zed, "{lost:?}");
    pause(Duration::from_millis(500), "the bot writes itself back into the list").await;
    bot.leaves().await;
}

#[tokio::test]
async fn the_mesh_of_the_guide() {
    if let Some(others) = real().await {
        let scribe = Scribe::start(others.ports().0).await;
        let pages = Partner::deepstream(&others).await;
        many_in_a_mesh(&format!("deepstream+ws://{}/deepstream?app=APP", scribe.address), pages).await;
        scribe.write("guide-mesh").await;
    }
    let twin = Twin::start("guide-mesh").await;
    many_in_a_mesh(&format!("deepstream+ws://{}/deepstream?app=APP", twin.address), Partner(None)).await;
    twin.done().await;
}

async fn group_call(url: &str, mut first: Partner, others: Option<&Others>) {
    let mut bot = Member::join(&format!("{url}?ice=stun:127.0.0.1:9")).await;
    assert_eq!(bot.0.ice_servers, [parse_ice_server("stun:127.0.0.1:9").expect("a server")]);
    let me = bot.0.me.to_string();
    // The newcomer calls who is there.
    let (id, _, first_offer, there) = bot.meets().await;
    assert_eq!((first_offer, there), (FirstOffer::Us, true));
    bot.signals(&id, description("offer", 1)).await;
    first.hears("42[\"user joined\"").await;
    let back = |signal: Value| format!("42{}", json!(["returning signal", {"signal": signal, "callerID": me}]));
    first.says(&back(offered("answer", 2))).await;
    bot.sees_camera(&id).await;
    bot.is_signalled(&id, description("answer", 2)).await;
    first.says(&back(json!({"type": "renegotiate", "renegotiate": true}))).await;
    assert_eq!(bot.next().await, SignalEvent::OfferRequested { from: id.clone(), request: OfferRequest::Renegotiate });
    let request = json!({"type": "transceiverRequest", "transceiverRequest": {"kind": "video"}});
    first.says(&back(request)).await;
    let request = OfferRequest::AddMedia(MediaKind::Video);
    assert_eq!(bot.next().await, SignalEvent::OfferRequested { from: id.clone(), request });
    // Another newcomer calls us.
    let (mut second, caller) = match others {
        Some(others) => Partner::call(others).await,
        None => (Partner(None), String::new()),
    };
    let call = json!(["sending signal", {"userToSignal": me, "callerID": caller, "signal": offered("offer", 3)}]);
    second.says(&format!("42{call}")).await;
    let (other, _, first_offer, _) = bot.meets().await;
    assert_eq!(first_offer, FirstOffer::Them);
    bot.sees_camera(&other).await;
    bot.is_signalled(&other, description("offer", 3)).await;
    bot.signals(&other, description("answer", 4)).await;
    bot.does(SignalCommand::RequestOffer { to: other.clone(), request }).await;
    second.hears("42[\"receiving returned signal\"").await;
    bot.does(SignalCommand::Peer { id: id.clone(), state: PeerState::Closed }).await;
    bot.loses(&id).await;
    bot.leaves().await;
}

#[tokio::test]
async fn a_group_call_of_socket_io() {
    if let Some(others) = real().await {
        let (first, _) = Partner::call(&others).await;
        let scribe = Scribe::start(others.ports().1).await;
        group_call(&format!("socketio+http://{}/r1", scribe.address), first, Some(&others)).await;
        scribe.write("socketio-call").await;
    }
    let twin = Twin::start("socketio-call").await;
    group_call(&format!("socketio+http://{}/r1", twin.address), Partner(None), None).await;
    twin.done().await;
}
