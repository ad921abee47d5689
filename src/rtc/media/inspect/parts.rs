//! Reads a frame that lies in parts, wherever they are cut.

use bytes::{Bytes, BytesMut};

/// A position in a frame.
pub(crate) struct PartsReader<'a> {
    parts: &'a [Bytes],
    /// In the first of them.
    at: usize,
    left: usize,
}

impl<'a> PartsReader<'a> {
    pub fn new(parts: &'a [Bytes]) -> PartsReader<'a> {
        PartsReader { parts, at: 0, left: parts.iter().map(Bytes::len).sum() }
    }

    /// Bytes that have not been read.
    pub fn left(&self) -> usize {
        self.left
    }

    /// The next bytes, at most `N`, without moving on; and how many there are.
    pub fn peek<const N: usize>(&self) -> ([u8; N], usize) {
        let mut next = [0; N];
        let mut len = 0;
        for (to, from) in next.iter_mut().zip(self.parts.iter().flatten().skip(self.at)) {
            *to = *from;
            len += 1;
        }
        (next, len)
    }

    /// The next `len` bytes: shared where they lie in one part, else joined.
    pub fn take(&mut self, len: usize) -> Option<Bytes> {
        if len > self.left {
            return None;
        }
        if let Some(part) = self.parts.first()
            && self.at + len <= part.len()
        {
            let taken = part.slice(self.at..self.at + len);
            self.skip(len)?;
            return Some(taken);
        }
        let mut joined = BytesMut::with_capacity(len);
        let mut wanted = len;
        let mut at = self.at;
        for part in self.parts {
            let piece = part.get(at..).unwrap_or_default();
            joined.extend_from_slice(piece.get(..wanted).unwrap_or(piece));
            wanted = len - joined.len();
            at = 0;
            if wanted == 0 {
                break;
            }
        }
        self.skip(len)?;
        Some(joined.freeze())
    }

    /// Moves on by `len` bytes.
    pub fn skip(&mut self, len: usize) -> Option<()> {
        self.left = self.left.checked_sub(len)?;
        self.at += len;
        while let Some((first, rest)) = self.parts.split_first()
            && self.at >= first.len()
        {
            self.at -= first.len();
            self.parts = rest;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_across_parts_and_not_beyond_the_end() {
        let parts = [Bytes::from_static(&[1]), Bytes::new(), Bytes::from_static(&[2, 3, 4]), Bytes::from_static(&[5])];
        let mut reader = PartsReader::new(&parts);
        assert_eq!(reader.peek::<3>(), ([1, 2, 3], 3));
        assert_eq!(reader.take(2).as_deref(), Some(&[1, 2][..]));
        assert_eq!(reader.take(2).as_deref(), Some(&[3, 4][..]));
        assert_eq!((reader.left(), reader.peek::<4>()), (1, ([5, 0, 0, 0], 1)));
        assert_eq!((reader.take(2), reader.skip(2)), (None, None));
        assert_eq!((reader.take(1).as_deref(), reader.left()), (Some(&[5][..]), 0));
    }
}
