//! The vectors of RFC 3711 and RFC 7714, and what holds for all packets. Against the library's own SRTP: `rtc/driver/srtp_tests.rs`.

use super::cipher::Session;
use super::open::Opener;
use super::seal::{SealingKeys, Unsealed};
use super::*;
use proptest::prelude::*;

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn master(profile: Profile) -> MasterKey {
    let bytes: Vec<u8> = (1..=46).collect();
    MasterKey::new(&bytes[..profile.key_len()], &bytes[32..32 + profile.salt_len()]).unwrap()
}

fn header(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut header = vec![0x80, 96];
    header.extend(sequence.to_be_bytes());
    header.extend([0, 0, 0, 9]);
    header.extend(ssrc.to_be_bytes());
    header
}

/// RFC 3711 B.2.
#[test]
fn counter_mode_of_the_rfc() {
    let key = hex("2B7E151628AED2A6ABF7158809CF4F3C");
    let session = Session::new(Profile::AesCm80, &key, &hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"), &[0; 20]).unwrap();
    let mut packet = vec![0; 32];
    session.seal_rtp(&mut packet, 0, 0, 0, 0).unwrap();
    assert_eq!(packet[..32], hex("E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB"));
}

const PLAIN_RTP: &str =
    "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e2070617274657320747265 73";
const PLAIN_RTCP: &str =
    "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";

fn gcm(profile: Profile) -> Session {
    let key: Vec<u8> = (0..32).collect();
    Session::new(profile, &key[..profile.key_len()], b"Quid pro quo", &[]).unwrap()
}

/// RFC 7714 16.
#[test]
fn rtp_of_the_rfc_with_gcm() {
    let sealed = [
        (
            Profile::Gcm128,
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833\
             899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            Profile::Gcm256,
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b\
             7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ];
    for (profile, expected) in sealed {
        let (session, mut packet) = (gcm(profile), hex(PLAIN_RTP));
        session.seal_rtp(&mut packet, 0, 12, 0x5501_a0b2, 0xf17b).unwrap();
        assert_eq!(packet[12..], hex(expected), "{profile:?}");
        assert_eq!(session.open_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b), Some(50));
        assert_eq!(packet[..50], hex(PLAIN_RTP));
    }
}

/// RFC 7714 17.
#[test]
fn rtcp_of_the_rfc_with_gcm() {
    let (session, mut packet) = (gcm(Profile::Gcm128), hex(PLAIN_RTCP));
    session.seal_rtcp(&mut packet, 0x4d61_7273, 0x5d4).unwrap();
    let expected = "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded\
        0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4";
    assert_eq!(packet, hex(expected));
    assert_eq!(session.rtcp_index(&packet), Some(0x5d4));
    assert_eq!(session.open_rtcp(&mut packet, 0x4d61_7273, 0x5d4), Some(52));
    assert_eq!(packet[..52], hex(PLAIN_RTCP));
}

#[test]
fn rtcp_that_was_there_is_refused_and_what_is_forged_moves_nothing() {
    for profile in Profile::ALL {
        let mut keys = SealingKeys::new(master(profile), profile).unwrap();
        let (mut sealer, mut opener) = (keys.rtcp(7).unwrap(), Opener::new(&master(profile), profile).unwrap());
        let sealed: Vec<Vec<u8>> = (0..200)
            .map(|_| {
                let mut packet = vec![0x80, 201, 0, 1, 0, 0, 0, 7];
                sealer.seal(&mut packet).unwrap();
                packet
            })
            .collect();
        let mut open = |packet: &[u8]| opener.open_rtcp(&mut packet.to_vec());
        assert_eq!(open(&sealed[150]), Ok(8));
        assert_eq!(open(&sealed[150]), Err(Refused::Replayed));
        assert_eq!(open(&sealed[140]), Ok(8), "one that was overtaken");
        assert_eq!(open(&sealed[20]), Err(Refused::Replayed), "too old to tell");
        let mut forged = sealed[190].clone();
        // The index is in the clear, and signed.
        let at = forged.len() - if profile.is_aead() { 4 } else { 14 };
        forged[at + 1] = 0x40;
        assert_eq!(open(&forged), Err(Refused::Forged));
        assert_eq!(open(&sealed[160]), Ok(8), "a forged index moves no window");
        let mut plain = sealed[170].clone();
        plain[at] &= 0x7f;
        assert_eq!(open(&plain), Err(Refused::Malformed), "what is not encrypted is not negotiated");
        for len in 0..sealed[0].len() {
            assert!(open(&sealed[199][..len]).is_err());
        }
    }
}

#[test]
fn an_ssrc_has_one_sealer_whose_index_only_grows() {
    let mut keys = SealingKeys::new(master(Profile::Gcm128), Profile::Gcm128).unwrap();
    let mut sealer = keys.rtp(7).unwrap();
    assert!(keys.rtp(7).is_none() && keys.rtcp(7).is_some() && keys.rtcp(7).is_none());
    assert!(keys.reserve(8) && !keys.reserve(8) && keys.rtp(8).is_none() && keys.rtcp(8).is_none());
    assert!(!keys.reserve(7), "it is too late for that");

    let mut out = Vec::new();
    assert_eq!(sealer.seal(&header(7, 100), b"a", &mut out), Ok(()));
    let len = out.len();
    for again in [100, 99, 100u16.wrapping_sub(0x7fff)] {
        assert_eq!(sealer.seal(&header(7, again), b"b", &mut out), Err(Unsealed::Backwards), "{again}");
    }
    assert_eq!(sealer.seal(&header(8, 101), b"b", &mut out), Err(Unsealed::NotOurs));
    assert_eq!(sealer.seal(&[0x80, 96], b"b", &mut out), Err(Unsealed::NotOurs));
    assert_eq!(out.len(), len, "what is not sealed leaves nothing");
    drop(sealer);
    assert!(keys.rtp(7).is_none(), "nor does another one begin anew");
    let mut rtcp = keys.rtcp(9).unwrap();
    assert_eq!(rtcp.seal(&mut vec![0x80, 201, 0, 1, 0, 0, 0, 7]), Err(Unsealed::NotOurs));
}

proptest! {
    /// Over rollovers; whatever is changed in a sealed packet is noticed.
    #[test]
    fn what_is_sealed_opens_and_what_is_changed_does_not(
        profile in prop::sample::select(Profile::ALL.to_vec()),
        start in 60_000u16..,
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 1..20),
        step in 1u16..5000,
        flip in any::<prop::sample::Index>(),
    ) {
        let mut keys = SealingKeys::new(master(profile), profile).unwrap();
        let (mut sealer, opener) = (keys.rtp(0xdead_beef).unwrap(), Opener::new(&master(profile), profile).unwrap());
        let (mut newest, mut sequence) = (None, start);
        for payload in payloads {
            let mut packet = Vec::new();
            sealer.seal(&header(0xdead_beef, sequence), &payload, &mut packet).unwrap();
            prop_assert_eq!(packet.len(), 12 + payload.len() + sealer.tag_len());
            let index = index::nearest(newest, sequence).unwrap();
            let mut changed = packet.clone();
            let at = flip.index(changed.len());
            changed[at] ^= 1;
            prop_assert_eq!(opener.open_rtp(&mut changed, 12, 0xdead_beef, index), None);
            prop_assert_eq!(opener.open_rtp(&mut packet.clone(), 12, 0xdead_beef, index + 65_536), None);
            let end = opener.open_rtp(&mut packet, 12, 0xdead_beef, index);
            prop_assert_eq!(end, Some(12 + payload.len()));
            prop_assert_eq!(&packet[12..12 + payload.len()], &payload[..]);
            newest = Some(index);
            sequence = sequence.wrapping_add(step);
        }
    }
}
