//! The recorder's own thread: it drains every connection's inbox a few dozen times a second, and nothing else can hold it up.
//!
//! Nothing here awaits, decodes or waits for the disk to sync ([`super::disk`] does). One write per track every 400 ms is what
//! leaves the process; a kill costs what came since.

mod handles;
mod report;

use handles::Command;
pub use handles::{EventSender, Pauser};

use super::connection::{Connection, KeyFrameRequest, Shared};
use super::context::{PauseState, RecordingContext};
use super::destination::Prepared;
use super::disk::Disk;
use super::log::RecordingLog;
use super::notices::Notices;
use super::quiet::Quiet;
use super::reception::Reception;
use super::status::Status;
use super::stream::{self, TrackStream};
use super::unconnected::Unconnected;
use super::unowned::{Counted, Unowned};
use crate::client::event::RoomEvent;
use crate::error::{Error, Result};
use crate::recording::account::PAUSED;
use crate::recording::folder::{RecordingFolder, Subfolder};
use crate::recording::manifest::Manifest;
use crate::recording::resume::NewPart;
use crate::recording::timeline::{Event, PATH_FOUND};
use crate::room::clock::{SenderClock, SessionTime};
use crate::room::end::EndReason;
use crate::room::event::ConnectionId;
use crate::room::participant::ParticipantId;
use crate::room::speaker::{SpeakerChange, SpeakerDetector};
use crate::transfer::store::{FileStore, Limits};
use jiff::Timestamp;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Interval at which inboxes are drained.
const TICK: Duration = Duration::from_millis(20);
/// How often clusters are written: what a kill costs at the most, with [`TICK`].
const FLUSH: Duration = Duration::from_millis(400);
const STATUS: Duration = Duration::from_secs(1);
/// How often the manifest is written and track files are synced to the disk.
const SAVE: Duration = Duration::from_secs(5);
/// Characters of a chat message that are kept.
const CHAT_CHARS: usize = 4000;

/// What came of a recording.
#[derive(Debug, Clone)]
pub struct Summary {
    pub folder: PathBuf,
    pub manifest: Manifest,
}

/// A recording that is being made. Dropped without [`CaptureThread::finish`], it ends as if it had been told to.
pub struct CaptureThread {
    commands: Sender<Command>,
    thread: Option<JoinHandle<Result<Summary>>>,
    folder: Arc<RecordingFolder>,
    started: Instant,
    status: watch::Receiver<Status>,
    keys: watch::Receiver<HashMap<ParticipantId, String>>,
}

impl CaptureThread {
    /// Makes the folder and starts the thread. `key_frame_requests` is told which streams need a key frame.
    pub fn start(
        destination: Prepared,
        reception: Reception,
        key_frame_requests: mpsc::UnboundedSender<KeyFrameRequest>,
    ) -> Result<CaptureThread> {
        let (now, instant) = (Timestamp::now(), Instant::now());
        let NewPart { folder, manifest, chats, previous } = destination.begin(now)?;
        let folder = Arc::new(folder);
        let part = manifest.parts.last().map_or(0, |part| part.start_ms);
        // Session time is counted from the recording's first start.
        let started = instant
            .checked_sub(Duration::from_millis(part))
            .ok_or_else(|| Error::machine("this system cannot express a time before its start"))?;
        if previous.is_none() {
            // A folder without a manifest is no recording.
            manifest.save(&folder)?;
        }
        let mut log = RecordingLog::new(&folder, manifest, started, chats)?;
        log.begin(previous.as_ref());
        if previous.is_some() {
            log.manifest.save(&folder)?;
        }
        let thread_failed = |e| Error::machine("cannot start a thread").because(e);
        let disk = Disk::start(folder.clone()).map_err(thread_failed)?;
        let (commands, command_rx) = channel();
        // It was paused when its process crashed.
        let paused = log.manifest.pauses.last().is_some_and(|pause| pause.end_ms.is_none());
        let pause = if paused { PauseState::Paused } else { PauseState::Recording(instant) };
        let (status_tx, status) = watch::channel(Status { empty: true, paused, ..Status::default() });
        let (shared, keys) = (folder.clone(), log.keys.subscribe());
        let capture = Capture {
            shared: Shared {
                context: RecordingContext { folder, log, disk, disk_error: None, pause, reception },
                speakers: SpeakerDetector::default(),
                unlevelled: None,
                key_frame_requests,
            },
            connections: HashMap::new(),
            started,
            status: status_tx,
            dropped: 0,
            quiet: Quiet::new(instant),
            unowned: Unowned::default(),
            unconnected: Unconnected::default(),
        };
        let thread = std::thread::Builder::new()
            .name("capture".into())
            .spawn(move || capture.run(&command_rx))
            .map_err(thread_failed)?;
        Ok(CaptureThread { commands, thread: Some(thread), folder: shared, started, status, keys })
    }

    /// A handle that hands the room's events to the recorder.
    pub fn events(&self) -> EventSender {
        EventSender::new(self.commands.clone())
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
    pub fn vault(&self, limits: Limits) -> Result<Arc<FileStore>> {
        Ok(FileStore::new(self.folder.handle()?, Subfolder::Files.name(), limits))
    }
    /// The key of everybody who ever was here: what their files' folder is called.
    pub fn keys(&self) -> watch::Receiver<HashMap<ParticipantId, String>> {
        self.keys.clone()
    }
    /// A handle that pauses it.
    pub fn pauser(&self) -> Pauser {
        Pauser::new(self.commands.clone())
    }
    /// Ends the recording and blocks until everything is on disk.
    pub fn finish(mut self, reason: EndReason) -> Result<Summary> {
        let _ = self.commands.send(Command::Finish(reason));
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(summary)) => summary,
            _ => Err(Error::internal(format!(
                "the capture thread panicked; what it wrote is in {}",
                self.folder.path().display()
            ))),
        }
    }
}

struct Capture {
    shared: Shared,
    connections: HashMap<ConnectionId, Connection>,
    /// The zero of session time.
    started: Instant,
    status: watch::Sender<Status>,
    dropped: u64,
    quiet: Quiet,
    /// What a server sent that is no participant's.
    unowned: Unowned,
    unconnected: Unconnected,
}

impl Capture {
    fn run(mut self, commands: &Receiver<Command>) -> Result<Summary> {
        let start = Instant::now();
        let (mut tick, mut flush, mut status, mut save) = (start, start, start, start);
        let reason = loop {
            match commands.recv_timeout((tick + TICK).saturating_duration_since(Instant::now())) {
                Ok(Command::Event(at, event)) => {
                    self.on_event(at, event);
                    // However much happens (a flood of chat), the media comes round in its time.
                    if tick.elapsed() < TICK {
                        continue;
                    }
                }
                Ok(Command::Pause(paused)) => {
                    self.pause(paused);
                    continue;
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
                self.each_stream(|stream, _, context| stream.state.flush(context));
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
    fn each_stream(&mut self, mut each: impl FnMut(&mut TrackStream, &SenderClock, &mut RecordingContext)) {
        for connection in self.connections.values_mut() {
            let (streams, sender) = connection.streams();
            for stream in streams {
                each(stream, sender, &mut self.shared.context);
            }
        }
    }

    fn with(&mut self, connection: ConnectionId, act: impl FnOnce(&mut Connection, &mut Shared)) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            act(connection, &mut self.shared);
        }
    }

    /// What has arrived is recorded still, or left out.
    fn pause(&mut self, paused: bool) {
        let now = Instant::now();
        self.drain(now);
        if !self.shared.context.set_paused(paused, now) {
            return;
        }
        if !paused {
            self.each_stream(|stream, _, _| stream::resume(stream, now));
            self.connections.values_mut().for_each(|connection| connection.resume(now));
            self.unconnected.resume(now);
        }
        self.status.send_modify(|status| status.paused = paused);
        self.save(now);
    }

    fn on_event(&mut self, instant: Instant, event: RoomEvent) {
        let (pause, paused) = (self.shared.context.pause, self.shared.context.is_paused());
        let log = &mut self.shared.context.log;
        let at = log.session(instant);
        match event {
            RoomEvent::Joined(participant) => {
                log.joined(participant, at);
                self.tell_empty();
            }
            RoomEvent::Left { id, reason } => {
                if let Some(key) = log.key(&id) {
                    self.shared.speakers.gone(&key);
                }
                log.left(&id, reason, at);
                self.tell_empty();
            }
            RoomEvent::Labels { id, tracks } => {
                log.labelled(&id, tracks.clone(), at);
                for connection in self.connections.values_mut().filter(|connection| *connection.participant() == id) {
                    connection.labelled(tracks.clone(), instant, &mut self.shared);
                }
            }
            RoomEvent::ConnectionOpened { id, connection, media } => {
                if let Some(key) = log.key(&id) {
                    let labels = log.labels(&id);
                    let notices = Notices::new(key.clone(), !log.is_bot(&id), instant);
                    let config = self.shared.context.reception.subscriber(self.started);
                    let opened = Connection::new((id, key), media.inbox, labels, notices, config);
                    self.connections.insert(connection, opened);
                }
            }
            RoomEvent::ConnectionClosed { connection, .. } => self.close(connection, instant),
            RoomEvent::TrackAdded { connection, track, .. } => {
                self.with(connection, |connection, shared| connection.track(track, instant, shared));
            }
            RoomEvent::TrackRemoved { connection, ssrcs, .. } => {
                self.with(connection, |connection, shared| connection.removed(&ssrcs, instant, shared));
            }
            RoomEvent::ConnectionState { id, state } => self.ice_state(&id, state.word(), at),
            RoomEvent::PathFound { id } => self.ice_state(&id, PATH_FOUND, at),
            RoomEvent::Unowned { ssrc, reason, packets, bytes, first, last } => {
                let reason = if pause.covers(first) { PAUSED } else { reason };
                self.unowned.add(Counted { ssrc, reason, packets, bytes, first, last }, log);
            }
            RoomEvent::Chat { .. } if paused => {}
            RoomEvent::Chat { id, text } => log.chat(&id, text.chars().take(CHAT_CHARS).collect(), at),
            RoomEvent::NothingComes { .. } if paused => {}
            RoomEvent::Warning { id, text } | RoomEvent::NothingComes { id, text } => {
                if let Some(participant) = log.key(&id) {
                    log.warn(at, format!("{participant}: {text}"));
                }
            }
            RoomEvent::File { report, .. } => log.file(report, at),
            RoomEvent::Reconnecting { cause } => log.event(at, Event::Reconnecting { cause }),
            RoomEvent::Resumed => log.event(at, Event::Resumed {}),
        }
    }

    /// Whether anybody is there is told at once: there are limits that wait for it.
    fn tell_empty(&self) {
        let empty = self.shared.context.log.empty();
        self.status.send_if_modified(|status| std::mem::replace(&mut status.empty, empty) != empty);
    }

    fn ice_state(&mut self, id: &ParticipantId, state: &str, at: SessionTime) {
        if let Some(participant) = self.shared.context.log.key(id) {
            self.shared.context.log.event(at, Event::IceState { participant, state: state.to_owned() });
        }
    }

    fn close(&mut self, connection: ConnectionId, instant: Instant) {
        let Some(mut connection) = self.connections.remove(&connection) else { return };
        self.dropped += connection.drain(&mut self.shared);
        connection.end(instant, &mut self.shared);
    }

    fn drain(&mut self, now: Instant) {
        let before = self.dropped;
        for connection in self.connections.values_mut() {
            self.dropped += connection.drain(&mut self.shared);
            connection.tick(now, &mut self.shared);
        }
        let log = &mut self.shared.context.log;
        let at = log.session(now);
        if self.dropped > before {
            let told = |n: u64| format!("capture fell behind: {n} packets dropped so far");
            log.retell((before > 0).then(|| told(before)).as_deref(), told(self.dropped), now);
        }
        for change in self.shared.speakers.poll(at.as_ms()) {
            let event = match change {
                SpeakerChange::Speech { who, speaks } => Event::Speech { participant: who, speaks },
                SpeakerChange::Floor(participant) => Event::Speaker { participant },
            };
            log.event(at, event);
        }
    }

    fn save(&mut self, now: Instant) {
        // What the disk refused is said again, if it still refuses.
        self.shared.context.disk_error = None;
        for done in self.shared.context.disk.done() {
            self.shared.context.done(done);
        }
        self.each_stream(|stream, sender, context| {
            stream::account(stream, sender, context);
            stream.state.sync(&context.disk);
        });
        self.shared.context.log.manifest.duration_ms = self.shared.context.log.session(now).as_ms();
        self.shared.context.disk.save(&self.shared.context.log.manifest);
    }

    fn finish(mut self, reason: EndReason) -> Result<Summary> {
        let now = Instant::now();
        let connections: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for connection in connections {
            self.close(connection, now);
        }
        self.unconnected.end(now, &mut self.shared);
        self.unowned.end(now, &mut self.shared.context.log);
        let at = self.shared.context.log.session(now);
        let manifest = self.shared.context.finish(at, &reason)?;
        Ok(Summary { folder: self.shared.context.folder.path().to_owned(), manifest })
    }
}
