//! Descriptions that the library would refuse or misread, and what becomes of them.

use super::Descriptions;
use crate::room::media::MediaKind;
use crate::room::sdp::{HeaderExtension, Sdp, SetupRole};

const SESSION: &str =
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n";

fn offer(rest: &str) -> Sdp {
    Sdp::parse(&format!("{SESSION}{rest}")).expect("a description")
}

fn audio(mid: &str) -> String {
    format!("m=audio 9 UDP/TLS/RTP/SAVPF 96 0\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=rtpmap:96 opus/48000/2\r\n")
}

fn video(mid: &str) -> String {
    format!(
        "m=video 9 UDP/TLS/RTP/SAVPF 97 120 121\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=rtpmap:97 VP8/90000\r\n\
         a=rtcp-fb:* nack\r\na=rtcp-fb:97 x-unknown\r\na=rtpmap:120 X-NEW/90000\r\na=rtpmap:121 rtx/90000\r\na=fmtp:121 apt=97\r\n"
    )
}

const FINGERPRINT: &str = "a=fingerprint:sha-256 AA:BB\r\n";

/// What the library is given of an offer.
fn given(offer: &Sdp) -> (Descriptions, Sdp) {
    let mut descriptions = Descriptions::default();
    let given = descriptions.on_offer(offer).expect("an offer");
    (descriptions, Sdp::parse(&given.sdp).expect("a description"))
}

#[test]
fn the_library_gets_what_it_needs_and_no_more() {
    let text = format!(
        "a=setup:active\r\na=group:LS a v\r\na=group:BUNDLE a v\r\na=recvonly\r\n{}a=fingerprint:sha-512 CC\r\n{FINGERPRINT}\
         a=candidate:what is this\r\n{}a=fingerprint:SHA-256 AA:BB\r\na=sendrecv\r\n",
        audio("a"),
        video("v")
    );
    let offer = offer(&text);
    let (_, library) = given(&offer);
    assert_eq!(library.bundles(), [["a", "v"]]);
    assert_eq!(library.first_value("fingerprint"), Some("sha-256 AA:BB"));
    let directions: Vec<&str> = library.sections.iter().filter_map(|s| Some(s.direction()?.word())).collect();
    assert_eq!(directions, ["recvonly", "sendrecv"], "the session's holds where there is no other");
    assert!(library.sections.iter().all(|section| section.setup_role() == Some(SetupRole::Active)));
    assert_eq!((library.sections[0].ssrcs().len(), library.sections[1].ssrcs().len()), (0, 1), "a stand-in");
    assert_eq!(library.sections[1].msid(), Some(("-", Some("v"))));
    assert_eq!(library.candidates().count(), 0);
    let formats = library.sections[1].payload_formats();
    assert_eq!((formats[0].payload_type, formats[0].name()), (97, "VP8"));
    let numbers: Vec<u8> = formats.iter().map(|format| format.payload_type).collect();
    assert!(formats.len() > 8 && !numbers.contains(&96) && !numbers.contains(&120), "{numbers:?}");
    let mut again = Descriptions::default();
    assert_eq!(again.on_offer(&offer).expect("an offer").candidates, ["candidate:what is this"]);
}

#[test]
fn an_answer_has_what_was_offered_and_a_place_for_each_section() {
    let text = format!(
        "a=group:BUNDLE 0 1\r\n{FINGERPRINT}{}m=text 9 RTP/AVP 98\r\na=mid:t\r\na=rtpmap:98 t140/1000\r\n{}a=recvonly\r\n{}",
        audio("0"),
        video("1"),
        video("2")
    );
    let (mut descriptions, library) = given(&offer(&text));
    // The library leaves out what it does not know, and answers as if it had not been told of directions.
    let mut answer = library.clone();
    answer.sections.remove(1);
    answer.sections.iter_mut().for_each(|section| section.set_direction(crate::room::media::Direction::SendRecv));
    let (answer, _) = descriptions.answer(&answer.to_string());
    let answer = Sdp::parse(&answer).expect("a description");
    let lines: Vec<String> = answer.sections.iter().map(|section| section.media_line()).collect();
    assert_eq!(
        lines,
        [
            "m=audio 9 UDP/TLS/RTP/SAVPF 96",
            "m=text 0 RTP/AVP 98",
            "m=video 9 UDP/TLS/RTP/SAVPF 97 121",
            "m=video 0 UDP/TLS/RTP/SAVPF 97 120 121",
        ]
    );
    assert_eq!(answer.bundles(), [["0", "1"]]);
    let video = &answer.sections[2];
    assert_eq!(video.direction().map(|direction| direction.word()), Some("sendonly"));
    assert_eq!(video.payload_formats()[0].feedback, ["nack"]);
    assert_eq!(video.setup_role(), Some(SetupRole::Active));
}

#[test]
fn what_cannot_be_used_is_refused_with_its_reason() {
    let refused = |text: String| Descriptions::default().on_offer(&offer(&text)).err().unwrap_or_default();
    assert_eq!(refused(audio("0")), "it has no fingerprint");
    assert_eq!(refused(FINGERPRINT.to_owned()), "there is nothing in it that could be used");
    assert_eq!(
        refused(format!("{FINGERPRINT}{}", audio("0").replace("audio 9", "audio 0"))),
        refused(FINGERPRINT.to_owned())
    );
    assert!(refused(format!("{FINGERPRINT}{}{}", audio("0"), video("0"))).contains("called \"0\""));
}

#[test]
fn a_transport_of_its_own_is_told_of() {
    let given = Descriptions::default().on_offer(&offer(&format!("{FINGERPRINT}{}{}", audio("0"), video("1"))));
    let warnings = given.expect("an offer").warnings;
    assert!(matches!(&warnings[..], [one] if one.contains("a picture") && one.contains("BUNDLE")), "{warnings:?}");
}

#[test]
fn our_offer_lists_every_codec_its_own_first_under_numbers_that_are_free() {
    let (mut descriptions, library) = given(&offer(&format!("{FINGERPRINT}{}", audio("0"))));
    let rest = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:1\r\n";
    let section = "m=video 9 UDP/TLS/RTP/SAVPF 98\r\na=mid:1\r\na=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=0\r\n";
    let sent = descriptions.offer(&format!("{library}{section}{rest}"));
    let sent = Sdp::parse(&sent).expect("a description");
    let formats = sent.sections[1].payload_formats();
    assert_eq!((formats[0].payload_type, formats[0].name()), (98, "VP9"));
    let vp8 = formats.iter().find(|format| format.name() == "VP8").expect("VP8");
    assert_ne!(vp8.payload_type, 96, "that is their Opus");
    assert!(formats.iter().any(|format| format.repairs() == Some(vp8.payload_type)));
    assert!(vp8.feedback.contains(&"nack pli".to_owned()) && vp8.feedback.contains(&"transport-cc".to_owned()));
    assert!(sent.sections[1].kind() == Some(MediaKind::Video) && sent.sections[0].payload_formats().len() == 1);
    assert_eq!(sent.bundles(), [["0", "1", "data"]], "two sections do not have one name");
    assert_eq!(descriptions.offer(&sent.to_string()), sent.to_string(), "nothing is missing any more");
}

#[test]
fn roles_stay_as_the_first_exchange_left_them() {
    let with = |setup: &str| offer(&format!("a=setup:{setup}\r\n{FINGERPRINT}{}", audio("0")));
    let role = |descriptions: &mut Descriptions, setup: &str| {
        let library = descriptions.on_offer(&with(setup)).expect("an offer").sdp;
        let (answer, _) = descriptions.answer(&library);
        Sdp::parse(&answer).expect("a description").setup_role()
    };
    for (first, ours) in
        [("active", SetupRole::Passive), ("passive", SetupRole::Active), ("actpass", SetupRole::Active)]
    {
        let mut descriptions = Descriptions::default();
        for setup in [first, "actpass", first] {
            assert_eq!(role(&mut descriptions, setup), Some(ours), "{first}");
        }
    }
    let mut descriptions = Descriptions::default();
    descriptions.offer(&with("actpass").to_string());
    descriptions.on_answer(&with("active")).expect("an answer");
    assert_eq!(role(&mut descriptions, "actpass"), Some(SetupRole::Passive));
}

const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";

/// Header extensions of each section, as lines have them.
fn extensions(sdp: &Sdp) -> Vec<Vec<String>> {
    let line = |one: HeaderExtension| {
        let direction = one.direction.map(|direction| format!("/{}", direction.word())).unwrap_or_default();
        format!("{}{direction} {}", one.id, one.uri)
    };
    sdp.sections.iter().map(|section| section.extensions().into_iter().map(line).collect()).collect()
}

#[test]
fn header_extensions_are_answered_under_the_numbers_of_the_offer() {
    // Of the session, one way, twice, out of range, of two meanings, with attributes, and not to be read at all.
    let text = format!(
        "a=group:BUNDLE 0 1\r\na=extmap:9 {MID}\r\n{FINGERPRINT}{}a=extmap:2/sendonly {LEVEL} vad=on\r\na=extmap:5 {LEVEL}\r\n\
         a=extmap:1 urn:x:unknown\r\na=extmap:4096 urn:x:more\r\n{}a=extmap:200 {RID}\r\na=extmap:1 \
         urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\na=extmap:x y\r\na=extmap:4/sideways {RID}\r\na=extmap:0 {RID}\r\n",
        audio("0"),
        video("1"),
    );
    let (mut descriptions, library) = given(&offer(&text));
    let expected = [vec![format!("2 {LEVEL}"), format!("9 {MID}")], vec![format!("200 {RID}"), format!("9 {MID}")]];
    assert_eq!(extensions(&library), expected, "the library is told of no way");
    let answer = Sdp::parse(&descriptions.answer(&library.to_string()).0).expect("a description");
    let expected =
        [vec![format!("2/recvonly {LEVEL}"), format!("9 {MID}")], vec![format!("200 {RID}"), format!("9 {MID}")]];
    assert_eq!(extensions(&answer), expected);
    assert!(!answer.to_string().contains("extmap-allow-mixed"));
    // A later offer of ours, of the library's own numbers.
    let more = format!("{}a=extmap:3 {MID}\r\na=extmap:9 {LEVEL}\r\n", audio("2"));
    let sent = Sdp::parse(&descriptions.offer(&format!("{library}{more}"))).expect("a description");
    let (here, new) = (&extensions(&sent)[0], &extensions(&sent)[2]);
    assert_eq!(here, new);
    assert!(new.contains(&format!("9 {MID}")) && new.contains(&format!("2 {LEVEL}")), "{new:?}");
    assert!(new.iter().all(|one| !one.starts_with("1 ") && !one.starts_with("200 ")), "{new:?}");
    // They number anew: theirs holds, and the library keeps what it has.
    let again = format!("{FINGERPRINT}{}a=extmap:3 {MID}\r\na=extmap:9 {LEVEL}\r\n", audio("0"));
    let library = Sdp::parse(&descriptions.on_offer(&offer(&again)).expect("an offer").sdp).expect("a description");
    assert_eq!(extensions(&library), [[format!("9 {MID}"), format!("2 {LEVEL}")]]);
    let answer = Sdp::parse(&descriptions.answer(&library.to_string()).0).expect("a description");
    assert_eq!(extensions(&answer), [[format!("3 {MID}"), format!("9 {LEVEL}")]]);
}

#[test]
fn sections_that_are_bundled_have_the_transport_of_the_one_that_is_named_first() {
    let ice = |name: &str| {
        format!(
            "a=ice-ufrag:{name}\r\na=ice-pwd:{name}fghijklmnopqrstuvwx\r\na=candidate:{name} 1 udp 1 192.0.2.1 9 typ host\r\n"
        )
    };
    let text = format!(
        "a=group:BUNDLE 1 0\r\n{FINGERPRINT}{}{}{}{}",
        audio("0").replace("audio 9", "audio 5000"),
        ice("aaaa"),
        video("1").replace("SAVPF", "SAVP"),
        ice("bbbb")
    );
    let mut descriptions = Descriptions::default();
    let given = descriptions.on_offer(&offer(&text)).expect("an offer");
    let library = Sdp::parse(&given.sdp).expect("a description");
    let ufrags: Vec<&str> =
        library.session_attributes().filter(|(name, _)| *name == "ice-ufrag").filter_map(|(_, v)| v).collect();
    assert_eq!(ufrags, ["bbbb"]);
    assert!(library.sections.iter().all(|section| !section.has("ice-ufrag")));
    assert!(matches!(&given.candidates[..], [one] if one.starts_with("candidate:bbbb")), "{:?}", given.candidates);
    let answer = Sdp::parse(&descriptions.answer(&given.sdp).0).expect("a description");
    let protocols: Vec<&str> = answer.sections.iter().map(|section| section.protocol()).collect();
    assert_eq!(protocols, ["UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP"], "those of the offer");
}

#[test]
fn another_certificate_is_another_association() {
    let with = |lines: &str| offer(&format!("{lines}{}", audio("0")));
    let mut descriptions = Descriptions::default();
    let first = with("a=fingerprint:sha-256 aa:bb\r\na=tls-id:1\r\n");
    assert!(!descriptions.is_of_another(&first));
    descriptions.on_offer(&first).expect("an offer");
    let another = |lines: &str| descriptions.is_of_another(&with(lines));
    assert!(!another("a=fingerprint:SHA-256 AA:BB\r\n") && !another("a=fingerprint:sha-512 CC\r\n"));
    assert!(!another("a=fingerprint:sha-256 CC\r\na=fingerprint:sha-256 AA:BB\r\n"), "one of several");
    assert!(another("a=fingerprint:sha-256 CC\r\n"));
    assert!(another("a=fingerprint:sha-256 AA:BB\r\na=tls-id:2\r\n"));
}

#[test]
fn formats_that_nobody_here_knows_are_told_once() {
    let unknown = "m=video 9 UDP/TLS/RTP/SAVPF 120\r\na=mid:1\r\na=rtpmap:120 H265/90000\r\n";
    let offered = offer(&format!("a=group:BUNDLE 0 1\r\n{FINGERPRINT}{}{unknown}", audio("0")));
    let mut descriptions = Descriptions::default();
    let mut told = || descriptions.on_offer(&offered).expect("an offer").unsupported;
    assert_eq!(told(), ["they send a picture in H265, which is not received"]);
    assert!(told().is_empty());
}
