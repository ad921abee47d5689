//! A track with gaps, and what is made of it.

use super::*;
use crate::container::matroska::{StoredFrame, TrackFormat};

/// A file of packets with these times and durations in milliseconds: 20 or 60.
fn track(dir: &Path, packets: &[(u64, u64)]) -> PathBuf {
    let path = dir.join("bob.mic.1.webm");
    let format = TrackFormat { codec: Codec::Opus, config: None, size: None, channels: 2, name: "bob".into() };
    let mut writer = TrackWriter::new(File::create(&path).unwrap(), format).unwrap();
    for (ms, length) in packets {
        let packet = [if *length == 60 { 0x18 } else { 0x08 }, 1, 2, 3];
        writer.push(*ms, true, std::iter::once(&packet[..])).unwrap();
    }
    writer.finish().unwrap();
    path
}

fn frames(file: File) -> Vec<StoredFrame> {
    TrackReader::new(file).unwrap().frames().collect::<Result<_>>().unwrap()
}

/// How long it plays, in milliseconds.
fn played(frames: &[StoredFrame]) -> u64 {
    frames.iter().map(|frame| packet_quarter_ms(&frame.data).unwrap()).sum::<u64>() / 4
}

#[test]
fn gaps_last_as_long_as_they_did() {
    let dir = tempfile::tempdir().unwrap();
    // A lost packet, a mute of five seconds, a gap of half a packet, and packets of 60 ms.
    let sent = [(0, 20), (20, 20), (60, 20), (5080, 60), (5140, 60), (5210, 20)];
    let made = frames(filled(&track(dir.path(), &sent), u64::MAX).unwrap().unwrap());
    assert_eq!(played(&made), 5230);
    let kept: Vec<u64> = made.iter().filter(|frame| frame.data.len() == 4).map(|frame| frame.ms).collect();
    assert_eq!(kept, sent.map(|(ms, _)| ms));
    let silence = made.iter().filter(|frame| frame.data.len() == 3);
    assert_eq!(silence.map(|frame| packet_quarter_ms(&frame.data).unwrap() / 4).sum::<u64>(), 20 + 5000 + 10);
    assert!(made.is_sorted_by_key(|frame| frame.ms));
}

#[test]
fn what_needs_nothing_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    // Times are rounded, and may be a little early.
    assert!(filled(&track(dir.path(), &[(0, 20), (21, 20), (40, 20), (59, 20)]), u64::MAX).unwrap().is_none());
    assert!(filled(&track(dir.path(), &[(0, 20), (LONGEST_MS + 1, 20)]), u64::MAX).unwrap().is_none());
    std::fs::write(dir.path().join("x.webm"), "no track").unwrap();
    assert!(filled(&dir.path().join("x.webm"), u64::MAX).is_err());
}

#[tokio::test]
async fn a_filled_track_is_made_once_for_each_length() {
    let dir = tempfile::tempdir().unwrap();
    let path = track(dir.path(), &[(0, 20), (1000, 20)]);
    let filler = Filler::default();
    let length = std::fs::metadata(&path).unwrap().len();
    let first = filler.fill(&path, length).await.unwrap();
    assert!(Arc::ptr_eq(&first, &filler.fill(&path, length).await.unwrap()));
    assert!(!Arc::ptr_eq(&first, &filler.fill(&path, length + 1).await.unwrap()));
    // Of the bytes that were there when it was shorter.
    assert!(filler.fill(&path, 1).await.is_none());
    assert_eq!(filler.kept.lock().unwrap().len(), 1);
    assert_eq!(played(&frames(first.try_clone().unwrap())), 1020);
}
