//! Opens what the other side has sealed. It keeps the replay windows of RTCP; those of RTP belong to whoever follows the streams.

use crate::rtc::srtp::cipher::Session;
use crate::rtc::srtp::index::ReplayWindow;
use crate::rtc::srtp::{MasterKey, Profile, Refused};
use std::collections::HashMap;

/// Senders of RTCP whose indexes are remembered.
const MAX_SENDERS: usize = 1024;

/// What opens the packets of one direction.
pub(crate) struct Opener {
    rtp: Session,
    rtcp: Session,
    senders: HashMap<u32, ReplayWindow>,
}

impl Opener {
    /// None where the key does not fit the profile.
    pub fn new(master: &MasterKey, profile: Profile) -> Option<Opener> {
        let (rtp, rtcp) = (Session::rtp(master, profile)?, Session::rtcp(master, profile)?);
        Some(Opener { rtp, rtcp, senders: HashMap::new() })
    }

    /// How packets are protected.
    pub fn profile(&self) -> Profile {
        self.rtp.profile()
    }

    /// Opens an RTP packet with a header of so many bytes in place, and returns where its plain text ends. With GCM a packet that is not
    /// authentic is spoilt by it.
    pub fn open_rtp(&self, packet: &mut [u8], header: usize, ssrc: u32, index: u64) -> Option<usize> {
        self.rtp.open_rtp(packet, header, ssrc, index)
    }

    /// Opens an RTCP packet in place, and returns where its plain text ends; one that was there already is refused.
    ///
    /// # Errors
    /// Why it is not opened.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let ssrc = packet.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let (ssrc, index) = ssrc.zip(self.rtcp.rtcp_index(packet)).ok_or(Refused::Malformed)?;
        let window = self.senders.get(&ssrc).copied().unwrap_or_default();
        if window.is_replayed(index.into()) {
            return Err(Refused::Replayed);
        }
        let end = self.rtcp.open_rtcp(packet, ssrc, index).ok_or(Refused::Forged)?;
        if self.senders.len() < MAX_SENDERS || self.senders.contains_key(&ssrc) {
            self.senders.entry(ssrc).or_default().insert(index.into());
        }
        Ok(end)
    }
}
