//! Sends what a recorder writes to the store beside the stages in which it grows. A store that is slow, full or gone delays nobody: what it
//! did not take goes with the next part.

use super::JobContext;
use crate::service::model::Id;
use std::convert::Infallible;
use std::future::pending;
use tokio::time::{MissedTickBehavior, interval};

/// Runs a stage of a recording to its end, and sends what is new meanwhile. What is on its way at the end is given up: the stage
/// `uploading` sends everything.
pub(super) async fn beside<T>(context: &JobContext, id: &Id, stage: impl Future<Output = T>) -> T {
    tokio::select! {
        result = stage => result,
        never = keep_sending(context, id) => match never {},
    }
}

async fn keep_sending(context: &JobContext, id: &Id) -> Infallible {
    let Some((storage, every)) = context.storage.as_ref().and_then(|storage| Some((storage, storage.live_every()?)))
    else {
        return pending().await;
    };
    let (folder, progress) = (context.folders.recording(id), context.folders.live(id));
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut recording = None;
    let mut failed = false;
    loop {
        ticks.tick().await;
        if recording.is_none() {
            // Where it goes does not change.
            recording = context.database.recording(id).await.ok().flatten().map(|stored| stored.recording);
        }
        let Some(recording) = &recording else { continue };
        // Another machine may go on from what is there.
        if !context.is_leased(id) {
            continue;
        }
        match storage.send_live(recording, &folder, &progress).await {
            Ok(_) => failed = false,
            // Said once: a store that is down fails every time, for every recording.
            Err(e) if !std::mem::replace(&mut failed, true) => {
                tracing::warn!("what is recorded is not in the store yet: {e}");
            }
            Err(_) => {}
        }
    }
}
