//! What operators get: completions and manual pages, JSON lines with ids, a configuration that is read again, the version; units, alerts and
//! the board of packaging/, held against the program.

use crate::support::needs::{needed, tools};
use crate::support::service::{KEY, client, listening, until_it_holds};
use crate::support::within;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use tempfile::TempDir;

fn roombot() -> Command {
    Command::new(env!("CARGO_BIN_EXE_roombot"))
}

fn run(arguments: &[&str]) -> Output {
    roombot().args(arguments).output().expect("it runs")
}

fn packaging(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The verbs that `roombot --help` lists.
fn verbs() -> Vec<String> {
    let help = String::from_utf8(run(&["--help"]).stdout).expect("UTF-8");
    let list = help.split("Commands:\n").nth(1).expect("a list of commands");
    let names = list.lines().take_while(|line| line.starts_with(' ')).filter(|line| !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help").map(str::to_owned).collect()
}

#[test]
fn there_are_completions_and_pages_for_every_verb() {
    let verbs = verbs();
    assert!(verbs.len() > 10, "{verbs:?}");
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        let script = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success() && script.contains("until-empty"), "{shell}");
        verbs.iter().for_each(|verb| assert!(script.contains(verb.as_str()), "{shell} does not know {verb}"));
        if shell == "bash" {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("roombot");
            std::fs::write(&file, &script).expect("written");
            let completed = "source \"$0\"; COMP_WORDS=(roombot rec); COMP_CWORD=1; _roombot roombot rec roombot; echo \"${COMPREPLY[@]}\"";
            let output = Command::new("bash").arg("-c").arg(completed).arg(&file).output().expect("bash");
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "record", "{output:?}");
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().join("man1");
    assert!(run(&["man", "--to", pages.to_str().expect("UTF-8")]).status.success());
    for verb in &verbs {
        let page = text(&pages.join(format!("roombot-{verb}.1")));
        assert!(page.contains(".SH SYNOPSIS") && page.contains("log\\-format"), "{verb}: {page}");
    }
    let served = text(&pages.join("roombot-serve.1"));
    assert!(
        served.contains(".nf\n  roombot serve ") && served.contains(".SH NOTES"),
        "examples are not wrapped: {served}"
    );
    assert!(text(&pages.join("roombot.1")).contains("roombot\\-serve"));
    assert!(pages.join("roombot-ctl-start.1").is_file(), "commands of commands have pages too");
    assert!(String::from_utf8_lossy(&run(&["man"]).stdout).contains(".TH"));
}

/// A service whose messages are kept. Killed with its value.
pub struct Kept {
    folder: TempDir,
    child: Child,
    url: String,
}

impl Kept {
    async fn start(configuration: &str) -> Kept {
        Kept::start_with(configuration, &[]).await
    }

    /// One with these variables.
    pub async fn start_with(configuration: &str, variables: &[(&str, &str)]) -> Kept {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("roombot.toml");
        std::fs::write(&config, configuration).expect("written");
        let mut command = roombot();
        command.args(["serve", "--json", "--listen", "127.0.0.1:0"]).arg("--config").arg(&config);
        command.arg("--data").arg(folder.path().join("data"));
        command.envs(variables.iter().copied());
        command.env("ROOMBOT_LOG_FIELDS", "host=a");
        command.stderr(File::create(folder.path().join("log")).expect("a file"));
        let (child, url) = listening(command).await;
        Kept { folder, child, url }
    }

    /// Its log, each line of which must be JSON.
    fn log(&self) -> Vec<Value> {
        lines(&text(&self.folder.path().join("log")))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> (u16, String) {
        let answer = request.bearer_auth(KEY).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }
    pub async fn get(&self, path: &str) -> String {
        self.send(client().get(format!("{}{path}", self.url))).await.1
    }
    pub async fn post(&self, path: &str, body: Value) -> Value {
        let (_, text) = self.send(client().post(format!("{}{path}", self.url)).json(&body)).await;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
    }

    /// SIGTERM, and its end.
    #[cfg(feature = "otlp")]
    pub async fn stop(&mut self) {
        self.signal(rustix::process::Signal::TERM);
        let ended = async {
            while self.child.try_wait().expect("a process").is_none() {
                crate::support::moment().await;
            }
        };
        within(20, "SIGTERM ends it", ended).await;
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
        rustix::process::kill_process(pid, signal).expect("it runs");
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(log: &str) -> Vec<Value> {
    let parsed = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}\n{log}"));
    log.lines().map(parsed).collect()
}

#[tokio::test]
async fn lines_of_the_log_are_json_with_ids() {
    let service = Kept::start("log_format = \"json\"\nlog = \"off,roombot=debug\"\n").await;
    let answer = client().get(format!("{}/healthz", service.url)).header("x-request-id", "mine-1").send().await;
    assert!(answer.expect("an answer").status().is_success());
    let recording = service.post("/v1/recordings", json!({ "room_url": "ws://127.0.0.1:9/rooms/a" })).await;
    let id = recording["id"].as_str().expect("an id").to_owned();
    // Nobody listens there: the recorder says so.
    let file = service.folder.path().join("data/logs").join(format!("{id}.log"));
    until_it_holds("the recorder says something", 20, || {
        std::fs::read_to_string(&file).is_ok_and(|log| log.ends_with('\n'))
    })
    .await;
    service.post(&format!("/v1/recordings/{id}/cancel"), json!({})).await;
    let ended = async {
        loop {
            let recording: Value =
                serde_json::from_str(&service.get(&format!("/v1/recordings/{id}")).await).expect("JSON");
            if ["cancelled", "failed"].contains(&recording["state"].as_str().unwrap_or_default()) {
                return;
            }
            crate::support::moment().await;
        }
    };
    within(60, "the recording ends", ended).await;
    let log = service.log();
    let request = log.iter().find(|line| line["request_id"] == "mine-1");
    let request = request.unwrap_or_else(|| panic!("the request is not logged: {log:#?}"));
    assert_eq!(
        (&request["path"], &request["status"], &request["host"], &request["level"]),
        (&json!("/healthz"), &json!(200), &json!("a"), &json!("DEBUG"))
    );
    assert!(log.iter().any(|line| line["recording_id"] == json!(id)), "{log:#?}");
    // The recorder's own lines.
    let recorder = lines(&text(&file));
    assert!(!recorder.is_empty() && recorder.iter().all(|line| line["recording_id"] == json!(id)), "{recorder:#?}");
    assert!(recorder.iter().all(|line| line["host"] == "a" && line["timestamp"].is_string()), "{recorder:#?}");
}

#[test]
fn an_error_of_a_verb_is_a_line_too() {
    let output = run(&["--log-format", "json", "show", "/nowhere"]);
    let log = lines(&String::from_utf8(output.stderr).expect("UTF-8"));
    assert_eq!((output.status.code(), log.len(), &log[0]["level"]), (Some(2), 1, &json!("ERROR")));
    assert!(log[0]["message"].as_str().is_some_and(|message| message.contains("/nowhere")), "{log:?}");
}

#[tokio::test]
async fn the_configuration_is_read_again_on_sighup() {
    let service = Kept::start("log_format = \"json\"\ncapacity = 2\n").await;
    let version: Value = serde_json::from_str(&service.get("/version").await).expect("JSON");
    assert_eq!((&version["version"], &version["api"]), (&json!(env!("CARGO_PKG_VERSION")), &json!("v1")));
    let config = service.folder.path().join("roombot.toml");
    let told = |word: &str| service.log().iter().any(|line| line["message"].as_str().is_some_and(|m| m.contains(word)));
    let changed = "log_format = \"json\"\nlog = \"off,roombot=debug\"\ncapacity = 3.5\nretention_days = 3\nupload_retry_for = \"9m\"\n\
                   requests_per_minute = 3\n";
    std::fs::write(&config, changed).expect("written");
    service.signal(rustix::process::Signal::HUP);
    until_it_holds("it is read again", 10, || told("restart the service for what changed in upload_retry_for")).await;
    assert!(service.get("/metrics").await.contains("roombot_worker_capacity 3.5"));
    until_it_holds("the new filter holds", 10, || service.log().iter().any(|line| line["level"] == "DEBUG")).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(service.send(client().get(format!("{}/v1/keys", service.url))).await.0);
    }
    assert_eq!(answers, [200, 200, 200, 429], "the limit holds at once");
    // What is wrong changes nothing, and does not end the service.
    std::fs::write(&config, "capacity = 0\n").expect("written");
    service.signal(rustix::process::Signal::HUP);
    until_it_holds("the mistake is told", 10, || told("stays as it was: capacity")).await;
    assert!(service.get("/metrics").await.contains("roombot_worker_capacity 3.5"));
}

/// The names of our metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("roombot_")).map(str::to_owned).collect()
}

#[tokio::test]
async fn alerts_and_the_board_name_metrics_that_exist() {
    let store = tempfile::tempdir().expect("a folder");
    let service = Kept::start(&format!("[store]\nurl = \"file://{}\"\n", store.path().display())).await;
    let later = json!({ "room_url": "ws://127.0.0.1:9/rooms/a", "start_at": "2099-01-01T00:00:00Z" });
    let recording = service.post("/v1/recordings", later).await;
    service.post(&format!("/v1/recordings/{}/cancel", recording["id"].as_str().expect("an id")), json!({})).await;
    let answer = async {
        loop {
            let answer = service.get("/metrics").await;
            if answer.contains("roombot_recordings_total") {
                return answer;
            }
            crate::support::moment().await;
        }
    };
    let answer = within(10, "a recording has ended", answer).await;
    let known = metrics_in(&answer.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n"));
    for file in ["monitoring/alerts.yaml", "monitoring/alerts.test.yaml", "monitoring/grafana.json"] {
        let named = metrics_in(&text(&packaging(file)));
        assert!(!named.is_empty(), "{file}");
        let unknown: Vec<&String> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}, /metrics has {known:?}");
    }
    let board: Value = serde_json::from_str(&text(&packaging("monitoring/grafana.json"))).expect("JSON");
    let ids: BTreeSet<i64> =
        board["panels"].as_array().expect("panels").iter().filter_map(|p| p["id"].as_i64()).collect();
    assert_eq!(Some(ids.len()), board["panels"].as_array().map(Vec::len), "each panel has an id of its own");
}

#[test]
fn the_units_are_valid_and_hardened() {
    needed!(tools(&["systemd-analyze"]));
    let folder = tempfile::tempdir().expect("a folder");
    for unit in ["roombot.service", "roombot-worker.service"] {
        let shipped = text(&packaging("systemd").join(unit));
        assert!(shipped.contains("\nKillMode=process\n"), "{unit}: recorders must go on");
        // The program is not installed here.
        let ours = shipped.replace("/usr/bin/roombot", env!("CARGO_BIN_EXE_roombot"));
        let file = folder.path().join(unit);
        std::fs::write(&file, ours).expect("written");
        let output = Command::new("systemd-analyze").args(["--man=no", "verify"]).arg(&file).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !said.contains(unit), "{said}");
        let judged =
            Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=25"]).arg(&file).output();
        let judged = judged.expect("it runs");
        assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
    }
}

#[test]
fn the_configuration_of_the_package_is_valid() {
    for file in ["roombot.toml", "worker.toml"] {
        let config = packaging(file);
        let output = run(&["serve", "--config", config.to_str().expect("UTF-8"), "--check-config"]);
        assert!(output.status.success(), "{file}: {output:?}");
    }
    let config = packaging("roombot.toml");
    // What is commented out, too.
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "s3cret").expect("written");
    let shown = text(&config).replace("/etc/roombot/s3-secret", &secret.display().to_string());
    let keys = shown.lines().filter(|line| line.contains(" = ") || line.contains('['));
    let keys = keys.filter(|line| !line.starts_with("# /etc") && !line.contains("admin_key"));
    let keys: Vec<&str> = keys.map(|line| line.trim_start_matches("# ")).collect();
    let all = folder.path().join("all.toml");
    std::fs::write(&all, keys.join("\n")).expect("written");
    let output = run(&["serve", "--config", all.to_str().expect("UTF-8"), "--print-config"]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && shown.contains("s3://meetings/2026"), "{output:?}");
}
