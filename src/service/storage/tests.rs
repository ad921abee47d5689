//! Recordings sent to stores that fail in all ways: whatever the store does, it has in the end what was here, or says that it has not.

mod faulty;
mod live_tests;

use super::digest::PART;
use super::error::StorageError;
use super::files::walk;
use super::folder::CHECKSUMS;
use super::service::StorageService;
use super::settings::{KeepLocal, StoreConfig};
use super::target::Target;
use crate::service::database::Database;
use crate::service::database::uploads;
use crate::service::model::{Id, Recording, RecordingRequest, Storage, StoreName};
use bytes::Bytes;
use faulty::{Fault, Faulty};
use futures_util::TryStreamExt;
use jiff::Timestamp;
use object_store::multipart::MultipartStore;
use object_store::{ObjectStore, PutOptions, PutPayload};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A recording with a large track and some small files, and a database that knows nothing of it.
struct Bench {
    folder: tempfile::TempDir,
    database: Database,
    recording: Recording,
}

const PLACE: &str = "p/2026/01/01/a/rec";
/// For stores that fail for good, and for those that recover: a busy machine takes its time.
const PATIENCE: Duration = Duration::from_millis(900);
const LONG_PATIENCE: Duration = Duration::from_secs(30);

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("service.db")).unwrap();
        let media = folder.path().join("recording");
        std::fs::create_dir_all(media.join("tracks")).unwrap();
        let large: Vec<u8> = (0..PART as usize + 4_000_000).map(|at| (at / 7 % 251) as u8).collect();
        for (path, bytes) in [
            ("manifest.json", b"{\"version\":1}".as_slice()),
            ("timeline.jsonl", b"{}\n"),
            ("tracks/alice.camera.1.webm", &large),
            ("tracks/\u{fc} #1 %41.webm", b"a name of a person"),
            ("tracks/unfinished.part", b"no media"),
            (".hidden", b"no media"),
        ] {
            std::fs::write(media.join(path), bytes).unwrap();
        }
        let request = RecordingRequest::new("ws://h/rooms/a");
        let mut recording = Recording::new(Id::new(Id::RECORDING), "p", &request, Timestamp::UNIX_EPOCH);
        recording.storage = Some(Storage::wanted(PLACE.into()));
        Bench { folder, database, recording }
    }

    fn media(&self) -> std::path::PathBuf {
        self.folder.path().join("recording")
    }

    async fn upload(&self, target: &Target) -> std::result::Result<super::Stored, String> {
        self.upload_within(vec![target.clone()], LONG_PATIENCE).await
    }

    async fn upload_to(&self, targets: Vec<Target>) -> std::result::Result<super::Stored, String> {
        self.upload_within(targets, PATIENCE).await
    }

    async fn upload_within(
        &self,
        targets: Vec<Target>,
        patience: Duration,
    ) -> std::result::Result<super::Stored, String> {
        let storage = StorageService::of(targets, patience);
        storage.upload(&self.database, &self.recording, &self.media()).await
    }

    /// Everything that is here is there, byte for byte, with its checksum.
    async fn assert_whole(&self, target: &Target) {
        let there = target.list(PLACE).await.unwrap();
        let files = walk(&self.media()).unwrap();
        assert_eq!(there.len(), files.len() + 1, "{there:?}");
        let sums = read(target, CHECKSUMS).await;
        let sums = String::from_utf8(sums).unwrap();
        for file in files {
            let bytes = read(target, &file.path).await;
            assert!(bytes == std::fs::read(self.media().join(&file.path)).unwrap(), "{}", file.path);
            use sha2::Digest;
            let line = format!("{}  {}\n", super::digest::hex(&sha2::Sha256::digest(&bytes)), file.path);
            assert!(sums.contains(&line), "{sums}");
        }
    }
}

async fn read(target: &Target, path: &str) -> Vec<u8> {
    let size = target.size(PLACE, path).await.unwrap().unwrap();
    let pieces: Vec<Bytes> = target.read(PLACE, path, 0..size).unwrap().try_collect().await.unwrap();
    pieces.concat()
}

fn target(store: &Arc<Faulty>, multipart: bool) -> Target {
    let parts: Arc<dyn MultipartStore> = store.clone();
    Target::of(store.clone(), multipart.then_some(parts))
}

#[tokio::test]
async fn whatever_one_request_does_the_recording_is_whole_in_the_end() {
    for fault in [Fault::Refuse, Fault::Forget, Fault::Truncate, Fault::Corrupt] {
        for at in 0..7 {
            let bench = Bench::new();
            let store = Faulty::new(fault, at, 1);
            let target = target(&store, true);
            let stored = bench.upload(&target).await.unwrap_or_else(|e| panic!("{fault:?} at {at}: {e}"));
            assert_eq!((stored.store, stored.files), (StoreName::Main, 5));
            bench.assert_whole(&target).await;
        }
    }
}

#[tokio::test]
async fn a_store_that_stays_broken_has_no_commit_mark_and_costs_nothing_here() {
    for fault in [Fault::Refuse, Fault::Truncate, Fault::Corrupt] {
        let bench = Bench::new();
        let before = walk(&bench.media()).unwrap();
        let store = Faulty::new(fault, 2, usize::MAX);
        let main = target(&store, true);
        let problem = bench.upload_to(vec![main.clone()]).await.unwrap_err();
        assert!(problem.starts_with("store: "), "{problem}");
        assert!(!main.list(PLACE).await.unwrap().contains_key("manifest.json"), "{fault:?}");
        assert_eq!(walk(&bench.media()).unwrap(), before);
        // The backup store takes what the first did not.
        let second = Faulty::new(Fault::Refuse, 0, 0);
        let backup = Target { name: StoreName::Backup, ..target(&second, true) };
        let stored = bench.upload_to(vec![main, backup.clone()]).await.unwrap();
        assert_eq!(stored.store, StoreName::Backup);
        bench.assert_whole(&backup).await;
    }
}

#[tokio::test]
async fn what_was_verified_or_sent_is_not_sent_again() {
    let bench = Bench::new();
    let store = Faulty::new(Fault::Refuse, 0, 0);
    let all = target(&store, true);
    bench.upload(&all).await.unwrap();
    let once = store.bytes.load(Ordering::SeqCst);
    bench.upload(&all).await.unwrap();
    assert_eq!(store.bytes.load(Ordering::SeqCst), once, "nothing changed, and something was sent");
    // A database that was lost between a request and its note: what the store has is compared, and not sent.
    let id = bench.recording.id.clone();
    let unsure = move |connection: &rusqlite::Connection| {
        connection.execute("UPDATE uploads SET verified = 0 WHERE recording = ?1", [id.as_str()])?;
        Ok(())
    };
    bench.database.write(unsure).await.unwrap();
    bench.upload(&all).await.unwrap();
    assert_eq!(store.bytes.load(Ordering::SeqCst), once);
    // Another film: only that, the checksums and the manifest.
    std::fs::write(bench.media().join("film.mp4"), b"a film").unwrap();
    std::fs::write(bench.media().join("manifest.json"), b"{\"version\":2}").unwrap();
    bench.upload(&all).await.unwrap();
    bench.assert_whole(&all).await;
    assert!(store.bytes.load(Ordering::SeqCst) - once < 2000);
}

#[tokio::test]
async fn an_upload_in_parts_goes_on_where_it_was() {
    let bench = Bench::new();
    std::fs::remove_dir_all(bench.media().join("tracks")).unwrap();
    std::fs::remove_file(bench.media().join("timeline.jsonl")).unwrap();
    std::fs::write(bench.media().join("film.mp4"), vec![7; 3 * PART as usize]).unwrap();
    // Two parts are taken, then the service ends.
    let store = Faulty::new(Fault::Refuse, 2, usize::MAX);
    let parts = target(&store, true);
    bench.upload(&parts).await.unwrap_err();
    let id = bench.recording.id.clone();
    let noted = bench.database.read(move |connection| uploads::of(connection, &id, StoreName::Main)).await.unwrap();
    assert_eq!((noted["film.mp4"].parts.len(), noted["film.mp4"].multipart.is_some()), (2, true));
    // The same store, repaired.
    let inner = Arc::try_unwrap({
        drop(parts);
        store
    })
    .unwrap()
    .inner;
    let (writes, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let store = Arc::new(Faulty { inner, fault: Fault::Refuse, from: 0, count: 0, writes, bytes });
    let parts = target(&store, true);
    bench.upload(&parts).await.unwrap();
    bench.assert_whole(&parts).await;
    assert!(store.bytes.load(Ordering::SeqCst) < PART as usize + 2000, "the first parts were sent again");
}

#[tokio::test]
async fn a_manifest_of_somebody_else_is_not_replaced() {
    let bench = Bench::new();
    let store = Faulty::new(Fault::Refuse, 0, 0);
    let all = target(&store, true);
    let key = all.key(PLACE, "manifest.json").unwrap();
    let strange = || PutPayload::from_static(b"{\"version\":9}");
    store.inner.put_opts(&key, strange(), PutOptions::default()).await.unwrap();
    let problem = bench.upload(&all).await.unwrap_err();
    assert!(problem.contains("other contents than ours"), "{problem}");
    assert_eq!(read(&all, "manifest.json").await, b"{\"version\":9}");
    assert!(StorageError::Conflict(String::new()).is_final());
}

#[tokio::test]
async fn everything_of_a_recording_is_deleted_and_nothing_else() {
    let bench = Bench::new();
    let store = Faulty::new(Fault::Refuse, 0, 0);
    let all = target(&store, false);
    let beside = all.key("p/2026/01/01/a/rec2", "manifest.json").unwrap();
    store.inner.put_opts(&beside, PutPayload::from_static(b"x"), PutOptions::default()).await.unwrap();
    let storage = StorageService::of(vec![all.clone()], PATIENCE);
    storage.upload(&bench.database, &bench.recording, &bench.media()).await.unwrap();
    bench.assert_whole(&all).await;
    assert!(storage.totals().bytes > PART && storage.totals().files == 5 && storage.totals().recordings == 1);
    storage.delete(&bench.database, &bench.recording, false).await.unwrap();
    assert!(all.list(PLACE).await.unwrap().is_empty());
    assert_eq!(all.list("p/2026/01/01/a/rec2").await.unwrap().len(), 1);
    storage.delete(&bench.database, &bench.recording, false).await.unwrap();
}

#[tokio::test]
async fn a_folder_is_a_store_too() {
    let bench = Bench::new();
    let place = bench.folder.path().join("not yet there");
    let url = url::Url::from_directory_path(&place).unwrap().to_string();
    let config = StoreConfig { url, options: Default::default(), redirect: false };
    let storage = StorageService::open(&config, None, PATIENCE).unwrap();
    let stored = storage.upload(&bench.database, &bench.recording, &bench.media()).await.unwrap();
    assert_eq!(stored.files, 5);
    let folder = storage.target(StoreName::Main).unwrap();
    bench.assert_whole(folder).await;
    let film = place.join(PLACE).join("tracks/\u{fc} #1 %41.webm");
    assert_eq!(std::fs::read(&film).unwrap(), b"a name of a person");
    std::fs::write(bench.media().join("manifest.json"), b"{\"version\":2}").unwrap();
    storage.upload(&bench.database, &bench.recording, &bench.media()).await.unwrap();
    bench.assert_whole(folder).await;
    storage.delete(&bench.database, &bench.recording, false).await.unwrap();
    assert!(!film.exists() && Path::new(&bench.media()).exists());
}

#[test]
fn a_configuration_is_checked_without_asking_anybody() {
    let open = |text: &str| {
        let config: StoreConfig = toml::from_str(text).unwrap();
        Target::open(StoreName::Main, &config).map(|target| target.address)
    };
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "s3cret\n").unwrap();
    let good = format!(
        "url = \"s3://meetings/2026\"\noptions = {{ endpoint = \"http://127.0.0.1:9\", region = \"r\", \
         access_key_id = \"a\", secret_access_key_file = {:?}, virtual_hosted_style_request = false }}",
        secret.path()
    );
    assert_eq!(open(&good).unwrap(), "s3://meetings/2026");
    for (text, problem) in [
        ("url = \"ftp://host/path\"", "must be s3://"),
        ("url = \"meetings\"", "no address"),
        ("url = \"https://example.org/x\"", "must be s3://"),
        ("url = \"file:///\"", "file:///PATH"),
        ("url = \"s3://b\"\noptions = { regoin = \"x\" }", "regoin is no option"),
        ("url = \"s3://b\"\noptions = { secret_access_key_file = \"/nowhere\" }", "cannot be read"),
    ] {
        let error = open(text).unwrap_err().to_string();
        assert!(error.starts_with("store: ") && error.contains(problem), "{text}: {error}");
    }
    let config: StoreConfig = toml::from_str(&good).unwrap();
    let shown = toml::to_string(&config.without_secrets()).unwrap();
    assert!(!shown.contains("access_key_id") && shown.contains("region") && shown.contains("_file"), "{shown}");
}

#[test]
fn durations_are_written_as_people_write_them() {
    #[derive(serde::Deserialize, serde::Serialize)]
    struct Keep {
        keep: KeepLocal,
    }
    let read = |text: &str| toml::from_str::<Keep>(&format!("keep = {text:?}")).map(|read| read.keep.0);
    assert_eq!(read("24h").unwrap(), Some(Duration::from_secs(86_400)));
    assert_eq!((read("0s").unwrap(), read("always").unwrap()), (Some(Duration::ZERO), None));
    assert!(read("-1h").is_err() && read("soon").is_err());
    for keep in [KeepLocal::default(), KeepLocal(None)] {
        let text = toml::to_string(&Keep { keep }).unwrap();
        assert_eq!(toml::from_str::<Keep>(&text).unwrap().keep, keep, "{text}");
    }
}
