//! What we mend in the library's session descriptions. Text to text.
//!
//! A section for a track that we send lists only that track's codec, and the library, when it answers, takes the codecs of the
//! first section of a kind for all of them: a camera in VP8 beside a screen in VP9 would be answered with VP8 twice. So every
//! video section of our offers lists every codec, its own first; which one is sent is the sender's choice anyway.
//!
//! And once a connection stands, its DTLS roles stay (RFC 8842, 5.5); the library answers each offer as if it were the first, which
//! browsers refuse where it made the first offer itself.

use crate::room::media::MediaKind;
use crate::rtc::driver::engine::{CODECS, describe};
use std::fmt::Write;

/// The offer with every video codec in every video section that lists at least one.
pub(crate) fn with_every_codec(offer: &str) -> String {
    let mut out = String::with_capacity(offer.len() + 1024);
    let mut missing = String::new();
    for line in offer.lines() {
        if line.starts_with("m=") {
            out.push_str(&std::mem::take(&mut missing));
        }
        out.push_str(line);
        if let Some(section) = line.strip_prefix("m=video ") {
            let listed: Vec<&str> = section.split_ascii_whitespace().skip(2).collect();
            for entry in CODECS.iter().filter(|entry| entry.codec.kind() == MediaKind::Video) {
                if listed.contains(&entry.payload_type.to_string().as_str()) {
                    continue;
                }
                let (name, rate, pt) = (entry.codec.name(), entry.codec.clock_rate(), entry.payload_type);
                let _ = write!(out, " {pt}");
                let _ = write!(missing, "a=rtpmap:{pt} {name}/{rate}\r\n");
                if !entry.fmtp.is_empty() {
                    let _ = write!(missing, "a=fmtp:{pt} {}\r\n", entry.fmtp);
                }
                for feedback in describe(entry.codec, entry.fmtp).rtcp_feedback {
                    let _ = write!(missing, "a=rtcp-fb:{pt} {} {}", feedback.typ, feedback.parameter);
                    missing.truncate(missing.trim_end().len());
                    missing.push_str("\r\n");
                }
                let _ = write!(missing, "a=rtcp-fb:{pt} transport-cc\r\n");
                if let Some(rtx) = entry.rtx {
                    let _ = write!(out, " {rtx}");
                    let _ = write!(missing, "a=rtpmap:{rtx} rtx/{rate}\r\na=fmtp:{rtx} apt={pt}\r\n");
                }
            }
        }
        out.push_str("\r\n");
    }
    out.push_str(&missing);
    out
}

/// Our DTLS role (`active` or `passive`), as the other side's answer settled it.
pub(crate) fn role_left_by(their_answer: &str) -> Option<&'static str> {
    match their_answer.lines().find_map(|line| line.strip_prefix("a=setup:"))?.trim() {
        "active" => Some("passive"),
        "passive" => Some("active"),
        _ => None,
    }
}

/// Our answer with this DTLS role in every section.
pub(crate) fn with_role(answer: &str, role: &str) -> String {
    let mend = |line: &str| {
        if line.starts_with("a=setup:") { format!("a=setup:{role}\r\n") } else { format!("{line}\r\n") }
    };
    answer.lines().map(mend).collect()
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
    fn roles_stay_as_the_first_answer_left_them() {
        let answer = "v=0\r\nm=audio 9 X 111\r\na=setup:active\r\na=mid:0\r\nm=video 9 X 96\r\na=setup:active\r\n";
        assert_eq!(role_left_by(answer), Some("passive"));
        assert_eq!(role_left_by(&with_role(answer, "passive")), Some("active"));
        assert_eq!(with_role(answer, "passive").matches("a=setup:passive\r\n").count(), 2);
        assert_eq!(with_role(answer, "active"), answer);
        assert_eq!(role_left_by("a=setup:actpass\r\n"), None);
    }
}
