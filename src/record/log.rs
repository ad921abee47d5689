//! Manifest and timeline of a recording in progress, and the participants in them. Never touches a track file.

use super::shares::{Lines, add_warning, begin_span, subject};
use crate::error::Result;
use crate::recording::account::Unrecorded;
use crate::recording::attachments;
use crate::recording::folder::RecordingFolder;
use crate::recording::manifest::{Manifest, Part, ParticipantEntry, Span, TrackEntry};
use crate::recording::names::FileNames;
use crate::recording::recover::track_files;
use crate::recording::timeline::{Entry, Event, TimelineWriter};
use crate::room::clock::SessionTime;
use crate::room::end::EndReason;
use crate::room::media::Source;
use crate::room::participant::{Participant, ParticipantId, Role, TrackLabel};
use crate::transfer::FileReport;
use std::collections::HashMap;
use std::time::Instant;
use tokio::sync::watch;

/// Room ids that are noted of one participant.
const MAX_IDS: usize = 1000;

/// Manifest, timeline and people of a recording that is being made.
pub(super) struct RecordingLog {
    pub manifest: Manifest,
    pub names: FileNames,
    /// The key of everybody who ever was here, for who keeps their files.
    pub keys: watch::Sender<HashMap<ParticipantId, String>>,
    timeline: TimelineWriter,
    started: Instant,
    /// Who is in the room now.
    present: HashMap<ParticipantId, Present>,
    lines: Lines,
    /// Texts so far.
    pub chats: u64,
    timeline_failed: bool,
}

/// What somebody has said of their tracks.
pub(super) struct SenderLabels {
    pub id: ParticipantId,
    /// In the manifest.
    pub key: String,
    pub labels: Vec<TrackLabel>,
}

struct Present {
    /// Index into the manifest's participants.
    entry: usize,
    tracks: Vec<TrackLabel>,
}

impl RecordingLog {
    /// Of a recording whose session began at `started`, with so many texts so far.
    pub fn new(folder: &RecordingFolder, manifest: Manifest, started: Instant, chats: u64) -> Result<RecordingLog> {
        let keys = manifest.participants.iter().map(|entry| entry.key.as_str());
        // A file may be there that the manifest does not know.
        let found = track_files(folder.path())?;
        let files = manifest.tracks.iter().map(|track| &track.file).chain(&found).map(String::as_str);
        Ok(RecordingLog {
            names: FileNames::resume(keys, files),
            keys: watch::Sender::default(),
            timeline: folder.timeline()?,
            started,
            present: HashMap::new(),
            lines: Lines::default(),
            chats,
            timeline_failed: false,
            manifest,
        })
    }

    /// The recording begins, or goes on after its `previous` part.
    pub fn begin(&mut self, previous: Option<&Part>) {
        let Some(previous) = previous else {
            let (room, url) = (self.manifest.room.clone(), self.manifest.url.clone());
            return self.event(SessionTime::default(), Event::RecordingStarted { room, url });
        };
        let (from_ms, back_ms) = (previous.until_ms(), self.manifest.duration_ms);
        let reason = previous.reason.clone().unwrap_or_default();
        self.event(SessionTime::from_ms(from_ms), Event::RecorderAway { reason });
        let away_ms = back_ms.saturating_sub(from_ms);
        self.event(SessionTime::from_ms(back_ms), Event::RecorderBack { away_ms });
    }

    /// Session time of an instant; 0 for what came before the start.
    pub fn session(&self, at: Instant) -> SessionTime {
        SessionTime::since(self.started, at)
    }

    pub fn event(&mut self, at: SessionTime, event: Event) {
        let subject = subject(&event, |word| self.manifest.participants.iter().any(|person| person.key == word));
        match self.lines.admit(&event, subject) {
            Ok(()) => self.write(at, event),
            Err(what) => what.into_iter().for_each(|what| {
                self.list_warning(what.clone());
                self.write(at, Event::Warning { message: what });
            }),
        }
    }

    fn write(&mut self, at: SessionTime, event: Event) {
        let t_ms = at.as_ms();
        let at = self.manifest.time_of(t_ms);
        if let Err(e) = self.timeline.append(&Entry { t_ms, at, event })
            && !std::mem::replace(&mut self.timeline_failed, true)
        {
            tracing::error!("the timeline cannot be written: {e}");
            self.list_warning(format!("the timeline is incomplete: {e}"));
        }
    }

    /// A warning, for the timeline, the manifest and whoever watches.
    pub fn warn(&mut self, at: SessionTime, message: String) {
        // The display shows warnings; here they are for the log.
        tracing::info!("{message}");
        self.list_warning(message.clone());
        self.event(at, Event::Warning { message });
    }

    fn list_warning(&mut self, message: String) {
        let Manifest { participants, warnings, .. } = &mut self.manifest;
        add_warning(warnings, message, |word| participants.iter().any(|person| person.key == word));
    }

    /// The same, unless it has been told.
    pub fn warn_once(&mut self, at: SessionTime, message: String) {
        if !self.manifest.warnings.contains(&message) {
            self.warn(at, message);
        }
    }

    /// A warning that is told again with other figures: its place in the manifest stays, and it is no new event.
    pub fn retell(&mut self, before: Option<&str>, message: String, at: Instant) {
        let known = before.and_then(|before| self.manifest.warnings.iter_mut().find(|warning| *warning == before));
        match known {
            Some(warning) => *warning = message,
            None if before.is_none() => self.warn(self.session(at), message),
            None => {}
        }
    }

    /// Something never became a track, so far or for good. `before`: the text by which it was told last; `event`: it is news.
    pub fn not_recorded(&mut self, stream: Unrecorded, before: Option<&str>, event: bool, at: Instant) {
        if stream.is_loss() {
            self.retell(before, stream.text(), at);
        }
        if event {
            self.event(self.session(at), Event::Unrecorded(stream.clone()));
        }
        self.manifest.note(stream);
    }

    /// What was missing has come, late.
    pub fn withdraw(&mut self, stream: &Unrecorded) {
        self.manifest.unrecorded.retain(|known| !known.is_same(stream));
        let text = stream.text();
        if let Some(warning) = self.manifest.warnings.iter_mut().find(|warning| **warning == text) {
            warning.push_str(", then it came");
        }
    }

    /// The recorder is paused, or records again.
    pub fn pause(&mut self, paused: bool, at: SessionTime) {
        if paused {
            self.manifest.pauses.push(Span { start_ms: at.as_ms(), end_ms: None });
            return self.event(at, Event::RecordingPaused {});
        }
        if let Some(pause) = self.manifest.pauses.last_mut() {
            pause.end_ms.get_or_insert(at.as_ms());
        }
        self.event(at, Event::RecordingResumed {});
    }

    /// Somebody joined. One who comes back under the same name is the same participant.
    pub fn joined(&mut self, participant: Participant, at: SessionTime) {
        let taken: Vec<usize> = self.present.values().map(|p| p.entry).collect();
        let entries = &mut self.manifest.participants;
        let known = (0..entries.len()).find(|i| entries[*i].name == participant.name && !taken.contains(i));
        let entry = match known {
            Some(index) => {
                begin_span(&mut entries[index].present, at.as_ms());
                if !entries[index].ids.contains(&participant.id.0) && entries[index].ids.len() < MAX_IDS {
                    entries[index].ids.push(participant.id.0.clone());
                }
                index
            }
            None => {
                let key = self.names.participant(&participant.id.0, &participant.name);
                entries.push(ParticipantEntry {
                    key,
                    ids: vec![participant.id.0.clone()],
                    name: participant.name.clone(),
                    role: participant.role,
                    present: vec![Span { start_ms: at.as_ms(), end_ms: None }],
                });
                entries.len() - 1
            }
        };
        let key = self.manifest.participants[entry].key.clone();
        let id = participant.id.clone();
        self.keys.send_modify(|keys| {
            keys.insert(id.clone(), key.clone());
        });
        self.event(at, Event::Joined { participant: key, id: id.0.clone(), name: participant.name });
        self.present.insert(id.clone(), Present { entry, tracks: Vec::new() });
        self.labelled(&id, participant.tracks, at);
    }

    pub fn left(&mut self, id: &ParticipantId, reason: String, at: SessionTime) {
        let Some(present) = self.present.remove(id) else { return };
        let entry = &mut self.manifest.participants[present.entry];
        if let Some(span) = entry.present.last_mut() {
            span.end_ms = Some(at.as_ms());
        }
        let participant = entry.key.clone();
        self.event(at, Event::Left { participant, reason });
    }

    /// The participant's labels changed: notes what was muted and unmuted.
    pub fn labelled(&mut self, id: &ParticipantId, tracks: Vec<TrackLabel>, at: SessionTime) {
        let Some(present) = self.present.get_mut(id) else { return };
        let key = self.manifest.participants[present.entry].key.clone();
        let before = std::mem::replace(&mut present.tracks, tracks.clone());
        for label in tracks {
            let was = before.iter().find(|b| b.stream == label.stream && b.kind == label.kind);
            if label.muted == was.is_some_and(|w| w.muted) {
                continue;
            }
            let source = label.source;
            self.mute(&key, source, label.muted, at);
            let participant = key.clone();
            self.event(
                at,
                if label.muted { Event::Mute { participant, source } } else { Event::Unmute { participant, source } },
            );
        }
    }

    /// Marks the mute on the participant's open tracks of this source.
    fn mute(&mut self, key: &str, source: Source, muted: bool, at: SessionTime) {
        let open = self
            .manifest
            .tracks
            .iter_mut()
            .filter(|t| t.ended_ms.is_none() && t.participant == key && t.source == source);
        for track in open {
            match track.mutes.last_mut() {
                Some(span) if span.end_ms.is_none() && !muted => span.end_ms = Some(at.as_ms()),
                _ if muted => begin_span(&mut track.mutes, at.as_ms()),
                _ => {}
            }
        }
    }

    /// Something became of a file.
    pub fn file(&mut self, report: FileReport, at: SessionTime) {
        let event = attachments::event_of(report);
        attachments::apply(&mut self.manifest, at.as_ms(), &event);
        self.event(at, event);
    }

    /// A text. Who said it may have left before it came here.
    pub fn chat(&mut self, id: &ParticipantId, text: String, at: SessionTime) {
        let Some(participant) = self.keys.borrow().get(id).cloned() else { return };
        self.chats += 1;
        self.event(at, Event::Chat { participant, text });
    }

    /// Who is present and has labelled something, but recorders and bots.
    pub fn senders(&self) -> Vec<SenderLabels> {
        let of = |(id, present): (&ParticipantId, &Present)| {
            let entry = &self.manifest.participants[present.entry];
            let is_sender = !matches!(entry.role, Role::Recorder | Role::Bot) && !present.tracks.is_empty();
            let (id, key) = (id.clone(), entry.key.clone());
            is_sender.then(|| SenderLabels { id, key, labels: present.tracks.clone() })
        };
        self.present.iter().filter_map(of).collect()
    }

    /// Whether the participant is a bot, which may send what it labels to one participant only.
    pub fn is_bot(&self, id: &ParticipantId) -> bool {
        self.present.get(id).is_some_and(|p| self.manifest.participants[p.entry].role == Role::Bot)
    }

    /// A participant's key in the manifest, while they are present.
    pub fn key(&self, id: &ParticipantId) -> Option<String> {
        self.present.get(id).map(|p| self.manifest.participants[p.entry].key.clone())
    }

    /// What this participant has said of their tracks.
    pub fn labels(&self, id: &ParticipantId) -> Vec<TrackLabel> {
        self.present.get(id).map(|present| present.tracks.clone()).unwrap_or_default()
    }

    /// Whether the participant has muted this source.
    pub fn muted(&self, key: &str, source: Source) -> bool {
        self.present.values().any(|p| {
            self.manifest.participants[p.entry].key == key && p.tracks.iter().any(|l| l.source == source && l.muted)
        })
    }

    /// Keys, names and roles of those who are present, in the order in which they first came; other recorders are nobody to watch.
    pub fn people(&self) -> Vec<(String, String, Role)> {
        let mut people: Vec<(usize, &ParticipantEntry)> = self
            .present
            .values()
            .map(|p| (p.entry, &self.manifest.participants[p.entry]))
            .filter(|(_, entry)| entry.role != Role::Recorder)
            .collect();
        people.sort_by_key(|(index, _)| *index);
        people.into_iter().map(|(_, entry)| (entry.key.clone(), entry.name.clone(), entry.role)).collect()
    }

    /// Somebody is in the room, and they are all bots.
    pub fn only_bots(&self) -> bool {
        let mut roles = self.present.values().map(|p| self.manifest.participants[p.entry].role);
        !self.empty() && roles.all(|role| role != Role::Participant)
    }

    /// Nobody is in the room but recorders.
    pub fn empty(&self) -> bool {
        self.present.values().all(|p| self.manifest.participants[p.entry].role == Role::Recorder)
    }

    /// Adds a track; returns its index.
    pub fn track(&mut self, track: TrackEntry) -> usize {
        self.manifest.tracks.push(track);
        self.manifest.tracks.len() - 1
    }

    /// Everybody who is still present leaves the manifest's account at the end.
    pub fn close(&mut self, at: SessionTime, reason: &EndReason) {
        for present in self.present.values() {
            if let Some(span) = self.manifest.participants[present.entry].present.last_mut() {
                span.end_ms = Some(at.as_ms());
            }
        }
        for span in self.manifest.tracks.iter_mut().filter_map(|t| t.mutes.last_mut()) {
            span.end_ms.get_or_insert(at.as_ms());
        }
        if let Some(pause) = self.manifest.pauses.last_mut() {
            pause.end_ms.get_or_insert(at.as_ms());
        }
        self.manifest.end_part(at.as_ms(), &reason.to_string(), reason.code());
        self.event(at, Event::RecordingEnded { reason: reason.to_string() });
        self.manifest.duration_ms = at.as_ms();
    }
}
