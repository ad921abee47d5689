//! The dashboard's pages of schedules and of bots: made, looked at, changed, deleted.

use crate::support::browser::{Browser, Page};
use crate::support::dashboard::{SOON, looks, open, press, says};
use crate::support::needs::{needed, tools};
use crate::support::server::TestServer;
use crate::support::service::{KEY, Service};
use serde_json::{Value, json};

/// Fills the fields of the page's form, in their order, and sends it.
async fn fill(page: &Page, values: &[&str]) {
    let values = json!(values);
    page.run(&format!(
        "const fields = [...document.querySelectorAll('#page form input, #page form select')];
         {values}.forEach((value, at) => {{
           fields[at].value = value;
           fields[at].dispatchEvent(new Event('change'));
         }});
         document.querySelector('#page form').requestSubmit();"
    ))
    .await;
}

/// Waits for the text of the first row's badge.
async fn state(page: &Page, state: &str) {
    let is = format!("document.querySelector('#page tbody .state')?.textContent === {}", json!(state));
    page.wait_for(&is, SOON, state).await;
}

#[tokio::test]
async fn a_schedule_is_made_disabled_and_deleted() {
    needed!(tools(&["chromium"]));
    let (service, browser) = (Service::start(&[]).await, Browser::launch().await);
    let page = open(&browser, &service, KEY, ("/schedules", "Schedules")).await;
    says(&page, "There is no schedule.").await;
    fill(&page, &["<b>Standup</b>", "ws://127.0.0.1:9/rooms/standup", "30 25 * * *", "UTC", "15", "grid"]).await;
    page.wait_for("document.querySelector('#page form .problem:not([hidden])') !== null", SOON, "a refusal").await;
    // The form keeps what was typed.
    page.run("document.querySelectorAll('#page form input')[2].value = '30 9 1 1 *'").await;
    page.run("document.querySelector('#page form').requestSubmit()").await;
    state(&page, "enabled").await;
    says(&page, "<b>Standup</b>").await;
    let made = service.get("/v1/schedules").await.json();
    let request = &made["schedules"][0]["request"];
    assert_eq!(
        (&request["duration_s"], &request["recording"]["outputs"]["film"]["layout"]),
        (&json!(900), &json!("grid"))
    );
    looks(&page, "schedules").await;
    press(&page, "Disable").await;
    state(&page, "disabled").await;
    assert_eq!(service.get("/v1/schedules").await.json()["schedules"][0].get("next_at"), None);
    press(&page, "Enable").await;
    state(&page, "enabled").await;
    page.run("window.confirm = () => true").await;
    press(&page, "Delete").await;
    says(&page, "There is no schedule.").await;
    assert_eq!(service.get("/v1/schedules").await.json()["schedules"], json!([]));
}

#[tokio::test]
async fn a_bot_is_started_stopped_and_forgotten() {
    needed!(tools(&["chromium"]));
    let (server, service, browser) = (TestServer::start().await, Service::start(&[]).await, Browser::launch().await);
    let page = open(&browser, &service, KEY, ("/bots", "Bots")).await;
    says(&page, "There is no bot.").await;
    let room = server.room("standup");
    fill(&page, &["filter", &room, "none-such", "Smith"]).await;
    page.wait_for("document.querySelector('#page form .problem:not([hidden])') !== null", SOON, "a refusal").await;
    fill(&page, &["echo", &room, "", "Smith"]).await;
    page.wait_for("document.querySelector('#page tbody .state')?.textContent === 'running'", SOON, "it is in the room")
        .await;
    says(&page, "Smith").await;
    looks(&page, "bots").await;
    press(&page, "Stop").await;
    state(&page, "ended").await;
    let bots = service.get("/v1/bots").await.json();
    assert_eq!((&bots["bots"][0]["state"], &bots["bots"][0]["request"]["kind"]), (&json!("ended"), &json!("echo")));
    press(&page, "Log").await;
    page.wait_for("document.querySelector('#page pre:not([hidden])')?.textContent.length > 0", SOON, "its log").await;
    press(&page, "Forget").await;
    says(&page, "There is no bot.").await;
    assert_eq!(service.get("/v1/bots").await.json()["bots"], Value::Array(Vec::new()));
}
