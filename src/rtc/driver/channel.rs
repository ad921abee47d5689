//! A data channel as others see it: whole messages, in their order. It never buffers and never drops one.
//!
//! The library's queue in front of a reader holds 256 messages. When it is full, its driver reads no data channel of the
//! connection any more (media goes on) until the reader comes back, so that SCTP's window closes and the sender waits:
//! nothing is lost, but the other channels of this participant wait too. Whoever has a channel therefore reads it promptly,
//! or drops it: then it is drained, and what still comes is discarded.

use crate::error::{Error, Result};
use crate::room::participant::ParticipantId;
use crate::rtc::congestion::window::SendWindow;
use crate::rtc::transport::pacer::Pacer;
use bytes::{Bytes, BytesMut};
use rtc::data_channel::RTCDataChannelInit;
use rtc::peer_connection::transport::RTCSctpTransportState;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use webrtc::data_channel::{DataChannel as Library, DataChannelEvent, RTCDataChannelState};
use webrtc::peer_connection::PeerConnection;

/// A channel that is drained is closed after this time without a message.
const DRAIN_IDLE: Duration = Duration::from_secs(5);
/// The largest message that the other side may send, in bytes (RFC 8841, `max-message-size`).
pub const MAX_MESSAGE_SIZE: u32 = 256 << 10;
/// What every endpoint accepts, whatever its description says.
const MIN_MESSAGE_LIMIT: usize = 16 << 10;
/// How long what was sent may take to arrive before the channel is closed anyway.
const LINGER: Duration = Duration::from_secs(5);
/// How long the SCTP association may take after the connection is up.
const ASSOCIATION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the other side may take to acknowledge a new channel (RFC 8832).
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
/// How often opening a channel is tried if it is closed at once.
const ATTEMPTS: u32 = 6;
/// How often the association and channels are polled while somebody waits for them.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How often a window is checked for room in any case.
const WINDOW_POLL: Duration = Duration::from_millis(5);

/// How to open a channel. Always reliable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelSpec {
    /// For display; need not be unique.
    pub label: String,
    /// The subprotocol (RFC 8831 6.4), or nothing.
    pub protocol: String,
    /// Whether messages arrive in their order.
    pub ordered: bool,
}

/// Where the channels go that a participant opens, and those of our texts. At most 64 wait (policy Block: the connection's
/// actor waits; the receiver only starts readers).
pub type IncomingChannels = mpsc::Sender<(ParticipantId, DataChannel)>;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Sent as text; not checked for UTF-8.
    pub text: bool,
    /// The bytes.
    pub data: Bytes,
}

/// What the channels of one connection have in common. It lives as long as they do, so its holders are their number.
pub(crate) struct Common {
    pub pacer: Arc<Pacer>,
    /// Open channels of a subprotocol: those that carry files.
    pub transfers: AtomicUsize,
}

/// An open data channel to one participant. Dropping it drains and then closes it; see [`DataChannel::close`].
pub struct DataChannel {
    spec: ChannelSpec,
    max_message: usize,
    library: Arc<dyn Library>,
    /// It is closed.
    ended: AtomicBool,
    runtime: Handle,
    common: Arc<Common>,
    /// Bytes given to the library.
    sent: AtomicU64,
    /// A short critical section, never held across an await.
    window: Mutex<SendWindow>,
    /// The library's threshold for `bufferedamountlow` (W3C WebRTC 6.2), and its event.
    low_threshold: AtomicU32,
    buffered_amount_low: Notify,
    /// Others send on it too, and it is our turn: then it is neither read nor closed here.
    _turn: Option<OwnedSemaphorePermit>,
}

impl DataChannel {
    /// Takes over a channel of the library's; `common` is dropped at its end. `None` if it is closed already.
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
        let max_message = usize::try_from(negotiated).unwrap_or(0).max(MIN_MESSAGE_LIMIT);
        let (ended, runtime) = (AtomicBool::new(false), Handle::current());
        let (sent, low_threshold, window) = (AtomicU64::new(0), AtomicU32::new(0), Mutex::default());
        let buffered_amount_low = Notify::new();
        common.transfers.fetch_add(usize::from(!spec.protocol.is_empty()), Ordering::Relaxed);
        Some(Self {
            spec,
            max_message,
            library,
            ended,
            runtime,
            common,
            sent,
            window,
            low_threshold,
            buffered_amount_low,
            _turn: None,
        })
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

    /// Its label.
    pub fn label(&self) -> &str {
        &self.spec.label
    }
    /// The subprotocol, or nothing.
    pub fn protocol(&self) -> &str {
        &self.spec.protocol
    }
    /// Whether messages arrive in their order.
    pub fn ordered(&self) -> bool {
        self.spec.ordered
    }
    /// The longest message that may be sent, in bytes; at least 16 KiB.
    pub fn max_message_size(&self) -> usize {
        self.max_message
    }

    /// The next message; `None` once the channel is closed. Cancel safe. One reader at a time.
    pub async fn recv(&self) -> Option<Message> {
        while !self.ended.load(Ordering::Relaxed) {
            match self.library.poll().await {
                Some(DataChannelEvent::OnMessage(message)) => {
                    return Some(Message { text: message.is_string, data: message.data.freeze() });
                }
                None | Some(DataChannelEvent::OnClose) => self.ended.store(true, Ordering::Relaxed),
                Some(DataChannelEvent::OnBufferedAmountLow) => self.buffered_amount_low.notify_one(),
                Some(_) => {}
            }
        }
        None
    }

    /// Waits until the send buffer has room: 4 MB for receivers with large buffers ([`DataChannel::disable_pacing`]), otherwise a
    /// window that adapts. False once the channel is closed. Cancel safe. Somebody must be reading the channel meanwhile.
    pub async fn writable(&self) -> bool {
        while !self.common.pacer.is_disabled() {
            let Ok(outstanding) = self.library.outstanding_bytes().await else { return false };
            let arrived = self.sent.load(Ordering::Relaxed).saturating_sub(outstanding as u64);
            let size = self.window.lock().unwrap_or_else(PoisonError::into_inner).size(Instant::now(), arrived);
            if outstanding < size {
                break;
            }
            let low = u32::try_from(size).unwrap_or(u32::MAX).saturating_sub(1);
            if self.low_threshold.swap(low, Ordering::Relaxed) != low
                && self.library.set_buffered_amount_low_threshold(low).await.is_err()
            {
                return false;
            }
            // The library signals it once, and not for what it had not counted yet.
            let _ = tokio::time::timeout(WINDOW_POLL, self.buffered_amount_low.notified()).await;
        }
        self.library.writable().await.is_ok()
    }
    /// Sends to this participant without pacing from now on: their sockets hold bursts.
    pub fn disable_pacing(&self) {
        self.common.pacer.disable();
    }
    /// Sends bytes, after waiting for room; false once the channel is closed. Must be awaited to its end.
    pub async fn send(&self, data: BytesMut) -> bool {
        self.sent.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.library.send(data).await.is_ok()
    }
    /// Closes the channel once what was sent has arrived. Only if they send nothing more: what they send later would stay in the receive
    /// window of their other channels.
    pub fn close(self) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            self.finish(close_flushed(self.library.clone()));
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
    pub async fn flushed(&self) -> bool {
        flushed(self.library.as_ref()).await
    }
    /// Sends a text message in the same way.
    pub async fn send_text(&self, text: &str) -> bool {
        self.library.send_text(text).await.is_ok()
    }
}

impl Drop for DataChannel {
    fn drop(&mut self) {
        self.common.transfers.fetch_sub(usize::from(!self.spec.protocol.is_empty()), Ordering::Relaxed);
        if !self.ended.load(Ordering::Relaxed) {
            self.finish(drain(self.library.clone()));
        }
    }
}

/// Waits until channels can be opened: the library loses one that is opened during the association's handshake. False if
/// there is no association after [`ASSOCIATION_TIMEOUT`].
pub(crate) async fn associated(connection: &dyn PeerConnection) -> bool {
    let up = async {
        loop {
            if let Some(sctp) = connection.sctp().await
                && matches!(sctp.state().await, Ok(RTCSctpTransportState::Connected))
            {
                return;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(ASSOCIATION_TIMEOUT, up).await.is_ok()
}

/// Opens a channel on a connection that has its association.
pub(crate) async fn open(connection: &dyn PeerConnection, spec: &ChannelSpec) -> Result<Arc<dyn Library>> {
    let init = RTCDataChannelInit { ordered: spec.ordered, protocol: spec.protocol.clone(), ..Default::default() };
    let opened = connection.create_data_channel(&spec.label, Some(init)).await;
    opened.map_err(|e| Error::room("no data channel could be opened").because(e))
}

/// Waits until the other side has acknowledged the channel: on an unordered one, a message could overtake its opening and be lost.
/// False if it is closed. Only before anybody reads the channel.
async fn acknowledged(library: &dyn Library) -> bool {
    loop {
        match library.poll().await {
            Some(DataChannelEvent::OnOpen) => return true,
            None | Some(DataChannelEvent::OnClose) => return false,
            Some(_) => {}
        }
    }
}

/// Opens a channel as soon as possible, and waits until the other side has acknowledged it.
///
/// The library uses a stream's number again as soon as the channel on it is closed, while the other side may still be resetting
/// the stream (RFC 8831 6.7 wants both directions reset first); that reset then ends the new channel before it is open, or what
/// was still on its way for the old one leaves it without an acknowledgement. The next attempt is on another stream.
pub(crate) async fn open_acknowledged(
    connection: &dyn PeerConnection,
    spec: &ChannelSpec,
    common: Arc<Common>,
) -> Result<DataChannel> {
    let closed = || Error::room("the data channel was closed at once");
    let mut pause = POLL_INTERVAL;
    let mut unanswered = Vec::new();
    for _ in 0..ATTEMPTS {
        if !associated(connection).await {
            return Err(Error::room("they accept no data channels"));
        }
        let library = open(connection, spec).await?;
        match tokio::time::timeout(OPEN_TIMEOUT, acknowledged(library.as_ref())).await {
            Ok(true) => {
                for library in unanswered {
                    tokio::spawn(async move { drain(library).await });
                }
                return DataChannel::new(library, connection, common).await.ok_or_else(closed);
            }
            // Kept until another one is acknowledged: its stream's number must not be used again.
            Err(_) => unanswered.push(library),
            Ok(false) => {}
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Err(closed())
}

/// Ends a channel that has no reader any more. They close it, or we do when nothing has come for [`DRAIN_IDLE`]: what is still
/// on its way to a closed channel stays in the library's receive window for ever, until no channel of theirs has any left.
/// Until then what comes is discarded.
pub(crate) async fn drain(library: Arc<dyn Library>) {
    loop {
        match tokio::time::timeout(DRAIN_IDLE, library.poll()).await {
            Ok(None | Some(DataChannelEvent::OnClose)) => return,
            Ok(Some(_)) => {}
            Err(_) => break,
        }
    }
    close_flushed(library).await;
}

/// Closes a channel on which they send nothing more, when what we sent has arrived.
async fn close_flushed(library: Arc<dyn Library>) {
    let _ = tokio::time::timeout(LINGER, flushed(library.as_ref())).await;
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
            // Its events have another reader; this is polled only a few times per connection.
            Ok(RTCDataChannelState::Connecting) => tokio::time::sleep(POLL_INTERVAL).await,
            _ => return false,
        }
    }
}

/// Waits until the other side has everything; false if it never will.
pub(crate) async fn flushed(library: &dyn Library) -> bool {
    loop {
        match library.outstanding_bytes().await {
            Ok(0) => return true,
            Ok(_) => tokio::time::sleep(POLL_INTERVAL).await,
            Err(_) => return false,
        }
    }
}
