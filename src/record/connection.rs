//! What arrives from one participant: sorts packets to their streams, and waits for what is not known yet.

use super::stream::{RecordingContext, Stream};
use crate::room::clock::SenderClock;
use crate::room::media::{RtpPacket, Source};
use crate::room::participant::ParticipantId;
use crate::room::speaker::SpeakerDetector;
use crate::rtc::{Inbound, Inbox, RemoteTrack};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Packets that may wait for their stream to be announced: of so many streams, so many of each, so long.
const EARLY_STREAMS: usize = 32;
const EARLY_PACKETS: usize = 1024;
const EARLY_FOR: Duration = Duration::from_secs(3);
/// How long a stream waits for the participant to say what it is.
const LABEL_FOR: Duration = Duration::from_millis(500);
/// How long a stream that was taken away may still deliver what is under way.
const LINGER: Duration = Duration::from_millis(200);

/// One participant's connection.
pub(super) struct Connection {
    id: ParticipantId,
    /// The participant's key in the manifest.
    key: String,
    inbox: Arc<Inbox>,
    sender: SenderClock,
    streams: HashMap<u32, Stream>,
    /// Streams that the connection has announced.
    announced: HashMap<u32, Announced>,
    early: HashMap<u32, (Instant, Vec<RtpPacket>)>,
    /// Streams that were taken away, and when they end.
    ending: Vec<(u32, Instant)>,
    batch: Vec<Inbound>,
}

struct Announced {
    track: RemoteTrack,
    since: Instant,
    /// The participant has said what it is: without a label it is gone, not nameless.
    labelled: bool,
}

impl Connection {
    pub fn new(id: ParticipantId, key: String, inbox: Arc<Inbox>) -> Connection {
        Connection {
            id,
            key,
            inbox,
            sender: SenderClock::default(),
            streams: HashMap::new(),
            announced: HashMap::new(),
            early: HashMap::new(),
            ending: Vec::new(),
            batch: Vec::new(),
        }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// The open streams, and the clock that they share.
    pub fn streams(&mut self) -> (impl Iterator<Item = &mut Stream>, &SenderClock) {
        (self.streams.values_mut(), &self.sender)
    }

    /// Takes what waits in the inbox. Returns how many packets the inbox had to drop.
    pub fn drain(&mut self, speakers: &mut SpeakerDetector, desk: &mut RecordingContext) -> u64 {
        let mut batch = std::mem::take(&mut self.batch);
        let dropped = self.inbox.drain(&mut batch);
        for item in batch.drain(..) {
            match item {
                Inbound::Rtp(packet) => match self.streams.get_mut(&packet.ssrc) {
                    Some(stream) => {
                        if let Some(level) = packet.audio_level
                            && stream.source == Source::Mic
                        {
                            speakers.heard(&self.key, level, desk.log.session(packet.arrival).as_ms());
                        }
                        stream.packet(packet, &self.sender, desk);
                    }
                    None => self.wait(packet),
                },
                Inbound::SenderReport { ssrc, ntp, rtp, arrival, .. } => {
                    let at = desk.log.session(arrival);
                    if let Some(stream) = self.streams.get_mut(&ssrc) {
                        stream.report(&mut self.sender, ntp, rtp, at);
                    }
                }
            }
        }
        self.batch = batch;
        dropped
    }

    fn wait(&mut self, packet: RtpPacket) {
        if self.early.len() >= EARLY_STREAMS && !self.early.contains_key(&packet.ssrc) {
            return;
        }
        let (_, packets) = self.early.entry(packet.ssrc).or_insert_with(|| (packet.arrival, Vec::new()));
        if packets.len() < EARLY_PACKETS {
            packets.push(packet);
        }
    }

    /// A stream was announced.
    pub fn track(&mut self, track: RemoteTrack, now: Instant) {
        self.ending.retain(|(ssrc, _)| *ssrc != track.ssrc);
        // A place on a server's connection may be taken by somebody who sends something else.
        if self.streams.get(&track.ssrc).is_some_and(|stream| stream.remote.codec != track.codec) {
            self.ended(&[track.ssrc], now);
        }
        self.announced.insert(track.ssrc, Announced { track, since: now, labelled: false });
    }

    /// The participant's labels changed: what is no longer there ends.
    pub fn labelled(&mut self, now: Instant, desk: &mut RecordingContext) {
        for (ssrc, stream) in &self.streams {
            let there = desk.log.label(&self.id, &stream.remote.stream, stream.remote.kind()).is_some();
            let ending = self.ending.iter().any(|(s, _)| s == ssrc);
            // Who never labels anything ends nothing by it.
            if !there && !ending && stream.labelled {
                self.ending.push((*ssrc, now));
            }
        }
    }

    /// The sender took these streams away.
    pub fn ended(&mut self, ssrcs: &[u32], now: Instant) {
        for ssrc in ssrcs {
            self.announced.remove(ssrc);
            if self.streams.contains_key(ssrc) && !self.ending.iter().any(|(s, _)| s == ssrc) {
                self.ending.push((*ssrc, now));
            }
        }
    }

    /// What time brings: streams begin and end, holes are given up, key frames asked for.
    pub fn tick(
        &mut self,
        now: Instant,
        desk: &mut RecordingContext,
        asks: &mpsc::UnboundedSender<(ParticipantId, u32)>,
    ) {
        self.begin(now, desk);
        let due: Vec<(u32, Instant)> =
            self.ending.iter().filter(|(_, at)| now.saturating_duration_since(*at) >= LINGER).copied().collect();
        self.ending.retain(|(_, at)| now.saturating_duration_since(*at) < LINGER);
        for (ssrc, at) in due {
            if let Some(stream) = self.streams.remove(&ssrc) {
                stream.end(&self.sender, at, desk);
            }
        }
        self.early.retain(|_, (since, _)| now.saturating_duration_since(*since) < EARLY_FOR);
        for (ssrc, stream) in &mut self.streams {
            stream.tick(now, &self.sender, desk);
            if stream.wants_key_frame(now) {
                let _ = asks.send((self.id.clone(), *ssrc));
            }
        }
    }

    /// Announced streams whose packets wait begin once it is known what they are.
    fn begin(&mut self, now: Instant, desk: &mut RecordingContext) {
        let ready: Vec<(RemoteTrack, Option<Source>)> = self
            .announced
            .iter()
            .filter(|(ssrc, _)| !self.streams.contains_key(ssrc) && self.early.contains_key(ssrc))
            .filter_map(|(_, Announced { track, since, labelled })| {
                let label = desk.log.label(&self.id, &track.stream, track.kind()).map(|label| label.source);
                let patient = *labelled || now.saturating_duration_since(*since) < LABEL_FOR;
                (label.is_some() || !patient).then(|| (track.clone(), label))
            })
            .collect();
        for (track, label) in ready {
            let source = label.unwrap_or(Source::default_for(track.kind()));
            let ssrc = track.ssrc;
            if let Some(announced) = self.announced.get_mut(&ssrc) {
                announced.labelled |= label.is_some();
            }
            let mut stream = Stream::new(track, self.key.clone(), source, label.is_some());
            for packet in self.early.remove(&ssrc).map(|(_, packets)| packets).unwrap_or_default() {
                stream.packet(packet, &self.sender, desk);
            }
            self.streams.insert(ssrc, stream);
        }
    }

    /// The connection is gone: everything that came is written, and every file ends.
    pub fn end(mut self, at: Instant, desk: &mut RecordingContext) {
        self.begin(at + LABEL_FOR, desk);
        for stream in std::mem::take(&mut self.streams).into_values() {
            stream.end(&self.sender, at, desk);
        }
    }
}
