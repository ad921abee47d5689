//! Our SRTP against the library's, whatever is sealed; and what the watched provider sees.

use super::*;
use crate::rtc::srtp::seal::SealingKeys;
use crate::rtc::srtp::{MasterKey, Profile, Refused};
use proptest::prelude::*;

const PROFILES: [(Profile, ProtectionProfile); 4] = [
    (Profile::AesCm80, ProtectionProfile::Aes128CmHmacSha1_80),
    (Profile::AesCm32, ProtectionProfile::Aes128CmHmacSha1_32),
    (Profile::Gcm128, ProtectionProfile::AeadAes128Gcm),
    (Profile::Gcm256, ProtectionProfile::AeadAes256Gcm),
];

fn parts(profile: Profile, bytes: &[u8]) -> (&[u8], &[u8]) {
    (&bytes[..profile.key_len()], &bytes[32..32 + profile.salt_len()])
}

fn library(profile: (Profile, ProtectionProfile), bytes: &[u8]) -> Context {
    let (key, salt) = parts(profile.0, bytes);
    Context::new(key, salt, profile.1, None, None, default_provider().unwrap().crypto()).unwrap()
}

fn master(profile: Profile, bytes: &[u8]) -> MasterKey {
    let (key, salt) = parts(profile, bytes);
    MasterKey::new(key, salt).unwrap()
}

/// A header with what a sender may put into it, and its length.
fn packet(ssrc: u32, sequence: u16, sources: u8, words: Option<u8>, payload: &[u8]) -> (Vec<u8>, usize) {
    let mut packet = vec![0x80 | sources | (u8::from(words.is_some()) << 4), 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend([1, 2, 3, 4]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..4 * sources).collect::<Vec<u8>>());
    if let Some(words) = words {
        packet.extend([0xbe, 0xde, 0, words]);
        packet.extend(std::iter::repeat_n(0, 4 * usize::from(words)));
    }
    let header = packet.len();
    packet.extend(payload);
    (packet, header)
}

#[test]
fn the_library_derives_its_keys_as_we_think() {
    assert_eq!(self_test(), None);
    assert!(WatchedProvider::new(vec![Arc::default()]).is_some());
}

#[test]
fn a_keyring_gives_keys_of_the_newest_handshake_once() {
    let keyring = Keyring::default();
    let see = |number: u8| {
        keyring.on_block(&[number; 16], &[number; 16]);
        keyring.on_block(&[number; 16], &[0; 16]);
    };
    see(1);
    assert!(!keyring.is_complete() && keyring.take().is_none(), "one key is no pair");
    keyring.on_cipher(true);
    keyring.on_cipher(false);
    see(2);
    assert!(keyring.take().is_none(), "nobody knows yet what the second is for");
    keyring.on_cipher(true);
    assert!(keyring.is_complete());
    let pair = keyring.take().unwrap();
    assert!(pair.first.is(&[1; 16]) && pair.second.is(&[2; 16]) && !keyring.is_complete() && keyring.take().is_none());
    assert_eq!(pair.profiles().collect::<Vec<_>>(), [Profile::Gcm128]);
    for number in 3..30 {
        see(number);
        keyring.on_cipher(false);
    }
    let pair = keyring.take().unwrap();
    assert!(pair.first.is(&[28; 16]) && pair.second.is(&[29; 16]));
    assert_eq!(pair.profiles().collect::<Vec<_>>(), [Profile::AesCm80, Profile::AesCm32]);
}

proptest! {
    #[test]
    fn rtp_of_the_library_opens_and_ours_is_opened_by_it(
        profile in prop::sample::select(PROFILES.to_vec()),
        bytes in prop::collection::vec(any::<u8>(), 46),
        ssrc in any::<u32>(),
        start in any::<u16>(),
        steps in prop::collection::vec((1u16..20_000, 0u8..4, prop::option::of(0u8..4), prop::collection::vec(any::<u8>(), 0..80)), 1..12),
    ) {
        let (mut theirs, opener) = (library(profile, &bytes), Opener::new(&master(profile.0, &bytes), profile.0).unwrap());
        let mut keys = SealingKeys::new(master(profile.0, &bytes), profile.0).unwrap();
        let (mut sealer, mut reader) = (keys.rtp(ssrc).unwrap(), library(profile, &bytes));
        let (mut newest, mut sequence) = (None, start);
        for (step, sources, words, payload) in steps {
            let (plain, header) = packet(ssrc, sequence, sources, words, &payload);
            let mut sealed = theirs.encrypt_rtp(&plain).unwrap().to_vec();
            let mut ours = Vec::new();
            sealer.seal(&plain[..header], &payload, &mut ours).unwrap();
            prop_assert_eq!(&ours, &sealed);
            prop_assert_eq!(&reader.decrypt_rtp(&ours).unwrap()[..], &plain[..]);
            let index = nearest(newest, sequence).unwrap();
            prop_assert_eq!(opener.open_rtp(&mut sealed, header, ssrc, index), Some(plain.len()));
            prop_assert_eq!(&sealed[..plain.len()], &plain[..]);
            newest = Some(index);
            sequence = sequence.wrapping_add(step);
        }
    }

    #[test]
    fn rtcp_of_the_library_opens_and_ours_is_opened_by_it(
        profile in prop::sample::select(PROFILES.to_vec()),
        bytes in prop::collection::vec(any::<u8>(), 46),
        ssrc in any::<u32>(),
        bodies in prop::collection::vec(prop::collection::vec(any::<u32>(), 0..20), 1..8),
    ) {
        let (mut theirs, mut opener) = (library(profile, &bytes), Opener::new(&master(profile.0, &bytes), profile.0).unwrap());
        let mut keys = SealingKeys::new(master(profile.0, &bytes), profile.0).unwrap();
        let (mut sealer, mut reader) = (keys.rtcp(ssrc).unwrap(), library(profile, &bytes));
        for body in bodies {
            let mut plain = vec![0x80, 204, 0, body.len() as u8 + 1];
            plain.extend(ssrc.to_be_bytes());
            plain.extend(body.iter().flat_map(|word| word.to_be_bytes()));
            let mut sealed = theirs.encrypt_rtcp(&plain).unwrap().to_vec();
            prop_assert_eq!(opener.open_rtcp(&mut sealed), Ok(plain.len()));
            prop_assert_eq!(&sealed[..plain.len()], &plain[..]);
            let mut ours = plain.clone();
            sealer.seal(&mut ours).unwrap();
            prop_assert_eq!(&reader.decrypt_rtcp(&ours).unwrap()[..], &plain[..]);
            prop_assert_eq!(opener.open_rtcp(&mut ours), Err(Refused::Replayed), "both begin with the same index");
        }
    }
}
