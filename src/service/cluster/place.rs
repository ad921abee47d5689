//! Which worker gets a recording. Pure.

use super::wire::WorkerRecord;
use crate::service::model::{Recording, State};
use std::collections::BTreeMap;

/// Cores that a recorder takes.
const RECORDER: f64 = 0.1;

/// Whether a worker has all labels that a recording asks for.
pub fn fits(worker: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| worker.get(key) == Some(value))
}

/// The best of these workers, each with the number of recordings that it was given and has not told of yet. None: the recording waits.
/// One that was being recorded does not: it goes to the worker that has the most room, even if that is none.
pub fn choose<'a>(
    recording: &Recording,
    workers: impl Iterator<Item = (&'a str, &'a WorkerRecord, usize)>,
) -> Option<&'a str> {
    let wanted = &recording.request.placement.labels;
    let has_begun = recording.parts > 0 || recording.state > State::Queued;
    let suitable = workers.filter(|(_, worker, _)| !worker.lost && !worker.draining && fits(&worker.labels, wanted));
    let free = |worker: &WorkerRecord, given: usize| worker.capacity - worker.load - RECORDER * given as f64;
    let with_room = suitable
        .map(|(name, worker, given)| (name, free(worker, given)))
        // A tenth is no binary fraction.
        .filter(|(_, free)| has_begun || *free > RECORDER - 1e-6);
    with_room.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::model::{Id, RecordingRequest};
    use jiff::Timestamp;

    fn worker(capacity: f64, load: f64) -> WorkerRecord {
        WorkerRecord { capacity, load, ..WorkerRecord::default() }
    }

    fn recording() -> Recording {
        Recording::new(Id::new(Id::RECORDING), "p", &RecordingRequest::new("ws://h/rooms/a"), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_worker_with_the_most_room_gets_it() {
        let (small, large) = (worker(1.0, 0.2), worker(4.0, 3.0));
        let choose = |given| choose(&recording(), [("small", &small, 0), ("large", &large, given)].into_iter());
        assert_eq!((choose(0), choose(3)), (Some("large"), Some("small")));
    }

    #[test]
    fn what_waits_waits_for_room_and_what_was_recorded_does_not() {
        let full = worker(0.1, 0.1);
        let workers = || [("full", &full, 0)].into_iter();
        let mut recording = recording();
        assert_eq!(choose(&recording, workers()), None);
        recording.advance(State::Recording, None, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(choose(&recording, workers()), Some("full"));
        assert_eq!(choose(&self::recording(), [("w", &worker(0.1, 0.0), 0)].into_iter()), Some("w"));
    }

    #[test]
    fn labels_drains_and_lost_sessions_are_heeded() {
        let mut eu = worker(4.0, 0.0);
        eu.labels.insert("region".into(), "eu".into());
        let other = worker(8.0, 0.0);
        let mut recording = recording();
        recording.request.placement.labels.insert("region".into(), "eu".into());
        assert_eq!(choose(&recording, [("eu", &eu, 0), ("other", &other, 0)].into_iter()), Some("eu"));
        for away in [WorkerRecord { draining: true, ..eu.clone() }, WorkerRecord { lost: true, ..eu }] {
            assert_eq!(choose(&recording, [("eu", &away, 0), ("other", &other, 0)].into_iter()), None);
        }
    }
}
