//! Receives files: what the machines say is done to the channel and the disk. It decides nothing itself.

use crate::client::transfers::Reader;
use crate::client::transfers::part_writer::{Done, PartWriter};
use crate::rtc::{Message as Raw, receive_buffer};
use crate::transfer::classic::{Classic, Heard};
use crate::transfer::message::{Offer, Reason};
use crate::transfer::protocol::{Incoming, Step, Stop};
use crate::transfer::vault::{Kept, Part, Vault};
use crate::transfer::{FileReport, FileStatus, Refusal};
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;

/// How long nothing may come where files are not taken at all.
const IDLE: Duration = Duration::from_secs(60);
/// How many times as long a sender may be silent between the last byte and the hash.
const HASHING: u32 = 10;
/// Fewer bytes than this within the time for idlers are nothing.
const TRICKLE: usize = 16 << 10;
/// Files in the guide's framing that may come at once from one participant: they have no credits, so each may hold up the
/// connection and its memory a little.
const CLASSIC_AT_ONCE: u32 = 4;

/// Whether something comes: a byte now and then is as good as nothing.
struct Pulse {
    last: tokio::time::Instant,
    /// Bytes since then.
    bytes: usize,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { last: tokio::time::Instant::now(), bytes: 0 }
    }
}

impl Pulse {
    fn beat(&mut self) {
        *self = Self::default();
    }
    fn came(&mut self, message: Option<&Raw>) {
        self.bytes += message.map_or(0, |message| if message.text { 0 } else { message.data.len() });
        if self.bytes >= TRICKLE {
            self.beat();
        }
    }
}

/// A file that is being received, however it is framed.
struct Intake<'a> {
    reader: &'a Reader,
    vault: Option<Arc<Vault>>,
    owner: String,
    offer: Option<Offer>,
    pen: Option<PartWriter>,
}

impl<'a> Intake<'a> {
    async fn new(reader: &'a Reader) -> Self {
        let (vault, owner) = reader.transfers.desk(&reader.id).await.unzip();
        Self { reader, vault, owner: owner.unwrap_or_default(), offer: None, pen: None }
    }

    fn idle(&self) -> Duration {
        self.vault.as_ref().map_or(IDLE, |vault| vault.limits().idle)
    }
    fn window(&self) -> u64 {
        self.vault.as_ref().map_or(0, |vault| vault.window())
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
        let pen = self.pen.insert(PartWriter::new(part));
        let path = pen.path().to_owned();
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
            status,
        };
        self.reader.report(report).await;
    }

    async fn kept(&mut self, kept: Kept) {
        self.pen = None;
        self.report(FileStatus::Received { path: kept.path, sha256: kept.sha256 }).await;
        self.offer = None;
    }

    /// It is not taken, or not any longer.
    async fn refused(&mut self, refusal: Refusal) {
        let (path, written) = match self.pen.take() {
            Some(pen) => (Some(pen.path().to_owned()), pen.close().await),
            None => (None, 0),
        };
        self.report(FileStatus::Refused { path, written, refusal }).await;
        self.offer = None;
    }

    /// It stopped in the middle.
    async fn stopped(&mut self, cause: String) {
        let Some(pen) = self.pen.take() else { return };
        let path = pen.path().to_owned();
        let written = pen.close().await;
        self.report(FileStatus::Incomplete { path, written, cause }).await;
        self.offer = None;
    }

    async fn done(&mut self) -> Done {
        match &mut self.pen {
            Some(pen) => pen.done().await,
            None => std::future::pending().await,
        }
    }
}

/// One file in `roombot-file/1`, to its end or the channel's.
pub(crate) async fn file(reader: &Reader) {
    let mut intake = Intake::new(reader).await;
    let mut machine = Incoming::new(reader.channel.ordered(), receive_buffer().map(|bytes| bytes as u64));
    let mut pulse = Pulse::default();
    loop {
        // Who has sent everything may have to read it all again for the hash.
        let patience = intake.idle() * if machine.is_complete() { HASHING } else { 1 };
        let idle = tokio::time::sleep_until(pulse.last + patience);
        // A disk that takes its time is not the sender's fault.
        let busy = intake.pen.as_ref().is_some_and(PartWriter::is_busy);
        let steps = tokio::select! {
            message = reader.channel.recv() => {
                pulse.came(message.as_ref());
                match message {
                    None => return intake.stopped("the connection ended".to_owned()).await,
                    Some(Raw { text: false, data }) => machine.chunk(data),
                    Some(Raw { text: true, data }) => machine.text(std::str::from_utf8(&data).unwrap_or_default()),
                }
            }
            done = intake.done() => {
                if machine.holds_up() {
                    // It was our disk that they waited for.
                    pulse.beat();
                }
                match done {
                    Done::Written(position) => machine.written(position, intake.window()),
                    Done::Restarted => machine.accepted(0, intake.window()),
                    Done::Mismatch => machine.mismatched(),
                    Done::Failed(refusal) => machine.refuse(refusal),
                    Done::Kept(kept) => {
                        // Told before the sender hears it: whoever has the answer finds the file in the account.
                        intake.kept(kept).await;
                        machine.kept()
                    }
                }
            }
            () = idle, if !busy => machine.refuse(Refusal::new(Reason::Idle, "nothing came for too long")),
        };
        if perform(&mut intake, &mut machine, steps).await {
            return;
        }
    }
}

/// Does the steps; true when it is over.
async fn perform(intake: &mut Intake<'_>, machine: &mut Incoming, steps: Vec<Step>) -> bool {
    let mut steps = VecDeque::from(steps);
    while let Some(step) = steps.pop_front() {
        match step {
            Step::Decide(offer) => steps.extend(match intake.admit(&offer).await {
                Ok(offset) => machine.accepted(offset, intake.window()),
                Err(refusal) => machine.refuse(refusal),
            }),
            Step::Send(message) => {
                intake.reader.channel.send_text(&message.to_text()).await;
            }
            Step::Write(data) => intake.pen.iter_mut().for_each(|pen| pen.write(&data)),
            Step::Keep(digest) => intake.pen.iter_mut().for_each(|pen| pen.keep(Some(digest))),
            Step::Restart => intake.pen.iter_mut().for_each(PartWriter::restart),
            Step::Stop(stop) => {
                match stop {
                    Stop::Kept => {}
                    Stop::Refused(refusal) => intake.refused(refusal).await,
                    Stop::Cancelled(reason) => intake.stopped(format!("the sender ended it: {reason}")).await,
                }
                return true;
            }
        }
    }
    false
}

/// A channel that speaks no protocol of its own: chat, and files in the guide's framing.
pub(crate) async fn shared(reader: &Reader) {
    let mut machine = Classic::default();
    let mut intake: Option<(Intake<'_>, ClassicSlot<'_>)> = None;
    let mut pulse = Pulse::default();
    loop {
        let full = intake.as_ref().is_some_and(|(i, _)| i.pen.as_ref().is_some_and(PartWriter::is_full));
        let patience = intake.as_ref().map_or(IDLE, |(intake, _)| intake.idle());
        let heard = tokio::select! {
            // Without credits, a sender that is faster than the disk waits here, with its whole connection.
            message = reader.channel.recv(), if !full => {
                pulse.came(message.as_ref());
                match message {
                    None => break,
                    Some(Raw { text: false, data }) => machine.chunk(data),
                    Some(Raw { text: true, data }) => match String::from_utf8(data.into()) {
                        Ok(text) => machine.text(text),
                        Err(_) => continue,
                    },
                }
            }
            done = async { match &mut intake { Some((intake, _)) => intake.done().await, None => std::future::pending().await } } => {
                if let Done::Failed(refusal) = done && let Some((mut intake, _)) = intake.take() {
                    machine.skip();
                    intake.refused(refusal).await;
                }
                continue;
            }
            () = tokio::time::sleep_until(pulse.last + patience), if intake.is_some() => {
                machine.skip();
                vec![Heard::Broken("nothing came for too long")]
            }
        };
        for heard in heard {
            match heard {
                Heard::Chat(text) => reader.chat(text).await,
                Heard::Begin(announcement) => {
                    let offer = Offer {
                        id: format!("classic-{:016x}", rand::random::<u64>()),
                        name: announcement.file_name,
                        size: announcement.file_size,
                        mime: None,
                        sha256: None,
                    };
                    let mut next = Intake::new(reader).await;
                    let slot = ClassicSlot::take(reader);
                    let admitted = match &slot {
                        Some(_) => next.admit(&offer).await.map(drop),
                        None => {
                            next.offer = Some(offer);
                            Err(Refusal::new(Reason::TooMany, "too many files at once"))
                        }
                    };
                    match (admitted, slot) {
                        (Ok(()), Some(slot)) => intake = Some((next, slot)),
                        (admitted, _) => {
                            machine.skip();
                            if let Err(refusal) = admitted {
                                next.refused(refusal).await;
                            }
                        }
                    }
                }
                Heard::Write(data) => {
                    if let Some(pen) = intake.as_mut().and_then(|(intake, _)| intake.pen.as_mut()) {
                        pen.write(&data);
                    }
                }
                Heard::Whole => {
                    if let Some((intake, _)) = intake.take() {
                        keep(intake).await;
                    }
                }
                Heard::Broken(why) => {
                    if let Some((mut intake, _)) = intake.take() {
                        intake.stopped(why.to_owned()).await;
                    }
                }
            }
        }
    }
    if let (Some(_), Some((mut intake, _))) = (machine.closed(), intake) {
        intake.stopped("the channel closed before it was whole".to_owned()).await;
    }
}

/// All bytes of a file without a hash have come. The channel waits for the disk.
async fn keep(mut intake: Intake<'_>) {
    if let Some(pen) = &mut intake.pen {
        pen.keep(None);
    }
    loop {
        match intake.done().await {
            Done::Written(_) | Done::Restarted => {}
            Done::Kept(kept) => return intake.kept(kept).await,
            Done::Mismatch => return intake.stopped("its size does not fit".to_owned()).await,
            Done::Failed(refusal) => return intake.refused(refusal).await,
        }
    }
}

/// One of the few files in the guide's framing that may come at once.
struct ClassicSlot<'a>(&'a Reader);

impl<'a> ClassicSlot<'a> {
    fn take(reader: &'a Reader) -> Option<Self> {
        let mut taken = reader.person.classic.lock().unwrap_or_else(PoisonError::into_inner);
        if *taken >= CLASSIC_AT_ONCE {
            return None;
        }
        *taken += 1;
        Some(Self(reader))
    }
}

impl Drop for ClassicSlot<'_> {
    fn drop(&mut self) {
        let mut taken = self.0.person.classic.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_sub(1);
    }
}
