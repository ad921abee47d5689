//! The dashboard in a real browser: sign in, record, stop, keys, webhooks, storage, failures; what other sites can do with a session.

use crate::support::bot::Bot;
use crate::support::browser::Browser;
use crate::support::dashboard::{PROBLEMS, SOON, go, looks, open, press, says, sign_in};
use crate::support::needs::{needed, tools};
use crate::support::receiver::{Receiver, Reply};
use crate::support::server::TestServer;
use crate::support::service::{KEY, Service, client};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::time::Duration;

/// A service that may send to this machine.
async fn with_webhooks(folder: &std::path::Path) -> Service {
    let config = folder.join("roombot.toml");
    std::fs::write(&config, "allow_private_webhooks = true\n").expect("written");
    Service::start(&["--config", config.to_str().expect("UTF-8")]).await
}

#[tokio::test]
async fn a_recording_is_begun_seen_and_stopped() {
    needed!(tools(&["chromium"]));
    let (server, service, browser) = (TestServer::start().await, Service::start(&[]).await, Browser::launch().await);
    let media = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
    let _alice = Bot::start(&["feed", &server.room("standup"), &media, "--as", "<b>Alice</b>", "--loop"]);
    let page = browser.page_with(service.url(), PROBLEMS).await;
    sign_in(&page, "rb_wrong").await;
    page.wait_for("document.querySelector('#login .problem')?.textContent.includes('unknown')", SOON, "a refusal")
        .await;
    sign_in(&page, KEY).await;
    says(&page, "Nothing is being recorded.").await;
    looks(&page, "empty").await;

    let fill = format!("document.querySelector('input[name=room_url]').value = {}", json!(server.room("standup")));
    page.run(&format!("{fill}; document.querySelector('#page form').requestSubmit()")).await;
    page.wait_for("document.querySelector('#page .state')?.dataset.state === 'recording'", SOON, "it records").await;
    go(&page, "/", "Live").await;
    // What a participant is called is text.
    page.wait_for("document.querySelector('.live li')?.textContent.includes('<b>Alice</b>')", SOON, "who is there")
        .await;
    // The newest key frame, decoded by the browser.
    page.wait_for("document.querySelector('.live video')?.videoWidth === 640", SOON, "her picture").await;
    let picture = "(() => { const canvas = document.createElement('canvas'); canvas.width = canvas.height = 64;
        const context = canvas.getContext('2d'); context.drawImage(document.querySelector('.live video'), 0, 0, 64, 64);
        return new Set(context.getImageData(0, 0, 64, 64).data).size; })()";
    assert!(page.eval::<u32>(picture).await > 20, "it shows something");
    let of: String = page.eval("document.querySelector('.live .age').textContent").await;
    assert!(of.contains("<b>Alice</b>"), "{of}");
    looks(&page, "live").await;
    // The card stays while its contents change.
    page.run("document.querySelector('.live').kept = true").await;
    let age = "document.querySelector('.live .about').textContent";
    let before: String = page.eval(age).await;
    page.wait_for(&format!("{age} !== {}", json!(before)), SOON, "it is looked at again").await;
    assert!(page.eval::<bool>("document.querySelector('.live').kept").await);
    press(&page, "Pause").await;
    page.wait_for("document.querySelector('.live .state').dataset.state === 'paused'", SOON, "it is paused").await;
    press(&page, "Stop").await;
    page.wait_for("document.querySelector('.live') === null", Duration::from_secs(60), "its end").await;
    go(&page, "/recordings", "Recordings").await;
    page.wait_for("document.querySelector('#page tbody a') !== null", SOON, "the list").await;
    page.run("document.querySelector('#page tbody a').click()").await;
    page.wait_for("document.querySelector('#page .title .state')?.dataset.state === 'complete'", SOON, "its page")
        .await;
    let files: u32 = page.eval("document.querySelectorAll('#page tbody a[download]').length").await;
    assert!(files >= 4, "{files} files");
    looks(&page, "recording").await;
}

#[tokio::test]
async fn what_failed_has_its_reason_and_is_tried_again() {
    needed!(tools(&["chromium"]));
    let server = TestServer::start_with(|config| config.token = Some("right".into())).await;
    let (service, browser) = (Service::start(&[]).await, Browser::launch().await);
    let page = open(&browser, &service, KEY, ("/failures", "Failures")).await;
    says(&page, "Nothing has failed.").await;
    let id = service.record(json!({ "room_url": server.room("standup"), "token": "wrong" })).await;
    service.until(&id, &["failed"], 60).await;
    go(&page, "/recordings", "Recordings").await;
    go(&page, "/failures", "Failures").await;
    page.wait_for("document.querySelector('#page tbody .state')?.dataset.state === 'failed'", SOON, "it is listed")
        .await;
    let reason: String = page.eval("document.querySelector('#page td.wide').innerText").await;
    assert!(reason.len() > 10, "{reason}");
    looks(&page, "failures").await;
    page.run("window.prompt = () => 'wrong too'").await;
    press(&page, "Record again").await;
    page.wait_for("/^#\\/recordings\\/rec_/.test(location.hash)", SOON, "the new one").await;
    let new: String = page.eval("location.hash.split('/').pop()").await;
    assert_ne!(new, id);
    service.until(&new, &["failed"], 60).await;
    // One that does not exist is said to be none.
    go(&page, "/recordings/rec_00000000000000000000000000", "There is no such recording").await;
}

#[tokio::test]
async fn a_dead_letter_is_shown_and_sent_again() {
    needed!(tools(&["chromium"]));
    let folder = tempfile::tempdir().expect("a folder");
    let (receiver, service, browser) =
        (Receiver::start().await, with_webhooks(folder.path()).await, Browser::launch().await);
    // A test is tried once; what is gone is not tried again.
    receiver.reply("/hook", &[Reply::Status(500), Reply::Status(410)]);
    let page = open(&browser, &service, KEY, ("/webhooks", "Webhooks")).await;
    says(&page, "There is no webhook.").await;
    let url = json!(receiver.url("/hook"));
    page.run(&format!("document.querySelector('#page input[type=url]').value = {url}; document.querySelector('#page form').requestSubmit()")).await;
    page.wait_for("document.querySelector('.secret code')?.textContent.startsWith('whsec_')", SOON, "its secret").await;
    press(&page, "Send a test").await;
    says(&page, "The test did not arrive").await;
    let request = json!({ "room_url": "ws://127.0.0.1:9/rooms/standup", "start_at": "2099-01-01T00:00:00Z" });
    service.record(request).await;
    page.wait_for("document.querySelector('#page tbody tr[data-state=dead] .under') !== null", SOON, "it is given up")
        .await;
    go(&page, "/storage", "Storage").await;
    go(&page, "/webhooks?state=dead", "Webhooks").await;
    says(&page, "It was disabled").await;
    let summary = "document.querySelector('#page td details summary')";
    page.wait_for(&format!("{summary} !== null"), SOON, "the dead letters").await;
    page.run(&format!("{summary}.click()")).await;
    page.wait_for("document.querySelector('#page td pre')?.textContent.includes('\"type\"')", SOON, "what was sent")
        .await;
    looks(&page, "webhooks").await;

    press(&page, "Enable").await;
    page.wait_for("document.querySelector('.endpoint .state').textContent === 'enabled'", SOON, "it is enabled").await;
    press(&page, "Send dead letters again").await;
    receiver.until("/hook", 3, 20).await;
    page.run("window.confirm = () => true").await;
    let before: String = page.eval("document.querySelector('.secret code')?.textContent ?? ''").await;
    press(&page, "New secret").await;
    let changed = format!("(document.querySelector('.secret code')?.textContent ?? '') !== {}", json!(before));
    page.wait_for(&changed, SOON, "another secret").await;
    says(&page, "two secrets until").await;
    // A page that this key does not see is not in the list.
    let names: Vec<String> =
        page.eval("[...document.querySelectorAll('.top nav a')].map((link) => link.textContent)").await;
    assert!(names.contains(&"Keys".to_owned()), "{names:?}");
}

#[tokio::test]
async fn keys_are_made_and_revoked_and_a_session_ends() {
    needed!(tools(&["chromium"]));
    let (service, browser) = (Service::start(&[]).await, Browser::launch().await);
    let page = open(&browser, &service, KEY, ("/keys", "Keys")).await;
    page.run("document.querySelector('#page form input').value = 'calendar'; document.querySelector('#page form').requestSubmit()").await;
    page.wait_for("document.querySelector('.secret code') !== null", SOON, "the key").await;
    let key: String = page.eval("document.querySelector('.secret code').textContent").await;
    let list = |key: String| client().get(format!("{}/v1/recordings", service.url())).bearer_auth(key);
    assert_eq!(service.send(list(key.clone())).await.status, StatusCode::OK);
    looks(&page, "keys").await;
    page.run("document.getElementById('sign-out').click()").await;
    // A key for recordings sees no keys and no webhooks.
    sign_in(&page, &key).await;
    let names = "[...document.querySelectorAll('.top nav a')].map((link) => link.textContent).join()";
    page.wait_for(&format!("{names} === 'Live,Recordings,Schedules,Failures,Storage'"), SOON, "its pages").await;
    page.run("document.getElementById('sign-out').click()").await;
    sign_in(&page, KEY).await;
    go(&page, "/keys", "Keys").await;
    page.run("window.confirm = () => true").await;
    press(&page, "Revoke").await;
    says(&page, "revoked").await;
    assert_eq!(service.send(list(key)).await.status, StatusCode::UNAUTHORIZED);
    go(&page, "/workers", "Workers").await;
    says(&page, "No worker is known").await;
    go(&page, "/audit", "Audit").await;
    for action in ["key.revoke", "key.create", "session.begin"] {
        says(&page, action).await;
    }
    looks(&page, "audit").await;
    let pages = service.get("/v1/audit?limit=2").await.json();
    let entries = |page: &serde_json::Value| page["entries"].as_array().expect("entries").len();
    let next = pages["next_cursor"].as_str().expect("more").to_owned();
    let rest = service.get(&format!("/v1/audit?cursor={next}")).await.json();
    assert_eq!((entries(&pages), &pages["entries"][0]["action"]), (2, &json!("key.revoke")));
    assert!(entries(&rest) >= 2 && rest["next_cursor"].is_null(), "{rest:#}");
    page.run("document.getElementById('sign-out').click()").await;
    page.wait_for("document.querySelector('#login:not([hidden])') !== null", SOON, "the form").await;
    let after: u16 = page.eval("(async () => (await fetch('/v1/session')).status)()").await;
    assert_eq!(after, 401);
}

#[tokio::test]
async fn a_session_is_of_no_use_to_other_sites() {
    let service = Service::start(&[]).await;
    let begun = client().post(format!("{}/v1/session", service.url())).json(&json!({ "key": KEY }));
    let begun = service.send(begun).await;
    let cookie = begun.headers["set-cookie"].to_str().expect("text").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let with =
        |method, path: &str| client().request(method, format!("{}{path}", service.url())).header("cookie", &cookie);
    assert_eq!(service.send(with(Method::GET, "/v1/recordings")).await.status, StatusCode::OK);
    let made = with(Method::POST, "/v1/keys").json(&json!({ "name": "x", "scopes": ["admin"] }));
    let refused = service.send(made.try_clone().expect("a copy")).await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::FORBIDDEN, &json!("cross_site")));
    assert_eq!(service.send(made.header("x-requested-with", "roombot")).await.status, StatusCode::CREATED);
}
