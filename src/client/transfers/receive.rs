//! Receives files: performs the steps of the protocol state machines on channel and disk. It decides nothing itself.

use crate::client::transfers::channel::Reader;
use crate::client::transfers::part_writer::{Done, PartWriter};
use crate::rtc::{Message as Raw, receive_buffer};
use crate::transfer::classic::{Classic, ClassicEvent};
use crate::transfer::message::{Offer, Reason};
use crate::transfer::protocol::{Incoming, ReceiveAction, ReceiveEnd};
use crate::transfer::store::{FileStore, Part, StoredFile};
use crate::transfer::{FileReport, FileStatus, Refusal};
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;

/// How long nothing may come where files are not taken at all.
const IDLE: Duration = Duration::from_secs(60);
/// How many times longer a sender may be silent between the last byte and the hash.
const HASHING: u32 = 10;
/// Fewer bytes than this within the idle time count as no progress.
const MIN_PROGRESS: usize = 16 << 10;
/// Files in the tutorial framing that may come at once from one participant: they have no credits, so each may hold up the
/// connection and its memory a little.
const CLASSIC_AT_ONCE: u32 = 4;

/// Detects a sender that makes no progress.
struct IdleTimer {
    last: tokio::time::Instant,
    /// Bytes since then.
    bytes: usize,
}

impl Default for IdleTimer {
    fn default() -> Self {
        Self { last: tokio::time::Instant::now(), bytes: 0 }
    }
}

impl IdleTimer {
    fn beat(&mut self) {
        *self = Self::default();
    }
    fn came(&mut self, message: Option<&Raw>) {
        self.bytes += message.map_or(0, |message| if message.text { 0 } else { message.data.len() });
        if self.bytes >= MIN_PROGRESS {
            self.beat();
        }
    }
}

/// A file that is being received, however it is framed.
struct FileReceiver<'a> {
    reader: &'a Reader,
    vault: Option<Arc<FileStore>>,
    owner: String,
    offer: Option<Offer>,
    writer: Option<PartWriter>,
}

impl<'a> FileReceiver<'a> {
    async fn new(reader: &'a Reader) -> Self {
        let (vault, owner) = reader.transfers.desk(&reader.id).await.unzip();
        Self { reader, vault, owner: owner.unwrap_or_default(), offer: None, writer: None }
    }

    fn idle(&self) -> Duration {
        self.vault.as_ref().map_or(IDLE, |vault| vault.limits().idle)
    }
    fn window(&self) -> u64 {
        self.vault.as_ref().map_or(0, |vault| vault.window())
    }

    /// Whether the shared file of an offer is complete already, and then whether it is offered on.
    fn present(&self, offer: &Offer) -> Option<bool> {
        self.vault.as_ref()?.present(&self.owner, offer)
    }

    /// Decides about an offer; the offset to go on from.
    async fn admit(&mut self, offer: &Offer) -> Result<u64, Refusal> {
        self.offer = Some(offer.clone());
        let unwanted = || Refusal::new(Reason::Unwanted, "files are not taken here");
        let vault = self.vault.clone().ok_or_else(unwanted)?;
        let (owner, wanted) = (self.owner.clone(), offer.clone());
        let admitted = spawn_blocking(move || vault.admit(&owner, &wanted, Instant::now())).await;
        let part: Part = admitted.map_err(|_| Refusal::new(Reason::Broken, "the receiver has a defect"))??;
        let offset = part.written();
        self.owner = part.owner().to_owned();
        let writer = self.writer.insert(PartWriter::new(part));
        let path = writer.path().to_owned();
        self.report(FileStatus::Started { path, offset }).await;
        Ok(offset)
    }

    async fn report(&self, status: FileStatus) {
        let Some(offer) = &self.offer else { return };
        let report = FileReport {
            owner: self.owner.clone(),
            name: offer.name.clone(),
            size: offer.size,
            mime: offer.mime.clone(),
            shared: offer.shared_hash().map(|_| offer.id.clone()),
            status,
        };
        self.reader.report(report).await;
    }

    async fn kept(&mut self, kept: StoredFile) {
        self.writer = None;
        self.report(FileStatus::Received { path: kept.path, sha256: kept.sha256, offered_on: kept.offered_on }).await;
        self.offer = None;
    }

    /// It is not taken, or not any longer.
    async fn refused(&mut self, refusal: Refusal) {
        let (path, written) = match self.writer.take() {
            Some(writer) => (Some(writer.path().to_owned()), writer.close().await),
            None => (None, 0),
        };
        self.report(FileStatus::Refused { path, written, refusal }).await;
        self.offer = None;
    }

    /// It stopped in the middle.
    async fn stopped(&mut self, cause: String) {
        let Some(writer) = self.writer.take() else { return };
        let path = writer.path().to_owned();
        let written = writer.close().await;
        self.report(FileStatus::Incomplete { path, written, cause }).await;
        self.offer = None;
    }

    async fn done(&mut self) -> Done {
        match &mut self.writer {
            Some(writer) => writer.done().await,
            None => std::future::pending().await,
        }
    }
}

/// One file in `roombot-file/1`, to its end or the channel's.
pub(crate) async fn file(reader: &Reader) {
    let mut receiver = FileReceiver::new(reader).await;
    let mut machine = Incoming::new(reader.channel.ordered(), receive_buffer().map(|bytes| bytes as u64));
    let mut timer = IdleTimer::default();
    loop {
        // Who has sent everything may have to read it all again for the hash.
        let patience = receiver.idle() * if machine.is_complete() { HASHING } else { 1 };
        let idle = tokio::time::sleep_until(timer.last + patience);
        // A disk that takes its time is not the sender's fault.
        let busy = receiver.writer.as_ref().is_some_and(PartWriter::is_busy);
        let steps = tokio::select! {
            message = reader.channel.recv() => {
                timer.came(message.as_ref());
                match message {
                    None => return receiver.stopped("the connection ended".to_owned()).await,
                    Some(Raw { text: false, data }) => machine.chunk(data),
                    Some(Raw { text: true, data }) => machine.text(std::str::from_utf8(&data).unwrap_or_default()),
                }
            }
            done = receiver.done() => {
                if machine.is_sender_waiting() {
                    // It was our disk that they waited for.
                    timer.beat();
                }
                match done {
                    Done::Written(position) => machine.written(position, receiver.window()),
                    Done::Restarted => machine.accepted(0, receiver.window()),
                    Done::Mismatch => machine.mismatched(),
                    Done::Failed(refusal) => machine.refuse(refusal),
                    Done::Kept(kept) => {
                        // Told before the sender hears it: whoever has the answer finds the file in the account.
                        let offered_on = kept.offered_on;
                        receiver.kept(kept).await;
                        machine.kept(offered_on)
                    }
                }
            }
            () = idle, if !busy => machine.refuse(Refusal::new(Reason::Idle, "nothing came for too long")),
        };
        if perform(&mut receiver, &mut machine, steps).await {
            return;
        }
    }
}

/// Does the steps; true when it is over.
async fn perform(receiver: &mut FileReceiver<'_>, machine: &mut Incoming, steps: Vec<ReceiveAction>) -> bool {
    let mut steps = VecDeque::from(steps);
    while let Some(step) = steps.pop_front() {
        match step {
            ReceiveAction::Decide(offer) => steps.extend(match (offer.sha256, receiver.present(&offer)) {
                (Some(sha256), Some(offered_on)) => machine.present(sha256, offered_on),
                _ => match receiver.admit(&offer).await {
                    Ok(offset) => machine.accepted(offset, receiver.window()),
                    Err(refusal) => machine.refuse(refusal),
                },
            }),
            ReceiveAction::Send(message) => {
                receiver.reader.channel.send_text(&message.to_text()).await;
            }
            ReceiveAction::Write(data) => receiver.writer.iter_mut().for_each(|writer| writer.write(&data)),
            ReceiveAction::Keep(digest) => receiver.writer.iter_mut().for_each(|writer| writer.keep(Some(digest))),
            ReceiveAction::Restart => receiver.writer.iter_mut().for_each(PartWriter::restart),
            ReceiveAction::Stop(stop) => {
                match stop {
                    ReceiveEnd::Kept => {}
                    ReceiveEnd::Refused(refusal) => receiver.refused(refusal).await,
                    ReceiveEnd::Cancelled(reason) => receiver.stopped(format!("the sender ended it: {reason}")).await,
                }
                return true;
            }
        }
    }
    false
}

/// A channel that speaks no protocol of its own: chat, and files in the tutorial framing.
pub(crate) async fn shared(reader: &Reader) {
    let mut machine = Classic::default();
    let mut receiver: Option<(FileReceiver<'_>, TutorialSlot<'_>)> = None;
    let mut timer = IdleTimer::default();
    loop {
        let full = receiver.as_ref().is_some_and(|(i, _)| i.writer.as_ref().is_some_and(PartWriter::is_full));
        let patience = receiver.as_ref().map_or(IDLE, |(receiver, _)| receiver.idle());
        let heard = tokio::select! {
            // Without credits, a sender that is faster than the disk waits here, with its whole connection.
            message = reader.channel.recv(), if !full => {
                timer.came(message.as_ref());
                match message {
                    None => break,
                    Some(Raw { text: false, data }) => machine.chunk(data),
                    Some(Raw { text: true, data }) => match String::from_utf8(data.into()) {
                        Ok(text) => machine.text(text),
                        Err(_) => continue,
                    },
                }
            }
            done = async { match &mut receiver { Some((receiver, _)) => receiver.done().await, None => std::future::pending().await } } => {
                if let Done::Failed(refusal) = done && let Some((mut receiver, _)) = receiver.take() {
                    machine.skip();
                    receiver.refused(refusal).await;
                }
                continue;
            }
            () = tokio::time::sleep_until(timer.last + patience), if receiver.is_some() => {
                machine.skip();
                vec![ClassicEvent::Broken("nothing came for too long")]
            }
        };
        for heard in heard {
            match heard {
                ClassicEvent::Chat(text) => reader.chat(text).await,
                ClassicEvent::Begin(announcement) => {
                    let offer = Offer {
                        id: format!("classic-{:016x}", rand::random::<u64>()),
                        name: announcement.file_name,
                        size: announcement.file_size,
                        ..Offer::default()
                    };
                    let mut next = FileReceiver::new(reader).await;
                    let slot = TutorialSlot::take(reader);
                    let admitted = match &slot {
                        Some(_) => next.admit(&offer).await.map(drop),
                        None => {
                            next.offer = Some(offer);
                            Err(Refusal::new(Reason::TooMany, "too many files at once"))
                        }
                    };
                    match (admitted, slot) {
                        (Ok(()), Some(slot)) => receiver = Some((next, slot)),
                        (admitted, _) => {
                            machine.skip();
                            if let Err(refusal) = admitted {
                                next.refused(refusal).await;
                            }
                        }
                    }
                }
                ClassicEvent::Write(data) => {
                    if let Some(writer) = receiver.as_mut().and_then(|(receiver, _)| receiver.writer.as_mut()) {
                        writer.write(&data);
                    }
                }
                ClassicEvent::Complete => {
                    if let Some((receiver, _)) = receiver.take() {
                        keep(receiver).await;
                    }
                }
                ClassicEvent::Broken(why) => {
                    if let Some((mut receiver, _)) = receiver.take() {
                        receiver.stopped(why.to_owned()).await;
                    }
                }
            }
        }
    }
    if let (Some(_), Some((mut receiver, _))) = (machine.closed(), receiver) {
        receiver.stopped("the channel closed before it was whole".to_owned()).await;
    }
}

/// All bytes of a file without a hash have come. The channel waits for the disk.
async fn keep(mut receiver: FileReceiver<'_>) {
    if let Some(writer) = &mut receiver.writer {
        writer.keep(None);
    }
    loop {
        match receiver.done().await {
            Done::Written(_) | Done::Restarted => {}
            Done::Kept(kept) => return receiver.kept(kept).await,
            Done::Mismatch => return receiver.stopped("its size does not fit".to_owned()).await,
            Done::Failed(refusal) => return receiver.refused(refusal).await,
        }
    }
}

/// One of the few files in the tutorial framing that may come at once.
struct TutorialSlot<'a>(&'a Reader);

impl<'a> TutorialSlot<'a> {
    fn take(reader: &'a Reader) -> Option<Self> {
        let mut taken = reader.peer.classic.lock().unwrap_or_else(PoisonError::into_inner);
        if *taken >= CLASSIC_AT_ONCE {
            return None;
        }
        *taken += 1;
        Some(Self(reader))
    }
}

impl Drop for TutorialSlot<'_> {
    fn drop(&mut self) {
        let mut taken = self.0.peer.classic.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_sub(1);
    }
}
