//! What two peers exchange through signalling, and the servers that help them meet. Pure values.

use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// A STUN or TURN server (W3C WebRTC `RTCIceServer`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    pub urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credential: Option<String>,
}

/// A session description or a candidate on its way between two peers, relayed untouched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    Description(Description),
    /// `None` says that there are no more candidates.
    Candidate(Option<Candidate>),
}

impl Signal {
    /// A description of this kind.
    pub fn description(kind: &str, sdp: impl Into<String>) -> Signal {
        Signal::Description(Description { kind: kind.to_owned(), sdp: sdp.into() })
    }
}

/// `RTCSessionDescription`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// `offer`, `answer`, `pranswer` or `rollback`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub sdp: String,
}

/// `RTCIceCandidateInit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    pub candidate: String,
    #[serde(default)]
    pub sdp_mid: Option<String>,
    #[serde(default, rename = "sdpMLineIndex")]
    pub sdp_m_line_index: Option<u16>,
    #[serde(default)]
    pub username_fragment: Option<String>,
}

/// The description with these candidates in its first section: everything is bundled into that one. Those it has are kept.
pub fn with_candidates(description: &str, candidates: &[impl AsRef<str>]) -> String {
    let (mut sections, mut out) = (0, String::with_capacity(description.len() + 1024));
    let add = |out: &mut String| {
        for candidate in candidates.iter().map(AsRef::as_ref).filter(|candidate| !description.contains(candidate)) {
            let _ = write!(out, "a={candidate}\r\n");
        }
        if !description.contains("a=end-of-candidates") {
            out.push_str("a=end-of-candidates\r\n");
        }
    };
    for line in description.lines() {
        if line.starts_with("m=") {
            sections += 1;
            if sections == 2 {
                add(&mut out);
            }
        }
        out.push_str(line);
        out.push_str("\r\n");
    }
    if sections == 1 {
        add(&mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_in_the_first_section() {
        let sdp = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\nm=video 9 X 96\r\na=mid:1\r\n";
        let whole = with_candidates(sdp, &["candidate:1 1 udp 1 127.0.0.1 9 typ host".to_owned()]);
        let mended = "a=mid:0\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\na=end-of-candidates\r\nm=video";
        assert!(whole.contains(mended), "{whole}");
        assert_eq!(with_candidates(&whole, &["candidate:1 1 udp 1 127.0.0.1 9 typ host".to_owned()]), whole);
        assert!(with_candidates("v=0\r\nm=application 9 X Y\r\n", &[""; 0]).ends_with("Y\r\na=end-of-candidates\r\n"));
    }
}
