//! SRTP and SRTCP (RFC 3711, RFC 7714) as arithmetic on packets: key derivation, opening in place, sealing. Pure: it knows no socket, no
//! library of WebRTC and no time.
//!
//! A key and a nonce must never meet twice. So an [`seal::RtpSealer`] or [`seal::RtcpSealer`] is the only owner of its SSRC under its key,
//! and its index only grows; neither can be copied, and an SSRC is given out once.

mod cipher;
mod derive;
pub(crate) mod index;
pub(crate) mod keyring;
pub(crate) mod open;
#[cfg_attr(not(test), allow(dead_code, reason = "of both ways, each uses a part"))]
pub(crate) mod seal;

pub(crate) use derive::MasterKey;

/// How packets are protected; what DTLS-SRTP negotiates (RFC 5764 4.1.2, RFC 7714 14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// `AES_CM_128_HMAC_SHA1_80`.
    AesCm80,
    /// `AES_CM_128_HMAC_SHA1_32`: the tag of RTP is shorter, that of RTCP is not.
    AesCm32,
    /// `AEAD_AES_128_GCM`.
    Gcm128,
    /// `AEAD_AES_256_GCM`.
    Gcm256,
}

impl Profile {
    /// Every one.
    #[cfg(test)]
    pub const ALL: [Profile; 4] = [Profile::AesCm80, Profile::AesCm32, Profile::Gcm128, Profile::Gcm256];

    /// Bytes of master and session keys.
    pub fn key_len(self) -> usize {
        match self {
            Profile::AesCm80 | Profile::AesCm32 | Profile::Gcm128 => 16,
            Profile::Gcm256 => 32,
        }
    }
    /// Bytes of master and session salts.
    pub fn salt_len(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }
    /// Bytes that sealing adds to an RTP packet.
    pub fn rtp_tag_len(self) -> usize {
        match self {
            Profile::AesCm80 => 10,
            Profile::AesCm32 => 4,
            Profile::Gcm128 | Profile::Gcm256 => 16,
        }
    }
    /// Bytes of the tag of an RTCP packet; the index has four more.
    pub fn rtcp_tag_len(self) -> usize {
        if self.is_aead() { 16 } else { 10 }
    }
    fn is_aead(self) -> bool {
        matches!(self, Profile::Gcm128 | Profile::Gcm256)
    }
}

/// Why a packet is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is too short, or its header does not fit.
    Malformed,
    /// It was there already, or is too old to tell.
    Replayed,
    /// Nobody who has the key has sealed it so.
    Forged,
}

#[cfg(test)]
mod tests;
