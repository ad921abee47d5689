//! What a lane says to the sender: which packets are missing, when numbered ones arrived, how reception goes, and that a key frame is wanted.
//! Told the time.

use crate::rtc::arrivals::ReportBlock;
use crate::rtc::feedback::rtcp;
use crate::rtc::feedback::transport_wide::{INTERVAL, TransportWide};
use crate::rtc::lane::State;
use crate::rtc::lane::path::Path;
use std::time::{Duration, Instant};

/// Receiver reports are sent this often (RFC 3550 6.2, for two).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// A compound packet stays below this, and its datagram below what every path carries.
const MAX_COMPOUND: usize = 1100;
/// Key frames that wait to be requested.
const MAX_KEY_FRAMES: usize = 256;

/// What is to be said, and when.
pub(super) struct Reports {
    wide: TransportWide,
    next_wide: Option<Instant>,
    next_report: Option<Instant>,
    key_frames: Vec<u32>,
    /// In whose name the library seals for us. Never the one in whose name we seal: both count their packets from one on.
    slow_ssrc: u32,
}

fn any_ssrc() -> u32 {
    rand::random_range(1..=u32::MAX)
}

impl Reports {
    pub fn new(zero: Instant) -> Reports {
        Reports {
            wide: TransportWide::new(zero),
            next_wide: None,
            next_report: None,
            key_frames: Vec::new(),
            slow_ssrc: any_ssrc(),
        }
    }
    pub fn slow_ssrc(&self) -> u32 {
        self.slow_ssrc
    }
    /// This one is somebody else's.
    pub fn avoid(&mut self, ssrc: u32) {
        while self.slow_ssrc == ssrc {
            self.slow_ssrc = any_ssrc();
        }
    }
    /// A packet came that the sender has numbered.
    pub fn on_numbered(&mut self, number: u16, ssrc: u32, arrival: Instant) {
        self.wide.on_packet(number, ssrc, arrival);
    }
    pub fn request_key_frame(&mut self, ssrc: u32) {
        if !self.key_frames.contains(&ssrc) && self.key_frames.len() < MAX_KEY_FRAMES {
            self.key_frames.push(ssrc);
        }
    }
}

/// Compound packets: each begins with a report (RFC 3550 6.1).
struct Compounds {
    own: u32,
    all: Vec<Vec<u8>>,
}

impl Compounds {
    fn begin(&mut self, blocks: &[(u32, ReportBlock)]) {
        let mut out = Vec::new();
        rtcp::receiver_report(&mut out, self.own, blocks);
        self.all.push(out);
    }
    fn add(&mut self, packet: &[u8]) {
        if self.all.last().is_none_or(|last| last.len() + packet.len() > MAX_COMPOUND) {
            self.begin(&[]);
        }
        self.all.iter_mut().last().into_iter().for_each(|last| last.extend_from_slice(packet));
    }
}

impl State {
    /// Whether we seal and send what there is to say.
    pub fn speaks(&self) -> bool {
        self.keys.seals() && self.path.as_ref().is_some_and(Path::is_open)
    }

    /// What is due, in compound packets that are not sealed.
    pub fn feedback(&mut self, now: Instant, own: u32) -> Vec<Vec<u8>> {
        let mut compounds = Compounds { own, all: Vec::new() };
        let is_due = |at: Option<Instant>| at.is_none_or(|at| now >= at);
        let reports = is_due(self.reports.next_report);
        let wanted = std::mem::take(&mut self.reports.key_frames);
        if reports || !wanted.is_empty() {
            let about = if reports { self.streams.announced() } else { wanted.clone() };
            let block = |ssrc: u32| Some((ssrc, self.keys.arrivals_mut(ssrc)?.report(now, reports)?));
            let blocks: Vec<(u32, ReportBlock)> = about.into_iter().filter_map(block).collect();
            blocks.chunks(rtcp::MAX_BLOCKS).for_each(|blocks| compounds.begin(blocks));
            if reports {
                self.reports.next_report = Some(now + REPORT_INTERVAL);
            }
        }
        for ssrc in wanted {
            let mut packet = Vec::new();
            rtcp::picture_loss(&mut packet, own, ssrc);
            compounds.add(&packet);
        }
        for ssrc in self.streams.announced() {
            let round_trip = self.round_trip;
            let Some(arrivals) = self.keys.arrivals_mut(ssrc) else { continue };
            let missing = arrivals.request_due(now, round_trip);
            if !missing.is_empty() {
                let mut packet = Vec::new();
                rtcp::nack(&mut packet, own, ssrc, &missing);
                compounds.add(&packet);
            }
        }
        if self.reports.wide.is_due() && is_due(self.reports.next_wide) {
            self.reports.next_wide = Some(now + INTERVAL);
            let mut packets = Vec::new();
            self.reports.wide.write(own, &mut packets);
            packets.iter().for_each(|packet| compounds.add(packet));
        }
        compounds.all
    }

    /// The same, sealed, and where it goes.
    pub fn sealed_feedback(&mut self, now: Instant) -> Option<(Path, Vec<Vec<u8>>)> {
        let (own, path) = (self.keys.own_ssrc()?, self.path.clone().filter(|_| self.speaks())?);
        let mut packets = self.feedback(now, own);
        packets.retain_mut(|packet| self.keys.seal_rtcp(packet).is_ok());
        (!packets.is_empty()).then_some((path, packets))
    }

    /// When there is something to say next.
    pub fn deadline(&self) -> Option<Instant> {
        let announced = self.streams.announced();
        let holes = announced.iter().filter_map(|ssrc| self.keys.arrivals(*ssrc)?.deadline(self.round_trip));
        let wide = self.reports.wide.is_due().then_some(self.reports.next_wide).flatten();
        let report = self.reports.next_report.filter(|_| !announced.is_empty());
        holes.chain(wide).chain(report).min()
    }
}
