//! How a stream takes packets, reports and time, and what it hands to its consumer.

use super::handler::{MediaHandler, Problem, Report};
use super::info::Gap;
use super::layers::Layers;
use super::stream::{CodecChange, Stream};
use super::transform::{Transforming, Untransformed};
use crate::room::clock::{SenderClock, SessionTime, TrackClock, unwrap_rtp};
use crate::room::media::{Frame, MediaKind, RtpPacket};
use crate::rtc::inbox::Inbound;
use crate::rtc::media::depacketize::{FrameAssembler, Received};
use crate::rtc::media::packet_counts::DropReason;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Instant;

/// The layer that the stream's own assembler takes.
const OWN: usize = 0;

impl<S> Stream<S> {
    /// Takes what arrived on the stream.
    pub(super) fn receive(
        &mut self,
        item: Inbound,
        sender: &mut SenderClock,
        handler: &mut impl MediaHandler<State = S>,
    ) {
        match item {
            Inbound::Rtp(packet) => {
                self.account.arrive(&packet);
                handler.on_packet(self, &packet);
                self.packet(packet, sender, handler);
            }
            Inbound::SenderReport { ssrc, ntp, rtp, arrival, from } => {
                self.report(sender, (ssrc, ntp, rtp), (arrival, from.ip()), handler);
            }
            Inbound::Goodbye { ssrc, arrival } => {
                let is_over = self.layers.as_mut().is_none_or(|layers| layers.goodbye(ssrc));
                self.goodbye = is_over.then_some(arrival).or(self.goodbye);
            }
            Inbound::Dropped { packets, bytes, first, last, reason, .. } => {
                self.account.arrived(packets, bytes, first, last);
                self.account.counts.drop(reason, packets);
            }
        }
    }

    fn packet(&mut self, packet: RtpPacket, sender: &SenderClock, handler: &mut impl MediaHandler<State = S>) {
        let now = packet.arrival;
        let mut out = std::mem::take(&mut self.scratch);
        let layer = self.layers.as_mut().map_or(OWN, |layers| {
            let layer = layers.index(packet.ssrc);
            layers.heard(layer, now);
            layer
        });
        self.assembler(layer).push(packet, &mut out);
        self.hand_over(layer, &mut out, now, sender, handler);
        self.scratch = out;
    }

    /// The assembler of a layer.
    fn assembler(&mut self, layer: usize) -> &mut FrameAssembler {
        let Stream { assembler, layers, .. } = self;
        layers.as_mut().and_then(|layers| layers.assembler(layer)).unwrap_or(assembler)
    }

    fn layers(&self) -> Range<usize> {
        OWN..self.layers.as_ref().map_or(1, Layers::len)
    }

    /// Gives up holes that are too old.
    pub(super) fn tick(&mut self, now: Instant, sender: &SenderClock, handler: &mut impl MediaHandler<State = S>) {
        let mut out = std::mem::take(&mut self.scratch);
        for layer in self.layers() {
            if self.change.is_none() {
                self.assembler(layer).tick(now, &mut out);
                self.hand_over(layer, &mut out, now, sender, handler);
            }
        }
        self.scratch = out;
    }

    /// Gives out what is whole: no more comes. Where the codec changes it stops, and is to be called again of the stream that goes on.
    pub(super) fn finish(&mut self, sender: &SenderClock, at: Instant, handler: &mut impl MediaHandler<State = S>) {
        let mut out = std::mem::take(&mut self.scratch);
        for layer in self.layers() {
            if self.change.is_none() {
                self.assembler(layer).finish(&mut out);
                self.hand_over(layer, &mut out, at, sender, handler);
            }
        }
        self.scratch = out;
    }

    /// Takes what came before the codec changed to that of this stream, and had not been given out.
    pub(super) fn go_on(
        &mut self,
        change: CodecChange,
        sender: &SenderClock,
        handler: &mut impl MediaHandler<State = S>,
    ) {
        let CodecChange { layer, mut rest, at, .. } = change;
        self.hand_over(layer, &mut rest, at, sender, handler);
    }

    /// A sender report: its NTP and RTP times, when it arrived, and from where.
    fn report(
        &mut self,
        sender: &mut SenderClock,
        (ssrc, ntp, rtp): (u32, u64, u32),
        (arrival, from): (Instant, IpAddr),
        handler: &mut impl MediaHandler<State = S>,
    ) {
        let Some(newest) = self.newest_rtp else { return };
        let at = SessionTime::since(self.zero, arrival);
        let rtp_time = match &mut self.layers {
            None => Some(unwrap_rtp(newest, rtp)),
            Some(layers) => {
                let stream = (&self.clock, self.newest_rtp);
                layers.report(layers.index(ssrc), (ntp, rtp), (at, arrival), stream, sender)
            }
        };
        let Some(rtp_time) = rtp_time else { return };
        self.clock.on_sender_report(sender, rtp_time, ntp, at);
        self.mapping = self.clock.mapping(sender);
        handler.on_report(self, &Report { ntp, rtp_time, arrival, from }, sender);
    }

    fn hand_over(
        &mut self,
        layer: usize,
        out: &mut Vec<Received>,
        now: Instant,
        sender: &SenderClock,
        handler: &mut impl MediaHandler<State = S>,
    ) {
        let mut waiting = out.drain(..);
        while let Some(received) = waiting.next() {
            match received {
                // Of layers the one that is given out decides.
                Received::Codec(codec) if codec == self.info.track.codec || self.offset(layer).is_none() => {}
                Received::Codec(codec) => {
                    self.change = Some(CodecChange { codec, layer, rest: waiting.collect(), at: now });
                    break;
                }
                Received::Frame(frame) => {
                    self.choose(layer, frame, sender, handler);
                    if let Some(change) = &mut self.change {
                        change.rest.extend(waiting);
                        break;
                    }
                }
                Received::Gap { from, to, lost_packets, dropped_frames } => {
                    if let Some(offset) = self.offset(layer) {
                        self.transform.iter_mut().for_each(Transforming::on_gap);
                        let (from, to) = (from.saturating_add(offset), to.saturating_add(offset));
                        handler.on_gap(self, Gap { from, to, lost_packets, dropped_frames }, sender);
                    }
                }
                Received::NeedKeyFrame if self.offset(layer).is_some() => self.key_frames.need_at_once(now),
                Received::NeedKeyFrame => self.layers.iter_mut().for_each(|layers| layers.need_key_frame(layer)),
                Received::Discontinuity => {
                    let is_given = self.offset(layer).is_some();
                    self.layers.iter_mut().for_each(|layers| layers.restart(layer));
                    if !is_given {
                        continue;
                    }
                    handler.on_restart(self, sender);
                    self.clock = TrackClock::new(self.info.track.codec.clock_rate());
                    self.mapping = None;
                    self.newest_rtp = None;
                }
            }
        }
        if self.layers.is_some() {
            let stats = self.assembler(layer).stats();
            self.layers.iter_mut().for_each(|layers| layers.count(layer, stats));
        }
    }

    /// What the times of a layer that is given out differ by from the stream's; none for one that is not.
    fn offset(&self, layer: usize) -> Option<i64> {
        self.layers.as_ref().map_or(Some(0), |layers| layers.offset(layer))
    }

    /// Gives out the frame if it is of the layer that is given out, or of a better one.
    fn choose(&mut self, layer: usize, frame: Frame, sender: &SenderClock, handler: &mut impl MediaHandler<State = S>) {
        let at = SessionTime::since(self.zero, frame.arrival);
        let codec = self.assembler(layer).codec();
        if codec != self.info.track.codec
            && let Some(layers) = &self.layers
        {
            // A layer that has another codec than the one that is given out: a better one, or one that stands in for it when it has stopped.
            if frame.key && layers.is_surpassed_by(frame.size, frame.arrival) {
                let at = frame.arrival;
                self.change = Some(CodecChange { codec, layer, rest: vec![Received::Frame(frame)], at });
            }
            return;
        }
        let stream = (&self.clock, self.newest_rtp);
        let frame = match &mut self.layers {
            Some(layers) => layers.choose(layer, frame, at, stream, sender),
            None => Some(frame),
        };
        if let Some(frame) = frame {
            self.frame(frame, sender, handler);
        }
    }

    fn frame(&mut self, mut frame: Frame, sender: &SenderClock, handler: &mut impl MediaHandler<State = S>) {
        let transformed = self.transform.as_mut().map_or(Ok(()), |transform| transform.apply(&self.info, &mut frame));
        match transformed {
            Ok(()) => {}
            Err(Untransformed::Failed(why)) => {
                self.dropped_frames.drop(DropReason::Transform, frame.packets.into());
                return handler.on_problem(Problem::Transform { ssrc: self.ssrc(), why });
            }
            Err(Untransformed::NeedsKeyFrame(reason)) => {
                self.dropped_frames.drop(reason, frame.packets.into());
                return self.key_frames.need(frame.arrival);
            }
        }
        self.newest_rtp = Some(frame.rtp_time);
        if let Some((width, height)) = frame.size {
            self.pixels = u64::from(width) * u64::from(height);
        }
        self.clock.on_arrival(frame.rtp_time, SessionTime::since(self.zero, frame.arrival));
        if self.kind() == MediaKind::Video
            && let Some(since) = self.key_frames.on_frame(frame.key, frame.arrival)
        {
            let waited = frame.arrival.saturating_duration_since(since);
            handler.on_key_frame_wait_over(self, waited, frame.arrival);
        }
        handler.on_frame(self, frame, sender);
    }
}
