//! The dashboard in a browser: signed in, its buttons pressed, its pages looked at.

use super::browser::{Browser, Page};
use super::service::Service;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// How long a page may take.
pub const SOON: Duration = Duration::from_secs(20);

/// Notes in `problems` what goes wrong in a page.
pub const PROBLEMS: &str = "window.problems = [];
    addEventListener('error', (event) => problems.push(String(event.message)));
    addEventListener('unhandledrejection', (event) => problems.push(String(event.reason)));
    addEventListener('securitypolicyviolation', (event) => problems.push(`${event.violatedDirective} ${event.blockedURI}`));";

/// Fills in the form that asks for a key.
pub async fn sign_in(page: &Page, key: &str) {
    page.wait_for("document.querySelector('#login:not([hidden])') !== null", SOON, "the form").await;
    let key = json!(key);
    page.run(&format!(
        "document.getElementById('key').value = {key}; document.querySelector('#login form').requestSubmit()"
    ))
    .await;
}

/// Opens a page of the dashboard with this key, and waits for its heading.
pub async fn open(browser: &Browser, service: &Service, key: &str, (path, heading): (&str, &str)) -> Page {
    let page = browser.page_with(&format!("{}/#{path}", service.url()), PROBLEMS).await;
    sign_in(&page, key).await;
    shows(&page, heading).await;
    page
}

/// Goes to another page.
pub async fn go(page: &Page, path: &str, heading: &str) {
    page.run(&format!("location.hash = {}", json!(format!("#{path}")))).await;
    shows(page, heading).await;
}

async fn shows(page: &Page, heading: &str) {
    let is = format!("document.querySelector('#page h1')?.textContent === {}", json!(heading));
    page.wait_for(&is, SOON, heading).await;
}

/// Waits until the page says this.
pub async fn says(page: &Page, text: &str) {
    let is = format!("document.querySelector('#page').innerText.includes({})", json!(text));
    page.wait_for(&is, SOON, text).await;
}

/// Presses the button of that name.
pub async fn press(page: &Page, name: &str) {
    let button =
        format!("[...document.querySelectorAll('#page button')].find((b) => b.textContent === {})", json!(name));
    page.wait_for(&format!("{button} !== undefined"), SOON, name).await;
    page.run(&format!("{button}.click()")).await;
}

/// A picture of the page in target/pictures, which is no wider than its window, and has had no problem.
pub async fn looks(page: &Page, name: &str) {
    for (kind, width, height) in [("desk", 1280, 800), ("phone", 390, 800)] {
        page.resize(width, height).await;
        let wide: i64 = page.eval("document.documentElement.scrollWidth").await;
        assert!(wide <= width, "{name}: the page is {wide} pixels wide, its window {width}");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pictures");
        std::fs::create_dir_all(&folder).expect("a folder");
        page.screenshot(&folder.join(format!("dashboard-{name}-{kind}.png"))).await;
    }
    page.resize(1280, 800).await;
    let problems: Vec<String> = page.eval("problems").await;
    assert_eq!(problems, Vec::<String>::new(), "{name}");
}
