//! Which scenes a film consists of, from manifest and timeline alone: who is visible from when. Pure; it lays nothing out and opens no
//! file.

use crate::film::layout::{Screen, Size, View, featured};
use crate::recording::frozen::Outages;
use crate::recording::intervals::{Interval, speech};
use crate::recording::manifest::{Manifest, ParticipantEntry, Span, TrackEntry};
use crate::recording::timeline::{Entry, Event};
use crate::room::media::{MediaKind, Source};
use crate::room::participant::Role;
use std::collections::HashMap;

/// The shape of a screen of unknown size.
const DEFAULT_SHAPE: Size = (16, 9);

/// What is visible from some time on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scene {
    /// What is laid out. Screens are numbers of tracks, faces numbers of participants, both in the manifest.
    pub view: View,
    /// The camera of each face, as a track number; `None` while it is off.
    pub cameras: Vec<Option<usize>>,
    /// Participants without a microphone, or with a muted one, by number.
    pub muted: Vec<usize>,
    /// Who speaks, as participant numbers.
    pub speaking: Vec<usize>,
}

/// The scenes of a recording, without the participants who are left out.
#[derive(Debug, Clone)]
pub struct ScenePlan {
    /// The recording.
    pub manifest: Manifest,
    /// Sorted, each with its start in session milliseconds; the first begins at 0, and neighbours differ.
    pub scenes: Vec<(u64, Scene)>,
    /// Keys of participants who are left out.
    without: Vec<String>,
}

impl ScenePlan {
    /// The plan of a recording; `without` are the keys of participants who are left out.
    pub fn new(manifest: Manifest, events: &[Entry], without: Vec<String>) -> ScenePlan {
        let mut plan = ScenePlan { manifest, scenes: Vec::new(), without };
        plan.scenes = plan.scenes(events);
        plan
    }

    /// Replaces the timeline.
    pub fn set_events(&mut self, events: &[Entry]) {
        self.scenes = self.scenes(events);
    }

    /// The scene at session time `ms`.
    pub fn at(&self, ms: u64) -> Option<&Scene> {
        let next = self.scenes.partition_point(|(from, _)| *from <= ms);
        self.scenes.get(next.checked_sub(1)?).map(|(_, scene)| scene)
    }

    /// The keys of participants who are left out.
    pub fn without(&self) -> &[String] {
        &self.without
    }

    /// True for tracks of participants who are not left out.
    pub fn has(&self, track: &TrackEntry) -> bool {
        !self.without.contains(&track.participant)
    }

    /// True for audio tracks of participants who are not left out.
    pub fn is_audible(&self, track: &TrackEntry) -> bool {
        track.kind == MediaKind::Audio && self.has(track)
    }

    /// The display name of participant `number`.
    pub fn name(&self, number: usize) -> &str {
        self.manifest.participants.get(number).map_or("", |p| &p.name)
    }

    /// The display name of the sender of track `number`.
    pub fn owner(&self, number: usize) -> &str {
        let key = self.manifest.tracks.get(number).map_or("", |t| &t.participant);
        self.manifest.participants.iter().find(|p| p.key == key).map_or(key, |p| &p.name)
    }

    /// The participants who can be visible, by number.
    pub fn people(&self) -> impl Iterator<Item = (usize, &ParticipantEntry)> {
        let people = self.manifest.participants.iter().enumerate();
        people.filter(|(_, p)| p.role != Role::Recorder && !self.without.contains(&p.key))
    }

    fn scenes(&self, events: &[Entry]) -> Vec<(u64, Scene)> {
        let speakers = self.speakers(events);
        let featured = featured(&speakers);
        let manifest = &self.manifest;
        let spans = manifest.participants.iter().flat_map(|p| &p.present);
        let spans = spans.chain(manifest.tracks.iter().flat_map(|t| &t.mutes));
        let mut cuts: Vec<u64> = spans.flat_map(|s| [Some(s.start_ms), s.end_ms]).flatten().collect();
        cuts.extend(manifest.tracks.iter().flat_map(|t| [t.start_ms, t.until_ms()]));
        let outages = Outages::of(events);
        let cameras = manifest.tracks.iter().enumerate().filter(|(_, t)| t.source == Source::Camera);
        let frozen: HashMap<usize, Vec<Span>> =
            cameras.map(|(n, t)| (n, outages.freezes(t))).filter(|(_, spans)| !spans.is_empty()).collect();
        cuts.extend(frozen.values().flatten().flat_map(|s| [Some(s.start_ms), s.end_ms]).flatten());
        let screens = manifest.tracks.iter().filter(|t| t.source == Source::Screen);
        cuts.extend(screens.flat_map(|t| &t.resolutions).map(|r| r.at_ms));
        let spoken = self.speech(events);
        cuts.extend(spoken.iter().flat_map(|(_, interval)| [interval.start_ms, interval.end_ms]));
        cuts.extend(featured.iter().map(|(at, _)| *at));
        cuts.push(0);
        cuts.retain(|at| *at == 0 || *at < manifest.duration_ms);
        cuts.sort_unstable();
        cuts.dedup();
        let last =
            |at: u64| featured.partition_point(|(from, _)| *from <= at).checked_sub(1).and_then(|i| featured.get(i));
        let scene = |at: u64| {
            let mut scene = self.scene(at, &frozen);
            scene.view.featured = last(at).map(|(_, who)| *who);
            scene.speaking =
                spoken.iter().filter(|(_, i)| (i.start_ms..i.end_ms).contains(&at)).map(|(who, _)| *who).collect();
            scene.speaking.sort_unstable();
            scene.speaking.dedup();
            (at, scene)
        };
        let mut scenes: Vec<(u64, Scene)> = cuts.into_iter().map(scene).collect();
        scenes.dedup_by(|later, earlier| later.1 == earlier.1);
        scenes
    }

    /// Who speaks when, by participant number.
    pub fn speech(&self, events: &[Entry]) -> Vec<(usize, Interval)> {
        let spoken = speech(events, self.manifest.duration_ms).into_iter();
        let number = |key: &str| self.people().find(|(_, p)| p.key == key).map(|(number, _)| number);
        spoken.filter_map(|(key, interval)| Some((number(key)?, interval))).collect()
    }

    /// Changes of the active speaker.
    fn speakers(&self, events: &[Entry]) -> Vec<(u64, Option<usize>)> {
        let number = |key: &str| self.people().find(|(_, p)| p.key == key).map(|(number, _)| number);
        let change = |entry: &Entry| match &entry.event {
            Event::Speaker { participant } => Some((entry.t_ms, participant.as_deref().and_then(number))),
            _ => None,
        };
        let mut changes: Vec<_> = events.iter().filter_map(change).collect();
        changes.sort_by_key(|(at, _)| *at);
        changes
    }

    /// Who is visible; `frozen` are the times at which the picture of a camera is old, by track number.
    fn scene(&self, at: u64, frozen: &HashMap<usize, Vec<Span>>) -> Scene {
        let tracks = self.manifest.tracks.iter().enumerate().filter(|(_, t)| self.has(t) && is_live(t, at));
        let live: Vec<(usize, &TrackEntry)> = tracks.collect();
        let mut scene = Scene::default();
        let screens = live.iter().filter(|(_, t)| t.source == Source::Screen);
        scene.view.screens = screens.map(|(number, t)| Screen { number: *number, shape: shape(t, at) }).collect();
        for (index, person) in self.people() {
            // Of two at once, the later one: the earlier one is about to end.
            let own = |source: Source| live.iter().rfind(|(_, t)| t.source == source && t.participant == person.key);
            let camera = own(Source::Camera).map(|(number, _)| *number);
            let is_frozen = |camera: &usize| frozen.get(camera).is_some_and(|spans| spans.iter().any(|s| holds(s, at)));
            let shown = camera.filter(|camera| !is_frozen(camera));
            if camera.is_some() || person.present.iter().any(|span| holds(span, at)) {
                scene.view.faces.push(index);
                scene.cameras.push(shown);
                scene.muted.extend(own(Source::Mic).is_none().then_some(index));
            }
        }
        scene
    }
}

/// The picture size at a time.
fn shape(track: &TrackEntry, at: u64) -> Size {
    let known = track.resolutions.iter().rfind(|r| r.at_ms <= at).or(track.resolutions.first());
    known.map_or(DEFAULT_SHAPE, |r| (r.width.max(1), r.height.max(1)))
}

fn is_live(track: &TrackEntry, at: u64) -> bool {
    (track.start_ms..track.until_ms()).contains(&at) && !track.mutes.iter().any(|mute| holds(mute, at))
}

fn holds(span: &Span, at: u64) -> bool {
    span.start_ms <= at && at < span.end_ms.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::manifest::Resolution;
    use crate::room::media::Codec;
    use jiff::Timestamp;

    fn person(key: &str, role: Role, present: &[(u64, Option<u64>)]) -> ParticipantEntry {
        let present = present.iter().map(|(start_ms, end_ms)| Span { start_ms: *start_ms, end_ms: *end_ms }).collect();
        ParticipantEntry { key: key.into(), ids: vec![], name: key.into(), role, present }
    }

    fn track(key: &str, source: Source, start_ms: u64, end_ms: u64) -> TrackEntry {
        let codec = if source == Source::Mic { Codec::Opus } else { Codec::Vp8 };
        TrackEntry { end_ms, ..TrackEntry::new("x", key, source, codec, start_ms) }
    }

    fn speaker(t_ms: u64, who: Option<&str>) -> Entry {
        Entry { t_ms, at: Timestamp::UNIX_EPOCH, event: Event::Speaker { participant: who.map(str::to_owned) } }
    }

    fn meeting() -> Manifest {
        let mut manifest = Manifest::new("r", "u", Timestamp::UNIX_EPOCH);
        manifest.duration_ms = 9000;
        manifest.participants = vec![
            person("alice", Role::Participant, &[(0, None)]),
            person("bot", Role::Recorder, &[(0, None)]),
            person("bob", Role::Participant, &[(3000, Some(6000))]),
        ];
        let mut camera = track("alice", Source::Camera, 500, 9000);
        camera.mutes = vec![Span { start_ms: 7000, end_ms: Some(8000) }];
        let mut screen = track("bob", Source::Screen, 4000, 5000);
        let resolution = |at_ms, width, height| Resolution { at_ms, width, height };
        screen.resolutions = vec![resolution(4010, 1920, 1080), resolution(4500, 1080, 1920)];
        manifest.tracks =
            vec![camera, screen, track("alice", Source::Mic, 100, 9000), track("ghost", Source::Camera, 0, 9000)];
        manifest
    }

    #[test]
    fn people_come_and_go_and_screens_are_shared() {
        let plan = ScenePlan::new(meeting(), &[], vec![]);
        let seen: Vec<_> =
            plan.scenes.into_iter().map(|(at, s)| (at, s.view.screens, s.view.faces, s.cameras, s.muted)).collect();
        let on = Some(0);
        let screen = |shape| vec![Screen { number: 1, shape }];
        let expected = [
            (0, vec![], vec![0], vec![None], vec![0]),
            (100, vec![], vec![0], vec![None], vec![]),
            (500, vec![], vec![0], vec![on], vec![]),
            (3000, vec![], vec![0, 2], vec![on, None], vec![2]),
            (4000, screen((1920, 1080)), vec![0, 2], vec![on, None], vec![2]),
            (4500, screen((1080, 1920)), vec![0, 2], vec![on, None], vec![2]),
            (5000, vec![], vec![0, 2], vec![on, None], vec![2]),
            (6000, vec![], vec![0], vec![on], vec![]),
            (7000, vec![], vec![0], vec![None], vec![]),
            (8000, vec![], vec![0], vec![on], vec![]),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_last_frame_is_not_the_end_of_a_track_but_a_lost_camera_is_a_card() {
        let mut manifest = meeting();
        // Drawn once, and there until it is unshared.
        manifest.tracks[1].resolutions.truncate(1);
        manifest.tracks[1].end_ms = 4020;
        manifest.tracks[1].ended_ms = Some(6000);
        manifest.tracks[0].end_ms = 600;
        manifest.tracks[0].ended_ms = Some(9000);
        manifest.tracks[0].mutes.clear();
        let state = |t_ms, state: &str| {
            let event = Event::IceState { participant: "alice".into(), state: state.into() };
            Entry { t_ms, at: Timestamp::UNIX_EPOCH, event }
        };
        let plan = ScenePlan::new(manifest, &[state(5000, "disconnected"), state(8000, "connected")], vec![]);
        let at = |ms: u64| plan.at(ms).map(|scene| (scene.view.screens.len(), scene.cameras[0])).unwrap();
        let seen = [3000, 4500, 5990, 6000, 6990, 7000, 7990, 8000, 8990].map(at);
        let (on, off) = (Some(0), None);
        assert_eq!(seen, [(0, on), (1, on), (1, on), (0, on), (0, on), (0, off), (0, off), (0, on), (0, on)]);
    }

    #[test]
    fn who_speaks_is_marked_and_featured() {
        let events =
            [speaker(1000, Some("alice")), speaker(2000, None), speaker(3500, Some("bob")), speaker(5500, Some("bot"))];
        let plan = ScenePlan::new(meeting(), &events, vec![]);
        let at = |ms: u64| plan.at(ms).map(|scene| (scene.speaking.clone(), scene.view.featured)).unwrap();
        assert_eq!((at(900), at(1500), at(2500)), ((vec![], None), (vec![0], Some(0)), (vec![], Some(0))));
        // Bob has to go on for a while; the recorder is nobody.
        assert_eq!((at(3600), at(4300), at(5600)), ((vec![2], Some(0)), (vec![2], Some(2)), (vec![], Some(2))));
        // Two at once: both are marked.
        let speech = |t_ms, key: &str, speaks| {
            let event = Event::Speech { participant: key.into(), speaks };
            Entry { t_ms, at: Timestamp::UNIX_EPOCH, event }
        };
        let events = [
            speech(1000, "alice", true),
            speaker(1000, Some("alice")),
            speech(3500, "bob", true),
            speech(4000, "alice", false),
            speaker(4000, Some("bob")),
        ];
        let plan = ScenePlan::new(meeting(), &events, vec![]);
        let speaking = |ms: u64| plan.at(ms).unwrap().speaking.clone();
        assert_eq!((speaking(3400), speaking(3600), speaking(4100)), (vec![0], vec![0, 2], vec![2]));
    }

    #[test]
    fn who_is_left_out_is_not_there() {
        let plan = ScenePlan::new(meeting(), &[speaker(3500, Some("bob"))], vec!["bob".into()]);
        let scene = plan.at(4600).unwrap();
        assert_eq!(
            (&scene.view.screens[..], &scene.view.faces[..], scene.speaking.clone()),
            (&[][..], &[0][..], vec![])
        );
    }

    #[test]
    fn an_empty_recording_has_one_empty_scene() {
        let plan = ScenePlan::new(Manifest::new("r", "u", Timestamp::UNIX_EPOCH), &[], vec![]);
        assert_eq!(plan.scenes, [(0, Scene::default())]);
    }
}
