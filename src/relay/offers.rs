//! What descriptions of those outside say, and ours to them. Text to text.

use super::Refused;
use crate::room::description::{Candidate, with_candidates};
use crate::room::media::{Codec, MediaKind};
use crate::rtc::OutboundTrack;
use crate::signal::whip_whep::muxed_only;

/// The description with its candidates in it, in their order.
pub(super) fn whole(description: &str, candidates: &[Candidate]) -> String {
    let candidates: Vec<&str> = candidates.iter().map(|one| one.candidate.as_str()).collect();
    with_candidates(&muxed_only(description), &candidates)
}

/// Whether an offer has a place for what we would send: a section that receives, with the codec, for each kind that it has.
pub(super) fn takes(offer: &str, show: &[OutboundTrack]) -> bool {
    let sections: Vec<&str> = offer.split("\nm=").skip(1).collect();
    let fits = |track: &OutboundTrack| {
        let (kind, codec) = match track.label().kind {
            MediaKind::Audio => ("audio ", track.codec().name()),
            MediaKind::Video => ("video ", track.codec().name()),
        };
        let mut of_kind = sections.iter().filter(|section| section.starts_with(kind)).peekable();
        of_kind.peek()?;
        let map = format!(" {}/", codec.to_ascii_lowercase());
        let takes = |section: &str| {
            let shut = ["a=sendonly", "a=inactive"].iter().any(|line| section.lines().any(|l| l.trim_end() == *line));
            !shut && section.lines().any(|l| l.starts_with("a=rtpmap:") && l.to_ascii_lowercase().contains(&map))
        };
        Some(of_kind.any(|section| takes(section)))
    };
    let mut fit = show.iter().filter_map(fits).peekable();
    fit.peek().is_some() && fit.all(|fits| fits)
}

/// Whether an offer has what a WHIP session may have (RFC 9725, 4.2 and 4.4.2): one sound or one picture that they send, or both.
pub(super) fn sends_one_each(offer: &str) -> Result<Vec<MediaKind>, Refused> {
    let shut = |section: &str| {
        let is = |way: &str| section.lines().any(|line| line.trim_end() == way);
        is("a=recvonly") || is("a=inactive")
    };
    let (session, sections) = offer.split_once("\nm=").unwrap_or((offer, ""));
    let kind = |section: &str| match section.split(' ').next() {
        Some("audio") => Some(MediaKind::Audio),
        Some("video") => Some(MediaKind::Video),
        _ => None,
    };
    let sent: Vec<MediaKind> = match shut(session) {
        true => Vec::new(),
        false => sections.split("\nm=").filter(|section| !shut(section)).filter_map(kind).collect(),
    };
    let many = |kind: MediaKind| sent.iter().filter(|sent| **sent == kind).count() > 1;
    match sent.as_slice() {
        [] => Err(Refused::Unfit("nothing is sent in this offer".to_owned())),
        _ if many(MediaKind::Audio) || many(MediaKind::Video) => {
            Err(Refused::Unfit("more than one sound and one picture are not taken".to_owned()))
        }
        _ => Ok(sent),
    }
}

/// What somebody will most likely send: of each section of our answer, the codec that it names first (RFC 3264, 6.1).
pub(super) fn expected(answer: &str) -> Vec<Codec> {
    let of_section = |section: &str| {
        let (first, lines) = section.split_once('\n')?;
        let mut words = first.split_ascii_whitespace();
        let (kind, port) = (words.next()?, words.next()?);
        if port == "0" || ["a=sendonly", "a=inactive"].iter().any(|way| lines.lines().any(|l| l.trim_end() == *way)) {
            return None;
        }
        let map = |format: &str| {
            let start = format!("a=rtpmap:{format} ");
            let name = lines.lines().find_map(|line| line.strip_prefix(start.as_str()))?.split('/').next()?;
            Codec::from_mime(&format!("{kind}/{name}"))
        };
        words.skip(1).find_map(map)
    };
    answer.split("\nm=").skip(1).filter_map(of_section).collect()
}

/// The offer without simulcast: an answer that takes none leaves a sender with the first of its layers, whole.
pub(super) fn without_layers(offer: &str) -> String {
    let kept = |line: &&str| !["a=simulcast:", "a=rid:"].iter().any(|key| line.starts_with(key));
    offer.lines().filter(kept).map(|line| format!("{}\r\n", line.trim_end())).collect()
}

/// The offer as one that only sends, or only receives: our answer is then the reverse (RFC 9725, 4.2; draft-ietf-wish-whep, 4.3).
pub(super) fn one_way(offer: &str, they_send: bool) -> String {
    let way = if they_send { "a=sendonly" } else { "a=recvonly" };
    offer
        .lines()
        .map(|line| if line.trim_end() == "a=sendrecv" { way } else { line.trim_end() }.to_owned() + "\r\n")
        .collect()
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
        let show = [track(Codec::Opus), track(Codec::H264)];
        let offer = |video: &str| {
            format!("v=0\r\nm=audio 9 X 111\r\na=recvonly\r\na=rtpmap:111 opus/48000/2\r\nm=video 9 X 96\r\n{video}")
        };
        assert!(takes(&offer("a=recvonly\r\na=rtpmap:96 H264/90000\r\n"), &show));
        assert!(!takes(&offer("a=recvonly\r\na=rtpmap:96 VP8/90000\r\n"), &show), "another codec");
        assert!(!takes(&offer("a=sendonly\r\na=rtpmap:96 H264/90000\r\n"), &show), "it sends");
        assert!(takes("v=0\r\nm=audio 9 X 111\r\na=rtpmap:111 opus/48000/2\r\n", &show), "sound only");
        assert!(!takes("v=0\r\nm=application 9 X y\r\n", &show) && !takes("", &show), "nothing of the kind");
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
            assert!(matches!(of(&unfit), Err(Refused::Unfit(_))), "{unfit}");
        }
    }

    #[test]
    fn an_offer_of_layers_becomes_one_of_a_stream() {
        let offer = "v=0\nm=video 9 X 96\r\na=mid:0\r\na=rid:h send\r\na=rid:l send\r\na=simulcast:send h;l\r\n";
        assert_eq!(without_layers(offer), "v=0\r\nm=video 9 X 96\r\na=mid:0\r\n");
    }
}
