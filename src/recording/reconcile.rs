//! Brings a manifest that is some seconds old up to date with the timeline and the track files. Pure: it reads values, no files.

use crate::container::matroska::Scan;
use crate::recording::attachments;
use crate::recording::manifest::{Gap, Manifest, ParticipantEntry, Resolution, Span, Status, TrackEntry};
use crate::recording::names::FileNames;
use crate::recording::parts;
use crate::recording::timeline::{Entry, Event};
use crate::room::end::CRASHED;
use crate::room::media::Codec;
use crate::room::participant::Role;

/// Brings `manifest` up to date: presence of participants, tracks and their lengths, events since it was written.
/// Open spans stay open: see [`close`].
pub fn reconcile(manifest: &mut Manifest, events: &[Entry], tracks: &[(String, Scan)]) {
    let written_ms = manifest.duration_ms;
    update_presence(manifest, events);
    for entry in events {
        apply_event(manifest, entry, entry.t_ms > written_ms);
    }
    for (file, scan) in tracks {
        apply_scan(manifest, file, scan);
    }
    let ends = manifest.tracks.iter().map(|track| track.end_ms);
    let latest = ends.chain(events.iter().map(|entry| entry.t_ms)).max().unwrap_or(0);
    manifest.duration_ms = manifest.duration_ms.max(latest);
}

/// Ends the tracks of which no end is known: when their participant left, or else with what is known of the recording.
pub fn end_tracks(manifest: &mut Manifest) {
    let end_ms = manifest.duration_ms;
    let Manifest { tracks, participants, .. } = manifest;
    for track in tracks.iter_mut().filter(|track| track.ended_ms.is_none()) {
        let present = participants.iter().find(|entry| entry.key == track.participant).map(|entry| &entry.present);
        let left_ms = present.and_then(|spans| spans.last()).and_then(|span| span.end_ms);
        track.ended_ms = Some(left_ms.unwrap_or(end_ms).min(end_ms).max(track.end_ms));
    }
}

/// Ends a recording where its media ends: status, end, and every open span. It was interrupted, or ended with track files that could not be
/// finished then.
pub fn close(manifest: &mut Manifest) {
    let end_ms = manifest.duration_ms;
    let was_cut_short = manifest.ended.is_none();
    manifest.ended = manifest.ended.or(Some(manifest.time_of(end_ms)));
    let present = manifest.participants.iter_mut().flat_map(|participant| &mut participant.present);
    let muted = manifest.tracks.iter_mut().flat_map(|track| &mut track.mutes);
    for span in present.chain(muted).chain(&mut manifest.pauses) {
        span.end_ms = Some(span.until(end_ms));
    }
    manifest.end_part(end_ms, "cut short", CRASHED);
    end_tracks(manifest);
    let is_complete = manifest.judge();
    manifest.status = match (was_cut_short, is_complete) {
        (true, _) => Status::Recovered,
        (false, true) => Status::Complete,
        (false, false) => Status::Partial,
    };
    if was_cut_short {
        let cut_short = parts::cut_short(end_ms, &manifest.pauses, &manifest.present());
        manifest.reasons.extend(cut_short);
    }
}

/// When everybody was in the room, from the events: the manifest knows it only until it was written.
fn update_presence(manifest: &mut Manifest, events: &[Entry]) {
    let mut seen: Vec<&str> = Vec::new();
    for Entry { t_ms, event, .. } in events {
        match event {
            Event::Joined { participant, id, name } => {
                let entry = participant_entry(manifest, participant, name);
                if !entry.ids.contains(id) {
                    entry.ids.push(id.clone());
                }
                if !seen.contains(&participant.as_str()) {
                    seen.push(participant);
                    entry.present.clear();
                }
                if entry.present.last().is_none_or(|span| span.end_ms.is_some()) {
                    entry.present.push(Span { start_ms: *t_ms, end_ms: None });
                }
            }
            Event::Left { participant, .. } => {
                let entry = manifest.participants.iter_mut().find(|entry| entry.key == *participant);
                if let Some(span) = entry.and_then(|entry| entry.present.last_mut()) {
                    span.end_ms.get_or_insert(*t_ms);
                }
            }
            Event::RecorderAway { .. } => {
                let present = manifest.participants.iter_mut().filter_map(|entry| entry.present.last_mut());
                present.filter(|span| span.start_ms <= *t_ms).for_each(|span| {
                    span.end_ms.get_or_insert(*t_ms);
                });
            }
            _ => {}
        }
    }
}

fn participant_entry<'a>(manifest: &'a mut Manifest, key: &str, name: &str) -> &'a mut ParticipantEntry {
    let at = manifest.participants.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
        let (key, name) = (key.to_owned(), name.to_owned());
        manifest.participants.push(ParticipantEntry {
            key,
            ids: Vec::new(),
            name,
            role: Role::default(),
            present: Vec::new(),
        });
        manifest.participants.len() - 1
    });
    &mut manifest.participants[at]
}

/// Applies one event; `later`: it came after the manifest was written.
fn apply_event(manifest: &mut Manifest, Entry { t_ms, event, .. }: &Entry, later: bool) {
    let t_ms = *t_ms;
    match event {
        Event::TrackOn { participant, file, source, codec } if !manifest.tracks.iter().any(|t| t.file == *file) => {
            manifest.tracks.push(TrackEntry::new(file, participant, *source, *codec, t_ms));
        }
        Event::TrackOff { file, .. } => {
            if let Some(track) = manifest.tracks.iter_mut().find(|track| track.file == *file) {
                track.ended_ms.get_or_insert(t_ms);
            }
        }
        Event::Mute { participant, source } if later => {
            let tracks = manifest.tracks.iter_mut().filter(|t| t.participant == *participant && t.source == *source);
            tracks.for_each(|track| track.mutes.push(Span { start_ms: t_ms, end_ms: None }));
        }
        Event::Unmute { participant, source } if later => {
            let tracks = manifest.tracks.iter_mut().filter(|t| t.participant == *participant && t.source == *source);
            tracks.filter_map(|track| track.mutes.last_mut()).for_each(|span| {
                span.end_ms.get_or_insert(t_ms);
            });
        }
        Event::Gap { file, start_ms, end_ms, cause } if later => {
            if let Some(track) = manifest.tracks.iter_mut().find(|track| track.file == *file) {
                track.gaps.push(Gap { start_ms: *start_ms, end_ms: *end_ms, cause: cause.clone() });
            }
        }
        Event::Resolution { file, width, height } if later => {
            if let Some(track) = manifest.tracks.iter_mut().find(|track| track.file == *file) {
                track.resolutions.push(Resolution { at_ms: t_ms, width: *width, height: *height });
            }
        }
        Event::File { .. } => attachments::apply(manifest, t_ms, event),
        Event::Recovered { file, dropped_bytes, .. } => {
            let cut = match dropped_bytes {
                0 => "no byte was lost".to_owned(),
                bytes => format!("its last {bytes} bytes were no whole frame"),
            };
            manifest.warn(format!("tracks/{file} was cut short and has been finished: {cut}"));
        }
        Event::RecordingPaused {} if later => manifest.pauses.push(Span { start_ms: t_ms, end_ms: None }),
        Event::RecordingResumed {} if later => {
            if let Some(pause) = manifest.pauses.last_mut() {
                pause.end_ms.get_or_insert(t_ms);
            }
        }
        Event::Unrecorded(stream) if later => manifest.note(stream.clone()),
        Event::Warning { message } if later => manifest.warn(message),
        _ => {}
    }
}

/// Corrects a track's entry by what is in its file.
fn apply_scan(manifest: &mut Manifest, file: &str, scan: &Scan) {
    let at = manifest.tracks.iter().position(|track| track.file == file);
    let at = at.or_else(|| {
        let entry = entry_from_name(file, scan.format.codec)?;
        manifest.warn(format!("tracks/{file}: when it began is not known"));
        manifest.tracks.push(entry);
        Some(manifest.tracks.len() - 1)
    });
    let Some(track) = at.and_then(|at| manifest.tracks.get_mut(at)) else {
        return manifest.warn(format!("tracks/{file}: is not part of this recording"));
    };
    let last_ms = scan.last_ms.unwrap_or(0);
    if track.frames != scan.frames {
        let ticks = last_ms.saturating_mul(u64::from(track.clock_rate)) / 1000;
        track.last_rtp = track.first_rtp.map(|first| first.saturating_add_unsigned(ticks));
    }
    (track.frames, track.key_frames, track.bytes) = (scan.frames, scan.key_frames, scan.payload);
    track.finished = scan.finished;
    let length = scan.duration_ms.unwrap_or(last_ms) as f64 * track.stretch();
    track.end_ms = track.end_ms.max(track.start_ms.saturating_add(length as u64));
    if let (Some((width, height)), true) = (scan.format.size, track.resolutions.is_empty()) {
        track.resolutions.push(Resolution { at_ms: track.start_ms, width, height });
    }
}

/// The entry of a file that neither the manifest nor the timeline knows: its name has participant and source.
fn entry_from_name(file: &str, codec: Codec) -> Option<TrackEntry> {
    let (participant, source) = FileNames::owner(file)?;
    Some(TrackEntry::new(file, participant, source, codec, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::matroska::TrackFormat;
    use crate::room::clock::{Basis, ClockSummary, LinearMapping, SessionTime};
    use crate::room::media::Source;
    use jiff::Timestamp;

    fn at(t_ms: u64, event: Event) -> Entry {
        Entry { t_ms, at: Timestamp::UNIX_EPOCH, event }
    }
    fn joined(t_ms: u64, id: &str) -> Entry {
        at(t_ms, Event::Joined { participant: "alice".into(), id: id.into(), name: "Alice".into() })
    }
    fn left(t_ms: u64) -> Entry {
        at(t_ms, Event::Left { participant: "alice".into(), reason: "left".into() })
    }
    fn camera_on(t_ms: u64) -> Entry {
        let (participant, file) = ("alice".into(), "alice.camera.1.webm".into());
        at(t_ms, Event::TrackOn { participant, file, source: Source::Camera, codec: Codec::Vp8 })
    }
    fn scan(last_ms: u64, finished: bool) -> Scan {
        let format = TrackFormat {
            codec: Codec::Vp8,
            config: None,
            size: Some((640, 360)),
            channels: 0,
            name: "alice camera".into(),
        };
        let duration_ms = finished.then_some(last_ms + 33);
        Scan {
            format,
            finished,
            frames: 90,
            key_frames: 1,
            payload: 9000,
            first_ms: Some(0),
            last_ms: Some(last_ms),
            duration_ms,
            dropped: 0,
        }
    }
    fn manifest() -> Manifest {
        Manifest::new("standup", "ws://127.0.0.1/rooms/standup", Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_track_that_the_manifest_missed_comes_from_timeline_and_file() {
        let mut manifest = manifest();
        let events = [joined(100, "p1"), camera_on(500)];
        reconcile(&mut manifest, &events, &[("alice.camera.1.webm".into(), scan(2967, true))]);
        let track = &manifest.tracks[0];
        assert_eq!((track.start_ms, track.end_ms, track.frames, track.finished), (500, 3500, 90, true));
        assert_eq!(track.resolutions, [Resolution { at_ms: 500, width: 640, height: 360 }]);
        assert_eq!(manifest.duration_ms, 3500);
        assert_eq!(manifest.participants[0].present, [Span { start_ms: 100, end_ms: None }]);
        close(&mut manifest);
        assert_eq!(manifest.participants[0].present, [Span { start_ms: 100, end_ms: Some(3500) }]);
        assert_eq!(manifest.ended.unwrap().as_millisecond(), 3500);
    }

    #[test]
    fn who_comes_back_is_the_same_participant_with_two_spans() {
        let mut manifest = manifest();
        let events = [joined(0, "p1"), left(1000), joined(2000, "p2"), joined(2500, "p2")];
        reconcile(&mut manifest, &events, &[]);
        let alice = &manifest.participants[0];
        assert_eq!((manifest.participants.len(), &alice.ids), (1, &vec!["p1".to_owned(), "p2".to_owned()]));
        assert_eq!(alice.present, [Span { start_ms: 0, end_ms: Some(1000) }, Span { start_ms: 2000, end_ms: None }]);
        // Once more changes nothing.
        let before = manifest.clone();
        reconcile(&mut manifest, &events, &[]);
        assert_eq!(manifest, before);
    }

    #[test]
    fn nobody_is_there_while_the_recorder_is_away() {
        let mut manifest = manifest();
        let away = at(1500, Event::RecorderAway { reason: "cut short".into() });
        let events = [joined(0, "p1"), away, joined(4000, "p1")];
        reconcile(&mut manifest, &events, &[]);
        let expected = [Span { start_ms: 0, end_ms: Some(1500) }, Span { start_ms: 4000, end_ms: None }];
        assert_eq!(manifest.participants[0].present, expected);
    }

    #[test]
    fn a_pause_that_the_manifest_missed_comes_from_the_timeline() {
        let mut manifest = manifest();
        manifest.duration_ms = 1500;
        manifest.pauses = vec![Span { start_ms: 1000, end_ms: None }];
        let paused = |t_ms| at(t_ms, Event::RecordingPaused {});
        let events = [paused(1000), at(2000, Event::RecordingResumed {}), paused(3000), joined(4000, "p1")];
        reconcile(&mut manifest, &events, &[]);
        close(&mut manifest);
        let span = |start_ms, end_ms| Span { start_ms, end_ms: Some(end_ms) };
        assert_eq!(manifest.pauses, [span(1000, 2000), span(3000, 4000)]);
    }

    #[test]
    fn a_track_ends_where_the_timeline_says_and_else_with_its_participant() {
        let file = "alice.camera.1.webm".to_owned();
        let off = |t_ms| {
            let (participant, file) = ("alice".into(), file.clone());
            at(t_ms, Event::TrackOff { participant, file, source: Source::Camera, codec: Codec::Vp8 })
        };
        let ended = |events: &[Entry]| {
            let mut manifest = manifest();
            reconcile(&mut manifest, events, &[(file.clone(), scan(967, true))]);
            close(&mut manifest);
            (manifest.tracks[0].end_ms, manifest.tracks[0].ended_ms)
        };
        let chat = at(20_000, Event::Chat { participant: "alice".into(), text: "hello".into() });
        assert_eq!(ended(&[joined(0, "p1"), camera_on(500), off(9000), chat.clone()]), (1500, Some(9000)));
        assert_eq!(ended(&[joined(0, "p1"), camera_on(500), left(8000), chat.clone()]), (1500, Some(8000)));
        assert_eq!(ended(&[joined(0, "p1"), camera_on(500), chat]), (1500, Some(20_000)));
    }

    #[test]
    fn a_file_that_nobody_announced_is_named_by_its_name() {
        let mut manifest = manifest();
        reconcile(
            &mut manifest,
            &[],
            &[("bob.screen.2.webm".into(), scan(0, true)), ("holiday.webm".into(), scan(0, true))],
        );
        assert_eq!(manifest.tracks.len(), 1);
        assert_eq!((manifest.tracks[0].participant.as_str(), manifest.tracks[0].source), ("bob", Source::Screen));
        assert_eq!(manifest.warnings.len(), 2, "{:?}", manifest.warnings);
    }

    #[test]
    fn the_end_is_on_the_sessions_clock() {
        let mut manifest = manifest();
        reconcile(&mut manifest, &[camera_on(0)], &[]);
        manifest.tracks[0].clock = Some(ClockSummary {
            basis: Basis::SenderReports,
            first: LinearMapping { origin_rtp: 0, origin: SessionTime(0), rate: 90_090.0 },
            error_ms: 1.0,
            drift_ppm: 1000.0,
            clock_rate: 90_000,
            reports_used: 9,
            reports_rejected: 0,
            later: Vec::new(),
        });
        reconcile(&mut manifest, &[], &[("alice.camera.1.webm".into(), scan(1_000_967, true))]);
        assert_eq!(manifest.tracks[0].end_ms, 1_000_000);
    }

    #[test]
    fn only_what_happened_since_is_added() {
        let mut manifest = manifest();
        let mute = |t_ms| at(t_ms, Event::Mute { participant: "alice".into(), source: Source::Camera });
        let unmute = |t_ms| at(t_ms, Event::Unmute { participant: "alice".into(), source: Source::Camera });
        reconcile(&mut manifest, &[camera_on(0)], &[]);
        manifest.tracks[0].mutes.push(Span { start_ms: 1000, end_ms: None });
        manifest.duration_ms = 5000;
        let events = [camera_on(0), mute(1000), unmute(6000), mute(7000)];
        reconcile(&mut manifest, &events, &[]);
        let expected = [Span { start_ms: 1000, end_ms: Some(6000) }, Span { start_ms: 7000, end_ms: None }];
        assert_eq!(manifest.tracks[0].mutes, expected);
    }
}
