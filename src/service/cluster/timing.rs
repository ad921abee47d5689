//! How long things may take where several machines record. Every duration is measured on one machine's own monotonic clock, so clocks
//! that are set change nothing.
//!
//! A worker renews its session; the time for which it may be in its rooms counts from before the renewal was sent. An API node takes a
//! session away that it has seen unchanged for longer, counted from after the renewal was seen. So whoever loses a session has left its
//! rooms `DEAD - HOLD` before anybody else may enter them.

use std::time::Duration;

/// How often a worker renews its session.
pub const RENEW: Duration = Duration::from_millis(500);
/// How long a renewal may take until the next one is tried.
pub const RENEWAL_TIMEOUT: Duration = Duration::from_millis(700);
/// How long recorders may be in their rooms after a renewal was sent that succeeded.
pub const HOLD: Duration = Duration::from_millis(2700);
/// How long a session is seen unchanged until it is taken away.
pub const DEAD: Duration = Duration::from_millis(3500);
/// How often the API node looks at its workers and recordings, and a worker at what it has to do, where nothing tells them to.
pub const LOOK: Duration = Duration::from_millis(400);
/// How long a request to a worker may take.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a worker that lost its session waits whether it gets its recordings back before it sends what it has beside them.
pub const ORPHAN_WAIT: Duration = Duration::from_secs(10);

const _: () = assert!(RENEW.as_millis() * 3 < HOLD.as_millis() && HOLD.as_millis() + 800 <= DEAD.as_millis());
