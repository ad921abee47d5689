//! A connection to one participant, as the session sees it. Its actor ([`actor`]) owns the library's connection, and is the only
//! one that calls it.

mod actor;
mod callbacks;
mod channels;
mod describe;
mod transceivers;

use crate::error::{Error, Result};
use crate::room::description::{IceServer, Signal};
use crate::room::media::MediaKind;
pub use crate::room::media::RemoteTrack;
use crate::room::participant::ParticipantId;
pub use crate::room::policy::PeerState;
use crate::room::policy::{Ask, NegotiationPolicy};
use crate::rtc::congestion::BandwidthEstimate;
use crate::rtc::congestion::pace::Pace;
use crate::rtc::driver::channel::{ChannelSpec, ChannelTaker, DataChannel, LARGEST_MESSAGE};
use crate::rtc::driver::engine;
use crate::rtc::driver::outbox::Text;
use crate::rtc::driver::send::OutboundTrack;
use crate::rtc::driver::sender_report::SenderReportRewriter;
use crate::rtc::driver::socket::{MediaRuntime, Wake};
use crate::rtc::driver::tap::Streams;
use crate::rtc::inbox::Inbox;
use crate::rtc::transport::impair::Impairment;
use actor::{Actor, Command};
use callbacks::Handler;
pub use describe::readable;
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use rtc::peer_connection::configuration::{RTCConfigurationBuilder, RTCIceServer, RTCIceTransportPolicy};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use webrtc::peer_connection::{PeerConnectionBuilder, SettingEngineBuilder};

/// Label of the channel that the first offer always carries, so that there is something to negotiate; chat is spoken there.
pub const CHAT_CHANNEL: &str = "chat";

/// How to connect to one participant.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// The participant at the other end; every event carries it.
    pub peer: ParticipantId,
    /// Whether we are the polite side ([`crate::signal::is_polite`]).
    pub polite: bool,
    /// Whether we make the first offer.
    pub first_offer: bool,
    /// How connections are made in this room; who offers and who is polite is said above.
    pub policy: NegotiationPolicy,
    pub ice_servers: Vec<IceServer>,
    /// Use no path but those over TURN servers (W3C WebRTC `iceTransportPolicy: "relay"`).
    pub relay_only: bool,
    pub wake: Wake,
    /// Whether to measure what the path carries ([`Peer::path`]): for those who encode what they send, and can adapt it.
    pub measure: bool,
    /// A bad network, for tests.
    pub impairment: Option<Impairment>,
    /// Who takes the participant's data channels. None: they are closed.
    pub channels: Option<ChannelTaker>,
}

/// What a connection tells its session.
#[derive(Debug, Clone)]
pub enum PeerEvent {
    /// To be carried to the participant.
    Signal(Signal),
    /// To be asked of the participant, who makes the offers.
    Ask(Ask),
    State(PeerState),
    /// A way to them was found (ICE); what follows is DTLS.
    PathFound,
    /// Packets of this stream arrive in the inbox from now on (some may be there already).
    Track(RemoteTrack),
    /// The sender took the track away. Streams of it that are in the inbox are still good.
    TrackEnded {
        track: String,
        ssrcs: Vec<u32>,
    },
    /// Something went wrong that the connection survives.
    Warning(String),
}
/// A connection to one participant. Dropping it closes it.
pub struct Peer {
    commands: mpsc::Sender<Command>,
    inbox: Arc<Inbox>,
    path: watch::Receiver<BandwidthEstimate>,
}

impl Peer {
    /// Opens sockets and starts the connection's actor. Events go to `events` (policy Block: the actor waits), each with the
    /// participant's id.
    pub async fn connect(
        config: PeerConfig,
        publish: Vec<OutboundTrack>,
        events: mpsc::Sender<(ParticipantId, PeerEvent)>,
    ) -> Result<Peer> {
        let inbox = Arc::new(Inbox::default());
        let streams = Arc::new(Streams::default());
        let (callbacks, callback_rx) = mpsc::unbounded_channel();
        let (key_frames, key_frame_rx) = mpsc::unbounded_channel();
        let (commands, command_rx) = mpsc::channel(256);

        let failed = |e: rtc::shared::error::Error| Error::machine("cannot open a WebRTC connection").because(e);
        let mut media = engine::media_engine().map_err(failed)?;
        let taken = Arc::new(SenderReportRewriter::default());
        let pace = Arc::new(Pace::default());
        let (path_tx, path) = watch::channel(BandwidthEstimate::UNKNOWN);
        let links = engine::Links {
            inbox: inbox.clone(),
            key_frames,
            streams: streams.clone(),
            taken: taken.clone(),
            path: path_tx,
        };
        let registry = engine::interceptors(&mut media, links, config.measure).map_err(failed)?;
        let settings = SettingEngineBuilder::new()
            .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(LARGEST_MESSAGE))
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
            .with_data_channel_send_buffer_limit(crate::rtc::congestion::window::LARGEST)
            .with_handler(Arc::new(Handler(callbacks.clone())))
            .with_runtime(Arc::new(MediaRuntime {
                wake: config.wake,
                impairment: config.impairment.clone(),
                pace: pace.clone(),
            }))
            .with_udp_addrs(local_addresses())
            .build()
            .await
            .map_err(failed)?;

        let (policy, peer) = (config.policy, config.peer);
        let actor =
            Actor::new(Arc::new(connection), config.polite, policy, peer, events, callbacks, streams, taken, pace);
        tokio::spawn(actor.run(config.first_offer, config.channels, publish, command_rx, callback_rx, key_frame_rx));
        Ok(Peer { commands, inbox, path })
    }

    /// Where this connection's packets arrive.
    pub fn inbox(&self) -> Arc<Inbox> {
        self.inbox.clone()
    }
    /// What the path to the participant carries; with [`PeerConfig::measure`] it follows the other side's feedback.
    pub fn path(&self) -> watch::Receiver<BandwidthEstimate> {
        self.path.clone()
    }
    /// Hands over a description or candidate from the participant.
    pub async fn signal(&self, signal: Signal) {
        let _ = self.commands.send(Command::Signal(signal)).await;
    }
    /// Does what the participant asks of the side that makes the offers.
    pub async fn asked(&self, ask: Ask) {
        let _ = self.commands.send(Command::Asked(ask)).await;
    }
    /// Sends one more track (renegotiates).
    pub async fn publish(&self, track: OutboundTrack) {
        let _ = self.commands.send(Command::Publish(track)).await;
    }
    /// Takes a track away again, named by its stream id (renegotiates).
    pub async fn unpublish(&self, stream: &str) {
        self.withdraw(stream, None).await;
    }
    /// The same for one kind of track of the stream only, if one is given.
    pub async fn withdraw(&self, stream: &str, kind: Option<MediaKind>) {
        let _ = self.commands.send(Command::Unpublish(stream.to_owned(), kind)).await;
    }
    /// Asks the sender of `ssrc` for a key frame (PLI, RFC 4585 6.3.1). Never waits; requests that come too fast are one.
    pub fn request_key_frame(&self, ssrc: u32) {
        let _ = self.commands.try_send(Command::KeyFrame(ssrc));
    }
    /// Sends a text on the channel with this label, which is opened where there is none; texts of one label keep their order.
    /// Does not wait for the participant: before the connection is up, or while they are slow, 64 texts wait; later ones are left
    /// out, with a [`PeerEvent::Warning`]. The answer completes when the text has arrived, or fails when it never will.
    pub async fn send_text(&self, label: &str, text: &str) -> oneshot::Receiver<()> {
        let (arrived, answer) = oneshot::channel();
        let _ = self.commands.send(Command::Text(label.to_owned(), Text { text: text.to_owned(), arrived })).await;
        answer
    }
    /// Asks for a data channel of ours; it is opened as soon as the connection stands.
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

/// A data channel that was asked for.
pub struct ChannelRequest(oneshot::Receiver<Result<DataChannel>>);

impl ChannelRequest {
    /// Waits for it.
    ///
    /// # Errors
    /// The room's: they take none, or the connection is gone.
    pub async fn opened(self) -> Result<DataChannel> {
        self.0.await.unwrap_or_else(|_| Err(Error::room("the connection ended")))
    }
}

/// True of an address of this machine.
pub fn is_here(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || local_addresses().iter().any(|own| own.ip() == address)
}

/// Addresses to gather host candidates on: every interface's, without link-local ones; loopback too (for peers on this
/// machine), but over IPv4 only.
fn local_addresses() -> Vec<SocketAddr> {
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unspecified() && (ip.segments()[0] & 0xffc0) != 0xfe80,
    };
    let mut found: Vec<SocketAddr> = nix::ifaddrs::getifaddrs()
        .into_iter()
        .flatten()
        .filter_map(|interface| {
            let address = interface.address?;
            match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(v4), _) => Some(IpAddr::V4(v4.ip())),
                (_, Some(v6)) => Some(IpAddr::V6(v6.ip())),
                _ => None,
            }
        })
        .filter(usable)
        .map(|ip| SocketAddr::new(ip, 0))
        .collect();
    found.sort();
    found.dedup();
    if found.is_empty() {
        found.push(SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0));
    }
    found
}
