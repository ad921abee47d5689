//! Descriptions that the library would refuse or misread, and what becomes of them.

use super::Descriptions;
use crate::room::media::MediaKind;
use crate::room::sdp::{Sdp, SetupRole};

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
