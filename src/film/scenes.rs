//! Who and what is to be seen from when, by a manifest alone. Pure; it lays nothing out and opens no file.

use crate::record::manifest::{Manifest, Span, TrackEntry};
use crate::room::layout::View;
use crate::room::media::Source;
use crate::room::people::Role;

/// What is seen from a moment on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scene {
    /// Screens are numbers of tracks, faces numbers of participants, both in the manifest.
    pub view: View,
    /// The camera of each face, a number of a track; none while it is off.
    pub cameras: Vec<Option<usize>>,
}

/// The scenes in order, each with the session milliseconds of its start; the first begins at 0, and no two that follow
/// each other are the same.
pub fn scenes(manifest: &Manifest) -> Vec<(u64, Scene)> {
    let spans = manifest.participants.iter().flat_map(|p| &p.present);
    let spans = spans.chain(manifest.tracks.iter().flat_map(|t| &t.mutes));
    let mut cuts: Vec<u64> = spans.flat_map(|s| [Some(s.start_ms), s.end_ms]).flatten().collect();
    cuts.extend(manifest.tracks.iter().flat_map(|t| [t.start_ms, t.end_ms]));
    cuts.push(0);
    cuts.retain(|at| *at == 0 || *at < manifest.duration_ms);
    cuts.sort_unstable();
    cuts.dedup();
    let mut scenes: Vec<(u64, Scene)> = cuts.into_iter().map(|at| (at, scene(manifest, at))).collect();
    scenes.dedup_by(|later, earlier| later.1 == earlier.1);
    scenes
}

fn scene(manifest: &Manifest, at: u64) -> Scene {
    let of = |source: Source| {
        manifest.tracks.iter().enumerate().filter(move |(_, t)| t.source == source && is_live(t, at)).map(|(i, _)| i)
    };
    let cameras: Vec<usize> = of(Source::Camera).collect();
    let mut scene = Scene::default();
    scene.view.screens = of(Source::Screen).collect();
    for (index, person) in manifest.participants.iter().enumerate().filter(|(_, p)| p.role != Role::Recorder) {
        // Of two at once, the later one: the earlier is about to end.
        let camera =
            cameras.iter().copied().rfind(|t| manifest.tracks.get(*t).is_some_and(|t| t.participant == person.key));
        if camera.is_some() || person.present.iter().any(|span| holds(span, at)) {
            scene.view.faces.push(index);
            scene.cameras.push(camera);
        }
    }
    scene
}

fn is_live(track: &TrackEntry, at: u64) -> bool {
    (track.start_ms..track.end_ms).contains(&at) && !track.mutes.iter().any(|mute| holds(mute, at))
}

fn holds(span: &Span, at: u64) -> bool {
    span.start_ms <= at && at < span.end_ms.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::manifest::ParticipantEntry;
    use crate::room::media::Codec;
    use jiff::Timestamp;

    fn person(key: &str, role: Role, present: &[(u64, Option<u64>)]) -> ParticipantEntry {
        let present = present.iter().map(|(start_ms, end_ms)| Span { start_ms: *start_ms, end_ms: *end_ms }).collect();
        ParticipantEntry { key: key.into(), ids: vec![], name: key.into(), role, present }
    }

    fn track(key: &str, source: Source, start_ms: u64, end_ms: u64) -> TrackEntry {
        TrackEntry { end_ms, ..TrackEntry::new("x", key, source, Codec::Vp8, start_ms) }
    }

    #[test]
    fn people_come_and_go_and_screens_are_shared() {
        let mut manifest = Manifest::new("r", "u", Timestamp::UNIX_EPOCH);
        manifest.duration_ms = 9000;
        manifest.participants = vec![
            person("alice", Role::Participant, &[(0, None)]),
            person("bot", Role::Recorder, &[(0, None)]),
            person("bob", Role::Participant, &[(3000, Some(6000))]),
        ];
        let mut camera = track("alice", Source::Camera, 500, 9000);
        camera.mutes = vec![Span { start_ms: 7000, end_ms: Some(8000) }];
        manifest.tracks = vec![
            camera,
            track("bob", Source::Screen, 4000, 5000),
            track("alice", Source::Mic, 100, 9000),
            track("ghost", Source::Camera, 0, 9000),
        ];
        let seen: Vec<_> = scenes(&manifest)
            .into_iter()
            .map(|(at, scene)| (at, scene.view.screens, scene.view.faces, scene.cameras))
            .collect();
        let on = Some(0);
        let expected = [
            (0, vec![], vec![0], vec![None]),
            (500, vec![], vec![0], vec![on]),
            (3000, vec![], vec![0, 2], vec![on, None]),
            (4000, vec![1], vec![0, 2], vec![on, None]),
            (5000, vec![], vec![0, 2], vec![on, None]),
            (6000, vec![], vec![0], vec![on]),
            (7000, vec![], vec![0], vec![None]),
            (8000, vec![], vec![0], vec![on]),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn an_empty_recording_has_one_empty_scene() {
        assert_eq!(scenes(&Manifest::new("r", "u", Timestamp::UNIX_EPOCH)), [(0, Scene::default())]);
    }
}
