//! The signals of simple-peer 8 and 9. Pure. Never writes what would destroy a peer of 8.1, which accepts offers, answers and candidates with
//! their section, and nothing else.

use super::protocol::limits;
use crate::room::description::{Candidate, Description, Signal};
use crate::room::media::{MediaKind, Source};
use crate::room::participant::TrackLabel;
use crate::room::policy::{OfferRequest, RESERVED_STREAM};
use crate::room::sdp::Sdp;
use serde_json::{Value, json};

/// Bytes of a description; longer ones are ignored.
const MAX_DESCRIPTION: usize = 256 << 10;

/// What a signal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PeerSignal {
    Offer(String),
    Answer(String),
    Candidate(Candidate),
    /// Of simple-peer 9 only, from the side that does not make offers.
    OfferRequest(OfferRequest),
    /// None of these.
    Unknown,
}

/// Reads a signal.
pub(super) fn read(signal: &Value) -> PeerSignal {
    let text = |value: &Value| value.as_str().filter(|text| text.len() <= MAX_DESCRIPTION).map(str::to_owned);
    if let Some(candidate) = signal.get("candidate") {
        let Some(line) = candidate.get("candidate").and_then(text) else { return PeerSignal::Unknown };
        let index = candidate.get("sdpMLineIndex").and_then(Value::as_u64);
        return PeerSignal::Candidate(Candidate {
            candidate: line,
            sdp_mid: candidate.get("sdpMid").and_then(text),
            sdp_m_line_index: index.and_then(|index| u16::try_from(index).ok()),
            username_fragment: None,
        });
    }
    if let Some(sdp) = signal.get("sdp").and_then(text) {
        return match signal["type"].as_str() {
            Some("offer") => PeerSignal::Offer(sdp),
            Some("answer") => PeerSignal::Answer(sdp),
            _ => PeerSignal::Unknown,
        };
    }
    if signal["renegotiate"].as_bool() == Some(true) {
        return PeerSignal::OfferRequest(OfferRequest::Renegotiate);
    }
    match signal["transceiverRequest"]["kind"].as_str() {
        Some("audio") => PeerSignal::OfferRequest(OfferRequest::AddMedia(MediaKind::Audio)),
        Some("video") => PeerSignal::OfferRequest(OfferRequest::AddMedia(MediaKind::Video)),
        _ => PeerSignal::Unknown,
    }
}

/// Writes a signal; `None` for what would destroy a peer of 8.1.
pub(super) fn write(signal: &Signal) -> Option<Value> {
    match signal {
        Signal::Description(Description { kind, sdp }) if kind == "offer" || kind == "answer" => {
            Some(json!({"type": kind, "sdp": sdp}))
        }
        Signal::Candidate(Some(candidate)) if !candidate.candidate.is_empty() => Some(json!({"candidate": {
            "candidate": candidate.candidate,
            "sdpMLineIndex": candidate.sdp_m_line_index.unwrap_or(0),
            "sdpMid": candidate.sdp_mid.as_deref().unwrap_or("0"),
        }})),
        Signal::Description(_) | Signal::Candidate(_) | Signal::Refused(_) | Signal::Anew(_) => None,
    }
}

/// Writes a request to the side that makes the offers; for simple-peer 9 only.
pub(super) fn write_request(request: OfferRequest) -> Value {
    match request {
        OfferRequest::Renegotiate | OfferRequest::IceRestart => json!({"type": "renegotiate", "renegotiate": true}),
        OfferRequest::AddMedia(kind) => {
            let kind = if kind == MediaKind::Audio { "audio" } else { "video" };
            json!({"type": "transceiverRequest", "transceiverRequest": {"kind": kind, "init": {"direction": "sendrecv"}}})
        }
    }
}

/// The session id of a description (RFC 8866, 5.2). It stays the same through renegotiations, so another one means another peer object.
pub(super) fn session_id(sdp: &str) -> String {
    Sdp::parse(sdp).map(|sdp| sdp.session_id().to_owned()).unwrap_or_default()
}

/// Track labels guessed from descriptions, where the protocol has none: the first video stream is the camera, a second one a screen, and
/// audio in the same stream is the screen's.
#[derive(Debug, Default)]
pub(super) struct InferredLabels(Vec<TrackLabel>);

impl InferredLabels {
    /// A description came from the other side. Returns all labels, if they changed.
    pub fn update(&mut self, sdp: &str) -> Option<Vec<TrackLabel>> {
        let sent = sent(sdp);
        // Known labels first: new ones depend on them.
        let stays =
            |label: &&TrackLabel| sent.iter().any(|(stream, kind)| label.stream == *stream && label.kind == *kind);
        let mut labels: Vec<TrackLabel> = self.0.iter().filter(stays).cloned().collect();
        let videos_first = [MediaKind::Video, MediaKind::Audio];
        for (stream, kind) in videos_first.into_iter().flat_map(|kind| sent.iter().filter(move |sent| sent.1 == kind)) {
            if labels.len() >= limits::TRACKS || labels.iter().any(|l| l.stream == *stream && l.kind == *kind) {
                continue;
            }
            let is = |source| labels.iter().any(|label| label.source == source && label.kind == MediaKind::Video);
            let of_screen = labels.iter().any(|label| label.stream == *stream && label.source == Source::Screen);
            let source = match kind {
                MediaKind::Video if is(Source::Camera) => Source::Screen,
                MediaKind::Audio if of_screen => Source::ScreenAudio,
                kind => Source::default_for(*kind),
            };
            labels.push(TrackLabel { stream: stream.clone(), kind: *kind, source, muted: false });
        }
        if labels == self.0 {
            return None;
        }
        self.0.clone_from(&labels);
        Some(labels)
    }
}

/// Stream and kind of the tracks that a description sends, each once.
fn sent(sdp: &str) -> Vec<(String, MediaKind)> {
    let mut sent = Vec::new();
    for section in Sdp::sections_of(sdp) {
        let Some(kind) = section.kind() else { continue };
        if section.port() == 0 || section.direction().is_some_and(|direction| !direction.sends()) {
            continue;
        }
        let stream = section.msid().map(|(stream, _)| stream).unwrap_or_default();
        // What a bot of ours has reserved is no track until packets come.
        let usable = !matches!(stream, "" | "-" | RESERVED_STREAM) && stream.len() <= limits::STREAM_BYTES;
        if usable && !sent.contains(&(stream.to_owned(), kind)) {
            sent.push((stream.to_owned(), kind));
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_and_written() {
        let offer = json!({"type": "offer", "sdp": "v=0\r\no=- 42 2 IN IP4 127.0.0.1\r\n"});
        let PeerSignal::Offer(sdp) = read(&offer) else { panic!("an offer") };
        assert_eq!(session_id(&sdp), "42");
        assert_eq!(write(&Signal::Description(Description { kind: "offer".into(), sdp })), Some(offer));

        let candidate =
            json!({"type": "candidate", "candidate": {"candidate": "candidate:1", "sdpMLineIndex": 0, "sdpMid": "0"}});
        let PeerSignal::Candidate(heard) = read(&candidate) else { panic!("a candidate") };
        assert_eq!(write(&Signal::Candidate(Some(heard))).expect("written")["candidate"], candidate["candidate"]);
        for request in [
            OfferRequest::Renegotiate,
            OfferRequest::AddMedia(MediaKind::Video),
            OfferRequest::AddMedia(MediaKind::Audio),
        ] {
            assert_eq!(read(&write_request(request)), PeerSignal::OfferRequest(request));
        }
    }

    #[test]
    fn what_destroys_a_peer_is_never_written() {
        assert_eq!(write(&Signal::Candidate(None)), None);
        assert_eq!(write(&Signal::Description(Description { kind: "rollback".into(), sdp: String::new() })), None);
        let bare = Candidate {
            candidate: "candidate:1".into(),
            sdp_mid: None,
            sdp_m_line_index: None,
            username_fragment: None,
        };
        let written = write(&Signal::Candidate(Some(bare))).expect("written");
        assert_eq!((&written["candidate"]["sdpMid"], &written["candidate"]["sdpMLineIndex"]), (&json!("0"), &json!(0)));
    }

    #[test]
    fn the_second_stream_with_pictures_is_a_screen() {
        let section = |kind: &str, way: &str, stream: &str| {
            format!("m={kind} 9 UDP/TLS/RTP/SAVPF 96\r\na={way}\r\na=msid:{stream} t\r\n")
        };
        let sdp = |sections: &[String]| format!("v=0\r\ns=-\r\n{}", sections.concat());
        let said = |labels: Option<Vec<TrackLabel>>| -> Vec<String> {
            let word = |label: TrackLabel| format!("{}:{}", label.stream, label.source.word());
            labels.unwrap_or_default().into_iter().map(word).collect()
        };
        let face = [section("audio", "sendrecv", "face"), section("video", "sendrecv", "face")];
        let mut labels = InferredLabels::default();
        assert_eq!(said(labels.update(&sdp(&face))), ["face:camera", "face:mic"]);
        assert_eq!(labels.update(&sdp(&face)), None);
        let screen = [section("video", "sendonly", "s"), section("audio", "sendonly", "s")];
        let all = said(labels.update(&sdp(&[face.as_slice(), screen.as_slice()].concat())));
        assert_eq!(all, ["face:camera", "face:mic", "s:screen", "s:screen-audio"]);
        let gone = [section("video", "inactive", "s"), section("audio", "recvonly", "s")];
        let all = said(labels.update(&sdp(&[face.as_slice(), gone.as_slice()].concat())));
        assert_eq!(all, ["face:camera", "face:mic"]);
        for nameless in ["-", RESERVED_STREAM] {
            assert_eq!(
                said(InferredLabels::default().update(&sdp(&[section("video", "sendrecv", nameless)]))),
                [""; 0]
            );
        }
    }

    #[test]
    fn nonsense_is_nothing() {
        for nonsense in [
            json!(null),
            json!([]),
            json!({"sdp": 1}),
            json!({"type": "offer"}),
            json!({"candidate": null}),
            json!("x"),
        ] {
            assert_eq!(read(&nonsense), PeerSignal::Unknown, "{nonsense}");
        }
    }
}
