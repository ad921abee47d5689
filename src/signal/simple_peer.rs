//! What simple-peer, 8 and 9, emits as its signals and takes as such. Pure. Nothing is written here that destroys a peer of 8.1: it
//! takes an offer, an answer and candidates with their section, and nothing else.

use super::{Ask, Candidate, Description, Signal};
use crate::room::media::MediaKind;
use serde_json::{Value, json};

/// The longest description that is looked at, in bytes.
const LONGEST: usize = 256 << 10;

/// What a signal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    Offer(String),
    Answer(String),
    Candidate(Candidate),
    /// Of 9 only, from the side that does not offer.
    Ask(Ask),
    /// Nothing that we know.
    Nothing,
}

/// Reads a signal.
pub(super) fn read(signal: &Value) -> Heard {
    let text = |value: &Value| value.as_str().filter(|text| text.len() <= LONGEST).map(str::to_owned);
    if let Some(candidate) = signal.get("candidate") {
        let Some(line) = candidate.get("candidate").and_then(text) else { return Heard::Nothing };
        let index = candidate.get("sdpMLineIndex").and_then(Value::as_u64);
        return Heard::Candidate(Candidate {
            candidate: line,
            sdp_mid: candidate.get("sdpMid").and_then(text),
            sdp_m_line_index: index.and_then(|index| u16::try_from(index).ok()),
            username_fragment: None,
        });
    }
    if let Some(sdp) = signal.get("sdp").and_then(text) {
        return match signal["type"].as_str() {
            Some("offer") => Heard::Offer(sdp),
            Some("answer") => Heard::Answer(sdp),
            _ => Heard::Nothing,
        };
    }
    if signal["renegotiate"].as_bool() == Some(true) {
        return Heard::Ask(Ask::Offer);
    }
    match signal["transceiverRequest"]["kind"].as_str() {
        Some("audio") => Heard::Ask(Ask::Section(MediaKind::Audio)),
        Some("video") => Heard::Ask(Ask::Section(MediaKind::Video)),
        _ => Heard::Nothing,
    }
}

/// Writes a signal; none where a peer would not survive it.
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
        Signal::Description(_) | Signal::Candidate(_) => None,
    }
}

/// Writes what is asked of who offers; for 9 only.
pub(super) fn write_ask(ask: Ask) -> Value {
    match ask {
        Ask::Offer | Ask::Paths => json!({"type": "renegotiate", "renegotiate": true}),
        Ask::Section(kind) => {
            let kind = if kind == MediaKind::Audio { "audio" } else { "video" };
            json!({"type": "transceiverRequest", "transceiverRequest": {"kind": kind, "init": {"direction": "sendrecv"}}})
        }
    }
}

/// What tells the connection of one peer object from the next one's: the session of a description (RFC 8866, 5.2), which stays the
/// same as long as it is negotiated again.
pub(super) fn session(sdp: &str) -> String {
    let origin = sdp.lines().find_map(|line| line.strip_prefix("o=")).unwrap_or_default();
    origin.split_ascii_whitespace().nth(1).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_and_written() {
        let offer = json!({"type": "offer", "sdp": "v=0\r\no=- 42 2 IN IP4 127.0.0.1\r\n"});
        let Heard::Offer(sdp) = read(&offer) else { panic!("an offer") };
        assert_eq!(session(&sdp), "42");
        assert_eq!(write(&Signal::Description(Description { kind: "offer".into(), sdp })), Some(offer));

        let candidate =
            json!({"type": "candidate", "candidate": {"candidate": "candidate:1", "sdpMLineIndex": 0, "sdpMid": "0"}});
        let Heard::Candidate(heard) = read(&candidate) else { panic!("a candidate") };
        assert_eq!(write(&Signal::Candidate(Some(heard))).expect("written")["candidate"], candidate["candidate"]);
        for ask in [Ask::Offer, Ask::Section(MediaKind::Video), Ask::Section(MediaKind::Audio)] {
            assert_eq!(read(&write_ask(ask)), Heard::Ask(ask));
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
    fn nonsense_is_nothing() {
        for nonsense in [
            json!(null),
            json!([]),
            json!({"sdp": 1}),
            json!({"type": "offer"}),
            json!({"candidate": null}),
            json!("x"),
        ] {
            assert_eq!(read(&nonsense), Heard::Nothing, "{nonsense}");
        }
    }
}
