//! A provider of cryptography that is the library's own, watched: the library keeps its SRTP keys to itself, but derives them by its provider,
//! one block at a time. What is seen goes to a [`Keyring`]; nothing that the library gets is changed.

use crate::rtc::srtp::index::nearest;
use crate::rtc::srtp::keyring::Keyring;
use crate::rtc::srtp::open::Opener;
use rtc::crypto::{
    ActiveKeyExchange, AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, CbcAlgorithm, CbcCipher, CryptoAlgorithm,
    CryptoError, HashAlgorithm, HmacAlgorithm, KeyExchangeAlgorithm, Mac, PublicKey, RTCCrypto, RTCCryptoProvider,
    RTCRandom, SignatureScheme, SigningKey, StreamCipher, StreamCipherAlgorithm, default_provider,
};
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;
use std::sync::{Arc, OnceLock};

/// The library's provider, and who is told which keys it derives.
pub(crate) struct WatchedProvider {
    inner: Arc<dyn RTCCryptoProvider>,
    crypto: WatchedCrypto,
}

struct WatchedCrypto {
    inner: Arc<dyn RTCCryptoProvider>,
    keyrings: Vec<Arc<Keyring>>,
}

impl WatchedProvider {
    /// A provider that tells `keyrings`; none where there are none, or where the library derives its keys in a way that we do not understand
    /// (said once).
    pub(crate) fn new(keyrings: Vec<Arc<Keyring>>) -> Option<WatchedProvider> {
        if keyrings.is_empty() {
            return None;
        }
        static UNDERSTOOD: OnceLock<bool> = OnceLock::new();
        let understood = *UNDERSTOOD.get_or_init(|| {
            let failed = self_test();
            if let Some(what) = failed {
                tracing::warn!(
                    "received media takes the slow way: the keys of the WebRTC library cannot be seen ({what})"
                );
            }
            failed.is_none()
        });
        if understood { WatchedProvider::unchecked(keyrings) } else { None }
    }

    fn unchecked(keyrings: Vec<Arc<Keyring>>) -> Option<WatchedProvider> {
        let inner = default_provider().ok()?;
        Some(WatchedProvider { crypto: WatchedCrypto { inner: inner.clone(), keyrings }, inner })
    }
}

/// Derives keys as the library does after a handshake, and opens what it seals with them. Returns what does not come about.
fn self_test() -> Option<&'static str> {
    let profiles = [
        ProtectionProfile::Aes128CmHmacSha1_80,
        ProtectionProfile::Aes128CmHmacSha1_32,
        ProtectionProfile::AeadAes128Gcm,
        ProtectionProfile::AeadAes256Gcm,
    ];
    profiles.into_iter().find_map(|profile| observe(profile).err())
}

fn observe(profile: ProtectionProfile) -> Result<(), &'static str> {
    let bytes: Vec<u8> = (0..92).collect();
    let (ours, theirs) = bytes.split_at(46);
    let cut = |bytes: &[u8]| {
        let (key, salt) = bytes.split_at(32);
        (key[..profile.key_len()].to_vec(), salt[..profile.salt_len()].to_vec())
    };
    let keyring = Arc::new(Keyring::default());
    let watched = WatchedProvider::unchecked(vec![keyring.clone()]).ok_or("there is no provider")?;
    let context = |(key, salt): &(Vec<u8>, Vec<u8>)| {
        Context::new(key, salt, profile, None, None, watched.crypto()).map_err(|_| "it makes no context")
    };
    let (ours, theirs) = (cut(ours), cut(theirs));
    let (_, mut sealer) = (context(&ours)?, context(&theirs)?);
    let pair = keyring.take().filter(|_| !keyring.is_complete()).ok_or("it does not derive two keys")?;
    if !pair.first.is(&ours.0) || !pair.second.is(&theirs.0) {
        return Err("it derives other keys");
    }
    let packet = [0x80, 96, 0, 9, 0, 0, 0, 1, 0, 0, 0, 7, 1, 2, 3, 4];
    let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
    let sealed = sealer.encrypt_rtp(&packet).map_err(|_| "it does not seal")?;
    let sealed_report = sealer.encrypt_rtcp(&report).map_err(|_| "it does not seal")?;
    let opens = |mut opener: Opener| {
        let index = nearest(None, 9)?;
        let (mut sealed, mut sealed_report) = (sealed.to_vec(), sealed_report.to_vec());
        let end = opener.open_rtp(&mut sealed, 12, 7, index)?;
        let report_end = opener.open_rtcp(&mut sealed_report).ok()?;
        (sealed[..end] == packet && sealed_report[..report_end] == report).then_some(())
    };
    let mut openers = pair.profiles().filter_map(|profile| Opener::new(&pair.second, profile));
    openers.find_map(opens).ok_or("its packets do not open")
}

impl RTCCryptoProvider for WatchedProvider {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn crypto(&self) -> &dyn RTCCrypto {
        &self.crypto
    }
    fn random(&self) -> &dyn RTCRandom {
        self.inner.random()
    }
}

impl WatchedCrypto {
    fn inner(&self) -> &dyn RTCCrypto {
        self.inner.crypto()
    }
}

impl RTCCrypto for WatchedCrypto {
    fn supports(&self, algorithm: CryptoAlgorithm) -> bool {
        self.inner().supports(algorithm)
    }
    fn hash(&self, algorithm: HashAlgorithm, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.inner().hash(algorithm, data)
    }
    fn block_encrypt(&self, algorithm: BlockCipherAlgorithm, key: &[u8], block: &mut [u8]) -> Result<(), CryptoError> {
        self.keyrings.iter().for_each(|keyring| keyring.on_block(key, block));
        self.inner().block_encrypt(algorithm, key, block)
    }
    fn new_hmac(&self, algorithm: HmacAlgorithm, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        self.inner().new_hmac(algorithm, key)
    }
    fn new_stream_cipher(
        &self,
        algorithm: StreamCipherAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn StreamCipher>, CryptoError> {
        self.keyrings.iter().for_each(|keyring| keyring.on_cipher(false));
        self.inner().new_stream_cipher(algorithm, key)
    }
    fn new_aead(&self, algorithm: AeadAlgorithm, key: &[u8]) -> Result<Box<dyn AeadCipher>, CryptoError> {
        self.keyrings.iter().for_each(|keyring| keyring.on_cipher(true));
        self.inner().new_aead(algorithm, key)
    }
    fn new_cbc(&self, algorithm: CbcAlgorithm, key: &[u8]) -> Result<Box<dyn CbcCipher>, CryptoError> {
        self.inner().new_cbc(algorithm, key)
    }
    fn start_key_exchange(&self, algorithm: KeyExchangeAlgorithm) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        self.inner().start_key_exchange(algorithm)
    }
    fn generate_signing_key(&self, scheme: SignatureScheme) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.inner().generate_signing_key(scheme)
    }
    fn import_signing_key(
        &self,
        scheme: SignatureScheme,
        pkcs8_der: &[u8],
    ) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.inner().import_signing_key(scheme, pkcs8_der)
    }
    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        public_key: PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        self.inner().verify_signature(scheme, public_key, message, signature)
    }
}

#[cfg(test)]
mod tests;
