//! What real endpoints send is read, changed and written again.

use super::*;
use serde_json::Value;

/// As FFmpeg's WHIP muxer writes it.
const FFMPEG: &str = "v=0\r\no=FFmpeg 4489045141692799359 2 IN IP4 127.0.0.1\r\ns=FFmpegPublishSession\r\nt=0 0\r\n\
    a=group:BUNDLE 0 1\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n\
    a=ice-ufrag:a174\r\na=ice-pwd:4a7e6d9c9b1f4ab9a8b1f1c2d3e4f506\r\na=fingerprint:sha-256 AB:CD\r\na=setup:passive\r\na=mid:0\r\n\
    a=sendonly\r\na=msid:FFmpeg audio\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=ssrc:3184534672 cname:FFmpeg\r\n\
    a=ssrc:3184534672 msid:FFmpeg audio\r\nm=video 9 UDP/TLS/RTP/SAVPF 106\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:a174\r\n\
    a=ice-pwd:4a7e6d9c9b1f4ab9a8b1f1c2d3e4f506\r\na=fingerprint:sha-256 AB:CD\r\na=setup:passive\r\na=mid:1\r\na=sendonly\r\n\
    a=msid:FFmpeg video\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:106 H264/90000\r\n\
    a=fmtp:106 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\na=ssrc:3409732198 cname:FFmpeg\r\n\
    a=ssrc:3409732198 msid:FFmpeg video\r\n";

/// As GStreamer's `webrtcbin` (1.22) writes it.
const GSTREAMER: &str = "v=0\r\no=- 3473291482713628190 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-options:trickle\r\n\
    a=group:BUNDLE video0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=setup:actpass\r\n\
    a=ice-ufrag:9UW0pmtlnPQOB0TbZHWMF4Lk3G0GZ/Nm\r\na=ice-pwd:N6Nw5iVfVbEvdwOT4fLpC6rCyT9nqwQE\r\na=rtcp-mux\r\na=rtcp-rsize\r\n\
    a=sendonly\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 ccm fir\r\na=framerate:30\r\n\
    a=ssrc:1140826034 msid:user1983236187@host-6d2c9f06 webrtctransceiver0\r\na=ssrc:1140826034 cname:user1983236187@host-6d2c9f06\r\n\
    a=mid:video0\r\na=fingerprint:sha-256 12:34\r\na=rtcp-mux-only\r\n";

/// Every description in a JSON value, or in JSON that is text in it.
fn descriptions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with("v=0") => found.push(text.clone()),
        Value::String(text) => {
            if let Some(at) = text.find(['{', '['])
                && let Some(Ok(inner)) = serde_json::Deserializer::from_str(&text[at..]).into_iter().next()
            {
                descriptions(&inner, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| descriptions(item, found)),
        Value::Object(items) => items.values().for_each(|item| descriptions(item, found)),
        _ => {}
    }
}

/// What Chromium, simple-peer and Janus sent in the captured rooms.
const CAPTURED: [&str; 4] = [
    include_str!("../../../fixtures/rooms/guide-mesh.jsonl"),
    include_str!("../../../fixtures/rooms/guide-pair.jsonl"),
    include_str!("../../../fixtures/rooms/janus-room.jsonl"),
    include_str!("../../../fixtures/rooms/socketio-call.jsonl"),
];

#[test]
fn what_endpoints_send_is_written_as_it_was_read() {
    let mut captured = Vec::new();
    for line in CAPTURED.iter().flat_map(|file| file.lines()) {
        descriptions(&serde_json::from_str(line).expect("JSON"), &mut captured);
    }
    assert!(captured.len() >= 20, "{}", captured.len());
    for text in captured.iter().map(String::as_str).chain([FFMPEG, GSTREAMER]) {
        let sdp = Sdp::parse(text).expect("a description");
        assert_eq!(sdp.to_string(), text);
        assert_eq!(sdp.ice_credentials().is_some(), text.contains("a=ice-pwd:"), "{text}");
        assert_eq!(sdp.setup_role().is_some(), text.contains("a=setup:"), "{text}");
        assert_eq!(sdp.first_mid().is_some(), text.contains("a=mid:"), "{text}");
    }
}

#[test]
fn a_section_is_known_by_its_attributes() {
    let sdp = Sdp::parse(FFMPEG).expect("a description");
    let [audio, video] = &sdp.sections[..] else { panic!("two sections") };
    assert_eq!((audio.kind(), video.kind()), (Some(MediaKind::Audio), Some(MediaKind::Video)));
    assert_eq!((audio.first_codec(), video.first_codec()), (Some(Codec::Opus), Some(Codec::H264)));
    assert_eq!((video.mid(), video.direction()), (Some("1"), Some(Direction::SendOnly)));
    assert_eq!(video.msid(), Some(("FFmpeg", Some("video"))));
    assert_eq!(video.encoding_name("106"), Some("H264"));
    assert!(video.has_codec(Codec::H264) && !video.has_codec(Codec::Vp8));
    assert_eq!(audio.media_line(), "m=audio 9 UDP/TLS/RTP/SAVPF 111");
    assert_eq!((sdp.session_id(), sdp.setup_role()), ("4489045141692799359", Some(SetupRole::Passive)));
    assert_eq!(sdp.direction(), None);
}

#[test]
fn line_ends_and_missing_lines_are_tolerated() {
    let sdp = Sdp::parse("v=0\nm=video 0 X 96\na=recvonly\n\n").expect("a description");
    assert_eq!((sdp.sections[0].port(), sdp.sections[0].direction()), (0, Some(Direction::RecvOnly)));
    for text in ["", "hello", "m=audio 9 X 0\r\n", "v=0\r\nm=audio\r\n", "v=0\r\nm=audio 99999 X 0\r\n"] {
        assert!(Sdp::parse(text).is_err(), "{text:?}");
        assert_eq!(Sdp::edit(text, |sdp| sdp.sections.clear()), text);
        assert!(Sdp::sections_of(text).is_empty());
    }
}

#[test]
fn candidates_go_to_the_first_section_once() {
    let one = "candidate:1 1 udp 1 127.0.0.1 9 typ host";
    let whole = Sdp::edit(GSTREAMER, |sdp| sdp.add_candidates(&[one]));
    assert_eq!(whole, format!("{GSTREAMER}a={one}\r\na=end-of-candidates\r\n"));
    assert_eq!(Sdp::edit(&whole, |sdp| sdp.add_candidates(&[one])), whole);
    let bundled = Sdp::edit(FFMPEG, |sdp| sdp.add_candidates(&[one]));
    let sdp = Sdp::parse(&bundled).expect("a description");
    assert_eq!(sdp.candidates().collect::<Vec<_>>(), [one]);
    assert_eq!(sdp.sections[0].attributes().last(), Some(("end-of-candidates", None)));
    assert!(!sdp.sections[1].attributes().any(|(name, _)| name == "candidate"));
    let ended = Sdp::edit("v=0\r\nm=application 9 X Y\r\n", |sdp| sdp.add_candidates(&[""; 0]));
    assert!(ended.ends_with("Y\r\na=end-of-candidates\r\n"));
}

#[test]
fn new_credentials_are_everywhere_and_old_candidates_nowhere() {
    let old = Sdp::edit(FFMPEG, |sdp| sdp.add_candidates(&["candidate:1 1 udp 1 127.0.0.1 9 typ host"]));
    let new = IceCredentials { ufrag: "c".into(), pwd: "d".into() };
    let restarted = Sdp::edit(&old, |sdp| sdp.restart_ice(&new));
    assert_eq!(restarted.matches("a=ice-ufrag:c\r\na=ice-pwd:d\r\n").count(), 2, "{restarted}");
    assert!(!restarted.contains("candidate"), "{restarted}");
    assert_eq!(Sdp::parse(&restarted).ok().and_then(|sdp| sdp.ice_credentials()), Some(new));
}

#[test]
fn roles_and_directions_are_replaced_where_they_stand() {
    let active = Sdp::edit(FFMPEG, |sdp| sdp.set_setup_role(SetupRole::Active));
    assert_eq!(active, FFMPEG.replace("a=setup:passive", "a=setup:active"));
    let shut = Sdp::edit(FFMPEG, |sdp| sdp.replace_direction(Direction::SendOnly, Direction::Inactive));
    assert_eq!(shut, FFMPEG.replace("a=sendonly", "a=inactive"));
    assert_eq!(Sdp::edit(FFMPEG, |sdp| sdp.replace_direction(Direction::SendRecv, Direction::Inactive)), FFMPEG);
    assert_eq!(SetupRole::Passive.opposite(), Some(SetupRole::Active));
    assert_eq!(SetupRole::ActPass.opposite(), None);
}

#[test]
fn formats_are_added_as_the_last_ones() {
    let format = PayloadFormat {
        payload_type: 98,
        encoding: "VP9/90000".into(),
        parameters: "profile-id=0".into(),
        feedback: vec!["nack".into(), "nack pli".into()],
    };
    let more = Sdp::edit("v=0\r\nm=video 9 X 96\r\na=mid:0\r\n", |sdp| sdp.sections[0].add_format(&format));
    let expected = "m=video 9 X 96 98\r\na=mid:0\r\na=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=0\r\n\
                    a=rtcp-fb:98 nack\r\na=rtcp-fb:98 nack pli\r\n";
    assert!(more.ends_with(expected), "{more}");
}
