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
    let Ok(sdp) = Sdp::parse(offer) else { return Err(unsupported("nothing is sent in this offer")) };
    let sends = |section: &&Section| direction(&sdp, section).sends() && !section.is_rejected();
    let sections: Vec<&Section> = sdp.sections.iter().filter(|one| one.kind().is_some()).filter(sends).collect();
    let sent: Vec<MediaKind> = sections.iter().filter_map(|section| section.kind()).collect();
    let many = |kind: MediaKind| sent.iter().filter(|sent| **sent == kind).count() > 1;
    match sent.as_slice() {
        [] => Err(unsupported("nothing is sent in this offer")),
        _ if many(MediaKind::Audio) || many(MediaKind::Video) => {
            Err(unsupported("more than one sound and one picture are not taken"))
        }
        [_] => Ok(sent),
        _ if !bundled(&sdp, &sections) => {
            Err(unsupported("sound and picture come over one connection only: the offer must bundle them (RFC 9143)"))
        }
        _ => Ok(sent),
    }
}

fn unsupported(why: &str) -> RequestError {
    RequestError::Unsupported(why.to_owned())
}

/// The direction of a section, which it need not give (RFC 8866 6.7).
fn direction(sdp: &Sdp, section: &Section) -> Direction {
    section.direction().or(sdp.direction()).unwrap_or_default()
}

/// Whether these sections share a transport.
fn bundled(sdp: &Sdp, sections: &[&Section]) -> bool {
    let has = |group: &Vec<String>, section: &Section| group.iter().any(|name| Some(name.as_str()) == section.mid());
    sdp.bundles().iter().any(|group| sections.iter().all(|section| has(group, section)))
}

/// What somebody will most likely send: of each section of our answer, the codec that it names first (RFC 3264, 6.1).
pub(super) fn expected(answer: &str) -> Vec<Codec> {
    let open = |section: &&Section| section.port() != 0 && !is_any(section, [Direction::SendOnly, Direction::Inactive]);
    Sdp::sections_of(answer).iter().filter(open).filter_map(Section::first_codec).collect()
}

/// The offer as one that only sends, or only receives: our answer is then the reverse (RFC 9725, 4.2; draft-ietf-wish-whep, 4.3).
pub(super) fn one_way(offer: &str, they_send: bool) -> String {
    let one_way = if they_send { Direction::SendOnly } else { Direction::RecvOnly };
    Sdp::edit(offer, |sdp| {
        let default = sdp.direction().unwrap_or_default();
        for section in sdp.sections.iter_mut().filter(|section| section.kind().is_some()) {
            if section.direction().unwrap_or(default) == Direction::SendRecv {
                section.set_direction(one_way);
            }
        }
    })
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
        let audio = "m=audio 9 X 111\r\na=mid:a\r\na=sendonly\r\n";
        let video = "m=video 0 X 96\r\na=mid:v\r\na=bundle-only\r\n";
        let of = |text: &str| sends_one_each(&format!("v=0\r\na=group:BUNDLE a v\r\n{text}"));
        assert_eq!(of(&format!("{audio}{video}")), Ok(vec![MediaKind::Audio, MediaKind::Video]));
        assert_eq!(of(&format!("{video}m=application 9 X y\r\n")), Ok(vec![MediaKind::Video]));
        assert_eq!(of(&format!("{audio}m=video 9 X 96\r\na=inactive\r\n")), Ok(vec![MediaKind::Audio]));
        assert_eq!(of(&format!("{audio}m=video 0 X 96\r\n")), Ok(vec![MediaKind::Audio]), "a refused section");
        assert_eq!(sends_one_each("v=0\r\nm=video 9 X 96\r\n"), Ok(vec![MediaKind::Video]), "one needs no bundle");
        let apart = sends_one_each(&format!("v=0\r\n{audio}{video}"));
        assert!(matches!(&apart, Err(RequestError::Unsupported(why)) if why.contains("bundle")), "{apart:?}");
        for unfit in [
            String::new(),
            "m=audio 9 X 111\r\na=recvonly\r\n".to_owned(),
            format!("a=inactive\r\n{}", audio.replace("a=sendonly\r\n", "")),
            format!("{audio}{video}{video}"),
            format!("{audio}{audio}"),
        ] {
            assert!(matches!(of(&unfit), Err(RequestError::Unsupported(_))), "{unfit}");
        }
    }
}
