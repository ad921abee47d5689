//! Candidates and credentials on their way by themselves: `application/trickle-ice-sdpfrag` (RFC 8840, 9), and the same within a
//! whole description. Text to text; everything is bundled, so the first section stands for all.

use crate::signal::Candidate;

/// Candidates that are read of one fragment; more are left out.
const MOST_CANDIDATES: usize = 64;

/// What of a description is said again in a fragment.
const KEPT: [&str; 4] = ["a=ice-lite", "a=ice-options:", "a=ice-pacing:", "a=group:BUNDLE "];

/// What a PATCH carries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fragment {
    /// ICE user fragment and password, where the fragment has both.
    pub credentials: Option<(String, String)>,
    pub candidates: Vec<Candidate>,
    /// There are no more candidates.
    pub ended: bool,
}

impl Fragment {
    /// Reads a fragment; none where it is of something else.
    pub fn parse(text: &str) -> Option<Fragment> {
        let mut fragment = Fragment::default();
        let (mut ufrag, mut password, mut mid, mut sections) = (None, None, None, 0u16);
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            let (kind, value) = line.split_once('=').filter(|(kind, _)| kind.len() == 1)?;
            match (kind, value.split_once(':').unwrap_or((value, ""))) {
                ("m", _) => {
                    sections = sections.saturating_add(1);
                    mid = None;
                }
                ("a", ("mid", value)) => mid = Some(value.to_owned()),
                ("a", ("ice-ufrag", value)) if ufrag.is_none() => ufrag = Some(value.to_owned()),
                ("a", ("ice-pwd", value)) if password.is_none() => password = Some(value.to_owned()),
                ("a", ("candidate", _)) if fragment.candidates.len() < MOST_CANDIDATES => {
                    fragment.candidates.push(Candidate {
                        candidate: value.to_owned(),
                        sdp_mid: mid.clone(),
                        sdp_m_line_index: Some(sections.saturating_sub(1)),
                        username_fragment: ufrag.clone(),
                    });
                }
                ("a", ("end-of-candidates", _)) => fragment.ended = true,
                _ => {}
            }
        }
        fragment.credentials = ufrag.zip(password);
        (sections > 0 || fragment.credentials.is_some() || fragment.ended).then_some(fragment)
    }

    /// Writes it for the connection that `description` describes, with what that says of ICE and of bundling (RFC 8840, 4.4; RFC 9725,
    /// 4.3.3).
    pub fn write(&self, description: &str) -> String {
        let mut out = String::new();
        let mut line = |text: String| out.push_str(&(text + "\r\n"));
        let of_session = description.split("\nm=").next().unwrap_or_default();
        for kept in of_session.lines().filter(|line| KEPT.iter().any(|begin| line.starts_with(begin))) {
            line(kept.trim_end().to_owned());
        }
        if let Some((ufrag, password)) = &self.credentials {
            line(format!("a=ice-ufrag:{ufrag}"));
            line(format!("a=ice-pwd:{password}"));
        }
        let section =
            description.lines().find(|line| line.starts_with("m=")).unwrap_or("m=audio 9 UDP/TLS/RTP/SAVPF 0");
        let mid = description.lines().find_map(|line| line.strip_prefix("a=mid:")).unwrap_or("0");
        line(section.trim_end().to_owned());
        line(format!("a=mid:{}", mid.trim_end()));
        for candidate in &self.candidates {
            line(format!("a={}", candidate.candidate));
        }
        if self.ended {
            line("a=end-of-candidates".to_owned());
        }
        out
    }
}

/// The ICE user fragment and password of a description.
pub fn credentials(sdp: &str) -> Option<(String, String)> {
    let find = |key: &str| sdp.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim_end().to_owned());
    find("a=ice-ufrag:").zip(find("a=ice-pwd:"))
}

/// The description with other credentials, and without the candidates of the old ones: the same connection over new paths.
pub fn with_credentials(sdp: &str, (ufrag, password): &(String, String)) -> String {
    let mend = |line: &str| match line.split_once(':').map_or(line, |(key, _)| key) {
        "a=ice-ufrag" => Some(format!("a=ice-ufrag:{ufrag}\r\n")),
        "a=ice-pwd" => Some(format!("a=ice-pwd:{password}\r\n")),
        "a=candidate" | "a=end-of-candidates" => None,
        _ => Some(format!("{}\r\n", line.trim_end())),
    };
    sdp.lines().filter_map(mend).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::description::with_candidates;

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
        assert_eq!(fragment.credentials, Some(("EsAw".into(), "P2uYro0UCOQ4zxjKXaWCBui1".into())));
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
        assert_eq!(Fragment::parse(&many).map(|f| f.candidates.len()), Some(MOST_CANDIDATES));
    }

    #[test]
    fn a_description_gets_candidates_once_and_credentials_everywhere() {
        let sdp = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=ice-ufrag:a\r\na=ice-pwd:b\r\nm=video 9 X 96\r\na=mid:1\r\na=ice-ufrag:a\r\na=ice-pwd:b\r\n";
        let whole = with_candidates(sdp, &["candidate:1 1 udp 1 192.0.2.1 9 typ host"]);
        let (first, second) = whole.split_once("m=video").expect("two sections");
        assert!(first.ends_with("typ host\r\na=end-of-candidates\r\n") && !second.contains("candidate"), "{whole}");
        let renewed = with_credentials(&whole, &("c".into(), "d".into()));
        assert_eq!(renewed.matches("a=ice-ufrag:c\r\n").count(), 2);
        assert_eq!(renewed, with_credentials(sdp, &("c".into(), "d".into())));
        assert_eq!(credentials(&renewed), Some(("c".into(), "d".into())));
    }
}
