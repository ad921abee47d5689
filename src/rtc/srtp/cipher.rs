//! The transforms under a session key: AES in counter mode with HMAC-SHA1 (RFC 3711 4), and AES-GCM (RFC 7714). It keeps no state between
//! packets and looks after no nonces.

use crate::rtc::srtp::derive::Label;
use crate::rtc::srtp::{MasterKey, Profile};
use aes::Aes128;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipherCore};
use ctr::flavors::Ctr128BE;
use ring::{aead, hmac};

/// The greatest index of an SRTCP packet; the bit above says that it is encrypted.
pub(super) const MAX_RTCP_INDEX: u32 = 0x7fff_ffff;
const ENCRYPTED: u32 = 0x8000_0000;

/// The session keys of RTP, or of RTCP, in one direction.
pub(super) struct Session {
    profile: Profile,
    cipher: Cipher,
    salt: [u8; 14],
}

enum Cipher {
    Gcm(Box<aead::LessSafeKey>),
    Cm(Box<Aes128>, hmac::Key),
}

impl Session {
    /// Those that follow from a master key; none where it does not fit.
    pub fn rtp(master: &MasterKey, profile: Profile) -> Option<Session> {
        Session::derived(master, profile, [Label::RtpCipher, Label::RtpSalt, Label::RtpTag])
    }
    /// The same for RTCP.
    pub fn rtcp(master: &MasterKey, profile: Profile) -> Option<Session> {
        Session::derived(master, profile, [Label::RtcpCipher, Label::RtcpSalt, Label::RtcpTag])
    }
    fn derived(master: &MasterKey, profile: Profile, [cipher, salt, tag]: [Label; 3]) -> Option<Session> {
        if !master.fits(profile) {
            return None;
        }
        let key = master.derive(cipher, profile.key_len());
        let salt = master.derive(salt, profile.salt_len());
        Session::new(profile, &key, &salt, &master.derive(tag, 20))
    }

    /// `tag`: the key of the HMAC, where there is one.
    pub(super) fn new(profile: Profile, key: &[u8], salt: &[u8], tag: &[u8]) -> Option<Session> {
        if key.len() != profile.key_len() || salt.len() != profile.salt_len() {
            return None;
        }
        let gcm = |algorithm| {
            let key = aead::UnboundKey::new(algorithm, key).ok()?;
            Some(Cipher::Gcm(Box::new(aead::LessSafeKey::new(key))))
        };
        let cipher = match profile {
            Profile::Gcm128 => gcm(&aead::AES_128_GCM)?,
            Profile::Gcm256 => gcm(&aead::AES_256_GCM)?,
            Profile::AesCm80 | Profile::AesCm32 => {
                let tag = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, tag);
                Cipher::Cm(Box::new(Aes128::new_from_slice(key).ok()?), tag)
            }
        };
        let mut filled = [0; 14];
        filled[..salt.len()].copy_from_slice(salt);
        Some(Session { profile, cipher, salt: filled })
    }

    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// RFC 3711 4.1.1.
    fn counter(&self, ssrc: u32, index: u64) -> [u8; 16] {
        let mut counter = [0; 16];
        counter[4..8].copy_from_slice(&ssrc.to_be_bytes());
        counter[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
        counter.iter_mut().zip(self.salt).for_each(|(byte, salt)| *byte ^= salt);
        counter
    }
    /// RFC 7714 8.1 and 9.1: an index of RTCP has fewer bits and stands in the same place.
    fn nonce(&self, ssrc: u32, index: u64) -> aead::Nonce {
        let mut nonce = [0; aead::NONCE_LEN];
        nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
        nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
        nonce.iter_mut().zip(self.salt).for_each(|(byte, salt)| *byte ^= salt);
        aead::Nonce::assume_unique_for_key(nonce)
    }

    /// Opens an RTP packet in place and returns where its plain text ends. With GCM a packet that is not authentic is spoilt; with the
    /// other it is as it was.
    pub fn open_rtp(&self, packet: &mut [u8], header: usize, ssrc: u32, index: u64) -> Option<usize> {
        match &self.cipher {
            Cipher::Gcm(key) => {
                let (header_bytes, sealed) = packet.split_at_mut_checked(header)?;
                let plain = key.open_in_place(self.nonce(ssrc, index), aead::Aad::from(&*header_bytes), sealed).ok()?;
                Some(header + plain.len())
            }
            Cipher::Cm(cipher, tag) => {
                let end = packet.len().checked_sub(self.profile.rtp_tag_len()).filter(|end| *end >= header)?;
                let expected = rtp_tag(tag, &packet[..end], index);
                if !same(&expected.as_ref()[..self.profile.rtp_tag_len()], &packet[end..]) {
                    return None;
                }
                apply(cipher, self.counter(ssrc, index), &mut packet[header..end]);
                Some(end)
            }
        }
    }

    /// Seals the RTP packet that begins at `start` and has a header of so many bytes; its tag is appended.
    pub fn seal_rtp(&self, out: &mut Vec<u8>, start: usize, header: usize, ssrc: u32, index: u64) -> Option<()> {
        let packet = out.get_mut(start..)?;
        let (header_bytes, plain) = packet.split_at_mut_checked(header)?;
        match &self.cipher {
            Cipher::Gcm(key) => {
                let aad = aead::Aad::from(&*header_bytes);
                let tag = key.seal_in_place_separate_tag(self.nonce(ssrc, index), aad, plain).ok()?;
                out.extend_from_slice(tag.as_ref());
            }
            Cipher::Cm(cipher, key) => {
                apply(cipher, self.counter(ssrc, index), plain);
                let tag = rtp_tag(key, &out[start..], index);
                out.extend_from_slice(&tag.as_ref()[..self.profile.rtp_tag_len()]);
            }
        }
        Some(())
    }

    /// The index of an SRTCP packet; none where it is too short, or not encrypted (which nobody negotiates).
    pub fn rtcp_index(&self, packet: &[u8]) -> Option<u32> {
        let tag = self.profile.rtcp_tag_len();
        let least = 8 + tag + 4;
        if packet.len() < least {
            return None;
        }
        let at = packet.len() - if self.profile.is_aead() { 4 } else { 4 + tag };
        let word = u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?);
        (word & ENCRYPTED != 0).then_some(word & MAX_RTCP_INDEX)
    }

    /// Opens an SRTCP packet in place and returns where its plain text ends.
    pub fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, index: u32) -> Option<usize> {
        self.rtcp_index(packet)?;
        let len = packet.len();
        match &self.cipher {
            Cipher::Gcm(key) => {
                let (sealed, word) = packet.split_at_mut(len - 4);
                let aad = rtcp_aad(sealed, word)?;
                let nonce = self.nonce(ssrc, index.into());
                let plain = key.open_in_place(nonce, aead::Aad::from(aad), sealed.get_mut(8..)?).ok()?;
                Some(8 + plain.len())
            }
            Cipher::Cm(cipher, key) => {
                let (signed, tag) = packet.split_at_mut(len - self.profile.rtcp_tag_len());
                if !same(&hmac::sign(key, signed).as_ref()[..tag.len()], tag) {
                    return None;
                }
                let end = signed.len() - 4;
                apply(cipher, self.counter(ssrc, index.into()), signed.get_mut(8..end)?);
                Some(end)
            }
        }
    }

    /// Seals a compound RTCP packet; index and tag are appended.
    pub fn seal_rtcp(&self, packet: &mut Vec<u8>, ssrc: u32, index: u32) -> Option<()> {
        let word = (index | ENCRYPTED).to_be_bytes();
        match &self.cipher {
            Cipher::Gcm(key) => {
                let aad = rtcp_aad(packet, &word)?;
                let nonce = self.nonce(ssrc, index.into());
                let tag = key.seal_in_place_separate_tag(nonce, aead::Aad::from(aad), packet.get_mut(8..)?).ok()?;
                packet.extend_from_slice(tag.as_ref());
                packet.extend_from_slice(&word);
            }
            Cipher::Cm(cipher, key) => {
                apply(cipher, self.counter(ssrc, index.into()), packet.get_mut(8..)?);
                packet.extend_from_slice(&word);
                let tag = hmac::sign(key, packet);
                packet.extend_from_slice(&tag.as_ref()[..self.profile.rtcp_tag_len()]);
            }
        }
        Some(())
    }
}

/// RFC 3711 4.2: the rollover counter is signed with the packet.
fn rtp_tag(key: &hmac::Key, packet: &[u8], index: u64) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(packet);
    context.update(&((index >> 16) as u32).to_be_bytes());
    context.sign()
}

/// RFC 7714 9.2.
fn rtcp_aad(packet: &[u8], word: &[u8]) -> Option<[u8; 12]> {
    let mut aad = [0; 12];
    aad[..8].copy_from_slice(packet.get(..8)?);
    aad[8..].copy_from_slice(word.get(..4)?);
    Some(aad)
}

/// AES in counter mode; the schedule of the key is not copied.
fn apply(cipher: &Aes128, counter: [u8; 16], data: &mut [u8]) {
    let core = ctr::CtrCore::<&Aes128, Ctr128BE>::inner_iv_init(cipher, &counter.into());
    core.apply_keystream_partial(data.into());
}

fn same(left: &[u8], right: &[u8]) -> bool {
    bool::from(subtle::ConstantTimeEq::ct_eq(left, right))
}
