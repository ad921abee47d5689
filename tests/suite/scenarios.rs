//! Scenarios from end to end: our recorder in meetings of stamped people, judged by what is in its files.

use super::support::bot::{self, Bot, Outcome};
use super::support::machine;
use super::support::server::TestServer;
use super::support::tape::Tape;
use crate::support::needs::{needed, tools};
use roombot::recording::timeline::Event;
use roombot::room::media::Source;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn library(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name)
}

/// It runs alone. What this machine was too busy for all the same says nothing of the recorder, so it is run again, but no more than twice:
/// a defect that shows now and then would end as a run that counts.
async fn check(scenarios: &[PathBuf], dir: &Path, more: &[&str]) -> Outcome {
    let _alone = machine::alone().await;
    let out = dir.join("check");
    let args = ["check", "--out", out.to_str().unwrap(), "--retry", "2"];
    let scenarios: Vec<&str> = scenarios.iter().map(|path| path.to_str().unwrap()).collect();
    Bot::start(&[&args[..], &scenarios, more].concat()).ended(Duration::from_secs(420)).await
}

fn green(outcome: &Outcome) {
    assert!(outcome.code == Some(0), "{}\n{}", outcome.stdout, outcome.stderr);
}

#[tokio::test]
async fn a_clean_meeting_is_green_and_leaves_reports_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (junit, json, html) = (path("report.xml"), path("report.json"), path("report.html"));
    let reports = ["--junit", &junit, "--json", &json, "--html", &html];
    let outcome = check(&[library("clean.toml")], dir.path(), &reports).await;
    green(&outcome);
    let (xml, page) = (std::fs::read_to_string(&junit).unwrap(), std::fs::read_to_string(&html).unwrap());
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert!(
        xml.contains("<testsuite name=\"Two people, clean (seed 1)\"") && xml.contains("alice: av_p95_ms"),
        "{xml}"
    );
    assert!(page.contains("<svg") && !page.contains("http://") && !page.contains("<script"), "{page}");
    assert_eq!(json["runs"][0]["seed"], 1);
    assert!(!xml.contains("<failure") && !dir.path().join("check/clean").exists());
}

#[tokio::test]
async fn a_late_comer_and_a_screen_are_where_they_belong_and_so_is_the_film() {
    let dir = tempfile::tempdir().unwrap();
    green(&check(&[library("three-people-and-a-screen.toml")], dir.path(), &[]).await);
}

/// Each of them found a defect once.
#[tokio::test]
async fn what_is_lost_in_a_cut_and_in_an_ice_restart_is_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    green(&check(&[library("cut.toml"), library("ice-restart.toml")], dir.path(), &[]).await);
}

#[tokio::test]
async fn a_browser_takes_part_and_leaves_nothing_behind() {
    needed!(tools(&["chromium"]));
    let dir = tempfile::tempdir().unwrap();
    green(&check(&[library("browser.toml")], dir.path(), &[]).await);
    assert!(!dir.path().join("check/browser").exists());
}

#[tokio::test]
async fn a_browser_mutes_and_hides_and_shares_what_is_stamped() {
    needed!(tools(&["chromium"]));
    let dir = tempfile::tempdir().unwrap();
    green(&check(&[library("browser-acts.toml")], dir.path(), &[]).await);
}

/// What is expected of a delay, in the library's scenario and in one that is the same but for 300 ms that its network adds all the time.
#[tokio::test]
async fn a_longer_delay_turns_its_own_expectation_red() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (json, html, slow) = (path("report.json"), path("report.html"), dir.path().join("slow.toml"));
    let usual = "delay_p95_ms <= 250 during 2s..6s";
    let scenario = format!(
        "name = 'Slow'\nduration = '6s'\nsize = '160x90'\nkilobits = 100\nexpect = ['participants == 1', 'wrong == 0', \
         'dropped == 0', 'out_of_order == 0', 'freezes == 0', 'sound_gaps == 0', 'av_p95_ms <= 45', '{usual}', \
         'delay_p50_ms >= 300 during 2s..6s', 'warn: delay_p95_ms <= 100']\n[[trouble]]\ndelay_ms = 300\n[[people]]\nname = 'alice'\n"
    );
    std::fs::write(&slow, scenario).unwrap();
    let reports = ["--json", &json, "--html", &html];
    let outcome = check(&[library("delay.toml"), slow], dir.path(), &reports).await;
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let run = |index: usize| &report["runs"][index]["report"];
    assert_eq!(run(0)["verdict"], "pass", "{}", run(0));
    let of = |verdict: &str| {
        let all = run(1)["targets"][0]["outcomes"].as_array().unwrap();
        let some = all.iter().filter(|outcome| outcome["verdict"] == verdict);
        some.map(|outcome| outcome["expected"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((of("fail"), of("warn")), (vec![usual], vec!["warn: delay_p95_ms <= 100"]), "{}", run(1));
    let delay = &run(1)["targets"][0]["participants"][0]["delay"];
    assert!(delay["basis"] == "source" && delay["points"].as_array().unwrap().len() >= 50, "{delay}");
    let page = std::fs::read_to_string(&html).unwrap();
    assert_eq!(page.matches("aria-label=\"End-to-end delay, ms\"").count(), 3, "{page}");
}

#[tokio::test]
async fn who_is_stamped_on_the_fly_is_recorded_whole() {
    let server = TestServer::start().await;
    let room = server.room("stamped");
    let tape = Tape::start(&room);
    let fed = Bot::start(&["feed", &room, "--as", "Eve", "--stamp", "eve,320x180@15", "--for", "9s"]);
    tape.until("Eve", |e| matches!(e.event, Event::TrackOn { source: Source::Camera, .. }).then_some(())).await;
    // A judge is in the room meanwhile, and finds the same.
    let live = ["verify", &room, "--seconds", "4", "--json", "--expect", "eve.frames >= 5", "--expect", "wrong == 0"];
    let steps = ["signalling_ms", "ice_ms", "dtls_ms", "first_packet_ms"].map(|step| format!("eve.{step} <= 20 s"));
    let steps = steps.iter().flat_map(|step| ["--expect", step]);
    // By the reports of a sender on this machine; by a clock that somebody says is elsewhere it is as much longer.
    let delay = ["--expect", "eve.delay_p50_ms <= 5 s", "--expect", "eve.delay_p95_ms > 0"];
    let steps = steps.chain(delay);
    let live = bot::run(&live.into_iter().chain(steps).collect::<Vec<_>>()).await;
    green(&live);
    let report: serde_json::Value = serde_json::from_str(&live.stdout).unwrap();
    let judged = &report["targets"][0];
    assert_eq!((&judged["target"], &judged["participants"][0]["who"]), (&room.as_str().into(), &"eve".into()));
    let delay = &judged["participants"][0]["delay"];
    assert!(delay["basis"] == "sender-reports" && delay["p50_ms"].as_f64().unwrap() < 5000.0, "{delay}");
    let fed = fed.ended(Duration::from_secs(40)).await;
    assert_eq!(fed.code, Some(0), "{fed:?}");
    let recorded = tape.finish().await;
    let expected = ["eve.frames >= 15", "eve.marks >= 4", "dropped == 0", "out_of_order == 0", "freezes == 0"];
    let more = ["wrong == 0", "marks_garbled == 0", "sound_gaps == 0", "av_p95_ms <= 45"];
    let expected = expected.iter().chain(&more).flat_map(|text| ["--expect", text]);
    let args: Vec<&str> = ["verify", recorded.folder.to_str().unwrap()].into_iter().chain(expected).collect();
    green(&bot::run(&args).await);
}

#[tokio::test]
async fn what_was_not_to_be_is_red_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("hope.toml");
    let text = "name = 'Hope'\nduration = '3s'\nsize = '160x90'\nkilobits = 100\n\
        expect = ['participants == 2', 'alice.frames >= 20', 'warn: fps >= 99']\n[[people]]\nname = 'alice'\n";
    std::fs::write(&scenario, text).unwrap();
    let junit = dir.path().join("j.xml");
    let scenarios = [scenario.clone()];
    let outcome = check(&scenarios, dir.path(), &["--junit", junit.to_str().unwrap(), "--repeat", "1"]).await;
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    let xml = std::fs::read_to_string(&junit).unwrap();
    assert_eq!(xml.matches("<failure").count(), 1, "{xml}");
    let kept: Vec<_> = std::fs::read_dir(dir.path().join("check/hope")).unwrap().flatten().collect();
    assert!(kept.iter().any(|entry| entry.path().join("manifest.json").is_file()), "{kept:?}");
    std::fs::write(&scenario, text.replace("3s", "never")).unwrap();
    let outcome = check(&scenarios, dir.path(), &[]).await;
    assert!(outcome.code == Some(2) && outcome.stderr.contains("never"), "{outcome:?}");
}
