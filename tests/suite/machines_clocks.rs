//! The service on many machines while one machine's clock is set: by an hour forth and back, while it records and holds its session. Nothing
//! of the leases follows that clock, and the recording's times stay in their order.

use crate::continued::timeline;
use crate::support::chaos::kill;
use crate::support::machine;
use crate::support::machines::Machines;
use crate::support::needs::{library, needed, tools};
use crate::support::pause;
use crate::support::service::{Around, Service, until_it_holds};
use crate::support::witness::Witness;
use jiff::{SignedDuration, Timestamp};
use roombot::recording::manifest::Manifest;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What may pass between two looks at the time.
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// A clock that can be set, for one process and all that it starts.
struct Clock {
    file: PathBuf,
}

impl Clock {
    fn at(folder: &Path) -> Clock {
        let clock = Clock { file: folder.join("offset") };
        clock.set("+0");
        clock
    }

    /// Sets it off by this much: `-1h`.
    fn set(&self, offset: &str) {
        let part = self.file.with_extension("part");
        std::fs::write(&part, offset).expect("written");
        std::fs::rename(part, &self.file).expect("renamed");
    }

    fn around(&self, library: &Path) -> Around {
        let variables = [
            ("LD_PRELOAD", library.to_str().expect("UTF-8")),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_str().expect("UTF-8")),
            ("FAKETIME_NO_CACHE", "1"),
            // Setting a clock changes no clock that counts from the boot, and no time of a file that is there.
            ("DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Around { variables, ..Around::default() }
    }
}

async fn worker(machines: &Machines, around: Around, name: &str) -> Service {
    let queue = format!("nats://{}", machines.nats.address);
    let store = format!("file://{}", machines.store.path().join("store").display());
    let config = machines.store.path().join(format!("{name}.toml"));
    std::fs::write(&config, "upload_every = \"1s\"\n").expect("written");
    let config = config.to_str().expect("UTF-8");
    let own = ["--role", "worker", "--worker", name, "--capacity", "2", "--config", config];
    Service::start_around(around, &[&own[..], &["--queue", &queue, "--store", &store]].concat()).await
}

/// An event of a kind, its time compared to now.
async fn told(machines: &Machines, id: &str, kind: &str) -> SignedDuration {
    let event = machines.tells(id, kind, "", 30).await;
    let at: Timestamp = event["at"].as_str().or(event["created_at"].as_str()).expect("a time").parse().expect("a time");
    at.duration_since(Timestamp::now())
}

/// Both times of each entry are the same, and they go on; what ended a while ago may be told later.
fn in_order(folder: &Path) {
    let (manifest, mut latest) = (Manifest::load(folder).expect("a manifest"), 0);
    for entry in timeline(folder) {
        assert_eq!(entry.at, manifest.time_of(entry.t_ms), "{entry:#?}");
        assert!(entry.t_ms + 10_000 > latest, "{}: {entry:#?} after {latest} ms", folder.display());
        latest = latest.max(entry.t_ms);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_changes_no_lease_and_no_order() {
    needed!(tools(&["ffmpeg"]));
    let faketime = needed!(library("faketime/libfaketimeMT.so.1", "faketime"));
    let _busy = machine::alone().await;
    let machines = needed!(Machines::start().await);
    let clock = Clock::at(machines.store.path());
    let mut one = worker(&machines, clock.around(&faketime), "one").await;
    let begun = Timestamp::now();
    let id = machines.record().await;
    machines.records(&one, &id, 30).await;
    let two = worker(&machines, Around::default(), "two").await;
    let data = [("one", &one), ("two", &two)].map(|(name, worker)| (name.to_owned(), worker.data().to_owned()));
    let witness = Witness::start(data.to_vec());
    until_it_holds("it is recorded", 20, || witness.in_the_room(&id) == ["one"]).await;
    let first = witness.recorders();

    for (offset, hours, verb, kind) in
        [("+1h", 1, "pause", "recording.paused"), ("-1h", -1, "resume", "recording.resumed")]
    {
        clock.set(offset);
        machines.api.post(&format!("/v1/recordings/{id}/{verb}"), json!({})).await;
        let differs = told(&machines, &id, kind).await - SignedDuration::from_hours(hours);
        assert!(differs.abs() < MINUTE, "the worker's clock was set by {hours} h: {differs:#}");
        pause(Duration::from_secs(5), "a worker that would be lost is lost by then").await;
        assert_eq!(witness.in_the_room(&id), ["one"]);
        assert_eq!(witness.recorders().iter().map(|one| one.pid).collect::<Vec<_>>(), [first[0].pid]);
    }
    assert!(machines.events(&id).await.iter().all(|event| event["type"] != "worker.lost"));

    // The next part begins an hour before the first, by that clock.
    kill(first.iter().map(|one| one.pid));
    until_it_holds("its next part is recorded", 30, || witness.parts(&id).len() == 2).await;
    assert!(witness.recorders().iter().all(|one| one.worker == "one"));

    // Another worker goes on, with its own clock; and the first is back with the wrong one.
    one.kill_only();
    kill(one.processes(""));
    until_it_holds("the other worker records it", 30, || witness.in_the_room(&id) == ["two"]).await;
    one.restart().await;
    machines.tells(&id, "recording.warning", "came back", 60).await;
    assert_eq!(witness.in_the_room(&id), ["two"]);
    let recording = machines.stop(&id, &["partial"]).await;

    let ended = Timestamp::now();
    let gaps = witness.gaps("clocks", &id);
    println!("without a recorder, ms: {gaps:?}");
    assert!(gaps.len() == 2 && gaps.iter().all(|(gap, _)| *gap < 30_000), "{gaps:?}");
    let place = machines.store.path().join("store").join(recording["storage"]["path"].as_str().expect("a place"));
    let (manifest, entries) = (Manifest::load(&place).expect("a manifest"), timeline(&place));
    in_order(&place);
    let times = [manifest.started, entries[0].at, entries[entries.len() - 1].at, manifest.ended.expect("it has ended")];
    assert!(times.is_sorted() && times[0] >= begun - MINUTE && times[3] <= ended + MINUTE, "{times:?}");
    let states: Vec<Timestamp> = recording["states"].as_array().expect("states").iter().map(at).collect();
    assert!(states.is_sorted(), "{states:#?}");
    in_order(&place.join("late/one-1"));
}

fn at(change: &Value) -> Timestamp {
    change["at"].as_str().expect("a time").parse().expect("a time")
}
