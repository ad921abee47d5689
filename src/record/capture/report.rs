//! What a recorder's thread tells about once a second: losses while they happen, and how the recording stands.

use super::Capture;
use crate::record::status::{PersonStatus, Status};
use crate::record::stream;
use crate::recording::manifest::{FileEntry, FileState};
use crate::room::participant::ParticipantId;
use std::time::Instant;

impl Capture {
    /// Looks what comes and is not recorded, and tells how the recording stands.
    pub(super) fn report(&mut self, seconds: f64, now: Instant) {
        let is_paused = self.shared.context.is_paused();
        let mut people: Vec<(String, PersonStatus)> = self
            .shared
            .context
            .log
            .people()
            .into_iter()
            .map(|(key, name, role)| (key, PersonStatus { name, role, tracks: Vec::new() }))
            .collect();
        for connection in self.connections.values_mut() {
            if !is_paused {
                connection.watch(now, &mut self.shared);
            }
            let key = connection.key().to_owned();
            let Some((_, person)) = people.iter_mut().find(|(k, _)| *k == key) else { continue };
            person.tracks.extend(connection.streams().0.map(|stream| stream::status(stream, seconds)));
            person.tracks.sort_by_key(|track| track.source);
        }
        if !is_paused {
            let connections = &self.connections;
            let is_connected = |id: &ParticipantId| connections.values().any(|one| one.participant() == id);
            self.unconnected.watch(is_connected, now, &mut self.shared);
        }
        self.each_stream(|stream, sender, context| stream::account(stream, sender, context));
        let (quiet_ms, only_bots_ms) = self.quiet.look(&self.shared, now);
        let context = &self.shared.context;
        let (log, manifest) = (&context.log, &context.log.manifest);
        let received = manifest.files.iter().filter(|f| f.state == FileState::Received);
        let is_coming = |f: &&FileEntry| f.state == FileState::Incomplete && f.reason.is_none();
        let status = Status {
            elapsed_ms: log.session(now).as_ms(),
            bytes: manifest.tracks.iter().map(|t| t.bytes).sum(),
            people: people.into_iter().map(|(_, person)| person).collect(),
            files: received.clone().count() as u64,
            file_bytes: received.map(|f| f.bytes).sum(),
            files_coming: manifest.files.iter().filter(is_coming).count() as u64,
            chats: log.chats,
            empty: log.empty(),
            warnings: manifest.warnings.clone(),
            trouble: context.disk_error.clone(),
            dropped: self.dropped,
            paused: is_paused,
            quiet_ms,
            only_bots_ms,
        };
        self.status.send_replace(status);
    }
}
