//! Whoever read what the program prints has gone, as behind `roombot … 2>&1 | head`: it goes on, and its exit code says the same.

use crate::support::bot::Bot;
use crate::support::cargo::only;
use crate::support::recorder::{PATIENCE, begun};
use crate::support::server::TestServer;
use roombot::recording::manifest::{Manifest, Status};
use std::process::{Command, Stdio};

/// `roombot`, and nobody reads what it prints.
fn unread(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roombot"));
    let closed = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        Stdio::from(writer)
    };
    command.args(args).stdout(closed()).stderr(closed());
    command
}

#[test]
fn a_result_that_nobody_reads_is_none_the_worse() {
    let fails = ["show", "/nowhere"];
    for (args, code) in [(&["pipelines", "list"][..], 0), (&["pipelines", "check"], 0), (&["--help"], 0), (&fails, 2)] {
        assert_eq!(unread(args).status().expect("it starts").code(), Some(code), "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_whose_log_nobody_reads_records() {
    let server = TestServer::start().await;
    let room = server.room("unread");
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().to_str().expect("UTF-8");
    let recorder = Bot::as_it_is(unread(&["-vv", "record", &room, "--out", out]));
    begun(dir.path()).await;
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/alice.webm");
    let fed = Bot::start(&["feed", &room, fixture, "--as", "Alice", "--for", "5s"]).ended(PATIENCE).await;
    assert_eq!(fed.code, Some(0), "{}", fed.stderr);
    recorder.interrupt();
    assert_eq!(recorder.ended(PATIENCE).await.code, Some(0));
    let manifest = Manifest::load(&only(dir.path())).expect("a manifest");
    assert_eq!((manifest.status, manifest.tracks.len()), (Status::Complete, 2), "{manifest:#?}");
    assert!(manifest.tracks.iter().all(|track| track.finished && track.frames > 50), "{:#?}", manifest.tracks);
}
