//! ICE candidates and credentials alone: `application/trickle-ice-sdpfrag` (RFC 8840, 9). Everything is bundled, so the first section counts
//! for all.

use crate::room::description::Candidate;
use crate::room::sdp::{IceCredentials, Sdp};

/// Candidates that are read of one fragment; more are ignored.
const MAX_CANDIDATES: usize = 64;

/// Whether a session attribute of a description is repeated in a fragment.
fn is_repeated(name: &str, value: Option<&str>) -> bool {
    match name {
        "ice-lite" | "ice-options" | "ice-pacing" => true,
        "group" => value.is_some_and(|value| value.starts_with("BUNDLE ")),
        _ => false,
    }
}

/// The body of a PATCH.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fragment {
    /// ICE user fragment and password, where the fragment has both.
    pub credentials: Option<IceCredentials>,
    /// At most 64.
    pub candidates: Vec<Candidate>,
    /// No more candidates follow.
    pub ended: bool,
}

impl Fragment {
    /// Reads a fragment, or the same attributes of a whole description; `None` where the text is something else.
    pub fn parse(text: &str) -> Option<Fragment> {
        // A fragment is a description without its first lines.
        let version = if text.starts_with("v=") { "" } else { "v=0\r\n" };
        let sdp = Sdp::parse(&format!("{version}{text}")).ok()?;
        let (mut candidates, mut ufrag, mut ended) = (Vec::new(), None, false);
        let mut read = |attributes: &mut dyn Iterator<Item = (&str, Option<&str>)>, mid: Option<&str>, index: usize| {
            for (name, value) in attributes {
                match (name, value.map(str::trim_end)) {
                    ("ice-ufrag", Some(value)) if ufrag.is_none() => ufrag = Some(value.to_owned()),
                    ("candidate", Some(value)) if candidates.len() < MAX_CANDIDATES => candidates.push(Candidate {
                        candidate: format!("candidate:{value}"),
                        sdp_mid: mid.map(str::to_owned),
                        sdp_m_line_index: u16::try_from(index).ok(),
                        username_fragment: ufrag.clone(),
                    }),
                    ("end-of-candidates", _) => ended = true,
                    _ => {}
                }
            }
        };
        read(&mut sdp.session_attributes(), None, 0);
        for (index, section) in sdp.sections.iter().enumerate() {
            read(&mut section.attributes(), section.mid(), index);
        }
        let credentials = sdp.ice_credentials();
        (!sdp.sections.is_empty() || credentials.is_some() || ended).then_some(Fragment {
            credentials,
            candidates,
            ended,
        })
    }

    /// Writes it for the connection of `description`, whose ICE options and bundle group are repeated (RFC 8840, 4.4; RFC 9725, 4.3.3).
    pub fn write(&self, description: &str) -> String {
        let sdp = Sdp::parse(description).ok();
        let mut out = String::new();
        let mut line = |text: &str| {
            out.push_str(text);
            out.push_str("\r\n");
        };
        let of_session = sdp.iter().flat_map(Sdp::session_attributes);
        for (name, value) in of_session.filter(|(name, value)| is_repeated(name, *value)) {
            line(&value.map_or_else(|| format!("a={name}"), |value| format!("a={name}:{value}")));
        }
        if let Some(IceCredentials { ufrag, pwd }) = &self.credentials {
            line(&format!("a=ice-ufrag:{ufrag}"));
            line(&format!("a=ice-pwd:{pwd}"));
        }
        let first = sdp.as_ref().and_then(|sdp| sdp.sections.first());
        line(&first.map_or_else(|| "m=audio 9 UDP/TLS/RTP/SAVPF 0".to_owned(), |section| section.media_line()));
        line(&format!("a=mid:{}", sdp.as_ref().and_then(Sdp::first_mid).unwrap_or("0")));
        for candidate in &self.candidates {
            line(&format!("a={}", candidate.candidate));
        }
        if self.ended {
            line("a=end-of-candidates");
        }
        out
    }
}

/// The ICE credentials of a description.
pub fn credentials(sdp: &str) -> Option<IceCredentials> {
    Sdp::parse(sdp).ok()?.ice_credentials()
}

/// The description with other credentials and without candidates: for an ICE restart of the same connection.
pub fn with_credentials(sdp: &str, new: &IceCredentials) -> String {
    Sdp::edit(sdp, |sdp| sdp.restart_ice(new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(text: &str) -> Candidate {
        Candidate {
            candidate: text.into(),
            sdp_mid: Some("0".into()),
            sdp_m_line_index: Some(0),
            username_fragment: Some("EsAw".into()),
        }
    }

    #[test]
    fn the_standards_fragment_is_read_and_written() {
        // RFC 9725, 4.4.1.
        let text = "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:EsAw\r\n\
                    a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw\r\n\
                    a=end-of-candidates\r\n";
        let fragment = Fragment::parse(text).expect("a fragment");
        assert_eq!(
            fragment.credentials,
            Some(IceCredentials { ufrag: "EsAw".into(), pwd: "P2uYro0UCOQ4zxjKXaWCBui1".into() })
        );
        let one = "candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw";
        assert_eq!((&fragment.candidates, fragment.ended), (&vec![candidate(one)], true));
        let description = "v=0\r\na=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\na=msid-semantic:WMS *\r\n\
                           m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-lite\r\n";
        let written = fragment.write(description);
        assert!(written.starts_with("a=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\na=ice-ufrag:"), "{written}");
        assert_eq!(Fragment::parse(&written), Some(fragment), "{written}");
    }

    #[test]
    fn what_is_no_fragment_is_none() {
        for text in ["", "hello", "{\"a\":1}", "a=x"] {
            assert_eq!(Fragment::parse(text), None, "{text:?}");
        }
        let many = "m=audio 9 X 0\r\n".to_owned() + &"a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n".repeat(1000);
        assert_eq!(Fragment::parse(&many).map(|f| f.candidates.len()), Some(MAX_CANDIDATES));
    }
}
