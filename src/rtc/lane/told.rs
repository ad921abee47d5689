//! What the library and its chain of interceptors tell a lane, and what they send for it.

use crate::rtc::lane::{BoundStream, ExtensionNumbers, Lane};
use std::time::{Duration, Instant};

/// A packet that came the library's way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlowPacket {
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub transport_wide: Option<u16>,
}

/// As long as media comes to a path, packets the other way are stragglers.
const STRAGGLERS: Duration = Duration::from_millis(300);

impl Lane {
    /// The library is bound to a stream of theirs, perhaps again.
    pub fn bind(&self, stream: &BoundStream) {
        let state = &mut *self.lock();
        state.streams.bind(stream);
        if let Some(arrivals) = state.keys.arrivals_mut(stream.ssrc) {
            arrivals.set_clock_rate(stream.clock_rate);
        }
    }
    /// The library is bound to it no longer.
    pub fn unbind(&self, ssrc: u32) {
        let state = &mut *self.lock();
        for ended in state.streams.unbind(ssrc) {
            state.keys.arrivals_mut(ended).into_iter().for_each(|arrivals| arrivals.end());
        }
    }
    /// It has turned out that a stream repeats the packets of another one, which has this payload type.
    pub fn repairs(&self, repair: u32, primary: u32, payload_type: u8) {
        self.lock().streams.repair(repair, primary, payload_type);
    }
    /// The numbers of header extensions in packets, from now on.
    pub fn set_extensions(&self, numbers: ExtensionNumbers) {
        self.lock().extensions = Some(numbers);
    }
    /// A packet of a stream has come the library's way: the stream is announced. False where the packet has been handed over already.
    pub fn on_slow(&self, packet: SlowPacket, arrival: Instant) -> bool {
        let state = &mut *self.lock();
        let SlowPacket { ssrc, sequence, timestamp, transport_wide } = packet;
        let (is_new, repairs, clock_rate) =
            (state.streams.announce(ssrc), state.streams.repairs(ssrc), state.streams.clock_rate(ssrc));
        if state.copies.take(ssrc, sequence) {
            return false;
        }
        let Some(arrivals) = state.keys.enter(ssrc, clock_rate) else { return true };
        let Some(index) = arrivals.index(sequence).filter(|index| !arrivals.is_replayed(*index)) else { return true };
        // It was not entered when it came: before the keys were known, or by a way that is not seen.
        arrivals.on_packet(index, timestamp, arrival, repairs);
        arrivals.show(index, arrival);
        transport_wide.into_iter().for_each(|number| state.reports.on_numbered(number, ssrc, arrival));
        if !is_new {
            state.path.take_if(|path| path.heard + STRAGGLERS < arrival);
        }
        true
    }
    /// A sender reported, the library's way.
    pub fn on_slow_report(&self, ssrc: u32, ntp: u64, arrival: Instant) {
        if let Some(arrivals) = self.lock().keys.arrivals_mut(ssrc) {
            arrivals.on_sender_report(ntp, arrival);
        }
    }
    /// What the library has to send for us: everything that is due, where media comes its way. Not sealed.
    pub fn slow_feedback(&self, now: Instant) -> Vec<Vec<u8>> {
        let state = &mut *self.lock();
        if state.speaks() { Vec::new() } else { state.feedback(now, state.reports.slow_ssrc()) }
    }
    /// When [`Lane::slow_feedback`] has something next.
    pub fn slow_deadline(&self) -> Option<Instant> {
        let state = self.lock();
        if state.speaks() { None } else { state.deadline() }
    }
    /// The library seals in the name of this SSRC: nobody else does.
    pub fn reserve(&self, ssrc: u32) {
        let state = &mut *self.lock();
        state.keys.reserve(ssrc);
        state.reports.avoid(ssrc);
    }
}
