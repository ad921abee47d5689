//! How a stream takes packets, reports and time, and what it hands to its consumer.

use super::handler::{MediaHandler, Problem, Report};
use super::stream::{Gap, Stream};
use crate::room::clock::{SenderClock, SessionTime, TrackClock, unwrap_rtp};
use crate::room::media::{Frame, MediaKind, RtpPacket};
use crate::rtc::inbox::Inbound;
use crate::rtc::media::depacketize::Received;
use crate::rtc::media::packet_counts::DropReason;
use std::net::IpAddr;
use std::time::Instant;

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
                self.account.arrive(packet.payload_type, packet.payload.len(), packet.arrival);
                handler.on_packet(self, &packet);
                self.packet(packet, sender, handler);
            }
            Inbound::SenderReport { ntp, rtp, arrival, from, .. } => {
                self.report(sender, (ntp, rtp), (arrival, from.ip()), handler);
            }
            Inbound::Dropped { packets, bytes, first, last, .. } => {
                self.account.arrived(packets, bytes, first, last);
                self.account.counts.drop(DropReason::InboxFull, packets);
            }
        }
    }

    fn packet(&mut self, packet: RtpPacket, sender: &SenderClock, handler: &mut impl MediaHandler<State = S>) {
        let now = packet.arrival;
        let mut out = std::mem::take(&mut self.scratch);
        self.assembler.push(packet, &mut out);
        self.hand_over(&mut out, now, sender, handler);
        self.scratch = out;
    }

    /// Gives up holes that are too old.
    pub(super) fn tick(&mut self, now: Instant, sender: &SenderClock, handler: &mut impl MediaHandler<State = S>) {
        let mut out = std::mem::take(&mut self.scratch);
        self.assembler.tick(now, &mut out);
        self.hand_over(&mut out, now, sender, handler);
        self.scratch = out;
    }

    /// Gives out what is whole, and ends.
    pub(super) fn end(mut self, sender: &SenderClock, at: Instant, handler: &mut impl MediaHandler<State = S>) {
        let mut out = std::mem::take(&mut self.scratch);
        self.assembler.finish(&mut out);
        self.hand_over(&mut out, at, sender, handler);
        handler.on_end(self, at, sender);
    }

    /// A sender report: its NTP and RTP times, when it arrived, and from where.
    fn report(
        &mut self,
        sender: &mut SenderClock,
        (ntp, rtp): (u64, u32),
        (arrival, from): (Instant, IpAddr),
        handler: &mut impl MediaHandler<State = S>,
    ) {
        let Some(newest) = self.newest_rtp else { return };
        let rtp_time = unwrap_rtp(newest, rtp);
        self.clock.on_sender_report(sender, rtp_time, ntp, SessionTime::since(self.zero, arrival));
        self.mapping = self.clock.mapping(sender);
        handler.on_report(self, &Report { ntp, rtp_time, arrival, from }, sender);
    }

    fn hand_over(
        &mut self,
        out: &mut Vec<Received>,
        now: Instant,
        sender: &SenderClock,
        handler: &mut impl MediaHandler<State = S>,
    ) {
        for received in out.drain(..) {
            match received {
                Received::Frame(frame) => self.frame(frame, sender, handler),
                Received::Gap { from, to, lost_packets, dropped_frames } => {
                    handler.on_gap(self, Gap { from, to, lost_packets, dropped_frames }, sender);
                }
                Received::NeedKeyFrame => self.key_frames.need_at_once(now),
                Received::Discontinuity => {
                    handler.on_restart(self, sender);
                    self.clock = TrackClock::new(self.info.track.codec.clock_rate());
                    self.mapping = None;
                }
            }
        }
    }

    fn frame(&mut self, mut frame: Frame, sender: &SenderClock, handler: &mut impl MediaHandler<State = S>) {
        if let Some(transform) = &mut self.transform
            && let Err(why) = transform.transform(&self.info, &mut frame)
        {
            self.untransformed += u64::from(frame.packets);
            return handler.on_problem(Problem::Transform { ssrc: self.ssrc(), why });
        }
        self.newest_rtp = Some(frame.rtp_time);
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
