//! The dashboard in a real browser: sign in, record, watch, stop, play, keys.

use crate::support::bot::Bot;
use crate::support::browser::{Browser, Page};
use crate::support::server::TestServer;
use crate::support::service::{KEY, Service, client};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

async fn sign_in(page: &Page, key: &str) {
    page.wait_for("document.querySelector('#login:not([hidden])') !== null", SOON, "the form").await;
    let key = json!(key);
    page.run(&format!(
        "document.getElementById('key').value = {key}; document.querySelector('#login form').requestSubmit()"
    ))
    .await;
}

/// Presses the button of that name.
async fn press(page: &Page, name: &str) {
    let button =
        format!("[...document.querySelectorAll('#page button')].find((b) => b.textContent === {})", json!(name));
    page.wait_for(&format!("{button} !== undefined"), SOON, name).await;
    page.run(&format!("{button}.click()")).await;
}

#[tokio::test]
async fn a_recording_is_begun_watched_stopped_and_played() {
    let (server, service, browser) = (TestServer::start().await, Service::start(&[]).await, Browser::launch().await);
    let media = format!("{}/fixtures/alice.webm", env!("CARGO_MANIFEST_DIR"));
    let _alice = Bot::start(&["feed", &server.room("standup"), &media, "--as", "<b>Alice</b>", "--loop"]);
    let page = browser.page(service.url()).await;
    sign_in(&page, "rb_wrong").await;
    page.wait_for("document.querySelector('#login .problem')?.textContent.includes('unknown')", SOON, "a refusal")
        .await;
    sign_in(&page, KEY).await;
    page.wait_for("document.querySelector('#page h1')?.textContent === 'Live'", SOON, "the first page").await;

    let fill = format!("document.querySelector('input[name=room_url]').value = {}", json!(server.room("standup")));
    page.run(&format!("{fill}; document.querySelector('select[name=layout]').value = 'grid'; document.querySelector('#page form').requestSubmit()")).await;
    page.wait_for("document.querySelector('#page .state')?.dataset.state === 'recording'", SOON, "it records").await;
    page.run("location.hash = '#/'").await;
    // What a participant is called is text.
    page.wait_for("document.querySelector('.live li')?.textContent.includes('<b>Alice</b>')", SOON, "who is there")
        .await;
    crate::support::pause(Duration::from_secs(2), "something is recorded").await;
    press(&page, "Stop").await;
    page.run("location.hash = '#/recordings'").await;
    page.wait_for("document.querySelector('#page tbody a') !== null", SOON, "the list").await;
    page.run("document.querySelector('#page tbody a').click()").await;
    page.wait_for(
        "document.querySelector('#page .state')?.dataset.state === 'complete'",
        Duration::from_secs(60),
        "its end",
    )
    .await;
    page.wait_for("document.querySelector('video')?.readyState >= 1", SOON, "the film").await;
    page.run("const film = document.querySelector('video'); film.muted = true; film.play()").await;
    page.wait_for("document.querySelector('video').currentTime > 0.5", SOON, "the film plays").await;
    let files: u32 = page.eval("document.querySelectorAll('#page tbody a[download]').length").await;
    assert!(files >= 5, "{files} files");
}

#[tokio::test]
async fn keys_are_made_and_revoked_and_a_session_ends() {
    let (service, browser) = (Service::start(&[]).await, Browser::launch().await);
    let page = browser.page(&format!("{}/#/keys", service.url())).await;
    sign_in(&page, KEY).await;
    page.wait_for("document.querySelector('#page h1')?.textContent === 'Keys'", SOON, "the page").await;
    page.run("document.querySelector('#page form input').value = 'calendar'; document.querySelector('#page form').requestSubmit()").await;
    page.wait_for("document.querySelector('.secret code') !== null", SOON, "the key").await;
    let key: String = page.eval("document.querySelector('.secret code').textContent").await;
    let list = |key: String| client().get(format!("{}/v1/recordings", service.url())).bearer_auth(key);
    assert_eq!(service.send(list(key.clone())).await.status, StatusCode::OK);
    page.run("window.confirm = () => true").await;
    press(&page, "Revoke").await;
    page.wait_for("document.querySelector('#page').textContent.includes('revoked')", SOON, "it is revoked").await;
    assert_eq!(service.send(list(key)).await.status, StatusCode::UNAUTHORIZED);
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
