//! What we correct in the library's session descriptions.
//!
//! A section for a track that we send lists only that track's codec, and the library, when it answers, takes the codecs of the
//! first section of a kind for all of them: a camera in VP8 beside a screen in VP9 would be answered with VP8 twice. So every
//! video section of our offers lists every codec, its own first; which one is sent is the sender's choice anyway.
//!
//! Opus comes in mono unless the receiver asks for stereo (`stereo=1`, RFC 7587 7.1), and the library repeats in its answers what the offer
//! says of what its sender receives. So all our descriptions ask for it, and say that ours may be stereo.
//!
//! And once a connection stands, its DTLS roles stay (RFC 8842, 5.5); the library answers each offer as if it were the first, which
//! browsers refuse where it made the first offer itself.

use crate::room::media::MediaKind;
use crate::room::sdp::{PayloadFormat, Sdp, Section, SetupRole};
use crate::rtc::driver::engine::{CODECS, Entry, describe};

/// The offer with every video codec in every video section that lists at least one.
pub(crate) fn with_every_codec(offer: &str) -> String {
    Sdp::edit(offer, |sdp| {
        sdp.sections.iter_mut().filter(|section| section.kind() == Some(MediaKind::Video)).for_each(add_missing_codecs);
    })
}

fn add_missing_codecs(section: &mut Section) {
    let listed: Vec<String> = section.formats().map(str::to_owned).collect();
    let video = CODECS.iter().filter(|entry| entry.codec.kind() == MediaKind::Video);
    for entry in video.filter(|entry| !listed.contains(&entry.payload_type.to_string())) {
        for format in formats(entry) {
            section.add_format(&format);
        }
    }
}

/// A codec and its retransmissions (RFC 4588).
fn formats(entry: &Entry) -> Vec<PayloadFormat> {
    let rate = entry.codec.clock_rate();
    let feedback = describe(entry.codec, entry.fmtp).rtcp_feedback;
    let feedback =
        feedback.iter().map(|feedback| format!("{} {}", feedback.typ, feedback.parameter).trim_end().to_owned());
    let mut formats = vec![PayloadFormat {
        payload_type: entry.payload_type,
        encoding: format!("{}/{rate}", entry.codec.name()),
        parameters: entry.fmtp.to_owned(),
        feedback: feedback.chain(["transport-cc".to_owned()]).collect(),
    }];
    formats.extend(entry.rtx.map(|payload_type| PayloadFormat {
        payload_type,
        encoding: format!("rtx/{rate}"),
        parameters: format!("apt={}", entry.payload_type),
        feedback: Vec::new(),
    }));
    formats
}

/// A description of ours that asks for stereo in every section with Opus.
pub(crate) fn with_stereo(description: &str) -> String {
    Sdp::edit(description, |sdp| {
        for section in &mut sdp.sections {
            let is_opus =
                |format: &&str| section.encoding_name(format).is_some_and(|name| name.eq_ignore_ascii_case("opus"));
            let formats: Vec<String> = section.formats().filter(is_opus).map(str::to_owned).collect();
            for format in formats {
                section.set_parameter(&format, "stereo", "1");
                section.set_parameter(&format, "sprop-stereo", "1");
            }
        }
    })
}

/// Our DTLS role (`active` or `passive`), as the other side's answer settled it.
pub(crate) fn role_left_by(their_answer: &Sdp) -> Option<SetupRole> {
    their_answer.setup_role()?.opposite()
}

/// Our answer with this DTLS role in every section.
pub(crate) fn with_role(answer: &str, role: SetupRole) -> String {
    Sdp::edit(answer, |sdp| sdp.set_setup_role(role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_keeps_its_codec_first_and_gets_the_others() {
        let offer = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 98 99\r\na=mid:0\r\na=rtpmap:98 VP9/90000\r\n\
                     m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=rtpmap:111 opus/48000/2\r\n";
        let full = with_every_codec(offer);
        let line = full.lines().find(|l| l.starts_with("m=video")).expect("video");
        assert!(line.starts_with("m=video 9 UDP/TLS/RTP/SAVPF 98 99 96 97 "), "{line}");
        for wanted in ["a=rtpmap:96 VP8/90000", "a=rtpmap:45 AV1/90000", "a=rtcp-fb:102 nack pli", "a=fmtp:97 apt=96"] {
            assert_eq!(full.lines().filter(|l| *l == wanted).count(), 1, "{wanted} in {full}");
        }
        assert_eq!(full.lines().filter(|l| l.starts_with("a=rtpmap:98 ")).count(), 1);
        let audio = full.find("m=audio").expect("audio");
        assert!(!full[audio..].contains("VP8"), "the sound's section is left alone");
        assert_eq!(with_every_codec(&full), full, "nothing is missing any more");
    }

    #[test]
    fn every_description_asks_for_stereo() {
        let offer = "v=0\r\nm=audio 9 X 111 0\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\n\
                     a=fmtp:111 minptime=10;stereo=0; useinbandfec=1\r\nm=audio 9 X 109\r\na=rtpmap:109 OPUS/48000/2\r\n\
                     m=video 9 X 96\r\na=rtpmap:96 VP8/90000\r\na=fmtp:96 max-fr=30\r\n";
        let asked = with_stereo(offer);
        for wanted in [
            "a=fmtp:111 minptime=10; useinbandfec=1;stereo=1;sprop-stereo=1",
            "a=fmtp:109 stereo=1;sprop-stereo=1",
            "a=fmtp:96 max-fr=30",
        ] {
            assert_eq!(asked.lines().filter(|line| *line == wanted).count(), 1, "{wanted} in {asked}");
        }
        assert_eq!(with_stereo(&asked), asked);
    }

    #[test]
    fn roles_stay_as_the_first_answer_left_them() {
        let answer = "v=0\r\nm=audio 9 X 111\r\na=setup:active\r\na=mid:0\r\nm=video 9 X 96\r\na=setup:active\r\n";
        let left_by = |text: &str| role_left_by(&Sdp::parse(text).expect("a description"));
        assert_eq!(left_by(answer), Some(SetupRole::Passive));
        let passive = with_role(answer, SetupRole::Passive);
        assert_eq!(left_by(&passive), Some(SetupRole::Active));
        assert_eq!(passive.matches("a=setup:passive\r\n").count(), 2);
        assert_eq!(with_role(&passive, SetupRole::Active), Sdp::edit(answer, |_| ()));
        assert_eq!(left_by("v=0\r\na=setup:actpass\r\n"), None);
    }
}
