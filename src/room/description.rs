//! What two peers exchange through signalling, and the servers that help them meet. Pure values.

use serde::{Deserialize, Serialize};

/// A STUN or TURN server (W3C WebRTC `RTCIceServer`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    pub urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credential: Option<String>,
}

/// A session description, a candidate or the refusal of one on its way between two peers, relayed untouched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    Description(Description),
    /// `None` says that there are no more candidates.
    Candidate(Option<Candidate>),
    /// A description of the other side could not be applied: why, for people. Not every kind of room can carry it.
    Refused(String),
    /// The connection is up and brings nothing: it is closed, and both sides begin anew. Why, for people. Carried where refusals are.
    Anew(String),
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
