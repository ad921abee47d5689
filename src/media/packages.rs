//! The Debian package of a missing element, from a table of common elements.

/// Packages and their element factories (Debian 12).
const PACKAGES: &[(&str, &[&str])] = &[
    (
        "gstreamer1.0-plugins-base",
        &[
            "appsink",
            "appsrc",
            "audioconvert",
            "audiomixer",
            "audioresample",
            "audiotestsrc",
            "compositor",
            "decodebin",
            "decodebin3",
            "oggdemux",
            "opusdec",
            "opusenc",
            "parsebin",
            "playbin",
            "theoradec",
            "uridecodebin",
            "videoconvert",
            "videoconvertscale",
            "videorate",
            "videoscale",
            "videotestsrc",
            "volume",
            "vorbisdec",
        ],
    ),
    (
        "gstreamer1.0-plugins-good",
        &[
            "aacparse",
            "alpha",
            "alphacombine",
            "audioamplify",
            "audiocheblimit",
            "audiodynamic",
            "audioecho",
            "audiopanorama",
            "avidemux",
            "edgetv",
            "equalizer-3bands",
            "flacdec",
            "flacenc",
            "flvdemux",
            "gdkpixbufoverlay",
            "imagefreeze",
            "jpegdec",
            "jpegenc",
            "level",
            "matroskademux",
            "matroskamux",
            "mp4mux",
            "mpg123audiodec",
            "multifilesrc",
            "pngdec",
            "pngenc",
            "qtdemux",
            "rtpbin",
            "rtpjitterbuffer",
            "videobalance",
            "videobox",
            "videocrop",
            "videoflip",
            "vp8dec",
            "vp8enc",
            "vp9dec",
            "vp9enc",
            "wavenc",
            "wavparse",
            "webmmux",
        ],
    ),
    (
        "gstreamer1.0-plugins-bad",
        &[
            "av1enc",
            "av1dec",
            "av1parse",
            "aomav1enc",
            "coloreffects",
            "faad",
            "fdkaacenc",
            "fpsdisplaysink",
            "freeverb",
            "gaussianblur",
            "h264parse",
            "h265parse",
            "mpegtsmux",
            "opusparse",
            "pitch",
            "openh264dec",
            "openh264enc",
            "tsdemux",
            "vp9parse",
            "webrtcbin",
            "x265enc",
        ],
    ),
    ("gstreamer1.0-x", &["textoverlay", "timeoverlay", "clockoverlay", "textrender"]),
    ("gstreamer1.0-plugins-ugly", &["x264enc", "a52dec", "asfdemux"]),
    ("gstreamer1.0-libav", &["avdec_aac", "avdec_h264", "avdec_h265", "avenc_aac"]),
    ("libgstreamer1.0-0", &["capsfilter", "fakesink", "filesink", "filesrc", "identity", "queue", "tee"]),
];

/// The Debian package of `element`, if it is known.
pub fn package_of(element: &str) -> Option<&'static str> {
    if let Some((package, _)) = PACKAGES.iter().find(|(_, elements)| elements.contains(&element)) {
        return Some(package);
    }
    element.starts_with("avdec_").then_some("gstreamer1.0-libav")
}

/// What to do about a missing element, in one line.
pub fn missing(element: &str) -> String {
    match package_of(element) {
        Some(package) => format!("no element `{element}`: install it with `apt install {package}`"),
        None => format!("no element `{element}`: check its name, or find its package with `apt-file search`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_elements_have_a_package_and_unknown_ones_a_hint() {
        assert_eq!(package_of("x264enc"), Some("gstreamer1.0-plugins-ugly"));
        assert_eq!(package_of("avdec_mp3"), Some("gstreamer1.0-libav"));
        assert!(missing("frobnicate").contains("apt-file"));
        assert!(missing("vp8enc").contains("apt install gstreamer1.0-plugins-good"));
    }

    #[test]
    fn every_element_of_the_table_is_there_when_its_package_is() {
        let gst = crate::media::runtime::Gst::init().unwrap();
        for (package, elements) in PACKAGES {
            // If most of its elements are there, the package is installed, and a missing one is a typing error.
            let there: Vec<_> = elements.iter().filter(|e| gst.has_element(e)).collect();
            assert!(there.is_empty() || there.len() * 2 > elements.len(), "{package}: only {there:?} exist");
        }
    }
}
