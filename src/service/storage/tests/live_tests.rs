//! A recording that grows, sent in packs to stores that fail, and put together again.

use super::*;
use crate::service::storage::fetch::Fetched;
use crate::service::storage::live::LiveSent;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

struct Growing {
    folder: tempfile::TempDir,
}

impl Growing {
    fn new() -> Growing {
        let growing = Growing { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(growing.path("tracks")).unwrap();
        growing.write("manifest.json", b"{}");
        growing
    }
    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("recording").join(path)
    }
    fn write(&self, path: &str, bytes: &[u8]) {
        let part = self.path(".part");
        std::fs::write(&part, bytes).unwrap();
        std::fs::rename(part, self.path(path)).unwrap();
    }
    fn append(&self, path: &str, bytes: &[u8]) {
        File::options().create(true).append(true).open(self.path(path)).unwrap().write_all(bytes).unwrap();
    }
    async fn send(&self, target: &Target) -> std::result::Result<LiveSent, StorageError> {
        target.send_live(PLACE, &self.path(""), &self.folder.path().join("progress.json")).await
    }
    fn forget(&self) {
        std::fs::remove_file(self.folder.path().join("progress.json")).unwrap();
    }
    /// What the store has of it is what is here.
    async fn assert_fetched(&self, target: &Target, whole: bool) {
        let into = self.folder.path().join("fetched");
        let fetched: Fetched = target.fetch(PLACE, &into).await.unwrap().unwrap();
        assert_eq!(fetched.whole, whole);
        let (here, there) = (walk(&self.path("")).unwrap(), walk(&into).unwrap());
        let paths = |files: &[super::super::LocalFile]| files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
        assert_eq!(paths(&here), paths(&there));
        for path in paths(&here) {
            assert!(std::fs::read(self.path(&path)).unwrap() == std::fs::read(into.join(&path)).unwrap(), "{path}");
        }
        assert_eq!(fetched.files as usize, here.len());
        // It is not written over.
        assert!(target.fetch(PLACE, &into).await.is_err());
        std::fs::remove_dir_all(into).unwrap();
        let left = std::fs::read_dir(self.folder.path()).unwrap().flatten().map(|entry| entry.file_name());
        let left: Vec<_> = left.filter(|name| name != "recording" && name != "progress.json").collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn what_was_sent_is_put_together_whatever_a_request_did() {
    for fault in [Fault::Refuse, Fault::Forget] {
        for at in 0..4 {
            let growing = Growing::new();
            let store = Faulty::new(fault, at, 1);
            let target = target(&store, true);
            assert_eq!(target.fetch(PLACE, &growing.path("../none")).await.unwrap(), None);
            let mut failed = 0;
            for turn in 0..5u8 {
                growing.append("tracks/alice.mic.1.webm", &[turn; 5000]);
                growing.append("timeline.jsonl", b"{}\n");
                growing.write("manifest.json", &vec![b'0' + turn; 100 + usize::from(turn)]);
                failed += usize::from(growing.send(&target).await.is_err());
                if turn == 2 {
                    // A recovery has replaced it by a finished copy.
                    growing.write("tracks/alice.mic.1.webm", &[9; 14_000]);
                }
            }
            assert_eq!(failed, 1, "{fault:?} at {at}");
            growing.assert_fetched(&target, false).await;
            assert_eq!(growing.send(&target).await.unwrap(), LiveSent::default());
        }
    }
}

#[tokio::test]
async fn what_waits_for_long_follows_in_packs_of_a_bounded_size() {
    let growing = Growing::new();
    growing.append("tracks/alice.camera.1.webm", &vec![7; 3 * PART as usize]);
    growing.append("tracks/bob.camera.1.webm", &vec![8; 7 * PART as usize]);
    let store = Faulty::new(Fault::Refuse, 0, 0);
    let target = target(&store, true);
    let sent = growing.send(&target).await.unwrap();
    assert_eq!(sent.packs, 8);
    assert!(target.packs(PLACE).await.unwrap().iter().all(|(_, meta)| meta.size < PART + 5000));
    assert_eq!(growing.send(&target).await.unwrap().packs, 3);
    growing.assert_fetched(&target, false).await;
}

#[tokio::test]
async fn a_service_that_forgot_how_far_it_was_begins_anew_and_damage_costs_what_came_after() {
    let growing = Growing::new();
    let store = Faulty::new(Fault::Corrupt, 3, 1);
    let target = target(&store, true);
    growing.append("tracks/a.webm", b"one");
    growing.send(&target).await.unwrap();
    growing.forget();
    growing.append("tracks/a.webm", b"two");
    growing.send(&target).await.unwrap();
    growing.assert_fetched(&target, false).await;
    growing.append("tracks/a.webm", b"three");
    growing.send(&target).await.unwrap();
    growing.append("tracks/a.webm", b"four");
    growing.send(&target).await.unwrap();
    growing.append("tracks/a.webm", b"five");
    growing.send(&target).await.unwrap();
    let into = growing.folder.path().join("damaged");
    target.fetch(PLACE, &into).await.unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(into.join("tracks/a.webm")).unwrap(), "onetwothree");
}

#[tokio::test]
async fn a_whole_recording_comes_back_and_its_packs_are_gone() {
    let bench = Bench::new();
    let store = Faulty::new(Fault::Refuse, 0, 0);
    let target = target(&store, true);
    let growing = Growing::new();
    growing.append("tracks/alice.camera.1.webm", b"some");
    growing.send(&target).await.unwrap();
    bench.upload(&target).await.unwrap();
    assert!(target.list(PLACE).await.unwrap().keys().any(|path| path.starts_with("live/")));
    target.delete_packs(PLACE).await.unwrap();
    // As many files as without packs.
    bench.assert_whole(&target).await;
    let into = bench.folder.path().join("fetched");
    let fetched = target.fetch(PLACE, &into).await.unwrap().unwrap();
    assert_eq!((fetched.whole, fetched.files), (true, 4));
    for file in walk(&bench.media()).unwrap() {
        assert!(
            std::fs::read(bench.media().join(&file.path)).unwrap() == std::fs::read(into.join(&file.path)).unwrap()
        );
    }
    // An object that is not what was sent is told.
    let options = PutOptions::default();
    let key = target.key(PLACE, "timeline.jsonl").unwrap();
    target.store.put_opts(&key, PutPayload::from_static(b"XX\n"), options).await.unwrap();
    let error = target.fetch(PLACE, &bench.folder.path().join("again")).await.unwrap_err();
    assert!(matches!(error, StorageError::Corrupt(_)), "{error}");
}
