//! Waiting: for something, with a deadline, or for time itself. The only place of the tests that sleeps.

use std::future::Future;
use std::time::Duration;

/// Waits for `future`, and fails the test with `what` when it takes longer than `seconds`.
pub async fn within<T>(seconds: u64, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(seconds), future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {seconds} s: {what}"),
    }
}

/// Between two looks at something that is waited for; whoever looks has a deadline.
pub async fn moment() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Lets time pass where time itself is the subject. `why` says what happens in it, or must not happen: where something that can be seen
/// is waited for, [`moment`] and a deadline are the way.
pub async fn pause(length: Duration, why: &str) {
    tracing::debug!("{length:?}: {why}");
    tokio::time::sleep(length).await;
}

/// [`moment`] for those who block.
pub fn blocking_moment() {
    std::thread::sleep(Duration::from_millis(20));
}

/// [`pause`] for those who block.
pub fn blocking_pause(length: Duration, why: &str) {
    tracing::debug!("{length:?}: {why}");
    std::thread::sleep(length);
}
