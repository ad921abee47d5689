//! Packets that come and go under numbers that are not those of the library.

use super::*;
use crate::room::sdp::Sdp;
use crate::rtc::driver::tap::AUDIO_LEVEL_URI;
use rtc::shared::marshal::{Marshal, Unmarshal};

/// A sound of ours (source 7, repeated by 8) and one of theirs, in a section of this name, with these header extensions.
fn wire(mid: &str, extensions: &str) -> Wire {
    let text = format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:{mid}\r\n\
         a=rtpmap:96 opus/48000/2\r\na=rtpmap:97 rtx/48000\r\na=fmtp:97 apt=96\r\na=ssrc:7 cname:x\r\n{extensions}"
    );
    let sdp = Sdp::parse(&text).expect("a description");
    let mut sections = Sections::default();
    sections.agree(&sdp, &sdp);
    let mut library = ExtensionIds::default();
    let numbers = [(1, AUDIO_LEVEL_URI), (3, SDES_MID_URI), (6, "urn:x:wide")];
    library.learn(&numbers.map(|(id, uri)| (id, uri.to_owned())));
    Wire::new(&sections, &library, &HashMap::from([(7, (Codec::Opus, Some(8)))]))
}

/// A packet of ours as the other side reads it: payload type and header extensions.
fn sent(wire: &Wire, ssrc: u32, extensions: &[(u8, &'static [u8])]) -> (u8, Vec<(u8, Vec<u8>)>) {
    let mut header = Header { version: 2, ssrc, payload_type: 111, ..Default::default() };
    for (id, value) in extensions {
        header.set_extension(*id, Bytes::from_static(value)).expect("an extension");
    }
    wire.write(&mut header);
    let bytes = header.marshal().expect("a header");
    let read = Header::unmarshal(&mut bytes.clone()).expect("a header");
    assert_eq!(read.extension, !read.extensions.is_empty());
    (read.payload_type, read.extensions.into_iter().map(|one| (one.id, one.payload.to_vec())).collect())
}

fn read(wire: &Wire, extensions: &[(u8, &'static [u8])]) -> Vec<(u8, Vec<u8>)> {
    let mut header = Header { version: 2, ssrc: 9, ..Default::default() };
    for (id, value) in extensions {
        header.set_extension(*id, Bytes::from_static(value)).expect("an extension");
    }
    wire.read(&mut header);
    header.extensions.into_iter().map(|one| (one.id, one.payload.to_vec())).collect()
}

#[test]
fn numbers_are_theirs_on_the_wire_and_the_library_s_inside() {
    let wire =
        wire("au", &format!("a=extmap:1 {SDES_MID_URI}\r\na=extmap:2 {AUDIO_LEVEL_URI}\r\na=extmap:3 urn:x:other\r\n"));
    let named = (1, b"au".to_vec());
    assert_eq!(
        sent(&wire, 7, &[(1, &[30]), (6, &[0, 1])]),
        (96, vec![(2, vec![30]), named.clone()]),
        "the third is not theirs"
    );
    assert_eq!(sent(&wire, 8, &[]), (97, vec![named]), "retransmissions have it as well");
    assert_eq!(sent(&wire, 5, &[(1, &[30])]), (111, vec![(1, vec![30])]), "not ours to change");
    assert_eq!(read(&wire, &[(1, b"au"), (2, &[30]), (3, &[1])]), [(3, b"au".to_vec()), (1, vec![30])]);
}

#[test]
fn what_only_one_side_sends_goes_one_way() {
    let wire = wire("au", &format!("a=extmap:1/inactive {SDES_MID_URI}\r\na=extmap:2 {AUDIO_LEVEL_URI}\r\n"));
    assert_eq!(sent(&wire, 7, &[(1, &[30])]).1, [(2, vec![30])]);
    assert!(read(&wire, &[(1, b"au")]).is_empty());
    assert_eq!(super::Wire::default().incoming, None, "nothing is settled: packets are read as they are");
}

#[test]
fn a_stream_has_headers_of_one_form() {
    for (mid, id) in [("au", 200), ("a name of more than 16 bytes", 4)] {
        let wire = wire(mid, &format!("a=extmap:{id} {SDES_MID_URI}\r\na=extmap:2 {AUDIO_LEVEL_URI}\r\n"));
        assert_eq!(sent(&wire, 7, &[(1, &[30])]).1, [(2, vec![30]), (id, mid.as_bytes().to_vec())]);
    }
}
