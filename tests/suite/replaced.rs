//! Somebody whose connection is another one all at once, under the same membership: their offer has another certificate.

use crate::support::pause;
use crate::support::raw::Raw;
use crate::support::server::TestServer;
use crate::support::synthetic::{Vp8Sender, label};
use crate::support::tape::Tape;
use crate::support::within;
use roombot::recording::timeline::Event;
use roombot::room::media::{Codec, Source};
use roombot::room::participant::ParticipantId;
use roombot::rtc::{OutboundTrack, Peer, PeerConfig, PeerEvent, PeerState, Wake};
use roombot::signal::protocol::ServerMessage;
use std::time::Duration;
use tokio::sync::mpsc;

/// A connection of the member's to the recorder, which offers first.
async fn connection(
    recorder: &ParticipantId,
    track: OutboundTrack,
) -> (Peer, mpsc::Receiver<(ParticipantId, PeerEvent)>) {
    let config = PeerConfig {
        peer: recorder.clone(),
        polite: true,
        first_offer: true,
        policy: Default::default(),
        ice_servers: vec![],
        relay_only: false,
        wake: Wake::OnArrival,
        measure: false,
        impairment: None,
        inbox_bytes: None,
        channels: None,
    };
    let (events, heard) = mpsc::channel(64);
    (Peer::connect(config, vec![track], events).await.expect("a connection"), heard)
}

/// Carries signals until so many frames have been sent after the last key frame that was asked for: from that one on all of them arrive.
async fn play(raw: &mut Raw, recorder: &ParticipantId, frames: usize) -> Peer {
    let track = OutboundTrack::new(label("cam", Source::Camera), Codec::Vp8);
    let mut wanted = track.key_frame_requests();
    let (peer, mut heard) = connection(recorder, track.clone()).await;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    // No key frame unless it is asked for.
    let mut sender = Vp8Sender { frame: 1, key_every: 1_000_000, ..Vp8Sender::default() };
    let (mut connected, mut sent) = (false, 0);
    while sent < frames {
        tokio::select! {
            message = raw.hear() => match message.expect("the socket lives") {
                ServerMessage::Signal { body, .. } => peer.signal(body.into()).await,
                ServerMessage::Ping => raw.say("{\"type\":\"pong\"}").await,
                _ => {}
            },
            event = heard.recv() => match event.expect("the connection lives").1 {
                PeerEvent::Signal(signal) => raw.signal(recorder, signal).await,
                PeerEvent::State(state) => connected |= state == PeerState::Connected,
                _ => {}
            },
            _ = tick.tick(), if connected => {
                if wanted.has_changed().expect("the track lives") {
                    wanted.mark_unchanged();
                    (sender.frame, sent) = (0, 0);
                }
                track.send_packets(sender.next());
                sent += 1;
            }
        }
    }
    pause(Duration::from_millis(300), "the last picture arrives before anything else does").await;
    peer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_with_another_certificate_begins_another_connection() {
    let server = TestServer::start().await;
    let url = server.room("replaced");
    let tape = Tape::start(&url);
    within(40, "the recorder joins", async {
        while tape.timeline().is_empty() {
            crate::support::moment().await;
        }
    })
    .await;
    let (mut raw, recorder) = Raw::join_recorder(&url, "Alice").await;
    raw.say(r#"{"type":"tracks","tracks":[{"stream":"cam","kind":"video","source":"camera","muted":false}]}"#).await;
    // The first connection says no goodbye: it is only silent.
    let first = within(30, "the first connection", play(&mut raw, &recorder, 100)).await;
    let second = within(30, "the second connection", play(&mut raw, &recorder, 100)).await;
    pause(Duration::from_secs(1), "what is under way arrives").await;
    let recorded = tape.finish().await;
    drop((first, second));
    let tracks = recorded.manifest.tracks.iter().filter(|track| track.participant == "alice");
    let frames: Vec<u64> = tracks.map(|track| track.frames).collect();
    assert!(frames.len() == 2 && frames.iter().all(|frames| *frames >= 100), "{:#?}", recorded.manifest.tracks);
    let warned = |entry: &&roombot::recording::timeline::Entry| matches!(&entry.event, Event::Warning { message } if message.contains("alice") && message.contains("another certificate"));
    assert_eq!(recorded.timeline.iter().filter(warned).count(), 1, "{:#?}", recorded.timeline);
}
