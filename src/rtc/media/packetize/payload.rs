//! The size of RTP payloads, and frames cut into them.

use bytes::{BufMut, Bytes, BytesMut};

/// The largest payload: leaves room for IP, UDP, SRTP and header extensions in the smallest common MTU (1,280).
pub const MAX_PAYLOAD: usize = 1200;

/// Cuts a frame into payloads that each begin with a header of at most `reserve` bytes, which `header` writes; it is
/// told whether the payload is the first and the last one. One allocation for all.
pub(crate) fn split(frame: &Bytes, reserve: usize, header: impl Fn(bool, bool, &mut BytesMut)) -> Vec<Bytes> {
    let chunks = frame.chunks(MAX_PAYLOAD - reserve);
    let count = chunks.len();
    let mut out = BytesMut::with_capacity(frame.len() + count * reserve);
    let payload = |(index, chunk): (usize, &[u8])| {
        header(index == 0, index + 1 == count, &mut out);
        out.put_slice(chunk);
        out.split().freeze()
    };
    chunks.enumerate().map(payload).collect()
}

/// A frame's bytes in one piece: copied only if they are in several.
pub(crate) fn joined(parts: &[Bytes]) -> Bytes {
    match parts {
        [] => Bytes::new(),
        [one] => one.clone(),
        many => many.concat().into(),
    }
}
