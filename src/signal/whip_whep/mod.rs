//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): one description to and fro over HTTP. `fragment` and `link` are what both
//! ends share; `endpoint`, `visit` and `http` are the client's.

pub(crate) mod endpoint;
pub mod fragment;
mod http;
pub mod link;
mod session;

use crate::room::media::{MediaKind, Source};
use crate::room::participant::TrackLabel;
use crate::room::sdp::{Sdp, Section};

/// The media type of session descriptions.
pub const SDP: &str = "application/sdp";
/// The media type of what a PATCH carries.
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// Bytes of a description or fragment that are read.
pub const MOST_BYTES: usize = 64 * 1024;

/// The description as RFC 9725 (4.4.1) wants it: who sends says that RTP and RTCP never go apart (RFC 8858).
pub fn muxed_only(sdp: &str) -> String {
    Sdp::edit(sdp, |sdp| sdp.sections.iter_mut().for_each(Section::require_rtcp_mux))
}

/// Labels for screens in a description: there is no other word for them than the name of their stream.
fn screens(sdp: &str) -> Vec<TrackLabel> {
    let of_section = |section: &Section| {
        let kind = section.kind()?;
        let stream = section.msid().map(|(stream, _)| stream).filter(|stream| stream.starts_with("screen"))?.to_owned();
        let source = if kind == MediaKind::Video { Source::Screen } else { Source::ScreenAudio };
        Some(TrackLabel { stream, kind, source, muted: false })
    };
    Sdp::sections_of(sdp).iter().filter_map(of_section).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_says_that_nothing_goes_apart() {
        let sdp = "v=0\r\nm=audio 9 X 111\r\na=rtcp-mux\r\nm=video 9 X 96\r\na=rtcp-mux\r\na=rtcp-rsize\r\n";
        let muxed = muxed_only(sdp);
        assert_eq!(muxed.matches("a=rtcp-mux\r\na=rtcp-mux-only\r\n").count(), 2, "{muxed}");
        assert!(muxed.ends_with("a=rtcp-rsize\r\n") && muxed_only(&muxed) == muxed, "{muxed}");
    }

    #[test]
    fn a_screen_is_known_by_its_streams_name() {
        let sdp = |stream: &str| {
            format!("v=0\r\nm=audio 9 X 111\r\na=msid:{stream} a\r\nm=video 9 X 96\r\na=msid:{stream} b\r\n")
        };
        let sources: Vec<Source> = screens(&sdp("screen-1")).iter().map(|label| label.source).collect();
        assert_eq!(sources, [Source::ScreenAudio, Source::Screen]);
        assert!(screens(&sdp("main")).is_empty() && screens("").is_empty());
    }
}
