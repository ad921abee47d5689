//! Each limit ends a recording in its own time, and nothing else does.

use super::*;

/// Waits for limits while a status is told every second; after how many seconds they are reached, and which.
async fn run(limits: Limits, status_at: impl Fn(u64) -> Status) -> Option<(u64, &'static str)> {
    let started = Instant::now();
    let (longest, in_force) = watch::channel(limits.duration);
    let (tell, status) = watch::channel(Status { empty: true, ..Status::default() });
    let mut reached = std::pin::pin!(limits.reached(started, in_force, status));
    for second in 0..60 {
        tell.send_replace(status_at(second));
        if let Ok(reason) = tokio::time::timeout(Duration::from_secs(1), &mut reached).await {
            return Some((started.elapsed().as_secs(), reason.code()));
        }
    }
    drop(longest);
    None
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn nobody_comes_or_everybody_leaves() {
    let limits = Limits { until_nobody: seconds(10), until_empty: seconds(5), ..Limits::default() };
    let empty = |empty| Status { empty, ..Status::default() };
    assert_eq!(run(limits, |_| empty(true)).await, Some((10, "nobody_joined")));
    assert_eq!(run(limits, |at| empty(!(8..20).contains(&at))).await, Some((25, "everybody_left")));
    assert_eq!(run(limits, |at| empty(at < 8 || at % 4 == 0)).await, None);
}

#[tokio::test(start_paused = true)]
async fn silence_and_bots_have_to_last() {
    let limits = Limits { until_silent: seconds(10), until_only_bots: seconds(7), ..Limits::default() };
    let quiet = |ms| Status { quiet_ms: ms, ..Status::default() };
    assert_eq!(run(limits, |at| quiet(at * 1000)).await, Some((10, "silence")));
    assert_eq!(run(limits, |at| quiet(at % 9 * 1000)).await, None);
    let bots = |at: u64| Status { only_bots_ms: at.saturating_sub(3) * 1000, ..Status::default() };
    assert_eq!(run(limits, bots).await, Some((10, "only_bots")));
}

#[tokio::test(start_paused = true)]
async fn media_and_files_count_together() {
    let limits = Limits { bytes: Some(1000), ..Limits::default() };
    let grows = |media, files| move |at| Status { bytes: at * media, file_bytes: at * files, ..Status::default() };
    assert_eq!(run(limits, grows(60, 40)).await, Some((10, "max_size")));
    assert_eq!(run(limits, grows(10, 0)).await, None);
    assert_eq!(run(Limits::default(), grows(u64::MAX / 100, 0)).await, None);
}

#[tokio::test(start_paused = true)]
async fn the_length_can_be_changed_meanwhile() {
    let started = Instant::now();
    let (longest, in_force) = watch::channel(seconds(5));
    let (_tell, status) = watch::channel(Status::default());
    let mut reached = std::pin::pin!(Limits::default().reached(started, in_force, status));
    assert!(tokio::time::timeout(Duration::from_secs(4), &mut reached).await.is_err());
    longest.send_replace(seconds(20));
    assert_eq!(reached.await, EndReason::TimeUp);
    assert_eq!(started.elapsed().as_secs(), 20);
}
