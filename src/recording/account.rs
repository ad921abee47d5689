//! What became of everything that participants sent: packets by stream, and what of it is a loss. Values and rules only.
//!
//! Each stream obeys one law: packets that arrived = packets in recorded frames + packets that were dropped, by reason.

use crate::recording::track_entry::{Dropped, TrackEntry};
use crate::room::media::{Codec, Source};
use serde::{Deserialize, Serialize};

/// The reason of packets whose frames could not be written.
pub const DISK: &str = "disk";
/// The reason of packets whose frames would have begun one track file too many.
pub const TOO_MANY_FILES: &str = "too-many-files";
/// The reason of packets that could not be decoded while nothing was for 5 s or more, though packets came.
pub const STALLED: &str = "stalled";
/// The reason of packets that came while the recorder was paused, and until the first key frame after it.
pub const PAUSED: &str = "paused";
/// The reason of packets of which it is not known what became of them: a defect of ours.
pub const UNACCOUNTED: &str = "unaccounted";
/// The cause of what an interruption of the recording itself cost.
pub const CUT_SHORT: &str = "cut-short";
/// How long it may take from the first packet to the first frame, in milliseconds. A recorder comes into running streams, and a key frame
/// has to be asked for.
pub const BEGIN_MS: u64 = 5000;

/// What is sent for a shorter time, in milliseconds, and cannot be begun is no loss: its sender was about to leave.
const MOMENT_MS: u64 = 1000;

/// Reasons by which no media is lost.
const HARMLESS: [&str; 8] =
    ["after-end", "duplicate", "no-picture", "other-layer", "padding", PAUSED, "retransmission", "unfinished"];
/// What lost packets bring with them: it is named, and a gap of its track.
const NETWORK: [&str; 3] = ["incomplete", "late", "undecodable"];
/// What is dropped until a stream can begin.
const BEFORE_BEGIN: [&str; 2] = ["no-key-frame", "no-parameter-sets"];

/// What never became a track file: packets that no frame could be made of, or a label without packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unrecorded {
    /// A participant's key; empty: a room's server sent it, and it belongs to no participant.
    pub participant: String,
    /// What it was to show or sound like, if that is known.
    #[serde(default)]
    pub source: Option<Source>,
    /// The codec that was negotiated, if one was.
    #[serde(default)]
    pub codec: Option<Codec>,
    /// The packets' SSRC (RFC 3550); 0 for a label without packets, or for several streams together.
    #[serde(default)]
    pub ssrc: u32,
    /// RTP packets that arrived.
    pub packets: u64,
    /// Bytes of their payloads.
    #[serde(default)]
    pub bytes: u64,
    /// When the first one arrived, or the track was labelled, in session milliseconds.
    pub start_ms: u64,
    /// When the last one arrived, or the label was gone, in session milliseconds.
    pub end_ms: u64,
    /// Where the packets went.
    #[serde(default)]
    pub dropped: Dropped,
    /// Why nothing of it was recorded, in words.
    pub reason: String,
}

/// Something that was lost, though not by the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// A participant's key; empty: no participant's.
    pub participant: String,
    /// What it showed or sounded like, if that is known.
    #[serde(default)]
    pub source: Option<Source>,
    /// The track file that lacks it; none: nothing was recorded.
    #[serde(default)]
    pub file: Option<String>,
    /// A reason of [`Dropped`], or `nothing-arrived`, `not-recorded`, `unfinished` or `cut-short`.
    pub cause: String,
    /// Packets.
    pub packets: u64,
    /// The same for people, in one line.
    pub text: String,
}

impl Loss {
    /// The recording was interrupted there.
    pub fn cut_short(at_ms: u64) -> Loss {
        let text = format!(
            "cut short at {:.1} s: up to a second of every track is missing there, and what came in the last seconds is in no count",
            at_ms as f64 / 1000.0
        );
        let (participant, cause) = (String::new(), CUT_SHORT.to_owned());
        Loss { participant, source: None, file: None, cause, packets: 0, text }
    }
}

impl Unrecorded {
    /// A stream that a room's server sent and that belongs to no participant.
    pub fn of_nobody(ssrc: u32) -> Unrecorded {
        Unrecorded {
            participant: String::new(),
            source: None,
            codec: None,
            ssrc,
            packets: 0,
            bytes: 0,
            start_ms: 0,
            end_ms: 0,
            dropped: Dropped::new(),
            reason: "no participant owns it".to_owned(),
        }
    }

    /// Whether it is a loss: media arrived, or should have. What was there for a moment only could not begin.
    pub fn is_loss(&self) -> bool {
        let is_moment = self.end_ms.saturating_sub(self.start_ms) < MOMENT_MS;
        // It had begun, or could have, had the recorder not been paused.
        let could_not_begin = is_moment || self.dropped.contains_key(PAUSED);
        let begins_soon = |reason: &str| {
            let is_unknown = matches!(reason, "unannounced" | "unowned" | "payload-type");
            could_not_begin && (BEFORE_BEGIN.contains(&reason) || NETWORK.contains(&reason)) || is_moment && is_unknown
        };
        let is_lost = |reason: &str| !(HARMLESS.contains(&reason) || begins_soon(reason));
        self.packets == 0 || self.dropped.keys().any(|reason| is_lost(reason))
    }

    /// Whether it is an earlier or later account of the same.
    pub fn is_same(&self, other: &Unrecorded) -> bool {
        let about =
            |of: &Unrecorded| (of.participant.clone(), of.ssrc, of.start_ms, of.source.filter(|_| of.ssrc == 0));
        about(self) == about(other)
    }

    /// Whose it is and what: `alice camera`, or `alice: stream 1234`.
    fn name(&self) -> String {
        let who = if self.participant.is_empty() { "the room's server" } else { &self.participant };
        match (self.source, self.ssrc) {
            (Some(source), _) => format!("{who} {}", source.word()),
            (None, 0) => format!("{who}, further streams"),
            (None, ssrc) => format!("{who}, stream {ssrc}"),
        }
    }

    /// The same of a track that was recorded before, for people.
    pub fn stall_text(&self) -> String {
        let seconds = self.end_ms.saturating_sub(self.start_ms) as f64 / 1000.0;
        format!(
            "{}: {} in {seconds:.0} s, nothing could be decoded: {}",
            self.name(),
            packets(self.packets),
            self.reason
        )
    }

    /// One line for people.
    pub fn text(&self) -> String {
        let name = self.name();
        let seconds = self.end_ms.saturating_sub(self.start_ms) as f64 / 1000.0;
        match (self.packets, self.source) {
            (0, _) => format!("{name}: {} for {seconds:.0} s", self.reason),
            (n, Some(source)) => {
                let is_sound = matches!(source, Source::Mic | Source::ScreenAudio);
                let what = if is_sound { "sound" } else { "picture" };
                format!("{name}: {} in {seconds:.0} s, no {what} could be begun: {}", packets(n), self.reason)
            }
            (n, None) => format!("{name}: {} in {seconds:.0} s, nothing could be begun: {}", packets(n), self.reason),
        }
    }
}

/// What is a loss of these tracks and of what never became one. What was only lost on the network is none: it is a gap of its track.
pub fn losses(tracks: &[TrackEntry], unrecorded: &[Unrecorded]) -> Vec<Loss> {
    let of_tracks = tracks.iter().flat_map(of_track);
    let of_others = unrecorded.iter().filter(|stream| stream.is_loss()).map(|stream| Loss {
        participant: stream.participant.clone(),
        source: stream.source,
        file: None,
        cause: if stream.packets == 0 { "nothing-arrived".into() } else { "not-recorded".into() },
        packets: stream.packets,
        text: stream.text(),
    });
    of_tracks.chain(of_others).collect()
}

fn of_track(track: &TrackEntry) -> Vec<Loss> {
    let loss = |cause: &str, packets: u64, text: String| Loss {
        participant: track.participant.clone(),
        source: Some(track.source),
        file: Some(track.file.clone()),
        cause: cause.into(),
        packets,
        text,
    };
    let name = format!("{} {} ({})", track.participant, track.source.word(), track.file);
    let dropped = track.dropped.iter().filter(|(reason, _)| is_lost(track, reason));
    let mut losses: Vec<Loss> = dropped
        .filter(|(reason, _)| *reason != DISK)
        .map(|(reason, n)| loss(reason, *n, format!("{name}: {} not recorded: {}", packets(*n), in_words(reason))))
        .collect();
    let on_disk = track.dropped.get(DISK).copied().unwrap_or(0);
    if on_disk > 0 || track.unwritten_frames > 0 {
        let frames = track.unwritten_frames;
        losses.push(loss(
            DISK,
            on_disk,
            format!("{name}: {frames} frames ({}) could not be written", packets(on_disk)),
        ));
    }
    if !track.finished {
        losses.push(loss("unfinished", 0, format!("{name}: could not be finished")));
    }
    losses
}

fn is_lost(track: &TrackEntry, reason: &str) -> bool {
    if BEFORE_BEGIN.contains(&reason) {
        return track.first_packet_ms.is_some_and(|first| track.start_ms > first.saturating_add(BEGIN_MS));
    }
    if reason == "undecodable" {
        // Without any loss before it, it was not the network.
        let damaged = ["incomplete", "late"].iter().any(|reason| track.dropped.contains_key(*reason));
        return track.lost == 0 && !damaged;
    }
    !HARMLESS.contains(&reason) && !NETWORK.contains(&reason)
}

/// A reason for people.
pub fn in_words(reason: &str) -> &str {
    match reason {
        "payload-type" => "payload type not negotiated",
        "no-key-frame" => "no key frame",
        "no-parameter-sets" => "no parameter sets",
        "malformed" => "payload does not follow its codec's format",
        "incomplete" => "packets of the frame were lost",
        "undecodable" => "the frame depends on a missing one",
        "late" => "too late",
        "stalled" => "nothing could be decoded for a while",
        "unaccounted" => "a defect of roombot: it is not known where they went",
        "out-of-range" => "sequence number far from the others",
        "unannounced" => "stream was never announced",
        "early-overflow" => "too much before the stream was announced",
        "too-many-streams" => "too many streams",
        "too-large" => "frame is too large",
        "inbox-full" => "the recorder could not keep up",
        "transform" => "could not be decrypted",
        PAUSED => "the recorder was paused",
        "no-picture" => "no picture in it",
        "after-end" => "after the stream's end",
        "retransmission" => "a retransmission of a stream that did not come",
        "other-layer" => "of another simulcast layer",
        "unfinished" => "their sender did not send the rest of the frame",
        "unowned" => "no participant owns the stream",
        TOO_MANY_FILES => "the recording has as many track files as it may have",
        other => other,
    }
}

fn packets(n: u64) -> String {
    format!("{n} packet{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(counts: &[(&str, u64)]) -> Dropped {
        counts.iter().map(|(reason, n)| ((*reason).to_owned(), *n)).collect()
    }

    fn track(counts: &[(&str, u64)]) -> TrackEntry {
        let mut track = TrackEntry::new("alice.camera.1.webm", "alice", Source::Camera, Codec::Vp8, 2000);
        (track.finished, track.dropped) = (true, dropped(counts));
        track
    }

    #[test]
    fn what_loses_no_media_is_no_loss() {
        use crate::rtc::media::packet_counts::DropReason;
        for reason in DropReason::ALL {
            assert_eq!(HARMLESS.contains(&reason.word()), !reason.loses_media(), "{reason:?}");
        }
    }

    fn causes(track: &TrackEntry) -> Vec<String> {
        losses(std::slice::from_ref(track), &[]).into_iter().map(|loss| loss.cause).collect()
    }

    #[test]
    fn what_the_network_lost_is_a_gap_and_all_else_a_loss() {
        let mut lossy =
            track(&[("duplicate", 3), ("incomplete", 9), ("late", 1), ("padding", 70), ("undecodable", 40)]);
        lossy.lost = 5;
        assert_eq!(causes(&lossy), [""; 0]);
        assert_eq!(causes(&track(&[("undecodable", 40)])), ["undecodable"]);
        let known = track(&[("inbox-full", 1), ("malformed", 2), ("something-new", 3), ("unaccounted", 4)]);
        assert_eq!(causes(&known), ["inbox-full", "malformed", "something-new", "unaccounted"]);
    }

    #[test]
    fn a_stream_may_take_some_time_to_begin() {
        let mut late = track(&[("no-key-frame", 90)]);
        late.first_packet_ms = Some(1000);
        assert_eq!(causes(&late), [""; 0]);
        late.start_ms = 6500;
        assert_eq!(causes(&late), ["no-key-frame"]);
    }

    #[test]
    fn the_disk_and_what_it_left_unfinished_are_losses() {
        let mut full = track(&[("disk", 12)]);
        (full.unwritten_frames, full.finished) = (3, false);
        let losses = losses(&[full], &[]);
        assert_eq!(losses[0].text, "alice camera (alice.camera.1.webm): 3 frames (12 packets) could not be written");
        assert_eq!((losses[1].cause.as_str(), losses.len()), ("unfinished", 2));
    }

    #[test]
    fn what_never_became_a_track_says_so_in_one_line() {
        let mut stream = Unrecorded {
            participant: "alice".into(),
            source: Some(Source::Camera),
            codec: Some(Codec::H264),
            ssrc: 7,
            packets: 186,
            bytes: 90_000,
            start_ms: 1000,
            end_ms: 9000,
            dropped: dropped(&[("no-parameter-sets", 186)]),
            reason: "no parameter sets".into(),
        };
        assert!(stream.is_loss());
        assert_eq!(stream.text(), "alice camera: 186 packets in 8 s, no picture could be begun: no parameter sets");
        for harmless in [&[("padding", 186)][..], &[("no-key-frame", 6), ("paused", 180)]] {
            stream.dropped = dropped(harmless);
            assert!(!stream.is_loss(), "{harmless:?}");
        }
        (stream.packets, stream.reason) = (0, "labelled, nothing arrived".into());
        assert!(stream.is_loss());
        assert_eq!(stream.text(), "alice camera: labelled, nothing arrived for 8 s");
        (stream.packets, stream.source, stream.reason) = (3, None, "payload type 35 not negotiated".into());
        stream.dropped = dropped(&[("payload-type", 3)]);
        assert_eq!(
            losses(&[], &[stream])[0].text,
            "alice, stream 7: 3 packets in 8 s, nothing could be begun: payload type 35 not negotiated"
        );
    }
}
