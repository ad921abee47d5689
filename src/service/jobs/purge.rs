//! Removes participants from a recording that has ended: in the stores, here, and from what the service itself keeps. It was noted before, so
//! a service that is killed begins again.

use super::outcome::look;
use super::{JobContext, Part};
use crate::recording::folder::{MANIFEST, TIMELINE};
use crate::recording::manifest::Manifest;
use crate::recording::purge::{is_purged, mentions, purge};
use crate::recording::subtitles::CHAT;
use crate::service::database::recordings::StoredRecording;
use crate::service::database::{DatabaseError, events, films, recordings};
use crate::service::model::{EventDraft, EventType, Id, Outcome, StorageState};
use crate::service::storage::location;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Why a film is not there any more.
const DELETED: &str = "it showed a participant who was removed";

/// Removes the participants that are to be removed, one after the other.
pub(super) async fn run(context: &JobContext, id: &Id) -> Result<(), String> {
    let said = |e: DatabaseError| e.to_string();
    while let Some(stored) = context.database.recording(id).await.map_err(said)? {
        let Some(participant) = stored.runtime.purging.first() else { break };
        one(context, &stored, participant).await?;
    }
    Ok(())
}

async fn one(context: &JobContext, stored: &StoredRecording, participant: &str) -> Result<(), String> {
    let (recording, id) = (&stored.recording, stored.recording.id.clone());
    let folder = context.folders.recording(&id);
    let place = recording.storage.as_ref().map_or_else(|| location(recording), |storage| storage.path.clone());
    if let (Some(copy), Some(storage)) = (recording.storage.as_ref().filter(|copy| !copy.local), &context.storage)
        && copy.state == StorageState::Stored
    {
        let copy = (copy.store, place.as_str());
        if context.part == Part::ApiNode {
            storage.adopt(&context.database, &id, copy).await?;
        }
        storage.bring(copy, &folder, names_people).await?;
    }
    let is_theirs = |path: &str| is_purged(path, participant);
    match &context.storage {
        Some(storage) => storage.purge(&context.database, &id, &place, is_theirs).await?,
        None if recording.storage.as_ref().is_some_and(|storage| storage.bytes > 0) => {
            return Err("it is in a store, and none is configured".to_owned());
        }
        None => {}
    }
    let (of, key, log, live) =
        (folder.clone(), participant.to_owned(), context.folders.log(&id), context.folders.live(&id));
    let work = move || -> crate::error::Result<_> {
        // Read before it is rewritten: events name people as well.
        let manifest = Manifest::load(&of)?;
        let name = manifest.participants.into_iter().find(|entry| entry.key == key).map(|entry| entry.name);
        purge(&of, &key)?;
        for file in [log, live] {
            let _ = std::fs::remove_file(file);
        }
        Ok((name.unwrap_or_default(), look(&of).map(|(_, outcome)| outcome)))
    };
    let done = tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?;
    let (name, found) = done.map_err(|e| e.to_string())?;
    let (key, now) = (participant.to_owned(), Timestamp::now());
    let write = move |connection: &rusqlite::Connection| {
        let mut deleted = Vec::new();
        for job in films::of(connection, &id)? {
            let had = films::update(connection, &job.id, |stored| stored.job.delete(DELETED))?;
            deleted.extend(had.filter(|had| *had).map(|_| job.id));
        }
        let names = [key.as_str(), name.as_str()];
        let is_theirs = |data: &Value| {
            data["participant"] == *key || data["message"].as_str().is_some_and(|text| mentions(text, &names))
        };
        events::empty(connection, &id, is_theirs)?;
        recordings::update(connection, &id, now, |stored| {
            stored.runtime.purging.retain(|purging| *purging != key);
            let recording = &mut stored.recording;
            if let Some(outcome) = &mut recording.outcome {
                reduce(outcome, found, &key);
            }
            // What lists the files goes to the store again.
            if let Some(storage) = recording.storage.as_mut().filter(|storage| storage.state == StorageState::Stored) {
                storage.state = StorageState::Uploading;
            }
            ((), vec![EventDraft::new(EventType::ParticipantPurged, json!({ "films": deleted }))])
        })
    };
    context.database.write(write).await.map(drop).map_err(|e| e.to_string())
}

/// Small files that say who was there: they are rewritten.
fn names_people(path: &str) -> bool {
    matches!(path, MANIFEST | TIMELINE | CHAT) || path.starts_with("stills/slides") && path.ends_with(".json")
}

/// What is left of an outcome. `found`: what is here; the rest is in the store.
fn reduce(outcome: &mut Outcome, found: Option<Outcome>, participant: &str) {
    let Some(found) = found else { return };
    let here: HashMap<_, _> = found.media.iter().map(|media| (media.path.as_str(), media.bytes)).collect();
    outcome.media.retain(|media| {
        let is_always_here = matches!(media.path.as_str(), MANIFEST | TIMELINE | CHAT);
        !is_purged(&media.path, participant) && (!is_always_here || here.contains_key(media.path.as_str()))
    });
    for media in &mut outcome.media {
        media.bytes = here.get(media.path.as_str()).copied().unwrap_or(media.bytes);
    }
    outcome.bytes = outcome.media.iter().map(|media| media.bytes).sum();
    (outcome.participants, outcome.losses, outcome.warnings) = (found.participants, found.losses, found.warnings);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::model::{Media, MediaKind};

    #[test]
    fn what_is_in_the_store_only_stays_in_the_list() {
        let media = |path: &str, bytes| Media { path: path.into(), kind: MediaKind::Other, bytes };
        let all = ["chat.vtt", "film.mp4", MANIFEST, "tracks/alice.mic.1.webm", "tracks/bob.mic.1.webm"];
        let mut outcome =
            Outcome { media: all.map(|path| media(path, 10)).to_vec(), participants: 2, ..Outcome::default() };
        let found = Outcome { media: vec![media(MANIFEST, 7)], participants: 1, ..Outcome::default() };
        reduce(&mut outcome, Some(found), "alice");
        assert_eq!(outcome.media, [media(MANIFEST, 7), media("tracks/bob.mic.1.webm", 10)]);
        assert_eq!((outcome.participants, outcome.bytes), (1, 17));
    }
}
