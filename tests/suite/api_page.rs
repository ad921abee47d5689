//! The reference of the API in Chromium: every operation of the description, what it takes, and a request for a shell.

use crate::support::browser::Browser;
use crate::support::needs::{needed, tools};
use crate::support::service::Service;
use std::path::Path;
use std::time::Duration;

/// Two cores that are shared with other tests: what takes a second may take many.
const PATIENCE: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_api_is_described() {
    needed!(tools(&["chromium"]));
    let service = Service::start(&[]).await;
    let described = service.get("/openapi.json").await.json();
    let methods = described["paths"].as_object().expect("paths").values();
    let operations: usize = methods
        .map(|path| {
            let path = path.as_object().expect("methods");
            path.keys().filter(|key| ["get", "post", "put", "patch", "delete"].contains(&key.as_str())).count()
        })
        .sum();
    let browser = Browser::launch().await;
    let page = browser.page(&format!("{}/api#post--v1-recordings", service.url())).await;
    let shown = format!("document.querySelectorAll('.operation').length === {operations}");
    page.wait_for(&shown, PATIENCE, &format!("{operations} operations")).await;
    // The one that the address names is open, with its fields and a request.
    let words: String = page.eval("document.getElementById('post--v1-recordings').innerText").await;
    for part in ["room_url required", "max_duration_s", "idempotency-key", "curl -X POST", "\"room_url\"", "422"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pictures");
    std::fs::create_dir_all(&folder).expect("a folder");
    page.screenshot(&folder.join("api.png")).await;
    // Every other one can be opened, and nothing in it is a reference that leads nowhere.
    page.run("for (const one of document.querySelectorAll('.operation')) one.open = true").await;
    let open = "[...document.querySelectorAll('.operation')].every((one) => one.children.length === 2)";
    page.wait_for(open, PATIENCE, "all are open").await;
    let text: String = page.eval("document.body.innerText").await;
    assert!(!text.contains("undefined") && !text.contains("[object") && !text.contains("$ref"), "{text}");
    let type_word = "(word) => { const field = document.querySelector('.filter'); field.value = word; field.dispatchEvent(new Event('input')); }";
    page.run(&format!("({type_word})('post /pause')")).await;
    let left: Vec<String> = page
        .eval(
            "[...document.querySelectorAll('.operation')].filter((one) => one.checkVisibility()).map((one) => one.id)",
        )
        .await;
    assert_eq!(left, ["post--v1-recordings-id-pause"]);
    page.run(&format!("({type_word})('no such words')")).await;
    let none: bool = page.eval("document.querySelector('#page > .empty').checkVisibility()").await;
    assert!(none);
}
