//! Downloads of recordings that are in a store only: the whole as one archive, and links to single files.

use crate::support::bot::Bot;
use crate::support::cargo::hash;
use crate::support::needs::{needed, tools};
use crate::support::server::TestServer;
use crate::support::service::{Answer, KEY, Service, client, until_it_holds};
use crate::support::store::{Store, configuration, storage};
use crate::support::{moment, within};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

/// Files that somebody shared: of several parts, empty, with a name that is not plain.
fn shared() -> [(&'static str, Vec<u8>); 3] {
    let large = (0..9 << 20).map(|at| (at / 7 % 251) as u8).collect();
    [
        ("files/slides #1.bin", large),
        ("files/empty.txt", Vec::new()),
        ("files/Protokoll – März.txt", b"Guten Tag".to_vec()),
    ]
}

/// A recording whose media is in the store and not here any more.
struct Stored {
    store: Store,
    service: Service,
    recording: Value,
    id: String,
    /// Where it is in the store.
    place: String,
    _folder: tempfile::TempDir,
}

impl Stored {
    async fn new(store: Store) -> Stored {
        Stored::with(store, false).await
    }

    /// `redirect`: readers are sent to the store.
    async fn with(mut store: Store, redirect: bool) -> Stored {
        store.start().await;
        let folder = tempfile::tempdir().expect("a folder");
        let server = TestServer::start().await;
        let config = configuration(folder.path(), store.address(), "keep_local = \"0s\"\nupload_every = \"1s\"");
        let text = std::fs::read_to_string(&config).expect("read");
        std::fs::write(&config, text.replace("[store]", &format!("[store]\nredirect = {redirect}"))).expect("written");
        let service = Service::start(&["--config", &config]).await;
        let media = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
        let _alice = Bot::start(&["feed", &server.room("standup"), &media, "--loop"]);
        let id = service.record(json!({ "room_url": server.room("standup") })).await;
        service.until(&id, &["recording"], 30).await;
        let grows = || {
            std::fs::read_dir(service.recording(&id).join("tracks"))
                .is_ok_and(|files| files.flatten().any(|file| file.metadata().is_ok_and(|m| m.len() > 20_000)))
        };
        until_it_holds("something is recorded", 30, grows).await;
        // What goes on is no whole: neither here nor as far as the store has it.
        let early = service.get(&format!("/v1/recordings/{id}/archive.zip")).await;
        assert_eq!(
            (early.status, &early.json()["code"]),
            (StatusCode::CONFLICT, &json!("wrong_state")),
            "{}",
            early.text
        );
        let early = service.post(&format!("/v1/recordings/{id}/links"), json!({})).await;
        assert_eq!(early.status, StatusCode::CONFLICT, "{}", early.text);
        std::fs::create_dir_all(service.recording(&id).join("files")).expect("a folder");
        for (path, content) in shared() {
            std::fs::write(service.recording(&id).join(path), content).expect("written");
        }
        service.post(&format!("/v1/recordings/{id}/stop"), json!({})).await;
        service.until(&id, &["complete"], 90).await;
        let gone = || !service.recording(&id).join("tracks").exists() && !service.recording(&id).join("files").exists();
        until_it_holds("the media is deleted here", 30, gone).await;
        let noted = async {
            loop {
                let recording = service.get(&format!("/v1/recordings/{id}")).await.json();
                if storage(&recording)["local"] == false {
                    return recording;
                }
                moment().await;
            }
        };
        let recording = within(30, "it is noted", noted).await;
        let place = format!("2026/{}", storage(&recording)["path"].as_str().expect("a place"));
        Stored { store, service, recording, id, place, _folder: folder }
    }

    /// Its files in the store with their SHA-256, but for what was sent while it was recorded.
    async fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        for key in self.store.keys().await {
            let path = key.strip_prefix(&format!("{}/", self.place)).expect("its place").to_owned();
            let (bytes, _) = self.store.object(&key).await;
            files.insert(path, hash(&bytes));
        }
        files
    }

    async fn follow(&self, url: &str) -> reqwest::Response {
        client().get(format!("{}{url}", self.service.url())).send().await.expect("an answer")
    }

    async fn link(&self, body: Value) -> Answer {
        self.service.post(&format!("/v1/recordings/{}/links", self.id), body).await
    }

    async fn url(&self, body: Value) -> String {
        let made = self.link(body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        made.json()["url"].as_str().expect("a link").to_owned()
    }
}

/// What is in an archive, by Python's reader: paths and SHA-256.
fn unzipped(archive: &[u8]) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("archive.zip");
    std::fs::write(&file, archive).expect("written");
    let program = "import hashlib, json, sys, zipfile\n\
                   z = zipfile.ZipFile(sys.argv[1])\n\
                   assert z.testzip() is None\n\
                   assert len(z.namelist()) == len(set(z.namelist()))\n\
                   print(json.dumps({i.filename: hashlib.sha256(z.read(i)).hexdigest() for i in z.infolist()}))";
    let output = Command::new("python3").args(["-c", program]).arg(&file).output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test]
async fn a_recording_in_the_store_is_downloaded_as_one_archive() {
    needed!(tools(&["python3"]));
    let it = Stored::new(needed!(Store::prepare().await)).await;
    let path = format!("/v1/recordings/{}/archive.zip", it.id);
    let answer = it.service.request(Method::GET, &path).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/zip");
    let archive = answer.bytes().await.expect("a body");
    let top = format!("standup-{}", it.id);
    let expected: BTreeMap<_, _> =
        it.files().await.into_iter().map(|(path, sum)| (format!("{top}/{path}"), sum)).collect();
    assert!(expected.keys().all(|path| !path.contains("/live/")), "{expected:#?}");
    assert_eq!(unzipped(&archive), expected);
    for (path, content) in shared() {
        assert_eq!(expected.get(&format!("{top}/{path}")), Some(&hash(&content)), "{path}");
    }
    for media in it.recording["outcome"]["media"].as_array().expect("media") {
        let path = media["path"].as_str().expect("a path");
        assert!(expected.contains_key(&format!("{top}/{path}")), "{path} is not there");
    }
    // Each file by itself too, the empty one as well.
    for (path, content) in shared() {
        let mut url = reqwest::Url::parse(it.service.url()).expect("an address");
        url.path_segments_mut().expect("a path").extend(["v1", "recordings", &it.id, "media"]).extend(path.split('/'));
        let answer = it.service.request(Method::GET, url.path()).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert!(answer.bytes().await.expect("a body") == content, "{path}");
    }

    // An object that was replaced is given out as it is now, with its size of now.
    let slides = format!("{}/files/slides #1.bin", it.place);
    it.store.put(&slides.replace(' ', "%20").replace('#', "%23"), "short").await;
    let again = it.service.request(Method::GET, &path).send().await.expect("an answer");
    let whole = again.bytes().await.expect("a body");
    let now = unzipped(&whole);
    assert_eq!(now.get(&format!("{top}/files/slides #1.bin")), Some(&hash(b"short")));
}

#[tokio::test]
async fn links_lead_to_the_store_until_they_expire() {
    needed!(tools(&["python3"]));
    let mut it = Stored::new(needed!(Store::prepare().await)).await;
    let media = it.recording["outcome"]["media"].as_array().expect("media").clone();
    let track = media.iter().find(|media| media["kind"] == "track").expect("a track")["path"].clone();
    let track = track.as_str().expect("a path").to_owned();
    let sum = it.files().await[&track].clone();
    let to_track = it.url(json!({ "path": track })).await;
    let to_manifest = it.url(json!({ "path": "manifest.json", "expires_in_s": 604_800 })).await;
    let to_all = it.url(json!({})).await;
    let short = it.url(json!({ "path": track, "expires_in_s": 1 })).await;
    let (begun, soon) = (Instant::now(), it.follow(&short).await.status());
    assert!(soon == StatusCode::OK || begun.elapsed() > Duration::from_millis(500), "{soon}");
    for path in ["../service.db", "tracks/../manifest.json", "/etc/passwd", "tracks", "", "checksums.sha256\0"] {
        let refused = it.link(json!({ "path": path })).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {}", refused.text);
    }

    it.service.kill_and_restart().await;
    let whole = it.follow(&to_track).await;
    assert_eq!(whole.status(), StatusCode::OK);
    let name = track.rsplit('/').next().expect("a name");
    assert_eq!(whole.headers()["content-disposition"], format!("attachment; filename=\"{name}\""));
    let whole = whole.bytes().await.expect("a body");
    assert_eq!(hash(&whole), sum);
    let part = client().get(format!("{}{to_track}", it.service.url())).header("range", "bytes=100-299");
    let part = part.send().await.expect("an answer");
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], format!("bytes 100-299/{}", whole.len()));
    assert!(part.bytes().await.expect("a body") == whole[100..300]);
    let head = client().head(format!("{}{to_track}", it.service.url())).send().await.expect("an answer");
    assert_eq!(head.headers()["content-length"], whole.len().to_string());
    let archive = it.follow(&to_all).await;
    assert_eq!(archive.headers()["content-type"], "application/zip");
    let top = format!("standup-{}", it.id);
    assert_eq!(unzipped(&archive.bytes().await.expect("a body")).get(&format!("{top}/{track}")), Some(&sum));

    // A link of two halves: what one says, under what the other is signed with.
    let parts = |url: &str| url.rsplit('/').next().expect("a token").split('.').map(str::to_owned).collect::<Vec<_>>();
    let ([head, payload, sign], [_, other, _]) = (&parts(&to_track)[..], &parts(&to_manifest)[..]) else {
        panic!("three parts")
    };
    let expired = async {
        while it.follow(&short).await.status() == StatusCode::OK {
            moment().await;
        }
    };
    within(5, "the link expires", expired).await;
    // {"alg":"none"}
    for wrong in [
        short.clone(),
        format!("/v1/links/{head}.{other}.{sign}"),
        format!("/v1/links/eyJhbGciOiJub25lIn0.{payload}."),
        format!("/v1/links/{head}.{payload}."),
        format!("/v1/links/{head}.{payload}"),
        format!("/v1/links/{}", "A".repeat(5000)),
    ] {
        let answer = it.follow(&wrong).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{wrong}");
        assert_eq!(answer.json::<Value>().await.expect("a problem")["code"], "link_expired");
    }
    // What a link is signed with is not for the API.
    let token = to_all.rsplit('/').next().expect("a token");
    let taken = it.service.send(client().get(format!("{}/v1/recordings", it.service.url())).bearer_auth(token)).await;
    assert_eq!(taken.status, StatusCode::UNAUTHORIZED, "{}", taken.text);

    let deleted = it.service.send(it.service.request(Method::DELETE, &format!("/v1/recordings/{}", it.id))).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{}", deleted.text);
    for link in [&to_track, &to_manifest, &to_all] {
        assert_eq!(it.follow(link).await.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn readers_are_sent_to_the_store_where_it_is_to_be_so() {
    let it = Stored::with(needed!(Store::prepare().await), true).await;
    let path = "files/slides #1.bin";
    let (_, expected) = shared().into_iter().find(|(shared, _)| *shared == path).expect("it is shared");
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let media = |more: &str| {
        let path = path.replace(' ', "%20").replace('#', "%23");
        http.get(format!("{}/v1/recordings/{}/media/{path}{more}", it.service.url(), it.id)).bearer_auth(KEY)
    };
    let link = it.url(json!({ "path": path })).await;
    for request in [media(""), http.get(format!("{}{link}", it.service.url()))] {
        let sent = request.send().await.expect("an answer");
        assert_eq!(sent.status(), StatusCode::TEMPORARY_REDIRECT);
        let place = sent.headers()["location"].to_str().expect("text").to_owned();
        assert!(place.starts_with(&format!("http://{}/", it.store.address())), "{place}");
        assert!(place.contains("X-Amz-Signature=") && place.contains("X-Amz-Expires=900"), "{place}");
        // The address is enough: it needs no key, and takes ranges.
        let there = http.get(&place).send().await.expect("an answer").bytes().await.expect("a body");
        assert!(there == expected, "{} bytes", there.len());
        let part = http.get(&place).header("range", "bytes=10-19").send().await.expect("an answer");
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.bytes().await.expect("a body"), expected[10..20]);
    }
    // A player's page may read from its own server only, and what is not there is said here.
    let play = media("?play").header("range", "bytes=10-19").send().await.expect("an answer");
    assert_eq!(play.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(play.bytes().await.expect("a body"), expected[10..20]);
    let none = http.get(format!("{}/v1/recordings/{}/media/files/none", it.service.url(), it.id)).bearer_auth(KEY);
    assert_eq!(none.send().await.expect("an answer").status(), StatusCode::NOT_FOUND);
}
