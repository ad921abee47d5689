//! Opus over RTP (RFC 7587): one packet is one frame, passed on as it is, DTX packets (two bytes or less) too.

use crate::rtc::media::depacketize::dependencies::FrameDependencies;
use crate::rtc::media::depacketize::payload::{Depayload, Head, Malformed, Starts};
use bytes::Bytes;

pub(crate) struct Opus;

impl Depayload for Opus {
    fn head(&mut self, _: &Bytes) -> Result<Option<Head>, Malformed> {
        Ok(Some(Head {
            starts: Starts::Yes,
            ends: true,
            key: Some(true),
            dependencies: FrameDependencies::default(),
            body: 0,
        }))
    }
    fn add(&mut self, _: &Head, payload: &Bytes, parts: &mut Vec<Bytes>) -> Result<(), Malformed> {
        parts.push(payload.clone());
        Ok(())
    }
    fn finish(&mut self, _: &mut Vec<Bytes>) -> Result<(), Malformed> {
        Ok(())
    }
}
