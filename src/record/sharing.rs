//! Offers shared files to those who can no longer get them from their sharer, and to those who come later. It receives nothing.

use crate::client::event::RoomEvent;
use crate::client::{FileSend, Handle, Sending, SharedFile};
use crate::room::participant::{ParticipantId, Role};
use crate::transfer::{FileReport, FileStatus};
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

/// How long a file stays offered to somebody: for as long as they are there. They may decide late, or still get it from its sharer.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// The shared files of a recording. Their number and size are limited where they are received (`ShareLimits`).
pub(super) struct Sharing {
    room: Handle,
    /// The folder below which received files are.
    folder: PathBuf,
    /// Everybody who is there.
    people: HashMap<ParticipantId, Person>,
    /// How many members have come so far.
    came: u64,
    /// Files that are being received, by their sharer and id, and how many members had come when they began.
    begun: HashMap<(ParticipantId, String), u64>,
    files: Vec<FileOfRoom>,
    /// What was offered by us to whom; an end of it is final.
    offers: HashMap<(usize, ParticipantId), Sending>,
}

struct Person {
    name: String,
    /// They are neither bot nor recorder.
    takes_files: bool,
    /// How many members had come before them.
    number: u64,
}

/// A file that we have, and that everybody was offered.
struct FileOfRoom {
    sharer: ParticipantId,
    /// The sharer offered it to whoever had come by then.
    offered_until: u64,
    sharer_left: bool,
    send: FileSend,
}

impl Sharing {
    /// Offers files below `folder` to the people in `room`.
    pub fn new(room: Handle, folder: PathBuf) -> Sharing {
        Sharing {
            room,
            folder,
            people: HashMap::new(),
            came: 0,
            begun: HashMap::new(),
            files: Vec::new(),
            offers: HashMap::new(),
        }
    }

    /// Handles an event. Never waits.
    pub fn on_event(&mut self, event: &RoomEvent) {
        match event {
            RoomEvent::Joined(who) => {
                let takes_files = who.role == Role::Participant;
                let person = Person { name: who.name.clone(), takes_files, number: self.came };
                self.came += 1;
                self.people.insert(who.id.clone(), person);
                self.offer();
            }
            RoomEvent::Left { id, .. } => {
                self.people.remove(id);
                self.begun.retain(|(sharer, _), _| sharer != id);
                self.offers.retain(|(_, to), _| to != id);
                for file in self.files.iter_mut().filter(|file| file.sharer == *id) {
                    file.sharer_left = true;
                }
                self.offer();
            }
            RoomEvent::File { id, report } => self.file(id, report),
            _ => {}
        }
    }

    fn file(&mut self, sharer: &ParticipantId, report: &FileReport) {
        let Some(id) = &report.shared else { return };
        let key = (sharer.clone(), id.clone());
        match &report.status {
            FileStatus::Started { .. } => {
                self.begun.entry(key).or_insert(self.came);
            }
            FileStatus::Received { path, sha256, offered_on } => {
                let offered_until = self.begun.remove(&key).unwrap_or(self.came);
                if !offered_on {
                    return;
                }
                let from = self.people.get(sharer).map_or_else(|| report.owner.clone(), |person| person.name.clone());
                let shared = SharedFile { id: id.clone(), sha256: *sha256, from: Some(from) };
                let send = FileSend {
                    name: Some(report.name.clone()),
                    mime: report.mime.clone(),
                    patience: PATIENCE,
                    shared: Some(shared),
                    ..FileSend::new(&self.folder.join(path))
                };
                let sharer_left = !self.people.contains_key(sharer);
                self.files.push(FileOfRoom { sharer: sharer.clone(), offered_until, sharer_left, send });
                self.offer();
            }
            FileStatus::Refused { .. } => {
                self.begun.remove(&key);
            }
            // It may go on.
            FileStatus::Incomplete { .. } => {}
        }
    }

    /// Offers what can be had from nobody else to everybody who was not offered it by us.
    fn offer(&mut self) {
        for (index, file) in self.files.iter().enumerate() {
            let name = file.send.shared.as_ref().and_then(|shared| shared.from.as_ref());
            for (id, person) in self.people.iter().filter(|(_, person)| person.takes_files) {
                let theirs = Some(&person.name) == name;
                let offered_by_sharer = !file.sharer_left && person.number < file.offered_until;
                if theirs || offered_by_sharer || self.offers.contains_key(&(index, id.clone())) {
                    continue;
                }
                tracing::info!("{id}: is offered {:?} of {}", file.send.path, file.sharer);
                self.offers.insert((index, id.clone()), self.room.send_file(id, file.send.clone()));
            }
        }
    }
}
