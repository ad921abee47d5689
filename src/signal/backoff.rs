//! The delays between attempts to reach a room again: one policy for all kinds of rooms. Sleeps for nobody.

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// 250 ms, doubled with each attempt up to 5 s, with jitter; 28 attempts take about two minutes.
const RECONNECT: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(250))
    .with_max_delay(Duration::from_secs(5))
    .with_max_times(28)
    .with_jitter();

/// The delays before each attempt; it ends when the connection is to be given up.
pub(super) fn reconnect_delays() -> ExponentialBackoff {
    RECONNECT.build()
}
