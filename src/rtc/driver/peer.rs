//! The handle of a connection to one participant. Its actor ([`actor`]) owns the library's connection, and is the only
//! one that calls it.

mod actor;
mod callbacks;
mod channels;
mod describe;
mod published;
mod received;
mod state;

use crate::error::{Error, Result};
use crate::room::description::Signal;
use crate::room::media::MediaKind;
use crate::room::participant::ParticipantId;
use crate::room::policy::OfferRequest;
use crate::rtc::congestion::BandwidthEstimate;
use crate::rtc::driver::channel::{ChannelSpec, Common, DataChannel, MAX_MESSAGE_SIZE};
use crate::rtc::driver::engine;
use crate::rtc::driver::placement::Shared;
use crate::rtc::driver::runtime::MediaRuntime;
use crate::rtc::driver::text_queue::Text;
use crate::rtc::inbox::Inbox;
use crate::rtc::peer::{PeerConfig, PeerEvent};
use crate::rtc::publisher::OutboundTrack;
use crate::rtc::transport::addresses::local_addresses;
use crate::rtc::transport::pacer::Pacer;
use actor::{Actor, Command, Inputs};
use callbacks::Handler;
pub use describe::check_description;
use received::ReceivedTracks;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use rtc::peer_connection::configuration::{RTCConfigurationBuilder, RTCIceServer, RTCIceTransportPolicy};
use state::ConnectionChannels;
use state::PublishedTracks;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use webrtc::peer_connection::{PeerConnectionBuilder, SettingEngineBuilder};

/// A connection to one participant. Dropping it closes it.
pub struct Peer {
    commands: mpsc::Sender<Command>,
    inbox: Arc<Inbox>,
    bandwidth: watch::Receiver<BandwidthEstimate>,
    common: Weak<Common>,
}

impl Peer {
    /// Opens sockets and starts the connection's actor. Events go to `events` (policy Block: the actor waits), each with the
    /// participant's id.
    pub async fn connect(
        config: PeerConfig,
        publish: Vec<OutboundTrack>,
        events: mpsc::Sender<(ParticipantId, PeerEvent)>,
    ) -> Result<Peer> {
        let inbox = Arc::new(Inbox::with_capacity(config.inbox_bytes.unwrap_or(Inbox::MAX_BYTES)));
        let (callbacks, callback_rx) = mpsc::unbounded_channel();
        let (key_frame_requests, key_frame_rx) = mpsc::unbounded_channel();
        let (commands, command_rx) = mpsc::channel(256);

        let failed = |e: rtc::shared::error::Error| Error::machine("cannot open a WebRTC connection").because(e);
        let mut media = engine::media_engine().map_err(failed)?;
        let pacer = Arc::new(Pacer::default());
        let (estimate, bandwidth) = watch::channel(BandwidthEstimate::UNKNOWN);
        let (codecs, capture_times) = <(Arc<_>, Arc<_>)>::default();
        let shared = Arc::new(Shared::default());
        let (placed, placed_rx) = mpsc::unbounded_channel();
        let ends = engine::ChainEnds {
            inbox: inbox.clone(),
            key_frame_requests,
            codecs: Arc::clone(&codecs),
            capture_times: Arc::clone(&capture_times),
            estimate,
            shared: Arc::clone(&shared),
            placed,
        };
        let registry = engine::interceptors(&mut media, ends, config.measure).map_err(failed)?;
        let settings = SettingEngineBuilder::new()
            .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(MAX_MESSAGE_SIZE))
            .with_include_loopback_candidate(true)
            // A pair that works is good enough: the default waits a second for a better one than a peer-reflexive pair.
            .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
            .with_srflx_acceptance_min_wait(Some(Duration::ZERO))
            .with_relay_acceptance_min_wait(config.relay_only.then_some(Duration::ZERO))
            .build();
        let ice_servers = config
            .ice_servers
            .iter()
            .map(|server| RTCIceServer {
                urls: server.urls.clone(),
                username: server.username.clone().unwrap_or_default(),
                credential: server.credential.clone().unwrap_or_default(),
            })
            .collect();
        let policy = if config.relay_only { RTCIceTransportPolicy::Relay } else { RTCIceTransportPolicy::All };
        let configuration =
            RTCConfigurationBuilder::default().with_ice_servers(ice_servers).with_ice_transport_policy(policy).build();
        let connection = PeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_media_engine(media)
            .with_interceptor_registry(registry)
            .with_setting_engine(settings)
            .with_data_channel_send_buffer_limit(crate::rtc::congestion::window::MAX_WINDOW)
            .with_handler(Arc::new(Handler(callbacks.clone())))
            .with_runtime(Arc::new(MediaRuntime {
                wake: config.wake,
                impairment: config.impairment.clone(),
                pacer: pacer.clone(),
            }))
            .with_udp_addrs(local_addresses())
            .build()
            .await
            .map_err(failed)?;

        let channels = ConnectionChannels::new(config.channels, pacer);
        let common = Arc::downgrade(&channels.common);
        let actor = Actor::new(
            Arc::new(connection),
            (config.peer, events, callbacks),
            (config.polite, config.first_offer, config.policy),
            channels,
            ReceivedTracks::new(codecs, shared),
            PublishedTracks::new(capture_times),
        );
        let inputs = Inputs {
            commands: command_rx,
            callbacks: callback_rx,
            key_frame_requests: key_frame_rx,
            placed: placed_rx,
        };
        tokio::spawn(actor.run(publish, inputs));
        Ok(Peer { commands, inbox, bandwidth, common })
    }

    /// Where this connection's packets arrive.
    pub fn inbox(&self) -> Arc<Inbox> {
        self.inbox.clone()
    }
    /// Whether a file is on its way over this connection.
    pub fn transfers(&self) -> bool {
        self.common.upgrade().is_some_and(|common| common.transfers.load(Ordering::Relaxed) > 0)
    }
    /// What the path to the participant carries; with [`PeerConfig::measure`] it follows the other side's feedback.
    pub fn bandwidth(&self) -> watch::Receiver<BandwidthEstimate> {
        self.bandwidth.clone()
    }
    /// Applies a description or candidate from the participant.
    pub async fn signal(&self, signal: Signal) {
        let _ = self.commands.send(Command::Signal(signal)).await;
    }
    /// Does what the participant requests of the side that makes the offers.
    pub async fn on_request(&self, request: OfferRequest) {
        let _ = self.commands.send(Command::Request(request)).await;
    }
    /// Sends one more track (renegotiates).
    pub async fn publish(&self, track: OutboundTrack) {
        let _ = self.commands.send(Command::Publish(track)).await;
    }
    /// Stops sending the tracks of a stream, by its id (renegotiates).
    pub async fn unpublish(&self, stream: &str) {
        self.unpublish_kind(stream, None).await;
    }
    /// The same for one kind of track of the stream only, if one is given.
    pub async fn unpublish_kind(&self, stream: &str, kind: Option<MediaKind>) {
        let _ = self.commands.send(Command::Unpublish(stream.to_owned(), kind)).await;
    }
    /// Requests a key frame of the sender of `ssrc` (PLI, RFC 4585 6.3.1). Never waits; requests that come too fast are one.
    pub fn request_key_frame(&self, ssrc: u32) {
        let _ = self.commands.try_send(Command::KeyFrame(ssrc));
    }
    /// Sends a text on the channel with this label, which is opened where there is none; texts of one label keep their order.
    /// Does not wait for the participant: before the connection is up, or while they are slow, 64 texts wait; later ones are
    /// dropped, with a [`PeerEvent::Warning`]. The answer completes when the text has arrived, or fails when it never will.
    pub async fn send_text(&self, label: &str, text: &str) -> oneshot::Receiver<()> {
        let (arrived, answer) = oneshot::channel();
        let _ = self.commands.send(Command::Text(label.to_owned(), Text { text: text.to_owned(), arrived })).await;
        answer
    }
    /// Requests a data channel of ours; it is opened as soon as the connection is up.
    pub async fn open_channel(&self, spec: ChannelSpec) -> ChannelRequest {
        let (reply, opened) = oneshot::channel();
        let _ = self.commands.send(Command::OpenChannel(spec, reply)).await;
        ChannelRequest(opened)
    }
    /// Finds new network paths (RFC 8445, ICE restart).
    pub async fn restart_ice(&self) {
        let _ = self.commands.send(Command::RestartIce).await;
    }
    /// Sends an offer that is still unanswered again: what was under way may have been lost with the socket.
    pub async fn resend(&self) {
        let _ = self.commands.send(Command::Resend).await;
    }
    /// Closes the connection; the participant is told (DTLS close-notify).
    pub async fn close(self) {
        let _ = self.commands.send(Command::Close).await;
    }
}

/// A data channel that was requested.
pub struct ChannelRequest(oneshot::Receiver<Result<DataChannel>>);

impl ChannelRequest {
    /// Waits for it.
    ///
    /// # Errors
    /// The room's: they accept none, or the connection is gone.
    pub async fn opened(self) -> Result<DataChannel> {
        self.0.await.unwrap_or_else(|_| Err(Error::room("the connection ended")))
    }
}
