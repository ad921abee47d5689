//! Recordings that have ended, with a folder as their store: what is deleted when, and what is not.

use super::super::disk::DiskMarks;
use super::super::folders::Folders;
use super::*;
use crate::service::database::events;
use crate::service::database::recordings::Runtime;
use crate::service::model::{Media, MediaKind, Outcome, Recording, RecordingRequest, StoreName};
use crate::service::storage::{KeepLocal, StorageService, StoreConfig, location};
use std::sync::Arc;
use tokio::sync::watch;

struct Bench {
    folder: tempfile::TempDir,
    context: JobContext,
    leave: watch::Sender<bool>,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(DiskMarks::default())
    }

    fn with(marks: DiskMarks) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let folders = Arc::new(Folders::create(&folder.path().join("data")).unwrap());
        folders.set_marks(marks);
        let url = url::Url::from_directory_path(folder.path().join("store")).unwrap().to_string();
        let config = StoreConfig { url, options: Default::default(), redirect: false };
        let storage = StorageService::open(&config, None, Duration::from_secs(1)).unwrap();
        let (leave, leaving) = watch::channel(false);
        let database = Database::open(&folders.database()).unwrap();
        let context = JobContext {
            database,
            folders,
            storage: Some(Arc::new(storage)),
            media: None,
            quota: watch::channel(Default::default()).1,
            program: "/bin/false".into(),
            part: Default::default(),
            lease: None,
            leaving,
        };
        Bench { folder, context, leave }
    }

    /// A recording that ended in 1970 and is to be uploaded.
    async fn ended(&self, hold: bool) -> Id {
        let id = Id::new(Id::RECORDING);
        let folder = self.context.folders.recording(&id);
        std::fs::create_dir_all(folder.join("tracks")).unwrap();
        for path in ["manifest.json", "timeline.jsonl", "tracks/alice.webm"] {
            std::fs::write(folder.join(path), path).unwrap();
        }
        let request = RecordingRequest::new("ws://h/rooms/a");
        let mut recording = Recording::new(id.clone(), "p", &request, Timestamp::UNIX_EPOCH);
        let media = vec![Media { path: "tracks/alice.webm".into(), kind: MediaKind::Track, bytes: 17 }];
        recording.outcome = Some(Outcome { media, bytes: 17, ..Outcome::default() });
        recording.advance(State::Complete, None, Timestamp::UNIX_EPOCH).unwrap();
        (recording.storage, recording.legal_hold) = (Some(Storage::wanted(location(&recording))), hold);
        let stored = StoredRecording { recording, request, runtime: Runtime::default() };
        let draft = EventDraft::new(EventType::Queued, serde_json::json!({}));
        let of = id.clone();
        let insert = move |connection: &rusqlite::Connection| {
            recordings::insert(connection, &stored, draft)?;
            uploads::look_at(connection, &of, Some(0))
        };
        self.context.database.write(insert).await.unwrap();
        id
    }

    async fn get(&self, id: &Id) -> Recording {
        self.context.database.recording(id).await.unwrap().unwrap().recording
    }

    async fn until(&self, id: &Id, holds: impl Fn(&Recording) -> bool) -> Recording {
        let reached = async {
            loop {
                let recording = self.get(id).await;
                if holds(&recording) {
                    return recording;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(20), reached).await.expect("in time")
    }

    fn place(&self, recording: &Recording) -> PathBuf {
        self.folder.path().join("store").join(location(recording))
    }

    async fn end(self, sweeper: tokio::task::JoinHandle<()>) {
        self.leave.send_replace(true);
        timeout(Duration::from_secs(10), sweeper).await.unwrap().unwrap();
    }
}

fn local_is_gone(recording: &Recording) -> bool {
    recording.storage.as_ref().is_some_and(|storage| storage.state == StorageState::Stored && !storage.local)
}

#[tokio::test]
async fn what_is_over_is_deleted_everywhere_unless_it_is_held() {
    let bench = Bench::new();
    let (over, held) = (bench.ended(false).await, bench.ended(true).await);
    let retention = Retention { days: Some(1), ..Retention::default() };
    let sweeper = tokio::spawn(Sweeper::new(bench.context.clone(), watch::channel(retention).1).run());
    let recording = bench.until(&over, |recording| recording.state == State::Expired).await;
    assert!(recording.outcome.as_ref().unwrap().media.is_empty());
    assert_eq!(recording.storage.as_ref().unwrap().state, StorageState::Deleted);
    assert!(!bench.place(&recording).exists() && !bench.context.folders.recording(&over).exists());
    let recording = bench.until(&held, |r| r.storage.as_ref().unwrap().state == StorageState::Stored).await;
    assert_eq!(recording.state, State::Complete);
    assert!(bench.place(&recording).join("tracks/alice.webm").exists());
    // The hold ends: now it is over too.
    let release = |stored: &mut StoredRecording| {
        stored.recording.legal_hold = false;
        ((), Vec::new())
    };
    bench.context.database.update_recording(&held, release).await.unwrap();
    bench.until(&held, |recording| recording.state == State::Expired).await;
    assert!(!bench.context.folders.recording(&held).exists());
    bench.end(sweeper).await;
}

#[tokio::test]
async fn media_leaves_only_when_the_store_still_has_it() {
    let bench = Bench::new();
    let id = bench.ended(false).await;
    let track = bench.context.folders.recording(&id).join("tracks/alice.webm");
    // Stored, and then lost by the store.
    upload::run(&bench.context, &id).await.unwrap();
    let recording = bench.get(&id).await;
    assert_eq!(recording.storage.as_ref().unwrap().store, StoreName::Main);
    let copy = bench.place(&recording).join("tracks/alice.webm");
    std::fs::remove_file(&copy).unwrap();
    assert_eq!(delete_local(&bench.context, &id).await, Ok(()));
    assert!(track.exists());
    assert_eq!(bench.get(&id).await.storage.unwrap().state, StorageState::Uploading);
    let at_once = Retention { keep_local: KeepLocal(Some(Duration::ZERO)), ..Retention::default() };
    let sweeper = tokio::spawn(Sweeper::new(bench.context.clone(), watch::channel(at_once).1).run());
    bench.until(&id, local_is_gone).await;
    assert!(copy.exists() && !track.exists() && !track.parent().unwrap().exists());
    assert!(bench.context.folders.recording(&id).join("manifest.json").exists());
    bench.end(sweeper).await;
}

#[tokio::test]
async fn a_disk_without_room_keeps_what_no_store_has_and_what_is_held() {
    let bench = Bench::with(DiskMarks { low: 0, high: u64::MAX });
    let (stored, held) = (bench.ended(false).await, bench.ended(true).await);
    let sweeper = tokio::spawn(Sweeper::new(bench.context.clone(), watch::channel(Retention::default()).1).run());
    bench.until(&stored, local_is_gone).await;
    let track = |id: &Id| bench.context.folders.recording(id).join("tracks/alice.webm");
    assert!(!track(&stored).exists() && bench.place(&bench.get(&stored).await).join("tracks/alice.webm").exists());
    let recording = bench.until(&held, |r| r.storage.as_ref().unwrap().state == StorageState::Stored).await;
    assert!(recording.storage.unwrap().local && track(&held).exists());
    bench.end(sweeper).await;
}

#[tokio::test]
async fn it_is_told_before_it_is_deleted() {
    let bench = Bench::new();
    let id = bench.ended(false).await;
    let day = u32::try_from(Timestamp::now().as_second() / 86_400 + 1).unwrap();
    let retention = Retention { days: Some(day), keep_local: KeepLocal(None), ..Retention::default() };
    let sweeper = tokio::spawn(Sweeper::new(bench.context.clone(), watch::channel(retention).1).run());
    let of = id.clone();
    let told = async {
        loop {
            let of = of.clone();
            let read = move |connection: &rusqlite::Connection| events::after(connection, None, Some(&of), 0, 100);
            let events = bench.context.database.read(read).await.unwrap();
            let told: Vec<_> = events.into_iter().filter(|event| event.kind == EventType::Expiring).collect();
            if !told.is_empty() {
                return told;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let told = timeout(Duration::from_secs(20), told).await.expect("in time");
    assert_eq!((told.len(), bench.get(&id).await.state), (1, State::Complete));
    assert!(told[0].data["expires_at"].as_str().is_some_and(|at| at.parse::<Timestamp>().unwrap() > Timestamp::now()));
    bench.end(sweeper).await;
}
