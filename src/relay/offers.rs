//! What the session descriptions of WHIP and WHEP clients contain, and edits of them.

use super::request::RequestError;
use crate::room::description::Candidate;
use crate::room::media::{Codec, Direction, MediaKind};
use crate::room::sdp::{Sdp, Section};
use crate::rtc::OutboundTrack;

/// The description with these candidates, in their order.
pub(super) fn whole(description: &str, candidates: &[Candidate]) -> String {
    let candidates: Vec<&str> = candidates.iter().map(|one| one.candidate.as_str()).collect();
    Sdp::edit(description, |sdp| {
        sdp.sections.iter_mut().for_each(Section::require_rtcp_mux);
        sdp.add_candidates(&candidates);
    })
}

/// Whether the section's direction, where it gives one, is one of these.
fn is_any(section: &Section, directions: [Direction; 2]) -> bool {
    section.direction().is_some_and(|direction| directions.contains(&direction))
}

/// Whether an offer has a place for what we would send: a section that receives, with the codec, for each kind that it has.
pub(super) fn takes(offer: &str, tracks: &[OutboundTrack]) -> bool {
    let sections = Sdp::sections_of(offer);
    let fits = |track: &OutboundTrack| {
        let of_kind = || sections.iter().filter(|section| section.kind() == Some(track.label().kind));
        of_kind().next()?;
        let closed = [Direction::SendOnly, Direction::Inactive];
        Some(of_kind().any(|section| !is_any(section, closed) && section.has_codec(track.codec())))
    };
    let mut fit = tracks.iter().filter_map(fits).peekable();
    fit.peek().is_some() && fit.all(|fits| fits)
}

/// Whether an offer has what a WHIP session may have (RFC 9725, 4.2 and 4.4.2): one sound or one picture that they send, or both.
pub(super) fn sends_one_each(offer: &str) -> Result<Vec<MediaKind>, RequestError> {
    let closed = [Direction::RecvOnly, Direction::Inactive];
    let sent: Vec<MediaKind> = match Sdp::parse(offer) {
        Ok(sdp) if !sdp.direction().is_some_and(|direction| closed.contains(&direction)) => {
            sdp.sections.iter().filter(|section| !is_any(section, closed)).filter_map(Section::kind).collect()
        }
        _ => Vec::new(),
    };
    let many = |kind: MediaKind| sent.iter().filter(|sent| **sent == kind).count() > 1;
    match sent.as_slice() {
        [] => Err(RequestError::Unsupported("nothing is sent in this offer".to_owned())),
        _ if many(MediaKind::Audio) || many(MediaKind::Video) => {
            Err(RequestError::Unsupported("more than one sound and one picture are not taken".to_owned()))
        }
        _ => Ok(sent),
    }
}

/// What somebody will most likely send: of each section of our answer, the codec that it names first (RFC 3264, 6.1).
pub(super) fn expected(answer: &str) -> Vec<Codec> {
    let open = |section: &&Section| section.port() != 0 && !is_any(section, [Direction::SendOnly, Direction::Inactive]);
    Sdp::sections_of(answer).iter().filter(open).filter_map(Section::first_codec).collect()
}

/// The offer as one that only sends, or only receives: our answer is then the reverse (RFC 9725, 4.2; draft-ietf-wish-whep, 4.3).
pub(super) fn one_way(offer: &str, they_send: bool) -> String {
    let direction = if they_send { Direction::SendOnly } else { Direction::RecvOnly };
    Sdp::edit(offer, |sdp| sdp.replace_direction(Direction::SendRecv, direction))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::media::Source;
    use crate::room::participant::TrackLabel;

    #[test]
    fn what_comes_is_known_before_it_comes() {
        let answer = "v=0\r\nm=audio 9 X 0 111\r\na=rtpmap:111 opus/48000/2\r\na=recvonly\r\nm=video 9 X 97 96 98\r\n\
                      a=rtpmap:97 rtx/90000\r\na=rtpmap:96 H264/90000\r\na=rtpmap:98 VP8/90000\r\n\
                      m=video 0 X 98\r\na=rtpmap:98 VP8/90000\r\nm=application 9 X webrtc-datachannel\r\n";
        assert_eq!(expected(answer), [Codec::Opus, Codec::H264]);
        assert!(expected("").is_empty() && expected("v=0\nm=audio\n").is_empty());
    }

    #[test]
    fn an_offer_takes_what_it_has_a_place_for() {
        let track = |codec: Codec| {
            let (kind, source) = (codec.kind(), Source::default_for(codec.kind()));
            OutboundTrack::new(TrackLabel { stream: "s".into(), kind, source, muted: false }, codec)
        };
        let tracks = [track(Codec::Opus), track(Codec::H264)];
        let offer = |video: &str| {
            format!("v=0\r\nm=audio 9 X 111\r\na=recvonly\r\na=rtpmap:111 opus/48000/2\r\nm=video 9 X 96\r\n{video}")
        };
        assert!(takes(&offer("a=recvonly\r\na=rtpmap:96 H264/90000\r\n"), &tracks));
        assert!(!takes(&offer("a=recvonly\r\na=rtpmap:96 VP8/90000\r\n"), &tracks), "another codec");
        assert!(!takes(&offer("a=sendonly\r\na=rtpmap:96 H264/90000\r\n"), &tracks), "it sends");
        assert!(takes("v=0\r\nm=audio 9 X 111\r\na=rtpmap:111 opus/48000/2\r\n", &tracks), "sound only");
        assert!(!takes("v=0\r\nm=application 9 X y\r\n", &tracks) && !takes("", &tracks), "nothing of the kind");
    }

    #[test]
    fn a_publisher_sends_one_sound_and_one_picture_at_most() {
        let (audio, video) = ("m=audio 9 X 111\r\na=sendonly\r\n", "m=video 0 X 96\r\na=bundle-only\r\n");
        let of = |text: &str| sends_one_each(&format!("v=0\r\n{text}"));
        assert_eq!(of(&format!("{audio}{video}")), Ok(vec![MediaKind::Audio, MediaKind::Video]));
        assert_eq!(of(&format!("{video}m=application 9 X y\r\n")), Ok(vec![MediaKind::Video]));
        assert_eq!(of(&format!("{audio}m=video 9 X 96\r\na=inactive\r\n")), Ok(vec![MediaKind::Audio]));
        for unfit in [
            String::new(),
            "m=audio 9 X 111\r\na=recvonly\r\n".to_owned(),
            format!("a=inactive\r\n{audio}"),
            format!("{audio}{video}{video}"),
            format!("{audio}{audio}"),
        ] {
            assert!(matches!(of(&unfit), Err(RequestError::Unsupported(_))), "{unfit}");
        }
    }
}
