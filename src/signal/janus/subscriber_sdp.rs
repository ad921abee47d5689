//! Rewrites the descriptions of the subscriber connection, and reads those of the publisher connection.
//!
//! Janus reuses sections: one whose sender has left becomes `inactive`, and the next stream of its kind takes it over, with the same SSRC.
//! Our side would close its track at that. So a section is always shown as it was while it was in use, with its MID as stream id, and the
//! track labels say whose stream it carries.

use crate::room::media::{Direction, MediaKind};
use crate::room::sdp::{Sdp, Section};
use std::collections::HashMap;

/// The name and the value of an attribute.
type Attribute = (String, Option<String>);

/// The sections that were ever in use, by MID.
#[derive(Debug, Default)]
pub(super) struct Sections {
    /// The `a=ssrc` and `a=ssrc-group` attributes of each section.
    ssrcs: HashMap<String, Vec<Attribute>>,
    /// The sections that the current offer has as inactive.
    inactive: Vec<String>,
}

fn mid(section: &Section) -> String {
    section.mid().unwrap_or_default().to_owned()
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
    let track = |section: &Section| {
        let codec = section.encoding_name(section.formats().next()?)?.to_lowercase();
        let (stream, _) = section.msid()?;
        Some(SentTrack { mid: mid(section), kind: section.kind()?, stream: stream.to_owned(), codec })
    };
    Sdp::sections_of(sdp).iter().filter_map(track).collect()
}

/// Whether an attribute names the stream that a section carries (`a=msid`, and `a=ssrc` with one).
fn is_stream_id(value: &str) -> bool {
    value.contains(" msid:") || value.contains("label:")
}

impl Sections {
    /// The offer as our side is to see it.
    pub fn rewrite_offer(&mut self, offer: &str) -> String {
        self.inactive.clear();
        Sdp::edit(offer, |sdp| {
            sdp.sections.iter_mut().filter(|section| !section.is_application()).for_each(|s| self.rewrite_section(s));
        })
    }

    fn rewrite_section(&mut self, section: &mut Section) {
        let mid = mid(section);
        let inactive = section.direction() == Some(Direction::Inactive);
        let ssrcs: Vec<Attribute> = section
            .attributes()
            .filter(|(name, value)| name.starts_with("ssrc") && !value.is_some_and(is_stream_id))
            .map(|(name, value)| (name.to_owned(), value.map(str::to_owned)))
            .collect();
        let known = self.ssrcs.get(&mid).cloned().unwrap_or_default();
        // A section that was never in use stays as it is.
        let reopened = inactive && !known.is_empty();
        if reopened {
            self.inactive.push(mid.clone());
            section.replace_direction(Direction::Inactive, Direction::SendOnly);
        }
        section.retain_attributes(|name, _| name != "msid" && !name.starts_with("ssrc"));
        section.push("msid", Some(&format!("{mid} {mid}")));
        let attributes = if reopened { known } else { ssrcs };
        for (name, value) in &attributes {
            section.push(name, value.as_deref());
        }
        if !inactive && !attributes.is_empty() {
            self.ssrcs.insert(mid, attributes);
        }
    }

    /// Our answer as Janus is to see it: what is inactive stays inactive.
    pub fn rewrite_answer(&self, answer: &str) -> String {
        Sdp::edit(answer, |sdp| {
            for section in sdp.sections.iter_mut().filter(|section| self.inactive.contains(&mid(section))) {
                section.replace_direction(Direction::RecvOnly, Direction::Inactive);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_send_is_found_in_our_offer() {
        let offer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 X 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\na=msid:main a\r\n\
                     m=video 9 X 102 96\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:102 H264/90000\r\na=msid:main b\r\n";
        let tracks = sent_tracks(offer);
        assert_eq!((tracks.len(), tracks[1].mid.as_str(), tracks[1].codec.as_str()), (2, "1", "h264"));
        assert_eq!((tracks[0].kind, tracks[0].stream.as_str()), (MediaKind::Audio, "main"));
    }

    #[test]
    fn a_section_never_becomes_inactive_on_our_side() {
        let mut sections = Sections::default();
        let offer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 X 111\r\na=mid:0\r\na=sendonly\r\na=msid:janus janus0\r\na=ssrc:5 cname:x\r\n\
                     m=video 9 X 96\r\na=mid:1\r\na=sendonly\r\na=ssrc:6 cname:x\r\na=ssrc:6 msid:janus janus1\r\n";
        let shown = sections.rewrite_offer(offer);
        assert!(shown.contains("a=msid:0 0\r\na=ssrc:5 cname:x\r\nm=video"), "{shown}");
        assert!(shown.ends_with("a=msid:1 1\r\na=ssrc:6 cname:x\r\n"), "{shown}");
        let answer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 X 111\r\na=mid:0\r\na=recvonly\r\nm=video 9 X 96\r\na=mid:1\r\na=recvonly\r\n";
        assert_eq!(sections.rewrite_answer(answer), answer);

        let left = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 X 111\r\na=mid:0\r\na=sendonly\r\na=ssrc:5 cname:x\r\n\
                    m=video 9 X 96\r\na=mid:1\r\na=inactive\r\n";
        assert_eq!(sections.rewrite_offer(left), shown);
        assert!(sections.rewrite_answer(answer).ends_with("a=mid:1\r\na=inactive\r\n"));
        assert_eq!(sections.rewrite_offer(offer), shown, "and somebody else reuses it");
    }
}
