//! What does the work of a service: its own jobs, or with a queue those of many machines.

use super::cluster::{BusSettings, Cluster, Scheduler, Worker, receive};
use super::config::{Role, ServiceConfig};
use super::jobs::{Capacity, Dispatcher, JobContext, Lease};
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;

/// Starts it. The task ends when the service leaves; the workers are known to an API node only.
pub(super) fn start(
    config: &ServiceConfig,
    context: JobContext,
    capacity: Arc<Mutex<Capacity>>,
) -> (JoinHandle<()>, Option<Arc<Cluster>>) {
    let jobs = |context: JobContext| Dispatcher::new(context, capacity.clone()).run();
    let Some(queue) = config.queue.clone() else { return (tokio::spawn(jobs(context)), None) };
    let name = config.worker_name();
    let bus = |role: &str| BusSettings {
        address: queue,
        credentials: config.queue_credentials.clone(),
        name: format!("roombot {role} {name}"),
    };
    match (config.role, context.lease.clone()) {
        (Role::Worker, Some(lease)) => {
            let worker = Worker {
                name: name.clone(),
                labels: config.labels.clone(),
                settings: bus("worker"),
                context: context.clone(),
                lease,
                capacity: capacity.clone(),
                nudge: Arc::default(),
            };
            let jobs = jobs(context);
            let both = async move {
                tokio::join!(worker.run(), jobs);
            };
            (tokio::spawn(both), None)
        }
        _ => {
            let cluster = Arc::new(Cluster::default());
            let (database, leaving) = (context.database.clone(), context.leaving.clone());
            let scheduler = Scheduler::new(database.clone(), cluster.clone(), leaving, context.quota.clone());
            let (watch, inbox) = (cluster.clone().watch(bus("api")), receive(cluster.clone(), database));
            // Bots and checks run here; a lease without recordings leaves those to the workers.
            let nothing = Arc::new(Lease::new(&context.folders.run()));
            let jobs = jobs(JobContext { lease: Some(nothing), ..context });
            let task = async move {
                tokio::select! {
                    ((), ()) = async { tokio::join!(scheduler.run(), jobs) } => {}
                    () = watch => {}
                    () = inbox => {}
                }
            };
            (tokio::spawn(task), Some(cluster))
        }
    }
}
