//! Seals what we send. Nobody can use a nonce twice: a master key is used up by its [`SealingKeys`], these give out each SSRC once, and a
//! sealer's index only grows.

use crate::rtc::srtp::cipher::{MAX_RTCP_INDEX, Session};
use crate::rtc::srtp::index::nearest;
use crate::rtc::srtp::{MasterKey, Profile};
use std::collections::HashSet;
use std::sync::Arc;

/// What seals the packets of one direction, under one master key.
pub(crate) struct SealingKeys {
    rtp: Arc<Session>,
    rtcp: Arc<Session>,
    taken: HashSet<(u32, bool)>,
}

/// The only one that seals the RTP of an SSRC.
pub(crate) struct RtpSealer {
    session: Arc<Session>,
    ssrc: u32,
    newest: Option<u64>,
}

/// The only one that seals RTCP in the name of an SSRC.
pub(crate) struct RtcpSealer {
    session: Arc<Session>,
    ssrc: u32,
    next: u32,
}

/// A packet that is not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsealed {
    /// Its header does not fit, or it is of another SSRC.
    NotOurs,
    /// One with its number, or a later one, was sealed before.
    Backwards,
    /// The key has sealed all that it may.
    UsedUp,
}

impl SealingKeys {
    /// Uses the key up. None where it does not fit the profile.
    pub fn new(master: MasterKey, profile: Profile) -> Option<SealingKeys> {
        let (rtp, rtcp) = (Session::rtp(&master, profile)?, Session::rtcp(&master, profile)?);
        Some(SealingKeys { rtp: Arc::new(rtp), rtcp: Arc::new(rtcp), taken: HashSet::new() })
    }

    /// Somebody else seals in the name of this SSRC under the same key (the library): nobody gets it here. False where it was given out.
    pub fn reserve(&mut self, ssrc: u32) -> bool {
        let [rtp, rtcp] = [true, false].map(|is_rtp| self.taken.insert((ssrc, is_rtp)));
        rtp && rtcp
    }
    /// The sealer of an SSRC's RTP; none where it was given out before.
    pub fn rtp(&mut self, ssrc: u32) -> Option<RtpSealer> {
        self.taken.insert((ssrc, true)).then(|| RtpSealer { session: self.rtp.clone(), ssrc, newest: None })
    }
    /// The sealer of RTCP in the name of an SSRC; none where it was given out before.
    pub fn rtcp(&mut self, ssrc: u32) -> Option<RtcpSealer> {
        self.taken.insert((ssrc, false)).then(|| RtcpSealer { session: self.rtcp.clone(), ssrc, next: 1 })
    }
}

impl RtpSealer {
    /// Whose packets it seals.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }
    /// Bytes that sealing adds.
    pub fn tag_len(&self) -> usize {
        self.session.profile().rtp_tag_len()
    }

    /// Appends a sealed packet to `out`. Its sequence number has to be after that of every one before (up to 32,767 after); a packet is
    /// repeated by sending the same bytes again.
    ///
    /// # Errors
    /// Why it is not sealed; `out` is as it was.
    pub fn seal(&mut self, header: &[u8], payload: &[u8], out: &mut Vec<u8>) -> Result<(), Unsealed> {
        let word = |at: usize| header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let (Some(first), Some(ssrc)) = (word(0), word(8)) else { return Err(Unsealed::NotOurs) };
        if ssrc != self.ssrc {
            return Err(Unsealed::NotOurs);
        }
        let index = nearest(self.newest, first as u16).ok_or(Unsealed::UsedUp)?;
        // Where nothing is older, `nearest` takes an old number for one far ahead.
        if self.newest.is_some_and(|newest| index <= newest || index - newest > 0x7fff) {
            return Err(Unsealed::Backwards);
        }
        // Before anything is sealed: an index that was tried is used.
        self.newest = Some(index);
        let start = out.len();
        out.extend_from_slice(header);
        out.extend_from_slice(payload);
        self.session.seal_rtp(out, start, header.len(), ssrc, index).ok_or_else(|| {
            out.truncate(start);
            Unsealed::UsedUp
        })
    }
}

impl RtcpSealer {
    /// In whose name it seals.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Seals a compound packet in place.
    ///
    /// # Errors
    /// Why it is not sealed; it must not be sent then.
    pub fn seal(&mut self, packet: &mut Vec<u8>) -> Result<(), Unsealed> {
        let sender = packet.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        if sender != Some(self.ssrc) {
            return Err(Unsealed::NotOurs);
        }
        let index = self.next;
        if index > MAX_RTCP_INDEX {
            return Err(Unsealed::UsedUp);
        }
        self.next += 1;
        self.session.seal_rtcp(packet, self.ssrc, index).ok_or(Unsealed::UsedUp)
    }
}
