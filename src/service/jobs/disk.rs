//! How much must be free on the disk of the recordings. Values and rules only.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes: `2GiB`, `500MiB`, `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 5] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("", 1)];

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let whole = UNITS.iter().rev().skip(1).find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit));
        let (word, unit) = whole.copied().unwrap_or(("", 1));
        to.collect_str(&format_args!("{}{word}", self.0 / unit))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Plain {
            Number(u64),
            Text(String),
        }
        match Plain::deserialize(from)? {
            Plain::Number(bytes) => Ok(Bytes(bytes)),
            Plain::Text(text) => {
                parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no size: write 2GiB, 500MiB")))
            }
        }
    }
}

fn parse(text: &str) -> Option<Bytes> {
    let (number, unit) = UNITS.iter().find_map(|(word, unit)| Some((text.strip_suffix(word)?, *unit)))?;
    number.trim_end().parse::<u64>().ok()?.checked_mul(unit).map(Bytes)
}

/// What must be free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskMarks {
    /// Below this no recording begins.
    pub low: u64,
    /// Below this what a store has is deleted here, the oldest first, before its time.
    pub high: u64,
}

impl DiskMarks {
    /// Whether a recording may begin with so much free. What is not known does not matter.
    pub fn has_room(self, free: Option<u64>) -> bool {
        free.is_none_or(|free| free >= self.low)
    }

    /// Whether what a store has is to be deleted here.
    pub fn is_short(self, free: Option<u64>) -> bool {
        free.is_some_and(|free| free < self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        let read = |text: &str| serde_json::from_str::<Bytes>(text).map(|bytes| bytes.0);
        for (text, bytes) in
            [("\"2GiB\"", 2 << 30), ("\"1536MiB\"", 1536 << 20), ("7", 7), ("\"0\"", 0), ("\"4 KiB\"", 4096)]
        {
            assert_eq!(read(text).unwrap(), bytes, "{text}");
        }
        for text in ["\"\"", "\"GiB\"", "\"-1\"", "-1", "\"1.5GiB\"", "\"99999999999TiB\"", "\"2GB\""] {
            assert!(read(text).is_err(), "{text}");
        }
        let written = |bytes| serde_json::to_string(&Bytes(bytes)).unwrap();
        assert_eq!(
            (written(2 << 30), written(1536 << 20), written(7), written(0)),
            ("\"2GiB\"".into(), "\"1536MiB\"".into(), "\"7\"".into(), "\"0\"".into())
        );
    }

    #[test]
    fn the_low_mark_keeps_recordings_back_and_the_high_one_makes_room() {
        let marks = DiskMarks { low: 10, high: 20 };
        assert!(marks.has_room(Some(10)) && !marks.has_room(Some(9)) && marks.has_room(None));
        assert!(marks.is_short(Some(19)) && !marks.is_short(Some(20)) && !marks.is_short(None));
        assert!(!DiskMarks::default().is_short(Some(0)) && DiskMarks::default().has_room(Some(0)));
    }
}
