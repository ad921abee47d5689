//! Two connections of ours in one process, joined by channels instead of a room.

use roombot::room::participant::ParticipantId;
use roombot::rtc::{DataChannel, Impairment, OutboundTrack, Peer, PeerConfig, PeerEvent, PeerState, RemoteTrack, Wake};
use roombot::signal::Signal;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What one end tells the test.
#[derive(Debug, Clone)]
pub enum Told {
    State(PeerState),
    Track(RemoteTrack),
    /// A track ended that had these streams.
    Ended(Vec<u32>),
}

/// One end of the pair.
pub struct End {
    pub peer: Arc<Peer>,
    pub told: mpsc::UnboundedReceiver<Told>,
    channels: mpsc::Receiver<(ParticipantId, DataChannel)>,
}

impl End {
    /// The next thing told for which `pick` gives a value.
    pub async fn until<T>(&mut self, mut pick: impl FnMut(&Told) -> Option<T>) -> T {
        loop {
            match self.told.recv().await {
                Some(told) => {
                    if let Some(value) = pick(&told) {
                        return value;
                    }
                }
                None => panic!("the connection ended"),
            }
        }
    }
    /// The next data channel that the other end opens with this protocol.
    pub async fn channel(&mut self, protocol: &str) -> DataChannel {
        loop {
            let (_, channel) = self.channels.recv().await.expect("the connection ended");
            if channel.protocol() == protocol {
                return channel;
            }
        }
    }
    pub async fn connected(&mut self) {
        self.until(|told| matches!(told, Told::State(PeerState::Connected)).then_some(())).await
    }
    pub async fn track(&mut self) -> RemoteTrack {
        self.until(|told| if let Told::Track(track) = told { Some(track.clone()) } else { None }).await
    }
}

/// `a` sends `publish` and offers; `b` receives, over a network as bad as `impairment` says.
pub async fn connect(publish: Vec<OutboundTrack>, wake: Wake, impairment: Option<Impairment>) -> (End, End) {
    connect_with(publish, wake, impairment, |sdp| sdp).await
}

/// The same, where what `a` describes is changed on its way.
pub async fn connect_with(
    publish: Vec<OutboundTrack>,
    wake: Wake,
    impairment: Option<Impairment>,
    change: fn(String) -> String,
) -> (End, End) {
    super::log();
    let id = |name: &str| ParticipantId(name.to_owned());
    let config = |peer: &str, polite, first_offer, impairment, channels| PeerConfig {
        peer: id(peer),
        polite,
        first_offer,
        policy: Default::default(),
        ice_servers: vec![],
        relay_only: false,
        wake,
        inbox_bytes: None,
        measure: true,
        impairment,
        channels: Some(channels),
    };
    let (a_tx, a_rx) = mpsc::channel(64);
    let (b_tx, b_rx) = mpsc::channel(64);
    let (a_taker, a_channels) = mpsc::channel(64);
    let (b_taker, b_channels) = mpsc::channel(64);
    let a = Arc::new(Peer::connect(config("b", false, true, None, a_taker), publish, a_tx).await.expect("a"));
    let b = Arc::new(Peer::connect(config("a", true, false, impairment, b_taker), vec![], b_tx).await.expect("b"));
    let (a_told, b_told) = (carry(a_rx, b.clone(), change), carry(b_rx, a.clone(), |sdp| sdp));
    (End { peer: a, told: a_told, channels: a_channels }, End { peer: b, told: b_told, channels: b_channels })
}

fn carry(
    mut events: mpsc::Receiver<(ParticipantId, PeerEvent)>,
    other: Arc<Peer>,
    change: fn(String) -> String,
) -> mpsc::UnboundedReceiver<Told> {
    let (tx, rx) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some((_, event)) = events.recv().await {
            let told = match event {
                PeerEvent::Signal(mut signal) => {
                    if let Signal::Description(description) = &mut signal {
                        description.sdp = change(std::mem::take(&mut description.sdp));
                    }
                    other.signal(signal).await;
                    continue;
                }
                PeerEvent::State(state) => Told::State(state),
                PeerEvent::Track(track) => Told::Track(track),
                PeerEvent::Warning(text) | PeerEvent::Refused(text) | PeerEvent::Anew(text) => {
                    println!("warning: {text}");
                    continue;
                }
                PeerEvent::TrackEnded { ssrcs, .. } => Told::Ended(ssrcs),
                PeerEvent::Replaced { why, .. } => panic!("{why}"),
                PeerEvent::OfferRequest(_) | PeerEvent::ForSuccessor(_) | PeerEvent::IceConnected => continue,
            };
            let _ = tx.send(told);
        }
    });
    rx
}
