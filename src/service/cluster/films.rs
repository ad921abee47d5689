//! Films on many machines. The API node places those of recordings in the store with workers, one of a recording at a time; a worker makes
//! what its list says, tells of the end until that is heard, and forgets it.

use super::bus::BusError;
use super::place::fits;
use super::reporter::Reporter;
use super::roster::Roster;
use super::wire::{FilmEntry, FilmReport, Report, WorkerRecord};
use crate::service::database::films::{self, RemoteFilm, StoredFilm};
use crate::service::database::{Database, DatabaseError, recordings};
use crate::service::jobs::{JobContext, forget_film};
use crate::service::model::{FilmState, Id};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Cores that a film takes.
const FILM: f64 = 1.0;

/// Films of the API node's lists, by worker.
pub type FilmLists = HashMap<String, Vec<FilmEntry>>;

/// Places films that nobody has, or whose worker is lost; returns all that are placed. `roster` is asked for workers.
pub async fn place(
    database: &Database,
    roster: impl Fn() -> Vec<(String, WorkerRecord)>,
) -> Result<FilmLists, DatabaseError> {
    let open = database.read(|connection| films::remote(connection, true)).await?;
    if open.is_empty() {
        return Ok(FilmLists::new());
    }
    let workers = roster();
    let is_alive =
        |held: &(String, String)| workers.iter().any(|(name, record)| *name == held.0 && record.session == held.1);
    let mut lists = FilmLists::new();
    let mut busy: HashSet<Id> = HashSet::new();
    let (held, waiting): (Vec<StoredFilm>, Vec<StoredFilm>) =
        open.into_iter().partition(|film| worker_of(film).is_some_and(is_alive));
    for film in held {
        busy.insert(film.job.recording.clone());
        list(&mut lists, film);
    }
    for film in waiting {
        let of = film.job.recording.clone();
        // Each changes the recording's list of checksums.
        if !busy.insert(of.clone()) {
            continue;
        }
        let labels = database.read(move |connection| recordings::get(connection, &of)).await?;
        let labels = labels.map(|stored| stored.recording.request.placement.labels).unwrap_or_default();
        let Some((worker, session)) = choose(&labels, &workers, &lists) else { continue };
        let place = move |stored: &mut StoredFilm| {
            if let Some(remote) = &mut stored.remote {
                remote.worker = Some((worker, session));
            }
            stored.clone()
        };
        let placed = database.write(move |connection| films::update(connection, &film.job.id, place)).await?;
        // Cancelled at this moment.
        placed.into_iter().filter(|film| film.job.state == FilmState::Open).for_each(|film| list(&mut lists, film));
    }
    Ok(lists)
}

fn worker_of(film: &StoredFilm) -> Option<&(String, String)> {
    film.remote.as_ref()?.worker.as_ref()
}

fn list(lists: &mut FilmLists, StoredFilm { job, remote, .. }: StoredFilm) {
    if let Some(RemoteFilm { place, store, worker: Some((worker, _)), .. }) = remote {
        lists.entry(worker).or_default().push(FilmEntry { job, place, store });
    }
}

/// The worker with the most room for a film, and its session. One that has room for none, but makes none either, can make one: as on one
/// machine, it runs at a low priority.
fn choose(
    labels: &BTreeMap<String, String>,
    workers: &[(String, WorkerRecord)],
    lists: &FilmLists,
) -> Option<(String, String)> {
    let suitable =
        workers.iter().filter(|(_, worker)| !worker.lost && !worker.draining && fits(&worker.labels, labels));
    let with_room = suitable.filter_map(|(name, worker)| {
        let given = lists.get(name).map_or(0, Vec::len);
        // What was given may not be among the load yet.
        let free = worker.capacity - worker.load.max(FILM * given as f64);
        (given == 0 || free > FILM - 1e-6).then_some((name, worker, free))
    });
    let best = with_room.max_by(|(_, _, a), (_, _, b)| a.total_cmp(b));
    best.map(|(name, worker, _)| (name.clone(), worker.session.clone()))
}

/// The workers that have a session.
pub fn alive(roster: &Roster) -> Vec<(String, WorkerRecord)> {
    roster.alive().map(|(name, member)| (name.clone(), member.record.clone())).collect()
}

/// A worker's side: begins what is new in its list, cancels what is not in it any more, and forgets what was heard of.
pub async fn follow(
    context: &JobContext,
    (worker, session): (&str, &str),
    entries: &[FilmEntry],
) -> Result<(), DatabaseError> {
    let here = context.database.read(|connection| films::remote(connection, false)).await?;
    for entry in entries.iter().filter(|entry| here.iter().all(|film| film.job.id != entry.job.id)) {
        let FilmEntry { job, place, store } = entry.clone();
        let worker = Some((worker.to_owned(), session.to_owned()));
        let remote = RemoteFilm { place, store, worker, media: Vec::new() };
        context.database.write(move |connection| films::insert(connection, &job, Some(&remote))).await?;
    }
    for film in here {
        let (id, is_listed) = (film.job.id.clone(), entries.iter().any(|entry| entry.job.id == film.job.id));
        let is_ours = worker_of(&film).is_some_and(|held| held.1 == session);
        if is_listed && is_ours {
            continue;
        }
        if film.job.state == FilmState::Open {
            // Its process ends first; what it was is forgotten then.
            let cancel = |stored: &mut StoredFilm| stored.job.end(FilmState::Cancelled, None, jiff::Timestamp::now());
            context.database.write(move |connection| films::update(connection, &id, cancel)).await?;
        } else if film.process.is_none() {
            forget_film(context, &id).await;
            context.database.write(move |connection| films::delete(connection, &id)).await?;
        }
    }
    Ok(())
}

impl Reporter {
    /// Tells of the films of a list that have ended. What is not heard is told again with the next look.
    pub async fn tell_films(&self, entries: &[FilmEntry]) -> Result<(), BusError> {
        let here = self.context.database.read(|connection| films::remote(connection, false)).await;
        for film in here.map_err(BusError::of)? {
            let Some((worker, session)) = worker_of(&film).cloned() else { continue };
            let is_listed = entries.iter().any(|entry| entry.job.id == film.job.id);
            if film.job.state == FilmState::Open || film.process.is_some() || !is_listed {
                continue;
            }
            let StoredFilm { job, remote, .. } = film;
            let media = remote.map(|remote| remote.media).unwrap_or_default();
            let told = FilmReport { film: job.id, state: job.state, reason: job.reason, media };
            let report = Report {
                recording: job.recording,
                worker,
                session,
                fence: 0,
                events: Vec::new(),
                state: None,
                late: None,
                film: Some(told),
            };
            self.send(&report, 0).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(capacity: f64, load: f64) -> WorkerRecord {
        WorkerRecord { capacity, load, session: "s".into(), ..WorkerRecord::default() }
    }

    fn entry() -> FilmEntry {
        let (recording, request) = (Id::new(Id::RECORDING), Default::default());
        let job = crate::service::model::FilmJob::new(&recording, "p", request, jiff::Timestamp::UNIX_EPOCH);
        FilmEntry { job, place: "p/x".into(), store: crate::service::model::StoreName::Main }
    }

    #[test]
    fn a_film_goes_where_the_most_room_is_and_one_may_always_be_made() {
        let workers = [("small".to_owned(), worker(0.5, 0.4)), ("large".to_owned(), worker(4.0, 2.5))];
        let name = |lists: &FilmLists| choose(&BTreeMap::new(), &workers, lists).map(|(name, _)| name);
        let mut lists = FilmLists::new();
        assert_eq!(name(&lists).as_deref(), Some("large"));
        lists.insert("large".into(), vec![entry(), entry(), entry()]);
        assert_eq!(name(&lists).as_deref(), Some("large"));
        lists.get_mut("large").unwrap().push(entry());
        assert_eq!(name(&lists).as_deref(), Some("small"), "it makes none");
        lists.insert("small".into(), vec![entry()]);
        assert_eq!(name(&lists), None);
        let region = BTreeMap::from([("region".to_owned(), "eu".to_owned())]);
        assert_eq!(choose(&region, &workers, &FilmLists::new()), None);
    }
}
