//! Master keys, and the session keys that follow from them (RFC 3711 4.3, RFC 7714 11), without a key derivation rate as RFC 5764 has it.

use crate::rtc::srtp::Profile;
use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockEncrypt, KeyInit};
use aes::{Aes128, Aes256};
use std::fmt;
use zeroize::Zeroizing;

/// What a session key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Label {
    RtpCipher = 0,
    RtpTag = 1,
    RtpSalt = 2,
    RtcpCipher = 3,
    RtcpTag = 4,
    RtcpSalt = 5,
}

/// The master key and salt of one direction. It cannot be copied: whoever seals under it owns it. Overwritten when it is dropped.
pub(crate) struct MasterKey {
    key: Zeroizing<Vec<u8>>,
    /// Filled up with zeroes, as derivation has it.
    salt: Zeroizing<[u8; 14]>,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("len", &self.key.len()).finish_non_exhaustive()
    }
}

impl MasterKey {
    /// A key of 16 or 32 bytes and a salt of at most 14; none of other lengths.
    pub fn new(key: &[u8], salt: &[u8]) -> Option<MasterKey> {
        if ![16, 32].contains(&key.len()) || salt.len() > 14 {
            return None;
        }
        let mut filled = Zeroizing::new([0; 14]);
        filled[..salt.len()].copy_from_slice(salt);
        Some(MasterKey { key: Zeroizing::new(key.to_vec()), salt: filled })
    }

    /// Whether it is this key.
    pub fn is(&self, key: &[u8]) -> bool {
        bool::from(subtle::ConstantTimeEq::ct_eq(&self.key[..], key))
    }

    /// Whether it has the length that a profile wants.
    pub fn fits(&self, profile: Profile) -> bool {
        self.key.len() == profile.key_len()
    }

    /// `len` bytes of the key stream for a purpose.
    pub(super) fn derive(&self, label: Label, len: usize) -> Zeroizing<Vec<u8>> {
        let mut stream = Zeroizing::new(vec![0; len.div_ceil(16) * 16]);
        for (number, block) in stream.chunks_exact_mut(16).enumerate() {
            block[..14].copy_from_slice(&self.salt[..]);
            block[7] ^= label as u8;
            block[14..].copy_from_slice(&(number as u16).to_be_bytes());
        }
        let blocks = stream.chunks_exact_mut(16).map(GenericArray::from_mut_slice);
        // The length was checked when it was made.
        if self.key.len() == 32 {
            let cipher = Aes256::new(GenericArray::from_slice(&self.key));
            blocks.for_each(|block| cipher.encrypt_block(block));
        } else {
            let cipher = Aes128::new(GenericArray::from_slice(&self.key));
            blocks.for_each(|block| cipher.encrypt_block(block));
        }
        stream.truncate(len);
        stream
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtc::srtp::tests::hex;

    /// RFC 3711 B.3.
    #[test]
    fn the_keys_of_the_rfc_are_derived() {
        let master =
            MasterKey::new(&hex("E1F97A0D3E018BE0D64FA32C06DE4139"), &hex("0EC675AD498AFEEBB6960B3AABE6")).unwrap();
        assert_eq!(master.derive(Label::RtpCipher, 16)[..], hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(master.derive(Label::RtpSalt, 14)[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
        let tag = "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF7227098\
            6371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2DC68";
        assert_eq!(master.derive(Label::RtpTag, 94)[..], hex(tag)[..94]);
    }

    #[test]
    fn a_key_of_another_length_is_none() {
        assert!(MasterKey::new(&[0; 24], &[0; 14]).is_none());
        assert!(MasterKey::new(&[0; 16], &[0; 15]).is_none());
        let key = MasterKey::new(&[7; 16], &[1; 12]).unwrap();
        assert!(key.fits(Profile::Gcm128) && !key.fits(Profile::Gcm256) && key.is(&[7; 16]) && !key.is(&[7; 32]));
        assert_eq!(format!("{key:?}"), "MasterKey { len: 16, .. }");
    }
}
