//! The service's API as it describes itself, tried by schemathesis: no address fails, and each answers only what its description says.

use crate::support::foreign::python;
use crate::support::needs::needed;
use crate::support::service::{KEY, Service};
use crate::support::{machine, within};
use std::process::Stdio;
use tokio::process::Command;

/// What is not tried: streams without an end, what depends on the machine's load, and what would send requests to other machines.
const LEFT_OUT: &str = "/events$|^/readyz$|^/v1/webhooks";

#[tokio::test]
async fn the_api_answers_what_its_description_says() {
    let folder = needed!(tokio::task::spawn_blocking(|| python("schemathesis")).await.expect("it ran"));
    let _share = machine::share().await;
    let service = Service::start(&["--capacity", "0.1"]).await;
    let out = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(folder.join("venv/bin/schemathesis"));
    command.args(["run", &format!("{}/openapi.json", service.url())]);
    command.args(["--header", &format!("authorization: Bearer {KEY}"), "--phases", "examples,coverage,fuzzing"]);
    command.args([
        "--checks",
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
    ]);
    command.args([
        "--max-examples",
        "6",
        "--seed",
        "1",
        "--no-shrink",
        "--continue-on-failure",
        "--request-timeout",
        "20",
    ]);
    command.args(["--exclude-path-regex", LEFT_OUT, "--suppress-health-check", "all", "--output-truncate", "false"]);
    command.current_dir(out.path()).env("NO_COLOR", "1").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = within(300, "schemathesis has tried everything", command.output()).await.expect("it starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("passed"), "nothing was tried: {stdout}");
}
