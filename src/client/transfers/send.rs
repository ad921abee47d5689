//! Sends a file to one participant, resuming on a new channel when one is lost, until it is acknowledged or refused. The file is read on a
//! blocking thread, a little ahead of the channel.

use crate::client::command::{Command, OpenChannel};
use crate::client::transfers::file_reader::{FileReader, LONGEST_CHUNK};
use crate::client::transfers::shared_file::SharedFile;
use crate::room::participant::ParticipantId;
use crate::rtc::{ChannelSpec, DataChannel};
use crate::transfer::PROTOCOL;
use crate::transfer::classic::{Announcement, CHUNK};
use crate::transfer::message::{Digest, Message, Offer};
use crate::transfer::protocol::{Outgoing, POSITION, SendAction, SendEnd};
use bytes::{BufMut, BytesMut};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

/// An open channel without progress for this long is replaced.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two attempts to reach the participant.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause while the participant is still busy with the same file: each is twice as long as the one before.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// What to send, and how.
#[derive(Debug, Clone)]
pub struct FileSend {
    pub path: PathBuf,
    /// The name that the receiver sees; absent: the path's last part.
    pub name: Option<String>,
    pub mime: Option<String>,
    /// In the tutorial framing, which has no answer, no hash and no resume.
    pub classic: bool,
    /// On a channel that keeps the order of messages (the tutorial framing always does).
    pub ordered: bool,
    /// How long to wait for a participant who is not connected.
    pub patience: Duration,
    /// The same for all if everybody in the room is offered it; not in the tutorial framing. None: it is for the participant only.
    pub shared: Option<SharedFile>,
}

impl FileSend {
    /// Sends the file under its own name, ordered, waiting 30 s for a participant who is not connected.
    pub fn new(path: &Path) -> Self {
        let patience = Duration::from_secs(30);
        Self { path: path.to_owned(), name: None, mime: None, classic: false, ordered: true, patience, shared: None }
    }
}

/// Progress of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that left us; goes back when they ask for them again.
    pub sent: u64,
    pub size: u64,
    /// The receiver has accepted it.
    pub accepted: bool,
    /// Every byte was sent; the receiver writes and verifies.
    pub verifying: bool,
    /// Channels used so far.
    pub attempts: u32,
}

/// The result of sending a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it, whole and verified. `offered_on`: and offers it to others once we have left.
    Received {
        sha256: Digest,
        offered_on: bool,
    },
    /// Everything was sent in the tutorial framing, where nobody answers.
    Unconfirmed,
    /// The receiver refused it: reason code and text.
    Refused {
        reason: String,
        text: String,
    },
    Cancelled {
        reason: String,
    },
    /// The participant was not reachable for longer than the patience.
    Unreachable,
    /// The file could not be read.
    Unreadable {
        cause: String,
    },
}

/// A file being sent. Dropping it cancels the transfer.
pub struct Sending {
    progress: watch::Receiver<Progress>,
    cancel: Option<oneshot::Sender<()>>,
    outcome: oneshot::Receiver<Outcome>,
}

impl Sending {
    /// The progress; changes many times a second.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }
    /// Ends it politely; [`Sending::outcome`] says what came of it.
    pub fn cancel(&mut self) {
        self.cancel.take();
    }
    /// Waits for the end. Cancel safe.
    pub async fn outcome(&mut self) -> Outcome {
        let lost = || Outcome::Cancelled { reason: "the session ended".to_owned() };
        (&mut self.outcome).await.unwrap_or_else(|_| lost())
    }
}

/// Begins to send.
pub(crate) fn start(session: mpsc::WeakSender<Command>, to: ParticipantId, file: FileSend) -> Sending {
    let (progress_tx, progress) = watch::channel(Progress::default());
    let (cancel, cancelled) = oneshot::channel();
    let (done, outcome) = oneshot::channel();
    let run = async move {
        let job = Job { session, to, file, progress: progress_tx, cancelled, name: None, unwanted: false };
        let _ = done.send(job.run().await);
    };
    tokio::spawn(run);
    Sending { progress, cancel: Some(cancel), outcome }
}

struct Job {
    session: mpsc::WeakSender<Command>,
    to: ParticipantId,
    /// The participant's display name, once known.
    name: Option<String>,
    file: FileSend,
    /// There are no files in this kind of room.
    unwanted: bool,
    progress: watch::Sender<Progress>,
    /// Completes when nobody wants it any more.
    cancelled: oneshot::Receiver<()>,
}

/// How an attempt on one channel ended.
enum Attempt {
    Over(Outcome),
    /// The channel was lost; another may do.
    Lost,
    /// The receiver is still busy with the same file on another channel.
    Busy,
}

impl Job {
    async fn run(mut self) -> Outcome {
        let offer = match self.offer().await {
            Ok(offer) => offer,
            Err(cause) => return Outcome::Unreadable { cause },
        };
        self.progress.send_modify(|progress| progress.size = offer.size);
        let mut lost = Instant::now();
        let mut pause = RETRY_PAUSE;
        loop {
            if let Some(channel) = self.channel(lost + self.file.patience).await {
                self.progress.send_modify(|progress| progress.attempts += 1);
                let before = self.progress.borrow().sent;
                // A room may have a channel for the tutorial framing only.
                let attempt = match self.file.classic || channel.protocol() != PROTOCOL {
                    true => self.classic(&channel, &offer).await,
                    false => self.send(&channel, &offer).await,
                };
                pause = match attempt {
                    Attempt::Busy => (pause * 2).min(LONGEST_PAUSE),
                    _ => RETRY_PAUSE,
                };
                match attempt {
                    Attempt::Over(outcome) => {
                        channel.close();
                        return outcome;
                    }
                    // Patience begins anew only where something was achieved.
                    Attempt::Lost if self.progress.borrow().sent > before => lost = Instant::now(),
                    Attempt::Lost | Attempt::Busy => {}
                }
            }
            if self.unwanted {
                let text = "there are no files in this kind of room".to_owned();
                return Outcome::Refused { reason: "unwanted".to_owned(), text };
            }
            if self.is_cancelled() {
                return Outcome::Cancelled { reason: "cancelled".to_owned() };
            }
            if Instant::now() >= lost + self.file.patience {
                return Outcome::Unreachable;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = &mut self.cancelled => return Outcome::Cancelled { reason: "cancelled".to_owned() },
            }
        }
    }

    fn is_cancelled(&mut self) -> bool {
        !matches!(self.cancelled.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    async fn offer(&self) -> Result<Offer, String> {
        let path = self.file.path.clone();
        let metadata = spawn_blocking(move || std::fs::metadata(path)).await.map_err(|e| e.to_string())?;
        let metadata = metadata.map_err(|e| e.to_string())?;
        if !metadata.is_file() {
            return Err("is not a file".to_owned());
        }
        let last = self.file.path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = self.file.name.clone().or(last).unwrap_or_default();
        let (size, mime) = (metadata.len(), self.file.mime.clone());
        let offer = match self.file.shared.clone() {
            Some(SharedFile { id, sha256, from }) => {
                Offer { id, name, size, mime, sha256: Some(sha256), shared: true, from }
            }
            None => Offer { id: SharedFile::new_id(), name, size, mime, ..Offer::default() },
        };
        if offer.is_valid() { Ok(offer) } else { Err("has a name or a size that cannot be sent".to_owned()) }
    }

    /// A channel to the participant, if there is one before `until`.
    async fn channel(&mut self, until: Instant) -> Option<DataChannel> {
        let (protocol, label) = match self.file.classic {
            true => (String::new(), "file".to_owned()),
            false => (PROTOCOL.to_owned(), "file".to_owned()),
        };
        let spec = ChannelSpec { label, protocol, ordered: self.file.ordered || self.file.classic };
        let (reply, opened) = oneshot::channel();
        let open = OpenChannel { to: self.to.clone(), name: self.name.clone(), spec, reply };
        let wait = async {
            self.session.upgrade()?.send(Command::OpenChannel(open)).await.ok()?;
            let (request, name) = opened.await.ok()??;
            match request {
                Some(request) => Some((Some(request.opened().await.ok()?), name)),
                None => Some((None, name)),
            }
        };
        let (channel, name) = tokio::select! {
            opened = tokio::time::timeout_at(until, wait) => opened.ok()??,
            _ = &mut self.cancelled => return None,
        };
        self.name = Some(name);
        self.unwanted = channel.is_none();
        channel
    }

    /// Sends in `roombot-file/1`.
    async fn send(&mut self, channel: &DataChannel, offer: &Offer) -> Attempt {
        let (mut machine, first) = Outgoing::new(offer.clone());
        if !channel.send_text(&first.to_text()).await {
            return Attempt::Lost;
        }
        let header = if channel.ordered() { 0 } else { POSITION };
        let chunk = LONGEST_CHUNK.min(channel.max_message_size()) - header;
        let mut reader: Option<FileReader> = None;
        loop {
            let wanted = machine.next(chunk);
            let heard = tokio::select! {
                biased;
                _ = &mut self.cancelled => {
                    let reason = "cancelled".to_owned();
                    channel.send_text(&Message::Cancel { reason: reason.clone() }.to_text()).await;
                    return Attempt::Over(Outcome::Cancelled { reason });
                }
                message = channel.recv() => match message {
                    None => return Attempt::Lost,
                    Some(message) => message,
                },
                open = channel.writable(), if wanted.is_some() || machine.is_at_end() => {
                    if !open {
                        return Attempt::Lost;
                    }
                    let Some(reading) = &mut reader else { return Attempt::Lost };
                    match self.push(channel, &mut machine, reading, wanted).await {
                        Ok(true) => continue,
                        Ok(false) => return Attempt::Lost,
                        Err(cause) => {
                            let reason = "unreadable".to_owned();
                            channel.send_text(&Message::Cancel { reason }.to_text()).await;
                            return Attempt::Over(Outcome::Unreadable { cause });
                        }
                    }
                }
                // A peer may have to decide first, and a disk to write last.
                () = tokio::time::sleep(STALL_TIMEOUT), if reader.is_some() && !machine.awaits_ack() => return Attempt::Lost,
            };
            let text = if heard.text { std::str::from_utf8(&heard.data).unwrap_or_default() } else { "" };
            match machine.text(text) {
                None => {}
                Some(SendAction::Seek(offset)) => {
                    if machine.has_large_buffer() {
                        channel.disable_pacing();
                    }
                    reader = Some(FileReader::start(self.file.path.clone(), offer.size, offset, chunk));
                    self.progress.send_modify(|progress| {
                        (progress.sent, progress.accepted, progress.verifying) = (offset, true, false);
                    });
                }
                Some(SendAction::Stop(sent)) => return stopped(sent),
            }
        }
    }

    /// Sends the next chunk, or the end. False: the channel is lost.
    async fn push(
        &self,
        channel: &DataChannel,
        machine: &mut Outgoing,
        reading: &mut FileReader,
        wanted: Option<usize>,
    ) -> Result<bool, String> {
        let Some(wanted) = wanted else {
            let sha256 = reading.digest().await?;
            self.progress.send_modify(|progress| progress.verifying = true);
            return Ok(channel.send_text(&machine.end(sha256).to_text()).await);
        };
        let data = reading.next(wanted).await?;
        let length = data.len();
        let message = match channel.ordered() {
            true => data,
            false => {
                let mut message = BytesMut::with_capacity(POSITION + length);
                message.put_u64(machine.position());
                message.extend_from_slice(&data);
                message
            }
        };
        if !channel.send(message).await {
            return Ok(false);
        }
        machine.sent(length);
        self.progress.send_modify(|progress| progress.sent = machine.position());
        Ok(true)
    }

    /// Sends in the tutorial framing.
    async fn classic(&mut self, channel: &DataChannel, offer: &Offer) -> Attempt {
        let announcement = Announcement { file_name: offer.name.clone(), file_size: offer.size };
        if !channel.send_text(&announcement.to_text()).await {
            return Attempt::Lost;
        }
        let mut reading = FileReader::start(self.file.path.clone(), offer.size, 0, CHUNK);
        let mut sent = 0;
        self.progress.send_modify(|progress| progress.sent = 0);
        if offer.size == 0 && !channel.send(BytesMut::new()).await {
            return Attempt::Lost;
        }
        while sent < offer.size {
            if self.is_cancelled() {
                return Attempt::Over(Outcome::Cancelled { reason: "cancelled".to_owned() });
            }
            let data = match reading.next(CHUNK).await {
                Ok(data) => data,
                Err(cause) => return Attempt::Over(Outcome::Unreadable { cause }),
            };
            sent += data.len() as u64;
            let written = tokio::time::timeout(STALL_TIMEOUT, channel.send(data)).await;
            if written != Ok(true) {
                return Attempt::Lost;
            }
            self.progress.send_modify(|progress| progress.sent = sent);
        }
        match tokio::time::timeout(STALL_TIMEOUT, channel.flushed()).await {
            Ok(true) => Attempt::Over(Outcome::Unconfirmed),
            _ => Attempt::Lost,
        }
    }
}

fn stopped(sent: SendEnd) -> Attempt {
    match sent {
        SendEnd::Received { sha256, shared } => Attempt::Over(Outcome::Received { sha256, offered_on: shared }),
        // They have not noticed yet that the last channel is gone, or somebody else sends the same file.
        SendEnd::Refused { reason, .. } if reason == "busy" => Attempt::Busy,
        SendEnd::Refused { reason, text } => Attempt::Over(Outcome::Refused { reason, text }),
        SendEnd::Cancelled { reason } => Attempt::Over(Outcome::Cancelled { reason }),
        SendEnd::ProtocolError(why) => {
            Attempt::Over(Outcome::Refused { reason: "bad-message".to_owned(), text: why.to_owned() })
        }
    }
}
