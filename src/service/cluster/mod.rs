//! Several machines over NATS JetStream: an API node that has the database and gives recordings out, and workers that record them with the
//! same jobs as on one machine. Joins no room and reads no media itself.
//!
//! - `session` and `roster`: a worker renews its session; one that does not is taken away from it, after its recorders have left their
//!   rooms (`timing`). Nobody believes anything because of a clock that can be set.
//! - `scheduler` and `place`: what is to be recorded is placed with a worker, under a fencing number (`Placement`), and stands in that
//!   worker's list.
//! - `worker`, `take`, `orphans`, `tidy`: a worker does what its list says; what it has lost it sends beside, what has ended it forgets.
//! - `films`: those that are asked for after a recording, from the store and back into it.
//! - `reporter`, `inbox`, `merge`: events and states come back through a stream, in order, and count once.

mod api_node;
mod ask;
mod bus;
mod films;
mod inbox;
mod merge;
mod orphans;
mod place;
mod reporter;
mod roster;
mod scheduler;
mod session;
mod take;
mod tidy;
mod timing;
mod wire;
mod worker;

pub use api_node::{Cluster, WorkerState, WorkerView};
pub use bus::BusSettings;
pub use inbox::receive;
pub use place::fits;
pub use scheduler::Scheduler;
pub use wire::{Answer, Ask, Piece};
pub use worker::Worker;
