//! What the tests share. Every wait has a deadline; every port, folder and process is the test's own.

pub mod pair;
pub mod synthetic;

use std::future::Future;
use std::time::Duration;

/// Waits for `future`, and fails the test with `what` when it takes longer than `seconds`.
pub async fn within<T>(seconds: u64, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(seconds), future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {seconds} s: {what}"),
    }
}
