//! What WHIP and WHEP change or look for in descriptions. Text to text.

use crate::room::media::{MediaKind, Source};
use crate::room::participant::TrackLabel;
use crate::room::sdp::{Sdp, Section};

/// The description as RFC 9725 (4.4.1) requires it of a sender: RTP and RTCP always multiplexed (RFC 8858).
pub fn with_rtcp_mux_only(sdp: &str) -> String {
    Sdp::edit(sdp, |sdp| sdp.sections.iter_mut().for_each(Section::require_rtcp_mux))
}

/// The labels of screens in a description: they are known by their stream id, as there are no other labels.
pub(super) fn screen_labels(sdp: &str) -> Vec<TrackLabel> {
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
    fn every_section_is_rtcp_mux_only() {
        let sdp = "v=0\r\nm=audio 9 X 111\r\na=rtcp-mux\r\nm=video 9 X 96\r\na=rtcp-mux\r\na=rtcp-rsize\r\n";
        let muxed = with_rtcp_mux_only(sdp);
        assert_eq!(muxed.matches("a=rtcp-mux\r\na=rtcp-mux-only\r\n").count(), 2, "{muxed}");
        assert!(muxed.ends_with("a=rtcp-rsize\r\n") && with_rtcp_mux_only(&muxed) == muxed, "{muxed}");
    }

    #[test]
    fn a_screen_is_known_by_its_streams_name() {
        let sdp = |stream: &str| {
            format!("v=0\r\nm=audio 9 X 111\r\na=msid:{stream} a\r\nm=video 9 X 96\r\na=msid:{stream} b\r\n")
        };
        let sources: Vec<Source> = screen_labels(&sdp("screen-1")).iter().map(|label| label.source).collect();
        assert_eq!(sources, [Source::ScreenAudio, Source::Screen]);
        assert!(screen_labels(&sdp("main")).is_empty() && screen_labels("").is_empty());
    }
}
