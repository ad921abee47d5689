//! From packets to the account in the manifest: every count, every warning, and the law that no packet is in none.

#[path = "paused_tests.rs"]
mod paused;

use super::connection::{Connection, Shared};
use super::context::{PauseState, RecordingContext};
use super::disk::Disk;
use super::log::RecordingLog;
use super::notices::Notices;
use super::reception::Reception;
use super::unconnected::Unconnected;
use super::unowned::{Counted, Unowned};

use crate::recording::folder::RecordingFolder;
use crate::recording::manifest::{Manifest, Status};
use crate::recording::timeline::{Entry, Event, TimelineReader};
use crate::room::clock::SessionTime;
use crate::room::end::EndReason;
use crate::room::media::{Codec, MediaKind, PacketFormat, RemoteTrack, RtpPacket, Source};
use crate::room::participant::{Participant, ParticipantId, Role, TrackLabel};
use crate::room::speaker::SpeakerDetector;
use crate::rtc::Inbound;
use bytes::Bytes;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SSRC: u32 = 7;

/// One participant, Alice, who is recorded on a virtual clock.
struct Rig {
    dir: tempfile::TempDir,
    shared: Shared,
    connection: Connection,
    start: Instant,
    now: Instant,
    sequence: u16,
    sent: u64,
    /// What the payload type of packets stands for.
    format: PacketFormat,
}

impl Rig {
    fn new(labels: &[(Source, MediaKind)]) -> Rig {
        Rig::of(Role::Participant, labels)
    }

    /// The recording's end, without one of the connection.
    fn end_unconnected(mut self, unconnected: Unconnected) -> Manifest {
        unconnected.end(self.now, &mut self.shared);
        let at = self.shared.context.log.session(self.now);
        self.shared.context.finish(at, &EndReason::Stopped).unwrap()
    }

    fn of(role: Role, labels: &[(Source, MediaKind)]) -> Rig {
        Rig::with(&Reception::default(), role, labels)
    }

    fn with(reception: &Reception, role: Role, labels: &[(Source, MediaKind)]) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let folder = Arc::new(RecordingFolder::create(dir.path(), "test", Timestamp::UNIX_EPOCH).unwrap());
        let start = Instant::now();
        let manifest = Manifest::new("test", "memory:", Timestamp::UNIX_EPOCH);
        let mut log = RecordingLog::new(&folder, manifest, start, 0).unwrap();
        log.begin(None);
        let label = |(source, kind): &(Source, MediaKind)| TrackLabel {
            stream: source.word().into(),
            kind: *kind,
            source: *source,
            muted: false,
        };
        let tracks: Vec<TrackLabel> = labels.iter().map(label).collect();
        let id = ParticipantId("p1".into());
        log.joined(
            Participant { id: id.clone(), name: "Alice".into(), role, tracks: tracks.clone() },
            SessionTime::default(),
        );
        let notices = Notices::new("alice".into(), !log.is_bot(&id), start);
        let disk = Disk::start(folder.clone()).unwrap();
        let shared = Shared {
            context: RecordingContext {
                folder,
                log,
                disk,
                disk_error: None,
                pause: PauseState::Recording(start),
                reception: reception.clone(),
            },
            speakers: SpeakerDetector::default(),
            unlevelled: None,
            key_frame_requests: tokio::sync::mpsc::unbounded_channel().0,
        };
        let connection =
            Connection::new((id, "alice".into()), Arc::default(), tracks, notices, reception.subscriber(start));
        Rig { dir, shared, connection, start, now: start, sequence: 0, sent: 0, format: Codec::Vp8.into() }
    }

    fn announce(&mut self, codec: Codec, source: Source) {
        self.format = codec.into();
        let (stream, track) = (source.word().to_owned(), "t".to_owned());
        let track = RemoteTrack { ssrc: SSRC, codec, stream, track, channels: 2, rid: None };
        self.connection.track(track, self.now, &mut self.shared);
    }

    fn packet(&mut self, marker: bool, payload: &[u8]) -> RtpPacket {
        self.sequence = self.sequence.wrapping_add(1);
        let timestamp = (self.now.duration_since(self.start).as_millis() as u32) * 90;
        RtpPacket {
            ssrc: SSRC,
            payload_type: 96,
            format: self.format.clone(),
            sequence: self.sequence,
            timestamp,
            marker,
            audio_level: None,
            arrival: self.now,
            payload: Bytes::copy_from_slice(payload),
        }
    }

    fn take(&mut self, packet: RtpPacket) {
        self.sent += 1;
        self.connection.receive(std::iter::once(Inbound::Rtp(packet)), &mut self.shared);
    }

    /// A VP8 frame of two packets.
    fn frame(&mut self, key: bool) {
        let first = if key {
            vec![0x10, 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 64, 0, 64, 0, 1, 2, 3]
        } else {
            vec![0x10, 0x11, 0x02, 0x00, 1, 2, 3]
        };
        let packets = [self.packet(false, &first), self.packet(true, &[0, 4, 5, 6])];
        packets.into_iter().for_each(|packet| self.take(packet));
    }

    /// Time passes: a tick each 20 ms, a look each second.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let step = Duration::from_millis(20).min(end - self.now);
            let seconds = |at: Instant| at.duration_since(self.start).as_secs();
            let looks = seconds(self.now) < seconds(self.now + step);
            self.now += step;
            self.connection.tick(self.now, &mut self.shared);
            if looks {
                self.connection.watch(self.now, &mut self.shared);
            }
        }
    }

    /// `each` every 40 ms for so long.
    fn send_for(&mut self, time: Duration, mut each: impl FnMut(&mut Rig, u32)) {
        for n in 0..(time.as_millis() / 40) as u32 {
            each(self, n);
            self.pass(Duration::from_millis(40));
        }
    }

    fn warnings(&self) -> Vec<String> {
        self.shared.context.log.manifest.warnings.clone()
    }

    /// Ends the recording; every packet is in a frame or in a count.
    fn end(self) -> (Manifest, Vec<Event>, tempfile::TempDir) {
        let Rig { dir, mut shared, connection, now, sent, .. } = self;
        let path = shared.context.folder.path().to_owned();
        connection.end(now, &mut shared);
        let at = shared.context.log.session(now);
        let manifest = shared.context.finish(at, &EndReason::Stopped).unwrap();
        let tracks = manifest.tracks.iter().map(|track| {
            assert_eq!(track.arrived, track.in_frames + track.dropped.values().sum::<u64>(), "{track:?}");
            track.arrived
        });
        let others = manifest.unrecorded.iter().map(|stream| {
            assert_eq!(stream.packets, stream.dropped.values().sum::<u64>(), "{stream:?}");
            stream.packets
        });
        assert_eq!(tracks.chain(others).sum::<u64>(), sent, "{manifest:#?}");
        let events = TimelineReader::open(&path.join("timeline.jsonl")).unwrap().map(|Entry { event, .. }| event);
        (manifest, events.collect(), dir)
    }
}

const CAMERA: (Source, MediaKind) = (Source::Camera, MediaKind::Video);
const MIC: (Source, MediaKind) = (Source::Mic, MediaKind::Audio);
const SECOND: Duration = Duration::from_secs(1);

fn told(events: &[Event]) -> Vec<(u64, &str)> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Unrecorded(stream) => Some((stream.packets, stream.reason.as_str())),
            _ => None,
        })
        .collect()
}

#[test]
fn what_is_recorded_whole_is_complete_and_every_packet_is_in_a_frame() {
    let mut rig = Rig::new(&[CAMERA]);
    rig.announce(Codec::Vp8, Source::Camera);
    rig.send_for(8 * SECOND, |rig, n| rig.frame(n % 50 == 0));
    let (manifest, events, _dir) = rig.end();
    assert_eq!((manifest.status, &manifest.warnings[..]), (Status::Complete, &[][..]));
    assert_eq!((manifest.tracks[0].in_frames, manifest.tracks[0].dropped.len()), (400, 0));
    assert_eq!((told(&events), manifest.unrecorded.len()), (vec![], 0));
}

#[test]
fn duplicates_probes_and_loss_are_named_and_no_loss_of_ours() {
    let mut rig = Rig::new(&[CAMERA]);
    rig.announce(Codec::Vp8, Source::Camera);
    rig.send_for(4 * SECOND, |rig, n| match n {
        30 => rig.sequence += 1,
        40 => {
            let empty = rig.packet(false, &[]);
            rig.take(empty.clone());
            rig.take(empty);
        }
        _ => rig.frame(n % 20 == 0),
    });
    let (manifest, ..) = rig.end();
    assert_eq!(manifest.status, Status::Complete, "{:#?}", manifest.reasons);
    let track = &manifest.tracks[0];
    let reasons: Vec<&str> = track.dropped.keys().map(String::as_str).collect();
    assert!(reasons.contains(&"duplicate") && reasons.contains(&"padding"), "{track:?}");
    assert!(reasons.contains(&"undecodable") && track.lost == 1, "{track:?}");
}

#[test]
fn media_that_cannot_be_begun_is_told_after_five_seconds() {
    let idr = |rig: &mut Rig, _| {
        let packet = rig.packet(true, &[0x65, 0x88, 0x84, 0x00]);
        rig.take(packet);
    };
    let noise = |rig: &mut Rig, n: u32| {
        let mut bytes = [0; 40];
        StdRng::seed_from_u64(n.into()).fill_bytes(&mut bytes);
        let packet = rig.packet(true, &bytes);
        rig.take(packet);
    };
    type Sends = fn(&mut Rig, u32);
    let cases: [(Codec, Sends, &str); 2] =
        [(Codec::H264, idr, "no parameter sets"), (Codec::Vp8, noise, "payload is not VP8 (end-to-end encrypted?)")];
    for (codec, sends, reason) in cases {
        let mut rig = Rig::new(&[CAMERA]);
        rig.announce(codec, Source::Camera);
        rig.send_for(4 * SECOND, sends);
        assert_eq!(rig.warnings(), [""; 0]);
        rig.send_for(2 * SECOND, sends);
        let warnings = rig.warnings();
        assert!(warnings.len() == 1 && warnings[0].starts_with("alice camera: 1"), "{warnings:?}");
        rig.send_for(2 * SECOND, sends);
        let (manifest, events, _dir) = rig.end();
        let text = format!("alice camera: 200 packets in 8 s, no picture could be begun: {reason}");
        assert_eq!(manifest.warnings, std::slice::from_ref(&text), "{:#?}", manifest.unrecorded);
        assert_eq!((manifest.status, manifest.tracks.len()), (Status::Partial, 0));
        assert_eq!((manifest.reasons[0].text.as_str(), manifest.reasons.len()), (text.as_str(), 1));
        let told = told(&events);
        assert!(told.len() == 2 && told[0].0 < 200 && told[1] == (200, reason), "{told:?}");
    }
}

#[test]
fn a_track_that_brings_packets_and_no_frames_any_more_is_told() {
    let mut rig = Rig::new(&[CAMERA]);
    rig.announce(Codec::Vp8, Source::Camera);
    rig.send_for(2 * SECOND, |rig, n| rig.frame(n == 0));
    // Lost, and no key frame in spite of all requests.
    rig.sequence += 2;
    rig.send_for(8 * SECOND, |rig, _| rig.frame(false));
    let warnings = rig.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("nothing could be decoded"), "{warnings:?}");
    let (manifest, ..) = rig.end();
    assert_eq!(manifest.status, Status::Partial);
    assert_eq!((manifest.reasons[0].cause.as_str(), manifest.reasons[0].packets), ("stalled", 400));
}

#[test]
fn a_label_without_packets_is_told_and_a_late_one_is_no_loss() {
    let mut rig = Rig::new(&[CAMERA]);
    rig.pass(4 * SECOND);
    assert_eq!(rig.warnings(), [""; 0]);
    rig.pass(3 * SECOND);
    assert_eq!(rig.warnings(), ["alice camera: labelled, nothing arrived for 7 s"]);
    let (manifest, ..) = rig.end();
    assert_eq!((manifest.status, manifest.reasons[0].cause.as_str()), (Status::Partial, "nothing-arrived"));

    let mut rig = Rig::new(&[CAMERA]);
    rig.pass(7 * SECOND);
    rig.announce(Codec::Vp8, Source::Camera);
    rig.send_for(2 * SECOND, |rig, n| rig.frame(n == 0));
    let (manifest, ..) = rig.end();
    assert_eq!(manifest.status, Status::Complete, "{:#?}", manifest.reasons);
    assert_eq!(manifest.warnings, ["alice camera: labelled, nothing arrived for 7 s, then it came"]);
    // A bot may send to another, and what is muted need not come.
    let mut bot = Rig::of(Role::Bot, &[CAMERA]);
    bot.pass(9 * SECOND);
    assert_eq!(bot.end().0.status, Status::Complete);
    let mut rig = Rig::new(&[CAMERA]);
    let muted = TrackLabel { stream: "camera".into(), kind: MediaKind::Video, source: Source::Camera, muted: true };
    rig.connection.labelled(vec![muted], rig.now, &mut rig.shared);
    rig.pass(9 * SECOND);
    assert_eq!(rig.end().0.status, Status::Complete);
}

#[test]
fn a_stream_that_nobody_announced_is_told_and_known_by_the_only_label_that_waits() {
    let sends = |rig: &mut Rig, _| {
        let packet = rig.packet(true, &[1, 2, 3]);
        rig.take(packet);
    };
    let mut rig = Rig::new(&[CAMERA]);
    rig.send_for(8 * SECOND, sends);
    let warnings = rig.warnings();
    assert!(warnings.len() == 1 && warnings[0].starts_with("alice camera: "), "{warnings:?}");
    let (manifest, ..) = rig.end();
    assert_eq!((manifest.status, manifest.unrecorded[0].packets), (Status::Partial, 200));
    assert!(manifest.warnings[0].ends_with("stream was never announced (payload type 96)"), "{:?}", manifest.warnings);

    let mut rig = Rig::new(&[CAMERA, MIC]);
    rig.send_for(8 * SECOND, sends);
    let (manifest, ..) = rig.end();
    let causes: Vec<&str> = manifest.reasons.iter().map(|loss| loss.cause.as_str()).collect();
    assert_eq!(causes.iter().filter(|cause| **cause == "nothing-arrived").count(), 2, "{:#?}", manifest.reasons);
    assert!(causes.contains(&"not-recorded") && manifest.status == Status::Partial, "{causes:?}");
}

#[test]
fn media_of_somebody_to_whom_there_is_no_connection_is_told() {
    let mut rig = Rig::new(&[CAMERA]);
    let mut unconnected = Unconnected::default();
    let mut pass = |rig: &mut Rig, seconds: u32, connected: bool| {
        for _ in 0..seconds {
            unconnected.watch(|_| connected, rig.now, &mut rig.shared);
            rig.now += SECOND;
        }
    };
    pass(&mut rig, 3, false);
    pass(&mut rig, 20, true);
    assert_eq!(rig.warnings(), [""; 0], "a connection came in time");
    pass(&mut rig, 7, false);
    assert_eq!(rig.warnings(), ["alice camera: labelled, nothing arrived for 6 s"]);
    let manifest = rig.end_unconnected(unconnected);
    assert_eq!((manifest.status, manifest.reasons[0].cause.as_str()), (Status::Partial, "nothing-arrived"));
}

#[test]
fn what_nobody_owns_is_one_entry_for_each_stream() {
    let mut rig = Rig::new(&[]);
    let mut unowned = Unowned::default();
    let (start, log) = (rig.start, &mut rig.shared.context.log);
    let mut add = |ssrc, reason, ms| {
        let at = start + Duration::from_millis(ms);
        unowned.add(Counted { ssrc, reason, packets: 10, bytes: 100, first: at, last: at }, log);
    };
    // A moment of something, what came after a participant had left, and a stream.
    add(1, "unowned", 500);
    (0..4).for_each(|n| add(2, "after-end", 1000 * n));
    (0..4).for_each(|n| add(3, "unowned", 1000 * n));
    let text = "the room's server, stream 3: 40 packets in 3 s, nothing could be begun: no participant owns it";
    assert_eq!(log.manifest.warnings, [text]);
    unowned.end(rig.now, log);
    rig.sent = 90;
    let (manifest, events, _dir) = rig.end();
    assert_eq!(manifest.reasons.iter().map(|loss| loss.text.as_str()).collect::<Vec<_>>(), [text]);
    assert_eq!((manifest.status, manifest.unrecorded.len(), told(&events).len()), (Status::Partial, 3, 5));
}

#[test]
fn packets_that_did_not_reach_their_stream_are_counted_with_its_file() {
    let reception = Reception { early_packets: 20, ..Reception::default() };
    let mut rig = Rig::with(&reception, Role::Participant, &[CAMERA]);
    rig.send_for(SECOND, |rig, n| rig.frame(n % 5 == 0));
    rig.announce(Codec::Vp8, Source::Camera);
    rig.send_for(SECOND, |rig, n| rig.frame(n % 5 == 0));
    let text = "alice camera (alice.camera.1.webm): 30 packets not recorded: too much before the stream was announced";
    assert_eq!(rig.warnings(), [text]);
    let (manifest, ..) = rig.end();
    assert_eq!(manifest.warnings, [text]);
    assert_eq!((manifest.unrecorded.len(), manifest.tracks[0].dropped["early-overflow"]), (0, 30), "{manifest:#?}");
    assert_eq!((manifest.status, manifest.reasons[0].cause.as_str()), (Status::Partial, "early-overflow"));
}

#[test]
fn what_the_disk_does_not_take_is_a_loss() {
    let mut rig = Rig::new(&[CAMERA]);
    std::fs::write(rig.shared.context.folder.path().join("tracks"), "no folder").unwrap();
    rig.announce(Codec::Vp8, Source::Camera);
    rig.send_for(SECOND, |rig, n| rig.frame(n == 0));
    let (manifest, ..) = rig.end();
    assert_eq!((manifest.status, manifest.unrecorded[0].dropped["disk"]), (Status::Partial, 50));
    assert_eq!(manifest.unrecorded[0].reason, "it could not be written");
}
