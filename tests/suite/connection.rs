//! Two of our own connections on loopback: packets, loss and repair, renegotiation, key-frame requests, ICE restart.

use crate::support::pair::{self, End, Told};
use crate::support::pause;
use crate::support::stranger::without;
use crate::support::synthetic::{Vp8Sender, label};
use crate::support::{promptly, within};
use roombot::room::media::{Codec, RtpPacket, Source};
use roombot::rtc::{Impairment, Inbound, OutboundTrack, Wake};
use std::collections::BTreeSet;
use std::time::Duration;

const BATCHED: Wake = Wake::Batched(Duration::from_millis(10));

/// Sends `frames` frames at 100 a second.
async fn send(track: &OutboundTrack, sender: &mut Vp8Sender, frames: usize) {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..frames {
        tick.tick().await;
        track.send_packets(sender.next());
    }
}

/// Everything that has arrived at `end`, waiting until nothing new comes for `quiet`.
async fn received(end: &End, quiet: Duration) -> (Vec<RtpPacket>, usize) {
    let (mut packets, mut reports, mut batch) = (Vec::new(), 0, Vec::new());
    let inbox = end.peer.inbox();
    loop {
        assert_eq!(inbox.drain(&mut batch), 0, "the inbox dropped packets");
        for item in batch.drain(..) {
            match item {
                Inbound::Rtp(packet) => packets.push(packet),
                Inbound::SenderReport { .. } => reports += 1,
                Inbound::Dropped { .. } => panic!("the inbox dropped packets"),
                Inbound::Goodbye { .. } => {}
            }
        }
        if tokio::time::timeout(quiet, inbox.arrived()).await.is_err() {
            return (packets, reports);
        }
    }
}

async fn every_packet_arrives(wake: Wake) {
    let track = OutboundTrack::new(label("cam", Source::Camera), Codec::Vp8);
    let (mut a, mut b) = pair::connect(vec![track.clone()], wake, None).await;
    within(10, "a connects", a.connected()).await;
    within(10, "b connects", b.connected()).await;
    let mut sender = Vp8Sender { sequence: 65_500, ..Default::default() };
    send(&track, &mut sender, 300).await;
    let remote = within(5, "b sees the track", b.track()).await;
    assert_eq!((remote.codec, remote.stream.as_str()), (Codec::Vp8, "cam"));
    let (packets, reports) = received(&b, Duration::from_millis(300)).await;
    assert_eq!(packets.len(), 1200);
    assert!(packets.iter().all(|p| p.ssrc == remote.ssrc));
    assert!(packets.windows(2).all(|w| w[1].sequence == w[0].sequence.wrapping_add(1)), "in order");
    assert!(packets.windows(2).all(|w| w[1].arrival >= w[0].arrival), "arrival times never go back");
    assert!(reports >= 1, "sender reports reach us");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_packet_arrives_in_batches() {
    every_packet_arrives(BATCHED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_packet_arrives_at_once() {
    every_packet_arrives(Wake::OnArrival).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_packets_are_repaired_by_retransmission() {
    lost_packets_are_repaired(|sdp| sdp).await;
}

/// Neither the stream nor its retransmissions are named by the description (RFC 8829 5.2.1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_packets_of_a_stream_that_no_description_names_are_repaired() {
    lost_packets_are_repaired(unnamed).await;
}

fn unnamed(sdp: String) -> String {
    without(&sdp, &["ssrc"])
}

async fn lost_packets_are_repaired(change: fn(String) -> String) {
    let bad = Impairment { loss: 0.05, reorder: 0.05, duplicate: 0.02, ..Impairment::seeded(11) };
    let track = OutboundTrack::new(label("cam", Source::Camera), Codec::Vp8);
    let (mut a, mut b) = pair::connect_with(vec![track.clone()], BATCHED, Some(bad), change).await;
    within(10, "a connects", a.connected()).await;
    within(10, "b connects", b.connected()).await;
    let mut sender = Vp8Sender::default();
    send(&track, &mut sender, 500).await;
    let (packets, _) = received(&b, Duration::from_millis(600)).await;
    let distinct: BTreeSet<u16> = packets.iter().map(|p| p.sequence).collect();
    let missing = 2000 - distinct.len();
    assert!(missing <= 4, "{missing} of 2,000 are missing after repair of 5 % loss");
    let repeated = packets.len() - distinct.len();
    assert!(repeated < 200, "{repeated} packets came twice: holes that were filled are asked for again");
}

/// Two pictures with the same payload types, whose sources are named by nobody: the second one comes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_of_ours_carry_the_name_of_their_section() {
    let camera = OutboundTrack::new(label("cam", Source::Camera), Codec::Vp8);
    let screen = OutboundTrack::new(label("screen", Source::Screen), Codec::Vp8);
    let (mut a, mut b) = pair::connect_with(vec![camera, screen.clone()], BATCHED, None, unnamed).await;
    within(10, "a connects", a.connected()).await;
    within(10, "b connects", b.connected()).await;
    send(&screen, &mut Vp8Sender::default(), 50).await;
    assert_eq!(within(5, "the screen", b.track()).await.stream, "screen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracks_come_and_go_in_mid_call() {
    let camera = OutboundTrack::new(label("cam", Source::Camera), Codec::Vp8);
    let screen = OutboundTrack::new(label("screen", Source::Screen), Codec::Vp8);
    let (mut a, mut b) = pair::connect(vec![camera.clone()], BATCHED, None).await;
    within(10, "a connects", a.connected()).await;
    within(10, "b connects", b.connected()).await;
    let (mut cam, mut scr) = (Vp8Sender::default(), Vp8Sender::default());
    send(&camera, &mut cam, 50).await;
    assert_eq!(within(5, "camera", b.track()).await.stream, "cam");
    for round in 0..2 {
        a.peer.publish(screen.clone()).await;
        let shown = async {
            loop {
                send(&screen, &mut scr, 5).await;
                while let Ok(told) = b.told.try_recv() {
                    if let Told::Track(track) = told {
                        return track;
                    }
                }
            }
        };
        assert_eq!(within(10, "screen", shown).await.stream, "screen", "round {round}");
        a.peer.unpublish("screen").await;
        pause(Duration::from_millis(300), "a track that ends before the next one begins").await;
    }
    received(&b, Duration::from_millis(300)).await;
    send(&camera, &mut cam, 50).await;
    let (packets, _) = received(&b, Duration::from_millis(300)).await;
    assert_eq!(packets.len(), 200, "the camera goes on, whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_frame_request_reaches_the_source() {
    for change in [(|sdp| sdp) as fn(String) -> String, unnamed] {
        a_key_frame_request_reaches(change).await;
    }
}

async fn a_key_frame_request_reaches(change: fn(String) -> String) {
    let track = OutboundTrack::new(label("cam", Source::Camera), Codec::Vp8);
    let mut asked = track.key_frame_requests();
    let (mut a, mut b) = pair::connect_with(vec![track.clone()], BATCHED, None, change).await;
    within(10, "a connects", a.connected()).await;
    within(5, "a new subscriber asks", asked.changed()).await.expect("source");
    let mut sender = Vp8Sender::default();
    send(&track, &mut sender, 20).await;
    let remote = within(5, "track", b.track()).await;
    asked.mark_unchanged();
    b.peer.request_key_frame(remote.ssrc);
    let sending = async {
        loop {
            send(&track, &mut sender, 5).await;
        }
    };
    tokio::select! {
        asked = within(5, "PLI", asked.changed()) => asked.expect("source"),
        () = sending => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_survives_an_ice_restart_from_either_side() {
    let track = OutboundTrack::new(label("cam", Source::Camera), Codec::Vp8);
    let (mut a, mut b) = pair::connect(vec![track.clone()], BATCHED, None).await;
    within(10, "a connects", a.connected()).await;
    within(10, "b connects", b.connected()).await;
    let mut sender = Vp8Sender::default();
    send(&track, &mut sender, 50).await;
    received(&b, Duration::from_millis(200)).await;
    for end in [&a, &b] {
        end.peer.restart_ice().await;
        send(&track, &mut sender, 200).await;
        let (packets, _) = received(&b, Duration::from_millis(500)).await;
        assert!(packets.len() > 780, "{} of 800 packets across the restart", packets.len());
    }
}

/// Both sides offer at the same moment: the polite one takes its offer back, and both tracks arrive all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_that_collide_end_in_agreement() {
    let (mut a, mut b) = pair::connect(vec![], BATCHED, None).await;
    within(10, "a connects", a.connected()).await;
    within(10, "b connects", b.connected()).await;
    for round in 0..4 {
        let ours = |side: &str| OutboundTrack::new(label(&format!("{side}{round}"), Source::Camera), Codec::Vp8);
        let (from_a, from_b) = (ours("a"), ours("b"));
        tokio::join!(a.peer.publish(from_a.clone()), b.peer.publish(from_b.clone()));
        let (mut one, mut other) = (Vp8Sender::default(), Vp8Sender::default());
        let streams = async {
            let (mut at_a, mut at_b) = (None, None);
            while at_a.is_none() || at_b.is_none() {
                tokio::join!(send(&from_a, &mut one, 2), send(&from_b, &mut other, 2));
                for (told, seen) in [(&mut a.told, &mut at_a), (&mut b.told, &mut at_b)] {
                    while let Ok(told) = told.try_recv() {
                        println!("round {round} {told:?}");
                        // Packets may come before the answer that says what they are; then it is told again.
                        if let Told::Track(track) = told
                            && !track.stream.is_empty()
                        {
                            *seen = Some(track.stream);
                        }
                    }
                }
            }
            (at_a, at_b)
        };
        let (at_a, at_b) = within(15, "both tracks arrive", streams).await;
        assert_eq!((at_a, at_b), (Some(format!("b{round}")), Some(format!("a{round}"))));
    }
}

/// Nobody says it by a label: the section only is sent in no longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_track_that_is_taken_away_ends_and_may_come_again() {
    let camera = OutboundTrack::new(label("cam", Source::Camera), Codec::Vp8);
    let (mut a, mut b) = pair::connect(vec![camera.clone()], BATCHED, None).await;
    within(10, "a connects", a.connected()).await;
    within(10, "b connects", b.connected()).await;
    for round in 0..3 {
        let screen = OutboundTrack::new(label(&format!("screen{round}"), Source::Screen), Codec::Vp8);
        a.peer.publish(screen.clone()).await;
        let sending = tokio::spawn(async move {
            let mut sender = Vp8Sender::default();
            send(&screen, &mut sender, 1000).await;
        });
        let is_screen = |told: &Told| match told {
            Told::Track(track) if track.stream == format!("screen{round}") => Some(track.ssrc),
            _ => None,
        };
        let ssrc = within(10, "the screen comes", b.until(is_screen)).await;
        a.peer.unpublish(&format!("screen{round}")).await;
        let ended = |told: &Told| matches!(told, Told::Ended(ssrcs) if *ssrcs == [ssrc]).then_some(());
        promptly(1, "it has ended", b.until(ended)).await;
        sending.abort();
    }
    let mut sender = Vp8Sender::default();
    send(&camera, &mut sender, 100).await;
    let (packets, _) = received(&b, Duration::from_millis(300)).await;
    assert!(packets.len() >= 400, "the camera goes on: {} packets", packets.len());
}
