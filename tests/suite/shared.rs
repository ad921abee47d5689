//! Files that everybody in a room is offered: who has them offers them on when their sharer has left, and to those who come later.

use crate::support::cargo::{below, file, received, sha256};
use crate::support::studio::{Studio, finish};
use crate::support::{pause, within};
use roombot::client::event::RoomEvent;
use roombot::client::{Client, ClientConfig, FileSend, IncomingFiles, Outcome, SharedFile};
use roombot::room::participant::Role;
use roombot::signal::JoinAs;
use roombot::transfer::store::{FileStore, Limits, ShareLimits};
use roombot::transfer::{FileReport, FileStatus};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// Somebody who takes every file.
struct Taker {
    client: Client,
    events: mpsc::Receiver<RoomEvent>,
    folder: tempfile::TempDir,
}

impl Taker {
    async fn join(studio: &Studio, name: &str) -> Taker {
        let folder = tempfile::tempdir().expect("a folder");
        let limits = Limits { reserve: 0, ..Limits::default() };
        let vault = FileStore::new(std::fs::File::open(folder.path()).expect("open").into(), "in", limits);
        let (observer, events) = mpsc::channel(1024);
        let files = Some(IncomingFiles::into(vault));
        let config = ClientConfig { files, observer: Some(observer), ..ClientConfig::default() };
        let how = JoinAs { name: name.into(), role: Role::Participant, token: None };
        let client = within(5, name, Client::join(&studio.room, how, config)).await.expect("joined");
        Taker { client, events, folder }
    }

    /// What becomes of files, up to the next complete one.
    async fn received(&mut self) -> Vec<FileReport> {
        let mut reports = Vec::new();
        let came = async {
            loop {
                if let RoomEvent::File { report, .. } = self.events.recv().await.expect("still there") {
                    reports.push(report);
                    if matches!(reports.last().map(|last| &last.status), Some(FileStatus::Received { .. })) {
                        return;
                    }
                }
            }
        };
        within(60, "a file", came).await;
        reports
    }

    fn files(&self) -> PathBuf {
        self.folder.path().join("in")
    }
}

/// A room whose recorder offers files on.
fn sharing() -> Studio {
    let mut studio = Studio::new();
    studio.limits.share = Some(ShareLimits::default());
    studio
}

async fn shared(path: &Path) -> FileSend {
    FileSend { shared: Some(SharedFile::of(path).await.expect("a hash")), ..FileSend::new(path) }
}

/// Sends a file to the recorder; whether it offers it on.
async fn taken(from: &Client, to: &roombot::record::Recording, file: FileSend) -> bool {
    let mut sending = from.send_file(to.me(), file);
    match within(30, "the recorder takes it", sending.outcome()).await {
        Outcome::Received { offered_on, .. } => offered_on,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_shared_is_offered_on_and_what_was_private_is_not() {
    let studio = sharing();
    let dir = tempfile::tempdir().expect("a folder");
    let (report, private) = (file(dir.path(), "report.bin", 3_000_001, 1), file(dir.path(), "private.bin", 1000, 2));
    let recording = studio.recorder(None).await;
    let mut bob = Taker::join(&studio, "Bob").await;
    let alice = studio.sender("Alice", vec![]).await;
    assert!(!taken(&alice, &recording, FileSend::new(&private)).await, "it is for the recorder only");
    assert!(taken(&alice, &recording, shared(&report).await).await);
    // Who comes later was not offered it by Alice, although she is still there.
    let mut late = Taker::join(&studio, "Late").await;
    let owner = recording.me().to_string();
    let reports = late.received().await;
    assert_eq!((reports[0].name.as_str(), reports[0].owner.as_str()), ("report.bin", owner.as_str()));
    pause(Duration::from_millis(500), "nothing is offered to who may still get it from Alice").await;
    assert_eq!(below(&bob.files()), Vec::<String>::new());
    alice.leave().await;
    bob.received().await;
    // Nobody is offered what they shared themselves, and bots are offered nothing.
    let mut again = Taker::join(&studio, "Alice").await;
    let mut last = Taker::join(&studio, "Last").await;
    last.received().await;
    pause(Duration::from_millis(500), "nothing else comes").await;
    for taker in [&bob, &late, &last] {
        assert_eq!(below(&taker.files()), [format!("{owner}/report.bin")]);
        assert_eq!(sha256(&taker.files().join(&owner).join("report.bin")), sha256(&report));
    }
    assert_eq!(below(&again.files()), Vec::<String>::new());
    again.events.close();
    let summary = finish(recording).await;
    received(&summary, "files/alice/report.bin", &report);
    received(&summary, "files/alice/private.bin", &private);
    assert_eq!(summary.manifest.files.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_goes_on_from_another_source() {
    let studio = sharing();
    let dir = tempfile::tempdir().expect("a folder");
    let size = 60_000_000;
    let path = file(dir.path(), "long.bin", size, 1);
    let recording = studio.recorder(None).await;
    let mut bob = Taker::join(&studio, "Bob").await;
    let alice = studio.sender("Alice", vec![]).await;
    let long = shared(&path).await;
    assert!(taken(&alice, &recording, long.clone()).await);
    let sending = alice.send_file(bob.client.me(), long);
    let half = size as u64 / 2;
    within(30, "half of it", sending.progress().wait_for(|p| p.sent >= half)).await.expect("still sending");
    let alice_id = alice.me().to_string();
    alice.leave().await;
    let reports = bob.received().await;
    drop(sending);
    let part = format!("{alice_id}/long.bin.part");
    let [
        FileStatus::Started { path: begun, offset: 0 },
        FileStatus::Incomplete { written, .. },
        FileStatus::Started { path: resumed, offset },
        FileStatus::Received { path: whole, .. },
    ] = &reports.iter().map(|report| report.status.clone()).collect::<Vec<_>>()[..]
    else {
        panic!("{reports:#?}");
    };
    assert_eq!((begun, resumed, written), (&part, &part, offset), "{reports:#?}");
    assert!(*offset >= half - (8 << 20), "begun anew: {reports:#?}");
    assert_eq!(whole, &format!("{alice_id}/long.bin"));
    assert_eq!(below(&bob.files()), [whole.as_str()]);
    assert_eq!(sha256(&bob.files().join(whole)), sha256(&path));
    finish(recording).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_came_already_is_not_sent_again() {
    let studio = sharing();
    let dir = tempfile::tempdir().expect("a folder");
    let (one, two) = (file(dir.path(), "one.bin", 500_000, 1), file(dir.path(), "two.bin", 1000, 2));
    let recording = studio.recorder(None).await;
    let mut bob = Taker::join(&studio, "Bob").await;
    let alice = studio.sender("Alice", vec![]).await;
    let (first, second) = (shared(&one).await, shared(&two).await);
    assert!(taken(&alice, &recording, first.clone()).await && taken(&alice, &recording, second).await);
    let mut sending = alice.send_file(bob.client.me(), first);
    within(20, "Bob takes it", sending.outcome()).await;
    let owner = alice.me().to_string();
    alice.leave().await;
    let mut names: Vec<String> = Vec::new();
    for _ in 0..2 {
        names.extend(bob.received().await.into_iter().map(|report| report.name));
    }
    names.dedup();
    assert_eq!(names, ["one.bin", "two.bin"]);
    pause(Duration::from_millis(500), "the first is offered on as well, and told to be there").await;
    let expected = [format!("{owner}/one.bin"), format!("{}/two.bin", recording.me())];
    let mut files = below(&bob.files());
    files.sort_by_key(|path| path.ends_with("two.bin"));
    assert_eq!(files, expected);
    finish(recording).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_that_shall_not_offer_on_says_so() {
    let studio = Studio::new();
    let dir = tempfile::tempdir().expect("a folder");
    let path = file(dir.path(), "one.bin", 1000, 1);
    let recording = studio.recorder(None).await;
    let alice = studio.sender("Alice", vec![]).await;
    assert!(!taken(&alice, &recording, shared(&path).await).await);
    alice.leave().await;
    let bob = Taker::join(&studio, "Bob").await;
    pause(Duration::from_secs(1), "nothing is offered").await;
    assert_eq!(below(&bob.files()), Vec::<String>::new());
    finish(recording).await;
}
