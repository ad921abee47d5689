//! What the service remembers, in one SQLite file (WAL). Everything that must not be lost is one transaction: a state, its event and the
//! deliveries of that event come together or not at all.
//!
//! One thread writes. Writes that wait together are committed together, so a sync of the disk is shared by many requests.

pub mod audit;
pub mod bots;
pub mod checks;
mod connection;
pub mod deliveries;
#[cfg(test)]
mod deliveries_tests;
pub mod events;
pub mod films;
pub mod idempotency;
pub mod keys;
pub mod recordings;
pub mod schedules;
mod schema;
pub mod secrets;
#[cfg(test)]
mod tests;
pub mod uploads;
pub mod usage;
pub mod webhooks;

pub use connection::{Database, DatabaseError};
