//! The short way of received media, one lane a connection: SRTP is opened here and goes into the inbox, and what has to be said of it goes
//! back, without the library. The library's way stays for each stream's first packets, for what is no media, and for everything where its keys
//! cannot be seen. It asks for no time and reads no socket.
//!
//! Which way a packet takes: [`Lane::take`] is given every datagram. It leaves to the library what is not RTP or RTCP, what comes before the
//! keys are known, and packets of streams that it is not bound to yet. Of streams that it has not announced it has all packets too, and of others
//! one every few seconds, by which it counts rollovers and ICE sees life: these come twice, and those of the library's way end at its tap.
//! Nothing waits for the library, which may be late. Whatever is authentic is entered here first, so that a copy of it goes neither way.

mod copies;
mod keys;
mod path;
mod report;
mod streams;
mod told;

use crate::room::media::{AudioLevel, RtpPacket};
use crate::rtc::arrivals::RoundTrip;
use crate::rtc::feedback::rtcp::only_sender_reports;
use crate::rtc::inbox::{Inbound, Inbox};
use crate::rtc::media::packet_counts::DropReason;
use crate::rtc::payload_types::PayloadTypes;
use crate::rtc::rtp_header::{RtpHeader, channel_data, is_media, is_rtcp};
use crate::rtc::srtp::Refused;
use crate::rtc::srtp::keyring::Keyring;
use crate::rtc::transport::outlet::Outlet;
use crate::rtc::transport::socket::Wake;
use bytes::BytesMut;
use copies::Copies;
use keys::{Keys, Opened};
use path::Path;
use report::Reports;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
pub(crate) use streams::BoundStream;
use streams::{Streams, Way};
pub(crate) use told::SlowPacket;

/// Says which connections have a lane: `recorders`, which are read on a tick, or `all`. Without it none has one: it is being measured still.
const LANES: &str = "ROOMBOT_LANES";

/// Whether a connection whose driver is woken so has a lane.
pub(crate) fn is_for(wake: Wake) -> bool {
    static LANES_OF: OnceLock<Option<String>> = OnceLock::new();
    match LANES_OF.get_or_init(|| std::env::var(LANES).ok()).as_deref() {
        Some("all") => true,
        Some("recorders") => matches!(wake, Wake::Batched(_)),
        _ => false,
    }
}

/// Payloads are kept in blocks of this size: one allocation for many.
const BLOCK: usize = 64 << 10;

/// Numbers of header extensions in packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ExtensionNumbers {
    pub audio_level: Option<u8>,
    pub transport_wide: Option<u8>,
}

/// The lane of one connection.
pub(crate) struct Lane {
    /// Short critical sections, never held across an await: the thread that reads, and now and then the driver.
    state: Mutex<State>,
    inbox: Arc<Inbox>,
    keyring: Arc<Keyring>,
    payload_types: Arc<PayloadTypes>,
}

struct State {
    keys: Keys,
    streams: Streams,
    /// None: nothing is settled yet.
    extensions: Option<ExtensionNumbers>,
    /// What the library has as well.
    copies: Copies,
    batch: Vec<Inbound>,
    block: BytesMut,
    reports: Reports,
    round_trip: RoundTrip,
    /// Where media came from last; none where it came the library's way.
    path: Option<Path>,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

impl Lane {
    /// A lane into `inbox`, with the keys that `keyring` sees. Times in feedback count from `zero`.
    pub fn new(inbox: Arc<Inbox>, keyring: Arc<Keyring>, payload_types: Arc<PayloadTypes>, zero: Instant) -> Lane {
        let state = State {
            keys: Keys::default(),
            streams: Streams::default(),
            extensions: None,
            copies: Copies::default(),
            batch: Vec::new(),
            block: BytesMut::new(),
            reports: Reports::new(zero),
            round_trip: RoundTrip::default(),
            path: None,
        };
        Lane { state: Mutex::new(state), inbox, keyring, payload_types }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a datagram that came from `from` to `outlet`'s socket, if it is for us; it may be spoilt then. Otherwise it is as it was, and
    /// for the library.
    pub fn take(&self, datagram: &mut [u8], from: SocketAddr, arrival: Instant, outlet: &Arc<Outlet>) -> bool {
        let (packet, channel) = match channel_data(datagram) {
            Some((channel, range)) => (&mut datagram[range], Some(channel)),
            None => (datagram, None),
        };
        if !is_media(packet) {
            return false;
        }
        let state = &mut *self.lock();
        if self.keyring.is_complete() {
            state.keys.add(self.keyring.take());
        }
        if !state.keys.may_open() {
            return false;
        }
        let taken = if is_rtcp(packet) {
            self.take_rtcp(state, packet, from, arrival)
        } else {
            self.take_rtp(state, packet, arrival)
        };
        if taken.is_authentic {
            match &mut state.path {
                Some(path) if path.is(from, channel, outlet) => path.heard = arrival,
                path => *path = Some(Path::new(outlet, from, channel, arrival)),
            }
        }
        taken.is_ours
    }

    fn take_rtp(&self, state: &mut State, packet: &mut [u8], arrival: Instant) -> Taken {
        let Some(header) = RtpHeader::parse(packet) else { return Taken::NOT };
        let ssrc = header.ssrc;
        let way = state.streams.way(ssrc);
        let arrivals = state.keys.arrivals(ssrc);
        let Some(index) = arrivals.map_or(Some(header.sequence.into()), |arrivals| arrivals.index(header.sequence))
        else {
            return Taken::NOT;
        };
        if arrivals.is_some_and(|arrivals| arrivals.is_replayed(index)) && !state.keys.is_changing() {
            self.refuse(state, &header, DropReason::Replayed, packet, arrival);
            return Taken::REFUSED;
        }
        // Until the library has announced a stream it has all of its packets, as well as whoever receives them: those wait for the announcement.
        let shown = !state.streams.is_announced(ssrc) || arrivals.is_none_or(|of| of.is_shown(index, arrival));
        let is_fast = way != Way::Library && state.extensions.is_some();
        let opened = state.keys.open_rtp(packet, &header, index, is_fast && !shown, arrival);
        // The library has the first one under new keys.
        let shown = shown || matches!(opened, Opened::First(_));
        let end = match opened {
            Opened::At(end) | Opened::First(end) => end,
            Opened::Before(end) => {
                if is_fast {
                    self.deliver(state, &header, packet, end, None, (arrival, shown));
                }
                return if shown { Taken::AUTHENTIC } else { Taken::OURS };
            }
            Opened::Forged => {
                self.refuse(state, &header, DropReason::Forged, packet, arrival);
                return Taken::REFUSED;
            }
            Opened::Unknown => return Taken::NOT,
        };
        let repairs = state.streams.repairs(ssrc);
        let clock_rate = state.streams.clock_rate(ssrc);
        let Some(arrivals) = state.keys.enter(ssrc, clock_rate) else { return Taken::NOT };
        // Under new keys it begins anew.
        let index = arrivals.index(header.sequence).unwrap_or(index);
        if arrivals.is_replayed(index) {
            self.refuse(state, &header, DropReason::Replayed, packet, arrival);
            return Taken::REFUSED;
        }
        let answered = arrivals.on_packet(index, header.timestamp, arrival, repairs);
        answered.into_iter().for_each(|after| state.round_trip.on_answer(after));
        let mut audio_level = None;
        if let Some(numbers) = state.extensions {
            let reports = &mut state.reports;
            header.each_extension(packet, |id, value| match value {
                [level, ..] if Some(id) == numbers.audio_level => {
                    audio_level = Some(AudioLevel { below_overload: level & 0x7f, voice: level & 0x80 != 0 });
                }
                [high, low, ..] if Some(id) == numbers.transport_wide => {
                    reports.on_numbered(u16::from_be_bytes([*high, *low]), ssrc, arrival);
                }
                _ => {}
            });
        }
        if shown && let Some(arrivals) = state.keys.enter(ssrc, clock_rate) {
            arrivals.show(index, arrival);
        }
        if is_fast {
            self.deliver(state, &header, packet, end, audio_level, (arrival, shown));
        }
        if is_fast && !shown { Taken::OURS } else { Taken::AUTHENTIC }
    }

    /// Puts an opened packet into the batch: it was opened in place, or the library has it as well (`shown`), and its plain text is with the
    /// keys.
    fn deliver(
        &self,
        state: &mut State,
        header: &RtpHeader,
        packet: &[u8],
        end: usize,
        audio_level: Option<AudioLevel>,
        (arrival, shown): (Instant, bool),
    ) {
        let copy = std::mem::take(&mut state.keys.scratch);
        let plain = if shown { &copy[..] } else { packet };
        let payload = plain.get(header.payload(plain, end)).unwrap_or_default();
        self.put(state, header, payload, audio_level, (arrival, shown));
        state.keys.scratch = copy;
    }

    fn put(
        &self,
        state: &mut State,
        header: &RtpHeader,
        mut payload: &[u8],
        audio_level: Option<AudioLevel>,
        (arrival, shown): (Instant, bool),
    ) {
        let (mut ssrc, mut payload_type, mut sequence) = (header.ssrc, header.payload_type, header.sequence);
        if let Way::Repair { primary, payload_type: of_primary } = state.streams.way(ssrc) {
            let Some((original, rest)) = payload.split_first_chunk::<2>() else {
                if shown {
                    // The library's way counts it.
                    return;
                }
                let bytes = payload.len() as u64;
                let (reason, packets) = (DropReason::Padding, 1);
                let probe = Inbound::Dropped { ssrc: primary, reason, packets, bytes, first: arrival, last: arrival };
                return state.batch.push(probe);
            };
            (ssrc, sequence, payload) = (primary, u16::from_be_bytes(*original), rest);
            // The stream may have changed its codec since it was bound.
            payload_type = self.payload_types.repeated(payload_type).unwrap_or(of_primary);
            let answered = state.keys.arrivals_mut(primary).and_then(|of| of.on_repair(sequence, arrival));
            answered.into_iter().for_each(|after| state.round_trip.on_answer(after));
        }
        if shown {
            state.copies.add(ssrc, sequence, arrival);
        }
        if state.block.capacity() < payload.len() {
            state.block = BytesMut::with_capacity(BLOCK.max(payload.len()));
        }
        state.block.extend_from_slice(payload);
        state.batch.push(Inbound::Rtp(RtpPacket {
            ssrc,
            payload_type,
            format: self.payload_types.format(payload_type),
            sequence,
            timestamp: header.timestamp,
            marker: header.marker,
            audio_level,
            arrival,
            payload: state.block.split().freeze(),
        }));
    }

    /// A packet ends here. What is of no stream that is known is nobody's.
    fn refuse(&self, state: &State, header: &RtpHeader, reason: DropReason, packet: &[u8], arrival: Instant) {
        let ssrc = match state.streams.way(header.ssrc) {
            Way::Library => 0,
            Way::Media => header.ssrc,
            Way::Repair { primary, .. } => primary,
        };
        self.inbox.count(ssrc, reason, packet.len().saturating_sub(header.len), arrival);
    }

    fn take_rtcp(&self, state: &mut State, packet: &[u8], from: SocketAddr, arrival: Instant) -> Taken {
        // The library may need it as it came.
        let mut copy = packet.to_vec();
        let end = match state.keys.open_rtcp(&mut copy) {
            Ok(end) => end,
            Err(Refused::Malformed) => return Taken::NOT,
            Err(_) if state.keys.is_changing() => return Taken::NOT,
            Err(_) => return Taken::REFUSED,
        };
        let Some(reports) = only_sender_reports(&copy[..end]) else { return Taken::AUTHENTIC };
        for report in reports {
            if let Some(arrivals) = state.keys.arrivals_mut(report.ssrc) {
                arrivals.on_sender_report(report.ntp, arrival);
            }
            let (ssrc, ntp, rtp) = (report.ssrc, report.ntp, report.rtp);
            state.batch.push(Inbound::SenderReport { ssrc, ntp, rtp, arrival, from });
        }
        Taken::OURS
    }

    /// All that waits on the sockets has been taken: hands it over, and sends what has to be said.
    pub fn flush(&self, now: Instant) {
        let (mut batch, feedback) = {
            let state = &mut *self.lock();
            (std::mem::take(&mut state.batch), state.sealed_feedback(now))
        };
        if !batch.is_empty() {
            self.inbox.put_all(&mut batch);
            let mut state = self.lock();
            if state.batch.is_empty() {
                batch.clear();
                state.batch = batch;
            }
        }
        if let Some((path, packets)) = feedback {
            path.send(&packets);
        }
    }

    /// Whether its keys open what comes.
    pub fn is_open(&self) -> bool {
        self.lock().keys.seals()
    }

    /// When [`Lane::flush`] has something to say next, if nothing comes.
    pub fn deadline(&self) -> Option<Instant> {
        let state = self.lock();
        if state.speaks() { state.deadline() } else { None }
    }

    /// Requests a key frame of this stream at once. False where the library has to.
    pub fn request_key_frame(&self, ssrc: u32, now: Instant) -> bool {
        {
            let mut state = self.lock();
            if !state.speaks() {
                return false;
            }
            state.reports.request_key_frame(ssrc);
        }
        self.flush(now);
        true
    }
}

/// What became of a datagram.
#[derive(Clone, Copy)]
struct Taken {
    is_ours: bool,
    is_authentic: bool,
}

impl Taken {
    const NOT: Taken = Taken { is_ours: false, is_authentic: false };
    const AUTHENTIC: Taken = Taken { is_ours: false, is_authentic: true };
    const REFUSED: Taken = Taken { is_ours: true, is_authentic: false };
    const OURS: Taken = Taken { is_ours: true, is_authentic: true };
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
