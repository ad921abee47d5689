//! The track labels that we announce to the room. Pure.

use crate::room::media::{MediaKind, Source};
use crate::room::participant::TrackLabel;
use crate::signal::protocol::limits;
use std::collections::HashSet;

/// The labels of these tracks, those in `muted` (by stream and kind) muted. A room takes [`limits::TRACKS`] of one member: screens go
/// first, as a nameless track is taken for a camera or a microphone.
pub(crate) fn of<'a>(
    tracks: impl Iterator<Item = &'a TrackLabel>,
    muted: &HashSet<(String, MediaKind)>,
) -> Vec<TrackLabel> {
    let with_mute = |label: &TrackLabel| {
        let muted = label.muted || muted.contains(&(label.stream.clone(), label.kind));
        TrackLabel { muted, ..label.clone() }
    };
    let mut labels: Vec<TrackLabel> = tracks.map(with_mute).collect();
    labels.sort_by_key(|label| label.source == Source::default_for(label.kind));
    labels.truncate(limits::TRACKS);
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screens_are_never_nameless_and_what_is_muted_says_so() {
        let label =
            |n: usize, source| TrackLabel { stream: n.to_string(), kind: MediaKind::Video, source, muted: false };
        let mut tracks: Vec<TrackLabel> = (0..limits::TRACKS).map(|n| label(n, Source::Camera)).collect();
        tracks.push(label(99, Source::Screen));
        let labels = of(tracks.iter(), &HashSet::from([("1".to_owned(), MediaKind::Video)]));
        assert_eq!((labels.len(), labels[0].source), (limits::TRACKS, Source::Screen));
        let muted: Vec<&str> = labels.iter().filter(|label| label.muted).map(|label| label.stream.as_str()).collect();
        assert_eq!(muted, ["1"]);
    }
}
