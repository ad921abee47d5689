//! Waiting: for something, with a deadline, or for time itself. The only place of the tests that sleeps.

use std::future::Future;
use std::time::Duration;

/// What a machine that is busy elsewhere gets at least, however soon something comes on an idle one.
const LEAST: u64 = 60;

/// The deadline of a wait that was meant to end in `seconds`.
pub fn deadline(seconds: u64) -> Duration {
    Duration::from_secs(seconds.max(LEAST))
}

/// Waits for `future`, and fails the test with `what` when it does not come: a deadline and no measure. It is `seconds`, and never less than
/// [`LEAST`]; where soon is what is promised, it is [`promptly`].
pub fn within<T>(seconds: u64, what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    promptly(seconds.max(LEAST), what, future)
}

/// Waits for `future`, and fails the test with `what` when it takes longer than the `seconds` that a user is promised.
pub fn promptly<T>(seconds: u64, what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    // Boxed here: the futures of a whole meeting, one in the other, are more than a test's stack.
    let future = Box::pin(future);
    async move {
        match tokio::time::timeout(Duration::from_secs(seconds), future).await {
            Ok(value) => value,
            Err(_) => panic!("not within {seconds} s: {what}"),
        }
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
