//! A track goes on from another source without a word: its SSRC collided (RFC 3550, 8.2), or its encoder was started anew. The new stream
//! begins once the old one is silent, so that consumers never see two of the same; two that go on side by side are two streams.

use super::Subscriber;
use super::handler::MediaHandler;
use crate::room::media::RemoteTrack;
use std::time::{Duration, Instant};

/// A source without packets for this long is over, if there is another one of its track.
const SILENT: Duration = Duration::from_millis(300);
/// Two sources of a track that both send for this long are two streams.
const BESIDE: Duration = Duration::from_secs(1);

/// Whether both are the same track, and no layers of it.
fn is_same(one: &RemoteTrack, other: &RemoteTrack) -> bool {
    let identity = |track: &RemoteTrack| (track.stream.clone(), track.track.clone(), track.kind());
    one.rid.is_none() && other.rid.is_none() && one.ssrc != other.ssrc && identity(one) == identity(other)
}

impl<S> Subscriber<S> {
    /// Ends streams that another source of the same track has taken over from. Returns the sources that have to wait, since it is not known yet
    /// whether they do.
    pub(super) fn succeed(&mut self, now: Instant, handler: &mut impl MediaHandler<State = S>) -> Vec<u32> {
        let (mut over, mut wait) = (Vec::new(), Vec::new());
        for (ssrc, waiting) in &self.announced {
            if waiting.refused || self.streams.contains_key(ssrc) {
                continue;
            }
            let Some(since) = self.early.since(*ssrc) else { continue };
            let before = self.streams.values().filter(|stream| is_same(&stream.info.track, &waiting.track));
            for stream in before {
                let last = stream.account.last.unwrap_or(since);
                if now.saturating_duration_since(last) >= SILENT {
                    over.push((stream.ssrc(), last));
                } else if now.saturating_duration_since(since) < BESIDE {
                    wait.push(*ssrc);
                }
            }
        }
        for (ssrc, last) in over {
            self.ending.retain(|(ending, _)| *ending != ssrc);
            if let Some(announced) = self.announced.get_mut(&ssrc) {
                announced.succeeded = true;
            }
            self.end_stream(ssrc, last, handler);
        }
        wait
    }

    /// Forgets sources that others have taken over from, where there is no room for more.
    pub(super) fn forget_succeeded(&mut self) {
        let Subscriber { announced, streams, others, .. } = self;
        for (ssrc, _) in announced.extract_if(|ssrc, announced| announced.succeeded && !streams.contains_key(ssrc)) {
            others.ended(ssrc);
        }
    }
}
