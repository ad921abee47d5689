//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): one description to and fro over HTTP. `fragment` and `link` are what both
//! ends share; `endpoint`, `visit` and `http` are the client's.

pub(super) mod endpoint;
pub mod fragment;
mod http;
pub mod link;
mod visit;

use crate::room::media::{MediaKind, Source};
use crate::room::people::TrackLabel;

/// The media type of session descriptions.
pub const SDP: &str = "application/sdp";
/// The media type of what a PATCH carries.
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// Bytes of a description or fragment that are read.
pub const MOST_BYTES: usize = 64 * 1024;

/// Labels for screens in a description: there is no other word for them than the name of their stream.
fn screens(sdp: &str) -> Vec<TrackLabel> {
    let of_section = |section: &str| {
        let kind = match section.split(' ').next()? {
            "audio" => MediaKind::Audio,
            "video" => MediaKind::Video,
            _ => return None,
        };
        let id = section.lines().find_map(|line| line.strip_prefix("a=msid:"))?;
        let stream = id.split_ascii_whitespace().next().filter(|stream| stream.starts_with("screen"))?.to_owned();
        let source = if kind == MediaKind::Video { Source::Screen } else { Source::ScreenAudio };
        Some(TrackLabel { stream, kind, source, muted: false })
    };
    sdp.split("\nm=").skip(1).filter_map(of_section).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
