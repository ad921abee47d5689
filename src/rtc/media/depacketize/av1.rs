//! AV1 over RTP (AOM "RTP Payload Format for AV1" 1.0): OBU elements in, a temporal unit of OBUs with size fields out.
//!
//! Temporal delimiters, tile lists and padding are dropped. Dependency descriptors are not read: after a loss nothing counts
//! as decodable before the next key frame.

use crate::rtc::media::depacketize::dependencies::FrameDependencies;
use crate::rtc::media::depacketize::payload::{Depayload, Head, Malformed, Starts};
use crate::rtc::media::inspect::av1::obu;
use crate::rtc::media::inspect::bits::leb128;
use bytes::{BufMut, Bytes, BytesMut};

/// An OBU's header, extension and size take at most ten bytes; a first fragment shorter than that is joined with the rest.
const HEADERS: usize = 10;

#[derive(Default)]
pub(crate) struct Av1 {
    /// The OBU that is coming in, in fragments.
    open: Vec<Bytes>,
    is_open: bool,
}

impl Depayload for Av1 {
    fn head(&mut self, payload: &Bytes) -> Result<Option<Head>, Malformed> {
        let aggregation = *payload.first().ok_or(Malformed)?;
        let (continues, new_sequence) = (aggregation & 0x80 != 0, aggregation & 0x08 != 0);
        let starts = match (continues, new_sequence) {
            (true, _) => Starts::No,
            (_, true) => Starts::Yes,
            _ if first_kind(payload) == Some(obu::SEQUENCE_HEADER) => Starts::Yes,
            _ => Starts::AfterEnd,
        };
        Ok(Some(Head { starts, ends: false, key: None, dependencies: FrameDependencies::default(), body: 1 }))
    }

    /// Section 4.4: Z, Y, W, N and the OBU elements.
    fn add(&mut self, head: &Head, payload: &Bytes, parts: &mut Vec<Bytes>) -> Result<(), Malformed> {
        let aggregation = *payload.first().ok_or(Malformed)?;
        let (continues, continued) = (aggregation & 0x80 != 0, aggregation & 0x40 != 0);
        let count = aggregation >> 4 & 3;
        if continues != self.is_open {
            return Err(Malformed);
        }
        let mut rest = payload.slice(head.body..);
        let mut elements = 0;
        while !rest.is_empty() {
            elements += 1;
            let element = if elements == count {
                std::mem::take(&mut rest)
            } else {
                let (size, length) = leb128(&rest).ok_or(Malformed)?;
                let end = length.checked_add(size).filter(|end| *end <= rest.len()).ok_or(Malformed)?;
                rest.split_to(end).slice(length..)
            };
            if !element.is_empty() {
                self.open.push(element);
            }
            self.is_open = continued && rest.is_empty();
            if !self.is_open {
                self.close(parts)?;
            }
            if count == 0 {
                elements = 0;
            }
        }
        if elements < count { Err(Malformed) } else { Ok(()) }
    }

    fn finish(&mut self, _: &mut Vec<Bytes>) -> Result<(), Malformed> {
        let open = self.is_open;
        self.reset();
        if open { Err(Malformed) } else { Ok(()) }
    }

    fn reset(&mut self) {
        self.open.clear();
        self.is_open = false;
    }
}

impl Av1 {
    /// The open OBU is whole: writes it with a size field, sharing its bytes.
    fn close(&mut self, parts: &mut Vec<Bytes>) -> Result<(), Malformed> {
        if self.open.len() > 1 && self.open.first().is_some_and(|first| first.len() < HEADERS) {
            let joined = Bytes::from(self.open.concat());
            self.open.clear();
            self.open.push(joined);
        }
        let Some(first) = self.open.first() else { return Ok(()) };
        let header = *first.first().ok_or(Malformed)?;
        let mut body_at = obu::header_len(header);
        if header & obu::FORBIDDEN_BIT != 0 || first.len() < body_at {
            return Err(Malformed);
        }
        let total: usize = self.open.iter().map(Bytes::len).sum();
        if header & obu::SIZE_BIT != 0 {
            let (size, length) = leb128(first.get(body_at..).unwrap_or_default()).ok_or(Malformed)?;
            body_at += length;
            if body_at.checked_add(size) != Some(total) {
                return Err(Malformed);
            }
        }
        if obu::is_dropped(obu::kind(header)) {
            self.open.clear();
            return Ok(());
        }
        let mut prefix = BytesMut::with_capacity(HEADERS);
        prefix.put_u8(header | obu::SIZE_BIT);
        prefix.extend(first.get(1..obu::header_len(header)).unwrap_or_default());
        obu::put_leb128(&mut prefix, total - body_at);
        let body = first.slice(body_at..);
        parts.push(prefix.freeze());
        parts.extend(std::iter::once(body).chain(self.open.drain(..).skip(1)).filter(|part| !part.is_empty()));
        Ok(())
    }
}

/// The type of the first OBU in a payload that begins with one.
fn first_kind(payload: &[u8]) -> Option<u8> {
    let rest = payload.get(1..)?;
    let length = if payload.first()? >> 4 & 3 == 1 { 0 } else { leb128(rest)?.1 };
    rest.get(length).map(|header| obu::kind(*header))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(payloads: &[&[u8]]) -> Result<Vec<u8>, Malformed> {
        let mut av1 = Av1::default();
        let mut parts = Vec::new();
        for payload in payloads {
            let payload = Bytes::copy_from_slice(payload);
            let head = av1.head(&payload)?.ok_or(Malformed)?;
            av1.add(&head, &payload, &mut parts)?;
        }
        av1.finish(&mut parts)?;
        Ok(parts.concat())
    }

    #[test]
    fn elements_and_fragments_get_size_fields() {
        assert_eq!(run(&[&[0x10, 0x30, 1, 2, 3]]), Ok(vec![0x32, 3, 1, 2, 3]), "W=1: no length");
        assert_eq!(run(&[&[0x00, 4, 0x30, 1, 2, 3]]), Ok(vec![0x32, 3, 1, 2, 3]), "W=0: a length for each");
        assert_eq!(
            run(&[&[0x60, 2, 0x28, 9, 0x34], &[0x90, 0x08, 1, 2]]),
            Ok(vec![0x2a, 1, 9, 0x36, 0x08, 2, 1, 2]),
            "the header is cut from its extension"
        );
        assert_eq!(
            run(&[&[0x50, 0x32, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9], &[0x90, 10, 11]]),
            Ok(vec![0x32, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
            "it has a size field of its own"
        );
        assert_eq!(run(&[&[0x20, 2, 0x12, 0, 0x30, 1]]), Ok(vec![0x32, 1, 1]), "the temporal delimiter goes");
    }

    #[test]
    fn broken_ones_are_refused() {
        for payloads in [
            &[&[0x00u8, 9, 0x30][..]][..],
            &[&[0x00, 0x80]],
            &[&[0x90, 0x30]],
            &[&[0x50, 0x30]],
            &[&[0x50, 0x30], &[0x10, 0x30]],
            &[&[0x10, 0x34]],
            &[&[0x10, 0xb0, 1]],
            &[&[0x10, 0x32, 5, 1]],
            &[&[0x30, 1, 0x30]],
        ] {
            assert_eq!(run(payloads), Err(Malformed), "{payloads:?}");
        }
    }
}
