//! Scenarios from end to end: our recorder in meetings of stamped people, judged by what is in its files.

use super::support::bot::{Bot, Outcome};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn library(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name)
}

async fn check(scenario: &Path, dir: &Path, more: &[&str]) -> Outcome {
    let out = dir.join("check");
    let args = ["check", scenario.to_str().unwrap(), "--out", out.to_str().unwrap()];
    Bot::start(&[&args[..], more].concat()).ended(Duration::from_secs(90)).await
}

/// What this machine was too busy for says nothing of the recorder.
fn is_busy(outcome: &Outcome) -> bool {
    outcome.code == Some(6) && outcome.stderr.contains("too busy")
}

fn green(outcome: &Outcome) {
    assert!(outcome.code == Some(0) || is_busy(outcome), "{}\n{}", outcome.stdout, outcome.stderr);
}

#[tokio::test]
async fn a_clean_meeting_is_green_and_leaves_reports_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (junit, json, html) = (path("report.xml"), path("report.json"), path("report.html"));
    let reports = ["--junit", &junit, "--json", &json, "--html", &html];
    let outcome = check(&library("clean.toml"), dir.path(), &reports).await;
    green(&outcome);
    let (xml, page) = (std::fs::read_to_string(&junit).unwrap(), std::fs::read_to_string(&html).unwrap());
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert!(
        xml.contains("<testsuite name=\"Two people, clean (seed 1)\"") && xml.contains("alice: av_p95_ms"),
        "{xml}"
    );
    assert!(page.contains("<svg") && !page.contains("http://") && !page.contains("<script"), "{page}");
    assert_eq!(json["runs"][0]["seed"], 1);
    if outcome.code == Some(0) {
        assert!(!xml.contains("<failure") && !dir.path().join("check/clean").exists());
    }
}

#[tokio::test]
async fn a_late_comer_and_a_screen_are_where_they_belong_and_so_is_the_film() {
    let dir = tempfile::tempdir().unwrap();
    green(&check(&library("three-people-and-a-screen.toml"), dir.path(), &[]).await);
}

#[tokio::test]
async fn what_was_not_to_be_is_red_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("hope.toml");
    let text = "name = 'Hope'\nduration = '3s'\nsize = '160x90'\nkilobits = 100\n\
        expect = ['participants == 2', 'alice.frames >= 20', 'warn: fps >= 99']\n[[people]]\nname = 'alice'\n";
    std::fs::write(&scenario, text).unwrap();
    let junit = dir.path().join("j.xml");
    let outcome = check(&scenario, dir.path(), &["--junit", junit.to_str().unwrap(), "--repeat", "1"]).await;
    assert!(outcome.code == Some(5) || is_busy(&outcome), "{outcome:?}");
    let xml = std::fs::read_to_string(&junit).unwrap();
    assert!(xml.matches("<failure").count() == 1 || is_busy(&outcome), "{xml}");
    let kept: Vec<_> = std::fs::read_dir(dir.path().join("check/hope")).unwrap().flatten().collect();
    assert!(kept.iter().any(|entry| entry.path().join("manifest.json").is_file()), "{kept:?}");
    std::fs::write(&scenario, text.replace("3s", "never")).unwrap();
    let outcome = check(&scenario, dir.path(), &[]).await;
    assert!(outcome.code == Some(2) && outcome.stderr.contains("never"), "{outcome:?}");
}
