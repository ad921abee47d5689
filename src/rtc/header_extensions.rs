//! Which number means which header extension (RFC 8285). In a bundle of sections a number has one meaning (RFC 9143 7.1.2), and those that
//! the other side gives are kept to. Pure.

use std::ops::RangeInclusive;

/// Numbers that fit into one-byte headers (RFC 8285 4.2): ours are of these.
const ONE_BYTE: RangeInclusive<u8> = 1..=14;

/// Numbers of header extensions, each with its URI.
#[derive(Debug, Clone, Default)]
pub(super) struct ExtensionIds {
    known: Vec<(u8, String)>,
}

impl ExtensionIds {
    /// The other side numbers them so: that is kept to, whatever was before.
    pub fn learn(&mut self, numbers: &[(u8, String)]) {
        self.known.retain(|(id, uri)| !numbers.iter().any(|(new, of)| new == id || of == uri));
        self.known.extend_from_slice(numbers);
    }

    /// The number of an extension; the first, where it has several.
    pub fn get(&self, uri: &str) -> Option<u8> {
        self.known.iter().find(|(_, known)| known == uri).map(|(id, _)| *id)
    }

    /// The number of an extension, from now on: the one that it has, or `default`, or else one that means nothing yet and is not
    /// `reserved`; none: there is no other.
    pub fn number(&mut self, uri: &str, default: u8, reserved: &[u8]) -> Option<u8> {
        if let Some(id) = self.get(uri) {
            return Some(id);
        }
        let free = |id: &u8| !self.known.iter().any(|(known, _)| known == id);
        let others = ONE_BYTE.filter(free);
        let unreserved = others.clone().find(|id| !reserved.contains(id));
        let id = Some(default).filter(free).or(unreserved).or_else(|| others.clone().next())?;
        self.known.push((id, uri.to_owned()));
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_one_meaning() {
        let mut ids = ExtensionIds::default();
        let learn = |ids: &mut ExtensionIds, numbers: &[(u8, &str)]| {
            ids.learn(&numbers.iter().map(|(id, uri)| (*id, (*uri).to_owned())).collect::<Vec<_>>());
        };
        learn(&mut ids, &[(1, "mid"), (3, "unknown"), (2, "mid")]);
        assert_eq!(ids.number("mid", 3, &[]), Some(1), "theirs is kept");
        assert_eq!(ids.number("level", 1, &[1, 2, 3]), Some(4), "neither theirs nor one that we use otherwise");
        learn(&mut ids, &[(4, "mid")]);
        assert_eq!(ids.get("mid"), Some(4), "they number it anew");
        assert_eq!(ids.get("level"), None);
        assert_eq!(ids.number("level", 1, &[]), Some(1));
    }

    #[test]
    fn numbers_that_run_out_leave_the_extension_out() {
        let mut ids = ExtensionIds::default();
        ids.learn(&(1..=14).map(|id| (id, format!("x{id}"))).collect::<Vec<_>>());
        assert_eq!(ids.number("mid", 3, &[]), None);
    }
}
