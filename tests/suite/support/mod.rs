//! What tests share. Never asserts about behaviour itself.

pub mod browser;
pub mod proxy;
pub mod server;

use std::future::Future;
use std::time::Duration;

/// Waits for a future, or panics with `what` when it takes longer than `seconds`.
pub async fn within<T>(seconds: u64, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(seconds), future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {seconds} s: {what}"),
    }
}
