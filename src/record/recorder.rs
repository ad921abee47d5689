//! The recorder's own thread: it drains every connection's inbox a few dozen times a second, and nothing else can hold it up.
//!
//! Nothing here awaits, decodes or waits for the disk to sync ([`super::disk`] does). One write per track every 400 ms is what
//! leaves the process; a kill costs what came since.

use super::connection::Connection;
use super::disk::{Disk, Done};
use super::log::Log;
use super::status::{PersonStatus, Status};
use super::stream::RecordingContext;
use crate::client::event::RoomEvent;
use crate::error::{Error, Result};
use crate::recording::folder::{RecordingFolder, Sub};
use crate::recording::manifest::{FileState, Manifest, Status as Completion};
use crate::recording::subtitles;
use crate::recording::timeline::{Event, PATH_FOUND};
use crate::room::clock::SessionTime;
use crate::room::end::EndReason;
use crate::room::participant::ParticipantId;
use crate::room::speaker::SpeakerDetector;
use crate::transfer::vault::{Limits, Vault};
use jiff::Timestamp;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// How often the inboxes are emptied.
const TICK: Duration = Duration::from_millis(20);
/// How often clusters are written: what a kill costs at the most, with [`TICK`].
const FLUSH: Duration = Duration::from_millis(400);
const STATUS: Duration = Duration::from_secs(1);
/// How often the manifest is written and track files are synced to the disk.
const SAVE: Duration = Duration::from_secs(5);
/// Characters of a chat message that are kept.
const CHAT_CHARS: usize = 4000;

/// Where and what to record.
#[derive(Debug, Clone)]
pub struct RecorderConfig {
    /// The folder in which the recording's folder is made.
    pub parent: PathBuf,
    pub room: String,
    /// The room's address, without a token.
    pub url: String,
}

/// What came of a recording.
#[derive(Debug, Clone)]
pub struct Summary {
    pub folder: PathBuf,
    pub manifest: Manifest,
}

enum Command {
    Happened(Instant, RoomEvent),
    Finish(EndReason),
}

/// A recording that is being made. Dropped without [`Recorder::finish`], it ends as if it had been told to.
pub struct Recorder {
    commands: Sender<Command>,
    thread: Option<JoinHandle<Result<Summary>>>,
    folder: Arc<RecordingFolder>,
    started: Instant,
    status: watch::Receiver<Status>,
    keys: watch::Receiver<HashMap<ParticipantId, String>>,
}

impl Recorder {
    /// Makes the folder and starts the thread. `asks` is told which streams need a key frame (unbounded: at most one a second
    /// and stream).
    pub fn start(config: RecorderConfig, asks: mpsc::UnboundedSender<(ParticipantId, u32)>) -> Result<Recorder> {
        let started_utc = Timestamp::now();
        let started = Instant::now();
        let folder = Arc::new(RecordingFolder::create(&config.parent, &config.room, started_utc)?);
        let manifest = Manifest::new(&config.room, &config.url, started_utc);
        manifest.save(&folder)?;
        let log = Log::new(&folder, manifest, started)?;
        let thread_failed = |e| Error::machine("cannot start a thread").because(e);
        let disk = Disk::start(folder.clone()).map_err(thread_failed)?;
        let (commands, command_rx) = channel();
        let (status_tx, status) = watch::channel(Status { empty: true, ..Status::default() });
        let (shared, keys) = (folder.clone(), log.keys.subscribe());
        let capture = Capture {
            desk: RecordingContext { folder, log, disk, trouble: None },
            connections: HashMap::new(),
            speakers: SpeakerDetector::default(),
            asks,
            status: status_tx,
            dropped: 0,
        };
        let thread = std::thread::Builder::new()
            .name("capture".into())
            .spawn(move || capture.run(&command_rx))
            .map_err(thread_failed)?;
        Ok(Recorder { commands, thread: Some(thread), folder: shared, started, status, keys })
    }

    /// A handle that tells the recorder what happens in the room.
    pub fn teller(&self) -> Teller {
        Teller(self.commands.clone())
    }
    /// How the recording stands; changes about once a second.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }
    /// The zero of session time.
    pub fn started(&self) -> Instant {
        self.started
    }
    /// The recording's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
    /// Takes files that people send, into the recording's `files`.
    pub fn vault(&self, limits: Limits) -> Result<Arc<Vault>> {
        Ok(Vault::new(self.folder.handle()?, Sub::Files.word(), limits))
    }
    /// The key of everybody who ever was here: what their files' folder is called.
    pub fn keys(&self) -> watch::Receiver<HashMap<ParticipantId, String>> {
        self.keys.clone()
    }
    /// Ends the recording and waits until everything is on the disk. Blocks.
    pub fn finish(mut self, reason: EndReason) -> Result<Summary> {
        let _ = self.commands.send(Command::Finish(reason));
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(summary)) => summary,
            _ => Err(Error::us(format!(
                "the capture thread panicked; what it wrote is in {}",
                self.folder.path().display()
            ))),
        }
    }
}

/// Tells a recorder what happens in the room.
#[derive(Clone)]
pub struct Teller(Sender<Command>);

impl Teller {
    /// It happens now. Never waits.
    pub fn happened(&self, happening: RoomEvent) {
        let _ = self.0.send(Command::Happened(Instant::now(), happening));
    }
}

struct Capture {
    desk: RecordingContext,
    connections: HashMap<ParticipantId, Connection>,
    speakers: SpeakerDetector,
    asks: mpsc::UnboundedSender<(ParticipantId, u32)>,
    status: watch::Sender<Status>,
    dropped: u64,
}

impl Capture {
    fn run(mut self, commands: &Receiver<Command>) -> Result<Summary> {
        let start = Instant::now();
        let (mut tick, mut flush, mut status, mut save) = (start, start, start, start);
        let reason = loop {
            match commands.recv_timeout((tick + TICK).saturating_duration_since(Instant::now())) {
                Ok(Command::Happened(at, happening)) => {
                    self.happened(at, happening);
                    // However much happens (a flood of chat), the media comes round in its time.
                    if tick.elapsed() < TICK {
                        continue;
                    }
                }
                Ok(Command::Finish(reason)) => break reason,
                Err(RecvTimeoutError::Disconnected) => {
                    break EndReason::Internal { detail: "dropped".to_owned() };
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            tick = now;
            self.drain(now);
            if now.duration_since(flush) >= FLUSH {
                flush = now;
                self.each_stream(|stream, _, desk| stream.flush(desk));
            }
            if now.duration_since(status) >= STATUS {
                self.report(now.duration_since(status).as_secs_f64(), now);
                status = now;
            }
            if now.duration_since(save) >= SAVE {
                save = now;
                self.save(now);
            }
        };
        self.finish(reason)
    }

    /// Runs `each` over every open stream, with its participant's clock and what it may use.
    fn each_stream(
        &mut self,
        mut each: impl FnMut(&mut super::stream::Stream, &crate::room::clock::SenderClock, &mut RecordingContext),
    ) {
        for connection in self.connections.values_mut() {
            let (streams, sender) = connection.streams();
            for stream in streams {
                each(stream, sender, &mut self.desk);
            }
        }
    }

    fn with<T>(
        &mut self,
        id: &ParticipantId,
        act: impl FnOnce(&mut Connection, &mut RecordingContext) -> T,
    ) -> Option<T> {
        self.connections.get_mut(id).map(|connection| act(connection, &mut self.desk))
    }

    fn happened(&mut self, instant: Instant, happening: RoomEvent) {
        let at = self.desk.log.session(instant);
        match happening {
            RoomEvent::Joined(participant) => self.desk.log.joined(participant, at),
            RoomEvent::Left { id, reason } => {
                if let Some(key) = self.desk.log.key(&id) {
                    self.speakers.gone(&key);
                }
                self.desk.log.left(&id, reason, at);
            }
            RoomEvent::Labels { id, tracks } => {
                self.desk.log.labelled(&id, tracks, at);
                self.with(&id, |connection, desk| connection.labelled(instant, desk));
            }
            RoomEvent::ConnectionOpened { id, media, .. } => {
                if let Some(key) = self.desk.log.key(&id) {
                    self.detach(&id, instant);
                    self.connections.insert(id.clone(), Connection::new(id, key, media.inbox));
                }
            }
            RoomEvent::ConnectionClosed { id, .. } => self.detach(&id, instant),
            RoomEvent::TrackAdded { id, track, .. } => {
                self.with(&id, |connection, _| connection.track(track, instant));
            }
            RoomEvent::TrackRemoved { id, ssrcs, .. } => {
                self.with(&id, |connection, _| connection.ended(&ssrcs, instant));
            }
            RoomEvent::ConnectionState { id, state } => self.ice_state(&id, state.word(), at),
            RoomEvent::PathFound { id } => self.ice_state(&id, PATH_FOUND, at),
            RoomEvent::Chat { id, text } => self.desk.log.chat(&id, text.chars().take(CHAT_CHARS).collect(), at),
            RoomEvent::Warning { id, text } => {
                if let Some(participant) = self.desk.log.key(&id) {
                    self.desk.log.warn(at, format!("{participant}: {text}"));
                }
            }
            RoomEvent::File { report, .. } => self.desk.log.file(report, at),
            RoomEvent::Reconnecting { cause } => self.desk.log.event(at, Event::Reconnecting { cause }),
            RoomEvent::Resumed => self.desk.log.event(at, Event::Resumed {}),
        }
    }

    fn ice_state(&mut self, id: &ParticipantId, state: &str, at: SessionTime) {
        if let Some(participant) = self.desk.log.key(id) {
            self.desk.log.event(at, Event::IceState { participant, state: state.to_owned() });
        }
    }

    fn detach(&mut self, id: &ParticipantId, instant: Instant) {
        let Some(mut connection) = self.connections.remove(id) else { return };
        self.dropped += connection.drain(&mut self.speakers, &mut self.desk);
        connection.end(instant, &mut self.desk);
    }

    fn drain(&mut self, now: Instant) {
        let before = self.dropped;
        for connection in self.connections.values_mut() {
            self.dropped += connection.drain(&mut self.speakers, &mut self.desk);
            connection.tick(now, &mut self.desk, &self.asks);
        }
        let at = self.desk.log.session(now);
        if self.dropped > before {
            self.desk.log.warn(at, format!("capture fell behind: {} packets dropped so far", self.dropped));
        }
        if let Some(participant) = self.speakers.poll(at.as_ms()) {
            self.desk.log.event(at, Event::Speaker { participant });
        }
    }

    fn report(&mut self, seconds: f64, now: Instant) {
        let mut people: Vec<(String, PersonStatus)> = self
            .desk
            .log
            .people()
            .into_iter()
            .map(|(key, name)| (key, PersonStatus { name, tracks: Vec::new() }))
            .collect();
        for connection in self.connections.values_mut() {
            let key = connection.key().to_owned();
            let Some((_, person)) = people.iter_mut().find(|(k, _)| *k == key) else { continue };
            person.tracks.extend(connection.streams().0.map(|stream| stream.status(seconds)));
            person.tracks.sort_by_key(|track| track.source);
        }
        self.each_stream(|stream, sender, desk| stream.account(sender, desk));
        let received = self.desk.log.manifest.files.iter().filter(|f| f.state == FileState::Received);
        let status = Status {
            elapsed_ms: self.desk.log.session(now).as_ms(),
            bytes: self.desk.log.manifest.tracks.iter().map(|t| t.bytes).sum(),
            people: people.into_iter().map(|(_, person)| person).collect(),
            files: received.clone().count() as u64,
            file_bytes: received.map(|f| f.bytes).sum(),
            files_coming: self
                .desk
                .log
                .manifest
                .files
                .iter()
                .filter(|f| f.state == FileState::Incomplete && f.reason.is_none())
                .count() as u64,
            chats: self.desk.log.chats,
            empty: self.desk.log.empty(),
            trouble: self.desk.trouble.clone(),
            dropped: self.dropped,
        };
        self.status.send_replace(status);
    }

    fn save(&mut self, now: Instant) {
        // What the disk refused is said again, if it still refuses.
        self.desk.trouble = None;
        for done in self.desk.disk.done() {
            self.done(done);
        }
        self.each_stream(|stream, sender, desk| {
            stream.account(sender, desk);
            stream.sync(&desk.disk);
        });
        self.desk.log.manifest.duration_ms = self.desk.log.session(now).as_ms();
        self.desk.disk.save(&self.desk.log.manifest);
    }

    fn done(&mut self, done: Done) {
        let at = self.desk.log.session(Instant::now());
        match done {
            Done::Finished { index, result: Ok(summary) } => {
                let entry = &mut self.desk.log.manifest.tracks[index];
                entry.finished = true;
                entry.frames = summary.frames;
                entry.key_frames = summary.key_frames;
                entry.bytes = summary.payload_bytes;
                if summary.lost_frames > 0 {
                    let message = format!("{}: {} frames could not be written", entry.file, summary.lost_frames);
                    self.desk.log.warn(at, message);
                }
            }
            Done::Finished { index, result: Err(e) } => {
                let message = format!("{}: {e}", self.desk.log.manifest.tracks[index].file);
                self.desk.log.warn(at, message);
            }
            Done::Saved(Err(e)) => {
                self.desk.trouble = Some(e.to_string());
                self.desk.log.warn(at, e.to_string());
            }
            Done::Saved(Ok(())) => {}
        }
    }

    fn finish(mut self, reason: EndReason) -> Result<Summary> {
        let now = Instant::now();
        let ids: Vec<ParticipantId> = self.connections.keys().cloned().collect();
        for id in ids {
            self.detach(&id, now);
        }
        let at = self.desk.log.session(now);
        self.desk.log.close(at, reason.to_string());
        for done in self.desk.disk.close() {
            self.done(done);
        }
        subtitles::save(&self.desk.log.manifest, &self.desk.folder)?;
        let manifest = &mut self.desk.log.manifest;
        // A track that the disk did not let us finish is left for the next start to recover.
        if manifest.tracks.iter().all(|t| t.finished) {
            manifest.status = Completion::Complete;
        }
        manifest.ended = Some(Timestamp::now());
        manifest.save(&self.desk.folder)?;
        Ok(Summary { folder: self.desk.folder.path().to_owned(), manifest: manifest.clone() })
    }
}
