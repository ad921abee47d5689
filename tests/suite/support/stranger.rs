//! A peer of another make: the WebRTC library itself, whose descriptions are changed on their way out and in, and which sends RTP that a
//! test makes. At the other end is one connection of ours.

use super::candidates::Candidates;
use super::pair::Told;
use super::within;
use roombot::room::participant::ParticipantId;
use roombot::room::policy::PeerState;
use roombot::rtc::{DataChannel, Inbound, OutboundTrack, Peer, PeerConfig, PeerEvent, Wake};
use roombot::signal::{Candidate, Description, Signal};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use rtc::sdp::extmap::SDES_MID_URI;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, RTCIceCandidateInit, RTCSessionDescription, SettingEngineBuilder,
};

/// Changes a description: `offer` or `answer`, and its text.
pub type Change = Arc<dyn Fn(&str, String) -> String + Send + Sync>;

/// Payload types of VP8 and Opus, as the stranger numbers them.
pub const NUMBERS: (u8, u8) = (97, 96);

/// Both ends.
pub struct Stranger {
    pub connection: Arc<dyn PeerConnection>,
    /// Ours.
    pub peer: Arc<Peer>,
    pub told: mpsc::UnboundedReceiver<Told>,
    pub channels: mpsc::Receiver<(ParticipantId, DataChannel)>,
    /// What we said, in order.
    pub descriptions: Arc<Mutex<Vec<Description>>>,
    /// What we were warned of.
    pub warnings: Arc<Mutex<Vec<String>>>,
    out: Change,
    tracks: Vec<(Arc<TrackLocalStaticRTP>, u32, u8)>,
    sequence: AtomicU16,
    _tasks: tokio::task::JoinSet<()>,
}

fn session(kind: &str, sdp: &str) -> RTCSessionDescription {
    let description = Description { kind: kind.into(), sdp: sdp.into() };
    serde_json::to_value(description).and_then(serde_json::from_value).expect("SDP")
}

fn codec(mime: &str, fmtp: &str) -> RTCRtpCodec {
    let sound = mime.starts_with("audio");
    RTCRtpCodec {
        mime_type: mime.into(),
        clock_rate: if sound { 48_000 } else { 90_000 },
        channels: if sound { 2 } else { 0 },
        sdp_fmtp_line: fmtp.into(),
        rtcp_feedback: vec![],
    }
}

impl Stranger {
    /// A stranger with tracks of these streams (`c` and a number for a picture, anything else is sound), and a connection of ours that
    /// sends `publish`. `out` changes what the stranger says, `into` what it hears.
    pub async fn meet(
        streams: &[&str],
        (publish, we_offer): (Vec<OutboundTrack>, bool),
        out: impl Fn(&str, String) -> String + Send + Sync + 'static,
        into: impl Fn(&str, String) -> String + Send + Sync + 'static,
    ) -> Stranger {
        super::log();
        let (out, into): (Change, Change) = (Arc::new(out), Arc::new(into));
        let mut engine = MediaEngine::default();
        for (mime, number) in [("video/VP8", NUMBERS.0), ("audio/opus", NUMBERS.1)] {
            let kind = if mime.starts_with("audio") { RtpCodecKind::Audio } else { RtpCodecKind::Video };
            let parameters = RTCRtpCodecParameters { rtp_codec: codec(mime, ""), payload_type: number };
            engine.register_codec(parameters, kind).expect("a codec");
            let extension = RTCRtpHeaderExtensionCapability { uri: SDES_MID_URI.into() };
            engine.register_header_extension(extension, kind, None).expect("an extension");
        }
        let (candidates, mut found) = mpsc::unbounded_channel();
        let settings = SettingEngineBuilder::new().with_include_loopback_candidate(true).build();
        let connection: Arc<dyn PeerConnection> = Arc::new(
            PeerConnectionBuilder::new()
                .with_media_engine(engine)
                .with_setting_engine(settings)
                .with_handler(Arc::new(Candidates(candidates)))
                .with_udp_addrs(vec!["127.0.0.1:0"])
                .build()
                .await
                .expect("a connection"),
        );
        let mut tracks = Vec::new();
        for (index, stream) in streams.iter().enumerate() {
            let ssrc = 1000 + index as u32;
            let (mime, kind, number) = match stream.starts_with('c') {
                true => ("video/VP8", RtpCodecKind::Video, if we_offer { 96 } else { NUMBERS.0 }),
                false => ("audio/opus", RtpCodecKind::Audio, if we_offer { 111 } else { NUMBERS.1 }),
            };
            let encoding = RTCRtpEncodingParameters {
                rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
                codec: codec(mime, ""),
                ..Default::default()
            };
            let id = (stream.to_string(), format!("track-{stream}"));
            let track = MediaStreamTrack::new(id.0, id.1, stream.to_string(), kind, vec![encoding]);
            let track = Arc::new(TrackLocalStaticRTP::new(track));
            connection.add_track(track.clone() as Arc<dyn TrackLocal>).await.expect("a track");
            tracks.push((track, ssrc, number));
        }
        let (taker, channels) = mpsc::channel(64);
        let config = PeerConfig {
            peer: ParticipantId("stranger".into()),
            polite: true,
            first_offer: we_offer,
            policy: Default::default(),
            ice_servers: vec![],
            relay_only: false,
            wake: Wake::OnArrival,
            inbox_bytes: None,
            measure: false,
            impairment: None,
            channels: Some(taker),
        };
        let (events, mut heard) = mpsc::channel(64);
        let peer = Arc::new(Peer::connect(config, publish, events).await.expect("ours"));
        let (descriptions, warnings) =
            (Arc::<Mutex<Vec<Description>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let mut tasks = tokio::task::JoinSet::new();
        let ours = peer.clone();
        tasks.spawn(async move {
            while let Some(candidate) = found.recv().await {
                // Neither the name nor the number of a section: everything is in one transport.
                let candidate = Candidate { candidate, sdp_mid: None, sdp_m_line_index: None, username_fragment: None };
                ours.signal(Signal::Candidate(Some(candidate))).await;
            }
        });
        let (tell, told) = mpsc::unbounded_channel();
        let (theirs, ours, said, complaints) =
            (connection.clone(), peer.clone(), descriptions.clone(), warnings.clone());
        let (answering, hearing) = (out.clone(), into);
        tasks.spawn(async move {
            while let Some((_, event)) = heard.recv().await {
                match event {
                    PeerEvent::Signal(Signal::Description(description)) => {
                        said.lock().expect("lock").push(description.clone());
                        let kind = description.kind.clone();
                        let text = hearing(&kind, description.sdp);
                        if let Err(e) = theirs.set_remote_description(session(&kind, &text)).await {
                            println!("the stranger refuses our {kind}: {e}\n{text}");
                            continue;
                        }
                        if kind != "offer" {
                            continue;
                        }
                        let answer = theirs.create_answer(None).await.expect("an answer");
                        theirs.set_local_description(answer.clone()).await.expect("set");
                        ours.signal(Signal::description("answer", answering("answer", answer.sdp))).await;
                    }
                    PeerEvent::Signal(Signal::Candidate(Some(candidate))) => {
                        let init = RTCIceCandidateInit { candidate: candidate.candidate, ..Default::default() };
                        let _ = theirs.add_ice_candidate(init).await;
                    }
                    PeerEvent::State(state) => drop(tell.send(Told::State(state))),
                    PeerEvent::Track(track) => drop(tell.send(Told::Track(track))),
                    PeerEvent::Warning(text) | PeerEvent::Refused(text) | PeerEvent::Anew(text) => {
                        println!("warning: {text}");
                        complaints.lock().expect("lock").push(text);
                    }
                    _ => {}
                }
            }
        });
        Stranger {
            connection,
            peer,
            told,
            channels,
            descriptions,
            warnings,
            out,
            tracks,
            sequence: AtomicU16::new(0),
            _tasks: tasks,
        }
    }

    /// Makes an offer; what was offered.
    pub async fn offer(&self) -> String {
        let offer = self.connection.create_offer(None).await.expect("an offer");
        self.connection.set_local_description(offer.clone()).await.expect("set");
        let sdp = (self.out)("offer", offer.sdp);
        self.peer.signal(Signal::description("offer", sdp.clone())).await;
        sdp
    }

    /// Waits until our end is connected.
    pub async fn connected(&mut self) {
        let connected = async {
            loop {
                match self.told.recv().await.expect("the connection ended") {
                    Told::State(PeerState::Connected) => return,
                    Told::State(_) | Told::Track(_) | Told::Ended(_) => {}
                }
            }
        };
        within(15, "it connects", connected).await;
    }

    /// Our descriptions of a kind, once there are so many.
    pub async fn said(&self, kind: &str, least: usize) -> Vec<String> {
        let said = || {
            let all = self.descriptions.lock().expect("lock");
            all.iter().filter(|one| one.kind == kind).map(|one| one.sdp.clone()).collect::<Vec<_>>()
        };
        within(15, "our description", async {
            while said().len() < least {
                super::moment().await;
            }
        })
        .await;
        said()
    }

    /// Sends packets of every track for so long; header extensions by id. Returns what came: packets by SSRC.
    pub async fn send(
        &self,
        length: Duration,
        extension: impl Fn(usize) -> Option<(u8, String)>,
    ) -> BTreeMap<u32, usize> {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..length.as_millis() as u16 / 20 {
            let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
            tick.tick().await;
            for (index, (track, ssrc, number)) in self.tracks.iter().enumerate() {
                let mut header = rtc::rtp::header::Header {
                    version: 2,
                    marker: true,
                    payload_type: *number,
                    sequence_number: sequence,
                    timestamp: u32::from(sequence) * 960,
                    ssrc: *ssrc,
                    ..Default::default()
                };
                if let Some((id, value)) = extension(index) {
                    header.set_extension(id, value.into_bytes().into()).expect("an extension");
                }
                let payload = bytes::Bytes::from_static(&[0x10, 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 1, 0xb4, 0]);
                let _ = track.write_rtp(rtc::rtp::Packet { header, payload }).await;
            }
        }
        let (mut batch, mut came) = (Vec::new(), BTreeMap::new());
        let inbox = self.peer.inbox();
        loop {
            inbox.drain(&mut batch);
            for item in batch.drain(..) {
                if let Inbound::Rtp(packet) = item {
                    *came.entry(packet.ssrc).or_default() += 1;
                }
            }
            if tokio::time::timeout(Duration::from_millis(300), inbox.arrived()).await.is_err() {
                return came;
            }
        }
    }

    /// The streams that were told of so far: SSRC and media stream id.
    pub fn streams(&mut self) -> BTreeMap<u32, String> {
        let mut found = BTreeMap::new();
        while let Ok(told) = self.told.try_recv() {
            if let Told::Track(track) = told {
                found.insert(track.ssrc, track.stream);
            }
        }
        found
    }
}

/// Without the lines of these attributes.
pub fn without(sdp: &str, attributes: &[&str]) -> String {
    let is_out = |line: &&str| !attributes.iter().any(|name| line.starts_with(&format!("a={name}")));
    sdp.lines().filter(is_out).map(|line| format!("{line}\r\n")).collect()
}
