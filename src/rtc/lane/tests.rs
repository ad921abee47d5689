//! Tests of a lane on a clock of their own: packets are sealed by our own sealers, and what the lane sends is read from a socket.

use super::*;
use crate::rtc::feedback::transport_wide::INTERVAL;
use crate::rtc::lane::testing::*;
use crate::rtc::srtp::Profile;
use crate::rtc::srtp::open::Opener;
use std::net::UdpSocket;

#[test]
fn a_stream_takes_the_short_way_once_the_library_has_announced_it() {
    let mut bench = Bench::ready();
    assert!(bench.send(20, MEDIA, 101) && bench.send(20, SOUND, 201));
    assert!(!bench.take(20, &[0, 1, 0, 0, 0x21, 0x12]) && !bench.take(20, &[22, 0xfe, 0xfd]), "STUN and DTLS");
    let wide = bench.seal(MEDIA, 102, Some(9), b"sound");
    assert!(bench.take(21, &wide));
    bench.lane.flush(bench.at(21));
    let mut items = Vec::new();
    bench.inbox.drain(&mut items);
    let [Inbound::Rtp(first), Inbound::Rtp(second), Inbound::Rtp(third)] = &items[..] else { panic!("{items:?}") };
    assert_eq!((first.ssrc, first.sequence, first.timestamp, first.marker), (MEDIA, 101, 303_000, true));
    assert_eq!((&first.payload[..], first.arrival, first.audio_level), (&b"picture"[..], bench.at(20), None));
    assert_eq!(second.ssrc, SOUND);
    assert_eq!(third.audio_level, Some(AudioLevel { below_overload: 30, voice: true }));
    assert_eq!(&third.payload[..], b"sound");
}

#[test]
fn without_keys_or_with_wrong_ones_everything_takes_the_librarys_way_with_feedback() {
    for wrong in [false, true] {
        let mut bench = Bench::new();
        if wrong {
            see(&bench.keyring, 5, 6);
        }
        bench.bind(MEDIA, None);
        bench.lane.set_extensions(ExtensionNumbers::default());
        for sequence in (100..3000).filter(|sequence| *sequence != 2900) {
            let sealed = bench.seal(MEDIA, sequence, None, b"picture");
            let mut datagram = sealed.clone();
            assert!(!bench.lane.take(&mut datagram, bench.from, bench.at(sequence.into()), &bench.outlet));
            assert_eq!(datagram, sealed, "it is as it was");
            bench.slow(sequence.into(), MEDIA, sequence);
        }
        assert_eq!(bench.received(3000), (vec![], vec![]));
        assert!(bench.said().is_empty() && bench.lane.slow_deadline().is_some());
        let feedback = bench.lane.slow_feedback(bench.at(3000)).concat();
        assert_eq!((feedback[0], feedback[1]), (0x81, 201), "a report");
        assert_eq!((feedback[32], feedback[33]), (0x81, 205), "a request for a packet");
        assert_eq!(feedback[44..46], 2900u16.to_be_bytes());
        assert!(!bench.lane.request_key_frame(MEDIA, bench.at(3000)), "the library has to");
    }
}

#[test]
fn keys_are_found_whichever_of_them_is_theirs() {
    let mut bench = Bench::new();
    see(&bench.keyring, 2, 1);
    bench.bind(MEDIA, None);
    bench.lane.set_extensions(ExtensionNumbers::default());
    assert!(!bench.send(0, MEDIA, 100));
    bench.slow(0, MEDIA, 100);
    assert!(bench.send(10, MEDIA, 101));
}

#[test]
fn a_copy_of_a_packet_is_refused_in_both_lanes_and_counted() {
    let mut bench = Bench::ready();
    let [fast, slow] = [101, 102].map(|sequence| bench.seal(MEDIA, sequence, None, b"picture"));
    assert!(bench.take(10, &fast) && bench.take(10, &fast));
    // After some seconds the library has one.
    assert!(!bench.take(5000, &slow));
    assert!(bench.take(5001, &slow), "a copy that comes before the library has delivered it");
    bench.slow(5000, MEDIA, 102);
    assert!(bench.take(5002, &slow));
    assert_eq!(bench.received(5003), (vec![(MEDIA, 101), (MEDIA, 102)], vec![(MEDIA, DropReason::Replayed, 3)]));
}

#[test]
fn rollovers_are_followed_between_the_lanes() {
    let mut bench = Bench::new();
    see(&bench.keyring, 1, 2);
    bench.bind(MEDIA, None);
    bench.lane.set_extensions(ExtensionNumbers::default());
    // The library is slow: it announces the stream after its first rollover.
    for n in 0..100u32 {
        assert!(!bench.send(n.into(), MEDIA, (65_500 + n) as u16));
    }
    for n in 0..100u32 {
        bench.slow(100, MEDIA, (65_500 + n) as u16);
    }
    let fast: Vec<u32> =
        (100..140_000).filter(|n| bench.send(100 + u64::from(*n) / 100, MEDIA, (65_500 + n) as u16)).collect();
    let shown = 139_900 - fast.len();
    assert!((16..20).contains(&shown), "the library had {shown}: often enough to count rollovers");
    assert_eq!(bench.received(5000).0.len(), 140_000, "nothing waits for the library");
}

#[test]
fn forged_packets_are_counted_and_move_nothing() {
    let mut bench = Bench::ready();
    for n in 0..100_000u32 {
        let (mut header, _) = packet(if n % 2 == 0 { MEDIA } else { 1000 }, n as u16, None, b"");
        header.extend([0x55; 40]);
        assert!(bench.lane.take(&mut header, bench.from, bench.at(10), &bench.outlet));
        if n % 100 == 0 {
            assert!(bench.send(10, MEDIA, 101 + (n / 100) as u16));
        }
    }
    let (packets, dropped) = bench.received(11);
    assert_eq!(packets.len(), 1000);
    let sum = |of: u32| dropped.iter().filter(|(ssrc, ..)| *ssrc == of).map(|(.., count)| count).sum::<u64>();
    assert_eq!((sum(MEDIA), sum(0)), (50_000, 50_000), "{dropped:?}");
}

#[test]
fn lost_packets_are_requested_and_their_repairs_fill_the_hole() {
    let mut bench = Bench::ready();
    bench.received(1000);
    bench.said();
    assert!(bench.send(1100, MEDIA, 101) && bench.send(1110, MEDIA, 104));
    bench.received(1120);
    let said = bench.said();
    assert_eq!(kinds(&said)[..2], [(201, 0), (205, 1)]);
    assert_eq!(said[1][8..16], [&MEDIA.to_be_bytes()[..], &[0, 102, 0, 1]].concat());
    let mut payload = 102u16.to_be_bytes().to_vec();
    payload.extend(b"picture");
    // Its first packet shows the library that it is there.
    let [first, repair] = [1, 2].map(|sequence| bench.seal(REPAIR, sequence, None, &payload));
    assert!(!bench.take(1150, &first));
    assert!(!bench.slow(1150, MEDIA, 102), "it was handed over, too");
    let mut other = 103u16.to_be_bytes().to_vec();
    other.extend(b"picture");
    drop(repair);
    let other = bench.seal(REPAIR, 3, None, &other);
    assert!(bench.take(1160, &other));
    assert_eq!(bench.received(1161).0, [(MEDIA, 102), (MEDIA, 103)]);
    bench.received(3000);
    assert!(!kinds(&bench.said()).contains(&(205, 1)), "nothing is missing");
    let probe = bench.seal(REPAIR, 4, None, &[]);
    assert!(bench.take(3001, &probe));
    assert_eq!(bench.received(3002).1, [(MEDIA, DropReason::Padding, 1)]);
}

#[test]
fn numbered_packets_and_key_frames_are_told_of_to_where_media_came_from() {
    let mut bench = Bench::ready();
    for n in 0..10u16 {
        let sealed = bench.seal(MEDIA, 101 + n, Some(65_530 + n % 5), b"picture");
        assert!(bench.take(10 + u64::from(n), &sealed));
    }
    bench.lane.flush(bench.at(20) + INTERVAL);
    let said = bench.said();
    assert!(kinds(&said).contains(&(205, 15)), "{said:?}");
    assert!(bench.lane.request_key_frame(MEDIA, bench.at(200)));
    let said = bench.said();
    assert_eq!(kinds(&said), [(201, 1), (206, 1)], "a request follows a report on its stream");
    assert_eq!((&said[0][8..12], &said[1][8..12]), (&MEDIA.to_be_bytes()[..], &MEDIA.to_be_bytes()[..]));
    assert_eq!(said[0][4..8], said[1][4..8], "of the same sender, who is never 0");
    assert_ne!(said[0][4..8], [0; 4]);
    // Media comes over a server now.
    let mut message = vec![0x40, 5];
    let sealed = bench.seal(MEDIA, 150, None, b"picture");
    message.extend((sealed.len() as u16).to_be_bytes());
    message.extend(&sealed);
    assert!(bench.take(2000, &message));
    bench.lane.request_key_frame(MEDIA, bench.at(2000));
    let mut buf = [0; 2048];
    let (len, _) = bench.socket.recv_from(&mut buf).unwrap();
    assert_eq!((&buf[..2], usize::from(u16::from_be_bytes([buf[2], buf[3]])) + 4), (&[0x40, 5][..], len));
    assert!(bench.opener.open_rtcp(&mut buf[4..len]).is_ok());
}

#[test]
fn feedback_stops_with_the_socket_and_goes_on_from_the_next_one() {
    let mut bench = Bench::ready();
    bench.send(10, MEDIA, 101);
    let own = UdpSocket::bind("127.0.0.1:0").unwrap();
    bench.outlet = Arc::new(Outlet::new(own, None));
    assert!(!bench.lane.request_key_frame(MEDIA, bench.at(20)), "the socket is gone (ICE restart)");
    assert!(bench.send(30, MEDIA, 102));
    assert!(bench.lane.request_key_frame(MEDIA, bench.at(40)));
    assert!(!bench.said().is_empty());
}

#[test]
fn new_keys_begin_anew_and_the_old_ones_hold_for_a_second() {
    let mut bench = Bench::ready();
    assert!(bench.send(10, MEDIA, 110));
    let late: Vec<Vec<u8>> = (111..114).map(|sequence| bench.seal(MEDIA, sequence, None, b"old")).collect();
    see(&bench.keyring, 3, 4);
    (bench.sealers, bench.rtcp) = sealers(4);
    assert!(bench.take(20, &late[0]), "nothing of the new ones has come");
    // The library has derived new ones as well, and gets the first packet of each stream.
    assert!(!bench.send(30, MEDIA, 5));
    bench.slow(30, MEDIA, 5);
    assert!(bench.send(40, MEDIA, 6));
    assert!(bench.take(50, &late[1]));
    assert!(bench.take(50, &late[1]), "a copy");
    assert!(bench.take(1100, &late[2]), "a second later it is forged");
    assert!(bench.send(1200, MEDIA, 7));
    let (packets, dropped) = bench.received(1201);
    assert_eq!(packets, [110, 111, 5, 6, 112, 7].map(|sequence| (MEDIA, sequence)));
    assert!(dropped.iter().map(|(.., count)| count).sum::<u64>() >= 1, "{dropped:?}");
    bench.opener = Opener::new(&master(3), Profile::Gcm128).unwrap();
    bench.socket.set_nonblocking(true).unwrap();
    while bench.socket.recv_from(&mut [0; 2048]).is_ok() {}
    assert!(bench.lane.request_key_frame(MEDIA, bench.at(1300)));
    assert!(!bench.said().is_empty(), "it is sealed with the new key");
}

#[test]
fn an_ssrc_that_is_used_again_is_announced_again() {
    let mut bench = Bench::ready();
    assert!(bench.send(10, MEDIA, 101));
    bench.lane.unbind(MEDIA);
    assert!(!bench.send(20, MEDIA, 102), "it is nobody's");
    bench.bind(MEDIA, None);
    assert!(!bench.send(30, MEDIA, 103));
    bench.slow(30, MEDIA, 103);
    assert!(bench.send(40, MEDIA, 104));
    let repair = bench.seal(REPAIR, 1, None, &[0, 100, 1]);
    assert!(!bench.take(50, &repair), "what repaired the first one is unknown");
}

#[test]
fn layers_and_their_repairs_take_the_short_way_once_they_have_been_named() {
    let mut bench = Bench::ready();
    bench.bind(1000, None);
    assert!(!bench.send(10, 1000, 1));
    bench.slow(10, 1000, 1);
    assert!(bench.send(11, 1000, 2));
    bench.lane.unbind(MEDIA);
    let payload = [0, 1, 9, 9];
    let first = bench.seal(REPAIR, 1, None, &payload);
    assert!(!bench.take(12, &first), "only its header says what it repeats");
    bench.lane.repairs(REPAIR, 1000, 96);
    let second = bench.seal(REPAIR, 2, None, &payload);
    assert!(bench.take(13, &second));
    assert_eq!(bench.received(14).0, [(1000, 1), (1000, 2), (1000, 1)]);
}

#[test]
fn sender_reports_are_taken_and_whatever_says_more_is_left_to_the_library() {
    let mut bench = Bench::ready();
    let mut report = vec![0x80, 200, 0, 6];
    report.extend(MEDIA.to_be_bytes());
    report.extend([0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut sealed = report.clone();
    bench.rtcp.seal(&mut sealed).unwrap();
    assert!(bench.take(10, &sealed) && bench.take(11, &sealed), "a copy as well");
    bench.lane.flush(bench.at(12));
    let mut items = Vec::new();
    bench.inbox.drain(&mut items);
    assert!(matches!(items[..], [Inbound::SenderReport { ssrc: MEDIA, ntp: 0x1_8000_0000, rtp: 3, .. }]), "{items:?}");
    let mut goodbye = report;
    goodbye.extend([0x81, 203, 0, 1, 0, 0, 0, 7]);
    bench.rtcp.seal(&mut goodbye).unwrap();
    assert!(!bench.take(20, &goodbye));
    goodbye[10] ^= 1;
    assert!(bench.take(21, &goodbye), "what is forged goes nowhere");
}

#[test]
fn our_name_is_never_one_that_the_library_seals_with() {
    let bench = Bench::ready();
    let own = bench.lane.lock().keys.own_ssrc().unwrap();
    let slow = bench.lane.lock().reports.slow_ssrc();
    assert!(own != slow && own != 0);
    bench.lane.reserve(own);
    assert_ne!(bench.lane.lock().keys.own_ssrc().unwrap(), own);
    bench.lane.reserve(slow);
    assert_ne!(bench.lane.lock().reports.slow_ssrc(), slow);
}
