//! The streams that the library knows: which ones it has announced, and which repeat others. Pure.

use std::collections::HashMap;

/// A stream of theirs that the library is bound to.
#[derive(Debug, Clone)]
pub(crate) struct BoundStream {
    pub ssrc: u32,
    pub payload_type: u8,
    /// RTP ticks a second.
    pub clock_rate: u32,
    /// Lost packets may be requested (`nack`).
    pub repairs: bool,
    /// The SSRC that repeats it.
    pub repair: Option<u32>,
}

/// Streams of a connection that are known; more take the library's way.
const MAX_STREAMS: usize = 1024;

/// The way that a stream's packets take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The library's: it is not bound to it.
    Library,
    /// Ours.
    Media,
    /// Ours, as packets of the stream that it repeats.
    Repair { primary: u32, payload_type: u8 },
}

#[derive(Debug, Clone, Copy)]
enum Stream {
    Media { announced: bool, repairs: bool, clock_rate: u32 },
    Repair { primary: u32, payload_type: u8 },
}

/// By SSRC.
#[derive(Debug, Default)]
pub(super) struct Streams(HashMap<u32, Stream>);

impl Streams {
    fn insert(&mut self, ssrc: u32, stream: Stream) {
        if self.0.len() < MAX_STREAMS || self.0.contains_key(&ssrc) {
            self.0.insert(ssrc, stream);
        }
    }

    pub fn bind(&mut self, bound: &BoundStream) {
        let BoundStream { ssrc, payload_type, clock_rate, repairs, repair } = *bound;
        let announced = matches!(self.0.get(&ssrc), Some(Stream::Media { announced: true, .. }));
        self.insert(ssrc, Stream::Media { announced, repairs, clock_rate });
        repair.into_iter().for_each(|repair| self.repair(repair, ssrc, payload_type));
    }

    /// Returns the streams that have ended.
    pub fn unbind(&mut self, ssrc: u32) -> Vec<u32> {
        let is_of = |of: &u32, stream: &mut Stream| {
            *of == ssrc || matches!(stream, Stream::Repair { primary, .. } if *primary == ssrc)
        };
        self.0.extract_if(is_of).map(|(ssrc, _)| ssrc).collect()
    }

    pub fn repair(&mut self, repair: u32, primary: u32, payload_type: u8) {
        if repair != primary {
            self.insert(repair, Stream::Repair { primary, payload_type });
        }
    }

    /// The library has delivered a packet of it. Whether it is the first.
    pub fn announce(&mut self, ssrc: u32) -> bool {
        match self.0.get_mut(&ssrc) {
            Some(Stream::Media { announced, .. }) => !std::mem::replace(announced, true),
            _ => false,
        }
    }

    pub fn way(&self, ssrc: u32) -> Way {
        match self.0.get(&ssrc) {
            Some(Stream::Media { .. }) => Way::Media,
            Some(Stream::Repair { primary, payload_type })
                if matches!(self.0.get(primary), Some(Stream::Media { .. })) =>
            {
                Way::Repair { primary: *primary, payload_type: *payload_type }
            }
            _ => Way::Library,
        }
    }

    /// Whether the library has announced it; a stream that repeats another one is announced with it.
    pub fn is_announced(&self, ssrc: u32) -> bool {
        match self.0.get(&ssrc) {
            Some(Stream::Media { announced, .. }) => *announced,
            Some(Stream::Repair { primary, .. }) => {
                matches!(self.0.get(primary), Some(Stream::Media { announced: true, .. }))
            }
            None => false,
        }
    }
    /// Whether lost packets of it can be requested.
    pub fn repairs(&self, ssrc: u32) -> bool {
        matches!(self.0.get(&ssrc), Some(Stream::Media { repairs: true, .. }))
    }
    /// RTP ticks a second.
    pub fn clock_rate(&self, ssrc: u32) -> u32 {
        match self.0.get(&ssrc) {
            Some(Stream::Media { clock_rate, .. }) => *clock_rate,
            _ => 90_000,
        }
    }
    /// Streams of media that are announced, in ascending order.
    pub fn announced(&self) -> Vec<u32> {
        let announced = |stream: &Stream| matches!(stream, Stream::Media { announced: true, .. });
        let mut all: Vec<u32> = self.0.iter().filter(|(_, stream)| announced(stream)).map(|(ssrc, _)| *ssrc).collect();
        all.sort_unstable();
        all
    }
}
