//! Opus comes in mono unless the receiver asks for stereo (`stereo=1`, RFC 7587 7.1), and the library repeats in its answers what the offer
//! says of what its sender receives. So all our descriptions ask for it, and say that ours may be stereo.

use crate::room::sdp::Sdp;

/// Makes a description of ours ask for stereo in every section with Opus.
pub(super) fn ask_for_stereo(sdp: &mut Sdp) {
    for section in sdp.sections.iter_mut().filter(|section| !section.is_rejected()) {
        let is_opus =
            |format: &&str| section.encoding_name(format).is_some_and(|name| name.eq_ignore_ascii_case("opus"));
        let formats: Vec<String> = section.formats().filter(is_opus).map(str::to_owned).collect();
        for format in formats {
            section.set_parameter(&format, "stereo", "1");
            section.set_parameter(&format, "sprop-stereo", "1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_stereo(description: &str) -> String {
        Sdp::edit(description, ask_for_stereo)
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
}
