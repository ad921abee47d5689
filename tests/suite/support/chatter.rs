//! A member that connects to the recorder with data channels only and floods them. Uses the WebRTC library itself: what it does, no
//! connection of ours would.

use super::candidates::Candidates;
use super::line::Line;
use super::within;
use bytes::BytesMut;
use roombot::room::participant::Role;
use roombot::signal::{Candidate, Description, JoinAs, Signal, SignalCommand, SignalEvent, for_url};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, RTCIceCandidateInit, RTCSessionDescription, SettingEngineBuilder,
};

/// A connected chatter.
pub struct Chatter {
    channel: Arc<dyn DataChannel>,
    connection: Arc<dyn PeerConnection>,
    _signals: tokio::task::JoinSet<()>,
}

impl Chatter {
    /// Joins the room and connects to the recorder that is there.
    pub async fn join(room: &str, name: &str) -> Chatter {
        let how = JoinAs { name: name.into(), role: Role::Participant, token: None };
        let mut link = for_url(room).expect("a room").join(how).await.expect("joined");
        let to = link.peers.iter().find(|peer| peer.role == Role::Recorder).expect("a recorder").id.clone();
        let (candidates, mut found) = mpsc::unbounded_channel();
        let settings = SettingEngineBuilder::new().with_include_loopback_candidate(true).build();
        let connection: Arc<dyn PeerConnection> = Arc::new(
            PeerConnectionBuilder::new()
                .with_setting_engine(settings)
                .with_data_channel_send_buffer_limit(1 << 20)
                .with_handler(Arc::new(Candidates(candidates)))
                .with_udp_addrs(vec!["127.0.0.1:0"])
                .build()
                .await
                .expect("a connection"),
        );
        let channel = connection.create_data_channel("chat", None).await.expect("a channel");
        let offer = connection.create_offer(None).await.expect("an offer");
        connection.set_local_description(offer.clone()).await.expect("set");
        let offer = Signal::Description(Description { kind: "offer".into(), sdp: offer.sdp });
        link.commands.send(SignalCommand::Signal { to: to.clone(), signal: offer }).await.expect("sent");

        let mut signals = tokio::task::JoinSet::new();
        let (commands, recorder) = (link.commands.clone(), to.clone());
        signals.spawn(async move {
            while let Some(candidate) = found.recv().await {
                let candidate = Candidate {
                    candidate,
                    sdp_mid: Some("0".into()),
                    sdp_m_line_index: Some(0),
                    username_fragment: None,
                };
                let signal = Signal::Candidate(Some(candidate));
                let _ = commands.send(SignalCommand::Signal { to: recorder.clone(), signal }).await;
            }
        });
        let theirs = connection.clone();
        signals.spawn(async move {
            while let Some(event) = link.events.recv().await {
                match event {
                    SignalEvent::Signal { from, signal } if from == to => hear(theirs.as_ref(), signal).await,
                    _ => {}
                }
            }
        });
        let open = async { while !matches!(channel.poll().await, Some(DataChannelEvent::OnOpen)) {} };
        within(15, "the channel opens", open).await;
        Chatter { channel, connection, _signals: signals }
    }

    /// Sends as fast as it can for so long: short texts, long ones, bytes. Says how many.
    pub async fn flood(&self, time: Duration) -> u64 {
        let until = Instant::now() + time;
        let long = "x".repeat(60_000);
        let mut sent = 0;
        while Instant::now() < until {
            if self.channel.writable().await.is_err() {
                break;
            }
            let done = match sent % 100 {
                0 => self.channel.send_text(&long).await,
                1 => self.channel.send(BytesMut::from(&[0xff; 5000][..])).await,
                _ => self.channel.send_text("\u{1b}[2J\u{7}all your base").await,
            };
            sent += u64::from(done.is_ok());
        }
        sent
    }

    /// Opens another channel.
    pub async fn line(&self, protocol: &str, ordered: bool) -> Line {
        let init = RTCDataChannelInit { ordered, protocol: protocol.into(), ..Default::default() };
        Line::new(self.connection.create_data_channel("line", Some(init)).await.expect("a channel")).await
    }

    pub async fn close(self) {
        let _ = self.connection.close().await;
    }
}

async fn hear(connection: &dyn PeerConnection, signal: Signal) {
    match signal {
        Signal::Description(description) => {
            let parsed = serde_json::to_value(&description).and_then(serde_json::from_value);
            let answer: RTCSessionDescription = parsed.expect("SDP");
            connection.set_remote_description(answer).await.expect("an answer that fits");
        }
        Signal::Candidate(Some(candidate)) => {
            let init = RTCIceCandidateInit {
                candidate: candidate.candidate,
                sdp_mid: candidate.sdp_mid,
                sdp_mline_index: candidate.sdp_m_line_index,
                ..Default::default()
            };
            let _ = connection.add_ice_candidate(init).await;
        }
        Signal::Candidate(None) | Signal::Refused(_) | Signal::Anew(_) => {}
    }
}
