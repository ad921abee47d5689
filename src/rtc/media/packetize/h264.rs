//! H.264 access units (AVC form) to RTP payloads (RFC 6184, packetization mode 1): single NAL units, STAP-A, FU-A.

use crate::rtc::media::inspect::h264::nal;
use crate::rtc::media::packetize::payload::MAX_PAYLOAD;
use bytes::{BufMut, Bytes, BytesMut};

/// The payloads of an access unit, with the parameter sets of `config` (`avcC`) before it if it has none of its own.
/// None if a length does not fit.
pub(crate) fn payloads(unit: &Bytes, config: Option<&Bytes>) -> Option<Vec<Bytes>> {
    let mut nals = split_lengths(unit)?;
    if let Some(config) = config
        && !nals.iter().any(|nal| kind(nal) == nal::SPS)
    {
        nals.splice(0..0, parameter_sets(config)?);
    }
    let mut payloads = Vec::new();
    let mut small = Vec::new();
    for nal in nals.into_iter().filter(|nal| !nal::is_dropped(kind(nal))) {
        let aggregate: usize = small.iter().map(|nal: &Bytes| 2 + nal.len()).sum();
        if 1 + aggregate + 2 + nal.len() > MAX_PAYLOAD {
            aggregate_into(&mut payloads, &mut small);
        }
        match nal.len() {
            0 => {}
            len if len > MAX_PAYLOAD => fragment_into(&mut payloads, &nal),
            len if len + 3 > MAX_PAYLOAD => payloads.push(nal),
            _ => small.push(nal),
        }
    }
    aggregate_into(&mut payloads, &mut small);
    Some(payloads)
}

/// Section 5.7.1; one NAL unit alone is sent as it is, sharing its bytes.
fn aggregate_into(payloads: &mut Vec<Bytes>, nals: &mut Vec<Bytes>) {
    if nals.len() < 2 {
        return payloads.append(nals);
    }
    let importance = nals.iter().filter_map(|nal| nal.first()).map(|header| header & 0x60).max().unwrap_or(0);
    let mut payload = BytesMut::with_capacity(MAX_PAYLOAD);
    payload.put_u8(importance | nal::STAP_A);
    for nal in nals.drain(..) {
        payload.put_u16(nal.len() as u16); // below MAX_PAYLOAD
        payload.put_slice(&nal);
    }
    payloads.push(payload.freeze());
}

/// Section 5.8. One allocation for all fragments.
fn fragment_into(payloads: &mut Vec<Bytes>, nal: &Bytes) {
    let Some((header, data)) = nal.split_first() else { return };
    let chunks = data.chunks(MAX_PAYLOAD - 2);
    let count = chunks.len();
    let mut out = BytesMut::with_capacity(data.len() + 2 * count);
    for (index, chunk) in chunks.enumerate() {
        let start = if index == 0 { 0x80 } else { 0 };
        let end = if index + 1 == count { 0x40 } else { 0 };
        out.put_slice(&[header & 0xe0 | nal::FU_A, start | end | header & 0x1f]);
        out.put_slice(chunk);
        payloads.push(out.split().freeze());
    }
}

/// The NAL units of an access unit with 4-byte lengths.
fn split_lengths(unit: &Bytes) -> Option<Vec<Bytes>> {
    let mut rest = unit.clone();
    let mut nals = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        nals.push(take(&mut rest, 4, length)?);
    }
    Some(nals)
}

/// The SPS and PPS of an `avcC` record (ISO 14496-15, 5.3.3.1).
fn parameter_sets(avcc: &Bytes) -> Option<Vec<Bytes>> {
    let mut sets = Vec::new();
    let mut rest = avcc.clone().split_off(avcc.len().min(5));
    for count_bits in [0x1f, 0xff] {
        let count = rest.first()? & count_bits;
        rest = rest.slice(1..);
        for _ in 0..count {
            let length = u16::from_be_bytes(*rest.first_chunk()?).into();
            sets.push(take(&mut rest, 2, length)?);
        }
    }
    Some(sets)
}

/// Takes a prefix and the `length` bytes after it off `rest`; gives back the latter.
fn take(rest: &mut Bytes, prefix: usize, length: usize) -> Option<Bytes> {
    let end = prefix.checked_add(length).filter(|end| *end <= rest.len())?;
    Some(rest.split_to(end).slice(prefix..))
}

fn kind(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1f)
}
