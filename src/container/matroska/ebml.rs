//! EBML (RFC 8794): element ids, sizes and values, to and from bytes in memory. It never touches a file and never panics on bytes from one.

/// Appends an element id, which carries its own length marker (RFC 8794, 5).
pub fn put_id(out: &mut Vec<u8>, id: u32) {
    let bytes = id.to_be_bytes();
    let skip = (id.leading_zeros() / 8).min(3) as usize;
    out.extend_from_slice(&bytes[skip..]);
}

/// Appends an element data size in as few bytes as hold it (RFC 8794, 6). At most 2^56 - 2.
pub fn put_size(out: &mut Vec<u8>, size: u64) {
    // All ones means "unknown", so a length of n bytes holds values up to 2^(7n) - 2.
    let length = (1..8).find(|n| size < (1 << (7 * n)) - 1).unwrap_or(8);
    let marked = size | 1 << (7 * length);
    out.extend_from_slice(&marked.to_be_bytes()[8 - length..]);
}

/// An element data size that always takes eight bytes, so that it can be written over another; `None` is "unknown".
pub fn wide_size(size: Option<u64>) -> [u8; 8] {
    let value = size.unwrap_or((1 << 56) - 1);
    (value | 1 << 56).to_be_bytes()
}

/// Appends a whole element with binary (or UTF-8) data.
pub fn put(out: &mut Vec<u8>, id: u32, data: &[u8]) {
    put_id(out, id);
    put_size(out, data.len() as u64);
    out.extend_from_slice(data);
}

/// Appends an unsigned integer element, without leading zero bytes.
pub fn put_uint(out: &mut Vec<u8>, id: u32, value: u64) {
    let skip = (value.leading_zeros() / 8).min(7) as usize;
    put(out, id, &value.to_be_bytes()[skip..]);
}

/// Appends an unsigned integer element of eight bytes, whatever the value: for places that are written over.
pub fn put_wide_uint(out: &mut Vec<u8>, id: u32, value: u64) {
    put(out, id, &value.to_be_bytes());
}

/// Appends a 64-bit float element.
pub fn put_float(out: &mut Vec<u8>, id: u32, value: f64) {
    put(out, id, &value.to_be_bytes());
}

/// Appends a master element whose children `fill` writes.
pub fn put_master(out: &mut Vec<u8>, id: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut children = Vec::new();
    fill(&mut children);
    put(out, id, &children);
}

/// Appends a Void element of exactly `total` bytes, its head included; at least 2, at most 128.
pub fn put_void(out: &mut Vec<u8>, total: usize) {
    debug_assert!((2..=128).contains(&total), "a void of {total} bytes");
    put(out, VOID, &vec![0; total.saturating_sub(2)]);
}

/// The global Void element.
pub const VOID: u32 = 0xEC;

/// The head of an element: its id, the size of its data (`None`: unknown), and the bytes that the head itself takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The element's id with its length marker.
    pub id: u32,
    /// Bytes of the element's data; `None` is "unknown".
    pub size: Option<u64>,
    /// Bytes of this head.
    pub length: usize,
}

/// The longest head: an id of four bytes and a size of eight.
pub const LONGEST_HEAD: usize = 12;

/// The head that `bytes` begin with; `None` where they are no element or end too early.
pub fn head(bytes: &[u8]) -> Option<Head> {
    let id_length = bytes.first()?.leading_zeros() as usize + 1;
    if id_length > 4 {
        return None;
    }
    let id = bytes.get(..id_length)?.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    let (size, size_length) = size(bytes.get(id_length..)?)?;
    Some(Head { id, size, length: id_length + size_length })
}

/// The variable-length size that `bytes` begin with, and its length; `Some((None, _))` is "unknown".
pub fn size(bytes: &[u8]) -> Option<(Option<u64>, usize)> {
    let length = bytes.first()?.leading_zeros() as usize + 1;
    if length > 8 {
        return None;
    }
    let marked = bytes.get(..length)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    let mask = (1 << (7 * length)) - 1;
    let value = marked & mask;
    Some(((value != mask).then_some(value), length))
}

/// The value of an unsigned integer element; `None` where it has more than eight bytes.
pub fn uint(data: &[u8]) -> Option<u64> {
    (data.len() <= 8).then(|| data.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// The value of a float element of four or eight bytes.
pub fn float(data: &[u8]) -> Option<f64> {
    match data.len() {
        4 => data.try_into().ok().map(|bytes| f64::from(f32::from_be_bytes(bytes))),
        8 => data.try_into().ok().map(f64::from_be_bytes),
        _ => None,
    }
}

/// The children of a master element whose data is `self.0`; ends at the first that is torn or of unknown size.
pub struct Children<'a>(pub &'a [u8]);

impl<'a> Iterator for Children<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let head = head(self.0)?;
        let end = usize::try_from(head.size?).ok()?.checked_add(head.length)?;
        let data = self.0.get(head.length..end)?;
        self.0 = self.0.get(end..)?;
        Some((head.id, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_size_is_never_mistaken_for_unknown() {
        for size_value in [0, 1, 126, 127, 128, 16_382, 16_383, 16_384, (1 << 49) - 2, (1 << 49) - 1, (1 << 56) - 2] {
            let mut out = Vec::new();
            put_size(&mut out, size_value);
            assert_eq!(size(&out), Some((Some(size_value), out.len())), "{size_value}");
        }
        assert_eq!(size(&wide_size(None)), Some((None, 8)));
        assert_eq!(size(&wide_size(Some(5))), Some((Some(5), 8)));
        assert_eq!(size(&[0xFF]), Some((None, 1)));
    }

    #[test]
    fn a_void_has_the_length_asked_for() {
        for total in [2, 11, 96, 128] {
            let mut out = Vec::new();
            put_void(&mut out, total);
            assert_eq!(out.len(), total);
        }
    }

    #[test]
    fn values_come_back() {
        let mut out = Vec::new();
        put_uint(&mut out, 0xD7, 0);
        put_uint(&mut out, 0x73C5, 70_000);
        put_float(&mut out, 0x4489, 1.5);
        let found: Vec<_> = Children(&out).collect();
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].0, uint(found[0].1)), (0xD7, Some(0)));
        assert_eq!((found[1].0, uint(found[1].1)), (0x73C5, Some(70_000)));
        assert_eq!((found[2].0, float(found[2].1)), (0x4489, Some(1.5)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let total: usize = Children(&bytes).map(|(_, data)| data.len()).sum();
            prop_assert!(total <= bytes.len());
        }

        #[test]
        fn an_element_comes_back(id in prop_oneof![Just(0xECu32), Just(0x4286), Just(0x2AD7B1), Just(0x1A45DFA3)], data in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut out = Vec::new();
            put(&mut out, id, &data);
            prop_assert_eq!(Children(&out).next(), Some((id, &data[..])));
        }
    }
}
