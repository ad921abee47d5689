//! Our WHIP and WHEP server by the letter of RFC 9725 and draft-ietf-wish-whep: methods, statuses, entity tags, tokens, and what its
//! descriptions have to say.

use crate::support::echoes::Person;
use crate::support::endpoint::{Endpoint, says};
use crate::support::moment;
use crate::support::server::TestServer;
use crate::support::within;
use reqwest::{Client, Method, RequestBuilder, Response};
use std::time::Duration;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// What our own client offers: all that a real one does.
async fn offer(scheme: &str) -> String {
    let endpoint = Endpoint::start(vec![says(204), says(503)]).await;
    let client = Person::at(&endpoint.url(scheme, "/door"), "Alice").await.expect("it may begin");
    let asked = async {
        while endpoint.asked().len() < 2 {
            moment().await;
        }
        endpoint.asked()[1].body.clone()
    };
    let offer = within(20, "an offer", asked).await;
    client.leave().await;
    offer
}

struct Door {
    client: Client,
    base: String,
}

impl Door {
    fn new(server: &TestServer) -> Door {
        Door {
            client: Client::builder().no_proxy().build().expect("a client"),
            base: format!("http://{}", server.address),
        }
    }
    /// Without a token.
    fn knock(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        self.client.request(method, format!("{}{path}", self.base)).timeout(Duration::from_secs(20))
    }
    fn ask(&self, method: &str, path: &str) -> RequestBuilder {
        self.knock(method, path).bearer_auth("s3cret")
    }
    async fn post(&self, path: &str, offer: &str) -> Response {
        sent(self.ask("POST", path).header("content-type", SDP).body(offer.to_owned())).await
    }
    async fn patch(&self, session: &str, tag: &str, fragment: &str) -> Response {
        let request = self.ask("PATCH", session).header("content-type", FRAGMENT);
        sent(request.header("if-match", tag).body(fragment.to_owned())).await
    }
    async fn status(&self, request: RequestBuilder) -> u16 {
        sent(request).await.status().as_u16()
    }
}

async fn sent(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
}

fn count(text: &str, line: &str) -> usize {
    text.lines().filter(|one| one.trim_end() == line).count()
}

/// The last section once more, under another name.
fn doubled(offer: &str) -> String {
    let last = offer.rfind("m=video").expect("a picture");
    offer.to_owned() + &offer[last..].replace("a=mid:", "a=mid:7")
}

async fn opened() -> (TestServer, Door) {
    let server = TestServer::start_with(|config| {
        (config.whip, config.whep, config.token) = (true, true, Some("s3cret".into()));
    })
    .await;
    let door = Door::new(&server);
    (server, door)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_is_answered_as_rfc_9725_has_it() {
    let offer = offer("whip+http").await;
    // What a client says (4.2, 4.4.1, 4.4.2): it sends only, over one bundle, one stream.
    assert_eq!((count(&offer, "a=sendonly"), count(&offer, "a=rtcp-mux-only")), (2, 2), "{offer}");
    assert!(offer.contains("a=group:BUNDLE 0 1") && offer.matches("a=msid:face ").count() == 2, "{offer}");
    assert!(offer.contains("a=candidate:") && count(&offer, "a=setup:actpass") == 2, "{offer}");

    let (_server, door) = opened().await;
    let at = "/whip/studio?name=Alice";
    for (status, request) in [
        (204, door.ask("GET", at)),
        (204, door.ask("HEAD", at)),
        (401, door.knock("GET", at)),
        (401, door.knock("POST", at).header("content-type", SDP).body(offer.clone())),
        (401, door.knock("POST", at).bearer_auth("guess").header("content-type", SDP).body(offer.clone())),
        (405, door.ask("PUT", at)),
        (405, door.ask("DELETE", at)),
        (415, door.ask("POST", at).header("content-type", "text/plain").body(offer.clone())),
        (415, door.ask("POST", at).body(offer.clone())),
        (400, door.ask("POST", at).header("content-type", SDP).body("hello")),
        (422, door.ask("POST", at).header("content-type", SDP).body(offer.replace("sendonly", "recvonly"))),
        (422, door.ask("POST", at).header("content-type", SDP).body(doubled(&offer))),
    ] {
        assert_eq!(door.status(request).await, status);
    }
    // A picture that nobody could take: no half session.
    let strange = ["VP8", "VP9", "H264", "AV1"]
        .iter()
        .fold(offer.clone(), |offer, codec| offer.replace(&format!(" {codec}/90000"), " Theora/90000"));
    let refused = door.post(at, &strange).await.status().as_u16();
    assert!([400, 422].contains(&refused), "{refused}");
    // A browser asks before it asks, without a token, and is told of no servers.
    let before = door.knock("OPTIONS", at).header("access-control-request-method", "POST");
    let before = sent(before.header("access-control-request-headers", "authorization,content-type")).await;
    assert!(before.status().is_success() && header(&before, "accept-post").contains(SDP), "{before:?}");
    assert_eq!((header(&before, "access-control-allow-origin").as_str(), header(&before, "link").as_str()), ("*", ""));

    let begun = door.post(at, &offer.replace("a=sendonly", "a=sendrecv")).await;
    assert_eq!((begun.status().as_u16(), header(&begun, "content-type").as_str()), (201, SDP));
    let (session, tag) = (header(&begun, "location"), header(&begun, "etag"));
    assert!(tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'), "a strong entity tag: {tag}");
    let answer = begun.text().await.expect("an answer");
    assert_eq!((count(&answer, "a=recvonly"), count(&answer, "a=rtcp-mux-only")), (2, 2), "{answer}");
    assert!(answer.contains("a=candidate:") && answer.contains("a=end-of-candidates"), "{answer}");

    behaves(&door, &session, &tag, &offer).await;
}

/// A session from its beginning to its end: what of it is asked, and how it answers.
async fn behaves(door: &Door, session: &str, tag: &str, offer: &str) {
    let value =
        |key: &str| offer.lines().find_map(|line| line.strip_prefix(key)).expect("in the offer").trim().to_owned();
    let fragment = |ufrag: &str, password: &str| {
        format!(
            "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n\
             a=candidate:1 1 udp 2122260223 127.0.0.1 9 typ host\r\na=candidate:2 1 sctp 1 nowhere.invalid 9 typ host\r\n"
        )
    };
    let (ufrag, password) = (value("a=ice-ufrag:"), value("a=ice-pwd:"));
    let ours = fragment(&ufrag, &password);
    let nameless = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=end-of-candidates\r\n";
    // Every request has the token that the first one had (4.7.1).
    for method in ["GET", "PATCH", "DELETE"] {
        assert_eq!(door.status(door.knock(method, session)).await, 401, "{method}");
    }
    let patch = || door.ask("PATCH", session).header("content-type", FRAGMENT).body(ours.clone());
    for (status, request) in [
        (204, door.ask("GET", session)),
        (204, door.ask("HEAD", session)),
        (405, door.ask("POST", session)),
        (428, patch()),
        (
            415,
            door.ask("PATCH", session).header("if-match", tag).header("content-type", "text/plain").body(ours.clone()),
        ),
        (415, door.ask("PATCH", session).header("content-type", SDP).body("v=0\r\n")),
    ] {
        assert_eq!(door.status(request).await, status);
    }
    for (status, tag, fragment) in [
        (400, tag, "{}"),
        (412, "\"another\"", ours.as_str()),
        // It could be meant for any ICE session.
        (412, "*", nameless),
        (204, tag, nameless),
        (204, "*", &ours),
        (204, &format!("\"another\", {tag}"), &ours),
    ] {
        let patched = door.patch(session, tag, fragment).await;
        assert_eq!((patched.status().as_u16(), header(&patched, "etag").as_str()), (status, ""), "{tag}: {fragment}");
        assert!(status != 204 || patched.bytes().await.expect("a body").is_empty());
    }
    // Other credentials are a restart (4.3.3), and another ICE session.
    let restarted = door.patch(session, "\"*\"", &fragment("anew", "anewanewanewanewanewanew")).await;
    assert_eq!((restarted.status().as_u16(), header(&restarted, "content-type").as_str()), (200, FRAGMENT));
    let new = header(&restarted, "etag");
    let theirs = restarted.text().await.expect("a fragment");
    assert!(new != tag && theirs.contains(&format!("a=ice-ufrag:{}", new.trim_matches('"'))), "{new}: {theirs}");
    assert!(theirs.contains("a=ice-pwd:") && theirs.contains("a=candidate:"), "{theirs}");
    assert_eq!(theirs.matches("\nm=").count(), 1, "only the section that stands for the bundle: {theirs}");
    assert_eq!(door.patch(session, tag, &ours).await.status(), 412, "the old session is not in force any more");
    // What cannot be done leaves the session as it is.
    let again = door.patch(session, "*", &fragment("more", "moremoremoremoremoremore")).await;
    assert_eq!((again.status().as_u16(), header(&again, "retry-after").as_str()), (429, "2"));
    assert_eq!(door.patch(session, &new, nameless).await.status(), 204);
    // Which ICE session it is means nothing to the end of all (4.3.1).
    assert_eq!(door.status(door.ask("DELETE", session).header("if-match", "\"another\"")).await, 200);
    for method in ["GET", "DELETE", "PATCH"] {
        assert_eq!(door.status(door.ask(method, session)).await, 404, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_is_answered_as_the_draft_has_it() {
    let offer = offer("whep+http").await;
    assert_eq!((count(&offer, "a=recvonly"), count(&offer, "a=rtcp-mux-only")), (2, 2), "{offer}");
    let (server, door) = opened().await;
    assert_eq!(door.status(door.ask("GET", "/whep/studio")).await, 404, "nobody is there");
    let mut alice = Person::at(&format!("{}?token=s3cret", server.room("studio")), "Alice").await.expect("joins");
    alice.play("fixtures/alice.webm");
    let at = "/whep/studio/Alice";
    let there = async {
        while door.status(door.ask("GET", at)).await != 204 {
            moment().await;
        }
    };
    within(20, "Alice is there", there).await;
    let begun = door.post(at, &offer.replace("a=recvonly", "a=sendrecv")).await;
    assert_eq!(begun.status(), 201);
    let (session, tag) = (header(&begun, "location"), header(&begun, "etag"));
    let answer = begun.text().await.expect("an answer");
    assert_eq!((count(&answer, "a=sendonly"), count(&answer, "a=rtcp-mux-only")), (2, 2), "{answer}");
    behaves(&door, &session, &tag, &offer).await;

    // Alice sends VP8: who takes nothing but VP9 is made an offer, which is answered once.
    let section = offer.find("m=video").expect("a picture");
    let nine = offer[..section].to_owned() + &offer[section..].replace(" VP8/", " VPX/");
    let counter = door.post(at, &nine).await;
    assert_eq!((counter.status().as_u16(), header(&counter, "content-type").as_str()), (406, SDP));
    let session = header(&counter, "location");
    let theirs = counter.text().await.expect("an offer");
    assert!(theirs.contains(" VP8/90000") && count(&theirs, "a=sendonly") == 2, "{theirs}");
    assert_eq!(door.status(door.ask("DELETE", &session)).await, 200);
    alice.leave().await;
}

/// Offers that leave out what need not be in them, and one that cannot be served: it is said why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_offer_may_leave_out_is_not_missed() {
    let offer = offer("whip+http").await;
    let (_server, door) = opened().await;
    let lines = |keep: &dyn Fn(&str) -> bool, sdp: &str| -> String {
        sdp.lines().filter(|line| keep(line)).map(|line| format!("{line}\r\n")).collect()
    };
    let nameless = lines(&|line| !line.starts_with("a=ssrc"), &offer);
    let reply = door.post("/whip/studio?name=Nameless", &nameless).await;
    assert_eq!(reply.status().as_u16(), 201, "sources need not be named (RFC 8829 5.2.1)");
    let active = door.post("/whip/studio?name=Active", &offer.replace("a=setup:actpass", "a=setup:active")).await;
    let answer = active.text().await.expect("an answer");
    assert_eq!((count(&answer, "a=setup:passive"), count(&answer, "a=setup:active")), (2, 0), "{answer}");

    let apart = lines(&|line| !line.starts_with("a=group"), &offer);
    let reply = door.post("/whip/studio?name=Apart", &apart).await;
    assert_eq!(reply.status().as_u16(), 422);
    assert!(reply.text().await.expect("a reason").contains("bundle"), "one connection for both");
    // Only the sound, without a group and without a direction: it is then both ways.
    let sections: Vec<&str> = apart.split("m=").collect();
    let sound = sections.iter().find(|section| section.starts_with("audio")).expect("sound");
    let alone = format!("{}m={sound}", sections[0]);
    let bare = lines(&|line| line != "a=sendonly" && !line.starts_with("a=mid"), &alone);
    let reply = door.post("/whip/studio?name=Bare", &bare).await;
    assert_eq!(reply.status().as_u16(), 201, "{bare}");
    let answer = reply.text().await.expect("an answer");
    assert_eq!((count(&answer, "a=recvonly"), answer.contains("a=group")), (1, false), "{answer}");
    // Sound, and a picture that is refused: that one is not counted.
    let refused = apart.replace("m=video 9 ", "m=video 0 ");
    let reply = door.post("/whip/studio?name=Refused", &refused).await;
    assert_eq!(reply.status().as_u16(), 201);
    let answer = reply.text().await.expect("an answer");
    assert!(answer.contains("m=audio 9 ") && answer.contains("m=video 0 "), "{answer}");
}
