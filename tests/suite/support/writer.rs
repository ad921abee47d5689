//! A member of a room who describes what the test says and writes its own RTP: any payload type, SSRC, header extension and payload.
//!
//! The transport is the WebRTC library's, which knows of one stream only, the carrier. Each packet of a test travels in the payload of a
//! carrier packet as far as an interceptor of ours, which puts it in the carrier's place just before it is encrypted. The descriptions that
//! others see are written here; the library is told of the transport in them and of the carrier.

use super::candidates::Candidates;
use super::within;
use super::written::{Answered, Offered};
use async_trait::async_trait;
use roombot::room::media::{Codec, Direction};
use roombot::room::participant::{ParticipantId, Role, TrackLabel};
use roombot::room::sdp::Sdp;
use roombot::signal::{Candidate, Description, JoinAs, Signal, SignalCommand, SignalEvent, Signaller};
use rtc::interceptor::{Interceptor, Packet as Any, StreamInfo, TaggedPacket};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::rtp::Packet;
use rtc::rtp::header::Header;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::{Marshal, Unmarshal};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, RTCIceCandidateInit, RTCPeerConnectionState, RTCSessionDescription,
    Registry, SettingEngineBuilder,
};

/// What carries packets within the library.
const CARRIER: (u32, u8) = (1, 96);
/// Puts packets in the carrier's place, and copies what comes.
#[derive(Default)]
struct Exchange {
    came: Arc<Mutex<Vec<Packet>>>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Exchange {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        if let Any::Rtp(packet) = &tagged.message.packet {
            self.came.lock().expect("lock").push(packet.clone());
        }
        self.read.push_back(tagged);
        Ok(())
    }
    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front()
    }
    fn handle_write(&mut self, mut tagged: TaggedPacket) -> Result<(), Error> {
        if let Any::Rtp(packet) = &mut tagged.message.packet {
            *packet = Packet::unmarshal(&mut packet.payload.clone())?;
        }
        self.write.push_back(tagged);
        Ok(())
    }
    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.write.pop_front()
    }
}

impl Interceptor for Exchange {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

/// The member, with the one connection that it makes: to whoever joins first after it, or is there.
pub struct Writer {
    connection: Arc<dyn PeerConnection>,
    carrier: Arc<TrackLocalStaticRTP>,
    commands: mpsc::Sender<SignalCommand>,
    /// Everything that came, in order.
    came: Arc<Mutex<Vec<Packet>>>,
    /// What the other said: kind and text.
    said: Arc<Mutex<Vec<(String, String)>>>,
    connected: watch::Receiver<bool>,
    _tasks: tokio::task::JoinSet<()>,
}

fn session(kind: &str, sdp: &str) -> RTCSessionDescription {
    let description = Description { kind: kind.into(), sdp: sdp.into() };
    serde_json::to_value(description).and_then(serde_json::from_value).expect("SDP")
}

fn head(mids: &[&str]) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n", mids.join(" "))
}

/// The lines of a description that say how the transport is made.
fn transport(sdp: &str, setup: &str) -> String {
    let wanted = ["a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"];
    let line = |start: &&str| sdp.lines().find(|line| line.starts_with(*start)).map(|line| format!("{line}\r\n"));
    wanted.iter().filter_map(line).collect::<String>() + &format!("a=setup:{setup}\r\n")
}

/// Tells when the connection is made.
struct Handler(Candidates, watch::Sender<bool>);

#[async_trait]
impl webrtc::peer_connection::PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: webrtc::peer_connection::RTCPeerConnectionIceEvent) {
        self.0.on_ice_candidate(event).await;
    }
    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.1.send_replace(state == RTCPeerConnectionState::Connected);
    }
}

impl Writer {
    /// Joins with these sections and labels. Whoever is met is offered them.
    pub async fn join(room: &dyn Signaller, name: &str, sections: Vec<Offered>, labels: Vec<TrackLabel>) -> Writer {
        super::log();
        let mut engine = MediaEngine::default();
        let codec = RTCRtpCodec { mime_type: "video/VP8".into(), clock_rate: 90_000, ..Default::default() };
        let parameters = RTCRtpCodecParameters { rtp_codec: codec.clone(), payload_type: CARRIER.1 };
        engine.register_codec(parameters, RtpCodecKind::Video).expect("a codec");
        let (found, mut candidates) = mpsc::unbounded_channel();
        let (connected_tx, connected) = watch::channel(false);
        let came: Arc<Mutex<Vec<Packet>>> = Arc::default();
        let exchange = Exchange { came: came.clone(), ..Exchange::default() };
        let settings = SettingEngineBuilder::new().with_include_loopback_candidate(true).build();
        let connection: Arc<dyn PeerConnection> = Arc::new(
            PeerConnectionBuilder::new()
                .with_media_engine(engine)
                .with_interceptor_registry(Registry::new().with(rtc::interceptor::Slot::from(0), exchange))
                .with_setting_engine(settings)
                .with_handler(Arc::new(Handler(Candidates(found), connected_tx)))
                .with_udp_addrs(vec!["127.0.0.1:0"])
                .build()
                .await
                .expect("a connection"),
        );
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(CARRIER.0), ..Default::default() },
            codec,
            ..Default::default()
        };
        let track =
            MediaStreamTrack::new("carrier".into(), "c".into(), "c".into(), RtpCodecKind::Video, vec![encoding]);
        let carrier = Arc::new(TrackLocalStaticRTP::new(track));
        connection.add_track(carrier.clone() as Arc<dyn TrackLocal>).await.expect("a track");
        let offer = connection.create_offer(None).await.expect("an offer");
        let transport = transport(&offer.sdp, "actpass");
        connection.set_local_description(offer).await.expect("set");

        let how = JoinAs { name: name.into(), role: Role::Participant, token: None };
        let mut link = within(10, "the writer joins", room.join(how)).await.expect("joins");
        let commands = link.commands.clone();
        commands.send(SignalCommand::Tracks(labels)).await.expect("the link lives");
        let said: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let writer = Writer {
            connection: connection.clone(),
            carrier,
            commands: commands.clone(),
            came,
            said: said.clone(),
            connected,
            _tasks: tokio::task::JoinSet::new(),
        };
        let there = link.peers.first().map(|peer| peer.id.clone());
        let mut tasks = tokio::task::JoinSet::new();
        let (told, ours) = (commands.clone(), transport.clone());
        tasks.spawn(async move {
            let mut other = there;
            let mut found = Vec::new();
            if let Some(other) = &other {
                greet(&told, other, &sections, &transport).await;
            }
            loop {
                if let Some(to) = &other {
                    for candidate in found.drain(..) {
                        let signal = Signal::Candidate(Some(candidate));
                        let _ = told.send(SignalCommand::Signal { to: to.clone(), signal }).await;
                    }
                }
                tokio::select! {
                    Some(candidate) = candidates.recv() => {
                        found.push(Candidate {
                            candidate,
                            sdp_mid: None,
                            sdp_m_line_index: None,
                            username_fragment: None,
                        });
                    }
                    event = link.events.recv() => match event {
                        None => return,
                        Some(SignalEvent::Joined(who)) if other.is_none() => {
                            greet(&told, &who.id, &sections, &transport).await;
                            other = Some(who.id);
                        }
                        Some(SignalEvent::Signal { from, signal }) if other.as_ref() == Some(&from) => {
                            hear(&connection, signal, &said, |answer| {
                                let signal = Signal::description("answer", answer);
                                let told = told.clone();
                                let to = from.clone();
                                async move { drop(told.send(SignalCommand::Signal { to, signal }).await) }
                            }, (&sections, &ours)).await;
                        }
                        Some(SignalEvent::Closed(why)) => println!("the writer is sent away: {why}"),
                        Some(_) => {}
                    },
                }
            }
        });
        Writer { _tasks: tasks, ..writer }
    }

    /// Waits until the connection is made.
    pub async fn connected(&self) {
        let mut connected = self.connected.clone();
        within(20, "it connects", connected.wait_for(|connected| *connected)).await.expect("a connection");
    }

    /// Sends packets as they are.
    pub async fn write(&self, packets: Vec<Packet>) {
        for packet in packets {
            let payload = packet.marshal().expect("a packet").freeze();
            let header = Header { version: 2, ssrc: CARRIER.0, payload_type: CARRIER.1, ..Default::default() };
            let _ = self.carrier.write_rtp(Packet { header, payload }).await;
        }
    }

    /// What came so far.
    pub fn came(&self) -> Vec<Packet> {
        self.came.lock().expect("lock").clone()
    }

    /// The descriptions of this kind that the other made so far.
    pub fn said(&self, kind: &str) -> Vec<String> {
        let said = self.said.lock().expect("lock");
        said.iter().filter(|(is, _)| is == kind).map(|(_, text)| text.clone()).collect()
    }

    /// What the payload types of the other's offers mean.
    pub fn codec_of(&self, payload_type: u8) -> Option<Codec> {
        let offers = self.said("offer");
        let sections = offers.iter().rev().flat_map(|offer| Sdp::sections_of(offer));
        sections.into_iter().find_map(|section| {
            let formats = section.payload_formats();
            formats.iter().find(|format| format.payload_type == payload_type)?.codec(section.kind()?)
        })
    }

    /// Leaves the room.
    pub async fn leave(self) {
        let _ = self.commands.send(SignalCommand::Leave).await;
        let _ = self.connection.close().await;
    }
}

fn offer(sections: &[Offered], transport: &str) -> String {
    let mids: Vec<&str> = sections.iter().map(|section| section.mid).collect();
    let sections: String = sections.iter().map(|section| section.write(transport)).collect();
    head(&mids) + &sections
}

async fn greet(told: &mpsc::Sender<SignalCommand>, to: &ParticipantId, sections: &[Offered], transport: &str) {
    let signal = Signal::description("offer", offer(sections, transport));
    told.send(SignalCommand::Signal { to: to.clone(), signal }).await.expect("the link lives");
}

/// Takes what the other says; `say` sends our answer to an offer, whose transport is `transport`.
async fn hear<F: Future<Output = ()>>(
    connection: &Arc<dyn PeerConnection>,
    signal: Signal,
    said: &Mutex<Vec<(String, String)>>,
    say: impl Fn(String) -> F,
    (sections, transport): (&[Offered], &str),
) {
    match signal {
        Signal::Description(Description { kind, sdp }) => {
            let first = kind == "answer" && said.lock().expect("lock").iter().all(|(kind, _)| kind != "answer");
            said.lock().expect("lock").push((kind.clone(), sdp.clone()));
            if first {
                let setup = sdp.lines().find_map(|line| line.strip_prefix("a=setup:")).unwrap_or("active");
                let lines = self::transport(&sdp, setup);
                let text = format!(
                    "{}m=video 9 UDP/TLS/RTP/SAVPF {}\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\n{lines}\
                     a=rtpmap:{} VP8/90000\r\n",
                    head(&["0"]),
                    CARRIER.1,
                    CARRIER.1
                );
                connection.set_remote_description(session("answer", &text)).await.expect("their transport");
                // Some have them all in their description.
                for candidate in
                    sdp.lines().filter_map(|line| line.strip_prefix("a=")).filter(|line| line.starts_with("candidate:"))
                {
                    let init = RTCIceCandidateInit { candidate: candidate.to_owned(), ..Default::default() };
                    let _ = connection.add_ice_candidate(init).await;
                }
            } else if kind == "offer" {
                let active = said
                    .lock()
                    .expect("lock")
                    .iter()
                    .any(|(kind, sdp)| kind == "answer" && sdp.contains("a=setup:passive"));
                let ours = if active { "active" } else { "passive" };
                say(mirrored(&sdp, sections, &transport.replace("actpass", ours))).await;
            }
        }
        Signal::Candidate(Some(candidate)) => {
            let init = RTCIceCandidateInit { candidate: candidate.candidate, ..Default::default() };
            let _ = connection.add_ice_candidate(init).await;
        }
        Signal::Candidate(None) => {}
        Signal::Refused(why) | Signal::Anew(why) => panic!("the writer's description is refused: {why}"),
    }
}

/// The answer to an offer: everything that it sends is received, and what we send goes on.
fn mirrored(offer: &str, sections: &[Offered], transport: &str) -> String {
    let lines: Vec<(&str, &str)> =
        transport.lines().filter_map(|line| line.strip_prefix("a=")?.split_once(':')).collect();
    Sdp::edit(offer, |sdp| {
        for section in &mut sdp.sections {
            if section.is_application() {
                section.refuse();
                continue;
            }
            let theirs = section.direction().unwrap_or_default();
            let own = sections.iter().find(|own| Some(own.mid) == section.mid());
            let sends = own.is_some_and(|own| own.answered != Answered::OneWay || !theirs.sends());
            let ours = Direction::of(sends && theirs.receives(), theirs.sends());
            section.retain_attributes(|name, _| {
                !matches!(name, "ssrc" | "ssrc-group" | "msid" | "candidate" | "end-of-candidates" | "fingerprint")
            });
            for (name, value) in &lines {
                section.set(name, value);
            }
            if section.kind().is_some() {
                section.set_direction(ours);
            }
            if let Some(own) = own.filter(|own| own.answered != Answered::Unnamed) {
                section.set("msid", &format!("{} {}", own.stream, own.mid));
            }
        }
    })
}
