//! The keys of a lane, and what has arrived under each: those that are tried, those that are in force, and for a second those before. Pure:
//! told the time.

use crate::rtc::arrivals::Arrivals;
use crate::rtc::rtp_header::RtpHeader;
use crate::rtc::srtp::keyring::KeyPair;
use crate::rtc::srtp::open::Opener;
use crate::rtc::srtp::seal::{RtcpSealer, SealingKeys, Unsealed};
use crate::rtc::srtp::{MasterKey, Profile, Refused};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// Streams under one key that are followed; more take the library's way.
const MAX_ARRIVALS: usize = 1024;
/// Packets that are under way when new keys come into force are opened with the old ones.
const OVERLAP: Duration = Duration::from_secs(1);
/// Keys that have opened none of so many packets are the wrong ones.
const MAX_FAILURES: u32 = 2000;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// Its plain text ends here. It is to be entered.
    At(usize),
    /// The same, and it is the first one under keys that are in force from now on: the packet is as it was.
    First(usize),
    /// The same, under keys that are in force no longer; it has been entered.
    Before(usize),
    /// It is not authentic.
    Forged,
    /// Nobody can tell.
    Unknown,
}

#[derive(Default)]
pub(super) struct Keys {
    current: Epoch,
    previous: Option<(Epoch, Instant)>,
    candidate: Option<Candidate>,
    /// SSRCs in whose name others seal.
    reserved: HashSet<u32>,
    /// The plain text of the last packet that was opened as a copy.
    pub scratch: Vec<u8>,
}

/// What belongs to one pair of keys.
#[derive(Default)]
struct Epoch {
    opener: Option<Opener>,
    sealing: Option<(SealingKeys, RtcpSealer)>,
    arrivals: HashMap<u32, Arrivals>,
}

/// Keys that have opened nothing yet.
struct Candidate {
    /// Each with whether it is of the pair's second key.
    openers: Vec<(Opener, bool)>,
    pair: KeyPair,
    failures: u32,
}

impl Candidate {
    fn new(pair: KeyPair) -> Candidate {
        // The order of keys is known, but that they open something proves it.
        let openers = |(master, is_second): (&MasterKey, bool)| {
            let opener = |profile: Profile| Some((Opener::new(master, profile)?, is_second));
            pair.profiles().filter_map(opener).collect::<Vec<_>>()
        };
        let openers = [(&pair.second, true), (&pair.first, false)].into_iter().flat_map(openers).collect();
        Candidate { openers, pair, failures: 0 }
    }
}

impl Keys {
    /// Keys were seen; they are in force as soon as they open something.
    pub fn add(&mut self, pair: Option<KeyPair>) {
        if let Some(pair) = pair {
            self.candidate = Some(Candidate::new(pair));
        }
    }
    /// Whether there is anything to open packets with.
    pub fn may_open(&self) -> bool {
        self.current.opener.is_some() || self.candidate.is_some()
    }
    /// Whether a packet may be of other keys than those in force.
    pub fn is_changing(&self) -> bool {
        self.candidate.is_some() || self.previous.is_some()
    }

    /// Opens a packet that should have this index: in place, or only to tell whether it is authentic.
    pub fn open_rtp(
        &mut self,
        packet: &mut [u8],
        header: &RtpHeader,
        index: u64,
        in_place: bool,
        now: Instant,
    ) -> Opened {
        if self.previous.as_ref().is_some_and(|(_, until)| now >= *until) {
            self.previous = None;
        }
        let is_changing = self.is_changing();
        if let Some(opener) = self.current.opener.as_ref().filter(|_| !is_changing && in_place) {
            return opener.open_rtp(packet, header.len, header.ssrc, index).map_or(Opened::Forged, Opened::At);
        }
        let opened = self.open_copy(packet, header, index, now);
        if let (true, Opened::At(_) | Opened::Before(_)) = (in_place, opened) {
            packet.copy_from_slice(&self.scratch);
        }
        opened
    }

    fn open_copy(&mut self, packet: &[u8], header: &RtpHeader, index: u64, now: Instant) -> Opened {
        let scratch = &mut self.scratch;
        let mut open = |opener: &Opener, index: u64| {
            scratch.clear();
            scratch.extend_from_slice(packet);
            opener.open_rtp(scratch, header.len, header.ssrc, index)
        };
        let current = self.current.opener.as_ref();
        // A copy of one that came before may be one of other keys, which has its number.
        let is_replayed = self.current.arrivals.get(&header.ssrc).is_some_and(|of| of.is_replayed(index));
        if let Some(end) = current.filter(|_| !is_replayed).and_then(|opener| open(opener, index)) {
            return Opened::At(end);
        }
        if let Some(candidate) = &mut self.candidate {
            // Under keys that follow others every stream begins anew; before the first ones the library's packets were counted.
            let index = if current.is_some() { header.sequence.into() } else { index };
            let tried = candidate.openers.iter().enumerate();
            let found = tried.filter_map(|(at, (opener, _))| Some((at, open(opener, index)?))).next();
            if let Some((at, end)) = found {
                self.adopt(at, now);
                return Opened::First(end);
            }
            candidate.failures += 1;
            if candidate.failures >= MAX_FAILURES {
                self.candidate = None;
                tracing::warn!("a connection's media takes the slow way: its keys open no packet");
                return Opened::Unknown;
            }
        }
        if let Some((epoch, _)) = &mut self.previous
            && let (Some(opener), Some(arrivals)) = (&epoch.opener, epoch.arrivals.get_mut(&header.ssrc))
            && let Some(index) = arrivals.index(header.sequence).filter(|index| !arrivals.is_replayed(*index))
            && let Some(end) = open(opener, index)
        {
            arrivals.on_packet(index, header.timestamp, now, false);
            return Opened::Before(end);
        }
        if self.current.opener.is_some() && self.candidate.is_none() { Opened::Forged } else { Opened::Unknown }
    }

    /// The candidate's keys are in force: what has arrived under others is no measure for them.
    fn adopt(&mut self, at: usize, now: Instant) {
        let Some(mut candidate) = self.candidate.take() else { return };
        let (opener, is_second) = candidate.openers.swap_remove(at);
        let KeyPair { first, second, .. } = candidate.pair;
        let ours = if is_second { first } else { second };
        let mut sealing = SealingKeys::new(ours, opener.profile());
        if let Some(sealing) = &mut sealing {
            for ssrc in &self.reserved {
                sealing.reserve(*ssrc);
            }
        }
        let sealing = sealing.and_then(|mut keys| {
            let sealer = own_sealer(&mut keys)?;
            Some((keys, sealer))
        });
        if self.current.opener.is_some() {
            let before = std::mem::take(&mut self.current);
            self.previous = Some((before, now + OVERLAP));
        }
        tracing::debug!(profile = ?opener.profile(), "media takes the short way");
        (self.current.opener, self.current.sealing) = (Some(opener), sealing);
    }

    /// Opens an RTCP packet in place.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        self.current.opener.as_mut().ok_or(Refused::Malformed)?.open_rtcp(packet)
    }

    /// What has arrived of a stream under the keys in force.
    pub fn arrivals(&self, ssrc: u32) -> Option<&Arrivals> {
        self.current.arrivals.get(&ssrc)
    }
    pub fn arrivals_mut(&mut self, ssrc: u32) -> Option<&mut Arrivals> {
        self.current.arrivals.get_mut(&ssrc)
    }
    /// The same, from its first packet on; none where too many are followed.
    pub fn enter(&mut self, ssrc: u32, clock_rate: u32) -> Option<&mut Arrivals> {
        let arrivals = &mut self.current.arrivals;
        if arrivals.len() >= MAX_ARRIVALS && !arrivals.contains_key(&ssrc) {
            return None;
        }
        Some(arrivals.entry(ssrc).or_insert_with(|| Arrivals::new(clock_rate)))
    }

    /// Whether packets of ours can be sealed.
    pub fn seals(&self) -> bool {
        self.current.sealing.is_some()
    }
    /// In whose name they are sealed.
    pub fn own_ssrc(&self) -> Option<u32> {
        self.current.sealing.as_ref().map(|(_, sealer)| sealer.ssrc())
    }
    /// Seals a compound RTCP packet of ours.
    pub fn seal_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), Unsealed> {
        self.current.sealing.as_mut().ok_or(Unsealed::UsedUp)?.1.seal(packet)
    }
    /// Somebody else seals in the name of this SSRC.
    pub fn reserve(&mut self, ssrc: u32) {
        self.reserved.insert(ssrc);
        if let Some((keys, sealer)) = &mut self.current.sealing {
            keys.reserve(ssrc);
            if sealer.ssrc() == ssrc
                && let Some(other) = own_sealer(keys)
            {
                *sealer = other;
            }
        }
    }
}

/// A sealer in the name of an SSRC that nobody has; 0 is not one (Janus takes it for its first stream).
fn own_sealer(keys: &mut SealingKeys) -> Option<RtcpSealer> {
    (0..8).find_map(|_| keys.rtcp(rand::random_range(1..=u32::MAX)))
}
