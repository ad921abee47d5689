//! Decides what runs: one task for each recording that has not ended, as far as the machine has room.

use super::capacity::{Capacity, Work};
use super::live::beside;
use super::{JobContext, Part, bots, checks, films, outputs, recorder, upload};
use crate::log;
use crate::service::database::DatabaseError;
use crate::service::database::bots::{OpenBot, open as open_bots};
use crate::service::database::checks::open as open_checks;
use crate::service::database::films::open;
use crate::service::database::recordings::{StoredRecording, Unfinished, unfinished};
use crate::service::model::{Id, State};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{Instrument, Span, error_span};

/// How long changes of the database are gathered.
const GATHER: Duration = Duration::from_millis(50);
/// Without changes it is looked this often whether something scheduled is due.
const LOOK: Duration = Duration::from_secs(1);
/// The pause before a stage that the disk failed is begun again.
const RETRY: Duration = Duration::from_secs(2);

/// A job's task.
struct Running {
    work: Work,
    /// Tells it to return.
    leave: watch::Sender<bool>,
}

/// Starts and watches all jobs.
pub struct Dispatcher {
    context: JobContext,
    capacity: Arc<Mutex<Capacity>>,
    running: HashMap<Id, Running>,
    tasks: JoinSet<()>,
    /// Which recording a task is for.
    owners: HashMap<tokio::task::Id, Id>,
    /// The disk had room for recordings.
    has_room: bool,
}

impl Dispatcher {
    /// One that runs as much as `capacity` has room for.
    pub fn new(context: JobContext, capacity: Arc<Mutex<Capacity>>) -> Dispatcher {
        Dispatcher {
            context,
            capacity,
            running: HashMap::new(),
            tasks: JoinSet::new(),
            owners: HashMap::new(),
            has_room: true,
        }
    }

    /// Runs until the service leaves, then waits for the tasks to let their processes go.
    pub async fn run(mut self) {
        let mut changes = self.context.database.changes();
        let mut leaving = self.context.leaving.clone();
        while !*leaving.borrow_and_update() {
            changes.borrow_and_update();
            if let Err(e) = self.look().await {
                tracing::error!("jobs cannot be looked up: {e}");
            }
            tokio::select! {
                _ = leaving.changed() => {}
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.ended(ended),
                _ = timeout(LOOK, changes.changed()) => sleep(GATHER).await,
            }
        }
        for running in self.running.values() {
            running.leave.send_replace(true);
        }
        while self.tasks.join_next().await.is_some() {}
    }

    /// A task has ended, perhaps by a panic: what it had of the machine is free.
    fn ended(&mut self, ended: Result<(tokio::task::Id, ()), JoinError>) {
        let task = match &ended {
            Ok((task, ())) => *task,
            Err(e) => e.id(),
        };
        let Some(id) = self.owners.remove(&task) else { return };
        if let Err(e) = ended {
            tracing::error!(recording_id = %id, "its job failed and is begun again: {e}");
        }
        if let (Some(running), Ok(mut capacity)) = (self.running.remove(&id), self.capacity.lock()) {
            capacity.release(running.work);
        }
    }

    /// Starts what is due and has room. Those that came first go first.
    async fn look(&mut self) -> Result<(), DatabaseError> {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.ended(ended);
        }
        let has_room = self.context.folders.has_room();
        if self.has_room != has_room {
            match has_room {
                true => tracing::info!("the disk has room again: recordings begin"),
                false => tracing::warn!("the disk has less free than disk_low: new recordings wait"),
            }
        }
        self.has_room = has_room;
        let now = Timestamp::now();
        let unfinished = self.context.database.read(unfinished).await?;
        let mut recorders: HashMap<String, u32> = HashMap::new();
        for one in unfinished.iter().filter(|one| one.state > State::Queued && one.state < State::Processing) {
            *recorders.entry(one.project.clone()).or_default() += 1;
        }
        for Unfinished { id, project, state, start_at } in unfinished {
            let of_project = recorders.entry(project.clone()).or_default();
            let may_run = self.context.may_run(&id);
            if let Some(running) = self.running.get(&id) {
                if !may_run {
                    running.leave.send_replace(true);
                }
                // It is about to join.
                *of_project += u32::from(state == State::Queued);
                continue;
            }
            if !may_run {
                continue;
            }
            if state == State::Scheduled {
                if start_at.is_none_or(|at| at <= now) {
                    let queue = move |stored: &mut StoredRecording| {
                        ((), stored.recording.advance(State::Queued, None, now).into_iter().collect())
                    };
                    self.context.database.update_recording(&id, queue).await?;
                }
                continue;
            }
            if state == State::Queued && !has_room {
                continue;
            }
            let work = match state {
                State::Processing => Work::Process,
                State::Uploading => Work::Upload,
                _ => Work::Record,
            };
            if state == State::Queued && !self.context.quota.borrow().allows(&project, *of_project) {
                continue;
            }
            if work == Work::Upload && !self.context.is_leased(&id) {
                continue;
            }
            let has_begun = !matches!(state, State::Queued | State::Processing);
            let admitted = self.capacity.lock().is_ok_and(|mut capacity| {
                if has_begun {
                    capacity.take(work);
                }
                has_begun || capacity.admit(work)
            });
            if admitted {
                *of_project += u32::from(state == State::Queued);
                self.start(id, work);
            }
        }
        // An API node has its workers make films.
        let films =
            if self.context.part == Part::ApiNode { Vec::new() } else { self.context.database.read(open).await? };
        for id in films {
            if !self.running.contains_key(&id) && self.capacity.lock().is_ok_and(|mut c| c.admit(Work::Film)) {
                self.start(id, Work::Film);
            }
        }
        let mut more = Vec::new();
        for OpenBot { id, has_begun, encodes } in self.context.database.read(open_bots).await? {
            more.push((id, has_begun, Work::Bot { encodes }));
        }
        let checks = self.context.database.read(open_checks).await?;
        more.extend(checks.into_iter().map(|(id, has_begun)| (id, has_begun, Work::Check)));
        for (id, has_begun, work) in more {
            let admitted = !self.running.contains_key(&id)
                && self.capacity.lock().is_ok_and(|mut capacity| {
                    if has_begun {
                        capacity.take(work);
                    }
                    has_begun || capacity.admit(work)
                });
            if admitted {
                self.start(id, work);
            }
        }
        Ok(())
    }

    fn start(&mut self, id: Id, work: Work) {
        let (leave, leaving) = watch::channel(false);
        self.running.insert(id.clone(), Running { work, leave });
        let (context, owner) = (JobContext { leaving, ..self.context.clone() }, id.clone());
        let span = span_of(work, &id);
        let job = async move {
            tracing::info!("{work:?} begins");
            let result = match work {
                Work::Record => beside(&context, &id, recorder::run(&context, &id)).await,
                Work::Process => beside(&context, &id, outputs::run(&context, &id)).await,
                Work::Upload => upload::run(&context, &id).await,
                Work::Film => films::run(&context, &id).await,
                Work::Bot { .. } => bots::run(&context, &id).await,
                Work::Check => checks::run(&context, &id).await,
            };
            if let Err(e) = result {
                tracing::error!("its job failed and is begun again: {e}");
                sleep(RETRY).await;
            }
        };
        let task = self.tasks.spawn(job.instrument(span));
        self.owners.insert(task.id(), owner);
    }
}

/// The span of a stage. Of the highest level: the id belongs to each line of the log. All stages of a recording are one trace.
fn span_of(work: Work, id: &Id) -> Span {
    let span = match work {
        Work::Record => error_span!("record", recording_id = %id),
        Work::Process => error_span!("process", recording_id = %id),
        Work::Upload => error_span!("upload", recording_id = %id),
        Work::Bot { .. } => error_span!("bot", bot_id = %id),
        Work::Check => error_span!("check", check_id = %id),
        Work::Film => error_span!("film", film_id = %id, recording_id = tracing::field::Empty),
    };
    log::in_trace_of(span, id.as_str())
}
