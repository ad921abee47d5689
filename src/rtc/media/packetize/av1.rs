//! AV1 temporal units to RTP payloads (AOM "RTP Payload Format for AV1" 1.0): OBUs without size fields, as many to a
//! payload as fit, each with its length before it (W = 0).

use crate::rtc::media::inspect::av1::obu;
use crate::rtc::media::inspect::bits::leb128;
use crate::rtc::media::packetize::payload::MAX_PAYLOAD;
use bytes::{BufMut, Bytes, BytesMut};

/// An element's length takes at most two bytes, since it is below 16,384.
const LENGTH: usize = 2;

/// The payloads of a temporal unit. None if an OBU is cut or malformed.
pub(crate) fn payloads(unit: &Bytes, key: bool) -> Option<Vec<Bytes>> {
    let mut payloads = Payloads { done: Vec::new(), current: BytesMut::with_capacity(MAX_PAYLOAD) };
    let mut rest = unit.clone();
    let mut new_sequence = false;
    while !rest.is_empty() {
        let header = *rest.first()?;
        let header_len = obu::header_len(header);
        let (size, length) = match header & obu::SIZE_BIT {
            0 => (rest.len().checked_sub(header_len)?, 0),
            _ => leb128(rest.get(header_len..)?)?,
        };
        let end = (header_len + length).checked_add(size).filter(|end| *end <= rest.len())?;
        let whole = rest.split_to(end);
        if obu::is_dropped(obu::kind(header)) {
            continue;
        }
        new_sequence |= key && obu::kind(header) == obu::SEQUENCE_HEADER;
        let mut element = BytesMut::with_capacity(end - length);
        element.put_u8(header & !obu::SIZE_BIT);
        element.put_slice(whole.get(1..header_len)?);
        element.put_slice(whole.get(header_len + length..)?);
        payloads.put(element.freeze());
    }
    let mut payloads = payloads.finish();
    // N: the first packet of a coded video sequence.
    if new_sequence && let Some(first) = payloads.first_mut() {
        let mut marked = BytesMut::from(&first[..]);
        marked[0] |= 0x08;
        *first = marked.freeze();
    }
    Some(payloads)
}

/// Payloads as they fill; each begins with the aggregation header.
struct Payloads {
    done: Vec<Bytes>,
    current: BytesMut,
}

impl Payloads {
    /// Adds an element, in fragments where it does not fit: Y on the packet it goes on after, Z on the next.
    fn put(&mut self, mut element: Bytes) {
        let mut continues = false;
        loop {
            let room = MAX_PAYLOAD.saturating_sub(self.current.len() + 1 + LENGTH);
            if !self.current.is_empty() && room == 0 {
                self.close(false);
                continue;
            }
            if self.current.is_empty() {
                self.current.put_u8(if continues { 0x80 } else { 0 });
            }
            let piece = element.split_to(element.len().min(MAX_PAYLOAD - self.current.len() - LENGTH));
            obu::put_leb128(&mut self.current, piece.len());
            self.current.put_slice(&piece);
            if element.is_empty() {
                return;
            }
            self.close(true);
            continues = true;
        }
    }

    fn close(&mut self, goes_on: bool) {
        if let Some(header) = self.current.first_mut() {
            *header |= if goes_on { 0x40 } else { 0 };
            self.done.push(self.current.split().freeze());
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.close(false);
        self.done
    }
}
