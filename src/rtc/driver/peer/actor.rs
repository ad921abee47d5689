//! The connection's actor: commands and callbacks in, events out; tracks that come and go.

use crate::error::Result;
use crate::room::description::{Description, Signal};
use crate::room::media::{Codec, MediaKind};
use crate::room::participant::ParticipantId;
use crate::room::policy::{Ask, Channels, NegotiationPolicy};
use crate::room::sdp::SetupRole;
use crate::rtc::congestion::pace::Pace;
use crate::rtc::driver::channel;
use crate::rtc::driver::channel::{ChannelSpec, ChannelTaker, Common, DataChannel};
use crate::rtc::driver::outbox::{Outbox, Text};
use crate::rtc::driver::peer::callbacks::Callback;
use crate::rtc::driver::peer::transceivers::ReservedTransceiver;
use crate::rtc::driver::peer::{CHAT_CHANNEL, PeerEvent, PeerState, RemoteTrack};
use crate::rtc::driver::send::{OutboundTrack, Sending};
use crate::rtc::driver::sender_report::SenderReportRewriter;
use crate::rtc::driver::tap::Streams;
use crate::rtc::feedback::KeyFrameRequests;
use crate::rtc::negotiation::Negotiation;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::sleep_until;
use webrtc::data_channel::DataChannel as LibraryChannel;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{PeerConnection, RTCIceCandidateInit, RTCPeerConnectionState};

/// At least this long between two key-frame requests for one stream.
const KEY_FRAME_PAUSE: Duration = Duration::from_millis(400);

/// What the session asks of the connection.
pub(crate) enum Command {
    Signal(Signal),
    Asked(Ask),
    Publish(OutboundTrack),
    Unpublish(String, Option<MediaKind>),
    KeyFrame(u32),
    Text(String, Text),
    OpenChannel(ChannelSpec, oneshot::Sender<Result<DataChannel>>),
    RestartIce,
    Resend,
    Close,
}

/// The connection's actor: one loop decides, everybody else sends.
pub(crate) struct Actor {
    pub(crate) connection: Arc<dyn PeerConnection>,
    pub(crate) negotiation: Negotiation,
    pub(crate) policy: NegotiationPolicy,
    /// The first offer was made, by them or by us.
    pub(crate) begun: bool,
    /// Our candidates, where they do not trickle, and whether these are all.
    pub(crate) own_candidates: Vec<String>,
    pub(crate) gathered: bool,
    /// Descriptions of ours that wait for candidates, and until when.
    pub(crate) held: VecDeque<Description>,
    pub(crate) held_until: Option<tokio::time::Instant>,
    /// Sections that are kept for tracks of ours.
    pub(crate) places: Vec<ReservedTransceiver>,
    /// The single channel of a room that has only one; who waits for it; and whose turn it is to send.
    pub(crate) single: Option<Arc<dyn LibraryChannel>>,
    pub(crate) waiting: Vec<oneshot::Sender<Result<DataChannel>>>,
    pub(crate) turn: Arc<Semaphore>,
    /// Our offer that is out.
    pub(crate) unanswered: Option<String>,
    pub(crate) peer: ParticipantId,
    pub(crate) events: mpsc::Sender<(ParticipantId, PeerEvent)>,
    pub(crate) callbacks: mpsc::UnboundedSender<Callback>,
    streams: Arc<Streams>,
    pub(crate) taken: Arc<SenderReportRewriter>,
    /// Our DTLS role, where the other side's answer settled it.
    pub(crate) role: Option<SetupRole>,
    pub(crate) remote_described: bool,
    pub(crate) pending_candidates: Vec<RTCIceCandidateInit>,
    /// SenderReportRewriter since the last description.
    pub(crate) candidates: usize,
    /// Who takes data channels, and how many of them are open: one less than its holders.
    pub(crate) taker: Option<ChannelTaker>,
    pub(crate) open_channels: Arc<Common>,
    /// Texts of ours on their way, by the label of their channel.
    pub(crate) outboxes: HashMap<String, Outbox>,
    /// Streams that arrive, and the library's track of each.
    pub(crate) tracks: HashMap<u32, (String, Arc<dyn TrackRemote>)>,
    codecs: HashMap<u32, Codec>,
    pub(crate) sending: Vec<Sending>,
    pub(crate) connected: bool,
    /// Data channels can be opened.
    pub(crate) associated: bool,
    key_frame_requests: KeyFrameRequests,
    pub(crate) restarted: Option<Instant>,
}

impl Actor {
    #[expect(clippy::too_many_arguments, reason = "called once")]
    pub(crate) fn new(
        connection: Arc<dyn PeerConnection>,
        polite: bool,
        policy: NegotiationPolicy,
        peer: ParticipantId,
        events: mpsc::Sender<(ParticipantId, PeerEvent)>,
        callbacks: mpsc::UnboundedSender<Callback>,
        streams: Arc<Streams>,
        taken: Arc<SenderReportRewriter>,
        pace: Arc<Pace>,
    ) -> Self {
        Self {
            connection,
            negotiation: Negotiation::new(polite),
            policy,
            begun: false,
            own_candidates: Vec::new(),
            gathered: false,
            held: VecDeque::new(),
            held_until: None,
            places: Vec::new(),
            single: None,
            waiting: Vec::new(),
            turn: Arc::new(Semaphore::new(1)),
            unanswered: None,
            peer,
            events,
            callbacks,
            streams,
            taken,
            role: None,
            remote_described: false,
            pending_candidates: Vec::new(),
            candidates: 0,
            taker: None,
            open_channels: Arc::new(Common { pace }),
            outboxes: HashMap::new(),
            tracks: HashMap::new(),
            codecs: HashMap::new(),
            sending: Vec::new(),
            connected: false,
            associated: false,
            key_frame_requests: KeyFrameRequests::new(KEY_FRAME_PAUSE),
            restarted: None,
        }
    }

    pub(crate) async fn run(
        mut self,
        first_offer: bool,
        taker: Option<ChannelTaker>,
        publish: Vec<OutboundTrack>,
        mut commands: mpsc::Receiver<Command>,
        mut callbacks: mpsc::UnboundedReceiver<Callback>,
        mut key_frames: mpsc::UnboundedReceiver<u32>,
    ) {
        self.taker = taker;
        for track in publish {
            self.publish(track).await;
        }
        self.keep_places(first_offer).await;
        if first_offer {
            if self.policy.channels != Channels::Never {
                match self.connection.create_data_channel(CHAT_CHANNEL, None).await {
                    Ok(channel) => self.channel(channel).await,
                    Err(e) => self.warn(format!("no data channel: {e}")).await,
                }
            }
            self.negotiation.changed();
            self.negotiate().await;
        }
        loop {
            let held_until = self.held_until;
            let held = async {
                match held_until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Close) | None => break,
                    Some(command) => self.command(command, first_offer).await,
                },
                Some(callback) = callbacks.recv() => self.callback(callback).await,
                () = held => self.let_go().await,
                Some(ssrc) = key_frames.recv() => {
                    if let Some(sending) = self.sending.iter().find(|s| s.ssrc == ssrc) {
                        sending.track.ask_key_frame();
                    }
                }
            }
        }
        for sending in self.sending.drain(..) {
            sending.stop();
        }
        if let Err(e) = self.connection.close().await {
            tracing::debug!(peer = %self.peer, "closing: {e}");
        }
    }

    pub(crate) async fn tell(&self, event: PeerEvent) {
        let _ = self.events.send((self.peer.clone(), event)).await;
    }
    pub(crate) async fn warn(&self, message: String) {
        self.tell(PeerEvent::Warning(message)).await;
    }

    async fn command(&mut self, command: Command, first_offer: bool) {
        match command {
            Command::Signal(Signal::Description(description)) => {
                if let Err(e) = self.describe(description).await {
                    self.warn(format!("their session description was refused: {e}")).await;
                }
                self.negotiate().await;
            }
            Command::Signal(Signal::Candidate(candidate)) => self.candidate(candidate).await,
            Command::Asked(ask) => self.asked(ask).await,
            Command::Publish(track) => {
                self.publish(track).await;
                self.negotiate_unless_waiting(first_offer).await;
            }
            Command::Unpublish(stream, kind) => {
                self.unpublish(&stream, kind).await;
                self.negotiate_unless_waiting(first_offer).await;
            }
            Command::KeyFrame(ssrc) => self.ask_key_frame(ssrc).await,
            Command::Text(label, text) => self.send_text(label, text).await,
            Command::OpenChannel(spec, reply) => self.open_channel(spec, reply),
            Command::RestartIce => self.restart_ice().await,
            Command::Resend => {
                // Where nothing trickles, the adapter knows what has arrived.
                if let Some(sdp) = self.unanswered.clone().filter(|_| self.policy.trickle) {
                    self.offer(sdp).await;
                }
            }
            Command::Close => {}
        }
    }

    /// Before the first description of a peer who makes the first offer, ours would only be glare.
    async fn negotiate_unless_waiting(&mut self, first_offer: bool) {
        if first_offer || self.remote_described {
            self.negotiate().await;
        }
    }

    async fn callback(&mut self, callback: Callback) {
        match callback {
            Callback::Candidate(event) => {
                if let Some(candidate) = self.local_candidate(&event).await {
                    if self.policy.trickle {
                        self.tell(PeerEvent::Signal(Signal::Candidate(Some(candidate)))).await;
                    } else {
                        if !self.own_candidates.contains(&candidate.candidate) {
                            self.own_candidates.push(candidate.candidate);
                        }
                    }
                }
            }
            Callback::Gathered if self.policy.trickle => {
                self.tell(PeerEvent::Signal(Signal::Candidate(None))).await;
            }
            Callback::Gathered => {
                self.gathered = true;
                self.let_go().await;
            }
            Callback::State(state) => {
                let state = match state {
                    RTCPeerConnectionState::Connecting => PeerState::Connecting,
                    RTCPeerConnectionState::Connected => PeerState::Connected,
                    RTCPeerConnectionState::Disconnected => PeerState::Disconnected,
                    RTCPeerConnectionState::Failed => PeerState::Failed,
                    RTCPeerConnectionState::Closed => PeerState::Closed,
                    _ => PeerState::New,
                };
                self.connected = state == PeerState::Connected;
                // A path that is doubted or sought anew (ICE restart) may still carry: stopping would lose what is sent meanwhile, beyond
                // repair, and what follows up to the next key frame.
                let carries = match state {
                    PeerState::Connected => Some(true),
                    PeerState::Connecting | PeerState::Disconnected => None,
                    PeerState::New | PeerState::Failed | PeerState::Closed => Some(false),
                };
                if let Some(carries) = carries {
                    self.sending.iter().for_each(|sending| sending.set_connected(carries));
                }
                self.tell(PeerEvent::State(state)).await;
                if self.connected && !self.associated {
                    let (connection, callbacks) = (self.connection.clone(), self.callbacks.clone());
                    tokio::spawn(async move {
                        if channel::associated(connection.as_ref()).await {
                            let _ = callbacks.send(Callback::Associated);
                        }
                    });
                }
                if state == PeerState::Failed {
                    self.restart_ice().await;
                }
            }
            Callback::PathFound => self.tell(PeerEvent::PathFound).await,
            Callback::Track(track) => {
                let callbacks = self.callbacks.clone();
                tokio::spawn(async move {
                    let id = track.track_id().await;
                    while let Some(event) = track.poll().await {
                        match event {
                            TrackRemoteEvent::OnOpen(init) => {
                                let _ = callbacks.send(Callback::Open { track: track.clone(), ssrc: init.ssrc });
                            }
                            TrackRemoteEvent::OnEnded => break,
                            _ => {}
                        }
                    }
                    let _ = callbacks.send(Callback::Ended { track: id });
                });
            }
            Callback::Open { track, ssrc } => self.opened(track, ssrc).await,
            Callback::Ended { track } => {
                let ssrcs: Vec<u32> =
                    self.tracks.iter().filter(|(_, (id, _))| *id == track).map(|(ssrc, _)| *ssrc).collect();
                self.tracks.retain(|_, (id, _)| *id != track);
                self.tell(PeerEvent::TrackEnded { track, ssrcs }).await;
            }
            Callback::Associated => {
                self.associated = true;
                self.open_outboxes().await;
            }
            Callback::Channel(channel) => self.channel(channel).await,
        }
    }

    async fn opened(&mut self, track: Arc<dyn TrackRemote>, ssrc: u32) {
        let described = match track.codec(ssrc).await.map(|codec| (codec.mime_type, codec.channels)) {
            Some((mime, channels)) if !mime.is_empty() => Some((mime, channels)),
            _ => self.streams.codec(ssrc),
        };
        let Some((mime, channels)) = described else {
            return self.warn(format!("a stream without a codec (SSRC {ssrc}) is ignored")).await;
        };
        let Some(codec) = Codec::from_mime(&mime) else {
            return self.warn(format!("codec {mime:?} cannot be recorded")).await;
        };
        let id = track.track_id().await;
        let remote = RemoteTrack { ssrc, codec, stream: track.stream_id().await, track: id.clone(), channels };
        // The library opens a stream anew after each negotiation; that is no news, unless the codec is another.
        let known = self.codecs.insert(ssrc, codec);
        if self.tracks.insert(ssrc, (id.clone(), track)).is_none_or(|(at, _)| at != id) || known != Some(codec) {
            self.tell(PeerEvent::Track(remote)).await;
        }
    }

    async fn ask_key_frame(&mut self, ssrc: u32) {
        let Some((_, track)) = self.tracks.get(&ssrc) else { return };
        if !self.key_frame_requests.request(&ssrc, Instant::now()) {
            return;
        }
        let request = PictureLossIndication { sender_ssrc: 0, media_ssrc: ssrc };
        if let Err(e) = track.write_rtcp(vec![Box::new(request)]).await {
            tracing::debug!(peer = %self.peer, "asking for a key frame: {e}");
        }
    }
}
