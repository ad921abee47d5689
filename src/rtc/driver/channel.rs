//! A data channel as the rest of the house sees it: whole messages, in their order. It never buffers and never drops one.
//!
//! The library's queue in front of a reader holds 256 messages. When it is full, its driver reads no data channel of the
//! connection any more (media goes on) until the reader comes back, so that SCTP's window closes and the sender waits:
//! nothing is lost, but the other channels of this participant wait too. Whoever has a channel therefore reads it promptly,
//! or lets it go: then it is read on, and what still comes is thrown away.

use crate::error::{Error, Result};
use crate::room::participant::ParticipantId;
use crate::rtc::congestion::pace::Pace;
use crate::rtc::congestion::window::Window;
use bytes::{Bytes, BytesMut};
use rtc::data_channel::RTCDataChannelInit;
use rtc::peer_connection::transport::RTCSctpTransportState;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use webrtc::data_channel::{DataChannel as Library, DataChannelEvent, RTCDataChannelState};
use webrtc::peer_connection::PeerConnection;

/// After so long without a message a channel that nobody reads is closed.
const QUIET: Duration = Duration::from_secs(5);
/// What the other side may send as one message (RFC 8841, `max-message-size`).
pub const LARGEST_MESSAGE: u32 = 256 << 10;
/// What everybody takes, whatever they say.
const SMALLEST_MAXIMUM: usize = 16 << 10;
/// How long what was sent may take to arrive before a channel is closed over it.
const LINGER: Duration = Duration::from_secs(5);
/// How long after the connection an association may take.
const ASSOCIATING: Duration = Duration::from_secs(10);
/// How long the other side may take to answer that it has a new channel.
const ANSWERING: Duration = Duration::from_secs(3);
/// How often a channel is opened that is closed at once.
const ATTEMPTS: u32 = 6;
/// How often the association is asked whether it is up, while a channel waits for that.
const OPENING: Duration = Duration::from_millis(20);

/// How often it is looked at anyway whether there is room in a window.
const RECOUNT: Duration = Duration::from_millis(5);

/// How to open a channel. Always reliable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelSpec {
    /// For people; need not be unique.
    pub label: String,
    /// The subprotocol (RFC 8831 6.4), or nothing.
    pub protocol: String,
    pub ordered: bool,
}

/// Who takes the channels that a participant opens, and those of our texts. At most 64 wait (policy Block: the connection's
/// actor waits; the taker does nothing but start readers).
pub type ChannelTaker = mpsc::Sender<(ParticipantId, DataChannel)>;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Sent as text; whether it is UTF-8 is for the reader to see.
    pub text: bool,
    pub data: Bytes,
}

/// What the channels of one connection have in common. It lives as long as they do, so its holders are their number.
pub(crate) struct Common {
    pub pace: Arc<Pace>,
}

/// An open data channel to one participant. Dropping it ends it carefully: see [`DataChannel::close`] for at once.
pub struct DataChannel {
    spec: ChannelSpec,
    max_message: usize,
    library: Arc<dyn Library>,
    /// Its end was seen.
    ended: AtomicBool,
    runtime: Handle,
    common: Arc<Common>,
    /// Bytes given to the library.
    sent: AtomicU64,
    /// A short critical section, never held across an await.
    window: Mutex<Window>,
    /// At how many outstanding bytes the library says that they are fewer now, and that it did.
    low: AtomicU32,
    lower: Notify,
    /// It is another's, and only our turn to send on it: then it is neither read nor closed here.
    _turn: Option<OwnedSemaphorePermit>,
}

impl DataChannel {
    /// Takes over a channel of the library's; `common` is let go of at its end. `None` where it is closed already.
    pub(crate) async fn new(
        library: Arc<dyn Library>,
        connection: &dyn PeerConnection,
        common: Arc<Common>,
    ) -> Option<Self> {
        let spec = ChannelSpec {
            label: library.label().await.ok()?,
            protocol: library.protocol().await.ok()?,
            ordered: library.ordered().await.ok()?,
        };
        let negotiated = match connection.sctp().await {
            Some(sctp) => sctp.max_message_size().await.unwrap_or(0),
            None => 0,
        };
        let max_message = usize::try_from(negotiated).unwrap_or(0).max(SMALLEST_MAXIMUM);
        let (ended, runtime) = (AtomicBool::new(false), Handle::current());
        let (sent, low, window) = (AtomicU64::new(0), AtomicU32::new(0), Mutex::default());
        let lower = Notify::new();
        Some(Self { spec, max_message, library, ended, runtime, common, sent, window, low, lower, _turn: None })
    }

    /// Waits until a channel is open on which others send too, and until it is our turn. It cannot be read.
    pub(crate) async fn shared(
        library: Arc<dyn Library>,
        connection: Arc<dyn PeerConnection>,
        common: Arc<Common>,
        turn: Arc<Semaphore>,
    ) -> Result<Self> {
        let closed = || Error::room("the data channel is closed");
        let turn = turn.acquire_owned().await.map_err(|e| closed().because(e))?;
        if !is_open(library.as_ref()).await {
            return Err(closed());
        }
        let mut channel = Self::new(library, connection.as_ref(), common).await.ok_or_else(closed)?;
        channel.ended.store(true, Ordering::Relaxed);
        channel._turn = Some(turn);
        Ok(channel)
    }

    pub fn label(&self) -> &str {
        &self.spec.label
    }
    /// The subprotocol, or nothing.
    pub fn protocol(&self) -> &str {
        &self.spec.protocol
    }
    pub fn ordered(&self) -> bool {
        self.spec.ordered
    }
    /// The longest message that may be sent, in bytes; at least 16 KiB.
    pub fn max_message_size(&self) -> usize {
        self.max_message
    }

    /// The next message; `None` once the channel is closed. Losing the future loses no message. One reader at a time.
    pub async fn recv(&self) -> Option<Message> {
        while !self.ended.load(Ordering::Relaxed) {
            match self.library.poll().await {
                Some(DataChannelEvent::OnMessage(message)) => {
                    return Some(Message { text: message.is_string, data: message.data.freeze() });
                }
                None | Some(DataChannelEvent::OnClose) => self.ended.store(true, Ordering::Relaxed),
                Some(DataChannelEvent::OnBufferedAmountLow) => self.lower.notify_one(),
                Some(_) => {}
            }
        }
        None
    }

    /// Waits until the send buffer has room: 4 MB where they have much of it themselves, else a [`Window`]. False once the channel
    /// is closed. Losing the future does no harm. Somebody must be reading the channel meanwhile.
    pub async fn writable(&self) -> bool {
        while !self.common.pace.is_lifted() {
            let Ok(outstanding) = self.library.outstanding_bytes().await else { return false };
            let arrived = self.sent.load(Ordering::Relaxed).saturating_sub(outstanding as u64);
            let size = self.window.lock().unwrap_or_else(PoisonError::into_inner).size(Instant::now(), arrived);
            if outstanding < size {
                break;
            }
            let low = u32::try_from(size).unwrap_or(u32::MAX).saturating_sub(1);
            if self.low.swap(low, Ordering::Relaxed) != low
                && self.library.set_buffered_amount_low_threshold(low).await.is_err()
            {
                return false;
            }
            // The library tells of it once, and not of what it had not counted yet.
            let _ = tokio::time::timeout(RECOUNT, self.lower.notified()).await;
        }
        self.library.writable().await.is_ok()
    }
    /// What goes to this participant need not be spread in time: their sockets take bursts.
    pub fn unpaced(&self) {
        self.common.pace.lift();
    }
    /// Sends bytes, after waiting for room; false once the channel is closed. Must be awaited to its end.
    pub async fn send(&self, data: BytesMut) -> bool {
        self.sent.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.library.send(data).await.is_ok()
    }
    /// Closes the channel once what was sent has arrived. Only for when they have said their last word: what they send later
    /// would be in the way of their other channels.
    pub fn close(self) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            self.finish(close(self.library.clone()));
        }
    }
    fn finish(&self, ending: impl Future<Output = ()> + Send + 'static) {
        let common = self.common.clone();
        self.runtime.spawn(async move {
            ending.await;
            drop(common);
        });
    }

    /// Waits until everything that was sent has arrived; false once the channel is closed.
    pub async fn arrived(&self) -> bool {
        arrived(self.library.as_ref()).await
    }
    /// Sends a text in the same way.
    pub async fn send_text(&self, text: &str) -> bool {
        self.library.send_text(text).await.is_ok()
    }
}

impl Drop for DataChannel {
    fn drop(&mut self) {
        if !self.ended.load(Ordering::Relaxed) {
            self.finish(end(self.library.clone()));
        }
    }
}

/// Waits until channels can be opened: the library loses one that is opened while its association shakes hands. False where
/// there is none after [`ASSOCIATING`].
pub(crate) async fn associated(connection: &dyn PeerConnection) -> bool {
    let up = async {
        loop {
            if let Some(sctp) = connection.sctp().await
                && matches!(sctp.state().await, Ok(RTCSctpTransportState::Connected))
            {
                return;
            }
            tokio::time::sleep(OPENING).await;
        }
    };
    tokio::time::timeout(ASSOCIATING, up).await.is_ok()
}

/// Opens a channel on a connection that has its association.
pub(crate) async fn open(connection: &dyn PeerConnection, spec: &ChannelSpec) -> Result<Arc<dyn Library>> {
    let init = RTCDataChannelInit { ordered: spec.ordered, protocol: spec.protocol.clone(), ..Default::default() };
    let opened = connection.create_data_channel(&spec.label, Some(init)).await;
    opened.map_err(|e| Error::room("no data channel could be opened").because(e))
}

/// Waits until the other side knows the channel: on an unordered one, a message could overtake the news of it and be lost.
/// False where it is closed. To be asked before anybody reads the channel.
async fn opened(library: &dyn Library) -> bool {
    loop {
        match library.poll().await {
            Some(DataChannelEvent::OnOpen) => return true,
            None | Some(DataChannelEvent::OnClose) => return false,
            Some(_) => {}
        }
    }
}

/// Opens a channel as soon as that can be, and waits until the other side has it.
///
/// The library uses a stream's number again as soon as the channel on it is closed, while the other side may still be resetting
/// the stream (RFC 8831 6.7 wants both directions reset first); that reset then ends the new channel before it is open, or what
/// was still on its way for the old one leaves it without an answer. The next attempt is on another stream.
pub(crate) async fn open_surely(
    connection: &dyn PeerConnection,
    spec: &ChannelSpec,
    common: Arc<Common>,
) -> Result<DataChannel> {
    let closed = || Error::room("the data channel was closed at once");
    let mut pause = OPENING;
    let mut silent = Vec::new();
    for _ in 0..ATTEMPTS {
        if !associated(connection).await {
            return Err(Error::room("they take no data channels"));
        }
        let library = open(connection, spec).await?;
        match tokio::time::timeout(ANSWERING, opened(library.as_ref())).await {
            Ok(true) => {
                for library in silent {
                    tokio::spawn(async move { end(library).await });
                }
                return DataChannel::new(library, connection, common).await.ok_or_else(closed);
            }
            // Kept until there is an answer on another: its stream's number is not to be used again.
            Err(_) => silent.push(library),
            Ok(false) => {}
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Err(closed())
}

/// Ends a channel that nobody wants any more. It is closed by them, or by us when nothing has come for [`QUIET`]: what is still
/// on its way to a closed channel stays in the library's window for ever, and in the end no channel of theirs has any left.
/// Until then what comes is thrown away.
pub(crate) async fn end(library: Arc<dyn Library>) {
    loop {
        match tokio::time::timeout(QUIET, library.poll()).await {
            Ok(None | Some(DataChannelEvent::OnClose)) => return,
            Ok(Some(_)) => {}
            Err(_) => break,
        }
    }
    close(library).await;
}

/// Closes a channel on which they say no more, when what we said has arrived.
async fn close(library: Arc<dyn Library>) {
    let _ = tokio::time::timeout(LINGER, arrived(library.as_ref())).await;
    if library.close().await.is_ok() {
        let closed = async { while !matches!(library.poll().await, None | Some(DataChannelEvent::OnClose)) {} };
        let _ = tokio::time::timeout(LINGER, closed).await;
    }
}

/// Waits until the channel is open; false once it never will be.
pub(crate) async fn is_open(channel: &dyn Library) -> bool {
    loop {
        match channel.ready_state().await {
            Ok(RTCDataChannelState::Open) => return true,
            // Its events have another reader; this is asked a few times in a connection's life.
            Ok(RTCDataChannelState::Connecting) => tokio::time::sleep(OPENING).await,
            _ => return false,
        }
    }
}

/// Waits until the other side has everything; false where it never will.
pub(crate) async fn arrived(library: &dyn Library) -> bool {
    loop {
        match library.outstanding_bytes().await {
            Ok(0) => return true,
            Ok(_) => tokio::time::sleep(OPENING).await,
            Err(_) => return false,
        }
    }
}
