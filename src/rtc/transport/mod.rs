//! Below the driver: wake-ups of sockets, and bad networks for tests.

pub(crate) mod impair;
pub(crate) mod wakeup;

pub use impair::{Impairment, Trouble};
