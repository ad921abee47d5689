//! Descriptions as the RFCs allow them, and others than browsers write: roles, names, numbers, directions, refusals, and when an offer comes.

use crate::support::pause;
use crate::support::stranger::{NUMBERS, Stranger, without};
use crate::support::synthetic::label;
use crate::support::within;
use roombot::room::media::{Codec, Direction, MediaKind, Source};
use roombot::room::sdp::{Sdp, SetupRole};
use roombot::rtc::{ChannelSpec, OutboundTrack};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn same(_: &str, sdp: String) -> String {
    sdp
}

fn receiver() -> (Vec<OutboundTrack>, bool) {
    (Vec::new(), false)
}

fn camera() -> OutboundTrack {
    OutboundTrack::new(label("ours", Source::Camera), Codec::Vp8)
}

fn parsed(sdp: &str) -> Sdp {
    Sdp::parse(sdp).unwrap_or_else(|e| panic!("{e}: {sdp}"))
}

/// Two pictures and a sound, none of whose sources is named: they are told by their sections' names, and where those are not sent either,
/// by their payload types and in their order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_no_description_names_are_received() {
    for named in [true, false] {
        let out = move |_: &str, sdp: String| without(&sdp, if named { &["ssrc"] } else { &["ssrc", "extmap"] });
        let mut stranger = Stranger::meet(&["c1", "c2", "mic"], receiver(), out, same).await;
        let offer = parsed(&stranger.offer().await);
        stranger.connected().await;
        // The second picture comes first where names tell it.
        let mids: Vec<String> = offer.sections.iter().filter_map(|s| Some(s.mid()?.to_owned())).collect();
        let swapped = [mids[1].clone(), mids[0].clone(), mids[2].clone()];
        let answer = parsed(&stranger.said("answer", 1).await[0]);
        let extension =
            answer.sections[0].extensions().iter().find(|one| one.uri.ends_with("sdes:mid")).map(|one| one.id as u8);
        assert_eq!(extension.is_some(), named, "{answer}");
        let came = stranger.send(Duration::from_secs(1), |index| Some((extension?, swapped[index].clone()))).await;
        assert!(came.len() == 3 && came.values().all(|packets| *packets >= 45), "{came:?}");
        let expected = if named { ["c2", "c1", "mic"] } else { ["c1", "c2", "mic"] };
        let streams = stranger.streams();
        let expected: Vec<(u32, String)> = (1000..).zip(expected.map(str::to_owned)).collect();
        assert_eq!(streams.into_iter().collect::<Vec<_>>(), expected, "named: {named}");
    }
}

/// Each way to begin the handshake that an offer may ask for, and again after an offer of either side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_that_an_offer_leaves_is_taken_and_kept() {
    for (offered, ours) in
        [("active", SetupRole::Passive), ("passive", SetupRole::Active), ("actpass", SetupRole::Passive)]
    {
        let out = move |kind: &str, sdp: String| match kind {
            "offer" => sdp.replace("a=setup:actpass", &format!("a=setup:{offered}")),
            _ => sdp,
        };
        let mut stranger = Stranger::meet(&["c1"], receiver(), out, same).await;
        stranger.connection.create_data_channel("chat", None).await.expect("a channel");
        stranger.offer().await;
        stranger.connected().await;
        stranger.offer().await;
        let answers = stranger.said("answer", 2).await;
        assert!(answers.iter().all(|answer| parsed(answer).setup_role() == Some(ours)), "{offered}: {answers:#?}");
        stranger.peer.restart_ice().await;
        assert_eq!(parsed(&stranger.said("offer", 1).await[0]).setup_role(), Some(SetupRole::ActPass));
        let came = stranger.send(Duration::from_secs(1), |_| None).await;
        assert!(came.get(&1000).is_some_and(|packets| *packets >= 20), "{offered}: {came:?}");
        assert!(stranger.warnings.lock().expect("lock").is_empty());
    }
}

/// Without a preference of theirs, who offers begins: the library bears only one side to begin an SCTP association.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_channels_open_whoever_offers() {
    for we_offer in [false, true].into_iter().cycle().take(20) {
        let mut stranger = Stranger::meet(&[], (Vec::new(), we_offer), same, same).await;
        let theirs = stranger.connection.create_data_channel("chat", None).await.expect("a channel");
        if !we_offer {
            stranger.offer().await;
        }
        stranger.connected().await;
        let spec = ChannelSpec { label: "ours".into(), protocol: "test".into(), ordered: true };
        let ours = stranger.peer.open_channel(spec).await;
        within(15, "our channel opens", ours.opened()).await.expect("it opens");
        if !we_offer {
            let answer = parsed(&stranger.said("answer", 1).await[0]);
            assert_eq!(answer.setup_role(), Some(SetupRole::Passive), "both would begin");
        }
        within(15, "their channel comes", stranger.channels.recv()).await.expect("a channel");
        drop(theirs);
    }
}

/// What each payload type of a description means, over all of its sections.
fn meanings(sdp: &Sdp) -> HashMap<u8, Vec<String>> {
    let mut found: HashMap<u8, Vec<String>> = HashMap::new();
    for section in sdp.sections.iter().filter(|section| !section.is_rejected()) {
        let mut here = Vec::new();
        for format in section.payload_formats() {
            assert!(!here.contains(&format.payload_type), "{} twice in a section: {sdp}", format.payload_type);
            here.push(format.payload_type);
            let meaning = format!("{} {}", format.encoding, format.parameters);
            let meanings = found.entry(format.payload_type).or_default();
            if !meanings.contains(&meaning) {
                meanings.push(meaning);
            }
        }
    }
    found
}

/// They number VP8 as we number retransmissions, and Opus as we number VP8: in our offers a number has one meaning, and theirs are kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payload_types_keep_the_meaning_that_they_have() {
    for streams in [&["c1", "mic"][..], &["mic"]] {
        let mut stranger = Stranger::meet(streams, receiver(), same, same).await;
        stranger.offer().await;
        stranger.connected().await;
        let track = camera();
        let mut wanted = track.key_frame_requests();
        stranger.peer.publish(track).await;
        let offer = parsed(&stranger.said("offer", 1).await[0]);
        let meanings = meanings(&offer);
        assert!(meanings.values().all(|meanings| meanings.len() == 1), "{meanings:#?}");
        assert!(meanings[&NUMBERS.1][0].starts_with("opus"), "{meanings:#?}");
        if streams.len() == 2 {
            assert!(meanings[&NUMBERS.0][0].starts_with("VP8"), "{meanings:#?}");
        }
        within(10, "our camera is sent", wanted.wait_for(|requests| *requests > 0)).await.expect("a track");
        let came = stranger.send(Duration::from_secs(1), |_| None).await;
        assert!(came.len() == streams.len() && came.values().all(|packets| *packets >= 40), "{came:?}");
    }
}

/// They number header extensions as aiortc does, from the first offer on or only when they offer after us: theirs hold, in what both describe
/// and in packets of both, and ours carry the name of their section.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_extensions_keep_the_numbers_that_they_give() {
    const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
    for we_offer in [false, true] {
        let track = camera();
        let out = |kind: &str, sdp: String| {
            let number = |line: &str| match kind == "offer" && line.ends_with(MID) {
                true => format!("a=extmap:9/sendrecv {MID}\r\na=extmap:3 urn:x:unknown\r\n"),
                false => format!("{line}\r\n"),
            };
            sdp.lines().map(number).collect::<String>()
        };
        let mut stranger = Stranger::meet(&["c1", "mic"], (vec![track.clone()], we_offer), out, same).await;
        stranger.connection.create_data_channel("chat", None).await.expect("a channel");
        if !we_offer {
            stranger.offer().await;
        }
        stranger.connected().await;
        if we_offer {
            let first = parsed(&stranger.said("offer", 1).await[0]);
            assert!(
                first.sections.iter().flat_map(|s| s.extensions()).any(|one| one.uri == MID && one.id == 3),
                "{first}"
            );
            let came = stranger.send(Duration::from_secs(1), |_| None).await;
            assert!(came.len() == 2, "{came:?}");
            stranger.offer().await;
        }
        let answer = parsed(stranger.said("answer", 1).await.last().expect("an answer"));
        stranger.peer.publish(OutboundTrack::new(label("screen", Source::Screen), Codec::Vp8)).await;
        let offer = parsed(stranger.said("offer", 1 + usize::from(we_offer)).await.last().expect("an offer"));
        for (description, sections) in [(&answer, 2), (&offer, 3)] {
            let media = || description.sections.iter().filter(|section| section.kind().is_some());
            assert!(media().count() >= sections, "{description}");
            for section in media() {
                let extensions = section.extensions();
                let ids: Vec<u16> = extensions.iter().filter(|one| one.uri == MID).map(|one| one.id).collect();
                assert_eq!(ids, [9], "we offer first: {we_offer}: {description}");
                assert!(extensions.iter().all(|one| one.id != 3 || one.uri == "urn:x:unknown"), "{description}");
            }
        }
        assert!(
            answer.sections.iter().all(|section| section.extensions().len() <= 1),
            "only what was offered: {answer}"
        );
        // What they send carries the number that they gave.
        let mids: Vec<String> = answer.sections.iter().filter_map(|s| Some(s.mid()?.to_owned())).collect();
        let came = stranger.send(Duration::from_secs(1), |index| Some((9, mids[index].clone()))).await;
        assert!(came.len() == 2 && came.values().all(|packets| *packets >= 40), "{came:?}");
    }
}

/// Where they only send there is no room for a track of ours, in whatever order it becomes known: it gets a section of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_track_that_has_no_room_in_their_sections_gets_its_own() {
    for (late, then) in [(true, ""), (false, ""), (false, "a=sendonly"), (false, "a=inactive")] {
        let offers = AtomicUsize::new(0);
        let direction = move |kind: &str, sdp: String| {
            let nth =
                if kind == "offer" { offers.fetch_add(1, Ordering::Relaxed) } else { offers.load(Ordering::Relaxed) };
            match then {
                "" => sdp.replace("a=sendrecv", "a=sendonly"),
                then if nth > 0 && kind == "offer" => sdp.replacen("a=sendrecv", then, 1),
                _ => sdp,
            }
        };
        let track = camera();
        let mut wanted = track.key_frame_requests();
        let publish = if late { vec![] } else { vec![track.clone()] };
        let mut stranger = Stranger::meet(&["c1"], (publish, false), direction, same).await;
        stranger.offer().await;
        stranger.connected().await;
        if late {
            stranger.peer.publish(track.clone()).await;
        }
        if !then.is_empty() {
            within(10, "our camera is sent", wanted.wait_for(|requests| *requests > 0)).await.expect("a track");
            let before = *wanted.borrow_and_update();
            stranger.offer().await;
            within(10, "it is sent anew", wanted.wait_for(|requests| *requests > before)).await.expect("a track");
        }
        let offer = parsed(stranger.said("offer", 1).await.last().expect("an offer"));
        let ours = offer.sections.iter().filter(|section| section.msid().is_some_and(|(id, _)| id == "ours"));
        let ours: Vec<_> = ours.map(|section| section.direction()).collect();
        // Where none is left on which we receive, it is the one.
        let both = if then == "a=inactive" { Direction::SendRecv } else { Direction::SendOnly };
        assert_eq!((ours, offer.sections.len()), (vec![Some(both)], 2), "{late} {then}: {offer}");
        within(10, "our camera is sent", wanted.wait_for(|requests| *requests > 0)).await.expect("a track");
        if then != "a=inactive" {
            let came = stranger.send(Duration::from_secs(1), |_| None).await;
            assert!(came.get(&1000).is_some_and(|packets| *packets >= 40), "{late} {then}: {came:?}");
        }
        assert!(stranger.warnings.lock().expect("lock").is_empty(), "{:#?}", stranger.warnings);
    }
}

/// Somebody who answers `sendrecv` to whatever could be mirrored sends nothing by that, and we go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn screens_are_one_way_and_a_mirror_does_no_harm() {
    let out = |kind: &str, sdp: String| match kind {
        "answer" => without(&sdp, &["ssrc", "msid"]).replace("a=recvonly", "a=sendrecv"),
        _ => sdp,
    };
    let ours = [camera(), OutboundTrack::new(label("screen", Source::Screen), Codec::Vp8)];
    let mut stranger = Stranger::meet(&[], (ours.to_vec(), true), out, same).await;
    stranger.connected().await;
    let offer = parsed(&stranger.said("offer", 1).await[0]);
    let direction = |stream: &str| {
        let section = offer.sections.iter().find(|section| section.msid().is_some_and(|(id, _)| id == stream));
        section.expect("a section").direction()
    };
    assert_eq!((direction("ours"), direction("screen")), (Some(Direction::SendRecv), Some(Direction::SendOnly)));
    stranger.peer.unpublish("screen").await;
    stranger.said("offer", 2).await;
    stranger.peer.publish(OutboundTrack::new(label("another", Source::Screen), Codec::Vp8)).await;
    let offers = stranger.said("offer", 3).await;
    assert!(offers[2].contains("a=msid:another"), "{}", offers[2]);
    assert!(stranger.warnings.lock().expect("lock").is_empty(), "{:#?}", stranger.warnings);
}

/// An answer that cannot be used is told of by its own fault, and we offer again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_negotiation_that_fails_is_begun_anew() {
    let answers = AtomicUsize::new(0);
    let out = move |kind: &str, sdp: String| match kind == "answer" && answers.fetch_add(1, Ordering::Relaxed) == 0 {
        true => without(&sdp, &["fingerprint"]),
        false => sdp,
    };
    let mut stranger = Stranger::meet(&["c1"], (vec![camera()], true), out, same).await;
    stranger.connected().await;
    assert_eq!(stranger.said("offer", 2).await.len(), 2);
    let warnings = stranger.warnings.lock().expect("lock").clone();
    assert!(matches!(&warnings[..], [one] if one.ends_with("it has no fingerprint")), "{warnings:#?}");
    let came = stranger.send(Duration::from_secs(1), |_| None).await;
    assert!(came.get(&1000).is_some_and(|packets| *packets >= 40), "{came:?}");
}

/// Those who only answer see no offer that tells them nothing new, and none while their handshake is under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_offered_without_need() {
    for (publish, we_offer, offers) in [(true, true, 1), (false, true, 1), (true, false, 0), (false, false, 0)] {
        let ours = if publish { vec![camera()] } else { vec![] };
        let mut stranger = Stranger::meet(&["c1"], (ours, we_offer), same, same).await;
        stranger.connection.create_data_channel("chat", None).await.expect("a channel");
        if !we_offer {
            stranger.offer().await;
        }
        stranger.connected().await;
        pause(Duration::from_secs(1), "a needless offer would come now").await;
        let said = stranger.said("offer", 0).await;
        assert_eq!(said.len(), offers, "publish {publish}, we offer {we_offer}: {said:#?}");
        let came = stranger.send(Duration::from_secs(1), |_| None).await;
        assert!(
            came.get(&1000).is_some_and(|packets| *packets >= 40),
            "publish {publish}, we offer {we_offer}: {came:?}"
        );
        if let Some(offer) = said.first() {
            let offer = parsed(offer);
            for kind in [MediaKind::Audio, MediaKind::Video] {
                let receives = |s: &&roombot::room::sdp::Section| s.direction().unwrap_or_default().receives();
                let sections = offer.sections.iter().filter(|section| section.kind() == Some(kind));
                assert_eq!(sections.filter(receives).count(), 1, "{kind:?}: {offer}");
            }
        }
    }
}

/// A change of ours that comes during the handshake waits for its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_their_offer_has_no_place_for_is_offered_once_we_are_connected() {
    let mut stranger = Stranger::meet(&["mic"], (vec![camera()], false), same, same).await;
    stranger.offer().await;
    stranger.said("answer", 1).await;
    let early = stranger.said("offer", 0).await.len();
    stranger.connected().await;
    assert_eq!((early, stranger.said("offer", 1).await.len()), (0, 1));
}

/// Sections that they refuse or cannot bundle are refused, and the others work; so do those without a name, a direction or a group.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_or_left_out_is_no_fault() {
    // The first section is refused; the group leaves it out.
    let refused = |_: &str, sdp: String| {
        let sdp = sdp.replacen("m=audio 9 ", "m=audio 0 ", 1);
        parsed(&sdp).sections.iter().filter_map(|s| s.mid().filter(|_| s.port() == 0)).fold(sdp.clone(), |sdp, mid| {
            let group = sdp.lines().find(|line| line.starts_with("a=group:BUNDLE")).expect("a group").to_owned();
            sdp.replace(&group, &group.replace(&format!(" {mid}"), ""))
        })
    };
    let mut stranger = Stranger::meet(&["mic", "c1"], receiver(), refused, same).await;
    stranger.offer().await;
    stranger.connected().await;
    let answer = parsed(&stranger.said("answer", 1).await[0]);
    assert_eq!(
        answer.sections.iter().map(|s| (s.kind(), s.port())).collect::<Vec<_>>(),
        [(Some(MediaKind::Audio), 0), (Some(MediaKind::Video), 9)]
    );
    assert_eq!(answer.bundles(), [[answer.sections[1].mid().expect("a name").to_owned()]]);
    let came = stranger.send(Duration::from_secs(1), |_| None).await;
    assert!(came.get(&1001).is_some_and(|packets| *packets >= 40), "{came:?}");

    // One section without a name, a direction, a group and a source.
    let bare = |_: &str, sdp: String| without(&sdp, &["mid", "group", "sendrecv", "ssrc", "msid"]);
    let back = |kind: &str, sdp: String| match kind {
        // The stranger's library wants a name.
        "answer" => sdp.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=mid:0\r\n"),
        _ => sdp,
    };
    let mut stranger = Stranger::meet(&["c1"], receiver(), bare, back).await;
    stranger.offer().await;
    stranger.connected().await;
    let answer = stranger.said("answer", 1).await.remove(0);
    assert!(!answer.contains("a=mid:") && !answer.contains("a=group:") && answer.contains("a=recvonly"), "{answer}");
    let came = stranger.send(Duration::from_secs(1), |_| None).await;
    assert!(came.get(&1000).is_some_and(|packets| *packets >= 40), "{came:?}");
    assert_eq!(stranger.streams().keys().copied().collect::<Vec<_>>(), [1000]);
}
