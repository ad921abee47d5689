//! Rewrites the descriptions of the subscriber connection, and reads those of the publisher connection. Text to text.
//!
//! Janus reuses sections: one whose sender has left becomes `inactive`, and the next stream of its kind takes it over, with the same SSRC.
//! Our side would close its track at that. So a section is always shown as it was while it was in use, with its MID as stream id, and the
//! track labels say whose stream it carries.

use crate::room::media::MediaKind;
use std::collections::HashMap;
use std::fmt::Write;

/// The sections that were ever in use, by MID.
#[derive(Debug, Default)]
pub(super) struct Sections {
    /// The `a=ssrc` lines of each section.
    ssrc_lines: HashMap<String, Vec<String>>,
    /// The sections that the current offer has as inactive.
    inactive: Vec<String>,
}

fn mid(section: &[&str]) -> String {
    section.iter().find_map(|line| line.strip_prefix("a=mid:")).unwrap_or_default().trim().to_owned()
}

/// A description's session part and its media sections.
fn split(sdp: &str) -> Vec<Vec<&str>> {
    let mut parts: Vec<Vec<&str>> = vec![Vec::new()];
    for line in sdp.lines() {
        if line.starts_with("m=") {
            parts.push(Vec::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push(line);
        }
    }
    parts
}

/// A track that a description of ours sends.
#[derive(Debug, PartialEq)]
pub(super) struct SentTrack {
    pub mid: String,
    pub kind: MediaKind,
    pub stream: String,
    /// The preferred codec, named as Janus does.
    pub codec: String,
}

/// The tracks that a description of ours sends.
pub(super) fn sent_tracks(sdp: &str) -> Vec<SentTrack> {
    let track = |section: Vec<&str>| {
        let mut words = section.first()?.split(' ');
        let kind = match words.next()? {
            "m=audio" => MediaKind::Audio,
            "m=video" => MediaKind::Video,
            _ => return None,
        };
        let named = format!("a=rtpmap:{} ", words.nth(2)?);
        let codec = section.iter().find_map(|line| line.strip_prefix(&named)?.split('/').next())?.to_lowercase();
        let stream = section.iter().find_map(|line| line.strip_prefix("a=msid:")?.split(' ').next())?;
        Some(SentTrack { mid: mid(&section), kind, stream: stream.to_owned(), codec })
    };
    split(sdp).into_iter().filter_map(track).collect()
}

const INACTIVE: &str = "a=inactive";

impl Sections {
    /// The offer as our side is to see it.
    pub fn rewrite_offer(&mut self, offer: &str) -> String {
        self.inactive.clear();
        let mut out = String::with_capacity(offer.len() + 1024);
        for (index, section) in split(offer).into_iter().enumerate() {
            let media = index > 0 && !section[0].starts_with("m=application");
            let mid = mid(&section);
            let inactive = media && section.contains(&INACTIVE);
            let is_stream_id =
                |line: &&str| line.starts_with("a=msid:") || line.contains(" msid:") || line.contains("label:");
            let ssrcs: Vec<String> = section
                .iter()
                .filter(|l| l.starts_with("a=ssrc") && !is_stream_id(l))
                .map(|l| (*l).to_owned())
                .collect();
            let known = self.ssrc_lines.get(&mid).cloned().unwrap_or_default();
            // A section that was never in use stays as it is.
            let reopened = inactive && !known.is_empty();
            if reopened {
                self.inactive.push(mid.clone());
            }
            for line in &section {
                match *line {
                    INACTIVE if reopened => out.push_str("a=sendonly"),
                    line if media && (line.starts_with("a=msid:") || line.starts_with("a=ssrc")) => continue,
                    line => out.push_str(line),
                }
                out.push_str("\r\n");
            }
            if media {
                let lines = if reopened { known } else { ssrcs };
                let _ = write!(out, "a=msid:{mid} {mid}\r\n");
                for line in &lines {
                    out.push_str(line);
                    out.push_str("\r\n");
                }
                if !inactive && !lines.is_empty() {
                    self.ssrc_lines.insert(mid, lines);
                }
            }
        }
        out
    }

    /// Our answer as Janus is to see it: what is inactive stays inactive.
    pub fn rewrite_answer(&self, answer: &str) -> String {
        let mut out = String::with_capacity(answer.len());
        for section in split(answer) {
            let inactive = self.inactive.contains(&mid(&section));
            for line in section {
                out.push_str(if inactive && line == "a=recvonly" { INACTIVE } else { line });
                out.push_str("\r\n");
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_send_is_found_in_our_offer() {
        let offer = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\na=msid:main a\r\n\
                     m=video 9 X 102 96\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:102 H264/90000\r\na=msid:main b\r\n";
        let tracks = sent_tracks(offer);
        assert_eq!((tracks.len(), tracks[1].mid.as_str(), tracks[1].codec.as_str()), (2, "1", "h264"));
        assert_eq!((tracks[0].kind, tracks[0].stream.as_str()), (MediaKind::Audio, "main"));
    }

    #[test]
    fn a_section_never_becomes_inactive_on_our_side() {
        let mut sections = Sections::default();
        let offer = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=sendonly\r\na=msid:janus janus0\r\na=ssrc:5 cname:x\r\n\
                     m=video 9 X 96\r\na=mid:1\r\na=sendonly\r\na=ssrc:6 cname:x\r\na=ssrc:6 msid:janus janus1\r\n";
        let shown = sections.rewrite_offer(offer);
        assert!(shown.contains("a=msid:0 0\r\na=ssrc:5 cname:x\r\nm=video"), "{shown}");
        assert!(shown.ends_with("a=msid:1 1\r\na=ssrc:6 cname:x\r\n"), "{shown}");
        let answer = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=recvonly\r\nm=video 9 X 96\r\na=mid:1\r\na=recvonly\r\n";
        assert_eq!(sections.rewrite_answer(answer), answer);

        let left = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=sendonly\r\na=ssrc:5 cname:x\r\n\
                    m=video 9 X 96\r\na=mid:1\r\na=inactive\r\n";
        assert_eq!(sections.rewrite_offer(left), shown);
        assert!(sections.rewrite_answer(answer).ends_with("a=mid:1\r\na=inactive\r\n"));
        assert_eq!(sections.rewrite_offer(offer), shown, "and somebody else reuses it");
    }
}
