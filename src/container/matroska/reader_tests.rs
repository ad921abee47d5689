//! The reader of track files on truncated, damaged and foreign files.

use super::*;
use crate::container::matroska::TrackWriter;
use proptest::prelude::*;
use std::io::Cursor;

fn format() -> TrackFormat {
    TrackFormat { codec: Codec::Vp8, config: None, size: Some((64, 48)), channels: 0, name: "alice camera".into() }
}

/// A track file of `count` frames, 100 ms apart, of differing lengths, a cluster each half second.
fn file(count: u64, finish: bool) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("track");
    let mut writer = TrackWriter::new(File::create_new(&path).unwrap(), format()).unwrap();
    for n in 0..count {
        writer.push(n * 100, n % 10 == 0, std::iter::once(&vec![n as u8; 1 + n as usize * 7 % 300][..])).unwrap();
        if n % 5 == 4 {
            writer.flush().unwrap();
        }
    }
    if finish { writer.finish() } else { writer.flush() }.unwrap();
    std::fs::read(&path).unwrap()
}

fn scan_bytes(bytes: &[u8]) -> Result<Scan> {
    TrackReader::new(Cursor::new(bytes))?.scan()
}

#[test]
fn a_torn_file_gives_what_was_whole_at_every_length() {
    let whole = file(23, false);
    let all: Vec<_> = TrackReader::new(Cursor::new(&whole)).unwrap().frames().map(Result::unwrap).collect();
    assert_eq!(all.len(), 23);
    let mut seen = 0;
    for cut in 0..=whole.len() {
        let Ok(reader) = TrackReader::new(Cursor::new(&whole[..cut])) else {
            assert_eq!(seen, 0, "a header is whole or not");
            continue;
        };
        let frames: Vec<_> = reader.frames().map(Result::unwrap).collect();
        assert_eq!(frames, all[..frames.len()]);
        assert!(frames.len() == seen || frames.len() == seen + 1, "one more byte ends at most one more frame");
        seen = frames.len();
        let scanned = scan_bytes(&whole[..cut]).unwrap();
        assert_eq!(scanned.frames, seen as u64);
        assert!(!scanned.finished && scanned.dropped < 400, "{cut}: {scanned:?}");
    }
    assert_eq!(seen, 23);
}

#[test]
fn a_finished_file_says_so_and_one_byte_less_does_not() {
    let whole = file(23, true);
    let scanned = scan_bytes(&whole).unwrap();
    assert!(scanned.finished);
    assert_eq!((scanned.first_ms, scanned.last_ms, scanned.duration_ms), (Some(0), Some(2200), Some(2300)));
    assert_eq!((scanned.key_frames, scanned.format), (3, format()));
    let shorter = scan_bytes(&whole[..whole.len() - 1]).unwrap();
    assert!(!shorter.finished && shorter.frames == 23);
    let mut longer = whole.clone();
    longer.extend_from_slice(b"not ours");
    assert_eq!(scan_bytes(&longer).unwrap().dropped, 8);
}

#[test]
fn a_length_from_nowhere_is_not_believed() {
    let whole = file(3, false);
    let at = whole.windows(1).rposition(|byte| byte == [0xA3]).unwrap();
    // The last block claims 2^56 - 2 bytes, then "unknown".
    for size in [ebml::wide_size(Some((1 << 56) - 2)), ebml::wide_size(None)] {
        let mut lying = whole[..=at].to_vec();
        lying.extend_from_slice(&size);
        lying.extend_from_slice(&[0x81, 0, 0, 0, 1, 2, 3]);
        assert_eq!(scan_bytes(&lying).unwrap().frames, 2);
    }
}

#[test]
fn other_files_are_not_taken_for_ours() {
    for bytes in [&b""[..], b"RIFF....WEBPVP8 ", &[0x1A, 0x45, 0xDF, 0xA3, 0x80], &[0xFF; 64], &[0; 64]] {
        assert!(TrackReader::new(Cursor::new(bytes)).is_err());
    }
}

proptest! {
    #[test]
    fn damage_never_panics_nor_invents(at in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 1..24), finish in any::<bool>()) {
        let mut damaged = file(12, finish);
        let at = at.index(damaged.len());
        for (place, byte) in damaged[at..].iter_mut().zip(bytes) {
            *place = byte;
        }
        let length = damaged.len() as u64;
        if let Ok(scanned) = scan_bytes(&damaged) {
            prop_assert!(scanned.payload + scanned.dropped <= length && scanned.frames <= length);
            let frames = TrackReader::new(Cursor::new(&damaged)).unwrap().frames().map(Result::unwrap);
            prop_assert_eq!(frames.map(|frame| frame.data.len() as u64).sum::<u64>(), scanned.payload);
        }
    }

    #[test]
    fn any_bytes_after_a_header_are_read_without_panic(tail in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = file(0, false);
        let length = bytes.len() as u64;
        bytes.extend(&tail);
        let scanned = scan_bytes(&bytes).unwrap();
        prop_assert!(scanned.dropped <= tail.len() as u64 && scanned.payload <= length);
    }
}
