//! `roombot demo` on a terminal: it ends with the service's dashboard on its recording, signed in, until Ctrl-C.

use crate::support::browser::Browser;
use crate::support::dashboard::{PROBLEMS, SOON, looks};
use crate::support::needs::{needed, tools};
use crate::support::service::client;
use crate::support::within;
use reqwest::StatusCode;
use serde_json::json;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The terminal; closed with its value, which ends what runs on it.
struct Terminal(Child);

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A demo on a terminal of its own.
struct Demo {
    script: Terminal,
    reader: std::thread::JoinHandle<String>,
    /// The address that it opens, and the key that it prints.
    told: UnboundedReceiver<(String, String)>,
}

impl Demo {
    fn start(data: &std::path::Path) -> Demo {
        let program = env!("CARGO_BIN_EXE_roombot");
        let line = format!("exec {program} demo --for 4s --no-film --listen 127.0.0.1:0 --data {}", data.display());
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        script.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = script.spawn().expect("it starts");
        let mut output = script.stdout.take().expect("a pipe");
        let (tell, told) = unbounded_channel();
        let reader = std::thread::spawn(move || {
            let (mut all, mut piece) = (String::new(), [0; 4096]);
            while let Ok(read @ 1..) = output.read(&mut piece) {
                all.push_str(&String::from_utf8_lossy(&piece[..read]));
                let between = |before: &str, after: &str| {
                    let (_, rest) = all.split_once(before)?;
                    rest.split_once(after).map(|(text, _)| text.to_owned())
                };
                if let Some(both) = between("Watch it at ", " until Ctrl-C").zip(between("with the key ", "\r\n")) {
                    let _ = tell.send(both);
                }
            }
            all
        });
        Demo { script: Terminal(script), reader, told }
    }

    /// Presses Ctrl-C; returns the exit code and everything that was printed.
    async fn stop(mut self) -> (Option<i32>, String) {
        let mut keys = self.script.0.stdin.take().expect("a pipe");
        let _ = keys.write_all(b"\x03");
        let ended = tokio::task::spawn_blocking(move || self.script.0.wait());
        let ended = within(20, "Ctrl-C ends it", ended).await.expect("joined").expect("ended");
        (ended.code(), self.reader.join().expect("read"))
    }
}

#[tokio::test]
async fn it_ends_with_its_recording_in_the_dashboard_until_it_is_stopped() {
    needed!(tools(&["script", "chromium"]));
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo = Demo::start(folder.path());
    let Ok(Some((link, key))) = tokio::time::timeout(Duration::from_secs(90), demo.told.recv()).await else {
        panic!("no address: {}", demo.stop().await.1);
    };
    let (address, code) = link.split_once("?code=").expect("a code");
    let url = address.split("/#").next().expect("an address");
    let browser = Browser::launch().await;
    let page = browser.page_with(&link, PROBLEMS).await;
    page.wait_for("document.querySelector('#page .title .state')?.dataset.state === 'complete'", SOON, "its page")
        .await;
    let files: u32 = page.eval("document.querySelectorAll('#page tbody a[download]').length").await;
    // On a busy machine nobody comes in time.
    assert!(files >= 2, "{files} files");
    assert_eq!(page.eval::<String>("location.href").await, address, "the code does not stay in the address");
    looks(&page, "demo").await;
    // The code is used up; who has it later has nothing.
    let begin = |body: serde_json::Value| client().post(format!("{url}/v1/session")).json(&body).send();
    let again = begin(json!({ "code": code })).await.expect("an answer");
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(begin(json!({ "key": key })).await.expect("an answer").status(), StatusCode::OK);
    assert_eq!(begin(json!({})).await.expect("an answer").status(), StatusCode::UNPROCESSABLE_ENTITY);
    drop((page, browser));
    let (code, all) = demo.stop().await;
    assert_eq!(code, Some(0), "{all}");
    assert!(client().get(url).send().await.is_err(), "the service has ended");
    let kept = std::fs::read_to_string(folder.path().join("admin-key")).expect("the key is kept");
    assert_eq!(kept.trim(), key);
}
